//! One rule: what it looks at, for what, and what that means.

use thiserror::Error;

/// What a rule looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleKind {
    /// Enhanced status codes (RFC 3463), one, or all that begin alike: `5.0.%`.
    Status,
    /// What a server replied, at once or in its report.
    Reply,
    /// At which step of the dialogue it replied so, as other servers report it.
    Step,
    /// The subject and the beginning of what mail servers write in prose.
    Notice,
    /// The beginning of the subject of a mail.
    Subject,
}

/// What it means where a rule holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// The mailbox or its domain does not exist.
    Dead,
    /// As [`Meaning::Dead`], and believed of a server that has seen the mail too: some say "user unknown" of whom they
    /// do not want to hear from.
    DeadAfterData,
    /// The domain does not exist, says who looked it up. A server that replies so to a mail speaks of ours.
    DeadDomain,
    /// The code says nothing by itself, the words decide.
    Unclear,
    /// It is about the mail, the sender or the moment, whatever else the reply says.
    Alive,
    /// The server did not know the recipient yet.
    BeforeRecipient,
    /// The server had seen the mail.
    AfterData,
    /// The reply is another server's than the one that reports.
    Remote,
    /// A mail server says that it could not deliver.
    Failed,
    /// It goes on trying.
    Delayed,
    /// It delivered.
    Delivered,
    /// A program answers for a person.
    AutoReply,
    /// A person answers, or forwards: what stands before the colon of `Re:`.
    PersonalReply,
}

/// Each kind of rule and what it may mean, with the names that a table has for them.
pub(super) const KINDS: [(RuleKind, &str, &[Meaning]); 5] = {
    use Meaning::*;
    [
        (RuleKind::Status, "status", &[Dead, Unclear]),
        (
            RuleKind::Reply,
            "reply",
            &[Dead, DeadAfterData, DeadDomain, Alive],
        ),
        (
            RuleKind::Step,
            "step",
            &[BeforeRecipient, AfterData, Remote],
        ),
        (RuleKind::Notice, "notice", &[Failed, Delayed, Delivered]),
        (RuleKind::Subject, "subject", &[AutoReply, PersonalReply]),
    ]
};
const MEANINGS: [(Meaning, &str); 13] = [
    (Meaning::Dead, "dead"),
    (Meaning::DeadAfterData, "dead_after_data"),
    (Meaning::DeadDomain, "dead_domain"),
    (Meaning::Unclear, "unclear"),
    (Meaning::Alive, "alive"),
    (Meaning::BeforeRecipient, "before_recipient"),
    (Meaning::AfterData, "after_data"),
    (Meaning::Remote, "remote"),
    (Meaning::Failed, "failed"),
    (Meaning::Delayed, "delayed"),
    (Meaning::Delivered, "delivered"),
    (Meaning::AutoReply, "auto_reply"),
    (Meaning::PersonalReply, "personal_reply"),
];

impl RuleKind {
    pub fn parse(name: &str) -> Option<Self> {
        let mut kinds = KINDS.iter();
        kinds.find(|kind| kind.1 == name).map(|kind| kind.0)
    }

    pub fn name(self) -> &'static str {
        let mut kinds = KINDS.iter();
        kinds.find(|kind| kind.0 == self).map_or("", |kind| kind.1)
    }

    /// What a rule of this kind may mean.
    pub(super) fn meanings(self) -> &'static [Meaning] {
        let mut kinds = KINDS.iter();
        kinds.find(|kind| kind.0 == self).map_or(&[], |kind| kind.2)
    }
}

impl Meaning {
    pub fn parse(name: &str) -> Option<Self> {
        let mut meanings = MEANINGS.iter();
        meanings.find(|of| of.1 == name).map(|of| of.0)
    }

    pub fn name(self) -> &'static str {
        let mut meanings = MEANINGS.iter();
        meanings.find(|of| of.0 == self).map_or("", |of| of.1)
    }
}

/// Why something is no rule.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RuleError {
    #[error("bounce rules of kind \"{0}\" do not exist")]
    Kind(String),
    #[error("a bounce rule of kind \"{kind}\" cannot mean \"{1}\"", kind = .0.name())]
    Meaning(RuleKind, String),
    #[error("\"{0}\" has no word to look for")]
    NoWord(String),
    #[error("\"{0}\" is no enhanced status code of a failure, such as 5.1.1 or 5.0.%")]
    Status(String),
}

impl RuleError {
    /// What would be one.
    pub fn hint(&self) -> String {
        match self {
            RuleError::Kind(_) => one_of(KINDS.iter().map(|(_, name, _)| *name)),
            RuleError::Meaning(kind, _) => {
                one_of(kind.meanings().iter().map(|meaning| meaning.name()))
            }
            RuleError::NoWord(_) => {
                "Write words that servers say; case, accents, punctuation, numbers and addresses do not count."
                    .to_owned()
            }
            RuleError::Status(_) => "Write 5.1.1 or 5.0.%: three numbers, the last may be %.".to_owned(),
        }
    }
}

fn one_of(names: impl Iterator<Item = &'static str>) -> String {
    let names: Vec<_> = names.collect();
    match &names[..] {
        [others @ .., last] if !others.is_empty() => {
            format!("It is {} or {last}.", others.join(", "))
        }
        _ => format!("It is {}.", names.concat()),
    }
}

/// One rule, as a row of a table holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule<'a> {
    pub kind: RuleKind,
    /// A status code, or words: case, accents, apostrophes, punctuation and numbers do not count, `%` stands for the rest
    /// of a word, or between words for up to some others of the same sentence.
    pub pattern: &'a str,
    pub meaning: Meaning,
}

impl<'a> Rule<'a> {
    /// Reads a row of a table.
    ///
    /// # Errors
    /// Names the word that means nothing. Whether the pattern is one shows in [`super::Rules::new`].
    pub fn parse(kind: &str, pattern: &'a str, meaning: &str) -> Result<Self, RuleError> {
        let kind = RuleKind::parse(kind).ok_or_else(|| RuleError::Kind(kind.to_owned()))?;
        let meaning =
            Meaning::parse(meaning).ok_or_else(|| RuleError::Meaning(kind, meaning.to_owned()))?;
        Ok(Rule {
            kind,
            pattern,
            meaning,
        })
    }
}
