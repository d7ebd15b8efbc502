use tempfile::TempDir;
use tokio::net::UnixListener;

use super::*;

/// A server that accepts and is silent.
pub struct Silent {
    directory: TempDir,
    _listener: UnixListener,
}

impl Silent {
    pub fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(directory.path().join(".s.PGSQL.5432")).unwrap();
        Self {
            directory,
            _listener: listener,
        }
    }

    pub fn database(&self, options: &str) -> Database {
        let directory = self.directory.path().display();
        Database::parse(&format!("host={directory} user=u {options}")).unwrap()
    }
}

#[test]
fn connection_strings_and_urls_are_understood() {
    for (text, name) in [
        (
            "host=db.example dbname=shop user=proxy",
            "shop on db.example",
        ),
        (
            "postgresql://proxy:secret@db.example/shop",
            "shop on db.example",
        ),
        ("dbname=shop", "shop on /var/run/postgresql"),
        ("user=proxy", "proxy on /var/run/postgresql"),
    ] {
        assert_eq!(Database::parse(text).unwrap().name(), name);
    }
}

#[test]
fn every_host_has_its_time() {
    for (text, seconds) in [
        ("host=a", 5),
        ("host=a,b,c", 9),
        ("host=a connect_timeout=10", 13),
        ("dbname=shop", 5),
    ] {
        let limit = Database::parse(text).unwrap().start_timeout();
        assert_eq!(limit.as_secs(), seconds, "{text}");
    }
}

#[tokio::test]
async fn a_server_that_accepts_and_is_silent_is_given_up() {
    let silent = Silent::start();
    let error = silent.database("connect_timeout=1").connect().await.err();
    assert!(matches!(error, Some(DatabaseError::Timeout)), "{error:?}");
}

#[test]
fn a_bad_connection_string_names_the_option() {
    let error = Database::parse("hostess=x password=secret")
        .err()
        .unwrap()
        .to_string();
    assert_eq!(error, "invalid connection string: unknown option `hostess`");
}
