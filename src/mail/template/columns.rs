//! Which columns of the record templates read: what a mail has to take along.

use std::collections::BTreeSet;

use super::scan::Scan;

/// Stands for the results of calls among the columns of the record, which they come along with: no column has an empty name.
pub const RESULTS: &str = "";

/// Columns of the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Columns {
    /// Templates take the record as a whole, or choose columns when they run.
    All,
    Some(BTreeSet<String>),
}

impl Default for Columns {
    fn default() -> Self {
        Columns::Some(BTreeSet::new())
    }
}

impl Columns {
    /// Adds what one source reads.
    pub(super) fn add(&mut self, scan: &Scan) {
        for found in &scan.uses {
            match (&mut *self, found.path[0].as_str(), found.path.get(1)) {
                (Columns::Some(names), "record", Some(name)) => {
                    names.insert(name.clone());
                }
                // {{ record }}, record[name], a loop over it, another name for it.
                (_, "record", _) => *self = Columns::All,
                (Columns::Some(names), "results", _) => {
                    names.insert(RESULTS.to_owned());
                }
                _ => {}
            }
        }
    }
}
