//! The plain-text alternative of an HTML mail.
//!
//! One pass over the tags. A tree builder with a layout engine (html2text) was tried: it took 320 of the 400 µs of
//! rendering a mail, and slowed down with depth times tags.

mod fold;
mod hidden;
mod script;

use crate::mail::html_tokens::{Tag, Token, Tokens};
use crate::mail::placeholder;
use fold::Folder;
use hidden::Hidden;
use script::Script;

/// Deepest nesting of lists and quotes that shows; more would leave no room for text.
const MAX_INDENTS: usize = 10;

/// Stands between the cells of a row.
const CELL_SEPARATOR: &str = " | ";

/// Elements that have no end tag.
const VOID: [&str; 5] = ["img", "br", "hr", "input", "wbr"];

/// Gives the readable text of an HTML document, folded; links show their URL after their text.
pub fn from_html(html: &str) -> String {
    let mut writer = Writer::default();
    let mut tokens = Tokens::new(html);
    let mut preheader = None;
    // A hidden element without an end must hide nothing else, and be looked for only once.
    let mut all_end = true;
    while let Some((_, token)) = tokens.next() {
        match token {
            Token::Text(text) => writer.text(&html_escape::decode_html_entities(text)),
            Token::Start(tag) => match hidden::how(&tag).filter(|_| all_end) {
                None => writer.start(&tag),
                Some(how) => match behind(&tag, tokens.clone()) {
                    Some(visible) => {
                        if how == Hidden::ByDisplay && preheader.is_none() && writer.is_empty() {
                            preheader = hidden::preheader(tokens.clone(), &visible);
                        }
                        tokens = visible;
                    }
                    None => {
                        all_end = false;
                        writer.start(&tag);
                    }
                },
            },
            Token::End(name) => writer.end(name),
        }
    }
    let text = writer.finish();
    match preheader {
        Some(preheader) => hidden::with_preheader(&preheader, text),
        None => text,
    }
}

/// Gives what follows an element, if it has an end.
fn behind<'a>(tag: &Tag<'_>, mut tokens: Tokens<'a>) -> Option<Tokens<'a>> {
    if VOID.iter().any(|void| tag.name.eq_ignore_ascii_case(void)) {
        return Some(tokens);
    }
    let mut open = 1usize;
    while open > 0 {
        match tokens.next()?.1 {
            Token::Start(inner) if inner.name.eq_ignore_ascii_case(tag.name) => open += 1,
            Token::End(name) if name.eq_ignore_ascii_case(tag.name) => open -= 1,
            _ => {}
        }
    }
    Some(tokens)
}

/// What surrounds the text and shows at the beginning of its lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Indent {
    Quote,
    Bullets,
    /// With the number of the next item.
    Numbers(i32),
}

/// The link that is open: its target, and how long the text was before it.
#[derive(Debug)]
struct Link {
    url: String,
    start: usize,
}

#[derive(Debug, Default)]
struct Writer {
    out: Folder,
    indents: Vec<Indent>,
    link: Option<Link>,
    /// How many `<pre>` are open.
    preformatted: usize,
    /// The innermost `<pre>` has no text yet.
    opens_preformatted: bool,
    /// How long the text was when a link ended.
    link_end: Option<usize>,
    /// How many lines there were when a cell of a table began.
    cell_lines: usize,
    /// The innermost of what stands higher or lower than its line.
    scripts: Vec<Script>,
}

impl Writer {
    /// Whether nothing shows yet.
    fn is_empty(&self) -> bool {
        self.out.length() == 0
    }

    fn text(&mut self, text: &str) {
        if self.link_end == Some(self.out.length()) && text.starts_with(char::is_alphanumeric) {
            self.out.space();
        }
        if self.preformatted == 0 {
            match self.scripts.last() {
                Some(script) => self.out.text(&script.of(text)),
                None => self.out.text(text),
            }
            return;
        }
        let opens = std::mem::take(&mut self.opens_preformatted);
        // A line end right behind the tag is there for the author only.
        let text = match opens {
            true => text.strip_prefix("\r\n").or(text.strip_prefix('\n')),
            false => None,
        }
        .unwrap_or(text);
        for (number, line) in text.split('\n').enumerate() {
            if number > 0 {
                self.out.end_verbatim_line();
            }
            self.out.verbatim(line);
        }
    }

    fn start(&mut self, tag: &Tag<'_>) {
        match Kind::of(tag.name) {
            Kind::Link => {
                self.end_link();
                // Links side by side are kept apart by their style.
                if self.link_end == Some(self.out.length()) {
                    self.out.space();
                }
                self.link = tag.attribute("href").map(|url| Link {
                    url: url.trim().to_owned(),
                    start: self.out.length(),
                });
            }
            Kind::Image => {
                if let Some(alternative) =
                    tag.attribute("alt").filter(|text| !text.trim().is_empty())
                {
                    self.out.text(&format!("[{}]", alternative.trim()));
                }
            }
            Kind::Break => self.out.line_break(),
            Kind::Rule => {
                self.out.end_paragraph();
                self.out.text("----");
                self.out.end_paragraph();
            }
            Kind::Quote => self.indent(Indent::Quote),
            Kind::Bullets => self.indent(Indent::Bullets),
            Kind::Numbers => {
                let first = tag
                    .attribute("start")
                    .and_then(|start| start.trim().parse().ok());
                self.indent(Indent::Numbers(first.unwrap_or(1)));
            }
            Kind::Item => self.item(),
            Kind::Preformatted => {
                self.out.end_paragraph();
                self.preformatted += 1;
                self.opens_preformatted = true;
            }
            Kind::Paragraph => self.out.end_paragraph(),
            Kind::Block => self.out.end_line(),
            Kind::Cell => self.cell(),
            Kind::Raised => self.scripts.push(Script::Super),
            Kind::Lowered => self.scripts.push(Script::Sub),
            Kind::Inline => {}
        }
    }

    /// Cells of one line stand beside each other; what follows one of several lines begins below.
    fn cell(&mut self) {
        match self.out.lines() > self.cell_lines {
            true => self.out.end_line(),
            false => self.out.separate(CELL_SEPARATOR),
        }
        self.cell_lines = self.out.lines();
    }

    fn end(&mut self, name: &str) {
        match Kind::of(name) {
            Kind::Link => self.end_link(),
            Kind::Quote => self.outdent(|indent| indent == Indent::Quote),
            Kind::Bullets => {
                self.out.end_item();
                self.outdent(|indent| indent == Indent::Bullets);
            }
            Kind::Numbers => {
                self.out.end_item();
                self.outdent(|indent| matches!(indent, Indent::Numbers(_)));
            }
            Kind::Preformatted => {
                self.out.end_paragraph();
                self.preformatted = self.preformatted.saturating_sub(1);
            }
            Kind::Paragraph => self.out.end_paragraph(),
            Kind::Block => self.out.end_line(),
            Kind::Item => self.out.end_item(),
            Kind::Cell => self.out.space(),
            Kind::Raised | Kind::Lowered => {
                self.scripts.pop();
            }
            Kind::Image | Kind::Break | Kind::Rule | Kind::Inline => {}
        }
    }

    /// Shows the target behind the text (RFC 3986, appendix C), unless nobody could follow it from a text, there is no
    /// text, as of an icon, or it says the same.
    fn end_link(&mut self) {
        let Some(Link { url, start }) = self.link.take() else {
            return;
        };
        if self.out.length() > start {
            self.show_target(&url);
            self.link_end = Some(self.out.length());
        }
    }

    fn show_target(&mut self, url: &str) {
        let (scheme, address) = match url.split_once(':') {
            // A tracked one.
            _ if placeholder::contains(url) => ("https", ""),
            Some(parts) => parts,
            None => return,
        };
        if scheme.contains(['/', '#', '?']) {
            return;
        }
        let is_said = match scheme.to_ascii_lowercase().as_str() {
            "mailto" => {
                let address = address.split('?').next().unwrap_or_default();
                self.out.ends_with_word(address)
            }
            // However the digits are grouped.
            "tel" => self.out.ends_with_digits(address),
            _ => self.out.ends_with_word(url),
        };
        if !is_said {
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
                let number = *next;
                *next = number.saturating_add(1);
                format!("{number}. ")
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
    /// Stands higher than its line, or lower.
    Raised,
    Lowered,
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
            b"sup" => Kind::Raised,
            b"sub" => Kind::Lowered,
            _ => Kind::Inline,
        }
    }
}

#[cfg(test)]
mod tests;
