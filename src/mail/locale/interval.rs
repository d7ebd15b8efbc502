//! Durations: PostgreSQL intervals and numbers of seconds.

use icu_experimental::duration::options::{BaseStyle, DurationFormatterOptions};
use icu_experimental::duration::{
    Duration, DurationFormatter, DurationSign, ValidatedDurationFormatterOptions,
};

use super::{Length, Locale};

const SECONDS_PER_DAY: i64 = 86_400;

/// A PostgreSQL interval: its three independent fields, without fractions of a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Interval {
    months: i64,
    days: i64,
    seconds: i64,
}

impl Locale {
    /// Formats a duration in words, down to the second, leaving out what is zero.
    ///
    /// The value is an interval in PostgreSQL's `postgres` or `iso_8601` style, or a number of seconds. `format` is
    /// `long` (default), `medium` or `short`.
    pub fn format_timedelta(&self, value: &str, format: Option<&str>) -> Result<String, String> {
        let base = match Length::parse(format, Length::Long)? {
            Length::Short => BaseStyle::Narrow,
            Length::Medium => BaseStyle::Short,
            Length::Long | Length::Full => BaseStyle::Long,
        };
        let interval = Interval::parse(value).ok_or("no interval")?;
        let duration = interval
            .to_duration()
            .ok_or("an interval whose months, days and time differ in sign")?;
        let mut options = DurationFormatterOptions::default();
        options.base = base;
        if duration == Duration::default() {
            options.second_visibility =
                Some(icu_experimental::duration::options::FieldDisplay::Always);
        }
        let options = ValidatedDurationFormatterOptions::validate(options)
            .map_err(|error| format!("{error:?}"))?;
        let formatter = DurationFormatter::try_new((&self.icu).into(), options)
            .map_err(|error| error.to_string())?;
        Ok(formatter.format(&duration).to_string())
    }
}

impl Interval {
    /// Reads `1 year 2 mons 3 days 04:05:06.7`, `-1 days +02:03:00`, `P1Y2M3DT4H5M6S` or `5400`.
    fn parse(text: &str) -> Option<Interval> {
        if text.starts_with(['P', '-', '+']) && text.contains('P') {
            return Self::parse_iso(text);
        }
        if let Ok(seconds) = text.parse::<f64>() {
            // i64 holds any number of seconds that a calendar can mean; beyond that it is no duration.
            return (seconds.abs() < 1e15).then(|| Interval {
                seconds: seconds.trunc() as i64,
                ..Self::default()
            });
        }
        let mut interval = Interval::default();
        let mut words = text.split_ascii_whitespace();
        let mut found = false;
        while let Some(word) = words.next() {
            if word.contains(':') {
                interval.seconds = interval.seconds.checked_add(clock(word)?)?;
            } else {
                let number: i64 = word.parse().ok()?;
                let (months, days) = match words.next()? {
                    "year" | "years" => (12, 0),
                    "mon" | "mons" | "month" | "months" => (1, 0),
                    "week" | "weeks" => (0, 7),
                    "day" | "days" => (0, 1),
                    _ => return None,
                };
                interval.months = interval.months.checked_add(number.checked_mul(months)?)?;
                interval.days = interval.days.checked_add(number.checked_mul(days)?)?;
            }
            found = true;
        }
        found.then_some(interval)
    }

    fn parse_iso(text: &str) -> Option<Interval> {
        let span: jiff::Span = text.parse().ok()?;
        let months = i64::from(span.get_years()) * 12 + i64::from(span.get_months());
        let days = i64::from(span.get_weeks()) * 7 + i64::from(span.get_days());
        let minutes = i64::from(span.get_hours()) * 60 + span.get_minutes();
        Some(Interval {
            months,
            days,
            seconds: minutes * 60 + span.get_seconds(),
        })
    }

    /// Gives the fields that CLDR has words for; days take up whole days of the time, as `justify_hours` does.
    fn to_duration(self) -> Option<Duration> {
        let seconds = self
            .days
            .checked_mul(SECONDS_PER_DAY)?
            .checked_add(self.seconds)?;
        let negative = match (self.months.signum(), seconds.signum()) {
            (-1, 1) | (1, -1) => return None,
            (months, seconds) => months < 0 || seconds < 0,
        };
        let (months, seconds) = (self.months.unsigned_abs(), seconds.unsigned_abs());
        let day = SECONDS_PER_DAY.unsigned_abs();
        Some(Duration {
            sign: if negative {
                DurationSign::Negative
            } else {
                DurationSign::Positive
            },
            years: months / 12,
            months: months % 12,
            days: seconds / day,
            hours: seconds % day / 3_600,
            minutes: seconds % 3_600 / 60,
            seconds: seconds % 60,
            ..Duration::default()
        })
    }
}

/// Reads `[+-]hh:mm[:ss[.ffffff]]` as seconds; hours may have more than two digits.
fn clock(word: &str) -> Option<i64> {
    let (sign, digits) = match word.as_bytes().first()? {
        b'-' => (-1, &word[1..]),
        b'+' => (1, &word[1..]),
        _ => (1, word),
    };
    let whole = digits.split('.').next()?;
    let mut fields = whole
        .split(':')
        .map(|field| field.parse::<u32>().ok().map(i64::from));
    let (hours, minutes) = (fields.next()??, fields.next()??);
    let seconds = match fields.next() {
        Some(seconds) => seconds?,
        None => 0,
    };
    if fields.next().is_some() || minutes > 59 || seconds > 59 {
        return None;
    }
    Some(sign * (hours * 3_600 + minutes * 60 + seconds))
}
