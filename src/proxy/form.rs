//! The body of an unsubscribe POST.

use url::form_urlencoded;

/// Names and values of the forms on our pages.
pub const ACTION: &str = "action";
pub const RESUBSCRIBE: &str = "resubscribe";
pub const SCOPE: &str = "scope";
pub const SCOPE_EVERYTHING: &str = "everything";

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
