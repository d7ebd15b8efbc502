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
//! | define models, scenarios, activities; check what is written | `sql/tables/definitions.sql`, `sql/functions/define.sql`, `guard.sql`, `models.sql`, `scenarios.sql`, `activities.sql`, `snippets.sql` |
//! | run what users wrote as its owner | `src/extension/run_as_owner.rs`, `functions/expression.rs` |
//! | enroll, process | `sql/tables/journeys.sql`, `sql/functions/enroll.sql`, `enroll_rows.sql`, `process.sql`, `process_records.sql` |
//! | claim, render, send, record | `sql/tables/mail.sql`, `sql/functions/mailer.sql`, `claim.sql`, `complete.sql`, `src/delivery`, `src/extension/worker` |
//! | the same from another host | `sql/functions/mailer_sessions.sql`, `mailers.sql`, `src/mailer` |
//! | who may send, what must not leave, limits | `sql/tables/delivery.sql`, `sql/functions/arming.sql`, `revocation.sql`, `suppression.sql`, `limits.sql`, `servers.sql` |
//! | templates, HTML, MIME, DKIM | `src/mail` |
//! | SMTP | `src/smtp` |
//! | webhooks | `sql/tables/webhooks.sql`, `sql/functions/webhooks.sql`, `src/webhook` |
//! | tokens and URLs | `sql/tables/tracking.sql`, `sql/functions/tracking_keys.sql`, `src/tracking` |
//! | opens, clicks, unsubscribes over HTTP | `src/proxy`, `sql/functions/record_events.sql`, `unsubscribe.sql`, `pages.sql` |
//! | apply them, with consent; tell robots from people | `sql/tables/events.sql`, `sql/functions/apply.sql`, `consent.sql`, `robots.sql` |
//! | what comes back by mail, and what providers tell of it | `sql/functions/bounces.sql`, `src/mail/bounce.rs`, `src/mail/provider.rs` |
//! | counts for reports, kept by the statements that change the history | `sql/tables/counters.sql`, `sql/functions/counters.sql` |
//! | a report as a page | `sql/functions/report_html.sql`, `src/report` |
//! | pg_cron, trying mails out, reports, rights | `sql/functions/schedule.sql`, `preview.sql`, `report.sql`, `report_periods.sql`, `explain.sql`, `simulate.sql`, `access.sql` |
//!
//! `sql/order` lists the SQL in the order in which it runs. The schema `marketing_automation` holds what people use,
//! `marketing_automation_internal` what the machine needs.
//!
//! `mail`, `report`, `smtp`, `tracking`, `webhook` and `delivery` are pure: they build and are tested without PostgreSQL. The extension is behind the features
//! `pg15` … `pg18`, the programs, proxy and mailer, behind `proxy`.

// A step for each file of sql/order.
#![recursion_limit = "256"]

pub mod delivery;
pub mod mail;
pub mod report;
pub mod secret_file;
pub mod smtp;
pub mod tracking;
pub mod version;
pub mod webhook;

#[cfg(feature = "extension")]
mod extension;

#[cfg(feature = "proxy")]
pub mod mailer;
#[cfg(feature = "proxy")]
pub mod program;
#[cfg(feature = "proxy")]
pub mod proxy;

#[cfg(feature = "extension")]
pgrx::pg_module_magic!(name, version);

/// The SQL of the extension: the files of `sql/order`, each after the one before it.
#[cfg(feature = "extension")]
mod schema {
    use pgrx::prelude::*;

    macro_rules! sql_files {
        (@after $previous:tt; $name:tt $file:tt) => {
            extension_sql_file!($file, name = $name, requires = [$previous], finalize);
        };
        (@after $previous:tt; $name:tt $file:tt $($rest:tt)+) => {
            extension_sql_file!($file, name = $name, requires = [$previous]);
            sql_files!(@after $name; $($rest)+);
        };
        ($name:tt $file:tt $($rest:tt)+) => {
            extension_sql_file!($file, name = $name, bootstrap);
            sql_files!(@after $name; $($rest)+);
        };
    }

    include!("../sql/order");
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
