//! Writes operators as the filters of [`super::arithmetic`], so that decimals can be calculated with.
//!
//! `a + b` becomes `a |_add( b)`: a filter and no function, as chains of filters do not nest, and minijinja bounds how
//! deep brackets do. Everything but the operators keeps its place, so that errors are reported where they are.

use std::collections::HashMap;
use std::ops::Range;

use minijinja::machinery::{Token, tokenize};
use minijinja::syntax::SyntaxConfig;

use super::arithmetic::{COMPARE, NEGATE, Operator};
use super::scan::{Operation, Scan};
use crate::mail::edits::Edit;

/// Gives the edits that put filters in the place of operators.
pub(super) fn edits(source: &str, scan: &Scan) -> Vec<Edit> {
    if scan.operations.is_empty() {
        return Vec::new();
    }
    let tokens = Tokens::new(source);
    let found = scan
        .operations
        .iter()
        .map(|operation| tokens.edits(operation));
    let mut edits: Vec<Edit> = found.flatten().flatten().collect();
    // A double has 15 digits at least, and an author may write more.
    let literals = tokens
        .tokens
        .iter()
        .filter(|(_, kind)| *kind == Kind::Double);
    for range in literals.map(|(range, _)| range.clone()) {
        let written = &source[range.clone()];
        if written.bytes().filter(u8::is_ascii_digit).count() > 15
            && !written.contains(['e', 'E', '_'])
        {
            edits.push(Edit::replace(range, format!("(\"{written}\"|float)")));
        }
    }
    edits
}

/// What a token is, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Closing,
    Calculates(Operator),
    /// As it is written between two values.
    Compares(&'static str),
    Not,
    Double,
    Other,
}

fn kind(token: &Token<'_>) -> Kind {
    match token {
        Token::ParenClose => Kind::Closing,
        Token::Plus => Kind::Calculates(Operator::Add),
        Token::Minus => Kind::Calculates(Operator::Subtract),
        Token::Mul => Kind::Calculates(Operator::Multiply),
        Token::Div => Kind::Calculates(Operator::Divide),
        Token::FloorDiv => Kind::Calculates(Operator::DivideWhole),
        Token::Mod => Kind::Calculates(Operator::Remainder),
        Token::Pow => Kind::Calculates(Operator::Power),
        Token::Eq => Kind::Compares("=="),
        Token::Ne => Kind::Compares("!="),
        Token::Lt => Kind::Compares("<"),
        Token::Lte => Kind::Compares("<="),
        Token::Gt => Kind::Compares(">"),
        Token::Gte => Kind::Compares(">="),
        Token::Ident("in") => Kind::Compares("in"),
        Token::Ident("not") => Kind::Not,
        Token::Float(_) => Kind::Double,
        _ => Kind::Other,
    }
}

struct Tokens {
    tokens: Vec<(Range<usize>, Kind)>,
    by_start: HashMap<usize, usize>,
}

impl Tokens {
    fn new(source: &str) -> Tokens {
        let place = |offset: u32| usize::try_from(offset).unwrap_or(source.len());
        let tokens: Vec<_> = tokenize(source, false, SyntaxConfig::default())
            .map_while(Result::ok)
            .map(|(token, span)| {
                (
                    place(span.start_offset)..place(span.end_offset),
                    kind(&token),
                )
            })
            .collect();
        let by_start = tokens
            .iter()
            .enumerate()
            .map(|(index, (range, _))| (range.start, index));
        Tokens {
            by_start: by_start.collect(),
            tokens,
        }
    }

    /// None: minijinja's spans are others than those that are known here, and the operator stays its own.
    fn edits(&self, operation: &Operation) -> Option<Vec<Edit>> {
        let first = *self.by_start.get(&operation.span.start)?;
        let first = first + usize::from(operation.is_comparison);
        let start = self.tokens.get(first)?.0.start;
        let end = operation.span.end;
        let mut edits = Vec::new();
        let mut edit = |range: Range<usize>, text: String| {
            edits.push(Edit {
                range,
                text,
                blame: start,
            });
        };
        if operation.ends.is_empty() {
            edit(self.tokens[first].0.clone(), format!("{NEGATE}("));
        }
        for (number, after) in operation.ends.iter().enumerate() {
            let (range, written) = self.operator(*after)?;
            let text = match written {
                Kind::Calculates(operator) => format!("|{}(", operator.filter()),
                Kind::Compares(sign) if number == 0 => format!("|{COMPARE}(\"{sign}\","),
                Kind::Compares(sign) => format!(",\"{sign}\","),
                _ => return None,
            };
            if number == 0 && operation.needs_brackets {
                edit(start..start, "(".to_owned());
                edit(range.start..range.start, ")".to_owned());
            }
            edit(range, text);
        }
        edit(end..end, ")".to_owned());
        Some(edits)
    }

    /// The operator that follows an operand, behind the brackets around it.
    fn operator(&self, after: usize) -> Option<(Range<usize>, Kind)> {
        let next = self
            .tokens
            .partition_point(|(range, _)| range.start < after);
        let mut rest = self.tokens[next..]
            .iter()
            .skip_while(|(_, kind)| *kind == Kind::Closing);
        let (range, kind) = rest.next()?;
        match kind {
            Kind::Calculates(_) | Kind::Compares(_) => Some((range.clone(), *kind)),
            Kind::Not => match rest.next()? {
                (last, Kind::Compares("in")) => {
                    Some((range.start..last.end, Kind::Compares("not in")))
                }
                _ => None,
            },
            _ => None,
        }
    }
}
