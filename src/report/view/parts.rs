//! What the sections of the page are made of.

use serde::Serialize;

/// A number with its name, and the class of what shows it in the picture.
#[derive(Debug, Serialize)]
pub(super) struct Figure {
    pub(super) class: &'static str,
    pub(super) label: &'static str,
    pub(super) value: String,
}

/// A table: a row's first cell is its heading.
#[derive(Debug, Serialize)]
pub(super) struct Table {
    pub(super) head: Vec<&'static str>,
    pub(super) rows: Vec<Vec<Cell>>,
    /// How many rows are left out, in words.
    pub(super) more: Option<String>,
}

/// A cell; the class is a shade, or none.
#[derive(Debug, Serialize)]
pub(super) struct Cell {
    pub(super) class: &'static str,
    pub(super) text: String,
}

impl Cell {
    pub(super) fn plain(text: impl Into<String>) -> Self {
        Self {
            class: "",
            text: text.into(),
        }
    }
}
