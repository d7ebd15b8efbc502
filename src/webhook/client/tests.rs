//! The client against servers with faults.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// Reads one request.
async fn request_of(stream: &mut TcpStream) -> Option<String> {
    let mut text = String::new();
    let mut buffer = [0; 4096];
    while !text.ends_with("{}") {
        match stream.read(&mut buffer).await {
            Ok(read) if read > 0 => text.push_str(std::str::from_utf8(&buffer[..read]).unwrap()),
            _ => return None,
        }
    }
    Some(text)
}

/// Serves connection after connection; each answers with these texts, and is closed then, unless the last one is empty: then it says
/// nothing for ever. Tells how many connections there were.
async fn server(answers: &'static [&'static str]) -> (Target, Arc<std::sync::atomic::AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let count = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let connections = Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            connections.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            tokio::spawn(async move {
                for answer in answers {
                    if request_of(&mut stream).await.is_none() {
                        return;
                    }
                    if answer.is_empty() {
                        std::future::pending::<()>().await;
                    }
                    let _ = stream.write_all(answer.as_bytes()).await;
                    while answer.ends_with('…') {
                        if stream.write_all(&[b'x'; 8192]).await.is_err() {
                            return;
                        }
                    }
                }
            });
        }
    });
    let target = Target {
        origin: Origin::parse(&format!("http://{address}")).unwrap(),
        may_be_private: true,
        key: None,
    };
    (target, count)
}

fn message() -> Message {
    Message {
        path: "/hook?x=1".to_owned(),
        id: "msg_1".to_owned(),
        timestamp: 1,
        body: "{}".to_owned(),
    }
}

fn status(reply: &Reply) -> Option<u16> {
    match reply {
        Reply::Answered { status, .. } => Some(*status),
        Reply::Silent(_) => None,
    }
}

const LIMIT: Duration = Duration::from_secs(20);
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

#[tokio::test]
async fn a_connection_is_kept_and_made_again_when_it_was_closed() {
    let (target, count) = server(&[OK, OK]).await;
    let mut connection = Connection::default();
    for expected in [1, 1, 2, 2, 3] {
        let reply = connection.post(&target, &message(), LIMIT).await;
        assert_eq!(status(&reply), Some(200), "{reply:?}");
        assert_eq!(count.load(std::sync::atomic::Ordering::SeqCst), expected);
    }
}

#[tokio::test]
async fn no_redirect_is_followed_and_an_endless_answer_is_not_read() {
    const REDIRECT: &str = "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n";
    let (target, _) = server(&[REDIRECT]).await;
    let reply = Connection::default().post(&target, &message(), LIMIT).await;
    let expected = Reply::Answered {
        status: 302,
        text: "302 Found".to_owned(),
        retry_after: Some("7".to_owned()),
    };
    assert_eq!(reply, expected);
    let (target, count) = server(&["HTTP/1.1 202 Accepted\r\n\r\n…"]).await;
    let mut connection = Connection::default();
    for expected in [1, 2] {
        let reply = connection.post(&target, &message(), LIMIT).await;
        assert_eq!(status(&reply), Some(202));
        assert_eq!(count.load(std::sync::atomic::Ordering::SeqCst), expected);
    }
}

#[tokio::test]
async fn what_does_not_answer_costs_its_time_and_no_more() {
    let (target, _) = server(&[""]).await;
    let limit = Duration::from_millis(50);
    let reply = Connection::default().post(&target, &message(), limit).await;
    assert_eq!(reply, Reply::Silent("no answer within 0.05 s".to_owned()));
    let (target, _) = server(&["no HTTP\r\n\r\n"]).await;
    let reply = Connection::default().post(&target, &message(), LIMIT).await;
    assert_eq!(status(&reply), None);
}

#[tokio::test]
async fn a_private_address_is_not_connected_to_unless_it_is_listed() {
    let (mut target, count) = server(&[OK]).await;
    target.may_be_private = false;
    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"] {
        let origin = format!("http://{host}:{}", target.origin.port);
        target.origin = Origin::parse(&origin).unwrap();
        let reply = Connection::default().post(&target, &message(), LIMIT).await;
        let Reply::Silent(reason) = reply else {
            panic!("{host} answered");
        };
        assert!(reason.contains("where webhooks do not go"), "{reason}");
    }
    assert_eq!(count.load(std::sync::atomic::Ordering::SeqCst), 0);
}
