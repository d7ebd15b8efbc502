//! Who sends: the sender's addresses, signatures, and what providers know it by.

use std::ffi::CString;

use pgrx::{GucContext, GucFlags, GucRegistry, GucSetting};

use super::{check, text};

static EMAIL_FROM: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);
static BOUNCE_ADDRESS: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);
static UNSUBSCRIBE_ADDRESS: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);
static FEEDBACK_SENDER: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);
static STAGING_MAILBOX: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);
/// None: mails go to their recipients byte for byte as without any provider.
static PROVIDER_HEADERS: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);
static DKIM_DOMAIN: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);
static DKIM_SELECTOR: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);
static DKIM_KEY_FILE: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);
static DKIM_KEYS: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);

/// Default From mailbox, for activities without a sender.
pub(crate) fn email_from() -> Option<String> {
    text(&EMAIL_FROM)
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

/// Keys for the domains of senders.
pub(crate) fn dkim_keys() -> Option<String> {
    text(&DKIM_KEYS)
}

/// Mailbox of which each mail gets an address to leave by.
pub(crate) fn unsubscribe_address() -> Option<String> {
    text(&UNSUBSCRIBE_ADDRESS)
}

/// Last field of Feedback-ID.
pub(crate) fn feedback_sender() -> Option<String> {
    text(&FEEDBACK_SENDER)
}

/// Address that gets all mails instead of their recipients.
pub(crate) fn staging_mailbox() -> Option<String> {
    text(&STAGING_MAILBOX)
}

/// Providers for whom mails have a header that their events echo.
pub(crate) fn provider_headers() -> Option<String> {
    text(&PROVIDER_HEADERS)
}

/// Defines them.
pub(super) fn init() {
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
        GucRegistry::define_string_guc_with_hooks(
            c"marketing_automation.unsubscribe_address",
            c"Mailbox that takes leaving by mail: List-Unsubscribe names local+TOKEN@domain too. Unset: one leaves by URL.",
            c"Such as: leave@shop.example. What arrives there goes to ingest_bounce().",
            &UNSUBSCRIBE_ADDRESS,
            GucContext::Suset,
            flags,
            Some(check::unsubscribe_address),
            None,
            None,
        );
        GucRegistry::define_string_guc_with_hooks(
            c"marketing_automation.feedback_sender",
            c"Last field of Feedback-ID, by which Gmail counts complaints: 5 to 15 characters that never change.",
            c"Unset: made of the host of automation_base.",
            &FEEDBACK_SENDER,
            GucContext::Suset,
            flags,
            Some(check::feedback_sender),
            None,
            None,
        );
        GucRegistry::define_string_guc_with_hooks(
            c"marketing_automation.staging_mailbox",
            c"Address that gets all mails instead of those whom they are for, who are named in the subject. Unset: they get them.",
            c"For a copy on which one tries things out. Such as: staging@shop.example",
            &STAGING_MAILBOX,
            GucContext::Suset,
            flags,
            Some(check::staging_mailbox),
            None,
            None,
        );
        GucRegistry::define_string_guc_with_hooks(
            c"marketing_automation.provider_headers",
            c"Providers for whom mails have a header that their webhooks echo: sendgrid, postmark, brevo, separated by commas.",
            c"Their events name a mail by it. Unset: mails have no such header.",
            &PROVIDER_HEADERS,
            GucContext::Suset,
            flags,
            Some(check::provider_headers),
            None,
            None,
        );
        GucRegistry::define_string_guc_with_hooks(
            c"marketing_automation.dkim_keys",
            c"Keys for the domains of senders: domain selector file, separated by commas.",
            c"Senders at other domains are signed for dkim_domain.",
            &DKIM_KEYS,
            GucContext::Suset,
            GucFlags::SUPERUSER_ONLY,
            Some(check::dkim_keys),
            None,
            None,
        );
    }
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
}
