//! A tokenizer for HTML that only reads: tags and text, as the HTML standard (section 13.2.5) cuts them.
//!
//! It builds no tree, allocates nothing and never fails, so it is cheap enough to run over every mail.

use std::borrow::Cow;

/// Elements whose content is no markup; none of it is text for a reader of the mail.
const RAW: [&str; 8] = [
    "script", "style", "title", "textarea", "xmp", "iframe", "noembed", "noframes",
];

/// A piece of a document. Comments and declarations are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token<'a> {
    /// Text, with its character references.
    Text(&'a str),
    Start(Tag<'a>),
    /// The name of an end tag, as it is written.
    End(&'a str),
}

/// A start tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tag<'a> {
    /// The name as it is written.
    pub(crate) name: &'a str,
    attributes: &'a str,
}

impl<'a> Tag<'a> {
    /// Gives the length of the tag as it is written, with its brackets.
    pub(crate) fn length(&self) -> usize {
        "<".len() + self.name.len() + self.attributes.len() + ">".len()
    }

    /// Gives the decoded value of an attribute; the first of several with the same name.
    pub(crate) fn attribute(&self, name: &str) -> Option<Cow<'a, str>> {
        let mut rest = self.attributes;
        loop {
            rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '/');
            if rest.is_empty() {
                return None;
            }
            // A name may begin with "=".
            let first = rest.chars().next().map_or(1, char::len_utf8);
            let length = rest[first..]
                .find(|c: char| c.is_ascii_whitespace() || matches!(c, '=' | '/'))
                .map_or(rest.len(), |found| first + found);
            let (found, tail) = rest.split_at(length);
            let tail = tail.trim_ascii_start();
            let value;
            (value, rest) = match tail.strip_prefix('=') {
                Some(tail) => attribute_value(tail.trim_ascii_start()),
                None => ("", tail),
            };
            if found.eq_ignore_ascii_case(name) {
                return Some(html_escape::decode_html_entities(value));
            }
        }
    }
}

/// Cuts the value off; gives it and what follows.
fn attribute_value(text: &str) -> (&str, &str) {
    let quoted = |quote| text.get(1..).and_then(|rest: &str| rest.split_once(quote));
    match text.as_bytes().first() {
        Some(b'"') => quoted('"').unwrap_or((text, "")),
        Some(b'\'') => quoted('\'').unwrap_or((text, "")),
        _ => text.split_at(
            text.find(|c: char| c.is_ascii_whitespace())
                .unwrap_or(text.len()),
        ),
    }
}

/// The tokens of a document, with the byte offset at which each begins.
#[derive(Debug, Clone)]
pub(crate) struct Tokens<'a> {
    html: &'a str,
    at: usize,
}

impl<'a> Tokens<'a> {
    pub(crate) fn new(html: &'a str) -> Self {
        Tokens { html, at: 0 }
    }

    /// Where the next token is looked for.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    fn rest(&self) -> &'a str {
        self.html.get(self.at..).unwrap_or_default()
    }

    /// Moves behind the text, or to the end of the document when it does not occur.
    fn skip_past(&mut self, text: &str) {
        self.at = self
            .rest()
            .find(text)
            .map_or(self.html.len(), |found| self.at + found + text.len());
    }

    fn comment(&mut self) {
        self.at += "<!--".len();
        match self.rest() {
            rest if rest.starts_with('>') => self.at += 1,
            rest if rest.starts_with("->") => self.at += 2,
            rest => {
                let end = rest.match_indices('>').find(|&(at, _)| {
                    let comment = &rest[..at];
                    comment.ends_with("--") || comment.ends_with("--!")
                });
                self.at = end.map_or(self.html.len(), |(at, _)| self.at + at + 1);
            }
        }
    }

    fn start_tag(&mut self) -> Option<Token<'a>> {
        let tag = &self.rest()[1..];
        let name = &tag[..tag
            .find(|c: char| c.is_ascii_whitespace() || matches!(c, '/' | '>'))
            .unwrap_or(tag.len())];
        let length = end_of_tag(tag)?;
        let attributes = &tag[name.len()..length];
        self.at += 1 + length + 1;
        if let Some(raw) = RAW.iter().find(|raw| raw.eq_ignore_ascii_case(name)) {
            self.skip_raw(raw);
        }
        Some(Token::Start(Tag { name, attributes }))
    }

    /// Moves to the end tag of an element whose content is no markup.
    fn skip_raw(&mut self, name: &str) {
        while let Some(found) = self.rest().find("</") {
            self.at += found;
            let candidate = self.rest().as_bytes().get(2..).unwrap_or_default();
            let is_end = candidate
                .get(..name.len())
                .is_some_and(|found| found.eq_ignore_ascii_case(name.as_bytes()))
                && candidate
                    .get(name.len())
                    .is_none_or(|next| !next.is_ascii_alphanumeric() && *next != b'-');
            if is_end {
                return;
            }
            self.at += 2;
        }
        self.at = self.html.len();
    }
}

/// Finds the `>` of a start tag; quoted values may hold one.
fn end_of_tag(tag: &str) -> Option<usize> {
    let mut quote = None;
    let mut previous = b' ';
    for (at, &byte) in tag.as_bytes().iter().enumerate() {
        match (quote, byte) {
            (None, b'>') => return Some(at),
            // A quote opens a value only behind "="; elsewhere it belongs to a name.
            (None, b'"' | b'\'') if previous == b'=' => quote = Some(byte),
            (Some(open), _) if open == byte => quote = None,
            _ => {}
        }
        if !byte.is_ascii_whitespace() {
            previous = byte;
        }
    }
    None
}

impl<'a> Iterator for Tokens<'a> {
    type Item = (usize, Token<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let rest = self.rest();
            let bytes = rest.as_bytes();
            let start = self.at;
            match bytes {
                [] => return None,
                [b'<', b'!', b'-', b'-', ..] => self.comment(),
                [b'<', b'/', next, ..] if next.is_ascii_alphabetic() => {
                    let tag = &rest[2..];
                    let end = tag.find(|c: char| c.is_ascii_whitespace() || matches!(c, '/' | '>'));
                    let name = &tag[..end.unwrap_or(tag.len())];
                    self.skip_past(">");
                    return Some((start, Token::End(name)));
                }
                [b'<', b'!' | b'?' | b'/', ..] => self.skip_past(">"),
                [b'<', next, ..] if next.is_ascii_alphabetic() => match self.start_tag() {
                    Some(token) => return Some((start, token)),
                    // A tag that does not end takes the rest of the document with it.
                    None => self.at = self.html.len(),
                },
                _ => {
                    // The first character is text, also when it is a "<".
                    let first = rest.chars().next().map_or(1, char::len_utf8);
                    let length = rest[first..]
                        .find('<')
                        .map_or(rest.len(), |found| first + found);
                    self.at += length;
                    return Some((start, Token::Text(&rest[..length])));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(html: &str) -> Vec<String> {
        Tokens::new(html)
            .map(|(at, token)| match token {
                Token::Text(text) => format!("{at} {text:?}"),
                Token::Start(tag) => format!("{at} <{}>", tag.name),
                Token::End(name) => format!("{at} </{name}>"),
            })
            .collect()
    }

    #[test]
    fn tags_and_text_come_in_order_and_comments_do_not() {
        assert_eq!(
            shown(
                "<!doctype html><P x='>'>a<!-- <b> --><![if !mso]>1 < 2<br/></p ><!--[if mso]><td><![endif]-->é</"
            ),
            [
                "15 <P>",
                "24 \"a\"",
                "49 \"1 \"",
                "51 \"< 2\"",
                "54 <br>",
                "59 </p>",
                "93 \"é\""
            ]
        );
        assert_eq!(shown("<!--><b><!---><i><!--x"), ["5 <b>", "14 <i>"]);
        assert_eq!(
            shown("<!--a--!><b><!--- > -- > --->c"),
            ["9 <b>", "29 \"c\""]
        );
        assert_eq!(shown("a<b c=\"d"), ["0 \"a\""]);
    }

    #[test]
    fn raw_content_is_no_text() {
        assert_eq!(
            shown("<style>a<b></styles></STYLE >x<script>'</b>'"),
            ["0 <style>", "20 </STYLE>", "29 \"x\"", "30 <script>"]
        );
    }

    #[test]
    fn attributes_are_found_and_decoded() {
        let html = "<a \n b  =  'x>y' HREF=https://a.example/?b&amp;c=1 c href=no d=\"&eacute;&copy=&#x41;\" =e=1 />";
        let Some((_, Token::Start(tag))) = Tokens::new(html).next() else {
            panic!("no tag")
        };
        let attribute = |name| tag.attribute(name).map(Cow::into_owned);
        assert_eq!(attribute("b").as_deref(), Some("x>y"));
        assert_eq!(
            attribute("href").as_deref(),
            Some("https://a.example/?b&c=1")
        );
        assert_eq!(attribute("c").as_deref(), Some(""));
        assert_eq!(attribute("d").as_deref(), Some("é&copy=A"));
        assert_eq!(attribute("e"), None);
    }
}
