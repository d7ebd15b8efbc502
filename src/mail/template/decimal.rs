//! Exact decimals: amounts of PostgreSQL's numeric, with all their digits.
//!
//! Templates have integers and binary doubles of their own. 19.90 is no double, and an account number of 24 digits is
//! none either, so what has a point, or more digits than an integer may have, is an object with a text. Whole numbers
//! stay what minijinja knows, so that they index, count and repeat.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use bigdecimal::num_bigint::BigInt;
use bigdecimal::{BigDecimal, RoundingMode, Signed, Zero};
use minijinja::value::{DynObject, Object, ObjectRepr, Value, ValueKind};

/// Most digits of a number that is calculated with; a longer one of a row is text.
pub(super) const MAX_DIGITS: u64 = 1_000;

/// Significant digits of a quotient that does not end, as PostgreSQL gives at least.
const QUOTIENT_DIGITS: i64 = 16;

/// A decimal as it is written.
pub(super) struct Number {
    text: String,
}

impl fmt::Debug for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Number {
    fn value(&self) -> BigDecimal {
        parse(&self.text).unwrap_or_default()
    }
}

impl Object for Number {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn is_true(self: &Arc<Self>) -> bool {
        !self.value().is_zero()
    }

    fn custom_cmp(self: &Arc<Self>, other: &DynObject) -> Option<Ordering> {
        Some(self.value().cmp(&other.downcast_ref::<Number>()?.value()))
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Reads a decimal; None: it is none, or too long to calculate with.
fn parse(text: &str) -> Option<BigDecimal> {
    // The exponent alone could ask for a billion digits.
    let exponent = match text.find(['e', 'E']) {
        Some(at) => text.get(at + 1..)?.parse::<i64>().ok()?,
        None => 0,
    };
    if text.len() as u64 > MAX_DIGITS + 8 || exponent.unsigned_abs() > MAX_DIGITS {
        return None;
    }
    let value: BigDecimal = text.parse().ok()?;
    let value = match value.fractional_digit_count() < 0 {
        true => value.with_scale(0),
        false => value,
    };
    is_short(&value).then_some(value)
}

fn is_short(value: &BigDecimal) -> bool {
    value.digits() <= MAX_DIGITS && value.fractional_digit_count().unsigned_abs() <= MAX_DIGITS
}

/// Makes a value of a number in JSON.
pub(super) fn from_json(text: &str) -> Value {
    if !text.contains(['.', 'e', 'E']) {
        if let Ok(whole) = text.parse::<i64>() {
            return Value::from(whole);
        }
        if let Ok(whole) = text.parse::<i128>() {
            return Value::from(whole);
        }
    }
    match parse(text) {
        // An exponent is not what PostgreSQL writes, nor what people read.
        Some(value) if text.contains(['e', 'E']) => from_decimal(&value),
        Some(_) => Value::from_object(Number {
            text: text.to_owned(),
        }),
        None => Value::from(text),
    }
}

/// Makes a value with all digits and decimals.
pub(super) fn from_decimal(value: &BigDecimal) -> Value {
    Value::from_object(Number {
        text: value.to_plain_string(),
    })
}

/// Makes a whole number of what stands before the point.
pub(super) fn from_whole(value: &BigDecimal) -> Value {
    let whole = value.with_scale_round(0, RoundingMode::Down);
    from_json(&whole.to_plain_string())
}

/// Whether it is a decimal, as values of a row with a point are.
pub(super) fn is_decimal(value: &Value) -> bool {
    value.downcast_object_ref::<Number>().is_some()
}

/// The decimal, whole number, double or truth value as a decimal; None: it is none of these, or infinite.
pub(super) fn decimal(value: &Value) -> Option<BigDecimal> {
    if let Some(number) = value.downcast_object_ref::<Number>() {
        return parse(&number.text);
    }
    match value.kind() {
        ValueKind::Bool => Some(BigDecimal::from(i32::from(value.is_true()))),
        ValueKind::Number if value.is_integer() => parse(&value.to_string()),
        ValueKind::Number => {
            let double = f64::try_from(value.clone())
                .ok()
                .filter(|d| d.is_finite())?;
            // The shortest text that means this double: 19.9, and not 19.89999999999999857…; whole: 2.0.
            let text = double.to_string();
            match text.contains('.') {
                true => parse(&text),
                false => parse(&(text + ".0")),
            }
        }
        _ => None,
    }
}

/// Why there is no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    ByZero,
    TooLong,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::ByZero => f.write_str("division by zero"),
            Fault::TooLong => write!(f, "a number of more than {MAX_DIGITS} digits"),
        }
    }
}

fn bounded(value: BigDecimal) -> Result<BigDecimal, Fault> {
    match is_short(&value) {
        true => Ok(value),
        false => Err(Fault::TooLong),
    }
}

fn scale(value: &BigDecimal) -> i64 {
    value.fractional_digit_count()
}

fn wider(a: &BigDecimal, b: &BigDecimal) -> i64 {
    scale(a).max(scale(b))
}

pub(super) fn add(a: &BigDecimal, b: &BigDecimal) -> Result<BigDecimal, Fault> {
    bounded((a + b).with_scale(wider(a, b)))
}

pub(super) fn subtract(a: &BigDecimal, b: &BigDecimal) -> Result<BigDecimal, Fault> {
    bounded((a - b).with_scale(wider(a, b)))
}

/// The product has the decimals of both factors, as in PostgreSQL.
pub(super) fn multiply(a: &BigDecimal, b: &BigDecimal) -> Result<BigDecimal, Fault> {
    bounded((a * b).with_scale(scale(a) + scale(b)))
}

/// The quotient: exact if it ends, else rounded to 16 significant digits. It has at least the decimals of dividend and
/// divisor, and one where both are whole, as Python has it.
pub(super) fn divide(a: &BigDecimal, b: &BigDecimal) -> Result<BigDecimal, Fault> {
    if b.is_zero() {
        return Err(Fault::ByZero);
    }
    let least = wider(a, b).max(1);
    let before_point = |value: &BigDecimal| value.digits() as i64 - scale(value);
    let places = (QUOTIENT_DIGITS - (before_point(a) - before_point(b))).max(least);
    let exact_places = places + QUOTIENT_DIGITS;
    let shift = exact_places + scale(b) - scale(a);
    let (dividend, divisor) = (a.as_bigint_and_scale().0, b.as_bigint_and_scale().0);
    let power = |exponent: i64| BigInt::from(10).pow(u32::try_from(exponent).unwrap_or_default());
    let (dividend, divisor) = match shift >= 0 {
        true => (&*dividend * power(shift), divisor.into_owned()),
        false => (dividend.into_owned(), &*divisor * power(-shift)),
    };
    let quotient = BigDecimal::new(&dividend / &divisor, exact_places);
    let quotient = match (&dividend % &divisor).is_zero() {
        true => quotient.normalized(),
        false => quotient.with_scale_round(places, RoundingMode::HalfUp),
    };
    // 10.00 / 4 is 2.50.
    let quotient = match scale(&quotient) < least {
        true => quotient.with_scale(least),
        false => quotient,
    };
    bounded(quotient)
}

/// Quotient, rounded down, and remainder, with the sign of the divisor.
pub(super) fn divide_whole(
    a: &BigDecimal,
    b: &BigDecimal,
) -> Result<(BigDecimal, BigDecimal), Fault> {
    if b.is_zero() {
        return Err(Fault::ByZero);
    }
    let places = wider(a, b);
    let mut remainder = (a % b).with_scale(places);
    if !remainder.is_zero() && remainder.is_negative() != b.is_negative() {
        remainder = (remainder + b).with_scale(places);
    }
    let quotient = ((a - &remainder) / b).with_scale_round(0, RoundingMode::HalfUp);
    Ok((bounded(quotient)?, remainder))
}

/// A power with a whole exponent.
pub(super) fn power(base: &BigDecimal, exponent: i64) -> Result<BigDecimal, Fault> {
    let times = exponent.unsigned_abs();
    if times.saturating_mul(base.digits().max(2)) > 2 * MAX_DIGITS {
        return Err(Fault::TooLong);
    }
    let mut result = BigDecimal::from(1);
    for _ in 0..times {
        result = multiply(&result, base)?;
    }
    match exponent < 0 {
        true => divide(&BigDecimal::from(1), &result),
        false => Ok(result),
    }
}

/// Rounds half away from zero, as PostgreSQL's `round(numeric)` does.
pub(super) fn round(value: &BigDecimal, places: i64, mode: RoundingMode) -> BigDecimal {
    let places = places.clamp(-(MAX_DIGITS as i64), MAX_DIGITS as i64);
    let rounded = value.with_scale_round(places, mode);
    match places < 0 {
        true => rounded.with_scale(0),
        false => rounded,
    }
}
