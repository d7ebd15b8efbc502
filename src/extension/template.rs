//! Compiles templates when they are written, so that a mistake is the author's error and not a failed mail.

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use crate::email::template::MailTemplate;

#[pg_schema]
mod marketing_automation {
    use super::*;

    /// Raises with part, line and column unless the templates compile. Null parts are not looked at.
    #[pg_extern(sql = r#"
create function marketing_automation.check_templates(what text, sender text, subject text, body text) returns void
language c volatile parallel safe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function marketing_automation.check_templates(text, text, text, text) is
    'API: private. Raises with part, line and column unless the templates compile; what: whose they are';
"#)]
    fn check_templates(
        what: &str,
        sender: Option<&str>,
        subject: Option<&str>,
        body: Option<&str>,
    ) {
        if let Err(error) = MailTemplate::compile(
            sender,
            subject.unwrap_or_default(),
            body.unwrap_or_default(),
        ) {
            ErrorReport::new(
                PgSqlErrorCode::ERRCODE_SYNTAX_ERROR,
                format!("template of {what} does not compile"),
                "check_templates",
            )
            .set_detail(error.to_string())
            .set_hint(
                "Templates are minijinja (Jinja2): {{ record.column }}, {% if … %} … {% endif %}.",
            )
            .report(PgLogLevel::ERROR);
        }
    }
}
