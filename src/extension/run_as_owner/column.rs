//! Whether an expression is a column of the relation that it is asked of.

use std::ffi::CStr;

use pgrx::prelude::*;

use super::{Query, as_owner, walk};

/// Gives the number of the column of `relation` that `query`, which reads it as its first relation, selects first, be it cast to text;
/// None: it is another expression.
pub(in crate::extension) fn selected_column(
    owner: pg_sys::Oid,
    relation: pg_sys::Oid,
    query: &CStr,
) -> Option<pg_sys::AttrNumber> {
    let checked = Query {
        text: query,
        keys: false,
        writes: false,
    };
    // SAFETY: the tree of an analysed query; errors are raised.
    as_owner(owner, relation, checked, || unsafe {
        let query = walk::analyse(walk::parse(query), query, false);
        if walk::list_length((*query).targetList) == 0 {
            return None;
        }
        let target = pg_sys::list_nth((*query).targetList, 0).cast::<pg_sys::TargetEntry>();
        let mut node: *mut pg_sys::Node = (*target).expr.cast();
        loop {
            if node.is_null() {
                return None;
            }
            match (*node).type_ {
                pg_sys::NodeTag::T_RelabelType => {
                    node = (*node.cast::<pg_sys::RelabelType>()).arg.cast();
                }
                pg_sys::NodeTag::T_CoerceViaIO => {
                    let cast = node.cast::<pg_sys::CoerceViaIO>();
                    if ![pg_sys::TEXTOID, pg_sys::VARCHAROID].contains(&(*cast).resulttype) {
                        return None;
                    }
                    node = (*cast).arg.cast();
                }
                pg_sys::NodeTag::T_Var => break,
                _ => return None,
            }
        }
        let column = &*node.cast::<pg_sys::Var>();
        let entry = pg_sys::list_nth((*query).rtable, 0).cast::<pg_sys::RangeTblEntry>();
        (column.varno == 1
            && column.varlevelsup == 0
            && column.varattno > 0
            && (*entry).rtekind == pg_sys::RTEKind::RTE_RELATION
            && (*entry).relid == relation)
            .then_some(column.varattno)
    })
}
