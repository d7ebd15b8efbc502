//! Numbers, dates and texts in the language of a report.

use crate::mail::locale::{Locale, for_text, is_right_to_left};
use crate::report::texts::{Texts, filled, texts};

use super::parts::Figure;

pub(super) struct Words {
    pub(super) text: &'static Texts,
    locale: Locale,
}

impl Words {
    pub(super) fn new(language: &str) -> Self {
        let text = texts(language);
        Self {
            text,
            locale: Locale::new(for_text(language, text.language), ""),
        }
    }

    pub(super) fn direction(&self) -> &'static str {
        match is_right_to_left(self.text.language) {
            true => "rtl",
            false => "ltr",
        }
    }

    pub(super) fn fill(&self, text: &str, values: &[&str]) -> String {
        filled(text, values)
    }

    pub(super) fn number(&self, number: i64) -> String {
        self.decimal(&number.to_string())
    }

    /// A decimal number; what is none stays as it is.
    pub(super) fn decimal(&self, number: &str) -> String {
        self.locale
            .format_number(number, None)
            .unwrap_or_else(|_| number.to_owned())
    }

    /// A share between 0 and 1 as per cent, with one decimal.
    pub(super) fn percent(&self, share: f64) -> String {
        let number = format!("{:.6}", share * 100.0);
        let number = self
            .locale
            .format_number(&number, Some(1))
            .unwrap_or(number);
        filled(self.text.percent, &[&number])
    }

    /// A difference of shares in percentage points, with its sign.
    pub(super) fn points(&self, difference: f64) -> String {
        let number = format!("{:.6}", difference * 100.0);
        let number = self
            .locale
            .format_number(&number, Some(1))
            .unwrap_or(number);
        match difference > 0.0 {
            true => format!("+{number}"),
            false => number,
        }
    }

    /// A part, and which share of the whole it is; more than the whole is all of it.
    pub(super) fn with_share(&self, part: i64, whole: i64) -> String {
        match whole > 0 {
            true => format!(
                "{} ({})",
                self.number(part),
                self.percent(part as f64 / whole.max(part) as f64)
            ),
            false => self.number(part),
        }
    }

    pub(super) fn figure(&self, class: &'static str, label: &'static str, number: i64) -> Figure {
        Figure {
            class,
            label,
            value: self.number(number),
        }
    }

    pub(super) fn share(
        &self,
        class: &'static str,
        label: &'static str,
        part: i64,
        whole: i64,
    ) -> Figure {
        Figure {
            class,
            label,
            value: self.with_share(part, whole),
        }
    }

    /// A day; what is none stays as it is.
    pub(super) fn date(&self, day: &str) -> String {
        self.locale
            .format_date(&format!("{day}T00:00:00"), None)
            .unwrap_or_else(|_| day.to_owned())
    }

    pub(super) fn moment(&self, moment: &str) -> String {
        self.locale
            .format_datetime(moment, None)
            .unwrap_or_else(|_| moment.to_owned())
    }

    pub(super) fn interval(&self, interval: &str) -> String {
        self.locale
            .format_timedelta(interval, None)
            .unwrap_or_else(|_| interval.to_owned())
    }

    /// That there are more rows than are shown.
    pub(super) fn more(&self, left: i64) -> Option<String> {
        (left > 0).then(|| self.fill(self.text.more, &[&self.number(left)]))
    }
}
