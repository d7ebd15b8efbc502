//! The plain-text alternative of an HTML mail.
//!
//! One pass over the tags. A tree builder with a layout engine (html2text) was tried: it took 320 of the 400 µs of
//! rendering a mail, and slowed down with depth times tags.

mod fold;

use crate::email::markup::{Tag, Token, Tokens};
use fold::Folder;

/// Deepest nesting of lists and quotes that shows; more would leave no room for text.
const MAX_INDENTS: usize = 10;

/// Gives the readable text of an HTML document, folded; links show their URL after their text.
pub fn from_html(html: &str) -> String {
    let mut writer = Writer::default();
    for (_, token) in Tokens::new(html) {
        match token {
            Token::Text(text) => writer.text(&html_escape::decode_html_entities(text)),
            Token::Start(tag) => writer.start(&tag),
            Token::End(name) => writer.end(name),
        }
    }
    writer.finish()
}

/// What surrounds the text and shows at the beginning of its lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Indent {
    Quote,
    Bullets,
    /// With the number of the next item.
    Numbers(usize),
}

#[derive(Debug, Default)]
struct Writer {
    out: Folder,
    indents: Vec<Indent>,
    /// The target of the link that is open.
    link: Option<String>,
    /// How many `<pre>` are open.
    preformatted: usize,
}

impl Writer {
    fn text(&mut self, text: &str) {
        if self.preformatted == 0 {
            self.out.text(text);
            return;
        }
        for (number, line) in text.split('\n').enumerate() {
            if number > 0 {
                self.out.end_line();
            }
            self.out.verbatim(line);
        }
    }

    fn start(&mut self, tag: &Tag<'_>) {
        match Kind::of(tag.name) {
            Kind::Link => {
                self.end_link();
                self.link = tag.attribute("href").map(|url| url.trim().to_owned());
            }
            Kind::Image => {
                if let Some(alternative) =
                    tag.attribute("alt").filter(|text| !text.trim().is_empty())
                {
                    self.out.text(&format!("[{}]", alternative.trim()));
                }
            }
            Kind::Break => self.out.end_line(),
            Kind::Rule => {
                self.out.end_paragraph();
                self.out.text("----");
                self.out.end_paragraph();
            }
            Kind::Quote => self.indent(Indent::Quote),
            Kind::Bullets => self.indent(Indent::Bullets),
            Kind::Numbers => self.indent(Indent::Numbers(1)),
            Kind::Item => self.item(),
            Kind::Preformatted => {
                self.out.end_paragraph();
                self.preformatted += 1;
            }
            Kind::Paragraph => self.out.end_paragraph(),
            Kind::Block => self.out.end_line(),
            Kind::Cell => self.out.text(" "),
            Kind::Inline => {}
        }
    }

    fn end(&mut self, name: &str) {
        match Kind::of(name) {
            Kind::Link => self.end_link(),
            Kind::Quote => self.outdent(|indent| indent == Indent::Quote),
            Kind::Bullets => self.outdent(|indent| indent == Indent::Bullets),
            Kind::Numbers => self.outdent(|indent| matches!(indent, Indent::Numbers(_))),
            Kind::Preformatted => {
                self.out.end_paragraph();
                self.preformatted = self.preformatted.saturating_sub(1);
            }
            Kind::Paragraph => self.out.end_paragraph(),
            Kind::Block | Kind::Item => self.out.end_line(),
            Kind::Cell => self.out.text(" "),
            Kind::Image | Kind::Break | Kind::Rule | Kind::Inline => {}
        }
    }

    /// Shows the target behind the text (RFC 3986, appendix C), unless it is a place in the mail itself.
    fn end_link(&mut self) {
        let Some(url) = self.link.take() else { return };
        if url.is_empty() || url.starts_with('#') {
            return;
        }
        let shown = url
            .strip_prefix("mailto:")
            .or_else(|| url.strip_prefix("tel:"))
            .unwrap_or(&url);
        if !self.out.ends_with_word(shown) {
            self.out.text(&format!(" <{url}>"));
        }
    }

    fn indent(&mut self, indent: Indent) {
        // A list in a list belongs to its item, without an empty line.
        match self.indents.is_empty() || indent == Indent::Quote {
            true => self.out.end_paragraph(),
            false => self.out.end_line(),
        }
        self.indents.push(indent);
        self.set_prefix();
    }

    fn outdent(&mut self, is_open: impl Fn(Indent) -> bool) {
        if let Some(at) = self.indents.iter().rposition(|&indent| is_open(indent)) {
            self.indents.truncate(at);
        }
        match self.indents.is_empty() {
            true => self.out.end_paragraph(),
            false => self.out.end_line(),
        }
        self.set_prefix();
    }

    fn item(&mut self) {
        self.out.end_line();
        let marker = match self.indents.last_mut() {
            Some(Indent::Numbers(next)) => {
                *next += 1;
                format!("{}. ", *next - 1)
            }
            _ => "* ".to_owned(),
        };
        self.out.marker(marker);
    }

    fn set_prefix(&mut self) {
        let shown = self.indents.len().min(MAX_INDENTS);
        let mut prefix = String::new();
        for (depth, indent) in self.indents[..shown].iter().enumerate() {
            match indent {
                Indent::Quote => prefix.push_str("> "),
                // The innermost list is indented by its markers.
                _ if depth + 1 < shown => prefix.push_str("  "),
                _ => {}
            }
        }
        self.out.set_prefix(prefix);
    }

    fn finish(mut self) -> String {
        self.end_link();
        self.out.finish()
    }
}

/// What an element does to the text around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Inline,
    Link,
    Image,
    Break,
    Rule,
    Quote,
    Bullets,
    Numbers,
    Item,
    Preformatted,
    /// Stands apart, with an empty line around it.
    Paragraph,
    /// Begins on a line of its own.
    Block,
    /// Stands beside its neighbour.
    Cell,
}

impl Kind {
    fn of(name: &str) -> Kind {
        let mut lower = [0; 10];
        let Some(lower) = lower.get_mut(..name.len()) else {
            return Kind::Inline;
        };
        lower.copy_from_slice(name.as_bytes());
        lower.make_ascii_lowercase();
        match &*lower {
            b"a" => Kind::Link,
            b"img" => Kind::Image,
            b"br" => Kind::Break,
            b"hr" => Kind::Rule,
            b"blockquote" => Kind::Quote,
            b"ul" | b"menu" | b"dir" => Kind::Bullets,
            b"ol" => Kind::Numbers,
            b"li" => Kind::Item,
            b"pre" => Kind::Preformatted,
            b"p" | b"h1" | b"h2" | b"h3" | b"h4" | b"h5" | b"h6" | b"table" | b"dl" | b"figure" => {
                Kind::Paragraph
            }
            b"div" | b"tr" | b"caption" | b"section" | b"article" | b"header" | b"footer"
            | b"main" | b"nav" | b"aside" | b"center" | b"address" | b"dt" | b"dd" | b"form"
            | b"fieldset" | b"body" | b"html" | b"head" | b"option" | b"thead" | b"tbody"
            | b"tfoot" | b"figcaption" | b"details" | b"summary" => Kind::Block,
            b"td" | b"th" => Kind::Cell,
            _ => Kind::Inline,
        }
    }
}

#[cfg(test)]
mod tests;
