use std::time::{Duration, Instant, SystemTime};

use tokio::net::TcpListener;

use super::*;
use crate::mail::message::{Draft, build};

mod auth;
mod copies;
mod doubt;
mod refusals;
mod server;
mod tls;

use server::{Do, Server};

const STEP: Duration = Duration::from_millis(300);

fn letter(id: &str) -> Draft<'_> {
    Draft {
        from: "Shop <shop@example.org>",
        reply_to: None,
        to_address: "zoe@example.com",
        instead_of: None,
        to_name: None,
        cc: &[],
        bcc: &[],
        return_path: None,
        subject: "Hello",
        html: "<p>Hello</p>\n.\n..x",
        text: "Hello\n.\n..x",
        message_id: id,
        date: SystemTime::UNIX_EPOCH,
        is_bulk: true,
        unsubscribe_url: None,
        unsubscribe_address: None,
        list_id: None,
        feedback_id: None,
        headers: &[],
        attachments: &[],
    }
}

fn mail(id: &str) -> Mail {
    build(&letter(id)).unwrap()
}

async fn send_against(script: &'static [(&'static str, Do)]) -> (SendError, bool, String) {
    let server = Server::start(script).await;
    let mut connection = server.connect().await;
    let error = connection.send(&mail("m1@example.org")).await.unwrap_err();
    let open = connection.is_open();
    drop(connection);
    (error, open, server.log().await)
}

#[tokio::test]
async fn one_connection_takes_many_mails() {
    let server = Server::start(&[]).await;
    let mut connection = server.connect().await;
    for id in ["m1@example.org", "m2@example.org"] {
        assert_eq!(
            connection.send(&mail(id)).await.unwrap(),
            "250 2.0.0 Ok: queued as 4711"
        );
    }
    connection.quit().await;
    let log = server.log().await;
    assert_eq!(
        log.matches("MAIL FROM:<shop@example.org>\r\nRCPT TO:<zoe@example.com>\r\nDATA\r\n")
            .count(),
        2,
        "{log}"
    );
    assert!(log.contains("Message-ID: <m2@example.org>"), "{log}");
    assert!(log.ends_with("QUIT\r\n"), "{log}");
}

#[tokio::test]
async fn mails_do_not_wait_for_delayed_acknowledgements() {
    let server = Server::start(&[]).await;
    let mut connection = server.connect().await;
    let mut quickest = Duration::MAX;
    for number in 0..50 {
        let id = format!("m{number}@example.org");
        let started = Instant::now();
        connection.send(&mail(&id)).await.unwrap();
        quickest = quickest.min(started.elapsed());
    }
    // With Nagle's algorithm each takes 40 ms or more.
    assert!(quickest < Duration::from_millis(40), "{quickest:?}");
    connection.quit().await;
}

#[test]
fn sending_can_move_between_threads() {
    fn movable<T: Send>(_: T) {}
    fn check(connection: &mut Connection, mail: &Mail) {
        movable(connection.send(mail));
    }
    let _ = check;
    movable(
        TransportConfig::parse("smtp://localhost")
            .unwrap()
            .connect(STEP),
    );
}

#[tokio::test]
async fn a_server_that_says_more_than_it_was_asked_gets_no_further_mail() {
    let server = Server::start(&[("END", Do::Say("250 ok\r\n250 ok\r\n"))]).await;
    let mut connection = server.connect().await;
    connection.send(&mail("m1@example.org")).await.unwrap();
    assert!(!connection.is_open());
}

const SIZED: &str = "250-test\r\n250-SIZE 2000\r\n250 8BITMIME\r\n";

#[tokio::test]
async fn a_server_that_limits_the_size_is_told_it_and_gets_no_mail_above_it() {
    let server = Server::start(&[("EHLO", Do::Say(SIZED))]).await;
    let mut connection = server.connect().await;
    let small = mail("m1@example.org");
    connection.send(&small).await.unwrap();
    let large = build(&Draft {
        text: &"a word ".repeat(300),
        ..letter("m2@example.org")
    })
    .unwrap();
    let error = connection.send(&large).await.unwrap_err();
    assert_eq!((error.kind, error.code), (SendErrorKind::Permanent, None));
    assert!(error.message.starts_with("5.3.4 the mail has "), "{error}");
    assert!(error.message.contains("no more than 2000 "), "{error}");
    assert!(connection.is_open(), "the next mail may be smaller");
    connection.send(&mail("m3@example.org")).await.unwrap();
    connection.quit().await;
    let log = server.log().await;
    let command = format!(
        "MAIL FROM:<shop@example.org> SIZE={}\r\n",
        small.bytes.len()
    );
    assert_eq!(log.matches(&command).count(), 2, "{log}");
    assert!(!log.contains("m2@example.org"), "{log}");
}

#[tokio::test]
async fn the_name_at_ehlo_can_be_given() {
    let server = Server::start(&[]).await;
    let url = format!(
        "smtp://127.0.0.1:{}?tls=none&ehlo=news.shop.example",
        server.port
    );
    let config = TransportConfig::parse(&url).unwrap();
    config.connect(STEP).await.unwrap().quit().await;
    assert!(server.log().await.starts_with("EHLO news.shop.example\r\n"));
}

#[tokio::test]
async fn addresses_outside_ascii_need_a_server_that_offers_smtputf8() {
    let international = build(&Draft {
        to_address: "zoë@example.com",
        ..letter("m1@example.org")
    })
    .unwrap();
    let server = Server::start(&[]).await;
    let mut connection = server.connect().await;
    let error = connection.send(&international).await.unwrap_err();
    assert_eq!((error.kind, error.code), (SendErrorKind::Permanent, None));
    assert!(
        error.message.starts_with("5.6.7 zoë@example.com"),
        "{error}"
    );
    connection.send(&mail("m2@example.org")).await.unwrap();
    connection.quit().await;
    assert!(!server.log().await.contains("zoë"));

    let server =
        Server::start(&[("EHLO", Do::Say("250-x\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n"))]).await;
    let mut connection = server.connect().await;
    connection.send(&international).await.unwrap();
    connection.send(&mail("m2@example.org")).await.unwrap();
    connection.quit().await;
    let log = server.log().await;
    assert!(
        log.contains("MAIL FROM:<shop@example.org> SMTPUTF8\r\nRCPT TO:<zoë@example.com>\r\n"),
        "{log}"
    );
    assert_eq!(log.matches("SMTPUTF8").count(), 1, "{log}");
}

#[tokio::test]
async fn a_dropped_send_closes_the_session() {
    let server = Server::start(&[("END", Do::Hang)]).await;
    let mut connection = server.connect().await;
    let mail = mail("m1@example.org");
    tokio::select! {
        _ = connection.send(&mail) => panic!("the server hangs"),
        () = tokio::time::sleep(STEP / 3) => {}
    }
    assert!(!connection.is_open());
    assert_eq!(
        connection.send(&mail).await.unwrap_err().kind,
        SendErrorKind::Connection
    );
}

#[tokio::test]
async fn bytes_that_could_smuggle_a_mail_never_reach_the_socket() {
    let server = Server::start(&[]).await;
    let mut connection = server.connect().await;
    for bytes in [
        &b"a\n.\nb\r\n"[..],
        b"a\r.\r\n",
        b"a\r\n.\n",
        b"\n",
        b"a\r",
        b"a\0b\r\n",
        b"\xc3\xa9\r\n",
    ] {
        let mut bad = mail("m1@example.org");
        bad.bytes = bytes.to_vec();
        let error = connection.send(&bad).await.unwrap_err();
        assert_eq!(error.kind, SendErrorKind::Permanent, "{error}");
    }
    assert!(connection.is_open());
    // Lines of a single dot are stuffed (RFC 5321, section 4.5.2).
    let mut dots = mail("m1@example.org");
    dots.bytes = b"A: b\r\n\r\n.\r\n..\r\nMAIL FROM:<x@y>\r\n".to_vec();
    connection.send(&dots).await.unwrap();
    connection.quit().await;
    let log = server.log().await;
    assert!(
        log.contains("A: b\r\n\r\n..\r\n...\r\nMAIL FROM:<x@y>\r\n.\r\n"),
        "{log}"
    );
}

#[tokio::test]
async fn a_closed_port_is_a_connection_error() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let config = TransportConfig::parse(&format!("smtp://127.0.0.1:{port}")).unwrap();
    let error = config.connect(STEP).await.unwrap_err();
    assert_eq!(error.kind, SendErrorKind::Connection);
    assert!(
        error
            .message
            .starts_with(&format!("connect to 127.0.0.1 port {port}: ")),
        "{error}"
    );
}

#[tokio::test]
async fn files_appear_whole_and_only_in_their_directory() {
    let directory = tempfile::tempdir().unwrap();
    let inside = directory.path().join("in");
    std::fs::create_dir(&inside).unwrap();
    let config = TransportConfig::parse(&format!("file://{}", inside.display())).unwrap();
    let mut connection = config.connect(STEP).await.unwrap();
    let first = mail("m1@example.org");
    assert_eq!(
        connection.send(&first).await.unwrap(),
        "250 written to m1@example.org.eml"
    );
    connection.send(&first).await.unwrap();
    let mut escaping = mail("m2@example.org");
    escaping.message_id = "../../m2@example.org".to_owned();
    connection.send(&escaping).await.unwrap();
    let mut names: Vec<String> = std::fs::read_dir(&inside)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["_._.._m2@example.org.eml", "m1@example.org.eml"]);
    assert_eq!(
        std::fs::read(inside.join("m1@example.org.eml")).unwrap(),
        first.bytes()
    );
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    directory.close().unwrap();
    let error = connection.send(&first).await.unwrap_err();
    assert_eq!(
        (error.kind, error.in_doubt),
        (SendErrorKind::Transient, false),
        "{error}"
    );
    assert_eq!(
        config.connect(STEP).await.unwrap_err().kind,
        SendErrorKind::Connection
    );
}
