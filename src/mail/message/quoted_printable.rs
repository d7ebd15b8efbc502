//! Quoted-printable (RFC 2045, section 6.7).
//!
//! lettre's encoder goes character by character and took most of the time of building a message.

/// Longest encoded line without its soft break, so that the break fits into 76.
const LIMIT: usize = 75;

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// Encodes text; line ends become CRLF, everything else that is not printable ASCII becomes `=XX`.
pub(super) fn encode(text: &str) -> Vec<u8> {
    let mut encoded = Vec::with_capacity(text.len() + text.len() / 8);
    let mut rest = text.as_bytes();
    while let Some(length) = memchr::memchr(b'\n', rest) {
        let line = &rest[..length];
        encode_line(line.strip_suffix(b"\r").unwrap_or(line), &mut encoded);
        encoded.extend_from_slice(b"\r\n");
        rest = &rest[length + 1..];
    }
    encode_line(rest.strip_suffix(b"\r").unwrap_or(rest), &mut encoded);
    encoded
}

fn encode_line(line: &[u8], encoded: &mut Vec<u8>) {
    // White space at the end of a line may get lost on the way.
    let end = match line {
        [.., b' ' | b'\t'] => line.len() - 1,
        _ => line.len(),
    };
    let mut width = 0;
    let mut at = 0;
    while at < line.len() {
        let mut run = &line[at..at + literals(&line[at..end.max(at)])];
        at += run.len();
        while !run.is_empty() {
            if width == LIMIT {
                encoded.extend_from_slice(b"=\r\n");
                width = 0;
            }
            let (fitting, rest) = run.split_at(run.len().min(LIMIT - width));
            encoded.extend_from_slice(fitting);
            width += fitting.len();
            run = rest;
        }
        if let Some(&byte) = line.get(at) {
            if width + 3 > LIMIT {
                encoded.extend_from_slice(b"=\r\n");
                width = 0;
            }
            encoded.extend_from_slice(&[
                b'=',
                HEX[usize::from(byte >> 4)],
                HEX[usize::from(byte & 15)],
            ]);
            width += 3;
            at += 1;
        }
    }
}

/// How many bytes from the start stand for themselves.
fn literals(bytes: &[u8]) -> usize {
    let is_literal = |byte: u8| (b' '..=b'~').contains(&byte) & (byte != b'=') | (byte == b'\t');
    // A fixed number at a time, which the compiler turns into vector instructions.
    let whole = bytes
        .chunks_exact(16)
        .take_while(|chunk| chunk.iter().fold(true, |all, &byte| all & is_literal(byte)))
        .count();
    let rest = &bytes[whole * 16..];
    whole * 16
        + rest
            .iter()
            .position(|&byte| !is_literal(byte))
            .unwrap_or(rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_decoder_reads_the_same_text_and_lines_are_short() {
        let long = "é=x ".repeat(200) + &"y".repeat(300);
        for text in [
            "",
            "a\nb\n",
            "a \r\n\tb\t\nc",
            "=",
            ".\r\n.",
            "x\ry\0z\u{7f}",
            &"z".repeat(75),
            &"z".repeat(76),
            &("z".repeat(74) + "="),
            &("z".repeat(75) + " \n"),
            " ",
            "\t\t\n  \n",
            &" ".repeat(200),
            &("z".repeat(73) + "é"),
            &("z".repeat(72) + "é"),
            &long,
        ] {
            let encoded = encode(text);
            assert!(
                encoded
                    .iter()
                    .all(|&byte| matches!(byte, b' '..=b'~' | b'\t' | b'\r' | b'\n'))
            );
            for line in String::from_utf8(encoded.clone()).unwrap().split("\r\n") {
                assert!(line.len() <= 76 && !line.ends_with([' ', '\t']), "{line}");
            }
            let decoded =
                quoted_printable::decode(&encoded, quoted_printable::ParseMode::Strict).unwrap();
            let expected = text.replace("\r\n", "\n").replace('\n', "\r\n");
            assert_eq!(String::from_utf8(decoded).unwrap(), expected);
        }
    }
}
