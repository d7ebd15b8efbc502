//! A server that answers anything: the client must come to an end, and tell of each mail what is true.

use std::cell::OnceCell;
use std::time::{Duration, SystemTime};

use marketing_automation::mail::message::{Draft, Mail, build};
use marketing_automation::smtp::{SendErrorKind, TransportConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

/// Between what the server says to one command and to the next.
const NEXT: u8 = 0x1e;
/// For a command of the client; then the server closes the connection.
const PATIENCE: Duration = Duration::from_millis(30);
const END_OF_DATA: &[u8] = b"\r\n.\r\n";

/// What a server says in a session with two mails.
pub fn sessions() -> Vec<Vec<u8>> {
    [
        "220 mail.example.org ESMTP\r\n\x1e250-mail.example.org\r\n250-PIPELINING\r\n250-SIZE 1000000\r\n250 8BITMIME\r\n\x1e250 2.1.0 ok\r\n\x1e250 2.1.5 ok\r\n\x1e354 go ahead\r\n\x1e250 2.0.0 queued as 1\r\n\x1e250 ok\r\n\x1e250 ok\r\n\x1e354 go\r\n\x1e250 queued\r\n\x1e221 bye\r\n",
        "220 x\r\n\x1e250 x\r\n\x1e250 ok\r\n\x1e550 5.1.1 No such user\r\n\x1e250 reset\r\n\x1e250 ok\r\n\x1e250 ok\r\n\x1e354 go\r\n\x1e451 4.3.0 try later\r\n\x1e250 reset\r\n",
        "220 x\r\n\x1e250-x\r\n250-PIPELINING\r\n250-SMTPUTF8\r\n250 SIZE\r\n\x1e421 4.7.0 too many connections\r\n\x1e503 5.5.1\r\n\x1e354 go\r\n\x1e554 5.5.1 no valid recipients\r\n",
        "554 5.7.1 go away\r\n",
        "220 x\r\n\x1e502 what\r\n\x1e250 HELO\r\n\x1e250 ok\r\n\x1e250 ok\r\n\x1e354 go\r\n\x1e250 ok\r\n",
    ]
    .map(|session| session.as_bytes().to_vec())
    .into()
}

/// Two mails over one connection, if it takes a second one.
pub fn every_mail_has_its_truth(input: &[u8]) {
    thread_local! {
        static RUNTIME: OnceCell<Runtime> = const { OnceCell::new() };
    }
    RUNTIME.with(|runtime| {
        runtime
            .get_or_init(|| {
                Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .expect("a runtime")
            })
            .block_on(converse(input));
    });
}

async fn converse(input: &[u8]) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let replies: Vec<Vec<u8>> = input
        .split(|byte| *byte == NEXT)
        .map(<[u8]>::to_vec)
        .collect();
    let server = tokio::spawn(async move {
        let (socket, _) = listener.accept().await.expect("a client");
        serve(socket, replies).await
    });
    let config = TransportConfig::parse(&format!("smtp://127.0.0.1:{port}?tls=none"))
        .or_else(|_| TransportConfig::parse(&format!("smtp://127.0.0.1:{port}")))
        .expect("a URL");
    let mut told = Vec::new();
    // Longer than the server waits: who gives up first is always the server.
    match config.connect(Duration::from_secs(2)).await {
        Err(error) => assert!(error.kind == SendErrorKind::Connection && !error.in_doubt),
        Ok(mut connection) => {
            for id in ["first@example.org", "second@example.org"] {
                if connection.is_open() {
                    told.push((id, connection.send(&mail(id)).await));
                }
            }
            connection.quit().await;
        }
    }
    let (read, said) = server.await.expect("the server");
    for (id, result) in told {
        let has_all = content(&read, id);
        match result {
            Ok(reply) => {
                assert!(
                    has_all,
                    "{id} was taken, says the client: {reply}, and was not sent"
                );
                assert!(
                    reply.starts_with('2')
                        && said
                            .split(|byte| *byte == b'\n')
                            .any(|line| line.starts_with(b"2"))
                );
                assert!(!reply.chars().any(char::is_control), "{reply:?}");
            }
            Err(error) => {
                assert!(
                    !error.message.chars().any(char::is_control),
                    "{:?}",
                    error.message
                );
                assert!(
                    !has_all || error.in_doubt || error.code.is_some(),
                    "{id} may have been taken, and is not in doubt: {error}"
                );
            }
        }
    }
}

/// Answers each command with the next reply, until there is none; what was read, what was said.
async fn serve(mut socket: TcpStream, replies: Vec<Vec<u8>>) -> (Vec<u8>, Vec<u8>) {
    let (mut read, mut said) = (Vec::new(), Vec::new());
    let mut done = 0;
    for reply in replies {
        said.extend_from_slice(&reply);
        if socket.write_all(&reply).await.is_err() {
            break;
        }
        let end: &[u8] = match reply.starts_with(b"354") {
            true => END_OF_DATA,
            false => b"\r\n",
        };
        loop {
            // Each from where the one before ended: several may have come at once.
            let from = match end {
                END_OF_DATA => done.max(2) - 2,
                _ => done,
            };
            if let Some(at) = read
                .get(from..)
                .and_then(|rest: &[u8]| rest.windows(end.len()).position(|piece| piece == end))
            {
                done = from + at + end.len();
                break;
            }
            match timeout(PATIENCE, socket.read_buf(&mut read)).await {
                Ok(Ok(1..)) => {}
                _ => return (read, said),
            }
        }
    }
    // What is on its way still counts.
    drop(timeout(PATIENCE, socket.read_to_end(&mut read)).await);
    (read, said)
}

/// Whether a mail has come to its end.
fn content(read: &[u8], id: &str) -> bool {
    let text = String::from_utf8_lossy(read);
    let header = format!("Message-ID: <{id}>");
    text.split_once(&header)
        .is_some_and(|(_, rest)| rest.contains("\r\n.\r\n"))
}

fn mail(id: &str) -> Mail {
    build(&Draft {
        from: "Shop <shop@example.org>",
        reply_to: None,
        to_address: "zoe@example.com",
        instead_of: None,
        to_name: None,
        cc: &[],
        bcc: &[],
        return_path: None,
        subject: "Hello",
        html: "<p>Hello</p>",
        text: "Hello",
        message_id: id,
        date: SystemTime::UNIX_EPOCH,
        is_bulk: true,
        unsubscribe_url: None,
        unsubscribe_address: None,
        list_id: None,
        feedback_id: None,
        headers: &[],
        attachments: &[],
    })
    .expect("a mail")
}
