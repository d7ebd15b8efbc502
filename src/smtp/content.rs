//! The mail as it goes over the wire after DATA.

use super::error::{SendError, SendErrorKind};

/// Puts a message into `wire`: dots at the start of a line doubled, and the final dot at the end (RFC 5321, section 4.5.2).
///
/// # Errors
/// Refuses what could end the data early on some servers: bare CR or LF (CVE-2023-51764 and its kin); and bytes that need
/// an extension we do not ask for: NUL, and without `smtputf8` everything outside ASCII.
pub(super) fn encode(message: &[u8], smtputf8: bool, wire: &mut Vec<u8>) -> Result<(), SendError> {
    wire.clear();
    wire.reserve(message.len() + message.len() / 64 + 5);
    let foreign = match smtputf8 {
        true => None,
        false if message.is_ascii() => None,
        false => message.iter().position(|byte| !byte.is_ascii()),
    };
    if let Some(at) = foreign.or_else(|| memchr::memchr(0, message)) {
        return Err(refuse(message, at));
    }
    let mut start = 0;
    while start < message.len() {
        let end = memchr::memchr2(b'\r', b'\n', &message[start..]).map(|length| start + length);
        let line = &message[start..end.unwrap_or(message.len())];
        if line.first() == Some(&b'.') {
            wire.push(b'.');
        }
        wire.extend_from_slice(line);
        wire.extend_from_slice(b"\r\n");
        start = match end {
            None => break,
            Some(at) if message[at..].starts_with(b"\r\n") => at + 2,
            Some(at) => return Err(refuse(message, at)),
        };
    }
    wire.extend_from_slice(b".\r\n");
    Ok(())
}

/// The bytes that count for SIZE (RFC 1870, section 3): neither doubled dots nor the final one.
pub(super) fn size(message: &[u8]) -> u64 {
    let is_complete = message.is_empty() || message.ends_with(b"\r\n");
    (message.len() + if is_complete { 0 } else { 2 }) as u64
}

fn refuse(message: &[u8], at: usize) -> SendError {
    let byte = message[at];
    let message = format!("message has a byte 0x{byte:02x} at {at} that SMTP does not allow there");
    SendError::new(SendErrorKind::Permanent, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_are_doubled_and_the_data_end_once() {
        for (message, expected) in [
            (&b""[..], &b".\r\n"[..]),
            (b"a", b"a\r\n.\r\n"),
            (b"a\r\n", b"a\r\n.\r\n"),
            (b"\r\n\r\n", b"\r\n\r\n.\r\n"),
            (b".", b"..\r\n.\r\n"),
            (
                b"A: b\r\n\r\n.\r\n..x\r\ny.\r\n",
                b"A: b\r\n\r\n..\r\n...x\r\ny.\r\n.\r\n",
            ),
        ] {
            let mut wire = b"left over".to_vec();
            encode(message, false, &mut wire).unwrap();
            assert_eq!(wire, expected);
        }
    }

    #[test]
    fn bytes_that_could_smuggle_a_mail_are_refused() {
        for (message, at) in [
            (&b"a\n.\nb\r\n"[..], 1),
            (b"a\r.\r\n", 1),
            (b"a\r\n.\n", 4),
            (b"\n", 0),
            (b"a\r", 1),
            (b"a\r\r\n", 1),
            (b"a\0b\r\n", 1),
            (b"\xc3\xa9\r\n", 0),
        ] {
            let error = encode(message, false, &mut Vec::new()).unwrap_err();
            assert_eq!(error.kind, SendErrorKind::Permanent);
            assert!(error.message.contains(&format!(" at {at} ")), "{error}");
        }
        encode("é\r\n".as_bytes(), true, &mut Vec::new()).unwrap();
        assert!(encode(b"\0\r\n", true, &mut Vec::new()).is_err());
    }
}
