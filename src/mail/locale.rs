//! Dates, numbers, amounts and durations as the recipient writes them (Unicode CLDR data by ICU4X, zones by jiff).
//!
//! Values come as the text that PostgreSQL's `to_jsonb` gives. Errors are reasons, without the filter's name and the
//! value, which the caller adds.

mod amount;
mod date;
mod interval;
mod language;

use jiff::tz::TimeZone;

pub use language::{fallbacks, for_text, is_right_to_left, normalized, primary};

/// How one recipient writes dates and numbers.
#[derive(Debug)]
pub struct Locale {
    icu: icu_locale_core::Locale,
    zone: TimeZone,
}

impl Locale {
    /// Takes a BCP 47 or POSIX language tag and an IANA time zone name; both may be empty. A zone that does not exist is UTC: it is no
    /// reason not to send a mail.
    pub fn new(language: &str, time_zone: &str) -> Self {
        let zone = match time_zone {
            "" | "UTC" => TimeZone::UTC,
            name => TimeZone::get(name).unwrap_or(TimeZone::UTC),
        };
        Locale {
            icu: language::resolve(language),
            zone,
        }
    }
}

/// Names one of the four lengths that CLDR has for dates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Length {
    Short,
    Medium,
    Long,
    Full,
}

impl Length {
    fn parse(name: Option<&str>, default: Length) -> Result<Length, String> {
        match name {
            None => Ok(default),
            Some("short") => Ok(Length::Short),
            Some("medium") => Ok(Length::Medium),
            Some("long") => Ok(Length::Long),
            Some("full") => Ok(Length::Full),
            Some(other) => Err(format!(
                "format {other:?} is none of short, medium, long, full"
            )),
        }
    }
}

#[cfg(test)]
mod tests;
