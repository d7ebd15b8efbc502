//! A mail as a document for browsers.

use super::html_tokens::{Token, Tokens};

/// Makes a document of an HTML that is none: what has no head a phone shows as small as a screen on a desk, and names by its address.
pub fn document(html: String, title: &str) -> String {
    let has_type = html
        .trim_start()
        .get(.."<!doctype".len())
        .is_some_and(|start| start.eq_ignore_ascii_case("<!doctype"));
    let is_part = |name: &str| {
        ["html", "head", "body"]
            .iter()
            .any(|part| part.eq_ignore_ascii_case(name))
    };
    let has_parts = Tokens::new(&html)
        .any(|(_, token)| matches!(token, Token::Start(tag) if is_part(tag.name)));
    if has_type || has_parts {
        return html;
    }
    format!(
        "<!doctype html>\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{}</title>\n{html}",
        html_escape::encode_text(title)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_document_becomes_one() {
        for whole in [
            "<HTML>x",
            " <!DOCTYPE html><p>",
            "<!-- --><body>é</body>",
            "<head><title>x</title></head>",
        ] {
            assert_eq!(document(whole.to_owned(), "s"), whole);
        }
        for part in ["<p>é</p>", "<header>x</header>", "<!-- <html> -->", ""] {
            let shown = document(part.to_owned(), "a </title><b>");
            assert!(shown.starts_with("<!doctype html>\n<meta name=\"viewport\""));
            assert!(shown.ends_with(&format!("<title>a &lt;/title&gt;&lt;b&gt;</title>\n{part}")));
        }
    }
}
