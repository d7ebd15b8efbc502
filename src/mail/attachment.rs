//! Files that a mail takes along: what a query gave is judged here, and named for the headers of a MIME part.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use lettre::message::header::ContentType;
use percent_encoding::percent_decode_str;

use super::html_tokens::{Tag, Token, Tokens};
use super::rewrite::splice;

/// Most files that a mail takes along.
pub const MAX_FILES: usize = 20;
/// Most bytes that they have together, before they are encoded, which adds more than a third.
pub const MAX_BYTES: u64 = 10 * 1024 * 1024;

/// Longest name, in characters; the rest is cut off before the ending.
const MAX_NAME: usize = 150;
const MAX_TYPE: usize = 200;
const MAX_CID: usize = 150;

/// Attributes that may name a file of the mail.
const REFERRING: [&str; 4] = ["src", "background", "href", "poster"];

/// A file as a query has given it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct File {
    pub name: Option<String>,
    pub content_type: Option<String>,
    /// By which the HTML shows it; None: it is there to be opened.
    pub cid: Option<String>,
    /// None: there is no content.
    pub size: Option<u64>,
}

/// What the headers of a part say about its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    pub name: String,
    pub content_type: String,
    pub cid: Option<String>,
}

/// A file of a mail.
#[derive(Debug, Clone)]
pub struct Attachment {
    pub label: Label,
    pub content: Arc<[u8]>,
}

impl Label {
    /// Whether it has this cid.
    pub fn is(&self, cid: &str) -> bool {
        self.cid.as_deref() == Some(cid)
    }
}

/// Gives the labels of files in their order.
///
/// # Errors
/// Why a mail cannot take these files along.
pub fn labels(files: &[File]) -> Result<Vec<Label>, String> {
    if files.len() > MAX_FILES {
        return Err(format!("it has more than {MAX_FILES} attachments"));
    }
    let mut labels = Vec::with_capacity(files.len());
    let mut cids = BTreeSet::new();
    let mut bytes = 0_u64;
    for (place, file) in files.iter().enumerate() {
        let which = |reason: &str| match &file.name {
            Some(name) => format!("attachment {:?} {reason}", short(name)),
            None => format!("attachment {} {reason}", place + 1),
        };
        let name = file.name.as_deref().map(clean_name).unwrap_or_default();
        if name.is_empty() {
            return Err(which("has no name"));
        }
        let Some(size) = file.size else {
            return Err(which("has no content"));
        };
        bytes = bytes.saturating_add(size);
        if bytes > MAX_BYTES {
            return Err(format!(
                "its attachments have more than {} MB together",
                MAX_BYTES >> 20
            ));
        }
        let content_type = file.content_type.as_deref().unwrap_or_default().trim();
        check_type(content_type).map_err(|reason| {
            which(&format!("has the type {:?}, {reason}", short(content_type)))
        })?;
        if let Some(cid) = &file.cid {
            check_cid(cid)
                .map_err(|reason| which(&format!("has the cid {:?}, {reason}", short(cid))))?;
            if !cids.insert(cid) {
                return Err(which(&format!("has the cid {cid:?} of another one")));
            }
        }
        labels.push(Label {
            name,
            content_type: content_type.to_owned(),
            cid: file.cid.clone(),
        });
    }
    Ok(labels)
}

/// Checks that the files which an HTML shows are there; `has` tells of a cid whether a file has it.
///
/// # Errors
/// The first that is not.
pub fn check_references(html: &str, has: impl Fn(&str) -> bool) -> Result<(), String> {
    for (_, token) in Tokens::new(html) {
        let Token::Start(tag) = token else {
            continue;
        };
        let missing = references(&tag).find(|cid| !has(cid));
        if let Some(cid) = missing {
            return Err(format!(
                "its HTML shows cid:{}, and no attachment has that cid",
                // A NUL in it would be no text for the database.
                short(&cid).escape_debug()
            ));
        }
    }
    Ok(())
}

/// Gives the HTML with its pictures in it, for who has no other parts of the mail: `url_of` tells of a cid the data URL of its picture.
/// What has none shows nothing.
pub fn with_pictures<'a>(html: &str, url_of: impl Fn(&str) -> Option<&'a str>) -> String {
    let mut edits = Vec::new();
    for (at, token) in Tokens::new(html) {
        let Token::Start(tag) = token else {
            continue;
        };
        if references(&tag).next().is_none() {
            continue;
        }
        let written = &html[at..at + tag.length()];
        for (from, reference) in written_references(written) {
            let url = referred(reference).and_then(|cid| url_of(&cid));
            let range = at + from..at + from + reference.len();
            edits.push((range, url.unwrap_or_default().to_owned()));
        }
    }
    splice(html, edits)
}

/// The URLs of the scheme cid in a tag as it is written, each with its place.
fn written_references(tag: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(at) = tag[from..].find(':').map(|colon| from + colon) {
        from = at + 1;
        let start = at.saturating_sub("cid".len());
        let is_scheme = tag
            .get(start..at)
            .is_some_and(|scheme| scheme.eq_ignore_ascii_case("cid"))
            && tag[..start].ends_with(['"', '\'', '=', '(', ' ', '\t', '\n', '\r', ';']);
        if is_scheme {
            let is_part = |c: char| c.is_ascii_alphanumeric() || ".-_@+=$%".contains(c);
            let length = tag[from..].find(|c| !is_part(c));
            found.push((
                start,
                &tag[start..length.map_or(tag.len(), |length| from + length)],
            ));
        }
    }
    found
}

/// The Content-IDs that the attributes of a tag name.
fn references<'a>(tag: &'a Tag<'a>) -> impl Iterator<Item = String> + 'a {
    let whole = REFERRING.iter().filter_map(|name| tag.attribute(name));
    let whole = whole.filter_map(|value| referred(value.trim()));
    let style = tag.attribute("style").unwrap_or(Cow::Borrowed(""));
    let parts: Vec<String> = style
        .split("url(")
        .skip(1)
        .filter_map(|rest| {
            let value = rest.split(')').next().unwrap_or_default();
            referred(value.trim().trim_matches(['"', '\'']))
        })
        .collect();
    whole.chain(parts)
}

/// The Content-ID in a URL of the scheme cid (RFC 2392); None: it is another URL.
fn referred(url: &str) -> Option<String> {
    let scheme = url.get(..4)?;
    scheme.eq_ignore_ascii_case("cid:").then(|| {
        percent_decode_str(&url[4..])
            .decode_utf8_lossy()
            .into_owned()
    })
}

/// The beginning of a text, for an error.
fn short(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Makes a file's name of what a row says: no path, nothing that cannot be seen, not too long. A name must not choose a folder, nor
/// look as if it ended otherwise than it does.
fn clean_name(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let seen: String = last
        .chars()
        .filter(|&c| !c.is_control() && !is_unseen(c))
        .collect();
    let seen = seen.trim().trim_end_matches('.').trim_end();
    let length = seen.chars().count();
    if length <= MAX_NAME {
        return seen.to_owned();
    }
    let ending = seen.rfind('.').map_or("", |dot| &seen[dot..]);
    let ending = match ending.chars().count() {
        ..=20 => ending,
        _ => "",
    };
    let kept = MAX_NAME - ending.chars().count();
    seen.chars().take(kept).chain(ending.chars()).collect()
}

/// Characters that turn the direction of writing around, so that `…fdp.exe` is shown as `…exe.pdf`; those of no width, and line ends.
fn is_unseen(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// RFC 2045, section 5.1: a character of a token.
fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?=".contains(&b))
}

fn check_type(text: &str) -> Result<(), &'static str> {
    let (essence, parameters) = match text.split_once(';') {
        Some((essence, parameters)) => (essence.trim_end(), Some(parameters)),
        None => (text, None),
    };
    let is_type = essence
        .split_once('/')
        .is_some_and(|(main, sub)| is_token(main) && is_token(sub));
    if !is_type || text.len() > MAX_TYPE {
        return Err("which is no media type such as application/pdf");
    }
    let main = essence.split('/').next().unwrap_or_default();
    if main.eq_ignore_ascii_case("multipart") || main.eq_ignore_ascii_case("message") {
        // RFC 2046, sections 5.1 and 5.2.1: these may not be encoded.
        return Err("which is of no file");
    }
    let is_parameter = |parameter: &str| {
        parameter
            .trim()
            .split_once('=')
            .is_some_and(|(name, value)| {
                let quoted = value
                    .strip_prefix('"')
                    .and_then(|value| value.strip_suffix('"'));
                is_token(name)
                    && match quoted {
                        Some(value) => value
                            .bytes()
                            .all(|b| (b == b' ' || b.is_ascii_graphic()) && !b"\"\\;".contains(&b)),
                        None => is_token(value),
                    }
            })
    };
    if parameters.is_some_and(|all| !all.split(';').all(is_parameter)) {
        return Err("whose parameters are not of the form name=value");
    }
    match ContentType::parse(text) {
        Ok(_) => Ok(()),
        Err(_) => Err("which is no media type such as application/pdf"),
    }
}

fn check_cid(cid: &str) -> Result<(), &'static str> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b".-_@+=$".contains(&b);
    match !cid.is_empty() && cid.len() <= MAX_CID && cid.bytes().all(fits) {
        true => Ok(()),
        false => Err("which is none: letters, digits and .-_@+=$ are"),
    }
}

#[cfg(test)]
mod tests;
