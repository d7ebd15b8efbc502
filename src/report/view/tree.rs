//! The tree of activities: a bar for each mail, all on one scale.

use serde::Serialize;

use super::parts::Figure;
use super::words::Words;
use crate::report::chart::{Bar, nested};
use crate::report::data::Mail;

/// Deeper ones are not moved further in: a phone has no room.
const DEEPEST: u32 = 6;

#[derive(Debug, Serialize)]
pub(super) struct MailView {
    name: String,
    level: u32,
    indent: u32,
    /// What it waits for.
    when: String,
    sends: bool,
    bars: Vec<Bar>,
    figures: Vec<Figure>,
    /// The figures in one sentence, for who does not see the bar.
    described: String,
}

pub(super) fn view(words: &Words, mails: &[Mail]) -> Vec<MailView> {
    let most = mails.iter().map(|mail| mail.sent).max().unwrap_or_default();
    mails.iter().map(|mail| one(words, mail, most)).collect()
}

fn one(words: &Words, mail: &Mail, most: i64) -> MailView {
    let text = words.text;
    let mut figures = match mail.sends {
        true => vec![
            words.figure("sent", text.sent, mail.sent),
            words.share("opened", text.opened, mail.opened, mail.sent),
            words.share("clicked", text.clicked, mail.clicked, mail.sent),
            words.share("converted", text.converted, mail.conversions, mail.sent),
        ],
        // A variant is no activity that runs: what came of it stands in the comparison.
        false if mail.on_event.as_deref() == Some("variant") => Vec::new(),
        false => vec![words.figure("", text.done, mail.done)],
    };
    figures.extend(mail.value.as_deref().map(|value| Figure {
        class: "",
        label: text.value,
        value: words.decimal(value),
    }));
    // What went otherwise, where something did.
    let rest = [
        (text.returned, mail.returned),
        (text.unsubscribed, mail.unsubscribed),
        (text.complaints, mail.complaints),
        (text.waiting, mail.waiting.unwrap_or_default()),
        (text.under_way, mail.under_way),
        (text.skipped, mail.skipped),
        (text.cancelled, mail.cancelled),
        (text.not_sent, mail.not_sent),
        (text.failed, mail.failed),
    ];
    figures.extend(
        rest.into_iter()
            .filter(|(_, number)| *number > 0)
            .map(|(label, number)| words.figure("", label, number)),
    );
    let described: Vec<String> = figures
        .iter()
        .map(|figure| format!("{}: {}", figure.label, figure.value))
        .collect();
    MailView {
        name: mail.name.clone(),
        level: mail.depth,
        indent: mail.depth.clamp(1, DEEPEST),
        when: when(words, mail),
        sends: mail.sends,
        bars: nested(
            &[
                ("sent", mail.sent),
                ("opened", mail.opened),
                ("clicked", mail.clicked),
                ("converted", mail.conversions),
            ],
            most,
        ),
        figures,
        described: described.join("; "),
    }
}

/// After which activity it comes, on what event, and when.
fn when(words: &Words, mail: &Mail) -> String {
    let text = words.text;
    if let (Some("variant"), Some(parent)) = (mail.on_event.as_deref(), mail.parent.as_deref()) {
        return words.fill(text.variant_of, &[parent]);
    }
    let event = mail.on_event.as_deref().map(|event| match event {
        "email_opened" => text.if_opened.to_owned(),
        "email_not_opened" => text.if_not_opened.to_owned(),
        "email_clicked" => text.if_clicked.to_owned(),
        "email_not_clicked" => text.if_not_clicked.to_owned(),
        "email_bounced" => text.if_returned.to_owned(),
        "email_not_bounced" => text.if_not_returned.to_owned(),
        "condition_not_met" => text.if_not_met.to_owned(),
        "call_failed" => text.if_call_failed.to_owned(),
        "webhook_delivered" => text.if_webhook_delivered.to_owned(),
        "webhook_failed" => text.if_webhook_failed.to_owned(),
        other => other.to_owned(),
    });
    let parts = [
        mail.parent
            .as_deref()
            .map(|parent| words.fill(text.after, &[parent])),
        event,
        mail.delay
            .as_deref()
            .map(|delay| words.fill(text.later, &[&words.interval(delay)])),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    parts.join(", ")
}
