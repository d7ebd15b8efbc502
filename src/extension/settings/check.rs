//! Check hooks: what a setting must be, told to whoever sets it.

use std::ffi::{CStr, CString, c_char, c_void};
use std::fmt::Display;

use pgrx::prelude::*;

use crate::delivery::dkim::parse_keys;
use crate::delivery::identifiers::check_feedback_sender;
use crate::mail::message::{self, TokenMailbox};
use crate::smtp::TransportConfig;
use crate::tracking::url::BaseUrl;

#[pg_guard]
pub(super) unsafe extern "C-unwind" fn automation_base(
    new_value: *mut *mut c_char,
    _extra: *mut *mut c_void,
    _source: pg_sys::GucSource::Type,
) -> bool {
    // SAFETY: called by guc.c.
    unsafe { is_unset_or(new_value, BaseUrl::parse) }
}

#[pg_guard]
pub(super) unsafe extern "C-unwind" fn smtp_url(
    new_value: *mut *mut c_char,
    _extra: *mut *mut c_void,
    _source: pg_sys::GucSource::Type,
) -> bool {
    // SAFETY: called by guc.c.
    unsafe { is_unset_or(new_value, TransportConfig::parse) }
}

#[pg_guard]
pub(super) unsafe extern "C-unwind" fn email_from(
    new_value: *mut *mut c_char,
    _extra: *mut *mut c_void,
    _source: pg_sys::GucSource::Type,
) -> bool {
    // SAFETY: called by guc.c.
    unsafe { is_unset_or(new_value, message::check_sender) }
}

#[pg_guard]
pub(super) unsafe extern "C-unwind" fn bounce_address(
    new_value: *mut *mut c_char,
    _extra: *mut *mut c_void,
    _source: pg_sys::GucSource::Type,
) -> bool {
    // SAFETY: called by guc.c.
    unsafe {
        is_unset_or(new_value, |text| {
            TokenMailbox::parse("bounce address", text)
        })
    }
}

#[pg_guard]
pub(super) unsafe extern "C-unwind" fn unsubscribe_address(
    new_value: *mut *mut c_char,
    _extra: *mut *mut c_void,
    _source: pg_sys::GucSource::Type,
) -> bool {
    // SAFETY: called by guc.c.
    unsafe {
        is_unset_or(new_value, |text| {
            TokenMailbox::parse("unsubscribe address", text)
        })
    }
}

#[pg_guard]
pub(super) unsafe extern "C-unwind" fn feedback_sender(
    new_value: *mut *mut c_char,
    _extra: *mut *mut c_void,
    _source: pg_sys::GucSource::Type,
) -> bool {
    // SAFETY: called by guc.c.
    unsafe { is_unset_or(new_value, check_feedback_sender) }
}

#[pg_guard]
pub(super) unsafe extern "C-unwind" fn dkim_keys(
    new_value: *mut *mut c_char,
    _extra: *mut *mut c_void,
    _source: pg_sys::GucSource::Type,
) -> bool {
    // SAFETY: called by guc.c.
    unsafe { is_unset_or(new_value, parse_keys) }
}

/// Whether the new value is unset, empty or can be parsed; otherwise the error becomes the detail of the message, as
/// `GUC_check_errdetail` makes it in C.
///
/// # Safety
/// `new_value` must be what PostgreSQL passes to a string check hook.
unsafe fn is_unset_or<T, E: Display>(
    new_value: *mut *mut c_char,
    parse: impl Fn(&str) -> Result<T, E>,
) -> bool {
    // SAFETY: guc.c passes a pointer to a C string or to null.
    let value = unsafe {
        if (*new_value).is_null() {
            return true;
        }
        CStr::from_ptr(*new_value).to_string_lossy()
    };
    let value = value.trim();
    if value.is_empty() {
        return true;
    }
    let Err(error) = parse(value) else {
        return true;
    };
    if let Ok(detail) = CString::new(error.to_string()) {
        // SAFETY: guc.c reads the string right after the hook returned, from the current memory context.
        unsafe { pg_sys::GUC_check_errdetail_string = pg_sys::pstrdup(detail.as_ptr()) };
    }
    false
}
