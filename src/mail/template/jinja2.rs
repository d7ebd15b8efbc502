//! What authors know from Jinja2 and Python, and minijinja does not have by itself.

use std::collections::BTreeMap;

use minijinja::value::{Kwargs, Rest, Value, ValueKind, ValueOrKwargs, from_args};
use minijinja::{Environment, Error, ErrorKind, State, filters};
use minijinja_contrib::{filters as contrib, pycompat};

use super::arithmetic::plain;
use super::decimal::is_decimal;
use super::json;
use super::null::is_null;
use super::printf::{self, MAX_WIDTH};

/// Methods of texts.
const OF_TEXT: [&str; 33] = [
    "capitalize",
    "center",
    "count",
    "endswith",
    "find",
    "format",
    "isalnum",
    "isalpha",
    "isascii",
    "isdigit",
    "islower",
    "isnumeric",
    "isspace",
    "isupper",
    "join",
    "ljust",
    "lower",
    "lstrip",
    "removeprefix",
    "removesuffix",
    "replace",
    "rfind",
    "rjust",
    "rstrip",
    "split",
    "splitlines",
    "startswith",
    "strip",
    "swapcase",
    "title",
    "upper",
    "zfill",
    "casefold",
];

/// Methods of rows and lists.
const OF_CONTAINERS: [&str; 5] = ["count", "get", "items", "keys", "values"];

pub(super) fn register(environment: &mut Environment<'static>) {
    environment.add_filter("tojson", json::tojson);
    environment.add_filter("format", printf::format);
    environment.add_filter("urlencode", urlencode);
    environment.add_filter("truncate", truncate);
    environment.add_filter("wordwrap", wordwrap);
    environment.add_filter("wordcount", |state: &State, value: &Value| {
        charge(state, value)?;
        contrib::wordcount(&or_text(value))
    });
    environment.add_filter("striptags", |state: &State, value: &Value| {
        charge(state, value)?;
        Ok::<_, Error>(contrib::striptags(or_text(value).to_string()))
    });
    environment.add_filter(
        "center",
        |state: &State, value: &Value, width: Option<usize>| {
            charge(state, value)?;
            filled(
                &or_text(value).to_string(),
                width.unwrap_or(80),
                ' ',
                Side::Both,
            )
        },
    );
    environment.add_filter(
        "pluralize",
        |value: &Value, singular: Option<Value>, plural: Option<Value>| {
            contrib::pluralize(&plain(value), singular, plural)
        },
    );
    environment.add_filter("filesizeformat", |value: &Value, binary: Option<bool>| {
        f64::try_from(plain(value))
            .map(|bytes| contrib::filesizeformat(bytes, binary))
            .map_err(|_| invalid(format!("filesizeformat: {value} is no number")))
    });
    environment.add_filter("forceescape", |state: &mut State, value: &Value| {
        charge(state, value)?;
        filters::escape(state, &Value::from(value.to_string()))
    });
    environment.set_unknown_method_callback(method);
}

/// Whether a method exists, of any value.
pub(super) fn is_method(name: &str) -> bool {
    OF_TEXT.contains(&name) || OF_CONTAINERS.contains(&name)
}

/// All methods that exist.
pub(super) fn methods() -> impl Iterator<Item = &'static str> {
    OF_TEXT.into_iter().chain(OF_CONTAINERS)
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, message.into())
}

/// The fuel for looking through a text.
fn charge(state: &State, value: &Value) -> Result<(), Error> {
    let bytes = value.as_str().map_or(64, str::len);
    state.consume_fuel(1 + bytes as u64 / 64)
}

/// Text as it is, null as nothing, and numbers as they print.
fn or_text(value: &Value) -> Value {
    match is_null(value) || is_decimal(value) || value.kind() == ValueKind::Number {
        true => Value::from(value.to_string()),
        false => value.clone(),
    }
}

/// What is null in a row is not in the query.
fn urlencode(state: &State, value: &Value) -> Result<String, Error> {
    charge(state, value)?;
    if value.kind() != ValueKind::Map {
        return filters::urlencode(value);
    }
    let mut entries = BTreeMap::new();
    for key in value.try_iter()? {
        let entry = value.get_item(&key)?;
        charge(state, &entry)?;
        if !is_null(&entry) {
            entries.insert(key, entry);
        }
    }
    filters::urlencode(&Value::from(entries))
}

/// Jinja2 takes these arguments by their place too.
fn truncate(state: &mut State, value: &Value, given: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    charge(state, value)?;
    let names = ["length", "killwords", "end", "leeway"];
    contrib::truncate(state, &or_text(value), named(&names, given)?)
}

fn wordwrap(state: &State, value: &Value, given: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    charge(state, value)?;
    state.consume_fuel(value.as_str().map_or(0, str::len) as u64)?;
    let names = [
        "width",
        "break_long_words",
        "wrapstring",
        "break_on_hyphens",
    ];
    contrib::wordwrap(&or_text(value), named(&names, given)?)
}

fn named(names: &[&str], given: Rest<ValueOrKwargs>) -> Result<Kwargs, Error> {
    let (by_place, by_name): (Vec<Value>, Vec<Value>) = given
        .into_values()
        .into_iter()
        .partition(|value| !value.is_kwargs());
    if by_place.len() > names.len() {
        return Err(Error::from(ErrorKind::TooManyArguments));
    }
    let mut pairs: Vec<(String, Value)> = Vec::new();
    for kwargs in by_name {
        let kwargs = Kwargs::try_from(kwargs)?;
        for name in kwargs.args() {
            pairs.push((name.to_owned(), kwargs.get(name)?));
        }
    }
    for (name, value) in names.iter().zip(by_place) {
        pairs.push(((*name).to_owned(), value));
    }
    Ok(pairs
        .into_iter()
        .map(|(name, value)| (name, plain(&value)))
        .collect())
}

/// Calls a method of Python on a value of the row.
fn method(
    state: &mut State,
    value: &Value,
    name: &str,
    arguments: &[Value],
) -> Result<Value, Error> {
    charge(state, value)?;
    if is_null(value) {
        // Null has all methods, as it has all filters: a mail must not fail for a name that is not there.
        return match name {
            "get" => {
                let (_, default): (&Value, Option<Value>) = from_args(arguments)?;
                Ok(default.unwrap_or_else(super::null::null))
            }
            "items" | "keys" | "values" => Ok(Value::from(Vec::<Value>::new())),
            _ => method(state, &Value::from(""), name, arguments),
        };
    }
    match (value.kind(), value.as_str()) {
        (ValueKind::String, Some(text)) => of_text(state, value, text, name, arguments),
        (ValueKind::Map | ValueKind::Seq, _) => {
            state.consume_fuel(value.len().unwrap_or_default() as u64)?;
            let found = pycompat::unknown_method_callback(state, value, name, arguments)?;
            // minijinja's none would print as a word.
            Ok(if found.is_none() {
                super::null::null()
            } else {
                found
            })
        }
        _ => Err(Error::from(ErrorKind::UnknownMethod)),
    }
}

fn of_text(
    state: &mut State,
    value: &Value,
    text: &str,
    name: &str,
    arguments: &[Value],
) -> Result<Value, Error> {
    let fill = |side| -> Result<Value, Error> {
        let (width, with): (usize, Option<&str>) = from_args(arguments)?;
        let with = with.and_then(|with| with.chars().next()).unwrap_or(' ');
        filled(text, width, with, side).map(Value::from)
    };
    match name {
        "center" => fill(Side::Both),
        "ljust" => fill(Side::Right),
        "rjust" => fill(Side::Left),
        "zfill" => {
            let (width,): (usize,) = from_args(arguments)?;
            let (sign, digits) = text.split_at(usize::from(text.starts_with(['-', '+'])));
            let width = width.saturating_sub(sign.len());
            filled(digits, width, '0', Side::Left)
                .map(|digits| Value::from(format!("{sign}{digits}")))
        }
        "removeprefix" => {
            let (prefix,): (&str,) = from_args(arguments)?;
            Ok(Value::from(text.strip_prefix(prefix).unwrap_or(text)))
        }
        "removesuffix" => {
            let (suffix,): (&str,) = from_args(arguments)?;
            Ok(Value::from(text.strip_suffix(suffix).unwrap_or(text)))
        }
        "casefold" => Ok(Value::from(text.to_lowercase())),
        "swapcase" => {
            let swapped = text
                .chars()
                .flat_map(|c| -> Box<dyn Iterator<Item = char>> {
                    match c.is_uppercase() {
                        true => Box::new(c.to_lowercase()),
                        false => Box::new(c.to_uppercase()),
                    }
                });
            Ok(Value::from(swapped.collect::<String>()))
        }
        "format" => printf::format_braces(state, text, arguments),
        _ => pycompat::unknown_method_callback(state, value, name, arguments),
    }
}

#[derive(Debug, Clone, Copy)]
enum Side {
    Left,
    Right,
    Both,
}

fn filled(text: &str, width: usize, with: char, side: Side) -> Result<String, Error> {
    if width > MAX_WIDTH {
        return Err(invalid(format!(
            "more than {MAX_WIDTH} characters to fill up to"
        )));
    }
    let missing = width.saturating_sub(text.chars().count());
    let left = match side {
        Side::Left => missing,
        Side::Right => 0,
        Side::Both => missing / 2,
    };
    let fill = |count| std::iter::repeat_n(with, count);
    Ok(fill(left)
        .chain(text.chars())
        .chain(fill(missing - left))
        .collect())
}
