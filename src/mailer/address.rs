//! Where the database is: a libpq connection string or URL, with TLS as its `sslmode` says.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

use super::tls::{Tls, Trust};

/// For each host to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Notices a server that vanished without a word.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(5);
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(10);

/// The parts of a connection string that say how far a server is trusted, which tokio-postgres does not know.
#[derive(Debug, Default)]
struct TlsOptions {
    mode: Option<String>,
    root: Option<PathBuf>,
}

impl TlsOptions {
    fn take(&mut self, name: &str, value: &str) -> bool {
        match name {
            "sslmode" => self.mode = Some(value.to_owned()),
            "sslrootcert" => self.root = Some(value.into()),
            _ => return false,
        }
        true
    }
}

/// Address of the database.
pub(super) struct Address {
    pub(super) config: Config,
    pub(super) tls: Tls,
}

/// Takes the options of TLS out of a connection string.
fn split(text: &str) -> Result<(String, TlsOptions), String> {
    let mut options = TlsOptions::default();
    if text.starts_with("postgres://") || text.starts_with("postgresql://") {
        let Some((address, query)) = text.split_once('?') else {
            return Ok((text.to_owned(), options));
        };
        let mut rest = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            if !options.take(&name, &value) {
                rest.append_pair(&name, &value);
            }
        }
        // As libpq reads it: a plus sign is one, and no space.
        return Ok((
            format!("{address}?{}", rest.finish().replace('+', "%20")),
            options,
        ));
    }
    let mut rest = String::new();
    let mut left = text.trim_start();
    while !left.is_empty() {
        let (name, after) = left
            .split_once('=')
            .ok_or_else(|| format!("\"{}\" has no value", left.trim_end()))?;
        let (value, length) = value(after.trim_start())?;
        let end = after.len() - after.trim_start().len() + length;
        if !options.take(name.trim(), &value) {
            rest.push_str(&left[..name.len() + 1 + end]);
            rest.push(' ');
        }
        left = after[end..].trim_start();
    }
    Ok((rest, options))
}

/// The value at the beginning of a text, and how long it is there: quotes and backslashes as libpq has them.
fn value(text: &str) -> Result<(String, usize), String> {
    let mut value = String::new();
    let is_quoted = text.starts_with('\'');
    let mut characters = text.char_indices().skip(usize::from(is_quoted));
    while let Some((position, character)) = characters.next() {
        match character {
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            '\'' if is_quoted => return Ok((value, position + 1)),
            _ if !is_quoted && character.is_whitespace() => return Ok((value, position)),
            _ => value.push(character),
        }
    }
    match is_quoted {
        true => Err("a quoted value does not end".to_owned()),
        false => Ok((value, text.len())),
    }
}

impl Address {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (rest, options) = split(text)?;
        let mut config = Config::from_str(&rest).map_err(|error| super::error::describe(&error))?;
        let is_local = |host: &Host| matches!(host, Host::Unix(_));
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            config.host_path("/var/run/postgresql");
        }
        let (mode, trust) = match options.mode.as_deref() {
            Some("disable") => (SslMode::Disable, Trust::Anything),
            // As libpq: a file of authorities makes `require` check them.
            Some("require") if options.root.is_some() => (SslMode::Require, Trust::Authority),
            Some("require") => (SslMode::Require, Trust::Anything),
            Some("verify-ca") => (SslMode::Require, Trust::Authority),
            Some("verify-full") => (SslMode::Require, Trust::Name),
            None | Some("prefer") => (SslMode::Prefer, Trust::Anything),
            Some(mode) => {
                return Err(format!(
                    "sslmode is disable, prefer, require, verify-ca or verify-full, not \"{mode}\""
                ));
            }
        };
        if mode == SslMode::Require && config.get_hosts().iter().all(is_local) {
            return Err("a Unix socket has no TLS: leave sslmode out, or name a host".to_owned());
        }
        config.ssl_mode(mode);
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        if config.get_application_name().is_none() {
            config.application_name("marketing-mailer");
        }
        config
            .keepalives_idle(KEEPALIVE_IDLE)
            .tcp_user_timeout(TCP_USER_TIMEOUT);
        Ok(Address {
            config,
            tls: Tls::new(trust, options.root.as_deref())?,
        })
    }

    /// Hosts and database, for messages.
    pub(super) fn name(&self) -> String {
        let hosts = self.config.get_hosts().iter().map(|host| match host {
            Host::Tcp(name) => name.clone(),
            Host::Unix(path) => Path::display(path).to_string(),
        });
        let hosts: Vec<String> = hosts.collect();
        let database = self.config.get_dbname().or(self.config.get_user());
        format!(
            "{} on {}",
            database.unwrap_or("its default database"),
            hosts.join(", ")
        )
    }

    /// How long connecting may take: each host its time, so that one that is silent does not hide the next.
    pub(super) fn patience(&self) -> Duration {
        let hosts = self.config.get_hosts().len().max(1);
        let each = self.config.get_connect_timeout().copied();
        each.unwrap_or(CONNECT_TIMEOUT)
            .saturating_mul(u32::try_from(hosts).unwrap_or(u32::MAX))
            .saturating_add(CONNECT_TIMEOUT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_tls_are_taken_out_wherever_they_are() {
        for (text, rest, mode, root) in [
            ("host=a user=b", "host=a user=b ", None, None),
            (
                "host=a sslmode = 'verify-full' sslrootcert='/a b/it\\'s.pem' password='x y\\''",
                "host=a password='x y\\'' ",
                Some("verify-full"),
                Some("/a b/it's.pem"),
            ),
            (
                "postgresql://u:p%20q@a:5432/d?sslmode=require&application_name=a%20b",
                "postgresql://u:p%20q@a:5432/d?application_name=a%20b",
                Some("require"),
                None,
            ),
        ] {
            let (found, options) = split(text).unwrap();
            assert_eq!(found, rest);
            assert_eq!(options.mode.as_deref(), mode, "{text}");
            assert_eq!(options.root, root.map(PathBuf::from), "{text}");
            Config::from_str(&found).unwrap();
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for (text, expected) in [
            ("host=a sslmode=allow", "sslmode is"),
            ("host=/tmp sslmode=verify-full", "Unix socket"),
            (
                "host=a sslmode=verify-full sslrootcert=/nonexistent",
                "/nonexistent",
            ),
            ("host='a", "does not end"),
            ("host", "no value"),
        ] {
            let said = Address::parse(text).err().unwrap();
            assert!(said.contains(expected), "{said}");
        }
    }
}
