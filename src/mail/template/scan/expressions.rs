//! The expressions of a template: what they read, ask about, compute and call.

use minijinja::machinery::Span;
use minijinja::machinery::ast::{BinOp, BinOpKind, CallArg, Expr, UnaryOpKind};

use super::{Method, Operation, Scan, Use, offset, path};

fn end(span: Span) -> usize {
    usize::try_from(span.end_offset).unwrap_or(usize::MAX)
}

fn is_constant(expression: &Expr<'_>) -> bool {
    matches!(expression, Expr::Const(_))
}

/// Whether minijinja calculates it itself, as no decimal can take part. A text before `%` is a format, which it does not know.
fn is_of_constants(operation: &BinOp<'_>) -> bool {
    let is_format = matches!(operation.op, BinOpKind::Rem)
        && matches!(&operation.left, Expr::Const(text) if text.value.as_str().is_some());
    is_constant(&operation.left) && is_constant(&operation.right) && !is_format
}

/// Whether an operation stays an operator, so that as the left side of another one, which becomes a filter, it needs brackets: a
/// filter is for the last value before it.
fn stays(expression: &Expr<'_>) -> bool {
    matches!(expression, Expr::BinOp(operation)
        if matches!(operation.op, BinOpKind::Concat) || is_of_constants(operation))
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
    pub(super) fn print(&mut self, expression: &Expr<'_>) {
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
    pub(super) fn guarded_by(&mut self, condition: &Expr<'_>, walk: impl FnOnce(&mut Self)) {
        let before = self.guards.len();
        guards(condition, &mut self.guards);
        walk(self);
        self.guards.truncate(before);
    }

    pub(super) fn expression(&mut self, expression: &Expr<'_>) {
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

    /// Notes what [`super::super::operators`] writes anew.
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
                if is_of_constants(operation) {
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
            needs_brackets: first.is_some_and(stays),
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

    pub(super) fn call(&mut self, called: &Expr<'_>, arguments: &[CallArg<'_>]) {
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
}
