//! Mails that go to several at once.

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::task::JoinHandle;

use super::*;
use crate::smtp::Scope;

const TO: &str = "zoe@example.com";
const CC: [&str; 2] = ["Max <max@example.com>", "eva@example.com"];
const BCC: &str = "archive@example.com";
const OK: &str = "250 2.1.5 ok";

fn copied(id: &str) -> Mail {
    build(&Draft {
        cc: &CC.map(str::to_owned),
        bcc: &[BCC.to_owned()],
        ..letter(id)
    })
    .unwrap()
}

/// A server that answers RCPT by its address, and, where it offers PIPELINING, nothing before it has the whole envelope. Gives all
/// commands, and the contents as `DATA`.
async fn serve(
    pipelining: bool,
    said: &'static [(&'static str, &'static str)],
) -> (u16, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let task = tokio::spawn(async move {
        let (socket, _) = listener.accept().await.unwrap();
        let mut socket = BufReader::new(socket);
        let mut log = Vec::new();
        let mut withheld = String::new();
        socket.write_all(b"220 test\r\n").await.unwrap();
        loop {
            let mut line = String::new();
            if socket.read_line(&mut line).await.unwrap_or(0) == 0 {
                return log;
            }
            let line = line.trim_end().to_owned();
            let reply = match line.split([' ', ':']).next().unwrap_or_default() {
                "EHLO" if pipelining => "250-test\r\n250 PIPELINING",
                "RCPT" => {
                    let named = said.iter().find(|(address, _)| line.contains(address));
                    named.map_or(OK, |(_, reply)| reply)
                }
                "DATA" => "354 go ahead",
                "QUIT" => "221 bye",
                _ => OK,
            };
            withheld.push_str(&format!("{reply}\r\n"));
            let is_data = line == "DATA";
            let is_envelope = line.starts_with("MAIL") || line.starts_with("RCPT");
            let is_last = line.contains(BCC) || line.contains(TO) && said == ALONE;
            log.push(line);
            if is_envelope && pipelining && !is_last {
                continue;
            }
            // What follows the envelope waits for what is said of it.
            assert!(said == ALONE || socket.buffer().is_empty(), "{log:?}");
            if socket.write_all(withheld.as_bytes()).await.is_err() || reply.starts_with("421") {
                return log;
            }
            withheld.clear();
            if is_data {
                let mut content = String::new();
                while !content.ends_with("\r\n.\r\n") {
                    if socket.read_line(&mut content).await.unwrap_or(0) == 0 {
                        return log;
                    }
                }
                log.push(content);
                let taken = b"250 2.0.0 Ok: queued\r\n";
                socket.write_all(taken).await.unwrap();
            }
        }
    });
    (port, task)
}

/// A server for mails without copies.
const ALONE: &[(&str, &str)] = &[("nobody", "")];

async fn connect(port: u16) -> Connection {
    let config = TransportConfig::parse(&format!("smtp://127.0.0.1:{port}")).unwrap();
    config.connect_within(STEP, STEP * 3).await.unwrap()
}

fn commands(log: &[String]) -> Vec<&str> {
    let commands = log.iter().filter(|line| !line.contains("\r\n"));
    commands.map(String::as_str).collect()
}

#[tokio::test]
async fn one_transaction_goes_to_all_and_the_header_shows_cc_only() {
    for pipelining in [true, false] {
        let (port, task) = serve(pipelining, &[]).await;
        let mut connection = connect(port).await;
        let reply = connection.send(&copied("m1@example.org")).await.unwrap();
        assert_eq!(reply, "250 2.0.0 Ok: queued");
        connection.quit().await;
        let log = task.await.unwrap();
        assert_eq!(
            commands(&log)[1..],
            [
                "MAIL FROM:<shop@example.org>",
                "RCPT TO:<zoe@example.com>",
                "RCPT TO:<max@example.com>",
                "RCPT TO:<eva@example.com>",
                "RCPT TO:<archive@example.com>",
                "DATA",
                "QUIT"
            ]
        );
        let content = log.iter().find(|line| line.contains("\r\n")).unwrap();
        assert!(
            content.contains("\r\nCc: Max <max@example.com>, eva@example.com\r\n"),
            "{content}"
        );
        assert!(!content.to_lowercase().contains("bcc") && !content.contains("archive"));
    }
}

#[tokio::test]
async fn a_refused_copy_is_told_and_keeps_the_mail_from_nobody_else() {
    for pipelining in [true, false] {
        let said = &[
            ("max@", "550 5.1.1 no such user"),
            ("archive@", "452 4.5.3 too many recipients"),
        ];
        let (port, task) = serve(pipelining, said).await;
        let mut connection = connect(port).await;
        let reply = connection.send(&copied("m1@example.org")).await.unwrap();
        assert_eq!(
            reply,
            "250 2.0.0 Ok: queued; no copy to max@example.com: 550 5.1.1 no such user; \
             no copy to archive@example.com: 452 4.5.3 too many recipients"
        );
        assert!(connection.is_open());
        connection.quit().await;
        assert!(commands(&task.await.unwrap()).contains(&"DATA"));
    }
}

#[tokio::test]
async fn without_its_recipient_no_copy_leaves() {
    for pipelining in [true, false] {
        let (port, task) = serve(pipelining, &[("zoe@", "550 5.1.1 no such user")]).await;
        let mut connection = connect(port).await;
        let error = connection
            .send(&copied("m1@example.org"))
            .await
            .unwrap_err();
        assert_eq!(
            (error.kind, error.code),
            (SendErrorKind::Permanent, Some(550))
        );
        assert_eq!(error.verdict.unwrap().scope, Scope::Recipient);
        assert!(connection.is_open());
        connection.quit().await;
        let log = task.await.unwrap();
        assert!(!commands(&log).contains(&"DATA"), "{log:?}");
        assert!(commands(&log).contains(&"RSET"), "{log:?}");
    }
}

#[tokio::test]
async fn a_server_that_closes_at_a_copy_has_taken_nothing() {
    let (port, task) = serve(true, &[("archive@", "421 4.3.2 closing")]).await;
    let mut connection = connect(port).await;
    let error = connection
        .send(&copied("m1@example.org"))
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind, error.code, error.in_doubt),
        (SendErrorKind::Unavailable, Some(421), false)
    );
    assert!(!connection.is_open());
    assert!(!commands(&task.await.unwrap()).contains(&"DATA"));
}

#[tokio::test]
async fn a_mail_without_copies_still_goes_in_one_write() {
    let (port, task) = serve(true, ALONE).await;
    let mut connection = connect(port).await;
    connection.send(&mail("m1@example.org")).await.unwrap();
    connection.quit().await;
    let log = task.await.unwrap();
    assert_eq!(
        commands(&log)[1..],
        [
            "MAIL FROM:<shop@example.org>",
            "RCPT TO:<zoe@example.com>",
            "DATA",
            "QUIT"
        ]
    );
}
