//! What to write instead of what authors bring along from other template languages.

mod foreign_words;
mod merge_tag;
mod own_names;
mod tag;

use super::jinja2;
use foreign_words::{FILTERS, METHODS, VARIABLES, known};
pub(super) use merge_tag::{for_merge_tag, merge_tags};
use own_names::{OWN_FILTERS, TESTS};
pub(super) use tag::for_tag;

/// The name that differs by the fewest letters, by at most a third of them.
pub(super) fn nearest<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    names
        .into_iter()
        .filter(|known| !known.starts_with('_'))
        .map(|known| (strsim::damerau_levenshtein(name, known), known))
        .filter(|(distance, _)| *distance <= name.chars().count().div_ceil(3))
        .min()
        .map(|(_, known)| known)
}

pub(super) fn for_filter(name: &str) -> Option<String> {
    match known(FILTERS, &name.to_ascii_lowercase()) {
        Some(advice) => Some(format!("Here {advice}.")),
        None => nearest(name, OWN_FILTERS).map(did_you_mean),
    }
}

pub(super) fn for_test(name: &str) -> Option<String> {
    match name {
        "empty" | "blank" | "null" | "nil" => {
            Some("Write {% if not record.column %}, or {% if record.column is none %}.".to_owned())
        }
        _ => nearest(name, TESTS.into_iter().chain(["undefined", "upper"])).map(did_you_mean),
    }
}

pub(super) fn for_method(name: &str) -> Option<String> {
    match known(METHODS, name) {
        Some(advice) => Some(format!("Here {advice}.")),
        None => nearest(name, jinja2::methods()).map(did_you_mean),
    }
}

/// What to write instead of a part of a text, a number or a time.
pub(super) fn for_part(value: &str, name: &str) -> String {
    const OF_TIMES: [&str; 6] = ["year", "month", "day", "hour", "minute", "second"];
    match name {
        _ if OF_TIMES.contains(&name) => format!(
            "Here a time is {{{{ {value} | format_datetime }}}}, its year {{{{ {value}[:4] }}}}."
        ),
        _ if OWN_FILTERS.contains(&name) => format!("Did you mean {value} | {name}?"),
        _ => format!("{value} is a text, a number or a time: it has nothing in it."),
    }
}

pub(super) fn for_variable(name: &str) -> Option<String> {
    known(VARIABLES, name).map(str::to_owned)
}

fn did_you_mean(name: &str) -> String {
    format!("Did you mean {name}?")
}
