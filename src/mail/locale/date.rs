//! Dates and points in time.

use icu_calendar::Iso;
use icu_datetime::DateTimeFormatter;
use icu_datetime::fieldsets::{YMD, YMDE};
use icu_datetime::input::{Date, DateTime, Time};
use jiff::Timestamp;
use jiff::civil;

use super::{Length, Locale};

impl Locale {
    /// Formats the day of a date or of a point in time, in the recipient's zone.
    ///
    /// `format` is `short`, `medium` (default), `long` or `full` (with the day of the week).
    pub fn format_date(&self, value: &str, format: Option<&str>) -> Result<String, String> {
        let length = Length::parse(format, Length::Medium)?;
        let day = icu_date(self.local(value)?.date())?;
        let preferences = (&self.icu).into();
        let formatted = match length {
            Length::Short => DateTimeFormatter::try_new(preferences, YMD::short())
                .map(|f| f.format(&day).to_string()),
            Length::Medium => DateTimeFormatter::try_new(preferences, YMD::medium())
                .map(|f| f.format(&day).to_string()),
            Length::Long => DateTimeFormatter::try_new(preferences, YMD::long())
                .map(|f| f.format(&day).to_string()),
            Length::Full => DateTimeFormatter::try_new(preferences, YMDE::long())
                .map(|f| f.format(&day).to_string()),
        };
        formatted.map_err(|error| error.to_string())
    }

    /// Formats day, hour and minute of a point in time, in the recipient's zone.
    ///
    /// A timestamp without offset is taken as local already. `format` as for [`Locale::format_date`].
    pub fn format_datetime(&self, value: &str, format: Option<&str>) -> Result<String, String> {
        let length = Length::parse(format, Length::Medium)?;
        let local = self.local(value)?;
        let hour_and_minute = local.time();
        let moment = DateTime {
            date: icu_date(local.date())?,
            time: Time::try_new(
                unsigned(hour_and_minute.hour()),
                unsigned(hour_and_minute.minute()),
                0,
                0,
            )
            .map_err(|error| error.to_string())?,
        };
        let preferences = (&self.icu).into();
        let formatted = match length {
            Length::Short => DateTimeFormatter::try_new(preferences, YMD::short().with_time_hm())
                .map(|f| f.format(&moment).to_string()),
            Length::Medium => DateTimeFormatter::try_new(preferences, YMD::medium().with_time_hm())
                .map(|f| f.format(&moment).to_string()),
            Length::Long => DateTimeFormatter::try_new(preferences, YMD::long().with_time_hm())
                .map(|f| f.format(&moment).to_string()),
            Length::Full => DateTimeFormatter::try_new(preferences, YMDE::long().with_time_hm())
                .map(|f| f.format(&moment).to_string()),
        };
        formatted.map_err(|error| error.to_string())
    }

    /// Reads a date, a timestamp without zone (local already) or one with an offset (moved to the recipient's zone).
    fn local(&self, value: &str) -> Result<civil::DateTime, String> {
        if let Ok(point) = value.parse::<Timestamp>() {
            return Ok(self.zone.to_datetime(point));
        }
        if let Ok(local) = value.parse::<civil::DateTime>() {
            return Ok(local);
        }
        Err("no ISO 8601 date or timestamp".to_owned())
    }
}

fn icu_date(day: civil::Date) -> Result<Date<Iso>, String> {
    Date::try_new_iso(
        i32::from(day.year()),
        unsigned(day.month()),
        unsigned(day.day()),
    )
    .map_err(|error| error.to_string())
}

/// Jiff gives hours, minutes, months and days as signed numbers that are never negative.
fn unsigned(number: i8) -> u8 {
    number.unsigned_abs()
}
