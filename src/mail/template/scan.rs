//! What a template refers to: variables, and snippets by name.
//!
//! It walks minijinja's syntax tree and not the result of `undeclared_variables`, which knows neither where a variable
//! stands nor whether the template asks first if it is there. Nothing here knows scopes: a name that is assigned
//! anywhere counts as assigned everywhere, so that nothing is reported that works.

mod expressions;

use std::collections::BTreeSet;
use std::ops::Range;

use minijinja::machinery::ast::{Expr, Macro, Spanned, Stmt};
use minijinja::machinery::{Span, parse};
use minijinja::syntax::SyntaxConfig;

/// A variable as it is written: `record.address.city`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Use {
    pub(super) path: Vec<String>,
    /// Byte offset in the source.
    pub(super) offset: usize,
    /// The template asks whether it is there, or says what stands for it.
    pub(super) guarded: bool,
    /// What it holds, or gives when called, is printed as it is.
    pub(super) printed: bool,
}

/// A snippet that is included, extended or imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reference {
    pub(super) snippet: String,
    pub(super) offset: usize,
    /// `ignore missing`
    pub(super) optional: bool,
}

/// Values that an operator joins, or negates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Operation {
    /// Where minijinja says that it stands; that of a comparison begins one token too early.
    pub(super) span: Range<usize>,
    /// Where each operand but the last ends, without brackets behind it.
    pub(super) ends: Vec<usize>,
    pub(super) is_comparison: bool,
    /// The first operand stays an operation, such as `a ~ b`.
    pub(super) needs_brackets: bool,
}

/// A method that is called on a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Method {
    pub(super) name: String,
    /// The variable at the head of the value; None: it is none.
    pub(super) root: Option<String>,
    pub(super) offset: usize,
}

/// What one source refers to.
#[derive(Debug, Default)]
pub(super) struct Scan {
    pub(super) operations: Vec<Operation>,
    pub(super) methods: Vec<Method>,
    pub(super) uses: Vec<Use>,
    pub(super) references: Vec<Reference>,
    /// Names that the source itself gives a value somewhere.
    pub(super) assigned: BTreeSet<String>,
    /// Where a snippet's name is no constant.
    pub(super) computed_reference: Option<usize>,
    /// Where a block is called by name. Blocks that call each other overflow the stack long before minijinja's limit of
    /// recursion, which takes a block for as small as a loop.
    pub(super) block_call: Option<usize>,
    /// Names whose values are finished markup: macros, blocks of text, imported macros.
    pub(super) markup: BTreeSet<String>,
    /// It may print unescaped what is no markup of its own, or change what it has written.
    pub(super) alters_markup: bool,
    /// Paths that a surrounding condition asks about.
    guards: Vec<Vec<String>>,
}

/// Looks through a source; one that does not parse refers to nothing.
pub(super) fn scan(source: &str) -> Scan {
    let mut scan = Scan::default();
    if let Ok(template) = parse(source, "", SyntaxConfig::default()) {
        scan.statement(&template);
    }
    scan
}

fn offset(span: Span) -> usize {
    usize::try_from(span.start_offset).unwrap_or(usize::MAX)
}

/// Reads `a.b["c"]`; None for what is no chain of names.
fn path(expression: &Expr<'_>) -> Option<Vec<String>> {
    let mut names = Vec::new();
    let mut rest = expression;
    loop {
        match rest {
            Expr::Var(variable) => {
                names.push(variable.id.to_owned());
                names.reverse();
                return Some(names);
            }
            Expr::GetAttr(attribute) => {
                names.push(attribute.name.to_owned());
                rest = &attribute.expr;
            }
            Expr::GetItem(item) => {
                let name = match &item.subscript_expr {
                    Expr::Const(constant) => constant.value.as_str().map(str::to_owned),
                    _ => None,
                };
                names.push(name?);
                rest = &item.expr;
            }
            _ => return None,
        }
    }
}

impl Scan {
    fn assign(&mut self, target: &Expr<'_>) {
        match target {
            Expr::Var(variable) => {
                self.assigned.insert(variable.id.to_owned());
            }
            Expr::List(list) => list.items.iter().for_each(|item| self.assign(item)),
            Expr::Tuple(tuple) => tuple.items.iter().for_each(|item| self.assign(item)),
            // An attribute of a namespace.
            other => self.expression(other),
        }
    }

    fn markup_in(&mut self, target: &Expr<'_>) {
        // The variable itself, or the namespace that it is put into.
        self.markup
            .extend(path(target).map(|mut path| path.swap_remove(0)));
    }

    fn refer(&mut self, name: &Expr<'_>, optional: bool) {
        let offset = offset(name.span());
        match name {
            Expr::Const(constant) if constant.value.as_str().is_some() => {
                self.references.push(Reference {
                    snippet: constant.value.as_str().unwrap_or_default().to_owned(),
                    offset,
                    optional,
                });
            }
            _ => {
                self.computed_reference.get_or_insert(offset);
            }
        }
    }

    fn declare(&mut self, declared: &Spanned<Macro<'_>>) {
        for name in [declared.name, "caller"] {
            self.assigned.insert(name.to_owned());
            self.markup.insert(name.to_owned());
        }
        declared
            .args
            .iter()
            .for_each(|argument| self.assign(argument));
        declared
            .defaults
            .iter()
            .for_each(|value| self.expression(value));
        self.statements(&declared.body);
    }

    fn statements(&mut self, statements: &[Stmt<'_>]) {
        statements
            .iter()
            .for_each(|statement| self.statement(statement));
    }

    fn statement(&mut self, statement: &Stmt<'_>) {
        match statement {
            Stmt::Template(template) => self.statements(&template.children),
            Stmt::EmitExpr(emit) => self.print(&emit.expr),
            Stmt::EmitRaw(_) | Stmt::Continue(_) | Stmt::Break(_) => {}
            Stmt::ForLoop(each) => {
                self.assigned.insert("loop".to_owned());
                // Called, it prints the next level.
                self.alters_markup |= each.recursive;
                self.assign(&each.target);
                self.expression(&each.iter);
                each.filter_expr
                    .iter()
                    .for_each(|filter| self.expression(filter));
                self.statements(&each.body);
                self.statements(&each.else_body);
            }
            Stmt::IfCond(choice) => self.guarded_by(&choice.expr, |scan| {
                scan.expression(&choice.expr);
                scan.statements(&choice.true_body);
                scan.statements(&choice.false_body);
            }),
            Stmt::WithBlock(with) => {
                for (target, value) in &with.assignments {
                    self.assign(target);
                    self.expression(value);
                }
                self.statements(&with.body);
            }
            Stmt::Set(set) => {
                self.assign(&set.target);
                self.expression(&set.expr);
            }
            Stmt::SetBlock(set) => {
                self.assign(&set.target);
                self.markup_in(&set.target);
                self.alters_markup |= set.filter.is_some();
                set.filter.iter().for_each(|filter| self.expression(filter));
                self.statements(&set.body);
            }
            Stmt::AutoEscape(block) => {
                self.alters_markup = true;
                self.expression(&block.enabled);
                self.statements(&block.body);
            }
            Stmt::FilterBlock(block) => {
                self.alters_markup = true;
                self.expression(&block.filter);
                self.statements(&block.body);
            }
            Stmt::Block(block) => {
                self.assigned.insert("super".to_owned());
                self.markup.insert("super".to_owned());
                self.statements(&block.body);
            }
            Stmt::Import(import) => {
                self.refer(&import.expr, false);
                self.assign(&import.name);
                self.markup_in(&import.name);
            }
            Stmt::FromImport(import) => {
                self.refer(&import.expr, false);
                for (name, alias) in &import.names {
                    let name = alias.as_ref().unwrap_or(name);
                    self.assign(name);
                    self.markup_in(name);
                }
            }
            Stmt::Extends(extends) => self.refer(&extends.name, false),
            Stmt::Include(include) => self.refer(&include.name, include.ignore_missing),
            Stmt::Macro(declared) => self.declare(declared),
            Stmt::CallBlock(block) => {
                let before = self.uses.len();
                self.call(&block.call.expr, &block.call.args);
                // The first is what is called.
                self.uses
                    .get_mut(before)
                    .into_iter()
                    .for_each(|head| head.printed = true);
                self.declare(&block.macro_decl);
            }
            Stmt::Do(call) => self.call(&call.call.expr, &call.call.args),
        }
    }
}
