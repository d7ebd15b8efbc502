//! The body of an unsubscribe POST.

use url::form_urlencoded;

/// Names and values of the forms on our pages.
pub const ACTION: &str = "action";
pub const RESUBSCRIBE: &str = "resubscribe";
pub const SCOPE: &str = "scope";
pub const SCOPE_EVERYTHING: &str = "everything";
pub const SAVE: &str = "save";
pub const UNDO: &str = "undo";
pub const TOPIC: &str = "topic";
pub const SHOWN: &str = "shown";

/// What a POST asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// Of a mail client by itself: the body holds `List-Unsubscribe=One-Click` (RFC 8058, section 3.1).
    OneClick,
    /// Of a reader who pressed the button.
    Unsubscribe { everything: bool },
    /// Of a reader who pressed it by mistake.
    Resubscribe,
}

/// Reads a form, also one in `multipart/form-data` (RFC 8058 allows both).
///
/// A body that cannot be read unsubscribes: that is what the URL is for.
pub fn read_request(content_type: &str, body: &[u8]) -> Request {
    match boundary(content_type) {
        Some(boundary) => request_of(parts(&boundary, body)),
        None => request_of(
            form_urlencoded::parse(body)
                .map(|(name, value)| (name.into_owned(), value.into_owned())),
        ),
    }
}

fn request_of(fields: impl Iterator<Item = (String, String)>) -> Request {
    let mut request = Request::Unsubscribe { everything: false };
    for (name, value) in fields {
        match (name.as_str(), value.trim()) {
            (ACTION, RESUBSCRIBE) => request = Request::Resubscribe,
            (SCOPE, SCOPE_EVERYTHING) => request = Request::Unsubscribe { everything: true },
            (name, value)
                if name.eq_ignore_ascii_case("List-Unsubscribe")
                    && value.eq_ignore_ascii_case("One-Click") =>
            {
                return Request::OneClick;
            }
            _ => {}
        }
    }
    request
}

/// What a POST of the page of topics asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Preference {
    /// Of the topics that the page has shown, those that are wanted.
    Save {
        shown: Vec<String>,
        wanted: Vec<String>,
    },
    /// To take back what was chosen of these last.
    Undo {
        topics: Vec<String>,
    },
    LeaveEverything,
    Resubscribe,
    /// Nothing that the page has: it changes nothing.
    Nothing,
}

/// Reads a form of the page of topics. Unlike [`read_request`] it does nothing where the form does not say what: without a
/// box that is ticked nobody leaves everything.
pub fn read_preference(content_type: &str, body: &[u8]) -> Preference {
    let fields: Vec<(String, String)> = match boundary(content_type) {
        Some(boundary) => parts(&boundary, body).collect(),
        None => form_urlencoded::parse(body)
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .collect(),
    };
    let all = |wanted: &str| -> Vec<String> {
        let of_name = fields.iter().filter(|(name, _)| name == wanted);
        of_name.map(|(_, value)| value.clone()).collect()
    };
    let has = |name: &str, value: &str| all(name).iter().any(|given| given.trim() == value);
    if has(ACTION, SAVE) {
        Preference::Save {
            shown: all(SHOWN),
            wanted: all(TOPIC),
        }
    } else if has(ACTION, UNDO) {
        Preference::Undo { topics: all(TOPIC) }
    } else if has(ACTION, RESUBSCRIBE) {
        Preference::Resubscribe
    } else if has(SCOPE, SCOPE_EVERYTHING) {
        Preference::LeaveEverything
    } else {
        Preference::Nothing
    }
}

/// The boundary of a multipart form; `None` for any other content type.
fn boundary(content_type: &str) -> Option<String> {
    let mut parameters = content_type.split(';');
    if !parameters
        .next()?
        .trim()
        .eq_ignore_ascii_case("multipart/form-data")
    {
        return None;
    }
    parameters.find_map(|parameter| parameter_value(parameter, "boundary"))
}

/// The value of `name=value` or `name="value"`, if that is the parameter's name.
fn parameter_value(parameter: &str, name: &str) -> Option<String> {
    let (written, value) = parameter.split_once('=')?;
    written
        .trim()
        .eq_ignore_ascii_case(name)
        .then(|| value.trim().trim_matches('"').to_owned())
}

/// Names and values of a multipart form (RFC 7578), as far as they are text.
fn parts(boundary: &str, body: &[u8]) -> impl Iterator<Item = (String, String)> {
    let text = String::from_utf8_lossy(body).replace("\r\n", "\n");
    let parts: Vec<_> = text
        .split(&format!("--{boundary}"))
        .filter_map(part)
        .collect();
    parts.into_iter()
}

fn part(text: &str) -> Option<(String, String)> {
    let (headers, value) = text.trim_start_matches('\n').split_once("\n\n")?;
    let disposition = headers.lines().find_map(|header| {
        let (name, value) = header.split_once(':')?;
        name.eq_ignore_ascii_case("Content-Disposition")
            .then_some(value)
    })?;
    let name = disposition
        .split(';')
        .find_map(|parameter| parameter_value(parameter, "name"))?;
    Some((name, value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: &str = "application/x-www-form-urlencoded";

    #[test]
    fn both_encodings_of_the_signal_are_read() {
        let multipart = "--x7\r\nContent-Disposition: form-data; name=\"List-Unsubscribe\"\r\n\r\nOne-Click\r\n--x7--\r\n";
        for (content_type, body) in [
            (FORM, "List-Unsubscribe=One-Click"),
            ("", "a=b&list-unsubscribe=one-click&action=resubscribe"),
            ("multipart/form-data; boundary=x7", multipart),
            (
                "Multipart/Form-Data; charset=utf-8; Boundary=\"x7\"",
                multipart,
            ),
        ] {
            assert_eq!(
                read_request(content_type, body.as_bytes()),
                Request::OneClick
            );
        }
    }

    #[test]
    fn readers_choose() {
        for (body, everything) in [
            ("scope=this", false),
            ("scope=everything", true),
            ("scope=all", false),
        ] {
            assert_eq!(
                read_request(FORM, body.as_bytes()),
                Request::Unsubscribe { everything },
                "{body}"
            );
        }
        assert_eq!(
            read_request(FORM, b"action=resubscribe"),
            Request::Resubscribe
        );
    }

    #[test]
    fn topics_are_chosen_by_those_that_were_shown() {
        let save = |shown: &[&str], wanted: &[&str]| Preference::Save {
            shown: shown.iter().map(|topic| (*topic).to_owned()).collect(),
            wanted: wanted.iter().map(|topic| (*topic).to_owned()).collect(),
        };
        for (body, expected) in [
            (
                "shown=a&shown=b+c&topic=b+c&action=save",
                save(&["a", "b c"], &["b c"]),
            ),
            // Without a tick nothing is wanted of what was shown, and that is all.
            ("shown=a&action=save", save(&["a"], &[])),
            (
                "topic=a&action=undo",
                Preference::Undo {
                    topics: vec!["a".to_owned()],
                },
            ),
            ("action=resubscribe", Preference::Resubscribe),
            ("scope=everything", Preference::LeaveEverything),
            ("shown=a&scope=everything&action=save", save(&["a"], &[])),
            ("", Preference::Nothing),
            ("scope=this", Preference::Nothing),
            ("List-Unsubscribe=One-Click", Preference::Nothing),
            ("action=nonsense&topic=a", Preference::Nothing),
        ] {
            assert_eq!(read_preference(FORM, body.as_bytes()), expected, "{body}");
        }
    }

    #[test]
    fn anything_else_is_a_reader_who_leaves() {
        for (content_type, body) in [
            (FORM, ""),
            (FORM, "List-Unsubscribe=No"),
            (FORM, "One-Click"),
            (FORM, "action=nonsense"),
            (
                "multipart/form-data; boundary=x7",
                "List-Unsubscribe=One-Click",
            ),
            ("multipart/form-data", "--\r\n\r\n"),
            ("multipart/form-data; boundary=", "--\n\n--\n\n--"),
            ("text/plain", "\u{0}\u{fffd}%%%"),
        ] {
            let expected = Request::Unsubscribe { everything: false };
            assert_eq!(
                read_request(content_type, body.as_bytes()),
                expected,
                "{content_type} {body}"
            );
        }
    }
}
