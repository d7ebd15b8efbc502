//! The words of a report, in each language of the proxy's pages.

mod ar;
mod de;
mod en;
mod es;
mod fr;
mod it;
mod nl;
mod pl;
mod pt;
mod pt_br;

use serde::Serialize;

use crate::mail::locale::{fallbacks, normalized};

/// All words in one language. `{}` stands for a value.
#[derive(Debug, Serialize)]
pub(super) struct Texts {
    /// BCP 47.
    pub(super) language: &'static str,
    pub(super) report: &'static str,
    /// When the report was made.
    pub(super) as_of: &'static str,
    /// The period of a report on all there is.
    pub(super) whole: &'static str,
    /// A period without an end.
    pub(super) from_date: &'static str,
    /// A period without a beginning.
    pub(super) until_date: &'static str,
    pub(super) draft: &'static str,
    pub(super) running: &'static str,
    pub(super) stopped: &'static str,
    pub(super) entered: &'static str,
    /// Records of those who have left, or were blocked.
    pub(super) blocked: &'static str,
    /// Records that get no mail, to compare with.
    pub(super) held_out: &'static str,
    pub(super) conversions: &'static str,
    pub(super) value: &'static str,
    pub(super) mails: &'static str,
    /// Which activity this one follows.
    pub(super) after: &'static str,
    /// By how much later it runs.
    pub(super) later: &'static str,
    pub(super) if_opened: &'static str,
    pub(super) if_not_opened: &'static str,
    pub(super) if_clicked: &'static str,
    pub(super) if_not_clicked: &'static str,
    pub(super) if_returned: &'static str,
    pub(super) if_not_returned: &'static str,
    pub(super) sent: &'static str,
    pub(super) opened: &'static str,
    pub(super) clicked: &'static str,
    pub(super) converted: &'static str,
    pub(super) returned: &'static str,
    pub(super) unsubscribed: &'static str,
    pub(super) complaints: &'static str,
    pub(super) waiting: &'static str,
    pub(super) skipped: &'static str,
    pub(super) cancelled: &'static str,
    pub(super) failed: &'static str,
    pub(super) not_sent: &'static str,
    pub(super) under_way: &'static str,
    pub(super) done: &'static str,
    /// Mails that were given up, or came back.
    pub(super) lost: &'static str,
    pub(super) links: &'static str,
    pub(super) link: &'static str,
    pub(super) mail: &'static str,
    pub(super) people: &'static str,
    pub(super) clicks: &'static str,
    pub(super) share: &'static str,
    pub(super) robots: &'static str,
    pub(super) domains: &'static str,
    pub(super) domain: &'static str,
    pub(super) others: &'static str,
    /// Addresses that were erased.
    pub(super) no_domain: &'static str,
    pub(super) deferred: &'static str,
    pub(super) day: &'static str,
    pub(super) week: &'static str,
    pub(super) month: &'static str,
    /// The highest value of a chart, and when.
    pub(super) most: &'static str,
    pub(super) hours: &'static str,
    pub(super) hour: &'static str,
    /// After how many hours half of those who open a mail have done so.
    pub(super) half: &'static str,
    pub(super) cohorts: &'static str,
    pub(super) mailed: &'static str,
    pub(super) in_1_day: &'static str,
    pub(super) in_7_days: &'static str,
    pub(super) in_30_days: &'static str,
    /// What was brought about, by comparing with those who were held out.
    pub(super) effect: &'static str,
    pub(super) group: &'static str,
    pub(super) difference: &'static str,
    /// In which the difference lies, with a probability of 95 %.
    pub(super) interval: &'static str,
    pub(super) chance: &'static str,
    pub(super) clear: &'static str,
    /// What opens the table behind a chart.
    pub(super) numbers: &'static str,
    pub(super) nothing: &'static str,
    /// How many rows a table leaves out.
    pub(super) more: &'static str,
    /// A number as per cent.
    pub(super) percent: &'static str,
}

/// English first: it falls in where a language has no words.
const LANGUAGES: [&Texts; 10] = [
    &en::TEXTS,
    &fr::TEXTS,
    &de::TEXTS,
    &es::TEXTS,
    &it::TEXTS,
    &nl::TEXTS,
    &pt::TEXTS,
    &pt_br::TEXTS,
    &pl::TEXTS,
    &ar::TEXTS,
];

/// The words for a language such as `fr`, `fr-CA` or `fr_CA`; English when there are none.
pub(super) fn texts(language: &str) -> &'static Texts {
    let wanted = normalized(language);
    fallbacks(&wanted)
        .find_map(|tag| {
            LANGUAGES
                .into_iter()
                .find(|texts| normalized(texts.language) == tag)
        })
        .unwrap_or(LANGUAGES[0])
}

/// A text with values in the places of its `{}`.
pub(super) fn filled(text: &str, values: &[&str]) -> String {
    let mut parts = text.split("{}");
    let mut result = parts.next().unwrap_or_default().to_owned();
    for (index, part) in parts.enumerate() {
        result.push_str(values.get(index).copied().unwrap_or_default());
        result.push_str(part);
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn languages_fall_back_as_those_of_the_pages() {
        for (language, chosen) in [
            ("fr-CA", "fr"),
            ("PT_br", "pt-BR"),
            ("pt_PT", "pt"),
            ("ja", "en"),
            ("", "en"),
            ("<script>", "en"),
        ] {
            assert_eq!(texts(language).language, chosen, "{language}");
        }
    }

    /// A value that has no place would not be shown, and a place without a value would be empty.
    #[test]
    fn every_language_has_all_words_and_the_same_places() {
        let words = |texts: &Texts| serde_json::to_value(texts).expect("words are text");
        let english = words(LANGUAGES[0]);
        for texts in LANGUAGES {
            let serde_json::Value::Object(own) = words(texts) else {
                unreachable!("a struct is an object");
            };
            for (name, text) in own {
                let text = text.as_str().unwrap_or_default();
                assert!(!text.trim().is_empty(), "{} {name}", texts.language);
                assert_eq!(
                    text.matches("{}").count(),
                    english[&name]
                        .as_str()
                        .unwrap_or_default()
                        .matches("{}")
                        .count(),
                    "{} {name}",
                    texts.language
                );
            }
        }
    }

    #[test]
    fn values_are_filled_in_as_they_are() {
        assert_eq!(filled("Most: {} ({})", &["{}", "7"]), "Most: {} (7)");
        assert_eq!(filled("{} %", &["1"]), "1 %");
    }
}
