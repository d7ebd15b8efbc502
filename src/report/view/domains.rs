//! Recipient domains over time: a chart for each, all on a scale of its own, as small domains are those that refuse.

use serde::Serialize;

use super::parts::{Cell, Figure, Table};
use super::words::Words;
use crate::report::chart::{Bar, stacked};
use crate::report::data::{Domain, Domains};

#[derive(Debug, Serialize)]
pub(super) struct DomainsView {
    rows: Vec<DomainView>,
    /// The sums of all domains by period.
    numbers: Table,
    first: String,
    last: String,
}

#[derive(Debug, Serialize)]
struct DomainView {
    name: String,
    bars: Vec<Bar>,
    figures: Vec<Figure>,
    described: String,
}

pub(super) fn view(words: &Words, domains: &Domains) -> DomainsView {
    let text = words.text;
    let date = |start: Option<&String>| start.map_or(String::new(), |start| words.date(start));
    DomainsView {
        rows: domains
            .rows
            .iter()
            .map(|row| one(words, row, &domains.starts))
            .collect(),
        numbers: Table {
            head: vec![
                match domains.unit.as_str() {
                    "week" => text.week,
                    "month" => text.month,
                    _ => text.day,
                },
                text.sent,
                text.lost,
            ],
            rows: domains
                .starts
                .iter()
                .enumerate()
                .map(|(index, start)| {
                    let sum = |of: fn(&Domain) -> &[i64]| {
                        let at = |row| of(row).get(index).copied().unwrap_or_default();
                        domains.rows.iter().map(at).sum::<i64>()
                    };
                    vec![
                        Cell::plain(words.date(start)),
                        Cell::plain(words.number(sum(|row| &row.taken))),
                        Cell::plain(words.number(sum(|row| &row.lost))),
                    ]
                })
                .collect(),
            more: None,
        },
        first: date(domains.starts.first()),
        last: date(domains.starts.last().filter(|_| domains.starts.len() > 1)),
    }
}

fn one(words: &Words, row: &Domain, starts: &[String]) -> DomainView {
    let text = words.text;
    let sums: Vec<i64> = row
        .taken
        .iter()
        .zip(&row.lost)
        .map(|(taken, lost)| taken + lost)
        .collect();
    let highest = sums.iter().copied().max().unwrap_or_default();
    let when = sums
        .iter()
        .position(|sum| *sum == highest)
        .and_then(|index| starts.get(index));
    let tried = row.sent + row.failed;
    let mut figures = vec![
        words.figure("taken", text.sent, row.sent),
        words.share("", text.opened, row.opened, row.sent),
        words.share("lost", text.lost, row.failed + row.returned, tried),
    ];
    let rest = [
        (text.complaints, row.complaints),
        (text.deferred, row.deferrals),
    ];
    figures.extend(
        rest.into_iter()
            .filter(|(_, number)| *number > 0)
            .map(|(label, number)| words.figure("", label, number)),
    );
    DomainView {
        name: match (&row.domain, row.others) {
            (_, true) => text.others.to_owned(),
            (Some(domain), false) => domain.clone(),
            (None, false) => text.no_domain.to_owned(),
        },
        bars: stacked([("taken", &row.taken), ("lost", &row.lost)], highest),
        figures,
        described: when.map_or(String::new(), |start| {
            words.fill(text.most, &[&words.number(highest), &words.date(start)])
        }),
    }
}
