//! `"%.2f"|format(amount)` and `"{:.2f}".format(amount)`, exact for decimals.
//!
//! A decimal is rounded here, and becomes text for minijinja to fill up; other values are left to it.

use bigdecimal::{BigDecimal, RoundingMode, Signed};
use minijinja::formatting::{self, FormatStyle};
use minijinja::value::{Rest, Value, ValueOrKwargs};
use minijinja::{Error, ErrorKind, State, filters};

use super::arithmetic::plain;
use super::decimal::{decimal, from_whole, is_decimal, round};

/// Most characters that a text may be filled up to, or that a format may ask for.
pub(super) const MAX_WIDTH: usize = 1_000;

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, message.into())
}

/// The filter `format`, which is Python's `%`.
pub(super) fn format(
    state: &mut State,
    text: &Value,
    given: Rest<ValueOrKwargs>,
) -> Result<Value, Error> {
    let (Some(pattern), true) = (text.as_str(), given.iter().any(|value| is_decimal(value))) else {
        return filters::format(state, text, given);
    };
    let mut arguments = given.into_values();
    let mut written = String::with_capacity(pattern.len());
    let (mut next, mut tail) = (0, pattern);
    while let Some((before, spec)) = tail.split_once('%') {
        written.push_str(before);
        written.push('%');
        let length = spec
            .find(|c: char| c == '%' || c.is_ascii_alphabetic())
            .filter(|_| !spec.starts_with('('));
        let Some(length) = length else {
            // By name, or no conversion at all.
            written.push_str(spec);
            tail = "";
            break;
        };
        let (flags, conversion) = (&spec[..length], spec.as_bytes()[length]);
        tail = &spec[length + 1..];
        next += flags.matches('*').count();
        let argument = (conversion != b'%')
            .then(|| arguments.get_mut(next))
            .flatten();
        next += usize::from(conversion != b'%');
        match argument.and_then(|argument| Some((decimal_of(argument)?, argument))) {
            Some((number, argument))
                if matches!(conversion, b'f' | b'F') && !flags.contains('*') =>
            {
                let spec = Spec::printf(flags)?;
                *argument = Value::from(spec.number(&number, Some(6))?);
                written.push_str(&spec.for_printf());
                written.push('s');
            }
            Some((number, argument)) if !matches!(conversion, b's' | b'r') => {
                *argument = match conversion {
                    b'd' | b'i' | b'u' => from_whole(&number),
                    _ => plain(argument),
                };
                written.push_str(flags);
                written.push(char::from(conversion));
            }
            _ => {
                written.push_str(flags);
                written.push(char::from(conversion));
            }
        }
    }
    written.push_str(tail);
    let written = match text.is_safe() {
        true => Value::from_safe_string(written),
        false => Value::from(written),
    };
    let arguments = arguments.into_iter().map(ValueOrKwargs::from).collect();
    filters::format(state, &written, Rest(arguments))
}

fn decimal_of(value: &Value) -> Option<BigDecimal> {
    is_decimal(value).then(|| decimal(value)).flatten()
}

/// The method `format` of a text.
pub(super) fn format_braces(
    state: &mut State,
    pattern: &str,
    given: &[Value],
) -> Result<Value, Error> {
    // Nothing else bounds how far a number is filled up.
    let mut digits = pattern.split(|c: char| !c.is_ascii_digit());
    if digits.any(|width| {
        width
            .parse::<usize>()
            .map_or(!width.is_empty(), |width| width > MAX_WIDTH)
    }) || pattern.contains(":{")
    {
        return Err(invalid(format!(
            "format: a width of more than {MAX_WIDTH}, or one that is computed"
        )));
    }
    let (names, mut arguments): (Vec<Value>, Vec<Value>) =
        given.iter().cloned().partition(Value::is_kwargs);
    let mut written = String::with_capacity(pattern.len());
    let (mut next, mut tail) = (0, pattern);
    while let Some(at) = tail.find(['{', '}']) {
        written.push_str(&tail[..at]);
        let (brace, rest) = tail[at..].split_at(1);
        tail = rest;
        if let Some(rest) = rest.strip_prefix(brace) {
            written.push_str(brace);
            written.push_str(brace);
            tail = rest;
            continue;
        }
        let Some((field, after)) = rest.split_once('}').filter(|_| brace == "{") else {
            written.push_str(brace);
            continue;
        };
        tail = after;
        let (name, spec) = field.split_once(':').unwrap_or((field, ""));
        // Fields by order get their numbers, as those that are added have some.
        let mut name = name.to_owned();
        if name.is_empty() || name.starts_with(['.', '[', '!']) {
            name.insert_str(0, &next.to_string());
            next += 1;
        }
        let given = name
            .parse::<usize>()
            .ok()
            .and_then(|index| arguments.get(index).cloned());
        let share = spec
            .strip_suffix('%')
            .and_then(|spec| Some((spec, decimal(given.as_ref()?)?)));
        if let Some((spec, number)) = share {
            let spec = Spec::braces(spec)?;
            let shown = spec.number(&(number * BigDecimal::from(100)), Some(6))?;
            written.push_str(&format!("{{{}:{}}}", arguments.len(), spec.for_braces()));
            arguments.push(Value::from(shown + "%"));
            continue;
        }
        match given
            .filter(|_| !spec.is_empty())
            .and_then(|given| Some((decimal_of(&given)?, given)))
        {
            None => written.push_str(&format!(
                "{{{name}{}}}",
                &field[field.find(':').unwrap_or(field.len())..]
            )),
            Some((number, given)) => {
                let is_other = spec.ends_with(['e', 'E', 'g', 'G', 'd', 'n']);
                let (argument, spec) = match is_other {
                    true => (plain(&given), spec.to_owned()),
                    false => {
                        let spec = Spec::braces(spec)?;
                        (Value::from(spec.number(&number, None)?), spec.for_braces())
                    }
                };
                written.push_str(&format!("{{{}:{spec}}}", arguments.len()));
                arguments.push(argument);
            }
        }
    }
    written.push_str(tail);
    arguments.extend(names);
    state.consume_fuel(1 + pattern.len() as u64)?;
    let result = formatting::format(FormatStyle::StrFormat, &written, &arguments)?;
    state.consume_fuel(result.len() as u64 / 64)?;
    Ok(Value::from(result))
}

/// How a number is written.
#[derive(Debug, Default)]
struct Spec {
    fill: Option<char>,
    align: Option<char>,
    sign: Option<char>,
    has_zeros: bool,
    width: usize,
    group: Option<char>,
    precision: Option<usize>,
}

impl Spec {
    fn printf(flags: &str) -> Result<Spec, Error> {
        let at = flags
            .find(|c: char| !matches!(c, '-' | '+' | ' ' | '0' | '#'))
            .unwrap_or(flags.len());
        let (flags, size) = flags.split_at(at);
        let mut spec = Spec {
            align: flags.contains('-').then_some('<'),
            sign: flags
                .chars()
                .find(|c| *c == '+')
                .or(flags.chars().find(|c| *c == ' ')),
            has_zeros: flags.contains('0'),
            ..Spec::default()
        };
        spec.size(size)?;
        Ok(spec)
    }

    fn braces(text: &str) -> Result<Spec, Error> {
        let mut spec = Spec::default();
        let mut rest: Vec<char> = text.chars().collect();
        let is_align = |c: Option<&char>| c.is_some_and(|c| matches!(c, '<' | '>' | '^' | '='));
        if is_align(rest.get(1)) {
            spec.fill = Some(rest.remove(0));
        }
        if is_align(rest.first()) {
            spec.align = Some(rest.remove(0));
        }
        if let Some('+' | '-' | ' ') = rest.first() {
            spec.sign = Some(rest.remove(0));
        }
        let rest: String = rest
            .into_iter()
            .filter(|c| !matches!(c, 'z' | '#' | 'f' | 'F'))
            .collect();
        let size = rest.strip_prefix('0').filter(|_| spec.align.is_none());
        spec.has_zeros = size.is_some();
        spec.size(size.unwrap_or(&rest))?;
        Ok(spec)
    }

    /// `8,.2`
    fn size(&mut self, text: &str) -> Result<(), Error> {
        let wrong = || invalid(format!("format: {text:?} is no size of a number"));
        let (width, precision) = match text.split_once('.') {
            Some((width, precision)) => (width, Some(precision)),
            None => (text, None),
        };
        let digits = width.trim_end_matches([',', '_']);
        self.group = width[digits.len()..].chars().next();
        let bounded = |digits: &str| match digits {
            "" => Ok(0),
            digits => digits
                .parse()
                .ok()
                .filter(|size| *size <= MAX_WIDTH)
                .ok_or_else(wrong),
        };
        self.width = bounded(digits)?;
        self.precision = precision.map(bounded).transpose()?;
        Ok(())
    }

    fn number(&self, number: &BigDecimal, default: Option<usize>) -> Result<String, Error> {
        let places = self.precision.or(default);
        let number = match places {
            Some(places) => round(
                number,
                i64::try_from(places).unwrap_or(i64::MAX),
                RoundingMode::HalfUp,
            ),
            None => number.clone(),
        };
        let mut digits = number.abs().to_plain_string();
        if let Some(group) = self.group {
            digits = grouped(&digits, group);
        }
        let sign = match (number.is_negative(), self.sign) {
            (true, _) => "-",
            (false, Some('+')) => "+",
            (false, Some(' ')) => " ",
            _ => "",
        };
        let missing = self.width.saturating_sub(sign.len() + digits.len());
        let zeros = match self.has_zeros && self.align.is_none() {
            true => missing,
            false => 0,
        };
        Ok(format!("{sign}{}{digits}", "0".repeat(zeros)))
    }

    /// What is left of it for a text, as `%` has it.
    fn for_printf(&self) -> String {
        let align = if self.align.is_some() { "-" } else { "" };
        match self.width {
            0 => String::new(),
            width => format!("{align}{width}"),
        }
    }

    /// What is left of it for a text, as `format()` has it.
    fn for_braces(&self) -> String {
        let fill = self.fill.map(String::from).unwrap_or_default();
        let align = self.align.filter(|align| *align != '=').unwrap_or('>');
        match self.width {
            0 => String::new(),
            width => format!("{fill}{align}{width}"),
        }
    }
}

fn grouped(digits: &str, by: char) -> String {
    let (whole, rest) = digits.split_at(digits.find('.').unwrap_or(digits.len()));
    let mut grouped = String::with_capacity(digits.len() * 4 / 3 + 1);
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index) % 3 == 0 {
            grouped.push(by);
        }
        grouped.push(digit);
    }
    grouped + rest
}
