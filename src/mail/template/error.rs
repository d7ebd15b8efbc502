//! Where a template is wrong, in words for its author.

use std::error::Error as _;
use std::fmt;

use super::css_comment;

/// The part of a mail that a template makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Sender,
    ReplyTo,
    Subject,
    Body,
    /// What mail programs show beside the subject.
    Preheader,
    /// The plain-text alternative, where it is not made from the body.
    Text,
    /// Where a webhook goes.
    Url,
    /// The body of a webhook: JSON.
    Payload,
    /// A header that the author adds.
    Header,
    /// What its links get: of the scenario.
    Utm,
}

impl Part {
    /// All parts of which an activity has one, each at the index `part as usize`.
    pub const ALL: [Part; 8] = [
        Part::Sender,
        Part::ReplyTo,
        Part::Subject,
        Part::Body,
        Part::Preheader,
        Part::Text,
        Part::Url,
        Part::Payload,
    ];

    /// Gives the part of a column; None: it is of none.
    pub fn of_column(name: &str) -> Option<Part> {
        Part::ALL.into_iter().find(|part| part.name() == name)
    }

    /// The name of its template.
    pub fn name(self) -> &'static str {
        match self {
            Part::Sender => "sender",
            Part::ReplyTo => "reply_to",
            Part::Subject => "subject",
            Part::Body => "body",
            Part::Preheader => "preheader",
            Part::Text => "text",
            Part::Url => "url",
            Part::Payload => "payload",
            Part::Header => "header",
            Part::Utm => "utm",
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            // Its column.
            Part::Payload => "body",
            part => part.name(),
        })
    }
}

/// A template that does not compile, or does not render for this record.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TemplateError {
    pub part: Part,
    /// The snippet in which it is wrong; None: the part itself.
    pub snippet: Option<String>,
    /// Which of the headers it is.
    pub header: Option<String>,
    /// A snippet that it uses does not exist.
    pub lacks_snippet: bool,
    /// Line in the template, from 1.
    pub line: Option<u32>,
    /// Column in characters, from 1.
    pub column: Option<u32>,
    pub message: String,
    /// What to write instead.
    pub hint: Option<String>,
}

impl TemplateError {
    pub(crate) fn new(part: Part, message: impl Into<String>) -> Self {
        TemplateError {
            part,
            snippet: None,
            header: None,
            lacks_snippet: false,
            line: None,
            column: None,
            message: message.into(),
            hint: None,
        }
    }

    pub(crate) fn at(part: Part, source: &str, offset: usize, message: impl Into<String>) -> Self {
        let (line, column) = position(source, offset);
        TemplateError {
            line: Some(line),
            column: Some(column),
            ..Self::new(part, message)
        }
    }

    pub(crate) fn in_snippet(self, name: Option<&str>) -> Self {
        TemplateError {
            snippet: name.map(str::to_owned),
            ..self
        }
    }

    pub(crate) fn in_header(self, name: &str) -> Self {
        TemplateError {
            header: Some(name.to_owned()),
            ..self
        }
    }

    pub(crate) fn with_hint(self, hint: Option<String>) -> Self {
        TemplateError { hint, ..self }
    }

    pub(crate) fn for_missing_snippet(self) -> Self {
        TemplateError {
            lacks_snippet: true,
            ..self
        }
    }

    /// Takes kind, detail, cause and position over from minijinja. `place` gives line and column of a byte offset in
    /// the part, or in a snippet of it.
    pub(crate) fn from_minijinja(
        part: Part,
        error: &minijinja::Error,
        place: impl FnOnce(Option<&str>, usize) -> Option<(u32, u32)>,
    ) -> Self {
        let error = innermost(error);
        let snippet = error
            .name()
            .and_then(|name| Some(name.split_once('/')?.1.to_owned()));
        let mut message = match error.detail() {
            Some(detail) if error.kind() == minijinja::ErrorKind::SyntaxError => detail.to_owned(),
            Some(detail) => format!("{}: {detail}", error.kind()),
            None => error.kind().to_string(),
        };
        if let Some(cause) = error.source() {
            message = format!("{message}: {cause}");
        }
        let position = error
            .range()
            .and_then(|range| place(snippet.as_deref(), range.start));
        TemplateError {
            line: position
                .map(|(line, _)| line)
                .or(error.line().and_then(|line| u32::try_from(line).ok())),
            column: position.map(|(_, column)| column),
            ..TemplateError::new(part, message).in_snippet(snippet.as_deref())
        }
    }
}

/// The error in the snippet that an `include` or a block reports as its own.
fn innermost(error: &minijinja::Error) -> &minijinja::Error {
    use minijinja::ErrorKind::{BadInclude, EvalBlock};
    match error.source().and_then(|cause| cause.downcast_ref()) {
        Some(cause) if matches!(error.kind(), BadInclude | EvalBlock) => innermost(cause),
        _ => error,
    }
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.snippet, &self.header) {
            (Some(snippet), _) => write!(f, "snippet \"{snippet}\"")?,
            (None, Some(header)) => write!(f, "{} {header}", self.part)?,
            (None, None) => write!(f, "{}", self.part)?,
        }
        if let Some(line) = self.line {
            write!(f, ", line {line}")?;
        }
        if let Some(column) = self.column {
            write!(f, ", column {column}")?;
        }
        write!(f, ": {}", self.message)
    }
}

impl std::error::Error for TemplateError {}

fn columns(c: char) -> usize {
    match c {
        css_comment::MARK => 2,
        _ => 1,
    }
}

/// Gives line and column, both from 1, of a byte offset; an offset inside a character counts as its start.
pub(super) fn position(source: &str, offset: usize) -> (u32, u32) {
    let before = source
        .get(..source.floor_char_boundary(offset))
        .unwrap_or(source);
    let line = before.bytes().filter(|&byte| byte == b'\n').count() + 1;
    let column = before
        .rsplit('\n')
        .next()
        .map_or(0, |tail| tail.chars().map(columns).sum())
        + 1;
    (
        u32::try_from(line).unwrap_or(u32::MAX),
        u32::try_from(column).unwrap_or(u32::MAX),
    )
}
