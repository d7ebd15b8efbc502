//! What the page shows: numbers worded in the reader's language, and the measures of the pictures.

mod comparison;
mod domains;
mod hours;
mod parts;
mod tree;
mod words;

use serde::Serialize;

use super::data::{Cohort, Data, Link};
use super::texts::Texts;
use comparison::ComparisonView;
use domains::DomainsView;
use hours::HoursView;
use parts::{Cell, Figure, Table};
use tree::MailView;
use words::Words;

#[derive(Debug, Serialize)]
pub(super) struct View {
    language: &'static str,
    direction: &'static str,
    text: &'static Texts,
    heading: String,
    period: String,
    state: String,
    as_of: String,
    figures: Vec<Figure>,
    mails: Vec<MailView>,
    links: Table,
    domains: DomainsView,
    hours: HoursView,
    cohorts: Table,
    comparisons: Vec<ComparisonView>,
}

impl View {
    pub(super) fn new(data: &Data, language: &str) -> Self {
        let words = Words::new(language);
        let text = words.text;
        Self {
            language: text.language,
            direction: words.direction(),
            text,
            heading: data.title.clone().unwrap_or_else(|| data.name.clone()),
            period: period(&words, data),
            state: match data.state.as_str() {
                "draft" => text.draft.to_owned(),
                "running" => text.running.to_owned(),
                "stopped" => text.stopped.to_owned(),
                other => other.to_owned(),
            },
            as_of: words.fill(text.as_of, &[&words.moment(&data.now)]),
            figures: figures(&words, data),
            mails: tree::view(&words, &data.mails),
            links: links(&words, &data.links, data.links_left),
            domains: domains::view(&words, &data.domains),
            hours: hours::view(&words, &data.hours),
            cohorts: cohorts(&words, &data.cohorts, data.cohorts_left),
            comparisons: data
                .comparisons
                .iter()
                .map(|comparison| comparison::view(&words, comparison))
                .collect(),
        }
    }
}

fn period(words: &Words, data: &Data) -> String {
    match (&data.from, &data.to) {
        (None, None) => words.text.whole.to_owned(),
        (Some(from), None) => words.fill(words.text.from_date, &[&words.date(from)]),
        (None, Some(to)) => words.fill(words.text.until_date, &[&words.date(to)]),
        (Some(from), Some(to)) => format!("{} – {}", words.date(from), words.date(to)),
    }
}

fn figures(words: &Words, data: &Data) -> Vec<Figure> {
    let text = words.text;
    let sum = |of: fn(&super::data::Mail) -> i64| data.mails.iter().map(of).sum::<i64>();
    let (sent, opened, clicked) = (sum(|m| m.sent), sum(|m| m.opened), sum(|m| m.clicked));
    let mut figures = vec![
        words.figure("", text.entered, data.records),
        words.share("", text.blocked, data.blocked, data.records),
    ];
    if data.held_out > 0 {
        figures.push(words.share("", text.held_out, data.held_out, data.records));
    }
    figures.extend([
        words.figure("", text.sent, sent),
        words.share("", text.opened, opened, sent),
        words.share("", text.clicked, clicked, sent),
        words.figure("", text.conversions, data.conversions),
    ]);
    figures.extend(data.value.as_deref().map(|value| Figure {
        class: "",
        label: text.value,
        value: words.decimal(value),
    }));
    figures
}

fn links(words: &Words, links: &[Link], left: i64) -> Table {
    let text = words.text;
    Table {
        head: vec![
            text.link,
            text.mail,
            text.people,
            text.clicks,
            text.share,
            text.robots,
        ],
        rows: links
            .iter()
            .map(|link| {
                vec![
                    Cell::plain(match &link.label {
                        Some(label) => format!("{label} · {}", link.link),
                        None => link.link.clone(),
                    }),
                    Cell::plain(&link.mail),
                    Cell::plain(words.number(link.people)),
                    Cell::plain(words.number(link.clicks)),
                    Cell {
                        class: shade(link.share.unwrap_or_default()),
                        text: link
                            .share
                            .map_or(String::new(), |share| words.percent(share)),
                    },
                    Cell::plain(words.number(link.robots)),
                ]
            })
            .collect(),
        more: words.more(left),
    }
}

fn cohorts(words: &Words, cohorts: &[Cohort], left: i64) -> Table {
    let text = words.text;
    // Of the best cell: shares of one per cent would all look alike among those of a hundred.
    let share = |part: i64, cohort: &Cohort| part as f64 / cohort.entered.max(1) as f64;
    let best = cohorts
        .iter()
        .map(|cohort| share(cohort.in_30, cohort))
        .fold(0.0, f64::max);
    let cell = |part: i64, cohort: &Cohort| Cell {
        class: match best > 0.0 {
            true => shade(share(part, cohort) / best),
            false => shade(0.0),
        },
        text: words.with_share(part, cohort.entered),
    };
    let with_value = cohorts.iter().any(|cohort| cohort.value.is_some());
    let mut head = vec![
        text.week,
        text.entered,
        text.mailed,
        text.in_1_day,
        text.in_7_days,
        text.in_30_days,
    ];
    head.extend(with_value.then_some(text.value));
    Table {
        head,
        rows: cohorts
            .iter()
            .map(|cohort| {
                let mut row = vec![
                    Cell::plain(words.date(&cohort.week)),
                    Cell::plain(words.number(cohort.entered)),
                    Cell::plain(words.number(cohort.mailed)),
                    cell(cohort.in_1, cohort),
                    cell(cohort.in_7, cohort),
                    cell(cohort.in_30, cohort),
                ];
                if with_value {
                    let value = cohort.value.as_deref();
                    row.push(Cell::plain(
                        value.map_or(String::new(), |v| words.decimal(v)),
                    ));
                }
                row
            })
            .collect(),
        more: words.more(left),
    }
}

/// One of nine shades for a share between 0 and 1.
fn shade(share: f64) -> &'static str {
    const SHADES: [&str; 9] = ["s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8"];
    SHADES[((share.clamp(0.0, 1.0) * 8.0).ceil() as usize).min(8)]
}
