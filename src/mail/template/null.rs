//! A null of the database: it prints as nothing, wherever it goes.
//!
//! minijinja's own `none` becomes the word "None" in `~`, `join` and every filter of text, and a mail that begins with
//! "Dear None" cannot be taken back. So templates see an object of ours instead, also where they write `none`.

use std::fmt;
use std::sync::{Arc, LazyLock};

use minijinja::value::{Enumerator, Kwargs, Object, ObjectRepr, Rest, Serde, Value, ValueOrKwargs};
use minijinja::{Environment, Error, State, filters};
use serde::{Serialize, Serializer};

use super::decimal;

/// What the word `none` of a template is compiled to; as long as that word, so that positions of errors stay.
pub(super) const NAME: &str = "_nil";

static NULL: LazyLock<Value> = LazyLock::new(|| Value::from_object(Null));

#[derive(Debug)]
struct Null;

impl Object for Null {
    /// As with minijinja's `none`, a loop over null ends at once.
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Iterable
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Empty
    }

    fn is_true(self: &Arc<Self>) -> bool {
        false
    }

    fn render(self: &Arc<Self>, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
}

/// Gives the one null; as there is only one, it equals itself.
pub(super) fn null() -> Value {
    NULL.clone()
}

pub(super) fn is_null(value: &Value) -> bool {
    value.is_none() || value.downcast_object_ref::<Null>().is_some()
}

/// Turns the context into a value.
pub(super) fn from_json(json: &serde_json::Value) -> Value {
    Value::from(Serde(Nullable(json)))
}

/// JSON whose nulls become ours. The depth is that of `serde_json`'s parser, at most 128.
struct Nullable<'a>(&'a serde_json::Value);

impl Serialize for Nullable<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde_json::Value as Json;
        match self.0 {
            Json::Null => NULL.serialize(serializer),
            Json::Array(items) => serializer.collect_seq(items.iter().map(Nullable)),
            Json::Object(entries) => {
                serializer.collect_map(entries.iter().map(|(key, value)| (key, Nullable(value))))
            }
            Json::Number(number) => decimal::from_json(number.as_str()).serialize(serializer),
            scalar => scalar.serialize(serializer),
        }
    }
}

/// Makes the environment treat null as it treats its own `none`, and `default` treat it as missing.
pub(super) fn register(environment: &mut Environment<'static>) {
    environment.add_global(NAME, null());
    environment.add_test("none", |value: &Value| is_null(value));
    for name in ["default", "d"] {
        environment.add_filter(name, default);
    }
}

fn default(state: &State, value: &Value, given: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let (mut given, kwargs): (Vec<Value>, Vec<Value>) = given
        .into_values()
        .into_iter()
        .partition(|value| !value.is_kwargs());
    for kwargs in kwargs {
        let kwargs = Kwargs::try_from(kwargs)?;
        for (place, name) in ["default_value", "boolean"].into_iter().enumerate() {
            if let Some(value) = kwargs.get::<Option<Value>>(name)? {
                given.resize(given.len().max(place), Value::from(""));
                given.push(value);
            }
        }
        kwargs.assert_all_used()?;
    }
    match is_null(value) {
        true => filters::default(state, &Value::UNDEFINED, Rest(given)),
        false => filters::default(state, value, Rest(given)),
    }
}
