//! What composing a mail needs to know beside the mail itself.

use crate::mail::dkim::Signer;
use crate::mail::message::BounceAddress;
use crate::tracking::token::Keyring;
use crate::tracking::url::BaseUrl;

#[derive(Debug)]
pub struct MailSettings {
    pub base: BaseUrl,
    /// Host of the base URL: the right side of Message-IDs.
    pub host: String,
    pub email_from: Option<String>,
    /// None: bounces go to the From address.
    pub bounce_address: Option<BounceAddress>,
    /// None: mails are not signed here.
    pub dkim: Option<Signer>,
    /// Whether mails carry a link that only robots find.
    pub hidden_link: bool,
    pub keyring: Keyring,
}
