//! The settings of DKIM: keys for domains, in files that nobody else can read. A mistake stops sending, so that no mail
//! leaves unsigned by accident.

use super::secret::Secret;
use super::store::Settings;
use crate::mail::dkim::{DkimError, Signer, is_aligned};

/// One key: what the settings and its file say.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Dkim {
    /// The setting that it comes from.
    setting: &'static str,
    domain: String,
    selector: String,
    key: Secret,
}

/// The keys that the settings name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Keys {
    by_domain: Vec<Dkim>,
    default: Option<Dkim>,
}

/// A key as `dkim_keys` names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyName {
    pub domain: String,
    pub selector: String,
    pub path: String,
}

/// Reads `domain selector file`, separated by commas.
///
/// # Errors
/// What is missing, or twice.
pub fn parse_keys(text: &str) -> Result<Vec<KeyName>, String> {
    let mut keys: Vec<KeyName> = Vec::new();
    for entry in text
        .split(',')
        .map(str::trim)
        .filter(|entry| !entry.is_empty())
    {
        let mut words = entry.splitn(3, char::is_whitespace).map(str::trim);
        let (Some(domain), Some(selector), Some(path)) = (words.next(), words.next(), words.next())
        else {
            return Err(format!(
                "{entry:?} is not of the form: domain selector file"
            ));
        };
        let domain = domain.to_ascii_lowercase();
        if !path.starts_with('/') {
            return Err(format!("{path:?} is no absolute path"));
        }
        if keys.iter().any(|key| key.domain == domain) {
            return Err(format!("{domain} has two keys"));
        }
        keys.push(KeyName {
            domain,
            selector: selector.to_owned(),
            path: path.to_owned(),
        });
    }
    Ok(keys)
}

/// The domain for which the mails of a sender are signed, of those that have a key of their own, or the default: the one
/// nearest to the sender's.
pub fn signing_domain<'a>(
    by_domain: impl Iterator<Item = &'a str>,
    default: Option<&'a str>,
    sender: &str,
) -> Option<&'a str> {
    by_domain
        .chain(default)
        .filter(|domain| is_aligned(domain, sender))
        .max_by_key(|domain| domain.len())
        .or(default)
}

/// Reads settings and key files.
pub(super) fn read(settings: &Settings) -> Result<Keys, String> {
    let by_domain = parse_keys(settings.dkim_keys.as_deref().unwrap_or_default())
        .and_then(|keys| {
            keys.into_iter()
                .map(|key| read_key("dkim_keys", key))
                .collect()
        })
        .map_err(|error| format!("marketing_automation.dkim_keys: {error}"))?;
    let values = [
        ("dkim_domain", settings.dkim_domain.clone()),
        ("dkim_selector", settings.dkim_selector.clone()),
        ("dkim_key_file", settings.dkim_key_file.clone()),
    ];
    if values.iter().all(|(_, value)| value.is_none()) {
        return Ok(Keys {
            by_domain,
            default: None,
        });
    }
    if let Some((missing, _)) = values.iter().find(|(_, value)| value.is_none()) {
        return Err(format!(
            "marketing_automation.{missing} is not set, but other settings of DKIM are"
        ));
    }
    let [domain, selector, path] = values.map(|(_, value)| value.unwrap_or_default());
    let key = KeyName {
        domain,
        selector,
        path,
    };
    let default = read_key("dkim_key_file", key)
        .map_err(|error| format!("marketing_automation.dkim_key_file: {error}"))?;
    Ok(Keys {
        by_domain,
        default: Some(default),
    })
}

fn read_key(setting: &'static str, key: KeyName) -> Result<Dkim, String> {
    let secret = Secret::read(&key.path).map_err(|error| match setting {
        "dkim_keys" => format!("{}: {error}", key.path),
        _ => error,
    })?;
    Ok(Dkim {
        setting,
        domain: key.domain,
        selector: key.selector,
        key: secret,
    })
}

impl Dkim {
    fn signer(&self) -> Result<Signer, String> {
        Signer::new(&self.domain, &self.selector, self.key.0.as_bytes()).map_err(|error| {
            let setting = match (self.setting, &error) {
                ("dkim_keys", _) => "dkim_keys",
                (_, DkimError::Domain(_)) => "dkim_domain",
                (_, DkimError::Selector(_)) => "dkim_selector",
                _ => "dkim_key_file",
            };
            format!("marketing_automation.{setting}: {error}")
        })
    }
}

impl Keys {
    pub(super) fn signers(&self) -> Result<Signers, String> {
        Ok(Signers {
            by_domain: self
                .by_domain
                .iter()
                .map(Dkim::signer)
                .collect::<Result<_, _>>()?,
            default: self.default.as_ref().map(Dkim::signer).transpose()?,
        })
    }
}

/// Who signs mails; empty: nobody does here.
#[derive(Debug, Default)]
pub struct Signers {
    by_domain: Vec<Signer>,
    default: Option<Signer>,
}

impl Signers {
    /// Who signs the mails of a sender at this domain.
    pub fn for_sender(&self, domain: &str) -> Option<&Signer> {
        let by_domain = self.by_domain.iter().map(Signer::domain);
        let chosen = signing_domain(by_domain, self.default.as_ref().map(Signer::domain), domain)?;
        self.by_domain
            .iter()
            .chain(&self.default)
            .find(|signer| signer.domain() == chosen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_domain_signs() {
        let choose = |sender| {
            signing_domain(
                ["shop.example", "news.shop.example", "other.example"].into_iter(),
                Some("main.example"),
                sender,
            )
        };
        for (sender, expected) in [
            ("shop.example", "shop.example"),
            ("a.shop.example", "shop.example"),
            ("News.Shop.Example", "news.shop.example"),
            ("x.news.shop.example", "news.shop.example"),
            ("myshop.example", "main.example"),
            ("other.example", "other.example"),
            ("example", "main.example"),
        ] {
            assert_eq!(choose(sender), Some(expected), "{sender}");
        }
        assert_eq!(
            signing_domain(["a.example"].into_iter(), None, "b.example"),
            None
        );
    }

    #[test]
    fn a_list_of_keys_names_domain_selector_and_file() {
        let keys = parse_keys(" Shop.example s2026 /etc/a b.pem ,\nother.example s1  /etc/c.pem,")
            .unwrap();
        let keys: Vec<_> = keys
            .iter()
            .map(|key| {
                (
                    key.domain.as_str(),
                    key.selector.as_str(),
                    key.path.as_str(),
                )
            })
            .collect();
        assert_eq!(
            keys,
            [
                ("shop.example", "s2026", "/etc/a b.pem"),
                ("other.example", "s1", "/etc/c.pem")
            ]
        );
        for (text, why) in [
            ("shop.example s2026", "domain selector file"),
            ("shop.example s2026 key.pem", "absolute path"),
            ("a.example s /a, A.example t /b", "two keys"),
        ] {
            assert!(parse_keys(text).unwrap_err().contains(why), "{text}");
        }
    }
}
