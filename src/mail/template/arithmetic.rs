//! What the operators of a template do: exact where a decimal takes part, minijinja's own where none does.
//!
//! minijinja asks no object how to add it. So [`super::operators`] writes `a + b` as a filter, and the filters are here.

use std::cmp::Ordering;

use bigdecimal::{BigDecimal, Signed, Zero};
use minijinja::value::{Rest, Value, ValueKind};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, State, context, filters};

use super::decimal::{self, Fault, decimal, from_decimal, from_whole, is_decimal};

/// An operator of two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    DivideWhole,
    Remainder,
    Power,
}

impl Operator {
    const ALL: [Operator; 7] = [
        Operator::Add,
        Operator::Subtract,
        Operator::Multiply,
        Operator::Divide,
        Operator::DivideWhole,
        Operator::Remainder,
        Operator::Power,
    ];

    /// The filter that stands for it.
    pub(super) fn filter(self) -> &'static str {
        match self {
            Operator::Add => "_add",
            Operator::Subtract => "_sub",
            Operator::Multiply => "_mul",
            Operator::Divide => "_div",
            Operator::DivideWhole => "_int_div",
            Operator::Remainder => "_rem",
            Operator::Power => "_pow",
        }
    }

    fn sign(self) -> &'static str {
        match self {
            Operator::Add => "+",
            Operator::Subtract => "-",
            Operator::Multiply => "*",
            Operator::Divide => "/",
            Operator::DivideWhole => "//",
            Operator::Remainder => "%",
            Operator::Power => "**",
        }
    }

    fn of_integers(self, a: i64, b: i64) -> Option<i64> {
        match self {
            Operator::Add => a.checked_add(b),
            Operator::Subtract => a.checked_sub(b),
            Operator::Multiply => a.checked_mul(b),
            _ => None,
        }
    }

    fn of_decimals(self, a: &BigDecimal, b: &BigDecimal) -> Option<Result<BigDecimal, Fault>> {
        let found = match self {
            Operator::Add => decimal::add(a, b),
            Operator::Subtract => decimal::subtract(a, b),
            Operator::Multiply => decimal::multiply(a, b),
            Operator::Divide => decimal::divide(a, b),
            Operator::DivideWhole => decimal::divide_whole(a, b).map(|(whole, _)| whole),
            Operator::Remainder => decimal::divide_whole(a, b).map(|(_, rest)| rest),
            Operator::Power => {
                // A root is no decimal.
                let exponent = from_whole(b).as_i64().filter(|_| b.is_integer())?;
                decimal::power(a, exponent)
            }
        };
        Some(found)
    }
}

/// The filter that stands for `<`, `==`, `in` and their kin.
pub(super) const COMPARE: &str = "_compare";

/// The function that stands for the sign before a value.
pub(super) const NEGATE: &str = "_neg";

pub(super) fn register(environment: &mut Environment<'static>) {
    for operator in Operator::ALL {
        environment.add_filter(
            operator.filter(),
            move |state: &mut State, a: &Value, b: &Value| calculate(state, operator, a, b),
        );
    }
    environment.add_filter(COMPARE, compare_chain);
    environment.add_function(NEGATE, negate);
}

/// Adds, multiplies and so on.
pub(super) fn calculate(
    state: &mut State,
    operator: Operator,
    a: &Value,
    b: &Value,
) -> Result<Value, Error> {
    let is_whole = a.is_integer() && b.is_integer();
    if is_whole
        && let (Some(a), Some(b)) = (a.as_i64(), b.as_i64())
        && let Some(result) = operator.of_integers(a, b)
    {
        return Ok(Value::from(result));
    }
    // `"%.2f" % amount` is Python for `"%.2f"|format(amount)`.
    if operator == Operator::Remainder && a.kind() == ValueKind::String {
        return match b.kind() {
            ValueKind::Seq if b.is_tuple() => {
                let mut arguments = vec![a.clone()];
                arguments.extend(b.try_iter()?);
                state.apply_filter("format", &arguments)
            }
            _ => state.apply_filter("format", &[a.clone(), b.clone()]),
        };
    }
    if operator == Operator::Add && a.kind() == ValueKind::String && b.kind() == ValueKind::String {
        return concatenate(state, a, b);
    }
    // A power with a negative exponent, and a root, are doubles of minijinja's.
    let is_whole = is_whole && operator != Operator::Divide;
    if is_number(a)
        && is_number(b)
        && let (Some(left), Some(right)) = (decimal(a), decimal(b))
        && !(is_whole && (right.is_zero() || (operator == Operator::Power && right.is_negative())))
    {
        consume(state, &left, &right)?;
        if let Some(result) = operator.of_decimals(&left, &right) {
            let fault = |fault: Fault| {
                let sign = operator.sign();
                invalid(format!("unable to calculate {a} {sign} {b}: {fault}"))
            };
            return match is_whole {
                true => result.map(|result| from_whole(&result)).map_err(fault),
                false => result.map(|result| from_decimal(&result)).map_err(fault),
            };
        }
    }
    if is_decimal(a) || is_decimal(b) {
        return of_doubles(state, operator, a, b);
    }
    native(state, operator.sign(), a, b)
}

fn is_number(value: &Value) -> bool {
    is_decimal(value) || matches!(value.kind(), ValueKind::Number | ValueKind::Bool)
}

/// Where there is no exact result, as of a root; or a decimal meets what is no number, as in `"x" * 3.00`.
fn of_doubles(state: &State, operator: Operator, a: &Value, b: &Value) -> Result<Value, Error> {
    native(state, operator.sign(), &plain(a), &plain(b))
}

/// A number that minijinja knows: whole if it is, else the nearest double.
pub(super) fn plain(value: &Value) -> Value {
    match is_decimal(value).then(|| decimal(value)).flatten() {
        None => value.clone(),
        Some(number) if number.is_integer() => from_whole(&number),
        Some(_) => value
            .to_string()
            .parse::<f64>()
            .map_or_else(|_| value.clone(), Value::from),
    }
}

fn consume(state: &State, a: &BigDecimal, b: &BigDecimal) -> Result<(), Error> {
    state.consume_fuel(1 + (a.digits() + b.digits()) / 32)
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidOperation, message)
}

/// As in Jinja2, plain text that is added to markup is escaped.
fn concatenate(state: &mut State, a: &Value, b: &Value) -> Result<Value, Error> {
    let (Some(left), Some(right)) = (a.as_str(), b.as_str()) else {
        return native(state, "+", a, b);
    };
    state.consume_fuel((left.len() + right.len()) as u64)?;
    if a.is_safe() != b.is_safe() && *state.auto_escape() != AutoEscape::None {
        let text = format!(
            "{}{}",
            filters::escape(state, a)?,
            filters::escape(state, b)?
        );
        return Ok(Value::from_safe_string(text));
    }
    let text = [left, right].concat();
    Ok(match a.is_safe() && b.is_safe() {
        true => Value::from_safe_string(text),
        false => Value::from(text),
    })
}

/// Lets minijinja do it, under a limit of its own; what is made counts here too.
fn native(state: &State, sign: &str, a: &Value, b: &Value) -> Result<Value, Error> {
    let expression = state
        .env()
        .compile_expression_owned(format!("a {sign} b"))?;
    let result = expression.eval(context! { a, b }).map_err(as_own)?;
    let made = match result.as_str() {
        Some(text) => text.len() as u64,
        // What lies in a list, and the time to look through it.
        None => 16 * result.len().unwrap_or_default() as u64,
    };
    state.consume_fuel(made)?;
    Ok(result)
}

fn negate(state: &State, value: &Value) -> Result<Value, Error> {
    if is_decimal(value)
        && let Some(number) = decimal(value)
    {
        return Ok(from_decimal(&-number));
    }
    let expression = state.env().compile_expression("-a")?;
    expression.eval(context! { a => value }).map_err(as_own)
}

/// Drops where it happened, which is none of the author's lines.
fn as_own(error: Error) -> Error {
    match error.detail() {
        Some(detail) => Error::new(error.kind(), detail.to_owned()),
        None => Error::from(error.kind()),
    }
}

/// `a < b <= c`, as `a|_compare("<", b, "<=", c)`.
fn compare_chain(state: &State, first: &Value, rest: Rest<Value>) -> Result<bool, Error> {
    let mut left = first;
    for pair in rest.chunks_exact(2) {
        if !compare(state, left, pair[0].as_str().unwrap_or_default(), &pair[1])? {
            return Ok(false);
        }
        left = &pair[1];
    }
    Ok(true)
}

/// Compares by one operator.
pub(super) fn compare(state: &State, a: &Value, operator: &str, b: &Value) -> Result<bool, Error> {
    if a.is_undefined() || b.is_undefined() {
        // It knows who is undefined.
        return native(state, operator, a, b).map(|result| result.is_true());
    }
    match operator {
        "in" => return contains(state, b, a),
        "not in" => return contains(state, b, a).map(|found| !found),
        _ => {}
    }
    if let (Some(_), Some(_)) = (a.as_object(), b.as_object()) {
        let items = a.len().unwrap_or_default().min(b.len().unwrap_or_default());
        state.consume_fuel(items as u64)?;
    }
    let Some(order) = number_order(a, b) else {
        return Ok(match operator {
            "==" => a == b,
            "!=" => a != b,
            "<" => a < b,
            "<=" => a <= b,
            ">" => a > b,
            _ => a >= b,
        });
    };
    Ok(match operator {
        "==" => order.is_eq(),
        "!=" => order.is_ne(),
        "<" => order.is_lt(),
        "<=" => order.is_le(),
        ">" => order.is_gt(),
        _ => order.is_ge(),
    })
}

/// Compares a decimal with another number by what they are worth; None: no decimal takes part.
fn number_order(a: &Value, b: &Value) -> Option<Ordering> {
    if !((is_decimal(a) && is_number(b)) || (is_decimal(b) && is_number(a))) {
        return None;
    }
    Some(decimal(a)?.cmp(&decimal(b)?))
}

/// Whether two values are the same, whatever kind of number they are.
pub(super) fn equal(a: &Value, b: &Value) -> bool {
    number_order(a, b).map_or_else(|| a == b, Ordering::is_eq)
}

fn contains(state: &State, container: &Value, value: &Value) -> Result<bool, Error> {
    if matches!(container.kind(), ValueKind::Seq | ValueKind::Iterable) {
        for item in container.try_iter()? {
            state.consume_fuel(1)?;
            if equal(&item, value) {
                return Ok(true);
            }
        }
        return Ok(false);
    }
    // The text to look through, which is not charged for here.
    if let Some(text) = container.as_str() {
        state.consume_fuel(1 + text.len() as u64 / 64)?;
    }
    native(state, "in", value, container).map(|found| found.is_true())
}
