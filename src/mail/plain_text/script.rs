//! What stands higher or lower than its line: `5<sup>99</sup>` is no 599.

use std::borrow::Cow;

/// Where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Script {
    Super,
    Sub,
}

const LEVEL: &str = "0123456789+-=()";
const RAISED: &str = "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾";
const LOWERED: &str = "₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎";

impl Script {
    /// The text with the digits of its place. Letters, as in 1st, stay, and so do cents behind a point.
    pub(super) fn of(self, text: &str) -> Cow<'_, str> {
        let written = text.trim_start();
        if written.starts_with(['.', ',']) || !written.contains(|c: char| c.is_ascii_digit()) {
            return Cow::Borrowed(text);
        }
        let digits = match self {
            Script::Super => RAISED,
            Script::Sub => LOWERED,
        };
        let placed = |c: char| {
            LEVEL
                .find(c)
                .and_then(|at| digits.chars().nth(at))
                .unwrap_or(c)
        };
        Cow::Owned(text.chars().map(placed).collect())
    }
}
