//! The settings `marketing_automation.*`, each checked when it is set.

mod check;
mod define;
mod sender;
mod show;

use std::ffi::{CStr, CString};

pub(in crate::extension) use check::SMTP_URL_HINT;
pub(crate) use define::init;
use pgrx::{GucSetting, PostgresGucEnum, pg_sys};
pub(crate) use sender::{
    bounce_address, dkim_domain, dkim_key_file, dkim_keys, dkim_selector, email_from,
    feedback_sender, provider_headers, staging_mailbox, unsubscribe_address,
};

/// What happens to a mail of which nobody knows whether the server took it: the mailer or the connection died in between.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PostgresGucEnum)]
#[allow(non_camel_case_types)]
pub(crate) enum InDoubt {
    /// Sent again, under the same Message-ID, by which most mail systems recognise a duplicate; held after the third time.
    resend,
    /// Kept as `in_doubt` until a person decides.
    hold,
}

/// What is kept of the program and the network that an open or a click came from, once the rules for robots have seen them.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PostgresGucEnum)]
#[allow(non_camel_case_types)]
enum HitDetails {
    /// The user agent, 200 characters of it, and the network.
    full,
    /// The user agent without minor versions and models.
    reduced,
    /// Nothing.
    none,
}

static AUTOMATION_BASE: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);
static SMTP_URL: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);
static SMTP_PASSWORD_FILE: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);
static LAUNCHER_DATABASE: GucSetting<Option<CString>> =
    GucSetting::<Option<CString>>::new(Some(c"postgres"));
/// 8: on two cores more connections to one server bring nothing, and most providers allow ten.
static SMTP_CONNECTIONS: GucSetting<i32> = GucSetting::<i32>::new(8);
/// 30 s: less than the 5 minutes of RFC 5321 4.5.3.2, so that a hanging server does not hold claims for long.
static SMTP_TIMEOUT: GucSetting<i32> = GucSetting::<i32>::new(30);
/// 500: a claim and its results cost a few milliseconds, and a stop has little to give back.
static BATCH_SIZE: GucSetting<i32> = GucSetting::<i32>::new(500);
/// 3 days, as most mail servers do (RFC 5321 4.5.4.1 says 4-5 days, for mail that people wrote).
static RETRY_WINDOW: GucSetting<i32> = GucSetting::<i32>::new(3 * 24 * 3600);
/// 0: for ever; what the law asks for differs.
static MESSAGE_RETENTION: GucSetting<i32> = GucSetting::<i32>::new(0);
/// 30 days: whoever opens a mail in a browser does so within days, and what the mail was made of is kept as long.
static BROWSER_URL_VALIDITY: GucSetting<i32> = GucSetting::<i32>::new(30 * 24 * 3600);
static ARM_AFTER_FAILOVER: GucSetting<bool> = GucSetting::<bool>::new(true);
/// 5 in 30 days: a mailbox that was full or refused so often is not read, and providers count what is sent to such.
static SOFT_BOUNCE_LIMIT: GucSetting<i32> = GucSetting::<i32>::new(5);
static SOFT_BOUNCE_WINDOW: GucSetting<i32> = GucSetting::<i32>::new(30 * 24 * 3600);
/// 30 s: ten million rows are read in that time, and one slow scenario leaves the others half of each minute.
static EXPRESSION_TIMEOUT: GucSetting<i32> = GucSetting::<i32>::new(30_000);
/// 1 s, as the mailer's lock_timeout: whoever holds a table for longer holds up its own scenarios only.
static EXPRESSION_LOCK_TIMEOUT: GucSetting<i32> = GucSetting::<i32>::new(1000);
/// The time that expressions assume, in microseconds as PostgreSQL counts them; set by the functions that take such a time.
static ASSUMED_NOW: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);
/// The number of the turn whose queries share a limit; set by the functions that begin and end turns.
static TURN: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);
/// On: watching is for those who want it at once.
static ENROLL_ON_COMMIT: GucSetting<bool> = GucSetting::<bool>::new(true);
static CLICK_IMPLIES_OPEN: GucSetting<bool> = GucSetting::<bool>::new(true);
/// `reduced`: enough for most rules to be applied again, and too little to tell one reader from another.
static HIT_DETAILS: GucSetting<HitDetails> = GucSetting::<HitDetails>::new(HitDetails::reduced);
static HIDDEN_LINK: GucSetting<bool> = GucSetting::<bool>::new(false);
/// Off: whoever has such a link sees the numbers, and whoever has the proxy's rights could make one.
static REPORT_LINKS: GucSetting<bool> = GucSetting::<bool>::new(false);
static IN_DOUBT: GucSetting<InDoubt> = GucSetting::<InDoubt>::new(InDoubt::resend);

fn text(setting: &'static GucSetting<Option<CString>>) -> Option<String> {
    let value = setting.get()?.to_string_lossy().trim().to_owned();
    (!value.is_empty()).then_some(value)
}

/// Sets a setting of ours until the transaction ends, or its part that is rolled back; None: to nothing.
pub(crate) fn set_local(name: &CStr, value: Option<String>) {
    let value = CString::new(value.unwrap_or_default()).unwrap_or_default();
    // SAFETY: two C strings; errors are raised.
    unsafe {
        pg_sys::set_config_option(
            name.as_ptr(),
            value.as_ptr(),
            pg_sys::GucContext::PGC_SUSET,
            pg_sys::GucSource::PGC_S_SESSION,
            pg_sys::GucAction::GUC_ACTION_LOCAL,
            true,
            0,
            false,
        );
    }
}

/// Base URL of the tracking proxy.
pub(crate) fn automation_base() -> Option<String> {
    text(&AUTOMATION_BASE)
}

/// Where mail goes: `smtp://`, `smtps://` or `file:///`.
pub(crate) fn smtp_url() -> Option<String> {
    text(&SMTP_URL)
}

/// File that holds the SMTP password.
pub(crate) fn smtp_password_file() -> Option<String> {
    text(&SMTP_PASSWORD_FILE)
}

/// Database that the launcher connects to.
pub(crate) fn launcher_database() -> String {
    text(&LAUNCHER_DATABASE).unwrap_or_else(|| "postgres".to_owned())
}

/// Whether mails carry a link that only robots find.
pub(crate) fn hidden_link() -> bool {
    HIDDEN_LINK.get()
}

pub(crate) fn smtp_connections() -> usize {
    SMTP_CONNECTIONS.get().unsigned_abs() as usize
}

/// Seconds allowed for each step of the SMTP dialogue.
pub(crate) fn smtp_timeout() -> u64 {
    u64::from(SMTP_TIMEOUT.get().unsigned_abs())
}

pub(crate) fn batch_size() -> i32 {
    BATCH_SIZE.get()
}

/// Seconds after which a mail that is refused temporarily again and again is given up.
pub(crate) fn retry_window() -> f64 {
    f64::from(RETRY_WINDOW.get())
}

/// Seconds after which mails that ended are removed; None: never.
pub(crate) fn message_retention() -> Option<f64> {
    match MESSAGE_RETENTION.get() {
        0 => None,
        seconds => Some(f64::from(seconds)),
    }
}

/// Whether the mailer enters rows of watched tables as soon as they are committed.
pub(crate) fn enroll_on_commit() -> bool {
    ENROLL_ON_COMMIT.get()
}

/// Milliseconds that a query with user expressions may take; 0: any time.
pub(crate) fn expression_timeout() -> i32 {
    EXPRESSION_TIMEOUT.get()
}

/// Milliseconds that a query with user expressions may wait for a lock; 0: any time.
pub(crate) fn expression_lock_timeout() -> i32 {
    EXPRESSION_LOCK_TIMEOUT.get()
}

/// The time that expressions assume; None: the present.
pub(crate) fn assumed_now() -> Option<i64> {
    text(&ASSUMED_NOW)?.parse().ok()
}

/// The turn that is under way, by its number.
pub(crate) fn turn() -> Option<i32> {
    text(&TURN)?.parse().ok()
}

pub(crate) fn in_doubt() -> InDoubt {
    IN_DOUBT.get()
}
