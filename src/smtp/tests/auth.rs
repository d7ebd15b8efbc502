//! Passwords.

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
