//! `--check`: tries everything that the proxy needs, and changes nothing.

use super::database::{Database, Session};
use super::options::Options;
use super::spool::Spool;
use crate::program::report::Report;
use crate::secret_file;

/// Reads certificates, keys and tokens, tries the spool, connects, calls every SQL function with no hits or a token
/// that cannot be valid, and looks at the role's rights.
pub async fn check(options: &Options) -> Report {
    let mut report = Report::default();
    let Some(settings) = report.note("options", options.settings()) else {
        return report;
    };
    report
        .lines
        .push(format!("        would listen on {}", settings.listen));
    if let Some(spool) = &settings.spool {
        let what = format!("spool in {}", spool.directory.display());
        report.note(&what, Spool::try_out(spool));
    }
    for path in options.secret_files() {
        if let Ok(Some(mode)) = secret_file::too_open(path) {
            report.lines.push(format!(
                "warning {} has the mode {mode:04o}: it should be readable by the user of the proxy only, 0600, or 0640 if root owns it",
                path.display()
            ));
        }
    }
    if settings.providers.lacks_certificate() {
        report.lines.push(
            "warning without --ses-certificate nothing that Amazon SES tells is believed; the log says which certificate a message names"
                .into(),
        );
    }
    let Some(database) = report.note("connection string", Database::parse(&settings.database))
    else {
        return report;
    };
    let what = format!("connect to {} and find record_events", database.name());
    let Some(session) = report.note(&what, database.connect().await) else {
        return report;
    };
    check_functions(&session, &mut report).await;
    if settings.bounce_token.is_some() || settings.providers.any() {
        report.note("ingest_bounce", session.probe_bounces().await);
    }
    if session.is_superuser().await.unwrap_or(false) {
        report.lines.push(
            "warning the role is a superuser: use one that was granted what it needs and nothing else"
                .into(),
        );
    }
    report
}

async fn check_functions(session: &Session, report: &mut Report) {
    const NO_TOKEN: &str = "check";
    report.note("tracking_keys", session.keyring().await);
    report.note("record_events", session.probe().await);
    report.note("unsubscribe_page", session.subscription(NO_TOKEN).await);
    report.note("page_sources", session.page_sources().await);
    report.note("mail_by_token", session.mail(NO_TOKEN).await);
    report.note(
        "unsubscribe_by_token",
        session.unsubscribe(NO_TOKEN, false, None).await,
    );
    report.note(
        "resubscribe_by_token",
        session.resubscribe(NO_TOKEN, None).await,
    );
}
