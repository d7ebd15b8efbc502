use super::*;

const PURPOSES: [Purpose; 4] = [
    Purpose::Open,
    Purpose::Click,
    Purpose::Unsubscribe,
    Purpose::Bounce,
];

fn keyring() -> Keyring {
    Keyring::new(vec![(7, [7; 32]), (3, [3; 32])]).unwrap()
}

fn other_keyring() -> Keyring {
    Keyring::new(vec![(9, [9; 32])]).unwrap()
}

fn token(record: i64, activity: i32, link: Option<i64>) -> Token {
    Token {
        record,
        activity,
        link,
    }
}

/// Signs arbitrary bytes as the first key would: what an attacker cannot do, and a buggy signer might.
fn sign_raw(purpose: Purpose, payload: &[u8]) -> String {
    let mut bytes = vec![7];
    bytes.extend_from_slice(payload);
    let mac = keyed(&keyring().keys[0].1, purpose, &bytes)
        .finalize()
        .into_bytes();
    bytes.extend_from_slice(&mac[..MAC_BYTES]);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// xorshift64*: reproducible noise without a dependency.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}

#[test]
fn every_value_round_trips() {
    for record in [
        0,
        1,
        127,
        128,
        16_383,
        16_384,
        1 << 31,
        i64::MAX,
        -1,
        i64::MIN,
    ] {
        for activity in [0, 1, 127, 128, i32::MAX, -1, i32::MIN] {
            for link in [None, Some(0), Some(1), Some(i64::MAX), Some(-1)] {
                for purpose in PURPOSES {
                    let token = token(record, activity, link);
                    let text = keyring().sign(purpose, &token);
                    assert!((26..=LONGEST_CHARS).contains(&text.len()), "{text}");
                    assert_eq!(keyring().verify(purpose, &text), Some(token));
                }
            }
        }
    }
}

#[test]
fn the_format_never_changes() {
    // Links in mails that were sent years ago depend on these very characters.
    let keyring = Keyring::new(vec![(1, [0x42; 32])]).unwrap();
    let text = keyring.sign(Purpose::Click, &token(1_234_567, 89, Some(1011)));
    assert_eq!(text, "AYetS1nzB3mhrMsdwsXHIOcauWM13kc");
}

#[test]
fn a_usual_token_is_short() {
    let text = keyring().sign(Purpose::Click, &token(1_000_000, 40, Some(900)));
    assert_eq!(text.len(), 31);
}

#[test]
fn no_purpose_verifies_as_another() {
    for signed in PURPOSES {
        let text = keyring().sign(signed, &token(5, 6, None));
        for presented in PURPOSES {
            assert_eq!(
                keyring().verify(presented, &text).is_some(),
                signed == presented
            );
        }
    }
}

#[test]
fn any_changed_bit_is_refused() {
    let text = keyring().sign(Purpose::Open, &token(123_456, 78, Some(9)));
    let bytes = URL_SAFE_NO_PAD.decode(&text).unwrap();
    for index in 0..bytes.len() {
        for bit in 0..8 {
            let mut changed = bytes.clone();
            changed[index] ^= 1 << bit;
            assert_eq!(
                keyring().verify(Purpose::Open, &URL_SAFE_NO_PAD.encode(changed)),
                None
            );
        }
    }
}

#[test]
fn any_changed_character_is_refused() {
    let text = keyring().sign(Purpose::Open, &token(123_456, 78, None));
    for index in 0..text.len() {
        for character in (0u8..128).map(char::from) {
            let mut changed: Vec<char> = text.chars().collect();
            changed[index] = character;
            let changed: String = changed.into_iter().collect();
            assert_eq!(
                keyring().verify(Purpose::Open, &changed).is_some(),
                changed == text
            );
        }
    }
}

#[test]
fn truncated_and_extended_tokens_are_refused() {
    let text = keyring().sign(Purpose::Open, &token(123_456, 78, Some(9)));
    for length in 0..text.len() {
        assert_eq!(keyring().verify(Purpose::Open, &text[..length]), None);
        assert_eq!(keyring().verify(Purpose::Open, &text[length + 1..]), None);
    }
    for suffix in ["A", "=", "==", " ", "\n", "\0", "AAAA", "%20"] {
        assert_eq!(
            keyring().verify(Purpose::Open, &format!("{text}{suffix}")),
            None
        );
        assert_eq!(
            keyring().verify(Purpose::Open, &format!("{suffix}{text}")),
            None
        );
    }
    assert_eq!(keyring().verify(Purpose::Open, &"A".repeat(1 << 20)), None);
}

#[test]
fn a_token_is_found_in_what_stands_around_it() {
    for link in [None, Some(0), Some(9), Some(1 << 40)] {
        for record in [1, 123_456, i64::MAX] {
            let text = keyring().sign(Purpose::Open, &token(record, 78, link));
            for (before, after) in [
                ("", ""),
                ("", "_"),
                ("", "-"),
                ("", "__"),
                ("_", "_"),
                ("**_", ""),
                ("--", "--"),
                ("____", "-Kind-regards"),
                ("_", "_utm_source_mail_and_so_on_and_so_on_and_so_on"),
            ] {
                let around = format!("{before}{text}{after}");
                let around = around.trim_start_matches('*');
                assert_eq!(
                    keyring().find(Purpose::Open, around),
                    Some((token(record, 78, link), &*text)),
                    "{around}"
                );
                assert_eq!(keyring().find(Purpose::Click, around), None);
                assert_eq!(other_keyring().find(Purpose::Open, around), None);
                assert!(keyring().knows_key_of(around));
                assert!(!other_keyring().knows_key_of(around), "{around}");
            }
            for broken in [&text[1..], &text[..text.len() - 1]] {
                assert_eq!(keyring().find(Purpose::Open, broken), None);
                assert_eq!(keyring().find(Purpose::Open, &format!("_{broken}_")), None);
            }
        }
    }
    for nonsense in [
        "",
        "_",
        "____",
        "é",
        "_é",
        &"_".repeat(1 << 20),
        &"A".repeat(1 << 20),
    ] {
        assert_eq!(keyring().find(Purpose::Open, nonsense), None);
    }
}

#[test]
fn loose_trailing_bits_are_refused() {
    // 22 bytes leave two unused bits in the last character.
    let text = keyring().sign(Purpose::Open, &token(16_384, 200, None));
    assert_eq!(URL_SAFE_NO_PAD.decode(&text).unwrap().len() % 3, 1);
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let last = alphabet.find(&text[text.len() - 1..]).unwrap();
    for loose in 1..16 {
        let other = &alphabet[last + loose..=last + loose];
        assert_eq!(
            keyring().verify(
                Purpose::Open,
                &format!("{}{other}", &text[..text.len() - 1])
            ),
            None
        );
    }
}

#[test]
fn uncanonical_numbers_are_refused_even_when_signed() {
    let payloads: [&[u8]; 8] = [
        &[0x81, 0x00, 0x02],                   // record 1, overlong
        &[0x01, 0x80, 0x00],                   // activity 0, overlong
        &[0x01, 0x02, 0x83, 0x80, 0x00],       // link 3, overlong
        &[0x01, 0x02, 0x03, 0x04],             // one number too many
        &[0x01, 0xff, 0xff, 0xff, 0xff, 0x1f], // activity above 32 bits
        &[
            0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x03, 0x01,
        ], // record above 64 bits
        &[
            0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01, 0x01,
        ], // never ends in time
        &[0x01, 0x82],                         // activity cut off
    ];
    for payload in payloads {
        assert_eq!(
            keyring().verify(Purpose::Open, &sign_raw(Purpose::Open, payload)),
            None,
            "{payload:?}"
        );
    }
    assert!(
        keyring()
            .verify(Purpose::Open, &sign_raw(Purpose::Open, &[1, 2]))
            .is_some()
    );
}

#[test]
fn old_keys_verify_and_the_first_signs() {
    let old = Keyring::new(vec![(3, [3; 32])]).unwrap();
    let new = keyring();
    let text = old.sign(Purpose::Click, &token(1, 2, Some(3)));
    assert!(new.verify(Purpose::Click, &text).is_some());
    let text = new.sign(Purpose::Click, &token(1, 2, Some(3)));
    assert_eq!(old.verify(Purpose::Click, &text), None);
    assert!(!old.knows_key_of(&text));
    assert!(new.knows_key_of(&text));
    assert!(old.knows_key_of("no token"));
}

#[test]
fn the_same_id_with_another_secret_is_refused() {
    let other = Keyring::new(vec![(7, [8; 32])]).unwrap();
    assert_eq!(
        other.verify(
            Purpose::Open,
            &keyring().sign(Purpose::Open, &token(1, 2, None))
        ),
        None
    );
}

#[test]
fn keyrings_need_keys_with_distinct_ids() {
    assert!(Keyring::new(vec![]).is_none());
    assert!(Keyring::new(vec![(1, [1; 32]), (1, [2; 32])]).is_none());
}

#[test]
fn secrets_are_not_printed() {
    assert_eq!(format!("{:?}", keyring()), "Keyring { ids: [7, 3], .. }");
}

#[test]
fn random_input_never_verifies_and_never_panics() {
    let mut noise = Noise(0x5eed);
    for _ in 0..50_000 {
        let length = (noise.next() % 80) as usize;
        let mut bytes: Vec<u8> = (0..length).map(|_| noise.next() as u8).collect();
        if let Some(first) = bytes.first_mut() {
            *first = 7;
        }
        for text in [
            URL_SAFE_NO_PAD.encode(&bytes),
            String::from_utf8_lossy(&bytes).into_owned(),
        ] {
            assert_eq!(keyring().verify(Purpose::Open, &text), None);
            keyring().knows_key_of(&text);
        }
        let payload = bytes.get(1..).unwrap_or_default();
        let signed = sign_raw(Purpose::Open, payload);
        if let Some(token) = keyring().verify(Purpose::Open, &signed) {
            assert_eq!(
                keyring().sign(Purpose::Open, &token),
                signed,
                "one spelling each"
            );
        }
    }
}
