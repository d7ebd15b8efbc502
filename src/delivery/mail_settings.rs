//! What composing a mail needs to know beside the mail itself.

use super::dkim::Signers;
use crate::mail::message::TokenMailbox;
use crate::mail::provider::Echo;
use crate::tracking::token::Keyring;
use crate::tracking::url::BaseUrl;

#[derive(Debug)]
pub struct MailSettings {
    pub base: BaseUrl,
    /// Host of the base URL: the right side of Message-IDs.
    pub host: String,
    pub email_from: Option<String>,
    /// None: bounces go to the From address.
    pub bounce_address: Option<TokenMailbox>,
    /// None: one leaves by URL only.
    pub unsubscribe_address: Option<TokenMailbox>,
    /// The last field of Feedback-ID.
    pub feedback_sender: String,
    /// Gets all mails instead of their recipients; None: they get them.
    pub staging_mailbox: Option<String>,
    /// For whom mails have a header that is echoed.
    pub echo: Echo,
    pub dkim: Signers,
    /// Whether mails carry a link that only robots find.
    pub hidden_link: bool,
    pub keyring: Keyring,
}
