//! Methods that a template calls, of values of the row: those that do not exist are refused when it is written.

use std::collections::BTreeSet;

use super::scan::{Method, scan};
use super::{Part, TemplateError, advice, jinja2};

/// What a loop and a macro's caller have.
const BUILT_IN: [&str; 3] = ["loop", "self", "caller"];

/// The methods that the sources of one part call.
#[derive(Default)]
pub(super) struct Methods<'a> {
    found: Vec<(Option<&'a str>, &'a str, Vec<Method>)>,
    /// Names of imported snippets, whose macros are called as methods are.
    modules: BTreeSet<String>,
}

impl<'a> Methods<'a> {
    pub(super) fn add(&mut self, snippet: Option<&'a str>, text: &'a str) {
        let scan = scan(text);
        self.modules.extend(scan.markup);
        self.found.push((snippet, text, scan.methods));
    }

    /// Refuses the first that no value has.
    pub(super) fn refuse_unknown(self, part: Part) -> Result<(), TemplateError> {
        let is_unknown = |method: &&Method| {
            !jinja2::is_method(&method.name)
                && !method.root.as_ref().is_some_and(|root| {
                    BUILT_IN.contains(&root.as_str()) || self.modules.contains(root)
                })
        };
        for (snippet, text, methods) in &self.found {
            if let Some(method) = methods.iter().find(is_unknown) {
                let message = format!("no value has a method {:?}", method.name);
                let error = TemplateError::at(part, text, method.offset, message);
                return Err(error
                    .in_snippet(*snippet)
                    .with_hint(advice::for_method(&method.name)));
            }
        }
        Ok(())
    }
}
