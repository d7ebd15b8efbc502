//! The settings of DKIM: all three or none, and a key file that nobody else can read. A mistake stops sending, so that no
//! mail leaves unsigned by accident.

use super::secret::Secret;
use super::store::Settings;
use crate::mail::dkim::Signer;

/// What the settings and the key file say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Dkim {
    domain: String,
    selector: String,
    key: Secret,
}

/// Reads settings and key file; None: mails are not signed here.
pub(super) fn read(settings: &Settings) -> Result<Option<Dkim>, String> {
    let values = [
        ("dkim_domain", settings.dkim_domain.clone()),
        ("dkim_selector", settings.dkim_selector.clone()),
        ("dkim_key_file", settings.dkim_key_file.clone()),
    ];
    if values.iter().all(|(_, value)| value.is_none()) {
        return Ok(None);
    }
    if let Some((missing, _)) = values.iter().find(|(_, value)| value.is_none()) {
        return Err(format!(
            "marketing_automation.{missing} is not set, but other settings of DKIM are"
        ));
    }
    let [domain, selector, path] = values.map(|(_, value)| value.unwrap_or_default());
    Ok(Some(Dkim {
        domain,
        selector,
        key: Secret::read(&path)
            .map_err(|error| format!("marketing_automation.dkim_key_file: {error}"))?,
    }))
}

impl Dkim {
    pub(super) fn signer(&self) -> Result<Signer, String> {
        Signer::new(&self.domain, &self.selector, self.key.0.as_bytes()).map_err(|error| {
            use crate::mail::dkim::DkimError::{Domain, Selector};
            let setting = match error {
                Domain(_) => "dkim_domain",
                Selector(_) => "dkim_selector",
                _ => "dkim_key_file",
            };
            format!("marketing_automation.{setting}: {error}")
        })
    }
}
