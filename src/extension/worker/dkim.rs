//! The settings of DKIM: all three or none, and a key file that nobody else can read. A mistake stops sending, so that no
//! mail leaves unsigned by accident.

use std::os::unix::fs::MetadataExt;

use super::configuration::{Missing, Secret, unconfigured};
use crate::extension::settings;
use crate::mail::dkim::Signer;

/// What the settings and the key file say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Dkim {
    domain: String,
    selector: String,
    key: Secret,
}

/// Reads settings and key file; None: mails are not signed here.
pub(super) fn read() -> Result<Option<Dkim>, Missing> {
    let values = [
        ("dkim_domain", settings::dkim_domain()),
        ("dkim_selector", settings::dkim_selector()),
        ("dkim_key_file", settings::dkim_key_file()),
    ];
    if values.iter().all(|(_, value)| value.is_none()) {
        return Ok(None);
    }
    if let Some((missing, _)) = values.iter().find(|(_, value)| value.is_none()) {
        return Err(unconfigured(format!(
            "marketing_automation.{missing} is not set, but other settings of DKIM are"
        )));
    }
    let [domain, selector, path] = values.map(|(_, value)| value.unwrap_or_default());
    Ok(Some(Dkim {
        domain,
        selector,
        key: read_key(&path)?,
    }))
}

impl Dkim {
    pub(super) fn signer(&self) -> Result<Signer, Missing> {
        Signer::new(&self.domain, &self.selector, self.key.0.as_bytes()).map_err(|error| {
            use crate::mail::dkim::DkimError::{Domain, Selector};
            let setting = match error {
                Domain(_) => "dkim_domain",
                Selector(_) => "dkim_selector",
                _ => "dkim_key_file",
            };
            unconfigured(format!("marketing_automation.{setting}: {error}"))
        })
    }
}

/// The same rule as for PostgreSQL's ssl_key_file: for the owner only, or root's and for its group to read.
fn read_key(path: &str) -> Result<Secret, Missing> {
    let refuse =
        |reason: String| unconfigured(format!("marketing_automation.dkim_key_file: {reason}"));
    let metadata = std::fs::metadata(path).map_err(|error| refuse(error.to_string()))?;
    let forbidden = if metadata.uid() == 0 { 0o037 } else { 0o077 };
    if metadata.mode() & forbidden != 0 {
        return Err(refuse(
            "others than its owner can use it; its mode must be 0600, or 0640 when it is root's"
                .to_owned(),
        ));
    }
    let text = std::fs::read_to_string(path).map_err(|error| refuse(error.to_string()))?;
    Ok(Secret(text))
}
