//! After how many hours people read.

use serde::Serialize;

use super::parts::{Cell, Table};
use super::words::Words;
use crate::report::chart::{Bar, columns};

/// The last hour holds all that came later.
const LAST: i64 = 72;

#[derive(Debug, Serialize)]
pub(super) struct HoursView {
    opened: Vec<Bar>,
    clicked: Vec<Bar>,
    half: Option<String>,
    opened_most: String,
    clicked_most: String,
    numbers: Table,
}

pub(super) fn view(words: &Words, hours: &[(i64, i64, i64)]) -> HoursView {
    let text = words.text;
    let opened: Vec<i64> = hours.iter().map(|(_, opened, _)| *opened).collect();
    let clicked: Vec<i64> = hours.iter().map(|(_, _, clicked)| *clicked).collect();
    // Each on a scale of its own: clicks are few.
    let most = |values: &[i64]| values.iter().copied().max().unwrap_or_default();
    let name = |hour: i64| match hour {
        LAST => format!("≥ {}", words.number(hour)),
        _ => words.number(hour),
    };
    let described = |values: &[i64]| {
        let highest = most(values);
        let fullest = values.iter().position(|value| *value == highest);
        let hour = fullest.and_then(|index| hours.get(index));
        hour.map_or(String::new(), |(hour, _, _)| {
            words.fill(text.most, &[&words.number(highest), &name(*hour)])
        })
    };
    HoursView {
        opened: columns("opened", &opened, most(&opened)),
        clicked: columns("clicked", &clicked, most(&clicked)),
        half: half(hours).map(|hour| words.fill(text.half, &[&words.number(hour)])),
        opened_most: described(&opened),
        clicked_most: described(&clicked),
        numbers: Table {
            head: vec![text.hour, text.opened, text.clicked],
            rows: hours
                .iter()
                .filter(|(_, opened, clicked)| opened + clicked > 0)
                .map(|(hour, opened, clicked)| {
                    vec![
                        Cell::plain(name(*hour)),
                        Cell::plain(words.number(*opened)),
                        Cell::plain(words.number(*clicked)),
                    ]
                })
                .collect(),
            more: None,
        },
    }
}

/// At the end of which hour half of the opens had come; none where that was after the last whole one.
fn half(hours: &[(i64, i64, i64)]) -> Option<i64> {
    let all: i64 = hours.iter().map(|(_, opened, _)| opened).sum();
    let mut until = 0;
    hours
        .iter()
        .find(|(_, opened, _)| {
            until += opened;
            2 * until >= all
        })
        .map(|(hour, _, _)| hour + 1)
        .filter(|hour| all > 0 && *hour <= LAST)
}

#[cfg(test)]
mod tests {
    use super::half;

    #[test]
    fn half_of_the_opens_had_come_by_the_end_of_an_hour() {
        assert_eq!(half(&[(0, 5, 0), (1, 5, 0)]), Some(1));
        assert_eq!(half(&[(0, 4, 0), (1, 1, 0), (2, 5, 0)]), Some(2));
        assert_eq!(half(&[(0, 1, 0), (72, 9, 0)]), None);
        assert_eq!(half(&[(0, 0, 7)]), None);
        assert_eq!(half(&[]), None);
    }
}
