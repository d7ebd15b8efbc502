use super::super::rules::{Rule, RuleKind};
use super::*;

fn is_dead(status: Option<&str>, text: &str) -> bool {
    let refusal = Refusal {
        status,
        text,
        ..Refusal::default()
    };
    refusal.is_dead_mailbox(Rules::shipped())
}

#[test]
fn only_a_mailbox_that_does_not_exist_is_dead() {
    let dead = [
        (Some("5.1.1"), "550 5.1.1 whatever"),
        (Some("5.1.1"), ""),
        (Some("5.1.1"), "550 <ada@example.org>: User unknown"),
        (Some("5.1.10"), "RESOLVER.ADR.RecipientNotFound"),
        (
            Some("5.2.1"),
            "The email account that you tried to reach is disabled.",
        ),
        (None, "550 No such user here"),
        (
            None,
            "550 <ada@example.org>: Recipient address rejected: User unknown in virtual mailbox table",
        ),
        (
            Some("5.0.0"),
            "554 delivery error: dd This user doesn't have a yahoo.com account",
        ),
        // Codes that say nothing, and words that do.
        (
            Some("5.3.0"),
            "553 5.3.0 <ada@example.org>... No such user here",
        ),
        (
            Some("5.1.351"),
            "550 5.1.351 Remote server returned unknown recipient -> 550 gone",
        ),
        (
            Some("5.4.1"),
            "550 5.4.1 [ada@example.org]: Recipient address rejected: Access denied",
        ),
        (
            None,
            "554 5.0.0 the mailbox ada does not exist at this site",
        ),
        (Some("5.5.0"), "550 5.5.0 Adresse destinataire invalide."),
        (Some("5.0.0"), "550 Esta conta de e-mail não existe"),
        (Some("5.0.0"), "550 该用户不存在"),
        (Some("5.0.0"), "550 不存在该收件人"),
        (Some("5.0.0"), "550 該当するユーザーは見つかりません"),
        (Some("5.0.0"), "550 해당 사용자가 없습니다"),
        (Some("5.0.0"), "550 Der Empfänger ist unbekannt"),
        (Some("5.0.0"), "550 There is no one at this address"),
        (Some("5.0.0"), "550 Account ada@example.org is not active"),
        (
            Some("5.4.310"),
            "550 5.4.310 DNS domain nosuch.example does not exist [Message=InfoDomainNonexistent]",
        ),
        // Who asked the name servers.
        (
            Some("5.4.4"),
            "Sorry, I couldn't find a mail exchanger or IP address. (#5.4.4)",
        ),
        (Some("5.0.0"), "Domain shop.example does not exist"),
        (Some("5.3.2"), "521 5.3.2 this host does not accept mail"),
        // Words of the server's own name and of the recipient's are no reason.
        (
            Some("5.1.1"),
            "host antispam.example[192.0.2.7] said: 550 5.1.1 <full.quota@example.org>: gone",
        ),
    ];
    let alive = [
        (Some("5.7.1"), "550 5.7.1 no such user, or so"),
        (Some("5.7.26"), "unauthenticated mail: user unknown"),
        (Some("5.2.2"), "mailbox full"),
        (Some("5.3.4"), "message too big"),
        (Some("5.1.8"), "Sender address rejected: Domain not found"),
        (Some("4.4.1"), "connection timed out"),
        (
            Some("5.0.0"),
            "554 Message rejected as spam: mailbox unavailable",
        ),
        (
            None,
            "550 Requested action not taken: mailbox unavailable. Reject due to SPF policy",
        ),
        (None, "554 5.x.x what"),
        (None, "552 over quota: user unknown"),
        // The same in other languages, and about the sender.
        (Some("5.1.1"), "550 5.1.1 Das Postfach ist überfüllt"),
        (Some("5.1.1"), "550 5.1.1 ящик переполнен"),
        (Some("5.1.1"), "550 5.1.1 用户邮箱已满"),
        (Some("5.1.1"), "550 5.1.1 受信箱がいっぱいです"),
        (Some("5.1.1"), "550 5.1.1 Votre serveur est sur liste noire"),
        (Some("5.1.1"), "550 5.1.1 Ihre IP-Adresse ist gesperrt"),
        (Some("5.1.1"), "550 5.1.1 demasiados mensajes por hora"),
        (
            Some("5.0.0"),
            "550 trop de connexions : utilisateur inconnu",
        ),
        (Some("5.1.1"), "550 5.1.1 Absender unbekannt"),
        (Some("5.1.1"), "550 5.1.1 remitente desconocido"),
        (Some("5.1.1"), "550 5.1.1 送信者が存在しません"),
        // RFC 3463: a host that is shutting down says so.
        (
            Some("5.3.2"),
            "554 5.3.2 System not accepting network messages",
        ),
        (
            Some("5.1.0"),
            "<a@b.example>: Sender address rejected: unknown user",
        ),
        // RFC 5321 has one text for what is gone and what is refused.
        (
            Some("5.5.0"),
            "550 5.5.0 Requested action not taken: mailbox unavailable",
        ),
        // Our own name server may be the one that is wrong.
        (
            Some("5.4.4"),
            "Host or domain name not found. Name service error for name=exmaple.org",
        ),
        (None, ""),
    ];
    for (status, text) in dead {
        assert!(is_dead(status, text), "{status:?} {text}");
    }
    for (status, text) in alive {
        assert!(!is_dead(status, text), "{status:?} {text}");
    }
}

#[test]
fn of_a_code_and_words_that_contradict_each_other_the_harmless_one_wins() {
    for (status, text) in [
        (
            "5.2.1",
            "550-5.2.1 The user you write to gets mail at a rate that\r\n550-5.2.1 is too high",
        ),
        (
            "5.1.1",
            "550 5.1.1 <ada@example.org> too many messages from 203.0.113.9 this hour",
        ),
        ("5.1.1", "550 5.7.1 your network is not welcome"),
        ("5.1.1", "552 5.2.2 no room"),
        ("5.1.1", "550 5.1.1 ada's mailbox is full"),
        ("5.1.3", "553 see https://dnsbl.example/?ip=203.0.113.9"),
        ("5.1.1", "550 5.1.1 203.0.113.9 is blacklisted"),
        ("5.0.0", "550 PTR record of 203.0.113.9 does not exist"),
        ("5.1.1", "550 no reverse DNS for your host"),
        (
            "5.1.1",
            "553 5.1.1 Domain of sender address news@shop.example does not exist",
        ),
        ("5.1.2", "550 the sender's domain is unknown"),
        ("5.1.1", "450 4.1.1 unverified address: user unknown"),
        ("5.1.1", "450 user unknown"),
        // What the reporting server makes of a plain code.
        ("5.1.1", "550 we do not like you"),
        (
            "5.0.0",
            "The account or domain may not exist, or something else is wrong",
        ),
    ] {
        assert!(!is_dead(Some(status), text), "{status} {text}");
    }
}

#[test]
fn replies_of_large_providers_and_common_servers_are_understood() {
    for text in [
        "550-5.1.1 The email account that you tried to reach does not exist. Please try\n\
         550-5.1.1 double-checking the recipient's email address for typos or\n550 5.1.1 unnecessary spaces.",
        "550 Message was not accepted -- invalid mailbox. Local mailbox ada@example.org is unavailable: user not found",
        "550 Mailbox not found. http://mail.example/cgi-bin/help?no=1000728",
        "554 30 Sorry, your message to ada@example.org cannot be delivered. This mailbox is disabled (554.30).",
        "550 5.1.1 Not our Customer",
        "550 <ada@example.org>, Recipient unknown",
        "550 Invalid recipient <ada@example.org> (#5.1.1)",
        "550 No Such User Here",
        "550 5.0.0 Utente sconosciuto",
        "550 5.1.1 <ada@example.org>: user does not exist",
        "550 #5.1.0 Address rejected: User unknown in relay recipient table",
        "5.1.0 - Unknown address error 550-'5.1.1 no such recipient' (delivery attempts: 0)",
        "User ada (ada@example.org) not listed in Domino Directory",
        "The e-mail account does not exist at the organization this message was sent to.",
    ] {
        assert!(is_dead(None, text), "{text}");
    }
    for text in [
        "554-mx.example (mxe112) Nemesis ESMTP Service not available\n554-No SMTP service\n554 see our page",
        "5.1.0 - Unknown address error 550-'we do not want this' (delivery attempts: 0)",
        "550 5.7.1 Unfortunately, messages from [203.0.113.9] weren't sent, your network is on our block list (S3140)",
        "550 this host does not accept mail from <bounces@shop.example>",
        // The recipient's server does not speak of its own domain.
        "550 Domain shop.example does not exist",
        "550 unknown host [203.0.113.9]",
        "host mx.example[192.0.2.7] said: 550 no such domain",
        "550 Verification failed for <bounces@shop.example>: no such user",
        "550 the sender's account does not exist",
        "550 user unknown, or your IP is on a list",
        "550 5.1.1 We do not relay for ada",
        "550-5.1.1 we do not have you on our list: only members, sending is restricted",
        "552 5.1.1 no room for you: 100 messages are the daily limit",
    ] {
        assert!(!is_dead(None, text), "{text}");
    }
}

#[test]
fn the_step_of_the_dialogue_counts() {
    let user_unknown = "550 User unknown";
    for (around, text, dead) in [
        ("(in reply to RCPT TO command)", user_unknown, true),
        // Some say so of mails that they do not like; of what says more they are believed.
        (
            "host mx.example[192.0.2.7] said: 550 User unknown (in reply to end of DATA command)",
            user_unknown,
            false,
        ),
        (
            "(in reply to end of DATA command)",
            "550 5.1.1 User unknown",
            true,
        ),
        (
            "(in reply to end of DATA command)",
            "554 dd This user doesn't have a yahoo.com account",
            true,
        ),
        (
            "SMTP error from remote mail server after MAIL FROM:<b@shop.example>",
            "550 No such domain",
            false,
        ),
        (
            "(in reply to MAIL FROM command)",
            "550 5.1.1 User unknown",
            false,
        ),
        // Our own client.
        ("", "RCPT TO: 550 User unknown", true),
        ("", "end of data: 550 User unknown", false),
        ("", "RCPT TO: 450 User unknown", false),
    ] {
        let refusal = Refusal {
            text,
            around,
            ..Refusal::default()
        };
        assert_eq!(
            refusal.is_dead_mailbox(Rules::shipped()),
            dead,
            "{around} {text}"
        );
    }
    let refusal = Refusal {
        code: Some(450),
        text: user_unknown,
        ..Refusal::default()
    };
    assert!(!refusal.is_dead_mailbox(Rules::shipped()));
}

#[test]
fn rules_can_be_added_and_left_out() {
    let text = "550 Der Mieter ist ausgezogen";
    let gone = Rule {
        kind: RuleKind::Reply,
        pattern: "mieter % ausgezogen",
        meaning: Meaning::Dead,
    };
    let shipped = || Rules::shipped_rows().map(|(rule, _)| rule);
    let is_dead = |rules: &Rules, text| {
        let refusal = Refusal {
            text,
            ..Refusal::default()
        };
        refusal.is_dead_mailbox(rules)
    };
    assert!(!is_dead(Rules::shipped(), text));
    let more = Rules::new(shipped().chain([gone])).unwrap();
    assert!(is_dead(&more, text));
    assert!(!is_dead(
        &more,
        "550 Der Mieter ist ausgezogen, mailbox full"
    ));
    let less = shipped().filter(|rule| rule.pattern != "user unknown");
    let less = Rules::new(less).unwrap();
    assert!(is_dead(Rules::shipped(), "550 User unknown"));
    assert!(!is_dead(&less, "550 User unknown"));
}

#[test]
fn a_reply_code_is_told_from_other_numbers() {
    for (text, code) in [
        ("550 5.1.1 gone", Some(550)),
        ("550-gone", Some(550)),
        (" 451", Some(451)),
        ("RCPT TO: 552 full", Some(552)),
        ("5501 gone", None),
        ("550.1 gone", None),
        ("250 fine", None),
        ("see also the following: 550 gone", None),
        ("55é", None),
        ("", None),
    ] {
        assert_eq!(leading_code(text), code, "{text}");
    }
}

#[test]
fn a_status_is_told_from_other_numbers() {
    for (text, status) in [
        ("5.1.1", Some("5.1.1")),
        (
            "Sorry, no mailbox here by that name. (#5.1.1)",
            Some("5.1.1"),
        ),
        ("smtp; 550-5.1.10 gone.", Some("5.1.10")),
        ("5.1.1.", Some("5.1.1")),
        ("192.0.2.5 said 5.1", None),
        ("10.5.1.1 refused", None),
        ("since 2.5.1", None),
        ("5.1.1234", None),
        ("5..1", None),
        ("", None),
    ] {
        assert_eq!(find_status(text).as_deref(), status, "{text}");
    }
}
