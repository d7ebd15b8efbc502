//! Check hooks: what a setting must be, told to whoever sets it.

use std::ffi::{CStr, CString, c_char, c_void};
use std::fmt::Display;

use pgrx::prelude::*;

use crate::delivery::dkim::parse_keys;
use crate::delivery::identifiers::check_feedback_sender;
use crate::mail::message::{self, TokenMailbox};
use crate::mail::provider::Echo;
use crate::smtp::TransportConfig;
use crate::tracking::url::BaseUrl;

/// How an SMTP URL is written.
pub(in crate::extension) const SMTP_URL_HINT: &CStr =
    c"Write smtp://mail.example:587?tls=required, smtps://mail.example or file:///directory.";

#[pg_guard]
pub(super) unsafe extern "C-unwind" fn automation_base(
    new_value: *mut *mut c_char,
    _extra: *mut *mut c_void,
    _source: pg_sys::GucSource::Type,
) -> bool {
    // SAFETY: called by guc.c.
    unsafe {
        is_unset_or(
            new_value,
            c"Write https://track.shop.example, without a path.",
            BaseUrl::parse,
        )
    }
}

#[pg_guard]
pub(super) unsafe extern "C-unwind" fn smtp_url(
    new_value: *mut *mut c_char,
    _extra: *mut *mut c_void,
    _source: pg_sys::GucSource::Type,
) -> bool {
    // SAFETY: called by guc.c.
    unsafe { is_unset_or(new_value, SMTP_URL_HINT, TransportConfig::parse) }
}

#[pg_guard]
pub(super) unsafe extern "C-unwind" fn email_from(
    new_value: *mut *mut c_char,
    _extra: *mut *mut c_void,
    _source: pg_sys::GucSource::Type,
) -> bool {
    // SAFETY: called by guc.c.
    unsafe {
        is_unset_or(
            new_value,
            c"Write Shop <hello@shop.example>.",
            message::check_sender,
        )
    }
}

#[pg_guard]
pub(super) unsafe extern "C-unwind" fn bounce_address(
    new_value: *mut *mut c_char,
    _extra: *mut *mut c_void,
    _source: pg_sys::GucSource::Type,
) -> bool {
    // SAFETY: called by guc.c.
    unsafe {
        is_unset_or(new_value, c"Write bounces@shop.example.", |text| {
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
        is_unset_or(new_value, c"Write leave@shop.example.", |text| {
            TokenMailbox::parse("unsubscribe address", text)
        })
    }
}

#[pg_guard]
pub(super) unsafe extern "C-unwind" fn staging_mailbox(
    new_value: *mut *mut c_char,
    _extra: *mut *mut c_void,
    _source: pg_sys::GucSource::Type,
) -> bool {
    // SAFETY: called by guc.c.
    unsafe {
        is_unset_or(
            new_value,
            c"Write an address alone, such as staging@shop.example.",
            message::check_address,
        )
    }
}

#[pg_guard]
pub(super) unsafe extern "C-unwind" fn provider_headers(
    new_value: *mut *mut c_char,
    _extra: *mut *mut c_void,
    _source: pg_sys::GucSource::Type,
) -> bool {
    // SAFETY: called by guc.c.
    unsafe { is_unset_or(new_value, c"Write sendgrid, postmark.", Echo::parse) }
}

#[pg_guard]
pub(super) unsafe extern "C-unwind" fn feedback_sender(
    new_value: *mut *mut c_char,
    _extra: *mut *mut c_void,
    _source: pg_sys::GucSource::Type,
) -> bool {
    // SAFETY: called by guc.c.
    unsafe {
        is_unset_or(
            new_value,
            c"Write a name of 5 to 15 characters, such as shop.example.",
            check_feedback_sender,
        )
    }
}

#[pg_guard]
pub(super) unsafe extern "C-unwind" fn dkim_keys(
    new_value: *mut *mut c_char,
    _extra: *mut *mut c_void,
    _source: pg_sys::GucSource::Type,
) -> bool {
    // SAFETY: called by guc.c.
    unsafe {
        is_unset_or(
            new_value,
            c"Write shop.example s2026 /etc/postgresql/shop.pem, and a comma before the next one.",
            parse_keys,
        )
    }
}

/// Whether the new value is unset, empty or can be parsed; otherwise the error becomes the detail of the message, beside what to write
/// instead, as `GUC_check_errdetail` and `GUC_check_errhint` make them in C.
///
/// # Safety
/// `new_value` must be what PostgreSQL passes to a string check hook.
unsafe fn is_unset_or<T, E: Display>(
    new_value: *mut *mut c_char,
    hint: &CStr,
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
        unsafe {
            pg_sys::GUC_check_errdetail_string = pg_sys::pstrdup(detail.as_ptr());
            pg_sys::GUC_check_errhint_string = pg_sys::pstrdup(hint.as_ptr());
        }
    }
    false
}
