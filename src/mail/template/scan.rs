//! What a template refers to: variables, and snippets by name.
//!
//! It walks minijinja's syntax tree and not the result of `undeclared_variables`, which knows neither where a variable
//! stands nor whether the template asks first if it is there. Nothing here knows scopes: a name that is assigned
//! anywhere counts as assigned everywhere, so that nothing is reported that works.

use std::collections::BTreeSet;
use std::ops::Range;

use minijinja::machinery::ast::{BinOpKind, CallArg, Expr, Macro, Spanned, Stmt, UnaryOpKind};
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
    /// The first operand is put together by `~`.
    pub(super) is_concatenation: bool,
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

fn end(span: Span) -> usize {
    usize::try_from(span.end_offset).unwrap_or(usize::MAX)
}

fn is_constant(expression: &Expr<'_>) -> bool {
    matches!(expression, Expr::Const(_))
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

/// A method, as in `record.items()`, counts for the value that it is called on.
fn whose<'a, 'b>(called: &'b Expr<'a>) -> &'b Expr<'a> {
    match called {
        Expr::GetAttr(method) => &method.expr,
        other => other,
    }
}

/// Gives the paths that a condition asks about with `is defined` or `is undefined`.
fn guards(condition: &Expr<'_>, found: &mut Vec<Vec<String>>) {
    match condition {
        Expr::Test(test) if matches!(test.name, "defined" | "undefined") => {
            found.extend(path(&test.expr));
        }
        Expr::UnaryOp(operation) => guards(&operation.expr, found),
        Expr::BinOp(operation) => {
            guards(&operation.left, found);
            guards(&operation.right, found);
        }
        _ => {}
    }
}

impl Scan {
    fn used(&mut self, path: Vec<String>, offset: usize, guarded: bool) {
        if path[0] == "self" {
            self.block_call.get_or_insert(offset);
        }
        let guarded = guarded || self.guards.iter().any(|guard| path.starts_with(guard));
        self.uses.push(Use {
            path,
            offset,
            guarded,
            printed: false,
        });
    }

    /// `{{ name }}`, `{{ macro(…) }}` and `{{ module.macro(…) }}` print what they name; other expressions make something of
    /// it.
    fn print(&mut self, expression: &Expr<'_>) {
        let (head, arguments) = match expression {
            Expr::Call(call) => (whose(&call.expr), &call.args[..]),
            other => (other, &[][..]),
        };
        match path(head) {
            Some(path) => {
                if let Expr::Call(call) = expression {
                    self.method(&call.expr);
                }
                self.used(path, offset(head.span()), false);
                self.uses
                    .last_mut()
                    .into_iter()
                    .for_each(|head| head.printed = true);
                self.arguments(arguments);
            }
            None => self.expression(expression),
        }
    }

    /// Walks with what a condition asks about taken as asked.
    fn guarded_by(&mut self, condition: &Expr<'_>, walk: impl FnOnce(&mut Self)) {
        let before = self.guards.len();
        guards(condition, &mut self.guards);
        walk(self);
        self.guards.truncate(before);
    }

    fn expression(&mut self, expression: &Expr<'_>) {
        self.expression_or(expression, false);
    }

    fn expression_or(&mut self, expression: &Expr<'_>, guarded: bool) {
        if let Some(path) = path(expression) {
            return self.used(path, offset(expression.span()), guarded);
        }
        self.operation(expression);
        match expression {
            // The path has been read.
            Expr::Var(_) | Expr::Const(_) => {}
            Expr::GetAttr(attribute) => self.expression_or(&attribute.expr, guarded),
            Expr::GetItem(item) => {
                self.expression_or(&item.expr, guarded);
                self.expression(&item.subscript_expr);
            }
            Expr::Slice(slice) => {
                self.expression(&slice.expr);
                for bound in [&slice.start, &slice.stop, &slice.step] {
                    bound.iter().for_each(|bound| self.expression(bound));
                }
            }
            Expr::UnaryOp(operation) => self.expression(&operation.expr),
            Expr::BinOp(operation) => self.guarded_by(expression, |scan| {
                scan.expression(&operation.left);
                scan.expression(&operation.right);
            }),
            Expr::Compare(comparison) => {
                self.expression(&comparison.expr);
                for operand in &comparison.ops {
                    self.expression(&operand.expr);
                }
            }
            Expr::IfExpr(choice) => self.guarded_by(&choice.test_expr, |scan| {
                scan.expression(&choice.test_expr);
                scan.expression(&choice.true_expr);
                choice
                    .false_expr
                    .iter()
                    .for_each(|expr| scan.expression(expr));
            }),
            Expr::Filter(filter) => {
                let guarded = matches!(filter.name, "default" | "d");
                // map("safe")
                let by_name = |argument: &CallArg<'_>| !matches!(argument, CallArg::Kwarg(..));
                self.alters_markup |= matches!(filter.name, "safe" | "escape" | "e")
                    || (filter.name == "map" && filter.args.iter().any(by_name));
                filter
                    .expr
                    .iter()
                    .for_each(|expr| self.expression_or(expr, guarded));
                self.arguments(&filter.args);
            }
            Expr::Test(test) => {
                let guarded = matches!(test.name, "defined" | "undefined");
                self.expression_or(&test.expr, guarded);
                self.arguments(&test.args);
            }
            Expr::Call(call) => self.call(&call.expr, &call.args),
            Expr::List(list) => list.items.iter().for_each(|item| self.expression(item)),
            Expr::Tuple(tuple) => tuple.items.iter().for_each(|item| self.expression(item)),
            Expr::Map(map) => {
                for item in map.keys.iter().chain(&map.values) {
                    self.expression(item);
                }
            }
        }
    }

    /// Notes what [`super::operators`] writes anew.
    fn operation(&mut self, expression: &Expr<'_>) {
        let (span, ends, is_comparison, first) = match expression {
            Expr::UnaryOp(operation)
                if matches!(operation.op, UnaryOpKind::Neg) && !is_constant(&operation.expr) =>
            {
                (operation.span(), Vec::new(), false, None)
            }
            Expr::BinOp(operation)
                if !matches!(
                    operation.op,
                    BinOpKind::ScAnd | BinOpKind::ScOr | BinOpKind::Concat
                ) =>
            {
                if is_constant(&operation.left) && is_constant(&operation.right) {
                    return;
                }
                let ends = vec![end(operation.left.span())];
                (
                    operation.span(),
                    ends,
                    matches!(
                        operation.op,
                        BinOpKind::Eq
                            | BinOpKind::Ne
                            | BinOpKind::Lt
                            | BinOpKind::Lte
                            | BinOpKind::Gt
                            | BinOpKind::Gte
                            | BinOpKind::In
                    ),
                    Some(&operation.left),
                )
            }
            Expr::Compare(comparison) => {
                let middle = comparison.ops.iter().rev().skip(1).rev();
                let ends = std::iter::once(&comparison.expr)
                    .chain(middle.map(|operand| &operand.expr))
                    .map(|operand| end(operand.span()))
                    .collect();
                (comparison.span(), ends, true, Some(&comparison.expr))
            }
            _ => return,
        };
        self.operations.push(Operation {
            span: offset(span)..end(span),
            ends,
            is_comparison,
            is_concatenation: matches!(first, Some(Expr::BinOp(first)) if matches!(first.op, BinOpKind::Concat)),
        });
    }

    fn method(&mut self, called: &Expr<'_>) {
        if let Expr::GetAttr(method) = called {
            self.methods.push(Method {
                name: method.name.to_owned(),
                root: path(&method.expr).map(|mut path| path.swap_remove(0)),
                offset: end(method.span()).saturating_sub(method.name.len()),
            });
        }
    }

    fn call(&mut self, called: &Expr<'_>, arguments: &[CallArg<'_>]) {
        self.method(called);
        self.expression(whose(called));
        self.arguments(arguments);
    }

    fn arguments(&mut self, arguments: &[CallArg<'_>]) {
        for argument in arguments {
            match argument {
                CallArg::Pos(expression)
                | CallArg::Kwarg(_, expression)
                | CallArg::PosSplat(expression)
                | CallArg::KwargSplat(expression) => self.expression(expression),
            }
        }
    }

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
