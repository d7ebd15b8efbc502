//! What replies mean, one by one and pipelined.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

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
            SendErrorKind::Permanent,
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
            SendErrorKind::Transient,
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
            SendErrorKind::Unavailable,
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
async fn service_closing_is_for_now_and_closes() {
    for (script, kind) in [
        (
            &[("MAIL", Do::SayAndClose("421 4.3.2 shutting down\r\n"))] as &[_],
            SendErrorKind::Unavailable,
        ),
        (
            &[("END", Do::SayAndClose("421 4.3.2 shutting down\r\n"))],
            SendErrorKind::Unavailable,
        ),
    ] {
        let (error, open, _) = send_against(script).await;
        assert_eq!(
            (error.kind, error.code, error.in_doubt, open),
            (kind, Some(421), false, false)
        );
    }
}
