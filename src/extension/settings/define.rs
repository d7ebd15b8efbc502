//! How PostgreSQL knows the settings: names, texts, bounds, and who may set them.

use pgrx::prelude::*;
use pgrx::{GucContext, GucFlags, GucRegistry};

use super::*;

/// Defines all settings; called once per process, when the library is loaded.
pub(crate) fn init() {
    let flags = GucFlags::default();
    sender::init();
    // SAFETY: the hooks are guarded.
    unsafe {
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
            c"Where mail goes: smtp://[user@]host[:port][?tls=required|opportunistic|none][&auth=xoauth2|oauthbearer], smtps://… or file:///directory.",
            c"Without a password: see smtp_password_file. Nothing is sent before it is set.",
            &SMTP_URL,
            GucContext::Suset,
            flags,
            Some(check::smtp_url),
            None,
            None,
        );
    }
    GucRegistry::define_string_guc(
        c"marketing_automation.smtp_password_file",
        c"File whose first line is the password, or the access token, of the user in smtp_url.",
        c"Read by the mailer; readable by the server's operating system user only.",
        &SMTP_PASSWORD_FILE,
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
    GucRegistry::define_bool_guc(
        c"marketing_automation.enroll_on_commit",
        c"Whether the mailer enters rows of watched tables as soon as they are committed.",
        c"Otherwise the next enroll_all() does.",
        &ENROLL_ON_COMMIT,
        GucContext::Suset,
        flags,
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
    GucRegistry::define_string_guc(
        c"marketing_automation.turn",
        c"The turn whose expressions share one limit of time, for the functions that begin and end one.",
        c"",
        &TURN,
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
    GucRegistry::define_bool_guc(
        c"marketing_automation.report_links",
        c"Whether report_link() makes links and the proxy shows reports to who has one.",
        c"Turning it off ends all links at once.",
        &REPORT_LINKS,
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
    GucRegistry::define_int_guc(
        c"marketing_automation.browser_url_validity",
        c"How long after it was sent a mail is shown at its browser_url.",
        c"As long the row is kept that it was made of, of mails whose templates use it. Also of mails that were sent already.",
        &BROWSER_URL_VALIDITY,
        1,
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
