//! `--check`: tries everything that a mailer needs, and sends nothing.

use std::sync::Arc;

use super::address::Address;
use super::options::Options;
use super::session::{Absent, Identity, Session};
use super::settings::Answer;
use super::status::Shared;
use crate::delivery::probe;
use crate::program::report::Report;

/// Connects, registers under a name of its own so that a mailer at work is not disturbed, reads the settings, and says hello to each
/// SMTP server: EHLO, TLS and AUTH, no mail.
pub fn check(options: &Options) -> Report {
    let mut report = Report::default();
    let Some(settings) = report.note("options", options.settings()) else {
        return report;
    };
    let Some(address) = report.note("connection string", Address::parse(&settings.database)) else {
        return report;
    };
    let what = format!("connect to {}, version and role", address.name());
    let identity = Identity {
        name: format!("check-{}", settings.identity.instance.simple()),
        ..settings.identity
    };
    let mut session = match Session::new(address, identity, Arc::new(Shared::default())) {
        Ok(session) => session,
        Err(error) => {
            report.note("begin", Err::<(), _>(error));
            return report;
        }
    };
    let looked = session.look().map_err(Absent::into_text);
    if report.note(&what, looked).is_none() {
        return report;
    }
    let answer = session
        .ask(async |live| {
            let question = "select marketing_automation.mailer_settings()::text";
            live.client.query_one(question, &[]).await?.try_get(0)
        })
        .and_then(|text: String| Answer::parse(&text));
    let left = session.ask(async |live| {
        let statement = "select marketing_automation.mailer_unregister()";
        live.client.execute(statement, &[]).await
    });
    let Some(answer) = report.note("read the settings", answer) else {
        return report;
    };
    report.note("leave again", left);
    let found = answer.found(settings.secrets.as_deref());
    let Some(found) = report.note("armed to send", found.settings) else {
        return report;
    };
    let servers = match probe::servers(&found) {
        Ok(servers) => servers,
        Err(error) => {
            report.note("settings of mails", Err::<(), _>(error));
            return report;
        }
    };
    report.note("settings of mails", Ok::<_, String>(()));
    for (name, fault) in servers {
        let what = format!("SMTP server {name}: EHLO, TLS and AUTH");
        let said = match fault {
            Ok(server) => session.runtime.block_on(server.greet()),
            Err(fault) => Err(fault),
        };
        report.note(&what, said);
    }
    report
}
