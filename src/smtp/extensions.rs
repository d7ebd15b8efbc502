//! What a server offers in its answer to EHLO (RFC 5321, section 4.1.1.1).

use super::reply::Reply;

/// The extensions that matter here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Extensions {
    pub(super) starttls: bool,
    /// RFC 2920: several commands in one write.
    pub(super) pipelining: bool,
    /// RFC 6531: addresses and headers in UTF-8.
    pub(super) smtputf8: bool,
    pub(super) auth_plain: bool,
    pub(super) auth_login: bool,
}

impl Extensions {
    pub(super) fn parse(ehlo: &Reply) -> Self {
        let mut offered = Extensions::default();
        for line in ehlo.lines().skip(1) {
            // AUTH=PLAIN is how servers older than RFC 4954 say it.
            let line = line.to_ascii_uppercase().replace("AUTH=", "AUTH ");
            let mut words = line.split_whitespace();
            match words.next() {
                Some("STARTTLS") => offered.starttls = true,
                Some("PIPELINING") => offered.pipelining = true,
                Some("SMTPUTF8") => offered.smtputf8 = true,
                Some("AUTH") => {
                    for mechanism in words {
                        offered.auth_plain |= mechanism == "PLAIN";
                        offered.auth_login |= mechanism == "LOGIN";
                    }
                }
                _ => {}
            }
        }
        offered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_are_found_in_any_case_and_not_in_the_greeting() {
        let parse = |text: &str| {
            let mut input = text.as_bytes().to_vec();
            Extensions::parse(&Reply::take(&mut input).unwrap().unwrap())
        };
        assert_eq!(
            parse(
                "250-mail starttls\r\n250-Pipelining\r\n250-SIZE 1000\r\n250-auth=login\r\n250 SMTPUTF8\r\n"
            ),
            Extensions {
                pipelining: true,
                smtputf8: true,
                auth_login: true,
                ..Extensions::default()
            }
        );
        assert_eq!(
            parse("250-STARTTLS\r\n250-AUTH CRAM-MD5 PLAIN\r\n250 STARTTLS\r\n"),
            Extensions {
                starttls: true,
                auth_plain: true,
                ..Extensions::default()
            }
        );
        assert_eq!(parse("250 STARTTLS\r\n"), Extensions::default());
    }
}
