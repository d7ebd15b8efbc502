use tempfile::NamedTempFile;

use super::*;
use crate::mail::provider::Provider;

fn file(text: &str) -> NamedTempFile {
    let file = NamedTempFile::new().unwrap();
    std::fs::write(&file, text).unwrap();
    file
}

fn path(file: &NamedTempFile) -> &str {
    file.path().to_str().unwrap()
}

fn parse(arguments: &[&str]) -> Options {
    Options::try_parse_from([&["proxy"], arguments].concat()).unwrap()
}

#[test]
fn a_flag_overrides_the_file_and_the_file_the_default() {
    let file = file(
        "database = \"host=file\"\nlisten = \"unix:/run/file.sock\"\nconnections = 5\n\
         trusted-proxies = [\"10.0.0.0/8\", \"::1/128\"]\nforwarded-header = \"forwarded\"\nlog-format = \"json\"\n",
    );
    let options = parse(&["--config", path(&file), "--connections", "3"]);
    let options = options.with_file().unwrap();
    let settings = options.settings().unwrap();
    assert_eq!(settings.database, "host=file");
    assert_eq!(settings.listen.to_string(), "unix:/run/file.sock");
    assert_eq!(settings.connections, 3);
    assert_eq!(settings.trust.proxies.len(), 2);
    assert_eq!(settings.trust.header, ForwardedHeader::Forwarded);
    assert_eq!(options.log_format, Some(LogFormat::Json));
    assert!(settings.spool.is_none() && settings.tls.is_none());
}

#[test]
fn what_is_wrong_is_named_without_secrets() {
    for (text, expected) in [
        ("colour = 'red'", "unknown field `colour`"),
        ("\nconnections = 'password=secret'", "(line 2)"),
        ("database = 'secret", "is not valid"),
    ] {
        let file = file(text);
        let error = parse(&["--config", path(&file)]).with_file().unwrap_err();
        let said = error.to_string();
        assert!(said.contains(expected), "{said}");
        assert!(!said.contains("secret\n"), "{said}");
    }
    for (arguments, expected) in [
        (
            &["--config", "/nonexistent.toml"][..],
            "cannot read the configuration",
        ),
        (&[], "no database is given"),
        (&["--database", "host=x", "--connections", "17"], "1 to 16"),
        (&["--database", "host=x", "--threads", "0"], "1 to 64"),
        (
            &["--database", "host=x", "--tls-key", "/k"],
            "belong together",
        ),
        (
            &[
                "--database",
                "host=x",
                "--bounce-token-file",
                "/nonexistent.token",
            ],
            "--bounce-token-file: /nonexistent.token",
        ),
        (
            &[
                "--database",
                "host=x",
                "--listen",
                "unix:/s",
                "--tls-key",
                "/k",
                "--tls-certificate",
                "/c",
            ],
            "Unix socket",
        ),
        (
            &[
                "--database",
                "host=x",
                "--tls-key",
                "/k",
                "--tls-certificate",
                "/nonexistent.pem",
            ],
            "/nonexistent.pem",
        ),
    ] {
        let said = parse(arguments)
            .with_file()
            .and_then(|options| options.settings())
            .unwrap_err()
            .to_string();
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn every_option_is_explained() {
    use clap::CommandFactory;
    let command = Options::command();
    for argument in command.get_arguments() {
        assert!(argument.get_help().is_some(), "{}", argument.get_id());
    }
    command.debug_assert();
}

#[test]
fn providers_are_known_by_files() {
    let secret = file("0123456789abcdef0123456789abcdef\n");
    let brevo = [
        "--database",
        "host=x",
        "--brevo-credential-file",
        path(&secret),
    ];
    let settings = parse(&brevo).settings().unwrap();
    assert!(settings.providers.has(Provider::Brevo) && settings.providers.any());
    assert!(!settings.providers.has(Provider::Ses));
    let nobody = parse(&["--database", "host=x"]).settings().unwrap();
    assert!(!nobody.providers.any());
    let topic = "arn:aws:sns:eu-west-1:123456789012:bounces";
    for (arguments, expected) in [
        (
            ["--ses-certificate", path(&secret), "--threads", "1"],
            "needs --ses-topics",
        ),
        (
            ["--ses-topics", topic, "--ses-certificate", path(&secret)],
            "the certificate is none that SNS signs with",
        ),
        (
            [
                "--ses-topics",
                "bounces",
                "--ses-certificate",
                path(&secret),
            ],
            "named by their ARNs",
        ),
        (
            ["--sendgrid-key-file", path(&secret), "--threads", "1"],
            "must hold the verification key",
        ),
        (
            ["--mailgun-key-file", "/nonexistent", "--threads", "1"],
            "/nonexistent: ",
        ),
    ] {
        let arguments = [&["--database", "host=x"][..], &arguments].concat();
        let said = parse(&arguments).settings().unwrap_err().to_string();
        assert!(said.contains(expected) && !said.contains("0123"), "{said}");
    }
}
