//! The minijinja environment: limits, and what a template may call.

use std::sync::{Arc, Mutex, PoisonError};

use minijinja::value::{Object, Value};
use minijinja::{
    AutoEscape, Environment, Error, ErrorKind, State, UndefinedBehavior, escape_formatter,
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::decimal::is_decimal;
use super::null::{self, is_null};
use super::{arithmetic, jinja2, json, numbers};
use crate::mail::locale::Locale;
use crate::mail::placeholder::{Links, Target, trackable_url};

/// Instructions, bytes and items that one template may use for one mail; bounds memory at about 3 MB.
pub(super) const FUEL: u64 = 50_000;

/// How deep macros (4 each), snippets (10) and loops may be inside each other: minijinja's own limit of 500 is for larger
/// stacks than a thread has.
const RECURSION: usize = 120;

/// Name under which filters find the [`Scope`]. A template cannot spell it, so it cannot shadow or read it.
const SCOPE: &str = "scope of this mail";

/// The variable whose value is the address of the mail in a browser.
pub(super) const BROWSER_URL: &str = "browser_url";

/// How values are written into a query, or a part of a path.
const URL: &str = "url";

/// How values are written into the body of a webhook.
const JSON: &str = "json";

/// What is encoded in a value of a query (RFC 3986, section 2.3).
const VALUE: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// What filters and functions need to know of the mail that is being rendered.
#[derive(Debug)]
pub(super) struct Scope {
    pub(super) locale: Locale,
    pub(super) links: Arc<Mutex<Links>>,
}

impl Object for Scope {}

/// Formats a value, as long as the style asks for.
type TimeFormat = fn(&Locale, &str, Option<&str>) -> Result<String, String>;

/// Makes an environment without templates, with the limits, functions and filters of mails.
pub(super) fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(RECURSION);
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    // Positions of errors are recorded only in debug mode; it costs nothing until there is an error.
    environment.set_debug(true);
    // A snippet is escaped as what uses it is: its name begins with the part's.
    environment.set_path_join_callback(|name, parent| {
        let part = parent.split('/').next().unwrap_or_default();
        format!("{part}/{name}").into()
    });
    environment.set_auto_escape_callback(|name| match name.split('/').next() {
        Some("body") => AutoEscape::Html,
        Some("utm" | "url") => AutoEscape::Custom(URL.into()),
        Some("payload") => AutoEscape::Custom(JSON.into()),
        _ => AutoEscape::None,
    });
    // What null does not cover: the `none` that a function of minijinja gives.
    environment.set_formatter(|out, state, value| match state.auto_escape() {
        AutoEscape::Custom(name) if name == JSON => out
            .write_str(&json::written(state, value)?)
            .map_err(Error::from),
        _ if value.is_none() => Ok(()),
        AutoEscape::Custom(_) => {
            let text = value.to_string();
            write!(out, "{}", utf8_percent_encode(&text, VALUE)).map_err(Error::from)
        }
        _ => escape_formatter(out, state, value),
    });
    null::register(&mut environment);
    arithmetic::register(&mut environment);
    numbers::register(&mut environment);
    jinja2::register(&mut environment);
    // It would print the whole context, with every customer's column, into a mail.
    environment.remove_global("debug");
    environment.add_global("unsubscribe_url", Target::Unsubscribe(None).placeholder());
    environment.add_global("preferences_url", Target::Preferences.placeholder());
    environment.add_global("confirm_url", Target::Confirm.placeholder());
    environment.add_global(BROWSER_URL, Target::Browser.placeholder());
    environment.add_function("short", short);
    let of_time: [(&'static str, TimeFormat); 3] = [
        ("format_date", Locale::format_date),
        ("format_datetime", Locale::format_datetime),
        ("format_timedelta", Locale::format_timedelta),
    ];
    for (name, format) in of_time {
        environment.add_filter(
            name,
            move |state: &State, value: &Value, style: Option<&str>| {
                localised(state, name, value, |locale, text| {
                    format(locale, text, style)
                })
            },
        );
    }
    environment.add_filter(
        "format_number",
        |state: &State, value: &Value, decimals: Option<u8>| {
            localised(state, "format_number", value, |locale, text| {
                locale.format_number(text, decimals)
            })
        },
    );
    environment.add_filter(
        "format_currency",
        |state: &State, value: &Value, currency: &str| {
            localised(state, "format_currency", value, |locale, text| {
                locale.format_currency(text, currency)
            })
        },
    );
    environment
}

/// Gives the environment of one mail: a shallow copy that knows the scope.
pub(super) fn for_mail(environment: &Environment<'static>, scope: Scope) -> Environment<'static> {
    let mut environment = environment.clone();
    environment.add_global(SCOPE, Value::from_object(scope));
    environment
}

fn scope(state: &State) -> Result<Arc<Scope>, Error> {
    state
        .lookup(SCOPE)
        .and_then(|value| value.downcast_object::<Scope>())
        .ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidOperation,
                "available only while a mail is rendered",
            )
        })
}

/// `short(url)`: a tracked short URL for an absolute http or https URL.
fn short(state: &State, url: &str) -> Result<String, Error> {
    state.consume_fuel(10)?;
    let target = trackable_url(url).ok_or_else(|| {
        Error::new(
            ErrorKind::InvalidOperation,
            format!("short: {} is no absolute http or https URL", quoted(url)),
        )
    })?;
    let index = scope(state)?
        .links
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .intern(&target);
    Ok(Target::Link(index).placeholder())
}

/// Fuel for loading the data of a language and formatting one value with it.
const LOCALE_FUEL: u64 = 50;

/// Longest value that a filter looks at, in bytes; no date, number or interval is longer.
const VALUE_BYTES: usize = 200;

fn localised(
    state: &State,
    filter: &str,
    value: &Value,
    format: impl FnOnce(&Locale, &str) -> Result<String, String>,
) -> Result<Value, Error> {
    state.consume_fuel(LOCALE_FUEL)?;
    if is_null(value) {
        return Ok(null::null());
    }
    if value.is_undefined() {
        return Err(Error::new(
            ErrorKind::UndefinedError,
            format!("{filter}: the value is undefined"),
        ));
    }
    let text = match value.as_str() {
        Some(text) => text.to_owned(),
        None if is_decimal(value) => value.to_string(),
        None if value.is_number() => number_text(value),
        None => {
            return Err(bad_value(
                filter,
                &value.to_string(),
                "neither text nor a number",
            ));
        }
    };
    if text.len() > VALUE_BYTES {
        return Err(bad_value(filter, &text, "too long"));
    }
    format(&scope(state)?.locale, text.trim())
        .map(Value::from)
        .map_err(|reason| bad_value(filter, &text, &reason))
}

/// A double that an author has written: a whole one shows no decimals.
fn number_text(value: &Value) -> String {
    let text = value.to_string();
    match text.strip_suffix(".0") {
        Some(whole) => whole.to_owned(),
        None => text,
    }
}

fn bad_value(filter: &str, value: &str, reason: &str) -> Error {
    Error::new(
        ErrorKind::InvalidOperation,
        format!("{filter}: {}: {reason}", quoted(value)),
    )
}

fn quoted(value: &str) -> String {
    let shown: String = value.chars().take(80).collect();
    format!("{shown:?}")
}
