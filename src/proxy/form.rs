//! The body of an unsubscribe POST.

use url::form_urlencoded;

/// Whether a mail client sent this by itself: the body holds `List-Unsubscribe=One-Click`, as a form or as
/// `multipart/form-data` (RFC 8058, section 3.1). A reader who presses the button sends an empty form.
///
/// The answer only decides what is shown; every POST unsubscribes. So a body that cannot be read is a reader's.
pub fn is_one_click(content_type: &str, body: &[u8]) -> bool {
    match boundary(content_type) {
        Some(boundary) => parts(&boundary, body).any(|(name, value)| is_signal(&name, &value)),
        None => form_urlencoded::parse(body).any(|(name, value)| is_signal(&name, &value)),
    }
}

fn is_signal(name: &str, value: &str) -> bool {
    name.eq_ignore_ascii_case("List-Unsubscribe") && value.trim().eq_ignore_ascii_case("One-Click")
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
        assert!(is_one_click(FORM, b"List-Unsubscribe=One-Click"));
        assert!(is_one_click("", b"a=b&list-unsubscribe=one-click"));
        assert!(is_one_click(
            "multipart/form-data; boundary=x7",
            multipart.as_bytes()
        ));
        assert!(is_one_click(
            "Multipart/Form-Data; charset=utf-8; Boundary=\"x7\"",
            multipart.as_bytes()
        ));
    }

    #[test]
    fn anything_else_is_a_reader() {
        for (content_type, body) in [
            (FORM, ""),
            (FORM, "List-Unsubscribe=No"),
            (FORM, "One-Click"),
            (
                "multipart/form-data; boundary=x7",
                "List-Unsubscribe=One-Click",
            ),
            ("multipart/form-data", "--\r\n\r\n"),
            ("multipart/form-data; boundary=", "--\n\n--\n\n--"),
            ("text/plain", "\u{0}\u{fffd}%%%"),
        ] {
            assert!(
                !is_one_click(content_type, body.as_bytes()),
                "{content_type} {body}"
            );
        }
    }
}
