//! Connections that are lost or slow, and whether the server may have taken the mail.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

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
    assert!(started.elapsed() < STEP * 80, "{:?}", started.elapsed());
}
