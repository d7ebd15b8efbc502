//! From the socket to a server that waits for mails: greeting, EHLO, TLS, AUTH.

use std::io;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio_rustls::rustls::pki_types::ServerName;

use super::config::{SmtpConfig, Tls};
use super::dialogue::Dialogue;
use super::error::SendError;
use super::exchange::{ask, read, within, write};
use super::extensions::Extensions;
use super::reply::{Reply, SERVICE_CLOSING, one_line};
use super::{auth, tls};

/// Connects and says EHLO, with as much TLS as is configured.
pub(super) async fn connect(
    smtp: &SmtpConfig,
    limit: Duration,
) -> Result<(Dialogue, Extensions), SendError> {
    let (mut dialogue, offered) = connect_in_clear(smtp, limit).await?;
    match smtp.tls {
        Tls::Required if !offered.starttls => {
            return Err(SendError::connection(format!(
                "{} does not offer STARTTLS, which is required",
                smtp.host
            )));
        }
        Tls::Required | Tls::Opportunistic if offered.starttls => {}
        _ => return Ok((dialogue, offered)),
    }
    if let Err(refusal) = ask(&mut dialogue, "STARTTLS", "STARTTLS", limit).await {
        if smtp.tls != Tls::Opportunistic {
            return Err(refusal);
        }
        // It may offer what it cannot do now, with 454; the session stays as it was (RFC 3207, section 4). One that ended has to begin
        // again, without TLS.
        return match refusal.code.is_some_and(|code| code != SERVICE_CLOSING) {
            true => Ok((dialogue, offered)),
            false => connect_in_clear(smtp, limit).await,
        };
    }
    if !dialogue.is_at_rest() {
        // It would pass for a reply from inside TLS (CVE-2011-0411, seen from the client).
        return Err(SendError::connection(
            "STARTTLS: the server said more than that TLS may begin",
        ));
    }
    let encrypted = async {
        let mut dialogue = encrypt(dialogue, smtp, "STARTTLS", limit).await?;
        // Replies that came in clear count no more (RFC 3207, section 4.2).
        let offered = hello(&mut dialogue, smtp, limit).await?;
        Ok((dialogue, offered))
    };
    match encrypted.await {
        // Some TLS is better than none, and none better than no mail: that is what opportunistic means (RFC 7435).
        Err(_) if smtp.tls == Tls::Opportunistic => connect_in_clear(smtp, limit).await,
        result => result,
    }
}

/// Connects and says EHLO, in TLS when it is implicit.
async fn connect_in_clear(
    smtp: &SmtpConfig,
    limit: Duration,
) -> Result<(Dialogue, Extensions), SendError> {
    let name = format!("connect to {} port {}", smtp.host, smtp.port);
    let connected = async { Dialogue::new(TcpStream::connect((&*smtp.host, smtp.port)).await?) };
    let mut dialogue = within(limit, &name, connected).await?;
    if smtp.tls == Tls::Implicit {
        dialogue = encrypt(dialogue, smtp, &name, limit).await?;
    }
    let greeting = read(&mut dialogue, "greeting", limit).await?;
    if !greeting.is_success() {
        return Err(SendError::replied("greeting", &greeting).before_any_mail());
    }
    let offered = hello(&mut dialogue, smtp, limit).await?;
    Ok((dialogue, offered))
}

async fn encrypt(
    dialogue: Dialogue,
    smtp: &SmtpConfig,
    name: &str,
    limit: Duration,
) -> Result<Dialogue, SendError> {
    let connector = tls::connector(smtp)?;
    let host = ServerName::try_from(smtp.host.clone())
        .map_err(|error| SendError::connection(format!("{name}: {error}")))?;
    let encrypted = async {
        let encrypted = dialogue.encrypt(connector, host).await;
        encrypted.map_err(|error| io::Error::new(error.kind(), tls::explain(&error, &smtp.host)))
    };
    within(limit, name, encrypted).await
}

async fn hello(
    dialogue: &mut Dialogue,
    smtp: &SmtpConfig,
    limit: Duration,
) -> Result<Extensions, SendError> {
    let name = smtp.ehlo.clone().unwrap_or_else(|| own_name(dialogue));
    let reply = ask(dialogue, "EHLO", &format!("EHLO {name}"), limit).await?;
    Ok(Extensions::parse(&reply))
}

/// This machine's name when it is a full one, else the address (RFC 5321, section 4.1.4).
fn own_name(dialogue: &Dialogue) -> String {
    let name = hostname::get()
        .ok()
        .and_then(|name| name.into_string().ok())
        .filter(|name| {
            name.contains('.')
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'))
        });
    match (name, dialogue.local_address()) {
        (Some(name), _) => name,
        (None, Ok(std::net::IpAddr::V6(address))) => format!("[IPv6:{address}]"),
        (None, Ok(address)) => format!("[{address}]"),
        (None, Err(_)) => "[127.0.0.1]".to_owned(),
    }
}

pub(super) async fn authenticate(
    dialogue: &mut Dialogue,
    said: &auth::Dialog,
    limit: Duration,
) -> Result<(), SendError> {
    let last = said.lines.len() - 1;
    for (number, line) in said.lines.iter().enumerate() {
        write(dialogue, "AUTH", &format!("{line}\r\n"), limit).await?;
        let reply = read(dialogue, "AUTH", limit).await?;
        if let (334, true, Some(word)) = (reply.code, number == last, said.after_challenge) {
            return Err(refused_token(dialogue, &reply, word, limit).await?);
        }
        // 334 asks for the next line.
        let accepted = match number == last {
            true => reply.is_success(),
            false => reply.code == 334,
        };
        if !accepted {
            return Err(SendError::replied("AUTH", &reply).before_any_mail());
        }
    }
    Ok(())
}

/// The refusal that follows on a challenge, with what that says.
async fn refused_token(
    dialogue: &mut Dialogue,
    challenge: &Reply,
    word: &str,
    limit: Duration,
) -> Result<SendError, SendError> {
    write(dialogue, "AUTH", &format!("{word}\r\n"), limit).await?;
    let reply = read(dialogue, "AUTH", limit).await?;
    let mut error = SendError::replied("AUTH", &reply).before_any_mail();
    if let Some(reason) = auth::reason(challenge) {
        error.message = one_line(&format!("{}: {reason}", error.message));
    }
    Ok(error)
}
