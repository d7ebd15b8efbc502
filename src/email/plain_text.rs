//! The plain-text alternative of an HTML mail.

use html2text::config;
use html2text::render::TextDecorator;

/// Width at which paragraphs are folded, in characters (RFC 5322, section 2.1.1, recommends at most 78).
const WIDTH: usize = 76;

/// Longest line, in bytes (RFC 5322, section 2.1.1: 998 without CRLF).
const MAX_LINE_BYTES: usize = 998;

/// Gives the readable text of an HTML document; links show their URL after their text.
///
/// # Errors
/// Markup that html2text cannot lay out.
pub fn from_html(html: &str) -> Result<String, String> {
    let config = config::with_decorator(Plain::default())
        .raw_mode(true)
        .allow_width_overflow();
    // Laid out without folding, because html2text would fold inside URLs too.
    let text = config
        .string_from_read(prepare(html).as_bytes(), MAX_LINE_BYTES)
        .map_err(|error| format!("html: {error}"))?;
    Ok(fold(&text))
}

/// Drops what html2text does badly: control characters have no width for it, and a rule is as wide as the layout.
fn prepare(html: &str) -> String {
    let mut prepared = String::with_capacity(html.len());
    let mut rest = html;
    while let Some(at) =
        rest.find(|c: char| c == '<' || (c.is_control() && !matches!(c, '\n' | '\t')))
    {
        prepared.push_str(&rest[..at]);
        rest = &rest[at..];
        let is_rule = rest
            .as_bytes()
            .get(..3)
            .is_some_and(|name| name.eq_ignore_ascii_case(b"<hr"))
            && rest
                .as_bytes()
                .get(3)
                .is_none_or(|next| !next.is_ascii_alphanumeric());
        if is_rule {
            prepared.push_str("<p>----</p><br");
            rest = &rest[3..];
        } else {
            let mut characters = rest.chars();
            prepared.extend(characters.next().filter(|&c| c == '<'));
            rest = characters.as_str();
        }
    }
    prepared.push_str(rest);
    prepared
}

/// Folds paragraphs at [`WIDTH`], between words only; joins runs of empty lines.
fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len() + text.len() / 16);
    for line in text.lines() {
        let line = line.trim_end();
        if line.is_empty() {
            if !folded.is_empty() && !folded.ends_with("\n\n") {
                folded.push('\n');
            }
            continue;
        }
        fold_line(line, &mut folded);
    }
    folded.truncate(folded.trim_end().len());
    if !folded.is_empty() {
        folded.push('\n');
    }
    folded
}

fn fold_line(line: &str, folded: &mut String) {
    // Continuations repeat the quote marks and keep the indentation of the first line.
    let prefix_length = line
        .find(|c: char| !matches!(c, '>' | ' '))
        .unwrap_or(line.len())
        .min(WIDTH / 2);
    let (prefix, words) = line.split_at(prefix_length);
    let mut width = 0;
    for word in words.split(' ').filter(|word| !word.is_empty()) {
        for (part, word) in pieces(word, MAX_LINE_BYTES - prefix.len()).enumerate() {
            let word_width = word.chars().count();
            if width > 0 && (part > 0 || prefix_length + width + 1 + word_width > WIDTH) {
                folded.push('\n');
                width = 0;
            }
            if width == 0 {
                folded.push_str(prefix);
            } else {
                folded.push(' ');
                width += 1;
            }
            folded.push_str(word);
            width += word_width;
        }
    }
    folded.push('\n');
}

/// Cuts a word that is longer than a line may be.
fn pieces(word: &str, limit: usize) -> impl Iterator<Item = &str> {
    let mut rest = word;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (piece, tail) = rest.split_at(rest.floor_char_boundary(limit));
        rest = tail;
        Some(piece)
    })
}

/// Text without marks for emphasis; links as `text <URL>` (RFC 3986, appendix C).
#[derive(Debug, Default)]
struct Plain {
    open_links: Vec<String>,
}

impl TextDecorator for Plain {
    type Annotation = ();

    fn decorate_link_start(&mut self, url: &str) -> (String, ()) {
        self.open_links.push(url.trim().to_owned());
        (String::new(), ())
    }

    fn decorate_link_end(&mut self) -> String {
        match self.open_links.pop() {
            Some(url) if !url.is_empty() && !url.starts_with('#') => format!(" <{url}>"),
            _ => String::new(),
        }
    }

    fn decorate_em_start(&self) -> (String, ()) {
        (String::new(), ())
    }

    fn decorate_em_end(&self) -> String {
        String::new()
    }

    fn decorate_strong_start(&self) -> (String, ()) {
        (String::new(), ())
    }

    fn decorate_strong_end(&self) -> String {
        String::new()
    }

    fn decorate_strikeout_start(&self) -> (String, ()) {
        (String::new(), ())
    }

    fn decorate_strikeout_end(&self) -> String {
        String::new()
    }

    fn decorate_code_start(&self) -> (String, ()) {
        (String::new(), ())
    }

    fn decorate_code_end(&self) -> String {
        String::new()
    }

    fn decorate_preformat_first(&self) {}

    fn decorate_preformat_cont(&self) {}

    fn decorate_image(&mut self, _src: &str, title: &str) -> (String, ()) {
        (format!("[{title}]"), ())
    }

    fn header_prefix(&self, _level: usize) -> String {
        String::new()
    }

    fn quote_prefix(&self) -> String {
        "> ".to_owned()
    }

    fn unordered_item_prefix(&self) -> String {
        "* ".to_owned()
    }

    fn ordered_item_prefix(&self, number: i64) -> String {
        format!("{number}. ")
    }

    fn make_subblock_decorator(&self) -> Self {
        Plain::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_show_their_url_and_paragraphs_are_folded() {
        let words = "word ".repeat(40);
        let url = format!("https://example.org/{}", "x".repeat(200));
        let text = from_html(&format!(
            "<html><head><title>t</title><style>p {{}}</style></head><body><h1>Hello</h1><p>{words}</p>\
             <p>See <a href=\"{url}\">the shop</a>.</p><hr><ul><li>one<li>two</ul><a href='#top'>up</a></body></html>"
        ))
        .unwrap();
        assert!(text.starts_with("Hello\n\nword word"), "{text}");
        assert!(text.contains(&format!("<{url}>.\n")), "{text}");
        assert!(text.contains("\n----\n"), "{text}");
        assert!(text.contains("* one\n* two\n"), "{text}");
        assert!(text.ends_with("up\n"), "{text}");
        assert!(
            text.lines()
                .all(|line| line.chars().count() <= WIDTH || line.contains(&url)),
            "{text}"
        );
    }

    #[test]
    fn tables_are_read_cell_by_cell_without_borders() {
        let text = from_html(
            "<table><tr><td>a</td><td><table><tr><td>b</td></tr></table></td></tr></table>",
        )
        .unwrap();
        assert_eq!(text.split_whitespace().collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn control_characters_and_endless_words_do_no_harm() {
        let word = "é\u{1}".repeat(3_000);
        let text = from_html(&format!("<p>{word}</p><p>\u{7f}&#1;&#127;&#x200b;x</p>")).unwrap();
        assert!(text.lines().all(|line| line.len() <= MAX_LINE_BYTES));
        assert_eq!(text.chars().filter(|&c| c == 'é').count(), 3_000);
    }

    #[test]
    fn images_show_their_alternative_text_only() {
        assert_eq!(
            from_html("<img src=x alt=Logo><img src=y><p>z").unwrap(),
            "[Logo]\n\nz\n"
        );
    }
}
