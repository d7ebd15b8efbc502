//! Measures of the pictures: rectangles on a canvas that the page stretches to its width. Text stands beside them, as it must not be
//! stretched.

use serde::Serialize;

/// Width of a canvas.
const WIDTH: f64 = 1000.0;
/// Height of a canvas.
const HEIGHT: f64 = 100.0;
/// Least extent of what is more than nothing.
const VISIBLE: f64 = 1.5;

/// A rectangle, and what it stands for: a class of the style sheet.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Bar {
    pub(super) class: &'static str,
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

/// Keeps the page small: a tenth of a unit is less than a pixel.
fn rounded(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// The length of a part; the whole where there is more, as counts of events may be above those of mails.
fn length(part: i64, whole: i64, full: f64) -> f64 {
    if part <= 0 || whole <= 0 {
        return 0.0;
    }
    rounded((full * part as f64 / whole as f64).clamp(VISIBLE, full))
}

/// Bars inside each other, from the left, each thinner than the one before.
pub(super) fn nested(parts: &[(&'static str, i64)], whole: i64) -> Vec<Bar> {
    let step = HEIGHT / (2.0 * parts.len().max(1) as f64);
    parts
        .iter()
        .enumerate()
        .map(|(index, (class, part))| Bar {
            class,
            x: 0.0,
            y: rounded(index as f64 * step),
            width: length(*part, whole, WIDTH),
            height: rounded(HEIGHT - 2.0 * index as f64 * step),
        })
        .filter(|bar| bar.width > 0.0)
        .collect()
}

/// A column for each value, from the bottom; the second series stands on the first.
pub(super) fn stacked(series: [(&'static str, &[i64]); 2], highest: i64) -> Vec<Bar> {
    let [lower, upper] = series;
    let mut bars = columns(lower.0, lower.1, highest);
    let base: Vec<f64> = lower
        .1
        .iter()
        .map(|value| length(*value, highest, HEIGHT))
        .collect();
    let mut above = columns(upper.0, upper.1, highest);
    let step = WIDTH / lower.1.len().max(1) as f64;
    for bar in &mut above {
        let place = (bar.x / step).floor() as usize;
        let below = base.get(place).copied().unwrap_or_default();
        bar.y = rounded((bar.y - below).max(0.0));
    }
    bars.extend(above);
    bars
}

/// A column for each value, from the bottom.
pub(super) fn columns(class: &'static str, values: &[i64], highest: i64) -> Vec<Bar> {
    let step = WIDTH / values.len().max(1) as f64;
    values
        .iter()
        .enumerate()
        .map(|(index, value)| {
            let height = length(*value, highest, HEIGHT);
            Bar {
                class,
                x: rounded((index as f64 + 0.1) * step),
                y: rounded(HEIGHT - height),
                width: rounded(step * 0.8),
                height,
            }
        })
        .filter(|bar| bar.height > 0.0)
        .collect()
}

/// Where zero, an interval and the value in it lie on a line that shows all of them.
pub(super) fn interval(low: f64, value: f64, high: f64) -> Vec<Bar> {
    let least = low.min(0.0);
    let span = (high.max(0.0) - least).max(1e-9);
    // Room at both ends, so that a mark there is seen whole.
    let place = |at: f64| rounded(WIDTH * (0.05 + 0.9 * (at - least) / span));
    let mark = |class, at: f64, y, width: f64, height| Bar {
        class,
        x: rounded(place(at) - width / 2.0),
        y,
        width,
        height,
    };
    vec![
        Bar {
            class: "axis",
            x: 0.0,
            y: 48.0,
            width: WIDTH,
            height: 4.0,
        },
        mark("zero", 0.0, 0.0, 4.0, HEIGHT),
        Bar {
            class: "interval",
            x: place(low),
            y: 30.0,
            width: rounded((place(high) - place(low)).max(VISIBLE)),
            height: 40.0,
        },
        mark("value", value, 10.0, 10.0, 80.0),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_never_longer_than_the_whole_nor_too_short_to_see() {
        assert_eq!(length(1, 2, 1000.0), 500.0);
        assert_eq!(length(1, 300_000, 1000.0), VISIBLE);
        assert_eq!(length(7, 3, 1000.0), 1000.0);
        assert_eq!(length(0, 3, 1000.0), 0.0);
        assert_eq!(length(3, 0, 1000.0), 0.0);
        assert_eq!(length(-3, 3, 1000.0), 0.0);
    }

    #[test]
    fn bars_lie_inside_each_other() {
        let bars = nested(
            &[
                ("sent", 10),
                ("opened", 5),
                ("clicked", 0),
                ("converted", 1),
            ],
            20,
        );
        let shown: Vec<_> = bars.iter().map(|bar| (bar.class, bar.width)).collect();
        assert_eq!(
            shown,
            [("sent", 500.0), ("opened", 250.0), ("converted", 50.0)]
        );
        for pair in bars.windows(2) {
            assert!(pair[1].y > pair[0].y && pair[1].height < pair[0].height);
        }
        assert_eq!(nested(&[], 3), []);
    }

    #[test]
    fn the_second_series_stands_on_the_first() {
        let bars = stacked([("taken", &[50, 0, 100]), ("lost", &[50, 10, 0])], 100);
        let shown: Vec<_> = bars
            .iter()
            .map(|bar| (bar.class, bar.y, bar.height))
            .collect();
        assert_eq!(
            shown,
            [
                ("taken", 50.0, 50.0),
                ("taken", 0.0, 100.0),
                ("lost", 0.0, 50.0),
                ("lost", 90.0, 10.0)
            ]
        );
        assert_eq!(columns("taken", &[], 3), []);
    }

    #[test]
    fn an_interval_shows_zero_and_stays_on_the_line() {
        for (low, value, high) in [
            (0.01, 0.02, 0.03),
            (-0.03, -0.02, -0.01),
            (-0.5, 0.0, 0.5),
            (0.0, 0.0, 0.0),
            (-1.0, 1.0, 1.0),
        ] {
            for bar in interval(low, value, high) {
                assert!(
                    bar.x >= 0.0 && bar.x + bar.width <= WIDTH,
                    "{low} {value} {high}: {bar:?}"
                );
            }
        }
    }
}
