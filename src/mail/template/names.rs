//! Names that mean nothing: columns that the record does not have, variables that nobody sets.

use std::collections::{BTreeMap, BTreeSet};

use super::advice::{self, nearest};
use super::columns::RESULTS;
use super::environment;
use super::scan::{Scan, Use, scan};
use super::snippets::Snippets;
use super::{Part, Source, TemplateError};

/// The names inside a value.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Inside {
    /// Anything, as in a JSON document.
    Unknown,
    Known(BTreeMap<String, Inside>),
}

/// What the templates of one model may refer to.
#[derive(Debug)]
pub struct Names {
    known: BTreeMap<String, Inside>,
}

/// The hint for a name that resembles none.
const THE_ROW: &str = "Columns of the row are {{ record.column }}; the recipient is {{ party.name }}, {{ party.email }}.";

/// A name that does not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undefined {
    /// Where, and what.
    pub error: TemplateError,
    pub hint: Option<String>,
    /// The template asks first whether it is there, so that mails do not fail.
    pub is_guarded: bool,
}

impl Names {
    /// Takes the columns of the record: an object whose values are the same for composite types, empty for those that have nothing in
    /// them, such as texts, and else null. Under the name
    /// [`RESULTS`] it has the calls whose results there may be.
    pub fn new(columns: &serde_json::Value) -> Self {
        let strings = |names: &[&str]| {
            let known = names
                .iter()
                .map(|name| ((*name).to_owned(), Inside::Unknown));
            Inside::Known(known.collect())
        };
        let environment = environment::environment();
        let mut known: BTreeMap<String, Inside> = environment
            .globals()
            .map(|(name, _)| (name.to_owned(), Inside::Unknown))
            .collect();
        let mut record = inside(columns);
        if let Inside::Known(columns) = &mut record
            && let Some(results) = columns.remove(RESULTS)
        {
            known.insert("results".to_owned(), results);
        }
        known.insert("record".to_owned(), record);
        let party = ["id", "name", "email", "language", "time_zone"];
        known.insert("party".to_owned(), strings(&party));
        known.insert("scenario".to_owned(), strings(&["name"]));
        known.insert("activity".to_owned(), strings(&["name"]));
        Names { known }
    }

    /// Knows these names no more.
    pub(super) fn without(mut self, names: &[&str]) -> Self {
        for name in names {
            self.known.remove(*name);
        }
        self
    }

    /// Knows no more than one name within each of these.
    pub(super) fn only(names: BTreeMap<&str, &str>) -> Self {
        let known = names.into_iter().map(|(name, within)| {
            let within = BTreeMap::from([(within.to_owned(), Inside::Unknown)]);
            (name.to_owned(), Inside::Known(within))
        });
        Names {
            known: known.collect(),
        }
    }

    /// Gives the undefined names of a part and of the snippets that it uses, in the order in which they stand.
    ///
    /// What is asked about in a snippet is not reported: it is there for models that have it.
    ///
    /// # Errors
    /// Snippets that cannot be used, as [`super::MailTemplate::compile`] reports them.
    pub(super) fn undefined(
        &self,
        part: Part,
        source: Source<'_>,
        snippets: &Snippets,
    ) -> Result<Vec<Undefined>, TemplateError> {
        let environment = environment::environment();
        let used = snippets.used_by(&environment, part, source.text, source.snippets)?;
        let scans: Vec<(Option<&str>, &str, Scan)> = std::iter::once((None, source.text))
            .chain(used.iter().map(|used| (Some(used.name), used.text)))
            .map(|(name, text)| (name, text, scan(text)))
            .collect();
        // A snippet sees what its user sets.
        let assigned: BTreeSet<&str> = scans
            .iter()
            .flat_map(|(_, _, scan)| scan.assigned.iter().map(String::as_str))
            .collect();
        let mut undefined = Vec::new();
        for (snippet, text, scan) in &scans {
            for found in &scan.uses {
                if (found.guarded && snippet.is_some()) || assigned.contains(found.path[0].as_str())
                {
                    continue;
                }
                if let Some((message, hint)) = self.complaint(found) {
                    let error = TemplateError::at(part, text, found.offset, message);
                    undefined.push(Undefined {
                        error: error.in_snippet(*snippet),
                        hint,
                        is_guarded: found.guarded,
                    });
                }
            }
        }
        Ok(undefined)
    }

    /// What is wrong with a path, and what may have been meant.
    fn complaint(&self, found: &Use) -> Option<(String, Option<String>)> {
        let mut names = &self.known;
        for (depth, name) in found.path.iter().enumerate() {
            match names.get(name) {
                Some(Inside::Known(inside)) => names = inside,
                Some(Inside::Unknown) => return None,
                None => {
                    let above = found.path[..depth].join(".");
                    let message = match above.as_str() {
                        "" => format!("variable {name:?} does not exist"),
                        "record" => format!("the record has no column {name:?}"),
                        "results" => {
                            format!("no activity of the scenario that calls is named {name:?}")
                        }
                        above => format!("{above} has no {name:?}"),
                    };
                    let meant =
                        match (depth, self.known.get("record")) {
                            (0, Some(Inside::Known(columns))) if columns.contains_key(name) => {
                                Some(format!("record.{name}"))
                            }
                            _ => nearest(name, names.keys().map(String::as_str)).map(|meant| {
                                match above.as_str() {
                                    "" => meant.to_owned(),
                                    above => format!("{above}.{meant}"),
                                }
                            }),
                        };
                    let hint = match names.is_empty() {
                        true => Some(advice::for_part(&above, name)),
                        false => meant.map(|meant| format!("Did you mean {meant}?")),
                    };
                    return Some((
                        message,
                        hint.or_else(|| match depth {
                            0 => Some(
                                advice::for_variable(name).unwrap_or_else(|| THE_ROW.to_owned()),
                            ),
                            _ => None,
                        }),
                    ));
                }
            }
        }
        None
    }
}

fn inside(columns: &serde_json::Value) -> Inside {
    match columns.as_object() {
        None => Inside::Unknown,
        Some(columns) => Inside::Known(
            columns
                .iter()
                .map(|(name, within)| (name.clone(), inside(within)))
                .collect(),
        ),
    }
}
