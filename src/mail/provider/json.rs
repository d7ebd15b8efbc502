//! JSON of strangers, within limits: an object or a list of them, whose members may be missing or of another type.

use std::cell::Cell;
use std::fmt;

use serde::Deserializer;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

/// Events of one request; the largest batch of a provider has a few thousand.
pub const MAX_EVENTS: usize = 5000;

/// What is wrong with the body of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unreadable {
    #[error("it is not the JSON that this provider posts")]
    Broken,
    #[error("it has more than {MAX_EVENTS} events")]
    TooMany,
}

/// Reads one event or a list of them.
pub(super) fn events(body: &[u8]) -> Result<Vec<Value>, Unreadable> {
    let is_too_long = Cell::new(false);
    let mut input = serde_json::Deserializer::from_slice(body);
    let events = input
        .deserialize_any(List {
            is_too_long: &is_too_long,
        })
        .and_then(|events| input.end().map(|()| events));
    events.map_err(|_| match is_too_long.get() {
        true => Unreadable::TooMany,
        false => Unreadable::Broken,
    })
}

/// Reads one event.
pub(super) fn event(body: &[u8]) -> Result<Value, Unreadable> {
    match serde_json::from_slice(body) {
        Ok(event @ Value::Object(_)) => Ok(event),
        _ => Err(Unreadable::Broken),
    }
}

/// A member of a member …, as text: empty where there is none, or another type.
pub(super) fn text(value: &Value, path: &[&str]) -> String {
    match path.iter().try_fold(value, |value, name| value.get(name)) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    }
}

/// The elements of a member that is a list.
pub(super) fn list<'a>(value: &'a Value, path: &[&str]) -> &'a [Value] {
    let found = path.iter().try_fold(value, |value, name| value.get(name));
    found.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

struct List<'a> {
    is_too_long: &'a Cell<bool>,
}

impl<'de> Visitor<'de> for List<'_> {
    type Value = Vec<Value>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an event or a list of events")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Self::Value, A::Error> {
        let mut events = Vec::new();
        while let Some(event) = sequence.next_element()? {
            if events.len() == MAX_EVENTS {
                self.is_too_long.set(true);
                return Err(A::Error::custom("too many events"));
            }
            events.push(event);
        }
        Ok(events)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        let event = Value::deserialize(MapAccessDeserializer::new(map))?;
        Ok(vec![event])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_event_or_a_list_is_read_and_nothing_else() {
        let count = |body: &str| events(body.as_bytes()).map(|events| events.len());
        assert_eq!(count("[]"), Ok(0));
        assert_eq!(count(" {\"a\": 1e999} "), Ok(1));
        assert_eq!(count("[{}, 7, null]"), Ok(3));
        for body in ["", "\"text\"", "null", "[{}", "{} {}", "[\"\\ud800\"]"] {
            assert_eq!(count(body), Err(Unreadable::Broken), "{body}");
        }
        let deep = "[".repeat(100_000);
        assert_eq!(count(&deep), Err(Unreadable::Broken));
    }

    #[test]
    fn a_list_has_its_limit() {
        let list = |length: usize| format!("[{}{{}}]", "{},".repeat(length - 1));
        assert_eq!(events(list(MAX_EVENTS).as_bytes()).unwrap().len(), 5000);
        let more = events(list(MAX_EVENTS + 1).as_bytes());
        assert_eq!(more, Err(Unreadable::TooMany));
    }

    #[test]
    fn members_of_another_type_are_empty() {
        let value = serde_json::json!({"a": {"b": [1], "c": 550, "d": "x"}, "e": null});
        assert_eq!(text(&value, &["a", "c"]), "550");
        assert_eq!(text(&value, &["a", "d"]), "x");
        for path in [&["a"][..], &["a", "b"], &["e"], &["f"], &["e", "f"]] {
            assert_eq!(text(&value, path), "", "{path:?}");
        }
        assert_eq!(list(&value, &["a", "b"]).len(), 1);
        assert!(list(&value, &["a", "d"]).is_empty());
    }
}
