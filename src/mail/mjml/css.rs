//! Style sheets, cut into rules that can be written into elements and what has to stay a style sheet.

use cssparser::{Delimiter, ParseError, Parser, ParserInput, Token};
use lol_html::Selector;

/// Most parentheses in a selector.
const MAX_PARENTHESES: usize = 8;

/// Weight of a selector: ids, then classes, attributes and pseudo-classes, then names of elements.
pub(crate) type Specificity = (u32, u32, u32);

/// A property and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Declaration {
    pub(super) name: String,
    /// Without `!important`.
    pub(super) value: String,
    pub(super) is_important: bool,
}

/// One selector and what it declares.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(super) selector: Selector,
    pub(super) specificity: Specificity,
    pub(crate) declarations: Vec<Declaration>,
}

/// A style sheet that is to be written into elements.
#[derive(Debug, Default)]
pub(crate) struct Sheet {
    pub(crate) rules: Vec<Rule>,
    /// What no attribute can say: `@media`, `:hover`, `a + b`.
    pub(super) rest: String,
}

impl Sheet {
    /// Reads a style sheet as browsers do: what they do not understand is left out.
    pub(crate) fn read(css: &str) -> Sheet {
        let mut sheet = Sheet::default();
        let mut input = ParserInput::new(css);
        let mut parser = Parser::new(&mut input);
        while let Some(block) = next_block(&mut parser) {
            match block {
                Block::At(text) => sheet.rest.push_str(text),
                Block::Rule { prelude, body } => sheet.add(prelude, body),
            }
        }
        sheet
    }

    fn add(&mut self, prelude: &str, body: &str) {
        let declarations = declarations(body);
        for text in selectors(prelude) {
            match selector(text) {
                Some(selector) => self.rules.push(Rule {
                    selector,
                    specificity: specificity(text),
                    declarations: declarations.clone(),
                }),
                None => {
                    self.rest.push_str(text);
                    self.rest.push_str(" {");
                    self.rest.push_str(body);
                    self.rest.push('}');
                }
            }
        }
    }
}

/// Reads a selector; None: it is none that can be compared with the tags of a document, one after the other.
pub(super) fn selector(text: &str) -> Option<Selector> {
    // Its parser calls itself for each.
    let is_flat = text.matches('(').count() <= MAX_PARENTHESES;
    is_flat.then(|| text.parse().ok()).flatten()
}

/// What stands at the top of a style sheet.
enum Block<'a> {
    Rule {
        prelude: &'a str,
        body: &'a str,
    },
    /// An at-rule, as it is written.
    At(&'a str),
}

fn next_block<'a>(parser: &mut Parser<'a, '_>) -> Option<Block<'a>> {
    let mut start = None;
    let mut is_at = false;
    loop {
        let before = parser.position();
        let is_block = match parser.next_including_whitespace_and_comments().ok()? {
            // Old browsers were kept from showing a style sheet by a comment of HTML around it.
            Token::WhiteSpace(_) | Token::Comment(_) | Token::CDO | Token::CDC
                if start.is_none() =>
            {
                continue;
            }
            Token::CurlyBracketBlock => true,
            Token::Semicolon if is_at => false,
            Token::AtKeyword(_) if start.is_none() => {
                is_at = true;
                start = Some(before);
                continue;
            }
            token => {
                let opens = opens_block(token);
                start.get_or_insert(before);
                if opens {
                    parser.parse_nested_block(skip).ok()?;
                }
                continue;
            }
        };
        let start = start.unwrap_or(before);
        let prelude = parser.slice(start..before);
        let body = match is_block {
            true => parser.parse_nested_block(rest).unwrap_or_default(),
            false => "",
        };
        return Some(match is_at {
            true => Block::At(parser.slice_from(start)),
            false => Block::Rule { prelude, body },
        });
    }
}

/// Whether a token begins what ends at a bracket; the parser's place is behind it only when that has been read.
fn opens_block(token: &Token<'_>) -> bool {
    matches!(
        token,
        Token::Function(_)
            | Token::ParenthesisBlock
            | Token::SquareBracketBlock
            | Token::CurlyBracketBlock
    )
}

/// Moves to the end of a block. Blocks in it need no call for each: a style sheet may be nested as deep as it is long.
fn skip<'a>(parser: &mut Parser<'a, '_>) -> Result<(), ParseError<'a, ()>> {
    while parser.next().is_ok() {}
    Ok(())
}

/// Takes everything up to the end of a block.
fn rest<'a>(parser: &mut Parser<'a, '_>) -> Result<&'a str, ParseError<'a, ()>> {
    let start = parser.position();
    while let Ok(token) = parser.next() {
        let opens = opens_block(token);
        if opens {
            parser.parse_nested_block(skip)?;
        }
    }
    Ok(parser.slice_from(start))
}

/// The declarations of a rule, or of an attribute `style`.
pub(super) fn declarations(body: &str) -> Vec<Declaration> {
    let mut input = ParserInput::new(body);
    let mut parser = Parser::new(&mut input);
    let mut found = Vec::new();
    while !parser.is_exhausted() {
        let declaration: Result<_, ParseError<'_, ()>> =
            parser.parse_until_after(Delimiter::Semicolon, |parser| {
                let name = parser.expect_ident_cloned()?;
                parser.expect_colon()?;
                Ok((name, rest(parser)?))
            });
        let Ok((name, value)) = declaration else {
            continue;
        };
        let (value, is_important) = match value.rsplit_once('!') {
            Some((value, word)) if word.trim().eq_ignore_ascii_case("important") => (value, true),
            _ => (value, false),
        };
        let is_own = name.starts_with("--");
        let value = value.trim();
        if !value.is_empty() {
            found.push(Declaration {
                name: if is_own {
                    name.to_string()
                } else {
                    name.to_ascii_lowercase()
                },
                value: value.to_owned(),
                is_important,
            });
        }
    }
    found
}

/// Cuts a list of selectors at its commas.
fn selectors(prelude: &str) -> Vec<&str> {
    let mut input = ParserInput::new(prelude);
    let parsed: Result<Vec<&str>, ParseError<'_, ()>> =
        Parser::new(&mut input).parse_comma_separated(rest);
    let mut selectors: Vec<&str> = parsed.unwrap_or_default();
    selectors.retain_mut(|selector| {
        *selector = selector.trim();
        !selector.is_empty()
    });
    selectors
}

fn specificity(selector: &str) -> Specificity {
    let mut input = ParserInput::new(selector);
    let mut weight = (0, 0, 0);
    weigh(&mut Parser::new(&mut input), &mut weight);
    weight
}

fn weigh(parser: &mut Parser<'_, '_>, weight: &mut Specificity) {
    // A name after "." or ":" is none of an element.
    let mut is_name = true;
    while let Ok(token) = parser.next_including_whitespace().cloned() {
        let is_prefix = matches!(token, Token::Delim('.') | Token::Colon);
        match token {
            Token::IDHash(_) | Token::Hash(_) => weight.0 += 1,
            Token::Delim('.') | Token::Colon | Token::SquareBracketBlock => weight.1 += 1,
            Token::Ident(_) if is_name => weight.2 += 1,
            // What `:not()` holds counts in its place; an `:nth-child()` has no names of elements.
            Token::Function(name) if name.eq_ignore_ascii_case("not") => {
                weight.1 -= 1;
                let inside: Result<(), ParseError<'_, ()>> = parser.parse_nested_block(|parser| {
                    weigh(parser, weight);
                    Ok(())
                });
                let _ = inside;
            }
            _ => {}
        }
        is_name = !is_prefix;
    }
}
