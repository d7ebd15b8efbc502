use super::*;

fn smtp(url: &str) -> (String, u16, Tls, Option<String>) {
    let config = TransportConfig::parse(url).unwrap();
    let smtp = config.smtp().unwrap();
    (smtp.host.clone(), smtp.port, smtp.tls, smtp.user.clone())
}

#[test]
fn defaults_follow_host_and_scheme() {
    for (url, host, port, tls, user) in [
        (
            "smtp://127.0.0.1:1025",
            "127.0.0.1",
            1025,
            Tls::Opportunistic,
            None,
        ),
        (
            "smtp://localhost",
            "localhost",
            25,
            Tls::Opportunistic,
            None,
        ),
        ("smtp://[::1]/", "::1", 25, Tls::Opportunistic, None),
        (
            "smtp://mail.example.org",
            "mail.example.org",
            587,
            Tls::Required,
            None,
        ),
        (
            "smtp://mail.example.org?tls=none",
            "mail.example.org",
            25,
            Tls::None,
            None,
        ),
        (
            "smtp://mail.example.org:2525?tls=opportunistic",
            "mail.example.org",
            2525,
            Tls::Opportunistic,
            None,
        ),
        (
            "smtps://a%2Bb%40x.org@mail.example.org",
            "mail.example.org",
            465,
            Tls::Implicit,
            Some("a+b@x.org"),
        ),
        (
            "smtp://a+b@mail.example.org",
            "mail.example.org",
            587,
            Tls::Required,
            Some("a+b"),
        ),
        (
            "smtp://user@localhost?tls=none",
            "localhost",
            25,
            Tls::None,
            Some("user"),
        ),
    ] {
        assert_eq!(
            smtp(url),
            (host.to_owned(), port, tls, user.map(str::to_owned)),
            "{url}"
        );
    }
}

#[test]
fn the_name_of_this_machine_can_be_given() {
    for name in ["news.shop.example", "[192.0.2.7]", "[IPv6:2001:db8::7]"] {
        let url = format!("smtps://mail.example.org?ehlo={name}");
        let config = TransportConfig::parse(&url).unwrap();
        assert_eq!(config.smtp().unwrap().ehlo.as_deref(), Some(name));
    }
}

#[test]
fn directories_are_absolute() {
    let config = TransportConfig::parse("file:///var/spool/mail%20out").unwrap();
    assert_eq!(config.directory(), Some(Path::new("/var/spool/mail out")));
    for url in ["file://host/x", "file:///x?y=1", "file:///x#y"] {
        assert_eq!(
            TransportConfig::parse(url).unwrap_err(),
            ConfigError::Directory,
            "{url}"
        );
    }
}

#[test]
fn mistakes_are_named_without_the_password() {
    for url in [
        "",
        "mail.example.org",
        "http://u:s3cret@mail.example.org",
        "smtp://u:s3cret@mail.example.org",
        "smtp://",
        "smtp://mail.example.org/path",
        "smtp://mail.example.org#x",
        "smtp://mail.example.org?tls=s3cure",
        "smtps://mail.example.org?tls=none",
        "smtp://mail.example.org?password=s3cret",
        "smtp://mail.example.org?ca=relative.pem",
        "smtp://mail.example.org?ehlo=localhost",
        "smtp://mail.example.org?ehlo=a.example%0d%0aRSET",
        "smtp://mail.example.org?ehlo=[192.0.2.777]",
        "smtp://mail.example.org?ehlo=",
        "smtp://user@mail.example.org?auth=plain",
        "smtp://mail.example.org?auth=xoauth2",
        "smtp://user@mail.example.org?auth=xoauth2&tls=opportunistic",
        "smtp://user@mail.example.org?tls=none",
        "smtp://user@mail.example.org?tls=opportunistic",
        "smtp://%ff@mail.example.org",
        "smtp://a%0d%0ab@mail.example.org",
        "smtp://mail.example.org:99999",
    ] {
        let error = TransportConfig::parse(url).unwrap_err();
        assert!(
            !format!("{error}{error:?}").contains("s3cret"),
            "{url}: {error}"
        );
        assert!(error.to_string().starts_with("smtp_url "), "{url}: {error}");
    }
    assert_eq!(
        TransportConfig::parse("smtp://u:p@x.org").unwrap_err(),
        ConfigError::PasswordInUrl
    );
}
