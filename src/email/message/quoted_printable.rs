//! Quoted-printable (RFC 2045, section 6.7).
//!
//! lettre's encoder goes character by character and took most of the time of building a message.

/// Longest encoded line without its soft break, so that the break fits into 76.
const LIMIT: usize = 75;

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// Encodes text; line ends become CRLF, everything else that is not printable ASCII becomes `=XX`.
pub(super) fn encode(text: &str) -> Vec<u8> {
    let mut encoded = Vec::with_capacity(text.len() + text.len() / 8);
    for (number, line) in text.split('\n').enumerate() {
        if number > 0 {
            encoded.extend_from_slice(b"\r\n");
        }
        encode_line(
            line.strip_suffix('\r').unwrap_or(line).as_bytes(),
            &mut encoded,
        );
    }
    encoded
}

fn encode_line(line: &[u8], encoded: &mut Vec<u8>) {
    let mut width = 0;
    for (at, &byte) in line.iter().enumerate() {
        // White space at the end of a line may get lost on the way.
        let literal = matches!(byte, b'!'..=b'<' | b'>'..=b'~')
            || matches!(byte, b' ' | b'\t') && at + 1 < line.len();
        let needed = if literal { 1 } else { 3 };
        if width + needed > LIMIT {
            encoded.extend_from_slice(b"=\r\n");
            width = 0;
        }
        if literal {
            encoded.push(byte);
        } else {
            encoded.extend_from_slice(&[
                b'=',
                HEX[usize::from(byte >> 4)],
                HEX[usize::from(byte & 15)],
            ]);
        }
        width += needed;
    }
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
