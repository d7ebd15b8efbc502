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
    /// RFC 1870: the bytes that a mail may have; 0: no fixed number.
    pub(super) size: Option<u64>,
    pub(super) auth_plain: bool,
    pub(super) auth_login: bool,
    pub(super) auth_xoauth2: bool,
    pub(super) auth_oauthbearer: bool,
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
                Some("SIZE") => {
                    let limit = words.next().and_then(|limit| limit.parse().ok());
                    offered.size = Some(limit.unwrap_or(0));
                }
                Some("AUTH") => {
                    for mechanism in words {
                        offered.auth_plain |= mechanism == "PLAIN";
                        offered.auth_login |= mechanism == "LOGIN";
                        offered.auth_xoauth2 |= mechanism == "XOAUTH2";
                        offered.auth_oauthbearer |= mechanism == "OAUTHBEARER";
                    }
                }
                _ => {}
            }
        }
        offered
    }

    /// The most bytes that a mail may have, if the server has a fixed number.
    pub(super) fn size_limit(&self) -> Option<u64> {
        self.size.filter(|limit| *limit > 0)
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
                size: Some(1000),
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
        for (text, size, limit) in [
            ("250-mail\r\n250 SIZE\r\n", Some(0), None),
            ("250-mail\r\n250 SIZE 0\r\n", Some(0), None),
            ("250-mail\r\n250 SIZE many\r\n", Some(0), None),
            (
                "250-mail\r\n250 size 10240000\r\n",
                Some(10_240_000),
                Some(10_240_000),
            ),
        ] {
            let offered = parse(text);
            assert_eq!(
                (offered.size, offered.size_limit()),
                (size, limit),
                "{text}"
            );
        }
    }
}
