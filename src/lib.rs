//! `marketing_automation`: marketing campaigns inside the PostgreSQL database that already holds the customers.
//!
//! ```text
//! enroll ──► record + waiting_activity ──► process_due ──► outbox ──► mailer worker ──► SMTP ──► recipient
//!                      ▲                                               │ (children of a mail start      │
//!                      │                                               ▼  when the server took it)      ▼
//!                      └─ children ◄── apply_events ◄── record_events ◄── marketing-tracking-proxy ◄── opens, clicks
//! ```
//!
//! | step | where |
//! | --- | --- |
//! | define models, scenarios, activities | `sql/schema/020_definitions.sql`, `110_validate.sql` to `120_define.sql` |
//! | run what users wrote as its owner | `src/extension/owner.rs`, `expression.rs` |
//! | enroll, process | `sql/schema/130_enroll.sql`, `140_process.sql` |
//! | claim, render, send, record | `src/extension/mailer.rs`, `sql/schema/160_mailer.sql` |
//! | who may send, what must not leave, limits | `sql/schema/161_arming.sql` to `166_limits.sql`, `168_servers.sql`, `src/extension/revocation.rs` |
//! | templates, HTML, MIME, DKIM, SMTP | `src/email` |
//! | tokens and URLs | `src/tracking` |
//! | opens, clicks, unsubscribes over HTTP | `src/proxy`, `sql/schema/150_events.sql`, `155_unsubscribe.sql` |
//! | apply them, with consent; tell robots from people | `sql/schema/147_consent.sql`, `148_apply.sql`, `152_robots.sql`, `src/extension/mailer/inbox.rs` |
//! | what comes back by mail | `sql/schema/167_bounces.sql`, `src/email/bounce.rs` |
//! | counts for reports, kept by the statements that change the history | `sql/schema/035_tallies.sql` |
//! | pg_cron, trying mails out, reports, rights | `sql/schema/170_schedule.sql`, `175_preview.sql`, `180_report.sql` to `186_simulate.sql`, `190_access.sql` |
//!
//! `email` and `tracking` are pure: they build and are tested without PostgreSQL. The extension is behind the features
//! `pg15` … `pg18`, the proxy behind `proxy`.

pub mod mail;
pub mod secret_file;
pub mod smtp;
pub mod tracking;

#[cfg(feature = "extension")]
mod extension;

#[cfg(feature = "proxy")]
pub mod proxy;

#[cfg(feature = "extension")]
pgrx::pg_module_magic!(name, version);

/// The SQL of the extension, in the order in which it runs.
#[cfg(feature = "extension")]
mod schema {
    use pgrx::prelude::*;

    extension_sql_file!("../sql/schema/010_schema.sql", name = "schema", bootstrap);
    extension_sql_file!(
        "../sql/schema/020_definitions.sql",
        name = "definitions",
        requires = ["schema"]
    );
    extension_sql_file!(
        "../sql/schema/025_snippets.sql",
        name = "snippets",
        requires = ["definitions"]
    );
    extension_sql_file!(
        "../sql/schema/030_records.sql",
        name = "records",
        requires = ["snippets"]
    );
    extension_sql_file!(
        "../sql/schema/035_tallies.sql",
        name = "tallies",
        requires = ["records"]
    );
    extension_sql_file!(
        "../sql/schema/040_messages.sql",
        name = "messages",
        requires = ["tallies"]
    );
    extension_sql_file!(
        "../sql/schema/045_delivery.sql",
        name = "delivery",
        requires = ["messages"]
    );
    extension_sql_file!(
        "../sql/schema/050_events.sql",
        name = "events",
        requires = ["delivery"]
    );
    extension_sql_file!(
        "../sql/schema/055_tracking.sql",
        name = "tracking",
        requires = ["events"]
    );
    extension_sql_file!(
        "../sql/schema/110_validate.sql",
        name = "validate",
        requires = [
            "tracking",
            "query_as_owner",
            // The functions in Rust that SQL calls.
            marketing_automation::address_domain,
            marketing_automation::check_smtp_url,
            marketing_automation::parse_bounce,
            marketing_automation::address_hash,
            marketing_automation::plan_as_owner,
            marketing_automation::check_condition,
            marketing_automation::check_expression,
            marketing_automation::check_templates,
            marketing_automation::check_page,
            marketing_automation::sign_token,
            marketing_automation::verify_token,
            marketing_automation::verify_tokens,
            marketing_automation::sign_return_path,
            marketing_automation::verify_return_path,
            marketing_automation::new_record_uuid,
            marketing_automation::nearest_name,
            marketing_automation::setting,
            marketing_automation::notify_mailer,
            marketing_automation::revoke_claims_of,
            marketing_automation::queue_cursor,
            marketing_automation::set_queue_cursor,
            marketing_automation::this_data_directory,
            marketing_automation::worker_status
        ]
    );
    extension_sql_file!(
        "../sql/schema/115_validate_tree.sql",
        name = "validate_tree",
        requires = ["validate"]
    );
    extension_sql_file!(
        "../sql/schema/117_validate_snippets.sql",
        name = "validate_snippets",
        requires = [
            "validate_tree",
            marketing_automation::check_snippet,
            marketing_automation::used_snippets,
            marketing_automation::snippet_fault
        ]
    );
    extension_sql_file!(
        "../sql/schema/120_define.sql",
        name = "define",
        requires = ["validate_snippets"]
    );
    extension_sql_file!(
        "../sql/schema/130_enroll.sql",
        name = "enroll",
        requires = ["define"]
    );
    extension_sql_file!(
        "../sql/schema/140_process.sql",
        name = "process",
        requires = ["enroll"]
    );
    extension_sql_file!(
        "../sql/schema/147_consent.sql",
        name = "consent",
        requires = ["process"]
    );
    extension_sql_file!(
        "../sql/schema/148_apply.sql",
        name = "apply",
        requires = ["consent"]
    );
    extension_sql_file!(
        "../sql/schema/145_conversions.sql",
        name = "conversions",
        requires = ["apply"]
    );
    extension_sql_file!(
        "../sql/schema/150_events.sql",
        name = "record_events",
        requires = ["conversions"]
    );
    extension_sql_file!(
        "../sql/schema/152_robots.sql",
        name = "robots",
        requires = ["record_events"]
    );
    extension_sql_file!(
        "../sql/schema/155_unsubscribe.sql",
        name = "unsubscribe",
        requires = ["robots"]
    );
    extension_sql_file!(
        "../sql/schema/160_mailer.sql",
        name = "mailer",
        requires = ["unsubscribe"]
    );
    extension_sql_file!(
        "../sql/schema/161_arming.sql",
        name = "arming",
        requires = ["mailer"]
    );
    extension_sql_file!(
        "../sql/schema/162_revocation.sql",
        name = "revocation",
        requires = ["arming"]
    );
    extension_sql_file!(
        "../sql/schema/164_retention.sql",
        name = "retention",
        requires = ["revocation"]
    );
    extension_sql_file!(
        "../sql/schema/165_suppression.sql",
        name = "suppression",
        requires = ["retention"]
    );
    extension_sql_file!(
        "../sql/schema/166_limits.sql",
        name = "limits",
        requires = ["suppression"]
    );
    extension_sql_file!(
        "../sql/schema/167_bounces.sql",
        name = "bounces",
        requires = ["limits"]
    );
    extension_sql_file!(
        "../sql/schema/168_servers.sql",
        name = "servers",
        requires = ["bounces"]
    );
    extension_sql_file!(
        "../sql/schema/170_schedule.sql",
        name = "schedule",
        requires = ["servers"]
    );
    extension_sql_file!(
        "../sql/schema/175_preview.sql",
        name = "preview",
        requires = [
            "schedule",
            marketing_automation::check_address,
            marketing_automation::render_preview
        ]
    );
    extension_sql_file!(
        "../sql/schema/180_report.sql",
        name = "report",
        requires = ["preview"]
    );
    extension_sql_file!(
        "../sql/schema/182_report_periods.sql",
        name = "report_periods",
        requires = ["report"]
    );
    extension_sql_file!(
        "../sql/schema/184_explain.sql",
        name = "explain",
        requires = ["report_periods"]
    );
    extension_sql_file!(
        "../sql/schema/186_simulate.sql",
        name = "simulate",
        requires = ["explain"]
    );
    extension_sql_file!("../sql/schema/190_access.sql", name = "access", finalize);
}

/// How `cargo pgrx test` starts its server.
#[cfg(all(test, feature = "extension"))]
pub mod pg_test {
    pub fn setup(_options: Vec<&str>) {}

    #[must_use]
    pub fn postgresql_conf_options() -> Vec<&'static str> {
        vec!["shared_preload_libraries = 'marketing_automation'"]
    }
}
