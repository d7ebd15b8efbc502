//! Passwords and access tokens.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::*;

#[tokio::test]
async fn passwords_go_by_auth_login_where_there_is_no_auth_plain() {
    let server = Server::start(&[
        ("EHLO", Do::Say("250-test\r\n250 AUTH CRAM-MD5 LOGIN\r\n")),
        ("AUTH", Do::Say("334 VXNlcm5hbWU6\r\n")),
        ("dXNlcg==", Do::Say("334 UGFzc3dvcmQ6\r\n")),
        ("c2VjcmV0", Do::Say("235 2.7.0 welcome\r\n")),
    ])
    .await;
    let config = TransportConfig::parse(&format!("smtp://user@127.0.0.1:{}", server.port))
        .unwrap()
        .with_password("secret".to_owned());
    config.connect(STEP).await.unwrap().quit().await;
    let log = server.log().await;
    assert!(
        log.contains("AUTH LOGIN\r\ndXNlcg==\r\nc2VjcmV0\r\nQUIT"),
        "{log}"
    );
}

#[tokio::test]
async fn passwords_go_to_the_server_and_nowhere_else() {
    let secret = "s3cret-pässword";
    for (script, succeeds) in [
        (&[] as &[_], true),
        (
            &[("AUTH", Do::Say("535 5.7.8 bad: s3cret-pässword\r\n"))],
            false,
        ),
        (
            &[(
                "AUTH",
                Do::Say("535 5.7.8 bad: AHVzZXJAZXhhbXBsZS5vcmcAczNjcmV0LXDDpHNzd29yZA==\r\n"),
            )],
            false,
        ),
        (&[("EHLO", Do::Say("250 test\r\n"))], false),
    ] {
        let server = Server::start(script).await;
        let url = format!("smtp://user%40example.org@127.0.0.1:{}", server.port);
        let config = TransportConfig::parse(&url)
            .unwrap()
            .with_password(secret.to_owned());
        assert!(!format!("{config:?}{config:#?}").contains("s3cret"));
        match config.connect(STEP).await {
            Ok(connection) => {
                assert!(succeeds);
                assert!(!format!("{connection:?}").contains("s3cret"));
            }
            Err(error) => {
                assert!(!succeeds, "{error}");
                assert_eq!(error.kind, SendErrorKind::Connection);
                let shown = format!("{error} {error:?}");
                assert!(
                    !shown.contains("s3cret") && !shown.contains("czNjcmV0LX"),
                    "{shown}"
                );
            }
        }
        if succeeds {
            assert!(
                server
                    .log()
                    .await
                    .contains("AUTH PLAIN AHVzZXJAZXhhbXBsZS5vcmcAczNjcmV0LXDDpHNzd29yZA==")
            );
        }
    }
    let server = Server::start(&[]).await;
    let config = TransportConfig::parse(&format!("smtp://user@127.0.0.1:{}", server.port)).unwrap();
    let error = config.connect(STEP).await.unwrap_err();
    assert!(error.message.contains("smtp_password_file"), "{error}");
}

/// A configuration whose token file holds this.
fn with_token(url: &str, text: &str) -> (TransportConfig, tempfile::NamedTempFile) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, text).unwrap();
    let config = TransportConfig::parse(url).unwrap();
    assert!(config.wants_token());
    (config.with_token_file(file.path().to_owned()), file)
}

#[tokio::test]
async fn access_tokens_go_by_the_mechanism_that_the_url_names() {
    const BEARER: &str =
        "n,a=a=3Db@shop.example,\x01host=127.0.0.1\x01port=PORT\x01auth=Bearer ya29.a0-_~\x01\x01";
    let script = &[(
        "EHLO",
        Do::Say("250-test\r\n250 AUTH PLAIN XOAUTH2 OAUTHBEARER\r\n"),
    )];
    for (mechanism, said) in [
        (
            "XOAUTH2",
            "user=a=b@shop.example\x01auth=Bearer ya29.a0-_~\x01\x01",
        ),
        ("OAUTHBEARER", BEARER),
    ] {
        let server = Server::start(script).await;
        let port = server.port;
        let url = format!(
            "smtp://a%3Db%40shop.example@127.0.0.1:{port}?auth={}",
            mechanism.to_lowercase()
        );
        let (config, _file) = with_token(&url, "ya29.a0-_~ \nrenewed by a timer\n");
        config.connect(STEP).await.unwrap().quit().await;
        let said = STANDARD.encode(said.replace("PORT", &port.to_string()));
        let log = server.log().await;
        assert!(
            log.contains(&format!("AUTH {mechanism} {said}\r\nQUIT")),
            "{log}"
        );
    }
}

#[tokio::test]
async fn a_token_that_is_refused_is_told_with_the_reason_and_without_itself() {
    // {"status":"401","schemes":"bearer"}
    const CHALLENGE: Do = Do::Say("334 eyJzdGF0dXMiOiI0MDEiLCJzY2hlbWVzIjoiYmVhcmVyIn0=\r\n");
    for (mechanism, word, script) in [
        (
            "xoauth2",
            "",
            &[
                ("EHLO", Do::Say("250-test\r\n250 AUTH XOAUTH2\r\n")),
                ("AUTH", CHALLENGE),
                ("", Do::Say("535 5.7.8 not accepted\r\n")),
            ],
        ),
        (
            "oauthbearer",
            "AQ==",
            &[
                ("EHLO", Do::Say("250-test\r\n250 AUTH OAUTHBEARER\r\n")),
                ("AUTH", CHALLENGE),
                ("AQ==", Do::Say("535 5.7.8 not accepted\r\n")),
            ],
        ),
    ] {
        let server = Server::start(script).await;
        let url = format!("smtp://user@127.0.0.1:{}?auth={mechanism}", server.port);
        let (config, _file) = with_token(&url, "s3cret-token");
        let error = config.connect(STEP).await.unwrap_err();
        assert_eq!(error.code, Some(535));
        assert_eq!(error.kind, SendErrorKind::Connection);
        for part in [
            "5.7.8 not accepted",
            r#"{"status":"401","schemes":"bearer"}"#,
        ] {
            assert!(error.message.contains(part), "{error}");
        }
        assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
        let log = server.log().await;
        assert!(log.ends_with(&format!("\r\n{word}\r\n")), "{log}");
    }
}

#[tokio::test]
async fn what_is_no_token_is_told_before_it_is_said() {
    let offers = &[("EHLO", Do::Say("250-test\r\n250 AUTH XOAUTH2\r\n"))];
    for (text, mode, expected) in [
        ("", 0o600, "is empty"),
        ("{\"access_token\": \"s3cret\"}", 0o600, "no access token"),
        ("s3cret", 0o644, "0600"),
    ] {
        let server = Server::start(offers).await;
        let url = format!("smtp://user@127.0.0.1:{}?auth=xoauth2", server.port);
        let (config, file) = with_token(&url, text);
        std::fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
        let error = config.connect(STEP).await.unwrap_err();
        assert!(error.message.contains(expected), "{error}");
        assert!(!error.message.contains("s3cret"), "{error}");
        assert!(!server.log().await.contains("AUTH"));
    }
    // The password of a user is not said where a token is asked for, nor a token where it is not offered.
    for (script, expected) in [
        (&[] as &[_], "does not offer AUTH XOAUTH2"),
        (offers, "has no access token"),
    ] {
        let server = Server::start(script).await;
        let url = format!("smtp://user@127.0.0.1:{}?auth=xoauth2", server.port);
        let (config, _file) = with_token(&url, "s3cret");
        let config = match script.is_empty() {
            true => config,
            false => config.with_password("s3cret".to_owned()),
        };
        let error = config.connect(STEP).await.unwrap_err();
        assert!(error.message.contains(expected), "{error}");
        assert!(!server.log().await.contains("AUTH"));
    }
}

#[tokio::test]
async fn a_long_token_is_said_when_it_is_asked_for_and_an_echo_of_its_beginning_is_not_told() {
    let token = "s3cret-token-".repeat(60);
    let response = STANDARD.encode(format!("user=user\x01auth=Bearer {token}\x01\x01"));
    // Scripts are static, as tests end with their process.
    let echo: &'static str = Box::leak(format!("535 5.7.8 {response}\r\n").into_boxed_str());
    let first: &'static str = Box::leak(response.clone().into_boxed_str());
    for refuses in [false, true] {
        let script: &'static [(&str, Do)] = Box::leak(Box::new([
            ("EHLO", Do::Say("250-test\r\n250 AUTH XOAUTH2\r\n")),
            ("AUTH", Do::Say("334 \r\n")),
            (
                first,
                Do::Say(if refuses { echo } else { "235 welcome\r\n" }),
            ),
        ]));
        let server = Server::start(script).await;
        let url = format!("smtp://user@127.0.0.1:{}?auth=xoauth2", server.port);
        let (config, _file) = with_token(&url, &token);
        match config.connect(STEP).await {
            Ok(connection) => {
                assert!(!refuses);
                connection.quit().await;
                let said = format!("AUTH XOAUTH2\r\n{response}\r\nQUIT");
                assert!(server.log().await.contains(&said));
            }
            Err(error) => {
                assert!(refuses, "{error}");
                assert_eq!(error.message, "AUTH: the server refused the access token");
            }
        }
    }
}
