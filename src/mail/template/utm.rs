//! The template of the parameters that links to own hosts get, as it is written and compiled.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::campaign::{CampaignSource, read};
use super::dead_links::without_tags;
use super::names::Names;
use super::snippets::Snippets;
use super::{MailTemplate, Part, Source, TemplateError, mailboxes};
use crate::mail::campaign::Hosts;

/// The hint for a name that it does not know.
const SEES: &str = "It sees scenario.name, activity.name and party.language.";

impl MailTemplate {
    /// Adds the parameters that links get.
    pub(super) fn add_campaign(&mut self, campaign: &CampaignSource) -> Result<(), TemplateError> {
        let hosts = Hosts::parse(&campaign.hosts)
            .map_err(|reason| TemplateError::new(Part::Utm, format!("utm_hosts: {reason}")))?;
        self.add(Part::Utm, source(campaign), &Snippets::default())?;
        self.campaign = Some((campaign.language.clone(), Arc::new(hosts)));
        Ok(())
    }
}

fn source(campaign: &CampaignSource) -> Source<'_> {
    Source {
        text: &campaign.utm,
        language: &campaign.language,
        snippets: "",
    }
}

/// Checks the parameters of a scenario as they are written.
///
/// # Errors
/// What does not compile, names that it does not see, and what no value makes a parameter.
pub fn check_campaign(campaign: &CampaignSource) -> Result<(), TemplateError> {
    let template = MailTemplate::compile(Default::default(), Some(campaign), &Snippets::default())?;
    let names = Names::only(BTreeMap::from([
        ("scenario", "name"),
        ("activity", "name"),
        ("party", "language"),
    ]));
    let undefined = names.undefined(Part::Utm, source(campaign), &Snippets::default())?;
    if let Some(found) = undefined.into_iter().next() {
        return Err(found.error.with_hint(Some(SEES.to_owned())));
    }
    if !mailboxes::has_statements(&campaign.utm)
        && let Some((_, hosts)) = &template.campaign
    {
        read(&mailboxes::filled(&without_tags(&campaign.utm)), hosts)?;
    }
    Ok(())
}
