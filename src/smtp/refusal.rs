//! What a server's refusal is about, decided in one place: retry, circuit breaker and suppression hang on it.
//!
//! A reply is read with the step that it answers. Codes that are about one thing only decide (RFC 5321, section 4.2; RFC 3463,
//! section 3; RFC 7372); servers also refuse late, as Postfix does with `smtpd_delay_reject`: then words say whom they mean. What can
//! be about a sender or about all of us alike is taken to be about the sender: others find out by themselves.

/// A step of the dialogue, as replies answer it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Greeting, EHLO, STARTTLS, AUTH.
    Opening,
    MailFrom,
    RcptTo,
    Data,
    /// The end of the content.
    EndOfData,
}

impl Step {
    /// What the step is called before its reply.
    pub(super) fn name(self) -> &'static str {
        match self {
            Step::Opening => "EHLO",
            Step::MailFrom => "MAIL FROM",
            Step::RcptTo => "RCPT TO",
            Step::Data => "DATA",
            Step::EndOfData => "end of data",
        }
    }
}

/// What a refusal is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// This mail: its size, its content.
    Mail,
    /// This recipient, dead or alive.
    Recipient,
    /// All recipients of this domain, maybe: its rate, its load, its policy.
    RecipientDomain,
    /// The sender's address: other senders' mails may pass.
    Sender,
    /// This connection: another one may do.
    Session,
    /// The server takes nothing from us now, whoever sends what to whom.
    Server,
}

/// What a refusal means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// What was refused.
    pub step: Step,
    pub scope: Scope,
    /// Whether the mail must not be tried again.
    pub is_final: bool,
}

/// Judges a reply of 4yz or 5yz. `text`: what stands after the code, or holds it.
pub fn judge(step: Step, code: u16, text: &str) -> Verdict {
    let reply = Reply {
        code,
        status: status(code, text),
        words: text.to_lowercase(),
    };
    let scope = reply.scope(step);
    // Of an address or a server somebody will mend what is wrong: its mails wait. DATA is refused with the recipient accepted and the
    // content unseen.
    let may_be_final = matches!(
        scope,
        Scope::Mail | Scope::Recipient | Scope::RecipientDomain
    );
    Verdict {
        step,
        scope,
        is_final: may_be_final && code >= 500 && step != Step::Data,
    }
}

struct Reply {
    code: u16,
    /// Subject and detail of the enhanced status code.
    status: Option<(u16, u16)>,
    /// In lower case.
    words: String,
}

impl Reply {
    fn scope(&self, step: Step) -> Scope {
        if step == Step::Opening || self.is_about_us() {
            Scope::Server
        } else if self.is_about_session() {
            Scope::Session
        } else if self.is_about_size() {
            Scope::Mail
        } else if self.is_about_sender() {
            Scope::Sender
        } else if step == Step::MailFrom {
            match self.status {
                // The mail system, the network.
                Some((3 | 4, _)) => Scope::Server,
                _ => Scope::Sender,
            }
        } else if self.code < 500 {
            match self.is_about_recipient() {
                true => Scope::Recipient,
                false => Scope::RecipientDomain,
            }
        } else {
            match (step, self.status) {
                (Step::RcptTo, Some((7, _))) => Scope::RecipientDomain,
                (Step::RcptTo, _) => Scope::Recipient,
                _ => Scope::Mail,
            }
        }
    }

    /// Authentication, TLS, the command itself, our address and name: the same for every mail.
    fn is_about_us(&self) -> bool {
        matches!(self.code, 500 | 502 | 530 | 534 | 535 | 538)
            || self.code == 454 && self.status.is_none_or(|(subject, _)| subject == 7)
            || self.status == Some((7, 25))
            || self.says(&[
                "client host",
                "helo command rejected",
                "ehlo command rejected",
                "cannot find your hostname",
                "cannot find your reverse",
                "authentication required",
                "authentication is required",
                "must authenticate",
                "must issue a starttls",
                // A relay about our account with it.
                "sending paused",
                "sending is paused",
                "sending limit exceeded",
                "sending quota exceeded",
                "relay limit exceeded",
                "credits exceeded",
            ])
    }

    /// 421 ends the session (RFC 5321, section 3.8); 503 says that client and server have lost each other.
    fn is_about_session(&self) -> bool {
        matches!(self.code, 421 | 503)
            || self.code < 500
                && self.says(&[
                    "per session",
                    "this session",
                    "per connection",
                    "this connection",
                    "on one connection",
                ])
    }

    fn is_about_size(&self) -> bool {
        self.status == Some((3, 4))
            || self.code == 552
                && self.status.is_none_or(|status| status == (2, 3))
                && self.says(&["size", "too big", "too large"])
    }

    fn is_about_sender(&self) -> bool {
        matches!(self.status, Some((1, 7 | 8)))
            || self.says(&[
                "sender address rejected",
                "sender rejected",
                "sender denied",
                "sender verify failed",
                "sender is not valid",
                "sender not valid",
                "sender unknown",
                "unknown sender",
                "not owned by user",
                "to send as",
                "cannot send as",
                "sendasdenied",
                "sender address is not",
                "invalid sender",
                "envelope sender",
                "badmailfrom",
                "from address not verified",
                "address is not verified",
                "verified sender",
                "sender signature",
                "unconfigured sending domain",
            ])
    }

    /// What passes for this recipient alone: his mailbox, or greylisting, which looks at each pair of addresses.
    fn is_about_recipient(&self) -> bool {
        matches!(self.status, Some((1 | 2, _)))
            || self.says(&[
                "greylist",
                "graylist",
                "grey list",
                "gray list",
                "grey-list",
                "mailbox",
                "quota",
            ])
    }

    fn says(&self, phrases: &[&str]) -> bool {
        phrases.iter().any(|phrase| self.words.contains(phrase))
    }
}

/// Subject and detail of the first enhanced status code of the code's own class (RFC 2034, section 4).
fn status(code: u16, text: &str) -> Option<(u16, u16)> {
    let class = (code / 100).to_string();
    text.split(|c: char| !(c.is_ascii_digit() || c == '.'))
        .find_map(|word| {
            let mut parts = word.trim_matches('.').split('.');
            let own_class = parts.next()? == class;
            let number = |part: Option<&str>| part.filter(|part| part.len() <= 3)?.parse().ok();
            let status = (number(parts.next())?, number(parts.next())?);
            (own_class && parts.next().is_none()).then_some(status)
        })
}

#[cfg(test)]
mod tests;
