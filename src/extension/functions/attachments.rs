//! Checks the query that gives a mail its files, when it is written, and what it has given.

use std::ffi::{CStr, CString};

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use super::expression::relation_name;
use crate::extension::error_position::pointing_into;
use crate::extension::run_as_owner;
use crate::mail::attachment::{self, File};

const HINT: &str = "Write a query over self that gives name, type (both text), content (bytea) and, for pictures of the HTML, cid (text): \
     select d.name, 'application/pdf' as type, d.pdf as content from shop.document d where d.order_id = self.id";

fn refuse(code: PgSqlErrorCode, what: &str, detail: String) -> ! {
    ErrorReport::new(
        code,
        format!("{what} cannot be asked for"),
        "check_attachments",
    )
    .set_detail(detail)
    .set_hint(HINT)
    .report(PgLogLevel::ERROR);
    unreachable!("an ERROR does not return")
}

/// Raises unless `text` is one query by itself: no second statement, nothing after it.
fn require_one_query(text: &str, what: &str) {
    let Ok(source) = CString::new(text) else {
        refuse(
            PgSqlErrorCode::ERRCODE_SYNTAX_ERROR,
            what,
            "It contains a null byte.".to_owned(),
        )
    };
    let is_query = pointing_into(text, "", what, || {
        // SAFETY: raw_parser only looks at the text, and returns a list of RawStmts in the current memory context.
        unsafe {
            let statements =
                pg_sys::raw_parser(source.as_ptr(), pg_sys::RawParseMode::RAW_PARSE_DEFAULT);
            !statements.is_null() && (*statements).length == 1 && {
                let raw = &*pg_sys::list_nth(statements, 0).cast::<pg_sys::RawStmt>();
                // Of a statement that ends with a semicolon the length is known.
                (*raw.stmt).type_ == pg_sys::NodeTag::T_SelectStmt && raw.stmt_len == 0 && {
                    let select = &*raw.stmt.cast::<pg_sys::SelectStmt>();
                    select.intoClause.is_null() && select.lockingClause.is_null()
                }
            }
        }
    });
    if !is_query {
        refuse(
            PgSqlErrorCode::ERRCODE_SYNTAX_ERROR,
            what,
            "It is not one query, without a semicolon.".to_owned(),
        );
    }
}

/// Whether a type, or what a domain is over, is one of these.
fn is_one_of(of_type: pg_sys::Oid, types: &[pg_sys::Oid]) -> bool {
    // SAFETY: a look-up in the system cache.
    types.contains(&unsafe { pg_sys::getBaseType(of_type) })
}

/// Checks the query of an activity: that it plans as its owner, and gives the columns that files have.
#[pg_extern(sql = false)]
fn check_attachments(
    owner: pg_sys::Oid,
    relation: pg_sys::Oid,
    query: &str,
    what: &str,
    with_results: bool,
) {
    require_one_query(query, what);
    let prefix = format!(
        "select files.* from {} as self {} cross join lateral (\n",
        relation_name(relation),
        match with_results {
            true => "cross join (select null::jsonb as results) as record",
            false => "",
        }
    );
    let probe = format!("{prefix}{query}\n) as files limit 0");
    let Ok(text) = CString::new(probe.as_str()) else {
        pgrx::error!("query contains a null byte");
    };
    let checked = run_as_owner::Query {
        text: &text,
        keys: false,
        writes: false,
    };
    let columns = pointing_into(query, &prefix, what, || {
        run_as_owner::as_owner(owner, relation, checked, || columns(&text))
    });
    const TEXTS: [pg_sys::Oid; 4] = [
        pg_sys::TEXTOID,
        pg_sys::VARCHAROID,
        pg_sys::BPCHAROID,
        pg_sys::NAMEOID,
    ];
    for (name, types) in [
        ("name", &TEXTS[..]),
        ("type", &TEXTS[..]),
        ("content", &[pg_sys::BYTEAOID][..]),
        ("cid", &TEXTS[..]),
    ] {
        let mut found = columns.iter().filter(|(column, _)| column == name);
        let of_type = match (found.next(), found.next()) {
            (Some((_, of_type)), None) => *of_type,
            (None, _) if name == "cid" => continue,
            (None, _) => refuse(
                PgSqlErrorCode::ERRCODE_UNDEFINED_COLUMN,
                what,
                format!("It gives no column {name}."),
            ),
            (Some(_), Some(_)) => refuse(
                PgSqlErrorCode::ERRCODE_AMBIGUOUS_COLUMN,
                what,
                format!("It gives two columns {name}."),
            ),
        };
        if !is_one_of(of_type, types) {
            // SAFETY: gives a C string for any type.
            let type_name = unsafe {
                CStr::from_ptr(pg_sys::format_type_be(of_type))
                    .to_string_lossy()
                    .into_owned()
            };
            refuse(
                PgSqlErrorCode::ERRCODE_DATATYPE_MISMATCH,
                what,
                format!("Its column {name} has the type {type_name}."),
            );
        }
    }
}

/// Names and types of the columns of a query that gives no row.
fn columns(query: &CStr) -> Vec<(String, pg_sys::Oid)> {
    // SAFETY: the documented use of SPI; errors are raised and clean up by the abort. What is read is copied before SPI ends.
    unsafe {
        pg_sys::SPI_connect();
        let status = pg_sys::SPI_execute(query.as_ptr(), true, 0);
        if status != pg_sys::SPI_OK_SELECT as i32 {
            pgrx::error!("SPI_execute failed: {status}");
        }
        let description = (*pg_sys::SPI_tuptable).tupdesc;
        let columns = (1..=(*description).natts)
            .map(|number| {
                let name = pg_sys::SPI_fname(description, number);
                (
                    CStr::from_ptr(name).to_string_lossy().into_owned(),
                    pg_sys::SPI_gettypeid(description, number),
                )
            })
            .collect();
        pg_sys::SPI_finish();
        columns
    }
}

/// Why a mail with this HTML cannot take these files along; null: it can.
#[pg_extern(sql = false)]
fn attachment_fault(
    names: Vec<Option<String>>,
    types: Vec<Option<String>>,
    cids: Vec<Option<String>>,
    sizes: Vec<Option<i64>>,
    html: &str,
) -> Option<String> {
    let files: Vec<File> = names
        .into_iter()
        .zip(types)
        .zip(cids)
        .zip(sizes)
        .map(|(((name, content_type), cid), size)| File {
            name,
            content_type,
            cid,
            size: size.map(i64::unsigned_abs),
        })
        .collect();
    let labels = match attachment::labels(&files) {
        Ok(labels) => labels,
        Err(reason) => return Some(reason),
    };
    attachment::check_references(html, |cid| labels.iter().any(|label| label.is(cid))).err()
}
