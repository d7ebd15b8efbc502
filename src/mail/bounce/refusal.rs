//! What a refusal says: that the mailbox does not exist, or something that may pass. The same judgement for a server's
//! reply to us, for what other servers report of one, and for notices in prose.

#[cfg(test)]
mod tests;

use super::rules::{Meaning, Rules};
use super::words::Words;

/// A server did not take a mail.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Refusal<'a> {
    /// SMTP reply code (RFC 5321, section 4.2), where it is known apart from the text.
    pub code: Option<u16>,
    /// Enhanced status code (RFC 3463), where it is known apart from the text.
    pub status: Option<&'a str>,
    /// What the server said.
    pub text: &'a str,
    /// What was written around it, such as the prose of a report: tells at which step of the dialogue it was said.
    pub around: &'a str,
}

impl Refusal<'_> {
    /// Whether the recipient's mailbox does not exist, so that no mail must go there again.
    ///
    /// Codes and words are read together, and where they contradict each other the harmless one wins: servers say 5.1.1 of
    /// people whose mailbox is full, and of senders whom they do not like. A code that is clear needs no words; without
    /// one the words decide, and where they do not, the mailbox lives.
    pub fn is_dead_mailbox(&self, rules: &Rules) -> bool {
        let codes = self.code.into_iter().chain(leading_code(self.text));
        if codes.into_iter().any(|code| code < 500) {
            return false;
        }
        let said = statuses(self.text);
        if self
            .status
            .into_iter()
            .chain(said.clone())
            .any(|status| rules.status(status).is_none())
        {
            return false;
        }
        let is_dead = |status| rules.status(status) == Some(Meaning::Dead);
        // Sendmail writes 5.1.1 and 5.1.3 where a server said 550 and 553 and no more, whatever for.
        let is_translated = leading_code(self.text).is_some() && said.clone().next().is_none();
        let is_clear =
            said.clone().any(is_dead) || !is_translated && self.status.is_some_and(is_dead);
        let words = Words::of(self.text);
        let around = Words::of(self.around);
        let step = |step| rules.step_is(&words, step) || rules.step_is(&around, step);
        if rules.reply_says(&words, Meaning::Alive) || step(Meaning::BeforeRecipient) {
            return false;
        }
        let says = |meaning| rules.reply_says(&words, meaning);
        let is_remote = || leading_code(self.text).is_some() || step(Meaning::Remote);
        is_clear
            || says(Meaning::DeadAfterData)
            || says(Meaning::Dead) && !step(Meaning::AfterData)
            || says(Meaning::DeadDomain) && !is_remote()
    }
}

/// All enhanced status codes of failures in a text, alone or as in `(#5.1.1)` and `550-5.1.1`.
pub(super) fn statuses(text: &str) -> impl Iterator<Item = &str> + Clone {
    text.split(|c: char| !(c.is_ascii_digit() || c == '.'))
        .map(|word| word.trim_matches('.'))
        .filter(|word| {
            let parts: Vec<&str> = word.split('.').collect();
            matches!(parts[..], ["4" | "5", subject, detail]
                if [subject, detail].iter().all(|part| (1..=3).contains(&part.len())))
        })
}

/// The first of them.
pub(super) fn find_status(text: &str) -> Option<String> {
    statuses(text).next().map(str::to_owned)
}

/// The reply code that a text begins with, or that stands behind the step which it answers, as in `RCPT TO: 550`.
pub(super) fn leading_code(text: &str) -> Option<u16> {
    let digits = |text: &str| {
        let (code, rest) = text.split_at_checked(3)?;
        let ends = !rest.starts_with(|c: char| c.is_alphanumeric() || c == '.');
        let code = code.parse().ok().filter(|code| (400..600).contains(code));
        code.filter(|_| ends)
    };
    let text = text.trim_start();
    digits(text).or_else(|| {
        let (step, reply) = text.split_once(": ")?;
        let is_step = step.len() < 16
            && step
                .bytes()
                .all(|byte| byte.is_ascii_alphabetic() || byte == b' ');
        digits(reply).filter(|_| is_step)
    })
}
