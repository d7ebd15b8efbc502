use super::*;

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
    let directory = std::env::temp_dir().join(format!("silent-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join(".s.PGSQL.5432");
    let _ = std::fs::remove_file(&path);
    let _silent = tokio::net::UnixListener::bind(&path).unwrap();
    let text = format!("host={} user=u connect_timeout=1", directory.display());
    let error = Database::parse(&text).unwrap().connect().await.err();
    assert!(matches!(error, Some(DatabaseError::Timeout)), "{error:?}");
    std::fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn a_bad_connection_string_names_the_option() {
    let error = Database::parse("hostess=x password=secret")
        .err()
        .unwrap()
        .to_string();
    assert_eq!(error, "invalid connection string: unknown option `hostess`");
}
