//! Hostile input for what reads text of strangers: samples are mutated, and nothing may panic, hang or break a promise.
//! `make fuzz SECONDS=60 SEED=7`; with `cargo test` a moment each, always alike. What was found is tried again by
//! `make fuzz TARGET=mjml INPUT=/tmp/fuzz-mjml-77`.

mod providers;
mod requests;
mod rewriting;
mod smtp_replies;

use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use marketing_automation::mail::bounce::{self, Rules};
use marketing_automation::mail::template::{MailTemplate, Snippets, Source};
use marketing_automation::mail::{mjml, plain_text};
use marketing_automation::tracking::token::{Keyring, Purpose, Token};

/// No input of this size may take more processor time, in a debug build.
const SLOW: Duration = Duration::from_secs(5);
/// Nor may it wait for so long, on a busy machine.
const HANGING: Duration = Duration::from_secs(60);
const LONGEST: usize = 16 * 1024;

/// Whether another thread than the one that tries has panicked.
static ELSEWHERE: AtomicBool = AtomicBool::new(false);

/// xorshift64*: what a seed finds, it finds again.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() >> 33).unwrap_or(0) % bound.max(1)
    }
}

/// Pieces at which parsers go wrong.
const PIECES: &[&[u8]] = &[
    b"<",
    b">",
    b"\"",
    b"'",
    b"&",
    b"&#0;",
    b"<!--",
    b"-->",
    b"<![CDATA[",
    b"]]>",
    b"</",
    b"/>",
    b"{{",
    b"}}",
    b"{%",
    b"%}",
    b"{#",
    b"#}",
    b"\r\n",
    b"\n.\r\n",
    b"\0",
    b"=?utf-8?B?",
    b"?=",
    b"=\r\n",
    b"--",
    b"Content-Type: multipart/report; boundary=\"b\"\r\n",
    b"\xff",
    b"\xe2\x80\xa8",
    "é>".as_bytes(),
    "\u{1F600}".as_bytes(),
    b"<a href=\"https://shop.example/?a=1&b=2\">",
    b"<mj-section><mj-column>",
    b"<mj-text>",
    b"<style>",
    b"<script>",
    b"</mjml>",
    b"<mjml>",
    b"href=unsubscribe",
    b"5.1.1",
    b"550 ",
    b"Final-Recipient: rfc822; ",
    b"9999999999999999999",
    b"-1",
];

fn mutate(chance: &mut Chance, samples: &[Vec<u8>]) -> Vec<u8> {
    let mut input = samples[chance.below(samples.len())].clone();
    for _ in 0..=chance.below(8) {
        let at = chance.below(input.len() + 1);
        let end = (at + chance.below(64)).min(input.len());
        match chance.below(7) {
            0 => drop(input.drain(at..end)),
            1 => drop(input.splice(at..at, PIECES[chance.below(PIECES.len())].iter().copied())),
            2 if at < input.len() => input[at] ^= 1 << chance.below(8),
            3 => {
                let copy = input[at..end].to_vec();
                drop(input.splice(at..at, copy));
            }
            4 => {
                let other = &samples[chance.below(samples.len())];
                let from = chance.below(other.len());
                let to = (from + chance.below(256)).min(other.len());
                drop(input.splice(at..end, other[from..to].iter().copied()));
            }
            // As deep as nobody writes it.
            5 => {
                let piece = PIECES[chance.below(PIECES.len())].repeat(1 + chance.below(300));
                drop(input.splice(at..at, piece));
            }
            _ => input.truncate(at),
        }
    }
    input.truncate(LONGEST);
    input
}

fn text(input: &[u8]) -> String {
    String::from_utf8_lossy(input).into_owned()
}

fn keyring() -> Keyring {
    Keyring::new(vec![(0, [7; 32]), (9, [1; 32])]).expect("there are keys")
}

fn source(text: &str) -> Source<'_> {
    Source {
        text,
        language: "en",
        snippets: "",
    }
}

/// What is tried: a name, samples, and what must hold.
type Target = (&'static str, Vec<Vec<u8>>, Check);

/// Panics where something does not hold.
type Check = fn(&[u8]);

fn targets() -> Vec<Target> {
    let html = html_of_fixtures();
    let token = Token {
        record: 77,
        activity: 3,
        link: Some(12),
    };
    let tokens =
        [Purpose::Click, Purpose::Open].map(|purpose| keyring().sign(purpose, &token).into_bytes());
    vec![
        ("token", tokens.into(), |input| {
            let (ring, input) = (keyring(), text(input));
            for purpose in [Purpose::Click, Purpose::Open] {
                // One that is accepted is one that was signed so, letter by letter.
                if let Some(token) = ring.verify(purpose, &input) {
                    let ours = [ring, Keyring::new(vec![(9, [1; 32])]).expect("a key")];
                    assert!(
                        ours.iter().any(|ring| ring.sign(purpose, &token) == input),
                        "accepted {input:?}"
                    );
                    break;
                }
            }
        }),
        ("mjml", vec![fixture("shop.mjml")], |input| {
            drop(mjml::to_html(&text(input)))
        }),
        ("plain text", html.clone(), |input| {
            drop(plain_text::from_html(&text(input)))
        }),
        (
            "template",
            [html, vec![fixture("shop.mjml")]].concat(),
            |input| {
                let body = text(input);
                let subject = source("Hello {{ record.name }}");
                let sources = [
                    None,
                    None,
                    Some(subject),
                    Some(source(&body)),
                    None,
                    None,
                    None,
                    None,
                ];
                drop(MailTemplate::compile(sources, None, &Snippets::default()));
            },
        ),
        ("bounce", bounces(), |input| {
            drop(bounce::read(input, Rules::shipped(), |_| None))
        }),
        (
            "providers",
            providers::events(),
            providers::are_believed_if_signed,
        ),
        (
            "rewriting",
            [html_of_fixtures(), fragments()].concat(),
            |input| rewriting::bytes_stay(&text(input)),
        ),
        (
            "smtp replies",
            smtp_replies::sessions(),
            smtp_replies::every_mail_has_its_truth,
        ),
        (
            "form",
            requests::forms(),
            requests::nobody_comes_back_unasked,
        ),
        ("request", requests::requests(), requests::answers_are_ours),
    ]
}

fn html_of_fixtures() -> Vec<Vec<u8>> {
    ["newsletter.html", "footer.html", "fragment.html"]
        .map(fixture)
        .into()
}

/// Links in all their forms.
fn fragments() -> Vec<Vec<u8>> {
    [
        "<A HREF=' https://a.example/?x=1&amp;y=2 '>1</A><a class=\"b\" href=https://b.example>2</a><area href=\"https://c.example\">",
        "<a data-no-track href=\"https://a.example\">1</a><a href = unsubscribe Data-No-Track = 'x' id=1>2</a>",
        "<body><!--[if mso]><a href='https://mso.example'>x</a><![endif]--><a\nhref='unsubscribe|https://a.example/bye'>x</a></body>\n",
        "<style>a[href]{color:red}</style><script>'<a href=\"https://x.example\">'</script><svg><a href=\"https://x.example\"/></svg>",
        "<textarea><a href=https://x.example></textarea><noscript><a href='https://x.example'></noscript><title><a href=x></title>",
    ]
    .map(|fragment| fragment.as_bytes().to_vec())
    .into()
}

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(format!(
        "{}/src/mail/fixtures/{name}",
        env!("CARGO_MANIFEST_DIR")
    ))
    .expect("a fixture")
}

fn bounces() -> Vec<Vec<u8>> {
    let folder = format!("{}/src/mail/bounce/samples", env!("CARGO_MANIFEST_DIR"));
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .expect("samples")
        .map(|entry| entry.expect("a sample").path())
        .collect();
    paths.sort();
    paths
        .iter()
        .filter(|path| path.is_file())
        .map(|path| std::fs::read(path).expect("a sample"))
        .collect()
}

/// The processor time of this process, in hundredths of a second.
fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("a process has its numbers");
    // Behind the name, which may hold anything: utime and stime are fields 14 and 15.
    let fields = stat.rsplit(") ").next().unwrap_or_default();
    let ticks = |field: usize| {
        fields
            .split(' ')
            .nth(field)
            .and_then(|text| text.parse::<u64>().ok())
    };
    Duration::from_millis(10 * (ticks(11).unwrap_or_default() + ticks(12).unwrap_or_default()))
}

fn main() {
    let number = |name: &str, default: u64| {
        std::env::var(name)
            .ok()
            .and_then(|value| value.parse().ok())
            .unwrap_or(default)
    };
    let (seconds, seed) = (number("SECONDS", 1), number("SEED", 20_261_129));
    let only = std::env::var("TARGET").unwrap_or_default();
    let given = std::env::var_os("INPUT")
        .filter(|path| !path.is_empty())
        .map(|path| std::fs::read(path).expect("what was found"));
    // A panic that is caught, as that of a library, is no news; one in a task of another thread is.
    let tell = take_hook();
    let here = std::thread::current().id();
    set_hook(Box::new(move |panic| {
        if std::thread::current().id() != here {
            println!("{panic}");
            ELSEWHERE.store(true, Ordering::SeqCst);
        }
    }));
    let mut failed: Option<(Check, Vec<u8>)> = None;
    for (name, samples, check) in targets()
        .into_iter()
        .filter(|(name, ..)| name.contains(&only))
    {
        let mut chance = Chance(seed | 1);
        let (began, mut tried) = (Instant::now(), 0_u64);
        while began.elapsed() < Duration::from_secs(seconds) && (given.is_none() || tried == 0) {
            let input = given
                .clone()
                .unwrap_or_else(|| mutate(&mut chance, &samples));
            let (started, used) = (Instant::now(), processor_time());
            let result = catch_unwind(AssertUnwindSafe(|| {
                check(&input);
                assert!(!ELSEWHERE.load(Ordering::SeqCst), "a task has panicked");
            }));
            tried += 1;
            let took = processor_time().saturating_sub(used);
            if result.is_err() || took > SLOW || started.elapsed() > HANGING {
                let path =
                    std::env::temp_dir().join(format!("fuzz-{}-{tried}", name.replace(' ', "-")));
                std::fs::write(&path, &input).expect("a place for what was found");
                println!(
                    "{name}: {} after {tried} inputs, in {:?}, {took:?} of the processor: {}",
                    if result.is_err() { "panics" } else { "is slow" },
                    started.elapsed(),
                    path.display()
                );
                if failed.is_none() {
                    failed = Some((check, input));
                }
                break;
            }
        }
        println!("{name}: {tried} inputs");
    }
    if let Some((check, input)) = failed {
        set_hook(tell);
        drop(catch_unwind(|| check(&input)));
        std::process::exit(1);
    }
}
