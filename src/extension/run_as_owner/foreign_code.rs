//! Finds the code that a query would run with its role's rights, and whose that code is.
//!
//! Whoever owns a view may replace it, whoever owns a function its body, and both run with the rights of whoever reads: a query
//! over somebody else's relation may hand its role to them. What a query runs is known once it is analysed and rewritten, with
//! its views and row security in place; from then on the locks on its relations keep it so.

use std::ffi::CStr;

use pgrx::prelude::*;

use super::code::{self, Foreign};
use super::{reader_calls, types, walk};

/// Gives code in `query`, of two parameters (text[], jsonb) with `keys`, that would run with the rights of `role` though its owner does
/// not have them: is no member of it.
///
/// What the query names itself is its author's choice, unless `role` is a superuser.
pub(super) fn find(query: &CStr, keys: bool, role: pg_sys::Oid) -> Option<Foreign> {
    // SAFETY: the steps of pg_analyze_and_rewrite_fixedparams; errors are raised.
    unsafe {
        let superuser = pg_sys::superuser_arg(role);
        let statement = walk::parse(query);
        if superuser {
            // Before anything is made of it.
            let first = types::of_statement((*statement).stmt);
            if let Some(found) = first
                .into_iter()
                .find_map(|found| code::foreign(found, role))
            {
                return Some(found);
            }
        }
        let analysed = walk::analyse(statement, query, keys);
        let named = walk::named([analysed]);
        let rewritten = pg_sys::QueryRewrite(analysed);
        let queries = (0..walk::list_length(rewritten))
            .map(|at| pg_sys::list_nth(rewritten, at).cast::<pg_sys::Query>());
        let mut run = walk::run(queries, superuser);
        if !superuser {
            run.retain(|code| !named.code.contains(code));
        }
        run.extend(reader_calls::behind(named.relations, role));
        run.into_iter().find_map(|found| code::foreign(found, role))
    }
}
