//! The rules as they are shipped. A phrase stands here because a server, or a large provider, uses it for a whole kind of
//! refusals; what only one sample says belongs into the table of whoever met it.

mod alive;
mod dead;
mod other_languages;

use super::rule::{Meaning, Rule, RuleKind};

/// Kind, meaning, why, and what is looked for.
const RULES: &[(RuleKind, Meaning, &str, &[&str])] = &[
    // Mail to this address has no future: RFC 3463, RFC 7505 for 5.1.10, Exchange Online for 5.1.351. Not 5.1.7 and 5.1.8,
    // which are about the sender, nor 5.7: a policy is about us.
    (
        RuleKind::Status,
        Meaning::Dead,
        "No such mailbox or domain (RFC 3463, RFC 7505, Exchange Online)",
        &[
            "5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.1.351", "5.2.1",
        ],
    ),
    // 5.4.1 is what Exchange Online says of unknown recipients, 5.4.4 and 5.4.310 of names that the reporting server did
    // not find, 5.3.2 what RFC 7504 has for a host that takes no mail.
    (
        RuleKind::Status,
        Meaning::Unclear,
        "Said of many things: the words decide",
        &[
            "5.0.%", "5.1.0", "5.2.0", "5.3.0", "5.3.2", "5.4.0", "5.4.1", "5.4.4", "5.4.310",
            "5.5.%",
        ],
    ),
    (
        RuleKind::Reply,
        Meaning::Alive,
        "Too many, too fast",
        alive::RATE,
    ),
    (
        RuleKind::Reply,
        Meaning::Alive,
        "Blacklists, reputation, spam",
        alive::LISTED,
    ),
    (
        RuleKind::Reply,
        Meaning::Alive,
        "Full mailboxes and disks",
        alive::FULL,
    ),
    (
        RuleKind::Reply,
        Meaning::Alive,
        "The sender's address, domain or host",
        alive::SENDER,
    ),
    (
        RuleKind::Reply,
        Meaning::Alive,
        "The mail itself",
        alive::CONTENT,
    ),
    (RuleKind::Reply, Meaning::Alive, "The moment", alive::MOMENT),
    (
        RuleKind::Reply,
        Meaning::Alive,
        "Too many, too fast",
        other_languages::RATE,
    ),
    (
        RuleKind::Reply,
        Meaning::Alive,
        "Blacklists, reputation, spam",
        other_languages::LISTED,
    ),
    (
        RuleKind::Reply,
        Meaning::Alive,
        "Full mailboxes and disks",
        other_languages::FULL,
    ),
    (
        RuleKind::Reply,
        Meaning::Alive,
        "The sender's address, domain or host",
        other_languages::SENDER,
    ),
    (
        RuleKind::Reply,
        Meaning::Alive,
        "The mail itself",
        other_languages::CONTENT,
    ),
    (
        RuleKind::Reply,
        Meaning::Alive,
        "The moment",
        other_languages::MOMENT,
    ),
    (
        RuleKind::Reply,
        Meaning::Dead,
        "No such mailbox",
        dead::MAILBOX,
    ),
    (
        RuleKind::Reply,
        Meaning::Dead,
        "A mailbox that was closed",
        dead::GONE,
    ),
    (
        RuleKind::Reply,
        Meaning::Dead,
        "An address that takes no mail",
        dead::TAKES_NONE,
    ),
    (
        RuleKind::Reply,
        Meaning::DeadDomain,
        "No such domain, by who looked it up",
        dead::DOMAIN,
    ),
    (
        RuleKind::Reply,
        Meaning::Dead,
        "No such mailbox",
        other_languages::MAILBOX,
    ),
    // Yahoo and those that it serves say so in reply to the mail.
    (
        RuleKind::Reply,
        Meaning::DeadAfterData,
        "Yahoo and those that it serves, in reply to the mail",
        &["doesn't have a % account", "does not have a % account"],
    ),
    // Postfix, Exim, qmail, DragonFly and ourselves.
    (
        RuleKind::Step,
        Meaning::BeforeRecipient,
        "Postfix, Exim, qmail, DragonFly, and this mailer",
        &[
            "refused to talk to me",
            "initial connection",
            "reply to EHLO",
            "reply to HELO",
            "after EHLO",
            "after HELO",
            "reply to MAIL FROM",
            "after MAIL FROM",
            "our MAIL FROM",
            "MAIL FROM command",
            "but sender was rejected",
            "but greeting failed",
        ],
    ),
    (
        RuleKind::Step,
        Meaning::AfterData,
        "The server had the mail",
        &[
            "end of data",
            "final DATA",
            "failed after I sent the message",
            "TEXT command",
        ],
    ),
    (
        RuleKind::Step,
        Meaning::Remote,
        "Another server's words",
        &[
            "said",
            "remote mail server",
            "responded with",
            "server returned",
            "SMTP error from",
        ],
    ),
    (
        RuleKind::Notice,
        Meaning::Failed,
        "Subjects and beginnings of what mail servers write",
        NOTICE,
    ),
    (
        RuleKind::Notice,
        Meaning::Delayed,
        "The server goes on trying",
        &[
            "will be retried",
            "will keep trying",
            "will continue to try",
            "will retry",
            "has been delayed",
            "delivery delayed",
            "warning only",
            "not yet been delivered",
            "temporary failure report",
            "delivery status notification delay",
        ],
    ),
    (
        RuleKind::Notice,
        Meaning::Delivered,
        "The mail arrived",
        &[
            "notification success",
            "successful mail delivery",
            "successfully delivered",
            "delivered successfully",
            "mail was delivered",
            "message was delivered",
            "mail has been delivered",
            "message has been delivered",
        ],
    ),
    (
        RuleKind::Subject,
        Meaning::AutoReply,
        "What programs that answer for people begin with",
        AUTO_REPLY,
    ),
    (
        RuleKind::Subject,
        Meaning::PersonalReply,
        "What stands before the colon where people answer or forward",
        &[
            "re", "aw", "sv", "antw", "antwort", "vs", "ref", "rif", "r", "res", "odp", "ynt",
            "ha", "fw", "fwd", "wg", "tr", "rv", "enc", "vb", "doorst", "回复", "答复", "回覆",
            "转发", "轉寄", "返信", "转寄",
        ],
    ),
];

const NOTICE: &[&str] = &[
    "failure notice",
    "undeliver%",
    "non deliverable",
    "delivery status notification",
    "mail delivery status",
    "delivery failure",
    "delivery failed",
    "delivery has failed",
    "delivery problem",
    "delivery error%",
    "mail failure",
    "mail failed",
    "mail system error",
    "returned mail",
    "returning message to sender",
    "returned to sender",
    "could not be delivered",
    "couldn't be delivered",
    "did not reach",
    "unable to deliver",
    "wasn't able to deliver",
    "not delivered",
    // German, French, Spanish, Portuguese, Italian, Dutch, Swedish, Danish, Polish, Czech
    "unzustellbar%",
    "nicht zugestellt",
    "konnte nicht zugestellt",
    "non remis",
    "non délivré",
    "échec de la remise",
    "n'a pas pu être remis",
    "no se puede entregar",
    "no se ha podido entregar",
    "no se pudo entregar",
    "no entregado",
    "não entregue",
    "não foi possível entregar",
    "non recapitat%",
    "non recapitabile",
    "mancata consegna",
    "mancato recapito",
    "onbestelbaar",
    "kan niet worden bezorgd",
    "kunde inte levereras",
    "kunne ikke leveres",
    "niedostarczon%",
    "nedoručiteln%",
    // Russian, Chinese, Japanese
    "недоставлен%",
    "не доставлено",
    "не может быть доставлен%",
    "%退信%",
    "%无法投递%",
    "%無法投遞%",
    "%配信できません%",
    "%送信できません%",
    "%送信エラー%",
];

const AUTO_REPLY: &[&str] = &[
    "automatic reply",
    "automatic response",
    "auto reply",
    "autoreply",
    "auto response",
    "autoresponse",
    "auto % out of",
    "out of office",
    "out of the office",
    "ooo",
    "away from",
    "on vacation",
    "on holiday",
    "vacation",
    "automatische Antwort",
    "Abwesenheit%",
    "abwesend",
    "réponse automatique",
    "absence",
    "absent",
    "respuesta automática",
    "fuera de la oficina",
    "resposta automática",
    "fora do escritório",
    "risposta automatica",
    "fuori sede",
    "automatisch antwoord",
    "afwezig%",
    "autosvar",
    "automatiskt svar",
    "automatisk svar",
    "automaattinen vastaus",
    "odpowiedź automatyczna",
    "automatická odpověď",
    "otomatik yanıt",
    "автоответ",
    "автоматический ответ",
    "自动回复%",
    "自動回覆%",
    "自動応答%",
    "自動返信%",
    "자동 회신%",
];

/// Each rule, and why it is one.
pub(super) fn rules() -> impl Iterator<Item = (Rule<'static>, &'static str)> {
    RULES.iter().flat_map(|&(kind, meaning, note, patterns)| {
        patterns.iter().map(move |&pattern| {
            let rule = Rule {
                kind,
                pattern,
                meaning,
            };
            (rule, note)
        })
    })
}
