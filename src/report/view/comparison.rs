//! Groups that were drawn by lot, and the difference between them.

use serde::Serialize;

use super::parts::{Cell, Table};
use super::words::Words;
use crate::report::chart::{Bar, interval};
use crate::report::data::{Comparison, Effect, Group};

#[derive(Debug, Serialize)]
pub(super) struct ComparisonView {
    heading: String,
    groups: Table,
    effects: Vec<EffectView>,
}

#[derive(Debug, Serialize)]
struct EffectView {
    name: String,
    difference: String,
    interval: String,
    verdict: &'static str,
    bars: Vec<Bar>,
}

pub(super) fn view(words: &Words, comparison: &Comparison) -> ComparisonView {
    let text = words.text;
    ComparisonView {
        heading: match &comparison.about {
            Some(activity) => words.fill(text.comparison, &[activity]),
            None => text.effect.to_owned(),
        },
        groups: Table {
            head: vec![
                text.group,
                text.people,
                match comparison.metric.as_str() {
                    "opens" => text.opened,
                    "clicks" => text.clicked,
                    _ => text.converted,
                },
            ],
            rows: comparison
                .groups
                .iter()
                .map(|group| {
                    vec![
                        Cell::plain(name(words, group)),
                        Cell::plain(words.number(group.people)),
                        Cell::plain(group.reached.map_or(String::new(), |reached| {
                            words.with_share(reached, group.people)
                        })),
                    ]
                })
                .collect(),
            more: None,
        },
        effects: comparison
            .effects
            .iter()
            .map(|effect| one(words, effect))
            .collect(),
    }
}

fn name(words: &Words, group: &Group) -> String {
    match (&group.name, group.kind.as_deref()) {
        (Some(name), _) if group.winner => words.fill(words.text.winner, &[name]),
        (Some(name), _) => name.clone(),
        (None, Some("held_out")) => words.text.held_out.to_owned(),
        (None, Some("rest")) => words.text.rest.to_owned(),
        (None, _) => words.text.mailed.to_owned(),
    }
}

fn one(words: &Words, effect: &Effect) -> EffectView {
    let text = words.text;
    EffectView {
        name: effect.name.clone().unwrap_or_default(),
        difference: words.points(effect.difference),
        interval: format!(
            "{} … {}",
            words.points(effect.low),
            words.points(effect.high)
        ),
        verdict: match effect.low <= 0.0 && effect.high >= 0.0 {
            true => text.chance,
            false => text.clear,
        },
        bars: interval(effect.low, effect.difference, effect.high),
    }
}
