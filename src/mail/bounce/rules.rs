//! What servers and people say, as data: the judgement reads codes, phrases and subjects from here, and whoever meets
//! others adds them.

mod rule;
mod shipped;

use std::sync::LazyLock;

use super::words::{Phrase, Words};
pub use rule::{Meaning, Rule, RuleError, RuleKind};

/// Rules, ready to be applied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    statuses: Vec<(String, Meaning)>,
    replies: Vec<(Phrase, Meaning)>,
    steps: Vec<(Phrase, Meaning)>,
    notices: Vec<(Phrase, Meaning)>,
    subjects: Vec<(Phrase, Meaning)>,
}

impl Rules {
    pub fn new<'a>(rules: impl IntoIterator<Item = Rule<'a>>) -> Result<Self, RuleError> {
        let mut ready = Rules::default();
        for rule in rules {
            ready.add(rule)?;
        }
        Ok(ready)
    }

    /// The rules that this version knows.
    pub fn shipped() -> &'static Rules {
        static SHIPPED: LazyLock<Rules> = LazyLock::new(|| {
            let rules = shipped::rules().map(|(rule, _)| rule);
            Rules::new(rules).expect("the shipped rules are rules")
        });
        &SHIPPED
    }

    /// The same as rows, with notes why.
    pub fn shipped_rows() -> impl Iterator<Item = (Rule<'static>, &'static str)> {
        shipped::rules()
    }

    fn add(&mut self, rule: Rule<'_>) -> Result<(), RuleError> {
        if !rule.kind.meanings().contains(&rule.meaning) {
            return Err(RuleError::Meaning(
                rule.kind,
                rule.meaning.name().to_owned(),
            ));
        }
        let list = match rule.kind {
            RuleKind::Status => {
                let pattern = rule.pattern.trim();
                if !is_status_pattern(pattern) {
                    return Err(RuleError::Status(rule.pattern.to_owned()));
                }
                self.statuses.push((pattern.to_owned(), rule.meaning));
                return Ok(());
            }
            RuleKind::Reply => &mut self.replies,
            RuleKind::Step => &mut self.steps,
            RuleKind::Notice => &mut self.notices,
            RuleKind::Subject => &mut self.subjects,
        };
        let phrase = Phrase::parse(rule.pattern);
        let phrase = phrase.ok_or_else(|| RuleError::NoWord(rule.pattern.to_owned()))?;
        list.push((phrase, rule.meaning));
        Ok(())
    }

    /// What a status code means; a whole one counts before one with `%`. `None`: something that may pass.
    pub(super) fn status(&self, status: &str) -> Option<Meaning> {
        let whole = self.statuses.iter().find(|(known, _)| known == status);
        let alike = || {
            self.statuses.iter().find(|(known, _)| {
                known
                    .strip_suffix('%')
                    .is_some_and(|start| status.starts_with(start))
            })
        };
        whole.or_else(alike).map(|(_, meaning)| *meaning)
    }

    pub(super) fn reply_says(&self, words: &Words, meaning: Meaning) -> bool {
        says(&self.replies, meaning, |phrase| words.contain(phrase))
    }

    pub(super) fn step_is(&self, words: &Words, meaning: Meaning) -> bool {
        says(&self.steps, meaning, |phrase| words.contain(phrase))
    }

    pub(super) fn notice_says(&self, words: &Words, meaning: Meaning) -> bool {
        says(&self.notices, meaning, |phrase| words.contain(phrase))
    }

    /// Whether a subject begins as those of programs that answer for people.
    pub(super) fn is_auto_reply(&self, subject: &str) -> bool {
        let words = Words::of(without_marks(subject));
        says(&self.subjects, Meaning::AutoReply, |phrase| {
            words.starts_with(phrase)
        })
    }

    /// Whether a subject begins as `Re:`, `AW:` or `Re[2]:`.
    pub(super) fn is_personal_reply(&self, subject: &str) -> bool {
        let Some((prefix, _)) = without_marks(subject).split_once([':', '：']) else {
            return false;
        };
        let words = Words::of(prefix);
        says(&self.subjects, Meaning::PersonalReply, |phrase| {
            words.are(phrase)
        })
    }
}

/// A subject without what gateways put before it: `[EXTERNAL]`, `***SPAM***`.
fn without_marks(subject: &str) -> &str {
    let mut rest = subject.trim_start();
    loop {
        let marked = match rest.chars().next() {
            Some('[') => rest.split_once(']'),
            Some('*') => {
                let inside = rest.trim_start_matches('*');
                inside
                    .split_once('*')
                    .map(|(mark, after)| (mark, after.trim_start_matches('*')))
            }
            _ => None,
        };
        match marked {
            Some((_, after)) => rest = after.trim_start(),
            None => return rest,
        }
    }
}

fn says(list: &[(Phrase, Meaning)], meaning: Meaning, is_there: impl Fn(&Phrase) -> bool) -> bool {
    list.iter()
        .any(|(phrase, means)| *means == meaning && is_there(phrase))
}

fn is_status_pattern(pattern: &str) -> bool {
    let parts: Vec<&str> = pattern.split('.').collect();
    let number = |part: &str| {
        (1..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
    };
    matches!(parts[..], ["5", subject, detail] if number(subject) && (detail == "%" || number(detail)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(kind: RuleKind, pattern: &str, meaning: Meaning) -> Rule<'_> {
        Rule {
            kind,
            pattern,
            meaning,
        }
    }

    #[test]
    fn shipped_rules_are_rules_and_stand_once() {
        let rows: Vec<_> = Rules::shipped_rows().map(|(rule, _)| rule).collect();
        assert_eq!(
            Rules::new(rows.iter().copied()).as_ref(),
            Ok(Rules::shipped())
        );
        for (at, row) in rows.iter().enumerate() {
            assert!(
                rows[..at]
                    .iter()
                    .all(|known| (known.kind, known.pattern) != (row.kind, row.pattern)),
                "{row:?}"
            );
            assert_eq!(RuleKind::parse(row.kind.name()), Some(row.kind));
            assert_eq!(Meaning::parse(row.meaning.name()), Some(row.meaning));
        }
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        for (rule, error) in [
            (
                rule(RuleKind::Status, "5.1.1", Meaning::Alive),
                RuleError::Meaning(RuleKind::Status, "alive".to_owned()),
            ),
            (
                rule(RuleKind::Reply, "gone", Meaning::Unclear),
                RuleError::Meaning(RuleKind::Reply, "unclear".to_owned()),
            ),
            (
                rule(RuleKind::Reply, " % 550 5.1.1", Meaning::Dead),
                RuleError::NoWord(" % 550 5.1.1".to_owned()),
            ),
            (
                rule(RuleKind::Status, "5.1", Meaning::Dead),
                RuleError::Status("5.1".to_owned()),
            ),
            (
                rule(RuleKind::Status, "4.1.1", Meaning::Dead),
                RuleError::Status("4.1.1".to_owned()),
            ),
            (
                rule(RuleKind::Status, "%", Meaning::Dead),
                RuleError::Status("%".to_owned()),
            ),
        ] {
            assert_eq!(Rules::new([rule]), Err(error));
        }
        let parse = |kind, meaning| {
            Rule::parse(kind, "gone", meaning).map_err(|error| format!("{error}. {}", error.hint()))
        };
        assert_eq!(
            parse("replies", "dead").unwrap_err(),
            "bounce rules of kind \"replies\" do not exist. It is status, reply, step, notice or subject."
        );
        assert_eq!(
            parse("subject", "deadly").unwrap_err(),
            "a bounce rule of kind \"subject\" cannot mean \"deadly\". It is auto_reply or personal_reply."
        );
        assert_eq!(
            parse("reply", "dead"),
            Ok(rule(RuleKind::Reply, "gone", Meaning::Dead))
        );
    }

    #[test]
    fn a_whole_status_counts_before_a_pattern() {
        let rules = Rules::new([
            rule(RuleKind::Status, "5.1.%", Meaning::Unclear),
            rule(RuleKind::Status, "5.1.1", Meaning::Dead),
        ])
        .unwrap();
        assert_eq!(rules.status("5.1.1"), Some(Meaning::Dead));
        assert_eq!(rules.status("5.1.11"), Some(Meaning::Unclear));
        assert_eq!(rules.status("5.2.1"), None);
    }

    #[test]
    fn replies_are_told_from_other_subjects() {
        let rules = Rules::shipped();
        for subject in [
            "Re: News",
            "RE[2]: News",
            "AW: News",
            "SV: x",
            "Antw: x",
            "回复：x",
            "Re : x",
            "[EXTERNAL] Re: x",
            "[a] *** SPAM *** WG: x",
        ] {
            assert!(rules.is_personal_reply(subject), "{subject}");
        }
        for subject in [
            "Returned mail: see transcript",
            "Undeliverable: Re: News",
            "Reply",
            "[EXTERNAL] Undeliverable: Re: News",
            "***",
            "",
        ] {
            assert!(!rules.is_personal_reply(subject), "{subject}");
        }
        for subject in [
            "Automatic reply: News",
            "Abwesenheitsnotiz: x",
            "Réponse automatique : x",
            "自动回复: x",
            "[EXTERN] Abwesenheitsnotiz: x",
        ] {
            assert!(rules.is_auto_reply(subject), "{subject}");
        }
        assert!(!rules.is_auto_reply("Undeliverable: Automatic reply: x"));
    }
}
