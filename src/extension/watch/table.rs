//! The table of captured keys, to which a writer's transaction appends without a planned statement.

use std::ffi::CStr;

use pgrx::prelude::*;

const SCHEMA: &CStr = c"marketing_automation_internal";
const TABLE: &CStr = c"captured_keys";
/// What a row holds at most, so that none is compressed or stored out of line (PostgreSQL does above 2,000 bytes).
const MOST_BYTES: usize = 1600;
/// What an element of an array costs beside its text, with padding.
const ELEMENT: usize = 8;

/// `captured_keys`, open for appending in the current transaction.
pub(super) struct CapturedKeys {
    relation: pg_sys::Relation,
    transaction: pg_sys::FullTransactionId,
    watch: i32,
    keys: Vec<pg_sys::Datum>,
    bytes: usize,
}

impl CapturedKeys {
    /// Opens it without waiting; None: it is not there, or somebody holds it whole, who changes the extension or rewrites the table.
    /// What a writer cannot note there, the next reading of all rows finds.
    ///
    /// # Safety
    /// Within a transaction, on the main thread.
    pub(super) unsafe fn open(
        transaction: pg_sys::FullTransactionId,
        watch: i32,
    ) -> Option<CapturedKeys> {
        // SAFETY: look-ups in the syscache, and a lock that the end of the transaction gives back.
        unsafe {
            let schema = pg_sys::get_namespace_oid(SCHEMA.as_ptr(), true);
            let table = pg_sys::get_relname_relid(TABLE.as_ptr(), schema);
            let lock = pg_sys::RowExclusiveLock as pg_sys::LOCKMODE;
            if table == pg_sys::InvalidOid || !pg_sys::ConditionalLockRelationOid(table, lock) {
                return None;
            }
            let relation = pg_sys::try_table_open(table, pg_sys::NoLock as pg_sys::LOCKMODE);
            if relation.is_null() {
                return None;
            }
            let opened = CapturedKeys {
                relation,
                transaction,
                watch,
                keys: Vec::new(),
                bytes: 0,
            };
            opened.is_as_expected().then_some(opened)
        }
    }

    /// Whether its columns are those that [`CapturedKeys::append`] fills: the SQL may be of another version than the library.
    fn is_as_expected(&self) -> bool {
        // SAFETY: the descriptor of an open relation.
        let columns = unsafe { pgrx::PgTupleDesc::from_pg_unchecked((*self.relation).rd_att) };
        let types: Vec<_> = columns.iter().map(|column| column.atttypid).collect();
        // SAFETY: as above.
        let method = unsafe { (*(*self.relation).rd_rel).relam };
        types == [pg_sys::INT4OID, pg_sys::XID8OID, pg_sys::TEXTARRAYOID]
            && method == pg_sys::HEAP_TABLE_AM_OID
    }

    /// Adds a key, of the type text, that lives until this is closed.
    ///
    /// # Safety
    /// With a datum of the type text, of `bytes` bytes.
    pub(super) unsafe fn add(&mut self, key: pg_sys::Datum, bytes: usize) {
        if self.bytes + bytes > MOST_BYTES {
            // SAFETY: as the caller's.
            unsafe { self.write() };
        }
        self.keys.push(key);
        self.bytes += bytes + ELEMENT;
    }

    /// Writes the keys that were added since the last time.
    ///
    /// # Safety
    /// Within a transaction that writes, on the main thread.
    pub(super) unsafe fn write(&mut self) {
        if self.keys.is_empty() {
            return;
        }
        // SAFETY: an array of texts.
        unsafe {
            let array = pg_sys::construct_array(
                self.keys.as_mut_ptr(),
                i32::try_from(self.keys.len()).unwrap_or_default(),
                pg_sys::TEXTOID,
                -1,
                false,
                pg_sys::TYPALIGN_INT as _,
            );
            self.append(Some(pg_sys::Datum::from(array)));
        }
        self.keys.clear();
        self.bytes = 0;
    }

    /// Says that any row of the watched table may have been written.
    ///
    /// # Safety
    /// As that of [`CapturedKeys::write`].
    pub(super) unsafe fn write_all(&mut self) {
        // SAFETY: as the caller's.
        unsafe { self.append(None) };
    }

    unsafe fn append(&self, keys: Option<pg_sys::Datum>) {
        let mut values = [
            pg_sys::Datum::from(self.watch),
            pg_sys::Datum::from(self.transaction.value),
            keys.unwrap_or(pg_sys::Datum::null()),
        ];
        let mut nulls = [false, false, keys.is_none()];
        // SAFETY: a tuple of the relation's own columns, see is_as_expected(); it has no index and no trigger.
        unsafe {
            let tuple = pg_sys::heap_form_tuple(
                (*self.relation).rd_att,
                values.as_mut_ptr(),
                nulls.as_mut_ptr(),
            );
            pg_sys::simple_heap_insert(self.relation, tuple);
            pg_sys::heap_freetuple(tuple);
        }
    }
}

impl Drop for CapturedKeys {
    fn drop(&mut self) {
        // SAFETY: it is open; after an error the abort of the transaction has closed it, or will.
        unsafe {
            if !std::thread::panicking() {
                // The lock stays until the transaction ends.
                pg_sys::table_close(self.relation, pg_sys::NoLock as pg_sys::LOCKMODE);
            }
        }
    }
}
