//! A bound on the length of expressions.
//!
//! minijinja bounds nested brackets and blocks, but not chains such as `- - - 1`, `a|f|f|f` or `elif`: it calls itself
//! for each link, and a stack overflow would end the server process of whoever writes such a template.

use minijinja::machinery::{Token, tokenize};
use minijinja::syntax::SyntaxConfig;

/// Most tokens between `{{` and `}}` or `{%` and `%}`, commas apart: they make lists long, not deep.
const MAX_TOKENS: usize = 1_000;

/// Most `elif` tags of a template; each is nested in the one before it.
const MAX_ELIFS: usize = 500;

/// Finds a tag with too many tokens; or an `elif` too many; gives the byte offset at which it goes too
/// far.
///
/// What is no token at all is left for the compiler to complain about.
pub(super) fn find_endless(source: &str) -> Option<usize> {
    let (mut tokens, mut elifs) = (0, 0);
    for (token, span) in tokenize(source, false, SyntaxConfig::default()).map_while(Result::ok) {
        match token {
            Token::VariableStart | Token::BlockStart => tokens = 0,
            Token::Comma => {}
            Token::Ident("elif") => elifs += 1,
            _ => tokens += 1,
        }
        if tokens > MAX_TOKENS || elifs > MAX_ELIFS {
            return usize::try_from(span.start_offset).ok();
        }
    }
    None
}
