//! The parameters that links to own hosts get: what their template may see, and what it gives.

use std::sync::Arc;

use minijinja::value::Value;

use super::error::{Part, TemplateError};
use super::null;
use crate::mail::campaign::{Campaign, Hosts};

/// The hint for what is no parameter of a campaign.
const PARAMETERS: &str = "It is written utm_source=shop&utm_medium=email&utm_campaign={{ scenario.name }}; names begin with utm_.";

/// What a scenario says of the links of its mails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CampaignSource {
    /// Template of parameters, as in the query of a URL.
    pub utm: String,
    pub hosts: String,
    pub language: String,
}

/// Gives what the template sees of the variables of a mail: a value for each person would make a link of each.
pub(super) fn context(mail: &serde_json::Value) -> Value {
    null::from_json(&serde_json::json!({
        "scenario": mail["scenario"],
        "activity": mail["activity"],
        "party": { "language": mail["party"]["language"] },
    }))
}

/// Reads what the template has given.
pub(super) fn read(query: &str, hosts: &Arc<Hosts>) -> Result<Campaign, TemplateError> {
    Campaign::parse(query, Arc::clone(hosts)).map_err(|reason| {
        TemplateError::new(Part::Utm, reason).with_hint(Some(PARAMETERS.to_owned()))
    })
}
