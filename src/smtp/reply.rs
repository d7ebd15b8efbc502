//! What an SMTP server answers (RFC 5321, section 4.2).

use std::fmt;

/// The server ends the session with this reply (RFC 5321, section 3.8).
pub(super) const SERVICE_CLOSING: u16 = 421;

/// Most bytes of one reply, all its lines together.
pub(super) const MAX_REPLY_BYTES: usize = 16 * 1024;

/// A complete reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) code: u16,
    /// The lines without their code, each ended by a line feed. What is not UTF-8 is replaced: the code decides.
    text: String,
}

/// Bytes that are no reply.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadReply {
    #[error("the server's reply is endless")]
    Endless,
    #[error("the server's reply {0:?} is none of SMTP")]
    Malformed(String),
}

impl Reply {
    /// Takes the first reply from the front of `input`; None: it is not yet complete.
    pub(super) fn take(input: &mut Vec<u8>) -> Result<Option<Reply>, BadReply> {
        let mut text = String::new();
        let mut first = None;
        let mut end = 0;
        while let Some(length) = memchr::memchr(b'\n', &input[end..]) {
            let line = &input[end..end + length];
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            end += length + 1;
            let malformed = || BadReply::Malformed(one_line(&String::from_utf8_lossy(line)));
            let (code, is_last, words) = parse_line(line).ok_or_else(malformed)?;
            if *first.get_or_insert(code) != code {
                return Err(malformed());
            }
            if end > MAX_REPLY_BYTES {
                return Err(BadReply::Endless);
            }
            text.push_str(&String::from_utf8_lossy(words));
            text.push('\n');
            if is_last {
                input.drain(..end);
                return Ok(Some(Reply { code, text }));
            }
        }
        match input.len() > MAX_REPLY_BYTES {
            true => Err(BadReply::Endless),
            false => Ok(None),
        }
    }

    /// The lines without their code.
    pub(super) fn lines(&self) -> impl Iterator<Item = &str> {
        self.text.lines()
    }

    /// 2yz: what was asked for has happened.
    pub(super) fn is_success(&self) -> bool {
        self.code / 100 == 2
    }
}

/// Code and text on one line.
impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, one_line(&self.text))
    }
}

/// Code, whether the line is the reply's last, and its text.
fn parse_line(line: &[u8]) -> Option<(u16, bool, &[u8])> {
    let (code, rest) = line.split_at_checked(3)?;
    if !matches!(code, [b'2'..=b'5', b'0'..=b'9', b'0'..=b'9']) {
        return None;
    }
    let code = code
        .iter()
        .fold(0, |code, digit| code * 10 + u16::from(digit - b'0'));
    match rest.split_first() {
        None => Some((code, true, rest)),
        Some((b' ', words)) => Some((code, true, words)),
        Some((b'-', words)) => Some((code, false, words)),
        Some(_) => None,
    }
}

/// Makes one line of at most 500 characters of text that may come from a server.
pub(super) fn one_line(text: &str) -> String {
    text.trim()
        .chars()
        .take(500)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(bytes: &[u8]) -> (Result<Option<String>, BadReply>, usize) {
        let mut input = bytes.to_vec();
        let reply = Reply::take(&mut input).map(|reply| reply.map(|reply| reply.to_string()));
        (reply, input.len())
    }

    #[test]
    fn replies_are_taken_one_by_one_when_they_are_complete() {
        for (bytes, reply, rest) in [
            (&b"250 ok\r\n"[..], Some("250 ok"), 0),
            (b"250 ok\r\n354 go\r\n", Some("250 ok"), 8),
            (b"250\n", Some("250 "), 0),
            (b"250-a\r\n250-\r\n250 b\r\n2", Some("250 a  b"), 1),
            (
                b"550 5.1.1 \xe9t\xe9\r\n",
                Some("550 5.1.1 \u{fffd}t\u{fffd}"),
                0,
            ),
            (b"250 a\x1b[31m\tb\r\n", Some("250 a [31m b"), 0),
            (b"", None, 0),
            (b"250 ok", None, 6),
            (b"250-ok\r\n", None, 8),
        ] {
            assert_eq!(take(bytes), (Ok(reply.map(str::to_owned)), rest));
        }
    }

    #[test]
    fn what_is_no_reply_is_an_error() {
        for bytes in [
            &b"\r\n"[..],
            b"25\r\n",
            b"999 what\r\n",
            b"150 what\r\n",
            b"2500 what\r\n",
            b"hello\r\n",
            b"250-a\r\n251 b\r\n",
            b"250-a\r\n\r\n",
        ] {
            assert!(matches!(take(bytes).0, Err(BadReply::Malformed(_))));
        }
        for endless in [b"x".repeat(MAX_REPLY_BYTES + 1), b"250-x\r\n".repeat(3000)] {
            assert_eq!(take(&endless).0, Err(BadReply::Endless));
        }
    }
}
