use std::time::{Duration, UNIX_EPOCH};

use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519};
use ring::signature::{ED25519, KeyPair as _, UnparsedPublicKey};

use super::*;
use crate::mail::message::{Draft, build};

fn mail() -> Mail {
    build(&Draft {
        from: "Shop <shop@example.org>",
        reply_to: None,
        to_address: "zoe@example.com",
        instead_of: None,
        to_name: None,
        cc: &[],
        bcc: &[],
        return_path: None,
        subject: "Grüße",
        html: "<p>Hello</p>",
        text: "Hello  you \n\n",
        message_id: "m1@example.org",
        date: UNIX_EPOCH,
        is_bulk: true,
        unsubscribe_url: Some("https://t.example/u/abc"),
        unsubscribe_address: None,
        list_id: Some("a.t.example"),
        feedback_id: Some("1:a:marketing:t"),
        headers: &[],
        attachments: &[],
    })
    .unwrap()
}

/// The signature's tags, without white space.
fn tag(message: &str, name: &str) -> String {
    let field = &message[..message.find("\r\nMessage-ID").unwrap_or(message.len())];
    let field = field.replace([' ', '\t', '\r', '\n'], "");
    let field = field.strip_prefix("DKIM-Signature:").unwrap();
    field
        .split(';')
        .find_map(|tag| tag.strip_prefix(&format!("{name}=")))
        .unwrap()
        .to_owned()
}

#[test]
fn the_signature_covers_and_seals_what_it_should() {
    let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let signer = Signer::new("Shop.example", "s2026", key.serialize_pem().as_bytes()).unwrap();
    let mut signed = mail();
    let unsigned = signed.bytes.clone();
    signer
        .sign(&mut signed, UNIX_EPOCH + Duration::from_secs(99))
        .unwrap();
    assert!(signed.bytes.ends_with(&unsigned));
    let text =
        String::from_utf8(signed.bytes[..signed.bytes.len() - unsigned.len()].to_vec()).unwrap();
    assert!(text.ends_with("\r\n"));
    for line in text.split("\r\n") {
        assert!(line.len() <= 78, "{line}");
    }
    for (name, value) in [
        ("v", "1"),
        ("a", "ed25519-sha256"),
        ("c", "relaxed/relaxed"),
        ("d", "shop.example"),
        ("s", "s2026"),
        ("t", "99"),
    ] {
        assert_eq!(tag(&text, name), value);
    }
    let names = tag(&text, "h");
    for (name, count) in [
        ("From", 2),
        ("To", 2),
        ("Subject", 2),
        ("Date", 2),
        ("Message-ID", 2),
        ("List-Unsubscribe", 2),
        ("List-Unsubscribe-Post", 2),
        ("Reply-To", 1),
        ("Cc", 1),
        ("Feedback-ID", 1),
        ("List-Id", 1),
    ] {
        assert_eq!(
            names.split(':').filter(|other| *other == name).count(),
            count,
            "{name} in {names}"
        );
    }
    // Verified by hand, as a verifier of somebody else does it in tests/e2e.
    let field = text.trim_end();
    let (unsigned_field, signature) = field.rsplit_once("b=").unwrap();
    let names: Vec<&str> = names.split(':').collect();
    let headers = canonical::Headers::parse(canonical::split(&unsigned).0);
    let covered = headers.canonical(&names) + &canonical::field(&format!("{unsigned_field}b="));
    let signature = STANDARD
        .decode(signature.replace(['\r', '\n', '\t', ' '], ""))
        .unwrap();
    let key = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&key.serialize_der()).unwrap();
    UnparsedPublicKey::new(&ED25519, key.public_key().as_ref())
        .verify(digest(&SHA256, covered.as_bytes()).as_ref(), &signature)
        .unwrap();
}

#[test]
fn what_cannot_sign_is_named_without_showing_the_key() {
    let good = KeyPair::generate_for(&PKCS_ED25519)
        .unwrap()
        .serialize_pem();
    let other = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)
        .unwrap()
        .serialize_pem();
    for (domain, selector, pem) in [
        ("", "s", good.as_str()),
        ("localhost", "s", &good),
        ("shop..example", "s", &good),
        ("shop.example; h=x", "s", &good),
        ("shop.exämple", "s", &good),
        ("shop.example", "", &good),
        ("shop.example", "a b", &good),
        ("shop.example", "a\r\nb", &good),
        ("shop.example", "s", ""),
        ("shop.example", "s", "-----BEGIN PRIVATE KEY-----\nxx\n"),
        ("shop.example", "s", &other),
        (
            "shop.example",
            "s",
            "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n",
        ),
    ] {
        let error = Signer::new(domain, selector, pem.as_bytes()).unwrap_err();
        assert!(!format!("{error:?} {error}").contains("AAAA"), "{error}");
    }
    assert!(
        !format!(
            "{:?}",
            Signer::new("a.example", "s", good.as_bytes()).unwrap()
        )
        .contains("key")
    );
}
