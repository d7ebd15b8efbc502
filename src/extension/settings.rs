//! The settings `marketing_automation.*`, each checked when it is set.

mod check;
mod show;

use std::ffi::CString;

use pgrx::prelude::*;
use pgrx::{GucContext, GucFlags, GucRegistry, GucSetting, PostgresGucEnum};

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

static EMAIL_FROM: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);
static AUTOMATION_BASE: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);
static SMTP_URL: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);
static SMTP_PASSWORD_FILE: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);
static BOUNCE_ADDRESS: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);
static DKIM_DOMAIN: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);
static DKIM_SELECTOR: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);
static DKIM_KEY_FILE: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);
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
static CLICK_IMPLIES_OPEN: GucSetting<bool> = GucSetting::<bool>::new(true);
/// `reduced`: enough for most rules to be applied again, and too little to tell one reader from another.
static HIT_DETAILS: GucSetting<HitDetails> = GucSetting::<HitDetails>::new(HitDetails::reduced);
static HIDDEN_LINK: GucSetting<bool> = GucSetting::<bool>::new(false);
static IN_DOUBT: GucSetting<InDoubt> = GucSetting::<InDoubt>::new(InDoubt::resend);

fn text(setting: &'static GucSetting<Option<CString>>) -> Option<String> {
    let value = setting.get()?.to_string_lossy().trim().to_owned();
    (!value.is_empty()).then_some(value)
}

/// Default From mailbox, for activities without a sender.
pub(crate) fn email_from() -> Option<String> {
    text(&EMAIL_FROM)
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

/// Mailbox of which each mail gets its own return path.
pub(crate) fn bounce_address() -> Option<String> {
    text(&BOUNCE_ADDRESS)
}

/// Domain that mails are signed for (DKIM).
pub(crate) fn dkim_domain() -> Option<String> {
    text(&DKIM_DOMAIN)
}

/// Selector of the public key in the domain's DNS.
pub(crate) fn dkim_selector() -> Option<String> {
    text(&DKIM_SELECTOR)
}

/// File that holds the private key.
pub(crate) fn dkim_key_file() -> Option<String> {
    text(&DKIM_KEY_FILE)
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

pub(crate) fn in_doubt() -> InDoubt {
    IN_DOUBT.get()
}

/// Defines all settings; called once per process, when the library is loaded.
pub(crate) fn init() {
    let flags = GucFlags::default();
    // SAFETY: the hooks are guarded.
    unsafe {
        GucRegistry::define_string_guc_with_hooks(
            c"marketing_automation.email_from",
            c"From mailbox of activities that have no sender.",
            c"Such as: Shop <news@shop.example>",
            &EMAIL_FROM,
            GucContext::Suset,
            flags,
            Some(check::email_from),
            None,
            None,
        );
        GucRegistry::define_string_guc_with_hooks(
            c"marketing_automation.automation_base",
            c"Base URL of the tracking proxy, for links, images and unsubscribing.",
            c"http(s)://host[:port] without a path. Nothing is sent before it is set.",
            &AUTOMATION_BASE,
            GucContext::Suset,
            flags,
            Some(check::automation_base),
            None,
            None,
        );
        GucRegistry::define_string_guc_with_hooks(
            c"marketing_automation.smtp_url",
            c"Where mail goes: smtp://[user@]host[:port][?tls=required|opportunistic|none], smtps://… or file:///directory.",
            c"Without a password: see smtp_password_file. Nothing is sent before it is set.",
            &SMTP_URL,
            GucContext::Suset,
            flags,
            Some(check::smtp_url),
            None,
            None,
        );
        GucRegistry::define_string_guc_with_hooks(
            c"marketing_automation.bounce_address",
            c"Mailbox that takes bounces: mails have the envelope sender local+TOKEN@domain. Unset: the From address.",
            c"Such as: bounces@shop.example",
            &BOUNCE_ADDRESS,
            GucContext::Suset,
            flags,
            Some(check::bounce_address),
            None,
            None,
        );
    }
    GucRegistry::define_string_guc(
        c"marketing_automation.smtp_password_file",
        c"File whose first line is the password of the user in smtp_url.",
        c"Read by the mailer; readable by the server's operating system user only.",
        &SMTP_PASSWORD_FILE,
        GucContext::Suset,
        GucFlags::SUPERUSER_ONLY,
    );
    GucRegistry::define_string_guc(
        c"marketing_automation.dkim_domain",
        c"Domain that mails are signed for (DKIM). Unset: mails are not signed here.",
        c"With dkim_selector and dkim_key_file.",
        &DKIM_DOMAIN,
        GucContext::Suset,
        flags,
    );
    GucRegistry::define_string_guc(
        c"marketing_automation.dkim_selector",
        c"Selector: the public key is the TXT record of SELECTOR._domainkey.DOMAIN.",
        c"",
        &DKIM_SELECTOR,
        GucContext::Suset,
        flags,
    );
    GucRegistry::define_string_guc(
        c"marketing_automation.dkim_key_file",
        c"PEM file with the private key, RSA of 2048 to 4096 bits or Ed25519.",
        c"Read by the mailer; readable by the server's operating system user only.",
        &DKIM_KEY_FILE,
        GucContext::Suset,
        GucFlags::SUPERUSER_ONLY,
    );
    // Only the launcher reads it, and PostgreSQL refuses to define such a setting later than the server's start.
    // SAFETY: a plain variable of the process, set by the postmaster before it loads libraries.
    if unsafe { pg_sys::process_shared_preload_libraries_in_progress } {
        GucRegistry::define_string_guc(
            c"marketing_automation.launcher_database",
            c"Database that the launcher connects to, to see which databases there are.",
            c"",
            &LAUNCHER_DATABASE,
            GucContext::Postmaster,
            flags,
        );
    }
    GucRegistry::define_int_guc(
        c"marketing_automation.smtp_connections",
        c"Connections to the SMTP server, each reused for many mails.",
        c"",
        &SMTP_CONNECTIONS,
        1,
        200,
        GucContext::Suset,
        flags,
    );
    GucRegistry::define_int_guc(
        c"marketing_automation.smtp_timeout",
        c"Time allowed for each step of the SMTP dialogue.",
        c"",
        &SMTP_TIMEOUT,
        1,
        600,
        GucContext::Suset,
        GucFlags::UNIT_S,
    );
    GucRegistry::define_int_guc(
        c"marketing_automation.batch_size",
        c"Mails that the mailer claims at once.",
        c"Twice as many are in its memory at most.",
        &BATCH_SIZE,
        1,
        10_000,
        GucContext::Suset,
        flags,
    );
    GucRegistry::define_int_guc(
        c"marketing_automation.retry_window",
        c"How long a mail that is refused temporarily is tried again before it fails.",
        c"",
        &RETRY_WINDOW,
        0,
        30 * 24 * 3600,
        GucContext::Suset,
        GucFlags::UNIT_S,
    );
    GucRegistry::define_int_guc(
        c"marketing_automation.soft_bounce_limit",
        c"Mails that must bounce softly within soft_bounce_window before their address is suppressed.",
        c"0: never.",
        &SOFT_BOUNCE_LIMIT,
        0,
        1000,
        GucContext::Suset,
        flags,
    );
    GucRegistry::define_int_guc(
        c"marketing_automation.soft_bounce_window",
        c"How far back soft bounces count.",
        c"",
        &SOFT_BOUNCE_WINDOW,
        3600,
        400 * 24 * 3600,
        GucContext::Suset,
        GucFlags::UNIT_S,
    );
    GucRegistry::define_int_guc(
        c"marketing_automation.expression_timeout",
        c"How long a query with the expressions of a scenario or model may take; 0: any time.",
        c"Of what statement_timeout of the caller leaves it has half at most. Whoever takes longer waits for the next run.",
        &EXPRESSION_TIMEOUT,
        0,
        24 * 3600 * 1000,
        GucContext::Suset,
        GucFlags::UNIT_MS,
    );
    GucRegistry::define_int_guc(
        c"marketing_automation.expression_lock_timeout",
        c"How long a query with the expressions of a scenario or model may wait for a lock; 0: any time.",
        c"A shorter lock_timeout of the caller counts.",
        &EXPRESSION_LOCK_TIMEOUT,
        0,
        3600 * 1000,
        GucContext::Suset,
        GucFlags::UNIT_MS,
    );
    GucRegistry::define_string_guc(
        c"marketing_automation.assumed_now",
        c"The time that assumed_now() gives, for the functions that assume one.",
        c"",
        &ASSUMED_NOW,
        GucContext::Suset,
        GucFlags::NO_SHOW_ALL | GucFlags::DISALLOW_IN_FILE,
    );
    GucRegistry::define_bool_guc(
        c"marketing_automation.click_implies_open",
        c"Whether a click counts as an open too.",
        c"A reader who clicked has seen the mail, though many mail programs block the image that tells.",
        &CLICK_IMPLIES_OPEN,
        GucContext::Suset,
        flags,
    );
    GucRegistry::define_enum_guc(
        c"marketing_automation.hit_details",
        c"What is kept of where an open or a click came from: full, reduced or none.",
        c"full: user agent and network; reduced: user agent without minor versions and models. Robots are told apart before.",
        &HIT_DETAILS,
        GucContext::Suset,
        flags,
    );
    GucRegistry::define_bool_guc(
        c"marketing_automation.hidden_link",
        c"Whether mails carry a link that no person sees.",
        c"Who follows it is a robot, and so are the other hits of that mail in the same moment.",
        &HIDDEN_LINK,
        GucContext::Suset,
        flags,
    );
    GucRegistry::define_int_guc(
        c"marketing_automation.message_retention",
        c"How long mails that ended are kept, at least; 0: for ever.",
        c"They are removed by partitions of 30 days; links, records and counts stay.",
        &MESSAGE_RETENTION,
        0,
        1140 * 24 * 3600,
        GucContext::Suset,
        GucFlags::UNIT_S,
    );
    GucRegistry::define_bool_guc(
        c"marketing_automation.arm_after_failover",
        c"Whether a standby sends after it was promoted.",
        c"Turn it off where standbys are promoted for tests beside their primary.",
        &ARM_AFTER_FAILOVER,
        GucContext::Suset,
        flags,
    );
    GucRegistry::define_enum_guc(
        c"marketing_automation.in_doubt",
        c"What happens to a mail that was in flight when the mailer or the connection died: resend or hold.",
        c"",
        &IN_DOUBT,
        GucContext::Suset,
        flags,
    );
    // SAFETY: a static C string, on the main thread.
    unsafe { pg_sys::MarkGUCPrefixReserved(c"marketing_automation".as_ptr()) };
}
