//! What the compiler does not see: endless expressions, and names of filters and tests that do not exist.
//!
//! minijinja bounds nested brackets and blocks, but not chains such as `- - - 1`, `a|f|f|f` or `elif`: it calls itself
//! for each link, and a stack overflow would end the server process of whoever writes such a template.

use minijinja::machinery::{Token, tokenize};
use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, ErrorKind};

use super::scan::scan;
use super::{advice, null, operators};
use crate::mail::edits::Edited;

/// Most tokens between `{{` and `}}` or `{%` and `%}`, commas apart: they make lists long, not deep.
const MAX_TOKENS: usize = 1_000;

/// Most `elif` tags of a template; each is nested in the one before it.
const MAX_ELIFS: usize = 500;

/// Gives the source to compile, in which `none` is our null and operators are ours.
///
/// What is no token at all is left for the compiler to complain about.
///
/// # Errors
/// The first fault.
pub(super) fn prepare(environment: &Environment<'_>, source: &str) -> Result<Edited, Fault> {
    let mut prepared = source.to_owned();
    let mut state = environment.empty_state();
    let (mut tokens, mut elifs) = (0, 0);
    let mut expected = Expected::Anything;
    for (token, span) in tokenize(source, false, SyntaxConfig::default()).map_while(Result::ok) {
        let offset = usize::try_from(span.start_offset).unwrap_or(source.len());
        match token {
            Token::VariableStart | Token::BlockStart => tokens = 0,
            Token::Comma => {}
            Token::Ident("elif") => elifs += 1,
            _ => tokens += 1,
        }
        if tokens > MAX_TOKENS || elifs > MAX_ELIFS {
            return Err(Fault {
                offset,
                message: "expression is too long".to_owned(),
                hint: None,
            });
        }
        expected = match (expected, token) {
            (Expected::Filter, Token::Ident(name)) => {
                // Called without a value, a filter that exists complains about that.
                match state.apply_filter(name, &[]).map_err(|error| error.kind()) {
                    Err(ErrorKind::UnknownFilter) => {
                        return Err(Fault {
                            offset,
                            message: format!("unknown filter {name:?}"),
                            hint: advice::for_filter(name),
                        });
                    }
                    _ => Expected::Anything,
                }
            }
            (Expected::Test, Token::Ident("not")) => Expected::Test,
            (Expected::Test, Token::Ident(name)) => {
                match state.perform_test(name, &[]).map_err(|error| error.kind()) {
                    Err(ErrorKind::UnknownTest) => {
                        return Err(Fault {
                            offset,
                            message: format!("unknown test {name:?}"),
                            hint: advice::for_test(name),
                        });
                    }
                    _ => Expected::Anything,
                }
            }
            (Expected::Statement, Token::Ident("filter")) | (_, Token::Pipe) => Expected::Filter,
            (Expected::Anything, Token::Ident("none" | "None")) => {
                let end = offset + null::NAME.len();
                // Left for the compiler to refuse: nobody may assign to it.
                let after = source.get(end..).unwrap_or_default().trim_start();
                if !after.starts_with('=') || after.starts_with("==") {
                    prepared.replace_range(offset..end, null::NAME);
                }
                Expected::Anything
            }
            (Expected::Attribute, _) => Expected::Anything,
            (_, Token::Ident("is")) => Expected::Test,
            (_, Token::Dot) => Expected::Attribute,
            (_, Token::BlockStart) => Expected::Statement,
            _ => Expected::Anything,
        };
    }
    let edits = operators::edits(source, &scan(source));
    Ok(Edited::new(&prepared, edits))
}

/// Why a source is refused.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) offset: usize,
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

/// What a name means, by the token before it.
#[derive(Debug, Clone, Copy)]
enum Expected {
    Anything,
    Statement,
    Attribute,
    Filter,
    Test,
}
