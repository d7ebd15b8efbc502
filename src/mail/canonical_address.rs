//! The canonical spelling of a mail address, under which addresses are suppressed and limited: it is the same for all spellings of
//! one mailbox.

/// Gives an address in the spelling by which it is compared: without surrounding blanks, in lower case, an
/// internationalised domain as punycode (RFC 5891), without the dot of the DNS root.
///
/// RFC 5321, section 2.4, lets a server tell `Ada@` from `ada@`; hardly any does, and a person who asked for no more
/// mail must not get it for a capital letter. What is no address is compared as it is.
pub fn canonical(address: &str) -> String {
    let address = address.trim();
    let Some((local, domain)) = address.rsplit_once('@') else {
        return address.to_lowercase();
    };
    format!("{}@{}", local.to_lowercase(), canonical_domain(domain))
}

/// Gives the domain of an address as [`canonical`] spells it; None without one.
pub fn domain(address: &str) -> Option<String> {
    let (_, domain) = address.trim().rsplit_once('@')?;
    Some(canonical_domain(domain)).filter(|domain| !domain.is_empty())
}

/// Gives a domain as [`canonical`] spells it.
pub fn canonical_domain(domain: &str) -> String {
    let domain = domain.trim().trim_end_matches('.');
    if !domain.is_ascii()
        && let Ok(url::Host::Domain(ascii)) = url::Host::parse(domain)
    {
        return ascii;
    }
    domain.to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_mailbox_are_alike() {
        for (address, expected) in [
            ("ada@example.org", "ada@example.org"),
            (" Ada@Example.ORG ", "ada@example.org"),
            ("ada@example.org.", "ada@example.org"),
            ("zoë@BÜCHER.example", "zoë@xn--bcher-kva.example"),
            ("zoë@xn--bcher-kva.example", "zoë@xn--bcher-kva.example"),
            ("\"a@b\"@example.org", "\"a@b\"@example.org"),
            ("Nobody", "nobody"),
            ("", ""),
        ] {
            assert_eq!(canonical(address), expected, "{address:?}");
        }
        assert_ne!(
            canonical("ada+shop@example.org"),
            canonical("ada@example.org")
        );
    }

    #[test]
    fn a_domain_is_what_stands_after_the_last_at() {
        assert_eq!(
            domain("\"a@b\"@Example.org").as_deref(),
            Some("example.org")
        );
        assert_eq!(
            domain("ada@bücher.example").as_deref(),
            Some("xn--bcher-kva.example")
        );
        for address in ["", "ada", "ada@", "ada@."] {
            assert_eq!(domain(address), None, "{address:?}");
        }
    }
}
