//! Anything but HTTP, or HTTP that nobody speaks, to a proxy that knows its keys and one link, and whose database is away.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use marketing_automation::program::listener::Listen;
use marketing_automation::proxy::client::Trust;
use marketing_automation::proxy::form::{Request, read_request};
use marketing_automation::proxy::providers::{ProviderFiles, Providers};
use marketing_automation::proxy::spool::SpoolSettings;
use marketing_automation::proxy::{Settings, serve};
use marketing_automation::tracking::token::{Purpose, Token};

use crate::keyring;

const SHOP: &str = "https://shop.example/offer";
const LINK: i64 = 3;
/// What it may answer at all; the rest of it is empty, a page or an image.
const ANSWERS: [&str; 14] = [
    "200", "302", "400", "401", "403", "404", "405", "406", "408", "413", "414", "431", "503",
    "505",
];
/// By what providers are known.
const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// Requests of readers, mail programs and mail servers.
pub fn requests() -> Vec<Vec<u8>> {
    let token = |purpose, link| {
        let token = Token {
            record: 77,
            activity: 3,
            link,
        };
        keyring().sign(purpose, &token)
    };
    let click = token(Purpose::Click, Some(LINK));
    let open = token(Purpose::Open, None);
    let leave = token(Purpose::Unsubscribe, None);
    [
        format!("GET /c/{click} HTTP/1.1\r\nHost: t.example\r\nUser-Agent: Mozilla/5.0\r\nX-Forwarded-For: 192.0.2.7, 10.0.0.1\r\nAccept-Language: fr;q=0.9\r\n\r\n"),
        format!("GET /o/{open} HTTP/1.1\r\nHost: t.example\r\nForwarded: for=\"[2001:db8::1]\";proto=https\r\nPurpose: prefetch\r\nDNT: 1\r\n\r\n"),
        format!("HEAD /c/{click}?x=1 HTTP/1.0\r\nX-Request-Id: 4711\r\n\r\n"),
        format!("POST /u/{leave} HTTP/1.1\r\nHost: t.example\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 26\r\n\r\nList-Unsubscribe=One-Click"),
        format!("POST /u/{leave} HTTP/1.1\r\nHost: t.example\r\nContent-Type: multipart/form-data; boundary=x7\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n--x7\r\nContent-Di\r\n0\r\n\r\n"),
        format!("POST /bounce/brevo HTTP/1.1\r\nHost: t.example\r\nAuthorization: Bearer {SECRET}\r\nContent-Length: 44\r\n\r\n[{{\"event\": \"spam\", \"message-id\": \"<x@y>\"}}, 7]"),
        "POST /bounce/mailgun HTTP/1.1\r\nHost: t.example\r\nContent-Length: 79\r\n\r\n{\"signature\": {\"timestamp\": \"1\", \"token\": \"t\", \"signature\": \"00\"}, \"event-data\": 7}".to_owned(),
        "GET /metrics HTTP/1.1\r\nHost: t.example\r\n\r\nGET /healthz HTTP/1.1\r\nHost: t.example\r\nConnection: close\r\n\r\n".to_owned(),
    ]
    .map(String::into_bytes)
    .into()
}

/// Forms, as readers and mail programs send them: a content type, a line feed, the body.
pub fn forms() -> Vec<Vec<u8>> {
    [
        "application/x-www-form-urlencoded\nList-Unsubscribe=One-Click",
        "application/x-www-form-urlencoded\naction=resubscribe&scope=everything",
        "multipart/form-data; boundary=\"x7\"\n--x7\r\nContent-Disposition: form-data; name=\"List-Unsubscribe\"\r\n\r\nOne-Click\r\n--x7--\r\n",
    ]
    .map(|form| form.as_bytes().to_vec())
    .into()
}

/// No form is read as its opposite: who does not say so does not come back.
pub fn nobody_comes_back_unasked(input: &[u8]) {
    let end = input
        .iter()
        .position(|byte| *byte == b'\n')
        .unwrap_or(input.len());
    let (content_type, body) = input.split_at(end);
    let request = read_request(&String::from_utf8_lossy(content_type), body);
    let said = String::from_utf8_lossy(body);
    if request == Request::Resubscribe {
        // Each letter may be percent-encoded in a form.
        assert!(
            said.contains('%') || (said.contains("action") && said.contains("resubscribe")),
            "{said:?}"
        );
    }
}

/// Whatever is asked gets an answer of the few that there are, and leads nowhere but where the database said; the next one is served.
pub fn answers_are_ours(input: &[u8]) {
    let proxy = proxy();
    let answer = ask(proxy, input, Duration::from_millis(10));
    for head in heads(&answer) {
        let status = head.get(9..12).unwrap_or_default();
        assert!(ANSWERS.contains(&status), "{head}");
        for line in head.lines() {
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("location")
            {
                assert_eq!((status, value.trim()), ("302", SHOP));
            }
        }
    }
    let alive = ask(
        proxy,
        b"GET /healthz HTTP/1.1\r\nHost: t.example\r\nConnection: close\r\n\r\n",
        Duration::from_secs(60),
    );
    assert!(
        alive.starts_with("HTTP/1.1 200") && alive.ends_with("ok\n"),
        "the next one got {alive:?}"
    );
}

/// The heads of the answers; our bodies hold none.
fn heads(answer: &str) -> Vec<&str> {
    answer
        .split("HTTP/1.")
        .skip(1)
        .map(|piece| {
            let start = piece.as_ptr() as usize - answer.as_ptr() as usize - "HTTP/1.".len();
            let head = &answer[start..];
            head.split("\r\n\r\n").next().unwrap_or(head)
        })
        .collect()
}

/// What is answered, until the proxy closes the connection or says nothing for so long.
fn ask(proxy: &PathBuf, request: &[u8], silence: Duration) -> String {
    let mut socket = UnixStream::connect(proxy).expect("a connection");
    socket.set_read_timeout(Some(silence)).expect("a timeout");
    // It may have hung up on what it has read so far.
    drop(socket.write_all(request));
    let mut answer = Vec::new();
    drop(socket.read_to_end(&mut answer));
    String::from_utf8_lossy(&answer).into_owned()
}

/// Two who may post: one signs, the other says a token.
fn providers(directory: &Path) -> Providers {
    let secret = directory.join("secret");
    std::fs::write(&secret, SECRET).expect("a secret");
    let files = ProviderFiles {
        mailgun_key: Some(secret.clone()),
        brevo_credential: Some(secret),
        ..ProviderFiles::default()
    };
    Providers::load(&files).expect("providers")
}

/// The socket of a proxy that runs until this program ends.
fn proxy() -> &'static PathBuf {
    static SOCKET: OnceLock<PathBuf> = OnceLock::new();
    SOCKET.get_or_init(|| {
        let directory = tempfile::tempdir().expect("a directory").keep();
        let spool = directory.join("spool");
        std::fs::create_dir(&spool).expect("a spool");
        let known = serde_json::json!({
            "keys": keyring().keys(),
            "links": [(LINK, SHOP, std::time::SystemTime::now())],
        });
        std::fs::write(spool.join("known.json"), known.to_string()).expect("what is known");
        let socket = directory.join("socket");
        let settings = Settings {
            listen: Listen::Unix(socket.clone()),
            database: "host=/nonexistent user=nobody".to_owned(),
            connections: 1,
            spool: Some(SpoolSettings {
                directory: spool,
                limit: 64 * 1024 * 1024,
            }),
            tls: None,
            trust: Trust::default(),
            bounce_token: None,
            providers: providers(&directory),
        };
        std::thread::spawn(|| {
            tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .expect("a runtime")
                .block_on(serve(settings, std::future::pending()))
                .expect("a proxy");
        });
        let began = Instant::now();
        while UnixStream::connect(&socket).is_err() {
            assert!(
                began.elapsed() < Duration::from_secs(60),
                "the proxy does not start"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        socket
    })
}
