//! The trigger of watched tables: it notes the keys of rows that were written, in the writer's own transaction.
//!
//! It is of C, reads the transition tables as they are, and runs no SQL: beside plpgsql it costs a quarter. Whatever it cannot do, it
//! leaves undone, or says that any row may have been written: no statement of a shop fails, or waits, since its table is watched.

use std::ffi::{CStr, c_char};

use pgrx::prelude::*;

use super::marked::{self, Decision};
use super::table::CapturedKeys;
use crate::extension::settings;
use crate::extension::worker::registry;

/// A record has no longer one.
const LONGEST_KEY: usize = 1000;

/// Types whose text form depends on no setting of the writer's session, and calls nobody's code.
pub(super) const KEY_TYPES: [pg_sys::Oid; 9] = [
    pg_sys::INT2OID,
    pg_sys::INT4OID,
    pg_sys::INT8OID,
    pg_sys::OIDOID,
    pg_sys::NUMERICOID,
    pg_sys::UUIDOID,
    pg_sys::TEXTOID,
    pg_sys::VARCHAROID,
    pg_sys::BPCHAROID,
];

/// Tells PostgreSQL the calling convention of [`capture_keys`], as `PG_FUNCTION_INFO_V1` does in C.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn pg_finfo_capture_keys() -> &'static pg_sys::Pg_finfo_record {
    &pg_sys::Pg_finfo_record { api_version: 1 }
}

/// Notes the keys of the rows that a statement has written, with transition tables, or of the one row, where a row trigger calls it.
/// The trigger has two arguments: the id in `watched_table`, and the column.
///
/// # Safety
/// Called by PostgreSQL.
#[pg_guard]
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn capture_keys(fcinfo: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
    // SAFETY: the call that PostgreSQL made, whose context tells whether it is a trigger's.
    unsafe {
        let context = (*fcinfo).context;
        if context.is_null() || (*context).type_ != pg_sys::NodeTag::T_TriggerData {
            ereport!(
                ERROR,
                PgSqlErrorCode::ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED,
                "capture_keys() is called by triggers only"
            );
        }
        let trigger = &*context.cast::<pg_sys::TriggerData>();
        if let Some(watch) = watch_of(&*trigger.tg_trigger) {
            capture(trigger, watch);
        }
    }
    pg_sys::Datum::null()
}

/// The id of a watched table; None: the trigger is none that `watch()` has made.
///
/// # Safety
/// With a trigger of the relation cache.
unsafe fn watch_of(trigger: &pg_sys::Trigger) -> Option<i32> {
    // SAFETY: as the caller's.
    unsafe { argument(trigger, 0) }?.to_str().ok()?.parse().ok()
}

unsafe fn argument(trigger: &pg_sys::Trigger, at: usize) -> Option<&CStr> {
    if usize::try_from(trigger.tgnargs).ok()? <= at {
        return None;
    }
    // SAFETY: so many C strings.
    unsafe { Some(CStr::from_ptr(*trigger.tgargs.add(at))) }
}

unsafe fn capture(trigger: &pg_sys::TriggerData, watch: i32) {
    let is_row = trigger.tg_event & pg_sys::TRIGGER_EVENT_ROW != 0;
    let stores = [trigger.tg_newtable, trigger.tg_oldtable];
    // SAFETY: as the caller's: transition tables, or none.
    unsafe {
        let rows = match is_row {
            true => 1,
            false => stores
                .into_iter()
                .filter(|store| !store.is_null())
                .map(|store| pg_sys::tuplestore_tuple_count(store))
                .max()
                .unwrap_or_default(),
        };
        if rows == 0 {
            return;
        }
        if settings::enroll_on_commit() && registry::preloaded() {
            registry::announce_written_on_commit();
        }
        let transaction = pg_sys::GetTopFullTransactionId();
        let decision = marked::decide(transaction.value, watch, rows);
        if decision == Decision::HasSaidAll {
            return;
        }
        let Some(mut captured) = CapturedKeys::open(transaction, watch) else {
            marked::forget(watch);
            return;
        };
        if decision == Decision::SayAll {
            captured.write_all();
            return;
        }
        let Some(column) = Column::of(trigger) else {
            captured.write_all();
            return;
        };
        let is_complete = match is_row {
            true => add_row(trigger, &column, &mut captured),
            false => add_rows(trigger, stores, &column, &mut captured),
        };
        captured.write();
        if !is_complete {
            captured.write_all();
        }
    }
}

/// Adds the keys of all rows of transition tables; whether each has one that can be kept.
unsafe fn add_rows(
    trigger: &pg_sys::TriggerData,
    [new, old]: [*mut pg_sys::Tuplestorestate; 2],
    column: &Column,
    captured: &mut CapturedKeys,
) -> bool {
    // SAFETY: transition tables, each read by a pointer of our own, as other triggers read them, too.
    unsafe {
        let slots = [new, old].map(|store| {
            (!store.is_null()).then(|| {
                let pointer =
                    pg_sys::tuplestore_alloc_read_pointer(store, pg_sys::EXEC_FLAG_REWIND as i32);
                pg_sys::tuplestore_select_read_pointer(store, pointer);
                pg_sys::tuplestore_rescan(store);
                let slot = pg_sys::MakeSingleTupleTableSlot(
                    (*trigger.tg_relation).rd_att,
                    &raw const pg_sys::TTSOpsMinimalTuple,
                );
                (store, slot)
            })
        });
        let next = |at: usize| {
            slots[at].is_some_and(|(store, slot)| {
                pg_sys::tuplestore_gettupleslot(store, true, false, slot)
            })
        };
        let mut is_complete = true;
        loop {
            // What an update has written stands in both at the same place; where it does not, each has its keys kept all the same.
            let (has_new, has_old) = (next(0), next(1));
            let new_key = match slots[0] {
                Some((_, slot)) if has_new => column.key(slot),
                _ => None,
            };
            let old_key = match slots[1] {
                Some((_, slot)) if has_old => column.key(slot),
                _ => None,
            };
            if !has_new && !has_old {
                break;
            }
            is_complete &= (!has_new || new_key.is_some()) && (!has_old || old_key.is_some());
            add_different(new_key, old_key, captured);
        }
        for (_, slot) in slots.into_iter().flatten() {
            pg_sys::ExecDropSingleTupleTableSlot(slot);
        }
        is_complete
    }
}

/// The same for a row trigger's row.
unsafe fn add_row(
    trigger: &pg_sys::TriggerData,
    column: &Column,
    captured: &mut CapturedKeys,
) -> bool {
    let is_update = trigger.tg_event & pg_sys::TRIGGER_EVENT_OPMASK == pg_sys::TRIGGER_EVENT_UPDATE;
    // SAFETY: as the caller's: the slots of a row trigger; tg_newslot is an update's.
    unsafe {
        let first = column.key(trigger.tg_trigslot);
        let second = is_update.then(|| column.key(trigger.tg_newslot));
        let is_complete = first.is_some() && second.as_ref().is_none_or(Option::is_some);
        add_different(first, second.flatten(), captured);
        is_complete
    }
}

unsafe fn add_different(
    new: Option<*mut c_char>,
    old: Option<*mut c_char>,
    captured: &mut CapturedKeys,
) {
    // SAFETY: C strings of PostgreSQL's.
    unsafe {
        let is_same = match (new, old) {
            (Some(new), Some(old)) => CStr::from_ptr(new) == CStr::from_ptr(old),
            _ => false,
        };
        for key in [new, old.filter(|_| !is_same)].into_iter().flatten() {
            let bytes = CStr::from_ptr(key).count_bytes();
            captured.add(pg_sys::Datum::from(pg_sys::cstring_to_text(key)), bytes);
        }
    }
}

/// The column that is the key.
struct Column {
    number: usize,
    output: pg_sys::FmgrInfo,
}

impl Column {
    /// None: it has another name or type by now.
    unsafe fn of(trigger: &pg_sys::TriggerData) -> Option<Column> {
        // SAFETY: as the caller's; look-ups in the descriptor and in the syscache.
        unsafe {
            let name = argument(&*trigger.tg_trigger, 1)?;
            let columns = (*trigger.tg_relation).rd_att;
            let number = pg_sys::SPI_fnumber(columns, name.as_ptr());
            let number = usize::try_from(number).ok().filter(|number| *number > 0)?;
            let its_type = pg_sys::getBaseType(pg_sys::SPI_gettypeid(columns, number as i32));
            if !KEY_TYPES.contains(&its_type) {
                return None;
            }
            let (mut function, mut is_varlena) = (pg_sys::InvalidOid, false);
            pg_sys::getTypeOutputInfo(its_type, &raw mut function, &raw mut is_varlena);
            let mut column = Column {
                number,
                output: pg_sys::FmgrInfo::default(),
            };
            pg_sys::fmgr_info(function, &raw mut column.output);
            Some(column)
        }
    }

    /// The key of a row, as text; None: it has none, or a longer one than a record may have.
    unsafe fn key(&self, slot: *mut pg_sys::TupleTableSlot) -> Option<*mut c_char> {
        // SAFETY: a slot with a row of the trigger's relation.
        unsafe {
            if usize::try_from((*slot).tts_nvalid).unwrap_or_default() < self.number {
                pg_sys::slot_getsomeattrs_int(slot, self.number as i32);
            }
            if *(*slot).tts_isnull.add(self.number - 1) {
                return None;
            }
            let value = *(*slot).tts_values.add(self.number - 1);
            let key = pg_sys::OutputFunctionCall((&raw const self.output).cast_mut(), value);
            (CStr::from_ptr(key).count_bytes() <= LONGEST_KEY).then_some(key)
        }
    }
}
