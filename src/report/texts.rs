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
mod words;

use crate::mail::locale::{fallbacks, normalized};

pub(super) use words::Texts;

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
