//! How deep elements are nested behind a piece of a template, for every way that its conditions may go.

use std::collections::BTreeMap;

use crate::mail::mjml::Change;

/// An element that is left open, or ended once too often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::mail::template) struct Unbalanced {
    /// The source that it stands in.
    pub(in crate::mail::template) source: String,
    pub(in crate::mail::template) offset: usize,
    pub(in crate::mail::template) message: String,
}

/// What a piece of a template adds to the depth of elements.
#[derive(Debug, Clone, Default)]
pub(super) struct Depth {
    /// Where each choice goes its last way.
    pub(super) sure: i64,
    /// By condition: what its other ways add to that, and an element that does.
    pub(super) choices: BTreeMap<String, Choice>,
    pub(super) culprit: Option<Culprit>,
}

#[derive(Debug, Clone)]
pub(super) struct Choice {
    pub(super) ways: Vec<i64>,
    /// They may be gone more than once.
    pub(super) is_repeated: bool,
    /// Only their sign is known.
    pub(super) is_vague: bool,
    pub(super) what: &'static str,
    pub(super) culprit: Option<Culprit>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Culprit {
    pub(super) source: String,
    pub(super) change: Change,
}

impl Depth {
    /// Adds what follows.
    pub(super) fn add(&mut self, other: Depth) {
        self.sure += other.sure;
        for (condition, choice) in other.choices {
            match self.choices.get_mut(&condition) {
                Some(known) => {
                    known.is_vague |= choice.is_vague;
                    if known.is_vague {
                        known.ways = vec![-1, 1, 0];
                    }
                    for (way, more) in known.ways.iter_mut().zip(&choice.ways) {
                        *way += if known.is_vague { 0 } else { *more };
                    }
                    if known.culprit.is_none() {
                        known.culprit = choice.culprit;
                    }
                }
                None => {
                    self.choices.insert(condition, choice);
                }
            }
        }
        if self.culprit.is_none() {
            self.culprit = other.culprit;
        }
    }

    /// Forgets choices that make no difference.
    pub(super) fn settle(mut self) -> Depth {
        self.choices
            .retain(|_, choice| choice.ways.iter().any(|way| *way != 0));
        self
    }

    pub(super) fn nothing(self) -> Depth {
        Depth::default()
    }

    pub(super) fn is_even(&self) -> bool {
        self.sure == 0 && self.choices.is_empty()
    }

    /// The least and the most that may come out.
    pub(super) fn range(&self) -> (f64, f64) {
        let (mut least, mut most) = (to_f64(self.sure), to_f64(self.sure));
        for choice in self.choices.values() {
            let low = to_f64(choice.ways.iter().copied().min().unwrap_or(0).min(0));
            let high = to_f64(choice.ways.iter().copied().max().unwrap_or(0).max(0));
            let times = |way: f64| match choice.is_repeated && way != 0.0 {
                true => way * f64::INFINITY,
                false => way,
            };
            least += times(low);
            most += times(high);
        }
        (least, most)
    }

    /// What is wrong for some rows at least, whatever conditions mean.
    pub(super) fn fault(self, constants: bool) -> Option<Unbalanced> {
        let depth = self.settle();
        let mut choices = depth.choices.values();
        let (least, most) = depth.range();
        let first = choices.next();
        let is_only = choices.next().is_none();
        let (what, culprit) = match first {
            None if constants && depth.sure != 0 => ("", depth.culprit.as_ref()?),
            None => return None,
            Some(choice) => {
                let is_sure = is_only && !choice.is_vague
                    || least == 0.0
                    || most == 0.0
                    || constants && (least > 0.0 || most < 0.0);
                is_sure.then_some(())?;
                (choice.what, choice.culprit.as_ref()?)
            }
        };
        let Change {
            begins,
            name,
            offset,
        } = &culprit.change;
        let message = match (begins, what) {
            (true, "") => format!("<{name}> is never closed"),
            (false, "") => format!("</{name}> closes nothing that is open"),
            (true, what) => format!("<{name}> is opened in {what} and not closed there"),
            (false, what) => format!("</{name}> in {what} closes what was opened outside of it"),
        };
        Some(Unbalanced {
            source: culprit.source.clone(),
            offset: *offset,
            message,
        })
    }
}

fn to_f64(depth: i64) -> f64 {
    // A source has less than a million elements.
    i32::try_from(depth).map_or(f64::NAN, f64::from)
}
