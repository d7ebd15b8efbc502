//! Tokens in mail addresses: the return path (VERP) `bounces+TOKEN@shop.example` tells which mail came back, and that it was
//! ours, `leave+TOKEN@shop.example` whose reader leaves.
//!
//! The same token as in a URL, but in base32hex (RFC 4648, section 7), lower-case and without padding: mail servers may
//! fold the case of a local part, and it has 64 octets only (RFC 5321, section 4.5.3.1.1).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use data_encoding::BASE32_DNSSEC;

use super::token::{Keyring, Purpose, Token};

/// Most characters of a token: key id, a record of 48 bits as in its public uuid, activity, MAC.
pub const LONGEST_CHARS: usize = (8 * (1 + 7 + 5 + 16usize)).div_ceil(5);

/// Signs the mail of a record and an activity. The result consists of `a–v 0–9`.
pub fn sign(keyring: &Keyring, purpose: Purpose, record: i64, activity: i32) -> String {
    let token = Token {
        record,
        activity,
        link: None,
    };
    BASE32_DNSSEC.encode(&keyring.sign_bytes(purpose, &token))
}

/// Returns the mail that a return path speaks of, if one of the keys signed it, else `None`, whatever the reason.
///
/// `address` is what the bounce was sent to, in any case, with or without angle brackets and domain. The token is what
/// follows the last `+` of the local part; the domain proves nothing and is not looked at.
pub fn verify_return_path(keyring: &Keyring, address: &str) -> Option<Token> {
    let bytes = decode(detail(address)?)?;
    keyring
        .verify_bytes(Purpose::Bounce, &bytes)
        .filter(|token| token.link.is_none())
}

/// Returns the token of an unsubscribe URL that stands in a word of a mail, an address or the token alone, if one of the
/// keys signed it for that.
pub fn unsubscribe_token(keyring: &Keyring, word: &str) -> Option<String> {
    let bytes = decode(detail(word).unwrap_or(word))?;
    keyring.verify_bytes(Purpose::Unsubscribe, &bytes)?;
    Some(URL_SAFE_NO_PAD.encode(bytes))
}

/// What follows the last `+` of a local part.
fn detail(address: &str) -> Option<&str> {
    let address = address.trim().trim_matches(['<', '>']);
    let local = address.rsplit_once('@').map_or(address, |(local, _)| local);
    let (_, detail) = local.rsplit_once('+')?;
    Some(detail)
}

fn decode(token: &str) -> Option<Vec<u8>> {
    (token.len() <= LONGEST_CHARS)
        .then(|| BASE32_DNSSEC.decode(token.as_bytes()).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keyring() -> Keyring {
        Keyring::new(vec![(7, [7; 32])]).unwrap()
    }

    #[test]
    fn every_mail_is_found_again_however_its_return_path_was_written() {
        for record in [1, 127, 128, 1 << 32, (1 << 48) - 1] {
            for activity in [1, 300, i32::MAX] {
                let token = sign(&keyring(), Purpose::Bounce, record, activity);
                assert!(token.len() <= LONGEST_CHARS, "{token}");
                assert!(
                    token
                        .bytes()
                        .all(|byte| matches!(byte, b'a'..=b'v' | b'0'..=b'9'))
                );
                for address in [
                    format!("bounces+{token}@shop.example"),
                    format!(" <BOUNCES+{}@SHOP.EXAMPLE>\r\n", token.to_uppercase()),
                    format!("prvs=1234abcdef=bounces+news+{token}@shop.example"),
                    format!("bounces+{token}"),
                ] {
                    let found = verify_return_path(&keyring(), &address).unwrap();
                    assert_eq!((found.record, found.activity), (record, activity));
                }
            }
        }
    }

    #[test]
    fn what_was_not_signed_as_a_return_path_is_none() {
        let token = sign(&keyring(), Purpose::Bounce, 300, 5);
        let other = Keyring::new(vec![(7, [8; 32])]).unwrap();
        assert_eq!(
            verify_return_path(&other, &format!("b+{token}@x.example")),
            None
        );
        for at in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[at] = if changed[at] == b'0' { b'1' } else { b'0' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(
                verify_return_path(&keyring(), &format!("b+{changed}@x.example")),
                None
            );
        }
        let open = keyring().sign_bytes(
            Purpose::Open,
            &Token {
                record: 300,
                activity: 5,
                link: None,
            },
        );
        for address in [
            String::new(),
            "bounces@shop.example".to_owned(),
            token.clone(),
            format!("{token}@shop.example"),
            format!("bounces+{token}=@shop.example"),
            format!("bounces+{token}é@shop.example"),
            format!("bounces+{}@shop.example", &token[..token.len() - 1]),
            format!("bounces+{}@shop.example", token.repeat(1000)),
            format!("bounces+{}@shop.example", BASE32_DNSSEC.encode(&open)),
            format!("bounces@shop+{token}.example"),
        ] {
            assert_eq!(verify_return_path(&keyring(), &address), None, "{address}");
        }
    }

    #[test]
    fn only_what_is_signed_for_leaving_lets_leave() {
        let token = sign(&keyring(), Purpose::Unsubscribe, 300, 5);
        let of_url = keyring().sign(
            Purpose::Unsubscribe,
            &Token {
                record: 300,
                activity: 5,
                link: None,
            },
        );
        for word in [
            token.clone(),
            token.to_uppercase(),
            format!("leave+{token}@shop.example"),
            format!("<LEAVE+{}@SHOP.EXAMPLE>", token.to_uppercase()),
        ] {
            assert_eq!(
                unsubscribe_token(&keyring(), &word),
                Some(of_url.clone()),
                "{word}"
            );
        }
        let bounce = sign(&keyring(), Purpose::Bounce, 300, 5);
        assert_eq!(
            unsubscribe_token(&keyring(), &format!("leave+{bounce}@shop.example")),
            None
        );
        assert_eq!(
            verify_return_path(&keyring(), &format!("bounces+{token}@shop.example")),
            None
        );
        for word in [
            "",
            "unsubscribe",
            "leave@shop.example",
            "leave+@shop.example",
            &of_url,
        ] {
            assert_eq!(unsubscribe_token(&keyring(), word), None, "{word}");
        }
    }
}
