//! Filters, tests and functions of numbers, for decimals as for those that minijinja knows.

use std::collections::BTreeMap;

use bigdecimal::{BigDecimal, RoundingMode};
use minijinja::value::{Kwargs, Rest, Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State, filters, functions, tests};

use super::arithmetic::{Operator, calculate, compare, equal, plain};
use super::decimal::{decimal, from_decimal, from_whole, is_decimal, round};
use super::null::is_null;

/// How deep lists and rows are looked through for decimals.
const MAX_DEPTH: usize = 16;

pub(super) fn register(environment: &mut Environment<'static>) {
    environment.add_filter("abs", abs);
    environment.add_filter("round", rounded);
    environment.add_filter("int", int);
    environment.add_filter("float", float);
    environment.add_filter("sum", sum);
    environment.add_filter("min", |state: &State, values: Value, kwargs: Kwargs| {
        filters::min(state, level(state, values)?, kwargs)
    });
    environment.add_filter("max", |state: &State, values: Value, kwargs: Kwargs| {
        filters::max(state, level(state, values)?, kwargs)
    });
    environment.add_filter("sort", |state: &State, values: Value, kwargs: Kwargs| {
        filters::sort(state, level(state, values)?, kwargs)
    });
    environment.add_filter("unique", |state: &State, values: Value, kwargs: Kwargs| {
        filters::unique(state, level(state, values)?, kwargs)
    });
    environment.add_filter("groupby", groupby);
    environment.add_filter("dictsort", dictsort);
    environment.add_function("range", range);

    environment.add_test("number", |value: &Value| {
        is_decimal(value) || tests::is_number(value)
    });
    environment.add_test("float", |value: &Value| {
        is_decimal(value) || tests::is_float(value)
    });
    environment.add_test("odd", |value: &Value| tests::is_odd(plain(value)));
    environment.add_test("even", |value: &Value| tests::is_even(plain(value)));
    environment.add_test("divisibleby", divisible);
    let comparisons: [(&str, &[&'static str]); 6] = [
        ("==", &["eq", "equalto", "=="]),
        ("!=", &["ne", "!="]),
        ("<", &["lt", "lessthan", "<"]),
        ("<=", &["le", "<="]),
        (">", &["gt", "greaterthan", ">"]),
        (">=", &["ge", ">="]),
    ];
    for (operator, names) in comparisons {
        for &name in names {
            environment.add_test(name, move |state: &State, a: &Value, b: &Value| {
                // Only operators complain about what is undefined.
                match a.is_undefined() || b.is_undefined() {
                    true => Ok(match operator {
                        "==" => a == b,
                        "!=" => a != b,
                        "<" => a < b,
                        "<=" => a <= b,
                        ">" => a > b,
                        _ => a >= b,
                    }),
                    false => compare(state, a, operator, b),
                }
            });
        }
    }
    environment.add_test(
        "in",
        |state: &State, value: &Value, container: &Value| match has_decimals(state, container, 1)?
            || is_decimal(value)
        {
            true => compare(state, value, "in", container),
            false => tests::is_in(state, value, container),
        },
    );
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, message.into())
}

/// The decimal in a value that minijinja has no number for.
fn only_decimal(value: &Value) -> Option<BigDecimal> {
    is_decimal(value).then(|| decimal(value)).flatten()
}

fn abs(value: Value) -> Result<Value, Error> {
    match only_decimal(&value) {
        Some(number) => Ok(from_decimal(&number.abs())),
        None => filters::abs(value),
    }
}

fn rounded(
    value: Value,
    precision: Option<i32>,
    method: Option<&str>,
    kwargs: Kwargs,
) -> Result<Value, Error> {
    let is_double = value.kind() == ValueKind::Number && !value.is_integer();
    let Some(number) = (match is_double {
        true => decimal(&value),
        false => only_decimal(&value),
    }) else {
        return filters::round(value, precision, method, kwargs);
    };
    let precision = match precision {
        Some(precision) => precision,
        None => kwargs.get::<Option<i32>>("precision")?.unwrap_or(0),
    };
    let method = match method {
        Some(method) => method,
        None => kwargs.get::<Option<&str>>("method")?.unwrap_or("common"),
    };
    kwargs.assert_all_used()?;
    let mode = match method {
        "common" => RoundingMode::HalfUp,
        "ceil" => RoundingMode::Ceiling,
        "floor" => RoundingMode::Floor,
        _ => return Err(invalid("method must be common, ceil or floor")),
    };
    let result = round(&number, i64::from(precision), mode);
    // As Python has it, a double stays one: 20.0.
    Ok(from_decimal(
        &match is_double && result.fractional_digit_count() < 1 {
            true => result.with_scale(1),
            false => result,
        },
    ))
}

/// `int` and `float` take null for `none`.
fn as_none(value: &Value) -> Value {
    match is_null(value) {
        true => Value::from(()),
        false => value.clone(),
    }
}

fn int(
    state: &State,
    value: &Value,
    default: Option<Value>,
    base: Option<u32>,
    kwargs: Kwargs,
) -> Result<Value, Error> {
    // An account number in a text may be longer than minijinja's integers.
    let written = value
        .as_str()
        .filter(|_| base.is_none() && !kwargs.has("base"));
    match only_decimal(value).or_else(|| written.and_then(decimal_in)) {
        Some(number) => Ok(from_whole(&number)),
        None => filters::int(state, &as_none(value), default, base, kwargs),
    }
}

fn float(
    state: &State,
    value: &Value,
    default: Option<Value>,
    kwargs: Kwargs,
) -> Result<Value, Error> {
    if is_decimal(value) {
        return Ok(value.clone());
    }
    let found = match value.as_str() {
        Some(text) => decimal_in(text),
        None if value.is_integer() => decimal(value),
        None => None,
    };
    match found {
        Some(number) if number.fractional_digit_count() < 1 => {
            Ok(from_decimal(&number.with_scale(1)))
        }
        Some(number) => Ok(from_decimal(&number)),
        None => filters::float(state, &as_none(value), default, kwargs),
    }
}

/// A number that somebody has written as text: digits and a point.
fn decimal_in(text: &str) -> Option<BigDecimal> {
    let text = text.trim();
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let is_plain = digits.starts_with(|c: char| c.is_ascii_digit())
        && digits
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.');
    is_plain
        .then(|| decimal(&super::decimal::from_json(text)))
        .flatten()
}

fn sum(
    state: &mut State,
    values: Value,
    attribute: Option<&str>,
    start: Option<Value>,
    kwargs: Kwargs,
) -> Result<Value, Error> {
    if !has_decimals(state, &values, MAX_DEPTH)? {
        return filters::sum(state, values, attribute, start, kwargs);
    }
    let attribute = match attribute {
        Some(attribute) => Some(attribute),
        None => kwargs.get::<Option<&str>>("attribute")?,
    };
    let mut total = match start {
        Some(start) => start,
        None => kwargs
            .get::<Option<Value>>("start")?
            .unwrap_or(Value::from(0)),
    };
    kwargs.assert_all_used()?;
    for item in values.try_iter()? {
        let value = match attribute {
            Some(path) => at_path(&item, path),
            None => item,
        };
        if !value.is_undefined() && !is_null(&value) {
            total = calculate(state, Operator::Add, &total, &value)?;
        }
    }
    Ok(total)
}

fn at_path(item: &Value, path: &str) -> Value {
    let mut found = item.clone();
    for name in path.split('.') {
        let next = match name.parse::<usize>() {
            Ok(index) => found.get_item_by_index(index),
            Err(_) => found.get_attr(name),
        };
        found = next.unwrap_or(Value::UNDEFINED);
    }
    found
}

/// minijinja's own does not charge for the work.
fn charge_sort(state: &State, values: &Value) -> Result<(), Error> {
    let items = values.len().unwrap_or_default() as u64;
    state.consume_fuel(items.saturating_mul(2 + u64::from(items.max(1).ilog2())))
}

fn groupby(
    state: &State,
    values: Value,
    attribute: Option<&str>,
    kwargs: Kwargs,
) -> Result<Value, Error> {
    charge_sort(state, &values)?;
    filters::groupby(level(state, values)?, attribute, kwargs)
}

fn dictsort(state: &State, values: Value, kwargs: Kwargs) -> Result<Value, Error> {
    charge_sort(state, &values)?;
    filters::dictsort(&level(state, values)?, kwargs)
}

fn range(bounds: Rest<Value>) -> Result<Value, Error> {
    let whole = |value: &Value| {
        isize::try_from(plain(value))
            .map_err(|_| invalid(format!("range: {value} is no whole number")))
    };
    match bounds.0.as_slice() {
        [end] => functions::range(whole(end)?, None, None),
        [start, end] => functions::range(whole(start)?, Some(whole(end)?), None),
        [start, end, step] => {
            functions::range(whole(start)?, Some(whole(end)?), Some(whole(step)?))
        }
        _ => Err(invalid("range takes one to three numbers")),
    }
}

fn divisible(state: &mut State, value: &Value, by: &Value) -> Result<bool, Error> {
    if !is_decimal(value) && !is_decimal(by) {
        if by.kind() == ValueKind::Number && !by.is_true() {
            return Err(invalid("division by zero"));
        }
        return Ok(tests::is_divisibleby(value, by));
    }
    let rest = calculate(state, Operator::Remainder, value, by)?;
    Ok(equal(&rest, &Value::from(0)))
}

/// Whether decimals are among the values, or the values in them.
fn has_decimals(state: &State, value: &Value, depth: usize) -> Result<bool, Error> {
    if is_decimal(value) {
        return Ok(true);
    }
    if depth == 0 || value.len().is_none() {
        return Ok(false);
    }
    match value.kind() {
        ValueKind::Seq | ValueKind::Iterable => {
            for item in value.try_iter()? {
                state.consume_fuel(1)?;
                if has_decimals(state, &item, depth - 1)? {
                    return Ok(true);
                }
            }
        }
        ValueKind::Map => {
            for key in value.try_iter()? {
                state.consume_fuel(1)?;
                if has_decimals(state, &value.get_item(&key)?, depth - 1)? {
                    return Ok(true);
                }
            }
        }
        _ => {}
    }
    Ok(false)
}

/// Makes decimals of all numbers where there are decimals among them: minijinja compares those with nothing else.
fn level(state: &State, values: Value) -> Result<Value, Error> {
    match has_decimals(state, &values, MAX_DEPTH)? {
        true => all_decimals(state, values, MAX_DEPTH),
        false => Ok(values),
    }
}

fn all_decimals(state: &State, value: Value, depth: usize) -> Result<Value, Error> {
    state.consume_fuel(1)?;
    if depth == 0 {
        return Ok(value);
    }
    match value.kind() {
        ValueKind::Number => Ok(decimal(&value).map_or(value, |number| from_decimal(&number))),
        ValueKind::Seq if !value.is_tuple() => {
            let items = value
                .try_iter()?
                .map(|item| all_decimals(state, item, depth - 1));
            items.collect::<Result<Vec<_>, _>>().map(Value::from)
        }
        ValueKind::Map => {
            let mut entries = BTreeMap::new();
            for key in value.try_iter()? {
                let item = value.get_item(&key)?;
                entries.insert(key, all_decimals(state, item, depth - 1)?);
            }
            Ok(Value::from(entries))
        }
        _ => Ok(value),
    }
}
