//! Values as JSON: `tojson`. minijinja's own makes texts of decimals.

use minijinja::value::{Kwargs, Value, ValueKind};
use minijinja::{Error, ErrorKind, State};

use super::decimal::is_decimal;
use super::limits::MAX_OUTPUT_BYTES;
use super::null::is_null;

/// Deepest nesting of lists and objects.
const MAX_DEPTH: usize = 128;

/// Most spaces that one level may be indented by.
const MAX_INDENT: usize = 16;

/// The filter. What it makes is safe in HTML, attributes in quotes apart, and in a script.
pub(super) fn tojson(
    state: &State,
    value: &Value,
    indent: Option<usize>,
    kwargs: Kwargs,
) -> Result<Value, Error> {
    let indent = match indent {
        Some(indent) => Some(indent),
        None => kwargs.get::<Option<usize>>("indent")?,
    };
    kwargs.assert_all_used()?;
    let mut writer = Writer {
        state,
        out: String::new(),
        indent: indent.map(|spaces| spaces.min(MAX_INDENT)),
    };
    writer.value(value, 0)?;
    Ok(Value::from_safe_string(writer.out))
}

/// A value as it stands in JSON; what [`tojson`] has made is there already.
pub(super) fn written(state: &State, value: &Value) -> Result<String, Error> {
    if value.is_safe() {
        return Ok(value.to_string());
    }
    let mut writer = Writer {
        state,
        out: String::new(),
        indent: None,
    };
    writer.value(value, 0)?;
    Ok(writer.out)
}

struct Writer<'a, 'b, 'c> {
    state: &'a State<'b, 'c>,
    out: String,
    /// None: all on one line.
    indent: Option<usize>,
}

impl Writer<'_, '_, '_> {
    fn value(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        self.state.consume_fuel(1)?;
        if depth > MAX_DEPTH || self.out.len() > MAX_OUTPUT_BYTES {
            return Err(Error::new(ErrorKind::InvalidOperation, "tojson: too large"));
        }
        match value.kind() {
            _ if is_null(value) => self.out.push_str("null"),
            _ if is_decimal(value) => self.out.push_str(&value.to_string()),
            ValueKind::Undefined => {
                return Err(Error::new(
                    ErrorKind::UndefinedError,
                    "tojson: the value is undefined",
                ));
            }
            ValueKind::Bool => self
                .out
                .push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => match f64::try_from(value.clone()) {
                Ok(double) if !value.is_integer() && !double.is_finite() => {
                    self.out.push_str("null")
                }
                _ => self.out.push_str(&value.to_string()),
            },
            ValueKind::Seq | ValueKind::Iterable => {
                self.out.push('[');
                let mut is_empty = true;
                for item in value.try_iter()? {
                    self.item(&mut is_empty, depth);
                    self.value(&item, depth + 1)?;
                }
                self.close(is_empty, depth, ']');
            }
            ValueKind::Map => {
                self.out.push('{');
                let mut is_empty = true;
                for key in value.try_iter()? {
                    self.item(&mut is_empty, depth);
                    self.text(&key.to_string())?;
                    self.out.push_str(": ");
                    self.value(&value.get_item(&key)?, depth + 1)?;
                }
                self.close(is_empty, depth, '}');
            }
            _ => self.text(&value.to_string())?,
        }
        Ok(())
    }

    fn item(&mut self, is_first: &mut bool, depth: usize) {
        if !std::mem::take(is_first) {
            self.out
                .push_str(if self.indent.is_some() { "," } else { ", " });
        }
        self.line(depth + 1);
    }

    fn close(&mut self, is_empty: bool, depth: usize, bracket: char) {
        if !is_empty {
            self.line(depth);
        }
        self.out.push(bracket);
    }

    fn line(&mut self, depth: usize) {
        if let Some(spaces) = self.indent {
            self.out.push('\n');
            self.out.extend(std::iter::repeat_n(' ', spaces * depth));
        }
    }

    fn text(&mut self, text: &str) -> Result<(), Error> {
        self.state.consume_fuel(1 + text.len() as u64 / 64)?;
        self.out.push('"');
        for c in text.chars() {
            match c {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                '\t' => self.out.push_str("\\t"),
                '<' | '>' | '&' | '\'' | '\u{2028}' | '\u{2029}' => self.escape(c),
                c if c.is_control() => self.escape(c),
                c => self.out.push(c),
            }
        }
        self.out.push('"');
        Ok(())
    }

    fn escape(&mut self, c: char) {
        self.out.push_str(&format!("\\u{:04x}", u32::from(c)));
    }
}
