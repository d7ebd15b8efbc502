//! The relaxed canonical form of a message (RFC 6376, sections 3.4.2 and 3.4.4): what it is when white space does not count.

/// Splits a message into its header, with the last CRLF, and its body.
pub(super) fn split(message: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memmem::find(message, b"\r\n\r\n") {
        Some(at) => (&message[..at + 2], &message[at + 4..]),
        None => (message, b""),
    }
}

/// The fields of a message's header.
pub(super) struct Headers<'a> {
    fields: Vec<(&'a str, &'a str)>,
}

impl<'a> Headers<'a> {
    /// Reads what a message of ours begins with, which is UTF-8.
    pub(super) fn parse(bytes: &'a [u8]) -> Self {
        let text = str::from_utf8(bytes).unwrap_or_default();
        let mut fields = Vec::new();
        let mut start = 0;
        for (end, _) in text.match_indices("\r\n") {
            // A line that begins with white space goes on with the field before.
            if text[end + 2..].starts_with([' ', '\t']) {
                continue;
            }
            let field = &text[start..end];
            if let Some((name, _)) = field.split_once(':') {
                fields.push((name.trim_end(), field));
            }
            start = end + 2;
        }
        Headers { fields }
    }

    pub(super) fn count(&self, name: &str) -> usize {
        let fields = self.fields.iter();
        fields
            .filter(|(other, _)| other.eq_ignore_ascii_case(name))
            .count()
    }

    /// The canonical form of the named fields: the last one for the first time that a name comes, and nothing for a
    /// field that is not there (RFC 6376, section 5.4.2).
    pub(super) fn canonical(&self, names: &[&str]) -> String {
        let mut text = String::new();
        for (number, name) in names.iter().enumerate() {
            let earlier = names[..number].iter();
            let skipped = earlier
                .filter(|other| other.eq_ignore_ascii_case(name))
                .count();
            let found = self
                .fields
                .iter()
                .rev()
                .filter(|(other, _)| other.eq_ignore_ascii_case(name))
                .nth(skipped);
            if let Some((_, found)) = found {
                text.push_str(&field(found));
                text.push_str("\r\n");
            }
        }
        text
    }
}

/// The canonical form of a header field, without CRLF at the end.
pub(super) fn field(text: &str) -> String {
    let (name, value) = text.split_once(':').unwrap_or((text, ""));
    let mut canonical = name.trim_end().to_ascii_lowercase();
    canonical.push(':');
    let words = value.split([' ', '\t', '\r', '\n']);
    for (number, word) in words.filter(|word| !word.is_empty()).enumerate() {
        if number > 0 {
            canonical.push(' ');
        }
        canonical.push_str(word);
    }
    canonical
}

/// The canonical form of a body.
pub(super) fn body(bytes: &[u8]) -> Vec<u8> {
    let mut canonical = Vec::with_capacity(bytes.len());
    let mut empty_lines = 0;
    for line in bytes.split_inclusive(|&byte| byte == b'\n') {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let start = canonical.len();
        let mut blank = false;
        for &byte in line {
            if matches!(byte, b' ' | b'\t') {
                blank = true;
                continue;
            }
            if canonical.len() == start {
                // Empty lines count only where something follows.
                for _ in 0..std::mem::take(&mut empty_lines) {
                    canonical.extend_from_slice(b"\r\n");
                }
            }
            if std::mem::take(&mut blank) {
                canonical.push(b' ');
            }
            canonical.push(byte);
        }
        if canonical.len() == start {
            empty_lines += 1;
        } else {
            canonical.extend_from_slice(b"\r\n");
        }
    }
    canonical
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_rfc() {
        // RFC 6376, section 3.4.5.
        let message = b"A: X\r\nB : Y\t\r\n\tZ  \r\n\r\n C \r\nD \t E\r\n\r\n\r\n";
        let (header, rest) = split(message);
        let headers = Headers::parse(header);
        assert_eq!(headers.canonical(&["A", "B"]), "a:X\r\nb:Y Z\r\n");
        assert_eq!(body(rest), b" C\r\nD E\r\n");
    }

    #[test]
    fn bodies() {
        for (text, canonical) in [
            ("", ""),
            ("\r\n\r\n", ""),
            (" \t\r\n", ""),
            ("a", "a\r\n"),
            ("a\r\n\r\n\r\nb\r\n \r\n", "a\r\n\r\n\r\nb\r\n"),
            ("\r\na \t b \r\n", "\r\na b\r\n"),
            (" \r\n x", "\r\n x\r\n"),
        ] {
            assert_eq!(
                String::from_utf8(body(text.as_bytes())).unwrap(),
                canonical,
                "{text:?}"
            );
        }
    }

    #[test]
    fn fields_are_taken_from_the_bottom_and_missing_ones_are_nothing() {
        let headers = Headers::parse(b"To: a\r\nX: b\r\n c:d\r\nto:  e \r\n");
        assert_eq!(headers.count("TO"), 2);
        assert_eq!(headers.count("c"), 0);
        assert_eq!(
            headers.canonical(&["To", "x", "to", "To", "Nothing"]),
            "to:e\r\nx:b c:d\r\nto:a\r\n"
        );
    }
}
