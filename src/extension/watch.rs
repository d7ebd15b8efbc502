//! Which rows of a watched table were written: a trigger notes their keys, for the next run of enrolling.

mod capture;
mod key_column;
mod marked;
mod table;
