//! A small server that speaks SMTP on 127.0.0.1, and misbehaves as told.

use std::collections::HashSet;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::STEP;
use crate::smtp::{Connection, TransportConfig};

/// What the server does when the client's line begins with a word.
#[derive(Clone, Copy)]
pub(super) enum Do {
    Say(&'static str),
    SayAndClose(&'static str),
    SayBytes(&'static [u8]),
    Close,
    Hang,
    /// Says it after so long that only the reply to the final dot may take.
    SayLate(&'static str),
    /// Sends this again and again, without ever ending.
    Forever(&'static str),
}

/// A server on 127.0.0.1 that speaks plain SMTP, but for the scripted words; gives everything it has read.
pub(super) struct Server {
    pub(super) port: u16,
    task: JoinHandle<String>,
}

impl Server {
    pub(super) async fn start(script: &'static [(&'static str, Do)]) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let task = tokio::spawn(async move {
            let (socket, _) = listener.accept().await.unwrap();
            let mut log = String::new();
            converse(socket, script, &mut log).await;
            log
        });
        Server { port, task }
    }

    pub(super) fn config(&self) -> TransportConfig {
        TransportConfig::parse(&format!("smtp://127.0.0.1:{}", self.port)).unwrap()
    }

    pub(super) async fn connect(&self) -> Connection {
        let config = self.config();
        config.connect_within(STEP, STEP * 3).await.unwrap()
    }

    pub(super) async fn log(self) -> String {
        self.task.await.unwrap()
    }
}

fn standard_reply(line: &str) -> &'static str {
    match line.split([' ', '\r']).next().unwrap_or_default() {
        "GREETING" => "220 test ready\r\n",
        "EHLO" => "250-test\r\n250-8BITMIME\r\n250 AUTH PLAIN LOGIN\r\n",
        "DATA" => "354 go ahead\r\n",
        "AUTH" => "235 2.7.0 welcome\r\n",
        "QUIT" => "221 bye\r\n",
        "END" => "250 2.0.0 Ok: queued as 4711\r\n",
        _ => "250 ok\r\n",
    }
}

pub(super) async fn converse(
    socket: impl AsyncRead + AsyncWrite,
    script: &[(&str, Do)],
    log: &mut String,
) {
    let (read, mut write) = tokio::io::split(socket);
    let mut read = BufReader::new(read);
    let mut line = "GREETING".to_owned();
    let mut seen = HashSet::new();
    loop {
        let word = line
            .split([' ', '\r'])
            .next()
            .unwrap_or_default()
            .to_owned();
        // The script is about the first time that a word comes.
        let script = if seen.insert(word.clone()) {
            script
        } else {
            &[]
        };
        let action = script
            .iter()
            .find(|(at, _)| *at == word)
            .map(|(_, action)| *action);
        let reply = match action {
            None => standard_reply(&line).as_bytes(),
            Some(Do::Say(text) | Do::SayAndClose(text)) => text.as_bytes(),
            Some(Do::SayBytes(bytes)) => bytes,
            Some(Do::SayLate(text)) => {
                tokio::time::sleep(STEP * 2).await;
                text.as_bytes()
            }
            Some(Do::Close) => return,
            Some(Do::Hang) => {
                let mut rest = Vec::new();
                let _ = read.read_to_end(&mut rest).await;
                return;
            }
            Some(Do::Forever(text)) => {
                while write.write_all(text.as_bytes()).await.is_ok() {}
                return;
            }
        };
        // A client that has had enough may be gone.
        if write.write_all(reply).await.is_err() || matches!(action, Some(Do::SayAndClose(_))) {
            return;
        }
        let in_data = word == "DATA" && !script.iter().any(|(at, _)| *at == word);
        line.clear();
        if in_data {
            while !line.ends_with("\r\n.\r\n") {
                if read.read_line(&mut line).await.unwrap_or(0) == 0 {
                    return;
                }
            }
            log.push_str(&line);
            line = "END".to_owned();
            continue;
        }
        if read.read_line(&mut line).await.unwrap_or(0) == 0 {
            return;
        }
        log.push_str(&line);
    }
}
