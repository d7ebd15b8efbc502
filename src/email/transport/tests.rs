use std::time::{Duration, Instant, SystemTime};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::email::message::{Letter, build};

mod server;
mod tls;

use server::{Do, Server};

const STEP: Duration = Duration::from_millis(300);

fn letter(id: &str) -> Letter<'_> {
    Letter {
        from: "Shop <shop@example.org>",
        to_address: "zoe@example.com",
        to_name: None,
        return_path: None,
        subject: "Hello",
        html: "<p>Hello</p>\n.\n..x",
        text: "Hello\n.\n..x",
        message_id: id,
        date: SystemTime::UNIX_EPOCH,
        unsubscribe_url: None,
        feedback_id: None,
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
    let started = Instant::now();
    for number in 0..50 {
        let id = format!("m{number}@example.org");
        connection.send(&mail(&id)).await.unwrap();
    }
    // With Nagle's algorithm each takes 40 ms or more.
    assert!(
        started.elapsed() < Duration::from_secs(1),
        "{:?}",
        started.elapsed()
    );
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
async fn refusals_are_classified_and_leave_the_connection_usable() {
    for (script, kind, code) in [
        (
            &[("RCPT", Do::Say("550 5.1.1 no such user\r\n"))] as &[_],
            SendErrorKind::Permanent,
            550,
        ),
        (
            &[("RCPT", Do::Say("450-4.2.1 later\r\n450 4.2.1 please\r\n"))],
            SendErrorKind::Transient,
            450,
        ),
        (
            &[("MAIL", Do::Say("552 5.3.4 too big\r\n"))],
            SendErrorKind::Transient,
            552,
        ),
        (
            &[("MAIL", Do::Say("550 5.1.8 no such domain\r\n"))],
            SendErrorKind::Transient,
            550,
        ),
        (
            &[("MAIL", Do::Say("530 5.7.0 authentication required\r\n"))],
            SendErrorKind::Unavailable,
            530,
        ),
        (
            &[("MAIL", Do::Say("554 5.7.1 your account is suspended\r\n"))],
            SendErrorKind::Unavailable,
            554,
        ),
        (
            &[("MAIL", Do::Say("451 4.3.0 busy\r\n"))],
            SendErrorKind::Unavailable,
            451,
        ),
        (
            &[("DATA", Do::Say("554 5.5.1 no\r\n"))],
            SendErrorKind::Transient,
            554,
        ),
        (
            &[("DATA", Do::Say("451 4.3.0 busy\r\n"))],
            SendErrorKind::Transient,
            451,
        ),
        (
            &[("END", Do::Say("554 5.7.1 spam\r\n"))],
            SendErrorKind::Permanent,
            554,
        ),
        (
            &[("END", Do::Say("452 4.3.1 disk full\r\n"))],
            SendErrorKind::Transient,
            452,
        ),
    ] {
        let server = Server::start(script).await;
        let mut connection = server.connect().await;
        let error = connection.send(&mail("m1@example.org")).await.unwrap_err();
        assert_eq!(
            (error.kind, error.code, error.in_doubt),
            (kind, Some(code), false),
            "{error}"
        );
        assert!(error.message.contains(&format!(": {code} ")), "{error}");
        assert!(connection.is_open());
        connection.send(&mail("m2@example.org")).await.unwrap();
        connection.quit().await;
        let log = server.log().await;
        assert!(log.contains("RSET\r\n"), "{log}");
    }
}

#[tokio::test]
async fn pipelined_commands_go_out_at_once_and_each_reply_counts_for_its_own() {
    for (at, action, kind, code, rest) in [
        (
            "MAIL",
            "550 5.1.8 no such domain\r\n",
            SendErrorKind::Transient,
            550,
            ["503 5.5.1 no sender\r\n", "503 5.5.1 no sender\r\n"],
        ),
        (
            "MAIL",
            "451 4.3.0 busy\r\n",
            SendErrorKind::Unavailable,
            451,
            ["503 5.5.1 no sender\r\n", "354 go ahead\r\n"],
        ),
        (
            "RCPT",
            "550 5.1.1 no such user\r\n",
            SendErrorKind::Permanent,
            550,
            ["554 5.5.1 no valid recipients\r\n", ""],
        ),
        (
            "RCPT",
            "450 4.2.1 later\r\n",
            SendErrorKind::Transient,
            450,
            ["354 go ahead\r\n", ""],
        ),
        (
            "DATA",
            "451 4.3.0 busy\r\n",
            SendErrorKind::Transient,
            451,
            ["", ""],
        ),
    ] {
        let mut replies = vec!["250 ok\r\n"; 2];
        match at {
            "MAIL" => replies = vec![action, rest[0], rest[1]],
            "RCPT" => replies = vec!["250 ok\r\n", action, rest[0]],
            _ => replies.push(action),
        }
        let takes_content = replies[2].starts_with("354");
        let (port, task) = pipelining(replies.concat(), takes_content).await;
        let config = TransportConfig::parse(&format!("smtp://127.0.0.1:{port}")).unwrap();
        let mut connection = config.connect(STEP).await.unwrap();
        let error = connection.send(&mail("m1@example.org")).await.unwrap_err();
        assert_eq!(
            (error.kind, error.code, error.in_doubt),
            (kind, Some(code), false),
            "{error}"
        );
        assert!(connection.is_open(), "{error}");
        drop(connection);
        let log = task.await.unwrap();
        let envelope = "MAIL FROM:<shop@example.org>\r\nRCPT TO:<zoe@example.com>\r\nDATA\r\n";
        // The server wants something when it has said so, and gets nothing of the mail.
        let content = if takes_content { ".\r\n" } else { "" };
        assert_eq!(log, format!("{envelope}{content}RSET\r\n"));
    }
}

/// A server with PIPELINING: reads the commands of one mail in one read, answers them in one write, and takes an empty
/// content and an RSET; gives what it has read.
async fn pipelining(
    replies: String,
    takes_content: bool,
) -> (u16, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let task = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut read = [0; 1024];
        socket.write_all(b"220 x\r\n").await.unwrap();
        let _ = socket.read(&mut read).await.unwrap();
        socket
            .write_all(b"250-x\r\n250 PIPELINING\r\n")
            .await
            .unwrap();
        let mut log = String::new();
        let mut answers = vec![replies.as_str()];
        if takes_content {
            answers.push("554 5.5.1 no valid recipients\r\n");
        }
        answers.push("250 reset\r\n");
        for answer in answers {
            let length = socket.read(&mut read).await.unwrap();
            log.push_str(std::str::from_utf8(&read[..length]).unwrap());
            socket.write_all(answer.as_bytes()).await.unwrap();
        }
        log
    });
    (port, task)
}

#[tokio::test]
async fn a_server_that_leaves_between_pipelined_replies_has_refused_what_it_refused() {
    for (replies, kind, code) in [
        (
            "250 ok\r\n550 5.1.1 no such user\r\n",
            SendErrorKind::Permanent,
            Some(550),
        ),
        (
            "250 ok\r\n550 5.1.1 no such user\r\n421 4.7.0 bye\r\n",
            SendErrorKind::Permanent,
            Some(550),
        ),
        (
            "250 ok\r\n421 4.7.0 bye\r\n",
            SendErrorKind::Transient,
            Some(421),
        ),
        ("250 ok\r\n", SendErrorKind::Connection, None),
        (
            "250 ok\r\n250 ok\r\n250 what\r\n",
            SendErrorKind::Connection,
            None,
        ),
    ] {
        let script = Box::leak(Box::new([
            ("EHLO", Do::Say("250-x\r\n250 PIPELINING\r\n")),
            ("MAIL", Do::SayAndClose(replies)),
        ]));
        let (error, open, _) = send_against(script).await;
        assert_eq!(
            (error.kind, error.code, error.in_doubt, open),
            (kind, code, false, false),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_server_that_says_more_than_it_was_asked_gets_no_further_mail() {
    let server = Server::start(&[("END", Do::Say("250 ok\r\n250 ok\r\n"))]).await;
    let mut connection = server.connect().await;
    connection.send(&mail("m1@example.org")).await.unwrap();
    assert!(!connection.is_open());
}

#[tokio::test]
async fn replies_in_another_encoding_count_by_their_code() {
    let (error, open, _) = send_against(&[(
        "RCPT",
        Do::SayBytes(b"550 5.1.1 Empf\xe4nger unbekannt\r\n"),
    )])
    .await;
    assert_eq!(
        (error.kind, open),
        (SendErrorKind::Permanent, true),
        "{error}"
    );
}

#[tokio::test]
async fn addresses_outside_ascii_need_a_server_that_offers_smtputf8() {
    let international = build(&Letter {
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
async fn passwords_go_by_auth_login_where_there_is_no_auth_plain() {
    let server = Server::start(&[
        ("EHLO", Do::Say("250-test\r\n250 AUTH CRAM-MD5 LOGIN\r\n")),
        ("AUTH", Do::Say("334 VXNlcm5hbWU6\r\n")),
        ("dXNlcg==", Do::Say("334 UGFzc3dvcmQ6\r\n")),
        ("c2VjcmV0", Do::Say("235 2.7.0 welcome\r\n")),
    ])
    .await;
    let config = TransportConfig::parse(&format!("smtp://user@127.0.0.1:{}", server.port))
        .unwrap()
        .with_password("secret".to_owned());
    config.connect(STEP).await.unwrap().quit().await;
    let log = server.log().await;
    assert!(
        log.contains("AUTH LOGIN\r\ndXNlcg==\r\nc2VjcmV0\r\nQUIT"),
        "{log}"
    );
}

#[tokio::test]
async fn service_closing_is_for_now_and_closes() {
    for (script, kind) in [
        (
            &[("MAIL", Do::SayAndClose("421 4.3.2 shutting down\r\n"))] as &[_],
            SendErrorKind::Unavailable,
        ),
        (
            &[("END", Do::SayAndClose("421 4.3.2 shutting down\r\n"))],
            SendErrorKind::Transient,
        ),
    ] {
        let (error, open, _) = send_against(script).await;
        assert_eq!(
            (error.kind, error.code, error.in_doubt, open),
            (kind, Some(421), false, false)
        );
    }
}

#[tokio::test]
async fn a_connection_lost_before_the_final_dot_leaves_no_doubt() {
    for script in [
        &[("MAIL", Do::Close)] as &[_],
        &[("RCPT", Do::Hang)],
        &[("DATA", Do::SayAndClose("250 what\r\n"))],
        &[("DATA", Do::Say("354 go\r\n250 2.0.0 taken\r\n"))],
        &[("DATA", Do::Close)],
        &[("RCPT", Do::Say("354 what\r\n"))],
        &[("MAIL", Do::Say("999 nonsense\r\n"))],
        &[("MAIL", Do::Say("nonsense\r\n"))],
    ] {
        let (error, open, _) = send_against(script).await;
        assert_eq!(
            (error.kind, error.in_doubt, open),
            (SendErrorKind::Connection, false, false),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_connection_lost_after_the_final_dot_is_in_doubt() {
    for script in [
        &[("END", Do::Close)] as &[_],
        &[("END", Do::Hang)],
        &[("END", Do::SayAndClose("250 2.0"))],
        &[("END", Do::SayBytes(b"\xff\xfe\r\n"))],
        &[("END", Do::Say("354 what\r\n"))],
        &[("END", Do::Forever("250-more\r\n"))],
        &[("END", Do::Forever("x"))],
    ] {
        let (error, open, _) = send_against(script).await;
        assert_eq!(
            (error.kind, error.in_doubt, open),
            (SendErrorKind::Connection, true, false),
            "{error}"
        );
        assert!(
            error
                .to_string()
                .ends_with("(the server may have taken the mail)"),
            "{error}"
        );
    }
    // The reply came, and the connection went: nothing is in doubt.
    let server = Server::start(&[("END", Do::SayAndClose("250 ok\r\n"))]).await;
    let mut connection = server.connect().await;
    connection.send(&mail("m1@example.org")).await.unwrap();
    let error = connection.send(&mail("m2@example.org")).await.unwrap_err();
    assert_eq!(
        (error.kind, error.in_doubt),
        (SendErrorKind::Connection, false)
    );
}

#[tokio::test]
async fn only_the_reply_to_the_final_dot_may_be_late() {
    let server = Server::start(&[("END", Do::SayLate("250 late\r\n"))]).await;
    let mut connection = server.connect().await;
    assert_eq!(
        connection.send(&mail("m1@example.org")).await.unwrap(),
        "250 late"
    );
    connection.send(&mail("m2@example.org")).await.unwrap();
    let (error, ..) = send_against(&[("RCPT", Do::SayLate("250 late\r\n"))]).await;
    assert_eq!(
        (error.kind, error.in_doubt),
        (SendErrorKind::Connection, false),
        "{error}"
    );
}

#[tokio::test]
async fn a_body_cut_off_halfway_leaves_no_doubt() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        socket.write_all(b"220 x\r\n").await.unwrap();
        let mut read = [0; 1024];
        for reply in ["250 x\r\n", "250 x\r\n", "250 x\r\n", "354 x\r\n"] {
            let _ = socket.read(&mut read).await.unwrap();
            socket.write_all(reply.as_bytes()).await.unwrap();
        }
        // Reads a little of the body, and then nothing more.
        let _ = socket.read(&mut read).await.unwrap();
        tokio::time::sleep(STEP * 4).await;
    });
    let mut connection = TransportConfig::parse(&format!("smtp://127.0.0.1:{port}"))
        .unwrap()
        .connect(STEP)
        .await
        .unwrap();
    let mut big = mail("m1@example.org");
    big.bytes = b"x"
        .repeat(70)
        .into_iter()
        .chain(*b"\r\n")
        .collect::<Vec<u8>>()
        .repeat(400_000);
    let error = connection.send(&big).await.unwrap_err();
    assert_eq!(
        (error.kind, error.in_doubt),
        (SendErrorKind::Connection, false),
        "{error}"
    );
}

#[tokio::test]
async fn every_step_ends_in_time_however_slowly_the_server_talks() {
    let started = Instant::now();
    for script in [
        &[("GREETING", Do::Hang)] as &[_],
        &[("EHLO", Do::Hang)],
        &[("GREETING", Do::Forever("220-x\r\n"))],
        &[("EHLO", Do::Forever("y"))],
        &[("GREETING", Do::SayAndClose("554 5.7.1 go away\r\n"))],
        &[(
            "GREETING",
            Do::SayAndClose("421 4.7.0 too many connections\r\n"),
        )],
        &[("EHLO", Do::SayBytes(b"250-\xc3\x28\r\n\xff x\r\n"))],
    ] {
        let server = Server::start(script).await;
        let error = server.config().connect(STEP).await.unwrap_err();
        assert_eq!(
            (error.kind, error.in_doubt),
            (SendErrorKind::Connection, false),
            "{error}"
        );
    }
    assert!(started.elapsed() < STEP * 8, "{:?}", started.elapsed());
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
async fn starttls_is_required_outside_loopback_and_a_stripped_one_is_noticed() {
    let server = Server::start(&[]).await;
    let config =
        TransportConfig::parse(&format!("smtp://127.0.0.1:{}?tls=required", server.port)).unwrap();
    let error = config.connect(STEP).await.unwrap_err();
    assert!(error.message.contains("does not offer STARTTLS"), "{error}");
    drop(error);
    assert!(!server.log().await.contains("MAIL"));
}

#[tokio::test]
async fn passwords_go_to_the_server_and_nowhere_else() {
    let secret = "s3cret-pässword";
    for (script, succeeds) in [
        (&[] as &[_], true),
        (
            &[("AUTH", Do::Say("535 5.7.8 bad: s3cret-pässword\r\n"))],
            false,
        ),
        (
            &[(
                "AUTH",
                Do::Say("535 5.7.8 bad: AHVzZXJAZXhhbXBsZS5vcmcAczNjcmV0LXDDpHNzd29yZA==\r\n"),
            )],
            false,
        ),
        (&[("EHLO", Do::Say("250 test\r\n"))], false),
    ] {
        let server = Server::start(script).await;
        let url = format!("smtp://user%40example.org@127.0.0.1:{}", server.port);
        let config = TransportConfig::parse(&url)
            .unwrap()
            .with_password(secret.to_owned());
        assert_eq!(config.user(), Some("user@example.org"));
        assert!(!format!("{config:?}{config:#?}").contains("s3cret"));
        match config.connect(STEP).await {
            Ok(connection) => {
                assert!(succeeds);
                assert!(!format!("{connection:?}").contains("s3cret"));
            }
            Err(error) => {
                assert!(!succeeds, "{error}");
                assert_eq!(error.kind, SendErrorKind::Connection);
                let shown = format!("{error} {error:?}");
                assert!(
                    !shown.contains("s3cret") && !shown.contains("czNjcmV0LX"),
                    "{shown}"
                );
            }
        }
        if succeeds {
            assert!(
                server
                    .log()
                    .await
                    .contains("AUTH PLAIN AHVzZXJAZXhhbXBsZS5vcmcAczNjcmV0LXDDpHNzd29yZA==")
            );
        }
    }
    let server = Server::start(&[]).await;
    let config = TransportConfig::parse(&format!("smtp://user@127.0.0.1:{}", server.port)).unwrap();
    let error = config.connect(STEP).await.unwrap_err();
    assert!(error.message.contains("smtp_password_file"), "{error}");
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
    let directory =
        std::env::temp_dir().join(format!("marketing-automation-mails-{}", std::process::id()));
    std::fs::create_dir_all(directory.join("in")).unwrap();
    let config = TransportConfig::parse(&format!("file://{}/in", directory.display())).unwrap();
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
    let mut names: Vec<String> = std::fs::read_dir(directory.join("in"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["_._.._m2@example.org.eml", "m1@example.org.eml"]);
    assert_eq!(
        std::fs::read(directory.join("in/m1@example.org.eml")).unwrap(),
        first.bytes()
    );
    assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 1);
    std::fs::remove_dir_all(&directory).unwrap();
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
