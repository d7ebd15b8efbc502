//! What is known of an element.

/// A name and the attributes that the element has of its own; None: any.
pub(in crate::mail::mjml) type Element = (&'static str, Option<&'static [&'static str]>);
