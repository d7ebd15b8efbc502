//! Where mails go: the parsed `marketing_automation.smtp_url`.

#[cfg(test)]
mod tests;

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use url::{Host, Url};

/// How much encryption a connection must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tls {
    /// TLS from the first byte (RFC 8314), with a valid certificate.
    Implicit,
    /// STARTTLS with a valid certificate, or no mail.
    Required,
    /// STARTTLS when offered, whatever the certificate (RFC 7435); else in clear.
    Opportunistic,
    /// In clear.
    None,
}

/// How a user of the server says who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Login {
    /// AUTH PLAIN or LOGIN, whichever is offered.
    Password,
    /// An OAuth 2.0 access token by the mechanism of Google and Microsoft.
    XOAuth2,
    /// An OAuth 2.0 access token by that of RFC 7628.
    OAuthBearer,
}

/// Transport and its parameters.
#[derive(Debug, Clone)]
pub struct TransportConfig {
    target: ConfigTarget,
    secret: Option<LoginSecret>,
}

/// What only the server may hear.
#[derive(Debug, Clone)]
pub(super) enum LoginSecret {
    Password(Password),
    /// Its first line is an access token, which another program renews.
    TokenFile(PathBuf),
}

#[derive(Debug, Clone)]
enum ConfigTarget {
    Smtp(SmtpConfig),
    Directory(PathBuf),
}

/// host:port, or the directory as `file:///…`; never user or password.
impl fmt::Display for TransportConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.target {
            ConfigTarget::Smtp(smtp) if smtp.host.contains(':') => {
                write!(f, "[{}]:{}", smtp.host, smtp.port)
            }
            ConfigTarget::Smtp(smtp) => write!(f, "{}:{}", smtp.host, smtp.port),
            ConfigTarget::Directory(path) => write!(f, "file://{}", path.display()),
        }
    }
}

/// An SMTP server and how to talk to it.
#[derive(Debug, Clone)]
pub(super) struct SmtpConfig {
    /// Name or address without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) tls: Tls,
    pub(super) user: Option<String>,
    pub(super) loopback: bool,
    /// PEM file with certificates to trust beside the system's.
    pub(super) ca: Option<PathBuf>,
    /// What to say at EHLO; None: this machine's name or address.
    pub(super) ehlo: Option<String>,
    pub(super) login: Login,
}

/// A password that does not show itself.
#[derive(Clone)]
pub(super) struct Password(pub(super) String);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<hidden>")
    }
}

/// A transport URL that cannot be used. No variant holds the URL: it may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    #[error("smtp_url is no URL: {0}")]
    Url(url::ParseError),
    #[error(
        "smtp_url holds a password; put it in the file that marketing_automation.smtp_password_file names"
    )]
    PasswordInUrl,
    #[error("smtp_url has the scheme {0:?}; it must be smtp, smtps or file")]
    Scheme(String),
    #[error("smtp_url has no host")]
    NoHost,
    #[error(
        "smtp_url has the user {0:?}, which is not percent-encoded UTF-8 without control characters"
    )]
    User(String),
    #[error("smtp_url has a path or fragment, which means nothing to an SMTP server")]
    Path,
    #[error("smtp_url has the parameter {0:?}; it may have tls, auth, ca and ehlo")]
    Parameter(String),
    #[error(
        "smtp_url has tls={0}; it must be required, opportunistic or none, and smtps:// has none of them"
    )]
    Tls(String),
    #[error("smtp_url has ca={0:?}; it must be an absolute path")]
    Ca(String),
    #[error(
        "smtp_url has ehlo={0:?}; it must be a full host name, or an address in brackets such as [192.0.2.7]"
    )]
    Ehlo(String),
    #[error("smtp_url has auth={0}; it must be xoauth2 or oauthbearer, or not be there")]
    Auth(String),
    #[error("smtp_url has auth={0} but no user, as in smtp://news%40shop.example@mail.example")]
    NoUser(String),
    #[error(
        "smtp_url has a user but not tls=required: the password would cross the network in clear"
    )]
    AuthInClear,
    #[error("smtp_url must be file:///absolute/directory without host and parameters")]
    Directory,
}

impl TransportConfig {
    /// Parses `smtp://[user@]host[:port][?tls=required|opportunistic|none][&auth=xoauth2|oauthbearer]
    /// [&ca=/file.pem][&ehlo=name]`, `smtps://…` or `file:///directory`.
    ///
    /// Without `tls`, a loopback host is `opportunistic` and any other `required`. Without a port it is 465 for smtps,
    /// 587 (submission, RFC 6409) for `required`, and 25 otherwise.
    ///
    /// # Errors
    /// Says which piece of the URL is wrong, without quoting the URL.
    pub fn parse(url: &str) -> Result<Self, ConfigError> {
        let url = Url::parse(url.trim()).map_err(ConfigError::Url)?;
        if url.password().is_some() {
            return Err(ConfigError::PasswordInUrl);
        }
        let target = match url.scheme() {
            "smtp" => ConfigTarget::Smtp(SmtpConfig::parse(&url, false)?),
            "smtps" => ConfigTarget::Smtp(SmtpConfig::parse(&url, true)?),
            "file" => ConfigTarget::Directory(directory(&url)?),
            other => return Err(ConfigError::Scheme(other.to_owned())),
        };
        Ok(TransportConfig {
            target,
            secret: None,
        })
    }

    /// Adds the password of the URL's user; without a user it is not used.
    #[must_use]
    pub fn with_password(mut self, password: String) -> Self {
        self.secret = Some(LoginSecret::Password(Password(password)));
        self
    }

    /// Whether the URL's user says an access token instead of a password.
    #[must_use]
    pub fn wants_token(&self) -> bool {
        self.smtp()
            .is_some_and(|smtp| smtp.login != Login::Password)
    }

    /// Adds the file of the URL's user's access token. It is read at each connection, as a token lives for an hour.
    #[must_use]
    pub fn with_token_file(mut self, path: PathBuf) -> Self {
        self.secret = Some(LoginSecret::TokenFile(path));
        self
    }

    pub(super) fn smtp(&self) -> Option<&SmtpConfig> {
        match &self.target {
            ConfigTarget::Smtp(smtp) => Some(smtp),
            ConfigTarget::Directory(_) => None,
        }
    }

    pub(super) fn directory(&self) -> Option<&Path> {
        match &self.target {
            ConfigTarget::Directory(path) => Some(path),
            ConfigTarget::Smtp(_) => None,
        }
    }

    pub(super) fn secret(&self) -> Option<&LoginSecret> {
        self.secret.as_ref()
    }
}

impl Login {
    /// The SASL mechanism that takes the token; None: there is none.
    pub(super) fn mechanism(self) -> Option<&'static str> {
        match self {
            Login::Password => None,
            Login::XOAuth2 => Some("XOAUTH2"),
            Login::OAuthBearer => Some("OAUTHBEARER"),
        }
    }
}

impl SmtpConfig {
    fn parse(url: &Url, implicit_tls: bool) -> Result<Self, ConfigError> {
        let (host, loopback) = host(url)?;
        if !matches!(url.path(), "" | "/") || url.fragment().is_some() {
            return Err(ConfigError::Path);
        }
        let user = match url.username() {
            "" => None,
            encoded => Some(decode_user(encoded)?),
        };
        let mut tls = match (implicit_tls, loopback) {
            (true, _) => Tls::Implicit,
            (false, true) => Tls::Opportunistic,
            (false, false) => Tls::Required,
        };
        let mut ca = None;
        let mut ehlo = None;
        let mut login = Login::Password;
        for (name, value) in url.query_pairs() {
            match (&*name, &*value) {
                ("tls", "required") if !implicit_tls => tls = Tls::Required,
                ("tls", "opportunistic") if !implicit_tls => tls = Tls::Opportunistic,
                ("tls", "none") if !implicit_tls => tls = Tls::None,
                ("tls", other) => return Err(ConfigError::Tls(other.to_owned())),
                ("ca", path) if Path::new(path).is_absolute() => ca = Some(PathBuf::from(path)),
                ("ca", other) => return Err(ConfigError::Ca(other.to_owned())),
                ("ehlo", name) if is_own_name(name) => ehlo = Some(name.to_owned()),
                ("auth", "xoauth2") => login = Login::XOAuth2,
                ("auth", "oauthbearer") => login = Login::OAuthBearer,
                ("auth", other) => return Err(ConfigError::Auth(other.to_owned())),
                ("ehlo", other) => return Err(ConfigError::Ehlo(other.to_owned())),
                (other, _) => return Err(ConfigError::Parameter(other.to_owned())),
            }
        }
        if let (None, Some(mechanism)) = (&user, login.mechanism()) {
            return Err(ConfigError::NoUser(mechanism.to_lowercase()));
        }
        if user.is_some() && !loopback && !matches!(tls, Tls::Implicit | Tls::Required) {
            return Err(ConfigError::AuthInClear);
        }
        let port = url.port().unwrap_or(match tls {
            Tls::Implicit => 465,
            Tls::Required => 587,
            Tls::Opportunistic | Tls::None => 25,
        });
        Ok(SmtpConfig {
            host,
            port,
            tls,
            user,
            loopback,
            ca,
            ehlo,
            login,
        })
    }
}

/// Whether EHLO may name it: a full domain name, or an address literal (RFC 5321, section 4.1.3).
fn is_own_name(name: &str) -> bool {
    let literal = name
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    if let Some(address) = literal {
        return match address.strip_prefix("IPv6:") {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => address.parse::<std::net::Ipv4Addr>().is_ok(),
        };
    }
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    name.len() <= 253 && name.contains('.') && name.split('.').all(is_label)
}

fn host(url: &Url) -> Result<(String, bool), ConfigError> {
    // smtp is no scheme that the URL standard knows, so it leaves the host as it is written.
    let text = match url.host() {
        Some(Host::Ipv6(address)) => address.to_string(),
        Some(host) => host.to_string(),
        None => return Err(ConfigError::NoHost),
    };
    if text.is_empty() {
        return Err(ConfigError::NoHost);
    }
    let name = match text.parse::<IpAddr>() {
        Ok(address) => return Ok((text, address.is_loopback())),
        Err(_) => url::Host::parse(&text)
            .map_err(ConfigError::Url)?
            .to_string(),
    };
    let loopback = name.eq_ignore_ascii_case("localhost");
    Ok((name, loopback))
}

/// Undoes percent-encoding, for users that are mail addresses.
fn decode_user(encoded: &str) -> Result<String, ConfigError> {
    let query = format!("u={}", encoded.replace('+', "%2B"));
    let user = url::form_urlencoded::parse(query.as_bytes())
        .next()
        .map(|(_, user)| user.into_owned());
    user.filter(|user| !user.is_empty() && !user.chars().any(|c| c.is_control() || c == '\u{fffd}'))
        .ok_or_else(|| ConfigError::User(encoded.to_owned()))
}

fn directory(url: &Url) -> Result<PathBuf, ConfigError> {
    if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() {
        return Err(ConfigError::Directory);
    }
    url.to_file_path().map_err(|()| ConfigError::Directory)
}
