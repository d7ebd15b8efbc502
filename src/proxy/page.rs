//! The unsubscribe page: semantic HTML, no scripts, nothing loaded from elsewhere, readable on a phone.

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use super::wording::{Wording, wording};

const STYLE: &str = "\
:root{color-scheme:light dark}\
body{margin:0;padding:2rem 1.25rem;font:1.125rem/1.5 system-ui,sans-serif}\
main{max-width:32rem;margin:0 auto}\
h1{font-size:1.5rem;line-height:1.25;margin:0 0 1rem}\
p{margin:0 0 1.5rem;overflow-wrap:anywhere}\
button{font:inherit;font-weight:600;min-height:3rem;padding:.5rem 1.5rem;border:0;border-radius:.5rem;\
background:#1d4ed8;color:#fff;cursor:pointer}\
button:focus-visible{outline:.2rem solid #f59e0b;outline-offset:.15rem}";

/// The Content-Security-Policy of the page: its own style and nothing else. `form-action` names all web sites because
/// browsers apply it to the redirect that follows the form too, and that goes where the mail's author says.
pub static CONTENT_SECURITY_POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = STANDARD.encode(Sha256::digest(STYLE));
    format!(
        "default-src 'none'; style-src 'sha256-{hash}'; form-action 'self' https: http:; base-uri 'none'; \
         frame-ancestors 'none'"
    )
});

/// The page before unsubscribing: a question and one button, which posts to the page's own URL; or the news that there
/// is nothing left to do.
pub fn before(language: Option<&str>, scenario: &str, unsubscribed: bool) -> String {
    let words = wording(language);
    if unsubscribed {
        let content = heading_and_text(words.already, words.effect, scenario);
        return document(words, words.already, &content);
    }
    let content = format!(
        "{}<form method=\"post\"><button type=\"submit\">{}</button></form>\n",
        heading_and_text(words.title, words.question, scenario),
        escape(words.button)
    );
    document(words, words.title, &content)
}

/// The page after unsubscribing.
pub fn after(language: Option<&str>, scenario: &str) -> String {
    let words = wording(language);
    document(
        words,
        words.done,
        &heading_and_text(words.done, words.effect, scenario),
    )
}

/// The page for a link that leads nowhere. Which of its parts is wrong, it does not say.
pub fn not_found(language: Option<&str>) -> String {
    let words = wording(language);
    message(words, words.not_found, words.check_link)
}

/// The page while the database is away.
pub fn unavailable(language: Option<&str>) -> String {
    let words = wording(language);
    message(words, words.unavailable, words.try_later)
}

/// The answer to a mail client that unsubscribed by itself (RFC 8058): one line of text.
pub fn one_click(language: Option<&str>) -> String {
    format!("{}\n", wording(language).done)
}

fn message(words: &Wording, heading: &str, text: &str) -> String {
    // Without a place for the scenario's name, which is nobody's business here.
    document(words, heading, &heading_and_text(heading, text, ""))
}

fn document(words: &Wording, title: &str, content: &str) -> String {
    let direction = if words.right_to_left { "rtl" } else { "ltr" };
    format!(
        "<!doctype html>\n<html lang=\"{}\" dir=\"{direction}\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"robots\" content=\"noindex\">\n<title>{}</title>\n<style>{STYLE}</style>\n</head>\n\
         <body>\n<main>\n{content}</main>\n</body>\n</html>\n",
        words.language,
        escape(title),
    )
}

fn heading_and_text(heading: &str, text: &str, scenario: &str) -> String {
    // The name is in whatever script its author writes; <bdi> keeps it from turning the sentence around.
    let name = format!("<bdi>{}</bdi>", escape(scenario));
    format!(
        "<h1>{}</h1>\n<p>{}</p>\n",
        escape(heading),
        escape(text).replacen("{}", &name, 1)
    )
}

/// Makes text safe in HTML content and in quoted attributes.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_has_one_button_and_posts_to_its_own_url() {
        let page = before(Some("en"), "welcome", false);
        assert_eq!(page.matches("<button").count(), 1);
        assert!(page.contains("<form method=\"post\">"));
        assert!(page.contains("from “<bdi>welcome</bdi>”?"));
    }

    #[test]
    fn nothing_is_left_to_do_when_unsubscribed() {
        for page in [
            before(Some("en"), "welcome", true),
            after(Some("en"), "welcome"),
        ] {
            assert!(!page.contains("<form"), "{page}");
        }
        assert!(
            before(Some("en"), "welcome", true).contains("<h1>You are already unsubscribed</h1>")
        );
    }

    #[test]
    fn language_and_direction_follow_the_recipient() {
        assert!(before(Some("ar-EG"), "welcome", false).contains("<html lang=\"ar\" dir=\"rtl\">"));
        assert!(before(Some("de"), "welcome", false).contains("<html lang=\"de\" dir=\"ltr\">"));
        assert_eq!(one_click(Some("de")), "Sie sind abgemeldet\n");
    }

    #[test]
    fn a_hostile_name_stays_text() {
        let page = before(
            Some("\"><script>"),
            "</bdi>{}<script>alert('1')</script>&\"",
            false,
        );
        assert!(!page.contains("<script"));
        assert!(
            page.contains(
                "&lt;/bdi&gt;{}&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&amp;&quot;"
            )
        );
    }

    #[test]
    fn refusals_are_translated_and_offer_no_form() {
        for page in [not_found(Some("fr-CA")), unavailable(Some("fr-CA"))] {
            assert!(page.contains("<html lang=\"fr\""), "{page}");
            assert!(!page.contains("<form") && !page.contains("{}"), "{page}");
        }
    }

    #[test]
    fn pages_need_nothing_from_elsewhere() {
        let page = before(Some("fr"), "bienvenue", false);
        for forbidden in ["src=", "href=", "url(", "@import", "style=", "onclick"] {
            assert!(!page.contains(forbidden), "{forbidden}");
        }
        assert!(CONTENT_SECURITY_POLICY.contains("style-src 'sha256-"));
    }
}
