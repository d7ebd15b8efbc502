//! Checks the SQL expressions that users write: exactly one expression, by its parse tree, that plans against the relation.

use std::ffi::{CStr, CString};

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use crate::extension::error_position::pointing_into;
use crate::extension::run_as_owner;

/// Raises unless `text` is one SQL expression: no list, no clause after it, no second statement.
fn require_one_expression(text: &str, what: &str) {
    let refuse = |detail: &str| {
        ErrorReport::new(PgSqlErrorCode::ERRCODE_SYNTAX_ERROR, format!("{what} must be exactly one SQL expression"), "check_expression")
            .set_detail(format!("{detail}: {text}"))
            .set_hint("Write what could stand after WHERE or SELECT, over the alias self: self.country = 'FR'")
            .report(PgLogLevel::ERROR);
        unreachable!("an ERROR does not return")
    };
    let Ok(source) = CString::new(text) else {
        refuse("It contains a null byte")
    };
    if text.trim().is_empty() {
        refuse("It is empty");
    }
    let statements = pointing_into(text, "", what, || {
        // SAFETY: raw_parser only looks at the text, and returns a list in the current memory context.
        unsafe {
            pg_sys::raw_parser(
                source.as_ptr(),
                pg_sys::RawParseMode::RAW_PARSE_PLPGSQL_EXPR,
            )
        }
    });
    // SAFETY: the parser returns a list of one RawStmt that holds a SelectStmt; its fields are read as such.
    let only_a_target = unsafe {
        let raw = pg_sys::list_nth(statements, 0).cast::<pg_sys::RawStmt>();
        let select = &*(*raw).stmt.cast::<pg_sys::SelectStmt>();
        (*statements).length == 1
            && select.type_ == pg_sys::NodeTag::T_SelectStmt
            && select.op == pg_sys::SetOperation::SETOP_NONE
            && !select.targetList.is_null()
            && (*select.targetList).length == 1
            && {
                let target = pg_sys::list_nth(select.targetList, 0).cast::<pg_sys::ResTarget>();
                (*target).name.is_null()
            }
            && [
                select.distinctClause,
                select.fromClause,
                select.groupClause,
                select.windowClause,
                select.valuesLists,
                select.sortClause,
                select.lockingClause,
            ]
            .iter()
            .all(|clause| clause.is_null())
            && [
                select.whereClause,
                select.havingClause,
                select.limitOffset,
                select.limitCount,
            ]
            .iter()
            .all(|clause| clause.is_null())
            && select.intoClause.is_null()
            && select.withClause.is_null()
    };
    if !only_a_target {
        refuse("It is a list or a query");
    }
}

/// The relation's name, qualified and quoted.
pub(super) fn relation_name(relation: pg_sys::Oid) -> String {
    // SAFETY: syscache look-ups; the strings are copied.
    unsafe {
        let name = pg_sys::get_rel_name(relation);
        let namespace = pg_sys::get_namespace_name(pg_sys::get_rel_namespace(relation));
        if name.is_null() || namespace.is_null() {
            ereport!(
                ERROR,
                PgSqlErrorCode::ERRCODE_UNDEFINED_TABLE,
                format!("relation with OID {} does not exist", relation.to_u32())
            );
        }
        CStr::from_ptr(pg_sys::quote_qualified_identifier(namespace, name))
            .to_string_lossy()
            .into_owned()
    }
}

/// What stands around an expression that may read the results of calls: `record.results`. A query of its own, so that other
/// names mean what they mean without.
const WITH_RESULTS: [&str; 2] = [
    "exists (select from (select null::pg_catalog.jsonb as results) as record where ",
    ")",
];

/// Checks a boolean expression; the error is what PostgreSQL says of it in a WHERE clause.
#[pg_extern(sql = false)]
fn check_condition(owner: pg_sys::Oid, relation: pg_sys::Oid, expression: &str, what: &str) {
    plan_in_where(owner, relation, expression, what, ["", ""]);
}

/// As `check_condition`, for an expression that may read the results of calls.
#[pg_extern(sql = false)]
fn check_condition_with_results(
    owner: pg_sys::Oid,
    relation: pg_sys::Oid,
    expression: &str,
    what: &str,
) {
    plan_in_where(owner, relation, expression, what, WITH_RESULTS);
}

/// Checks an expression of any scalar type that has a text form, and returns the type.
#[pg_extern(sql = false)]
fn check_expression(
    owner: pg_sys::Oid,
    relation: pg_sys::Oid,
    expression: &str,
    what: &str,
) -> pg_sys::Oid {
    let value = format!("(\n{expression}\n)");
    scalar(owner, relation, expression, what, ["", ""], &value)
}

/// As `check_expression`, for an expression that may read the results of calls.
#[pg_extern(sql = false)]
fn check_expression_with_results(
    owner: pg_sys::Oid,
    relation: pg_sys::Oid,
    expression: &str,
    what: &str,
) -> pg_sys::Oid {
    let value = format!(
        "(select (\n{expression}\n) from (select null::pg_catalog.jsonb as results) as record)"
    );
    scalar(owner, relation, expression, what, WITH_RESULTS, &value)
}

/// Plans one expression in a WHERE clause, where neither aggregates and window functions nor sets may stand, between two texts.
fn plan_in_where(
    owner: pg_sys::Oid,
    relation: pg_sys::Oid,
    expression: &str,
    what: &str,
    [before, after]: [&str; 2],
) {
    require_one_expression(expression, what);
    let prefix = format!(
        "select from {} as self where {before}(\n",
        relation_name(relation)
    );
    pointing_into(expression, &prefix, what, || {
        run_as_owner::plan(
            owner,
            relation,
            &format!("{prefix}{expression}\n){after}"),
            false,
        )
    });
}

/// Checks that an expression is a scalar, and returns its type; `value` is the expression as what a row is asked for.
fn scalar(
    owner: pg_sys::Oid,
    relation: pg_sys::Oid,
    expression: &str,
    what: &str,
    [before, after]: [&str; 2],
    value: &str,
) -> pg_sys::Oid {
    let before = format!("{before}(");
    let after = format!("::pg_catalog.text is not null){after}");
    plan_in_where(owner, relation, expression, what, [&before, &after]);
    let query = format!(
        "select pg_catalog.pg_typeof((select {value} from {} as self limit 0))::oid",
        relation_name(relation)
    );
    let Ok(text) = CString::new(query.as_str()) else {
        pgrx::error!("query contains a null byte");
    };
    let checked = run_as_owner::Query {
        text: &text,
        keys: false,
        writes: false,
    };
    // Not by `Spi::get_one`, which assigns a transaction id: a standby, where check_scenario() is asked too, has none to give.
    run_as_owner::as_owner(owner, relation, checked, || {
        Spi::connect(|client| {
            client
                .select(query.as_str(), Some(1), &[])?
                .first()
                .get_one::<pg_sys::Oid>()
        })
    })
    .ok()
    .flatten()
    // An untyped literal.
    .filter(|of_type| *of_type != pg_sys::UNKNOWNOID)
    .unwrap_or(pg_sys::TEXTOID)
}

#[cfg(any(test, feature = "pg_test"))]
#[pg_schema]
mod tests {
    use super::*;

    /// What check_condition says of an expression over the shipped model party; None: nothing.
    fn complaint(expression: &str) -> Option<String> {
        Spi::run(
            "create or replace function pg_temp.complaint(expression text) returns text language plpgsql as $$
             begin
                 perform marketing_automation_internal.check_condition(quote_ident(current_user)::regrole, 'marketing_automation.party', expression, 'domain');
                 return null;
             exception when others then
                 return sqlerrm;
             end $$",
        )
        .expect("created");
        Spi::get_one_with_args::<String>("select pg_temp.complaint($1)", &[expression.into()])
            .expect("called")
    }

    #[pg_test]
    fn one_expression_is_accepted_however_it_is_written() {
        for expression in [
            "true",
            "(true)",
            "self.id = 1 and self.id in (select id from marketing_automation.sale) -- comment",
            "case when self.id > 1 then 1 end = 1",
            "exists (select from marketing_automation.sale order by id limit 1)",
            "self.name = 'it''s; fine'",
            "$tag$;$tag$ = self.name",
            "/* ; */ true",
            "row(1, 2) = row(1, 2)",
        ] {
            assert_eq!(complaint(expression), None, "{expression}");
        }
    }

    #[pg_test]
    fn anything_else_is_refused() {
        for expression in [
            "",
            " ",
            "-- only a comment",
            "true, true",
            "true as x",
            "distinct true",
            "true from marketing_automation.sale",
            "true where true",
            "true group by 1",
            "true having true",
            "true window w as ()",
            "true order by 1",
            "true limit 1",
            "true offset 1",
            "true for update",
            "true union select true",
            "true; select 1",
            "true;",
            "true)",
            "(true",
            "select true",
            "'open",
            "into x true",
        ] {
            assert!(complaint(expression).is_some(), "{expression}");
        }
    }
}
