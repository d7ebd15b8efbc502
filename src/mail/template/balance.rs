//! Elements that one branch of a template opens and another does not: in MJML, a mail that cannot be made; in HTML, one that is torn.
//!
//! Nothing is reported that works for some rows: conditions that are written alike are taken for the same choice, and where two
//! different ones may make up for each other, nobody but the author knows.

mod depth;

use std::collections::HashMap;
use std::ops::Range;

use minijinja::machinery::ast::{Expr, Stmt, UnaryOpKind};
use minijinja::machinery::{Span, parse};
use minijinja::syntax::SyntaxConfig;

use crate::mail::mjml::Change;
use depth::{Choice, Culprit, Depth, Unbalanced};

/// How many open elements the beginning of one is looked for in.
const MOST_OPEN: usize = 100;

/// A source and where elements begin and end in it.
pub(super) struct Markup<'a> {
    pub(super) text: &'a str,
    pub(super) changes: Vec<Change>,
}

/// Looks for it in a template and the snippets that it includes. `constants`: what every mail has counts too.
pub(super) fn first_unbalanced(
    root: &str,
    sources: &HashMap<&str, Markup<'_>>,
    prefix: &str,
    constants: bool,
) -> Option<Unbalanced> {
    let mut walk = Walk {
        sources,
        prefix,
        is_unknown: false,
        known: HashMap::new(),
    };
    let depth = walk.source(root);
    if walk.is_unknown {
        return None;
    }
    depth.fault(constants)
}

struct Walk<'a> {
    sources: &'a HashMap<&'a str, Markup<'a>>,
    /// Of the names of snippets.
    prefix: &'a str,
    /// Something is done with the markup that is not followed here.
    is_unknown: bool,
    /// What the snippets that were looked through add.
    known: HashMap<String, Depth>,
}

/// Where a walk is.
#[derive(Clone, Copy)]
struct Place<'a> {
    name: &'a str,
    markup: &'a Markup<'a>,
}

impl<'a> Walk<'a> {
    fn source(&mut self, name: &str) -> Depth {
        if let Some(known) = self.known.get(name) {
            return known.clone();
        }
        let Some((name, markup)) = self.sources.get_key_value(name) else {
            // One that may be missing, or all of them are.
            return Depth::default();
        };
        let place = Place { name, markup };
        let depth = match parse(markup.text, "", SyntaxConfig::default()) {
            Ok(Stmt::Template(template)) => self.template(place, &template.children),
            _ => self.give_up(),
        };
        self.known.insert((*name).to_owned(), depth.clone());
        depth
    }

    fn template(&mut self, place: Place<'_>, statements: &[Stmt<'_>]) -> Depth {
        let is_layout = |statement: &&Stmt<'_>| matches!(statement, Stmt::Extends(_));
        match statements.iter().find(is_layout) {
            // Of what stands beside its blocks nothing is mailed.
            Some(extends) => {
                for block in statements {
                    self.statement(place, block);
                }
                self.statement(place, extends)
            }
            None => self.statements(place, statements),
        }
    }

    fn statements(&mut self, place: Place<'_>, statements: &[Stmt<'_>]) -> Depth {
        let mut depth = Depth::default();
        let mut pieces = Vec::new();
        for statement in statements {
            match statement {
                Stmt::EmitRaw(raw) => {
                    let range = place.range(raw.raw);
                    depth.sure += place.sum(&range);
                    pieces.push(range);
                }
                other => {
                    let added = self.statement(place, other);
                    depth.add(added);
                }
            }
        }
        depth.culprit = place.culprit(&pieces).or(depth.culprit);
        depth.settle()
    }

    fn statement(&mut self, place: Place<'_>, statement: &Stmt<'_>) -> Depth {
        match statement {
            Stmt::IfCond(_) => self.choice(place, statement),
            Stmt::ForLoop(each) => {
                let iterated = text(place, &each.iter);
                let body = self.statements(place, &each.body);
                let otherwise = self.statements(place, &each.else_body);
                self.repeated(&format!("for {iterated}"), body, otherwise)
            }
            Stmt::WithBlock(with) => self.statements(place, &with.body),
            Stmt::AutoEscape(block) => self.statements(place, &block.body),
            Stmt::Include(include) => self.snippet(&include.name),
            Stmt::Extends(extends) => self.snippet(&extends.name),
            // What they hold comes out elsewhere, or as often as it is called.
            Stmt::Macro(declared) => self.even(place, &declared.body),
            Stmt::SetBlock(set) => self.even(place, &set.body),
            Stmt::CallBlock(block) => self.even(place, &block.macro_decl.body),
            Stmt::Block(block) => self.even(place, &block.body),
            // Only what they define is used.
            Stmt::Import(import) => self.snippet(&import.expr).nothing(),
            Stmt::FromImport(import) => self.snippet(&import.expr).nothing(),
            Stmt::FilterBlock(_) | Stmt::Continue(_) | Stmt::Break(_) => self.give_up(),
            Stmt::EmitExpr(_)
            | Stmt::EmitRaw(_)
            | Stmt::Set(_)
            | Stmt::Do(_)
            | Stmt::Template(_) => Depth::default(),
        }
    }

    fn give_up(&mut self) -> Depth {
        self.is_unknown = true;
        Depth::default()
    }

    /// What must leave the depth as it is, or nothing can be said of all.
    fn even(&mut self, place: Place<'_>, body: &[Stmt<'_>]) -> Depth {
        let depth = self.statements(place, body);
        self.is_unknown |= !depth.is_even();
        Depth::default()
    }

    fn snippet(&mut self, name: &Expr<'_>) -> Depth {
        match name {
            Expr::Const(name) => self.source(&format!("{}{}", self.prefix, name.value)),
            _ => self.give_up(),
        }
    }

    /// `if … elif … else`: one choice of several ways.
    fn choice(&mut self, place: Place<'_>, statement: &Stmt<'_>) -> Depth {
        let (mut conditions, mut ways) = (Vec::new(), Vec::new());
        let mut rest = std::slice::from_ref(statement);
        while let [Stmt::IfCond(choice)] = rest {
            let is_negated = conditions.is_empty()
                && matches!(&choice.expr, Expr::UnaryOp(not) if matches!(not.op, UnaryOpKind::Not));
            let is_chain = matches!(choice.false_body.as_slice(), [Stmt::IfCond(_)]);
            if let (Expr::UnaryOp(not), true, false) = (&choice.expr, is_negated, is_chain) {
                conditions.push(text(place, &not.expr));
                ways.push(self.statements(place, &choice.false_body));
                rest = &choice.true_body;
                break;
            }
            conditions.push(text(place, &choice.expr));
            ways.push(self.statements(place, &choice.true_body));
            rest = &choice.false_body;
        }
        ways.push(self.statements(place, rest));
        let key = conditions.join("|");
        let last = ways.last().map_or(0, |way| way.sure);
        let deltas: Vec<i64> = ways.iter().map(|way| way.sure - last).collect();
        let culprit = ways
            .iter()
            .filter(|way| way.sure != 0)
            .find_map(|way| way.culprit.clone());
        let mut depth = Depth {
            sure: last,
            culprit: culprit.clone(),
            ..Depth::default()
        };
        let choice = Choice {
            ways: deltas,
            is_repeated: false,
            is_vague: false,
            what: "one branch of {% if … %}",
            culprit,
        };
        depth.choices.insert(key.clone(), choice);
        for (index, way) in ways.into_iter().enumerate() {
            for (inner, choice) in way.choices {
                depth
                    .choices
                    .insert(format!("{key} > {index} > {inner}"), choice);
            }
        }
        depth.settle()
    }

    /// A body that comes as often as there are rows, or something else in its place.
    fn repeated(&self, key: &str, body: Depth, otherwise: Depth) -> Depth {
        let mut depth = Depth::default();
        let is_vague = !body.choices.is_empty();
        let (least, most) = body.range();
        let culprits = [&body, &otherwise].map(|part| {
            let chosen = part
                .choices
                .values()
                .find_map(|found| found.culprit.clone());
            part.culprit.clone().filter(|_| part.sure != 0).or(chosen)
        });
        let choice = |ways, is_vague, is_repeated, culprit| Choice {
            ways,
            is_repeated,
            is_vague,
            what: match is_repeated {
                true => "the body of {% for … %}",
                false => "the branch for no rows of {% for … %}",
            },
            culprit,
        };
        let [of_body, of_other] = culprits;
        let signs = vec![sign(least.min(0.0)), sign(most.max(0.0)), 0];
        let ways = match is_vague {
            true => signs,
            false => vec![body.sure, 0, 0],
        };
        depth
            .choices
            .insert(key.to_owned(), choice(ways, is_vague, true, of_body));
        let is_vague = !otherwise.choices.is_empty();
        let ways = vec![otherwise.sure, 0];
        depth.choices.insert(
            format!("else of {key}"),
            choice(ways, is_vague, false, of_other),
        );
        for (inner, choice) in otherwise.choices {
            depth
                .choices
                .insert(format!("else of {key} > {inner}"), choice);
        }
        depth.settle()
    }
}

fn sign(value: f64) -> i64 {
    i64::from(value > 0.0) - i64::from(value < 0.0)
}

impl Place<'_> {
    /// Where a piece of its text stands.
    fn range(&self, piece: &str) -> Range<usize> {
        let start = piece.as_ptr().addr();
        let start = start.saturating_sub(self.markup.text.as_ptr().addr());
        start..start + piece.len()
    }

    fn within(&self, range: &Range<usize>) -> &[Change] {
        let changes = &self.markup.changes;
        let start = changes.partition_point(|change| change.offset < range.start);
        let end = changes.partition_point(|change| change.offset < range.end);
        &changes[start..end.max(start)]
    }

    fn sum(&self, range: &Range<usize>) -> i64 {
        let step = |change: &Change| if change.begins { 1 } else { -1 };
        self.within(range).iter().map(step).sum()
    }

    /// The first element that pieces leave open, or end without having begun it.
    fn culprit(&self, pieces: &[Range<usize>]) -> Option<Culprit> {
        let mut open: Vec<&Change> = Vec::new();
        let mut wrong: Option<&Change> = None;
        for change in pieces.iter().flat_map(|piece| self.within(piece)) {
            if change.begins {
                open.push(change);
                continue;
            }
            let begun = open
                .iter()
                .rev()
                .take(MOST_OPEN)
                .position(|begun| change.name.is_empty() || begun.name == change.name);
            match begun {
                Some(above) => {
                    let at = open.len() - 1 - above;
                    wrong = wrong.or(open.get(at + 1).copied());
                    open.truncate(at);
                }
                None => wrong = wrong.or(Some(change)),
            }
        }
        Some(Culprit {
            source: self.name.to_owned(),
            change: wrong.or(open.first().copied())?.clone(),
        })
    }
}

fn range(span: Span) -> Range<usize> {
    let place = |offset: u32| usize::try_from(offset).unwrap_or(usize::MAX);
    place(span.start_offset)..place(span.end_offset)
}

/// An expression as it is written.
fn text(place: Place<'_>, expression: &Expr<'_>) -> String {
    let written = place.markup.text.get(range(expression.span()));
    let mut words: Vec<&str> = written.unwrap_or_default().split_whitespace().collect();
    // Minijinja lets a comparison begin with the word before it.
    if matches!(words.first(), Some(&("if" | "elif" | "in" | "not"))) {
        words.remove(0);
    }
    words.join(" ")
}

#[cfg(test)]
mod tests;
