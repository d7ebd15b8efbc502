//! The filters and tests that there are, for those that are misspelt.

pub(super) const OWN_FILTERS: [&str; 62] = [
    "abs",
    "attr",
    "batch",
    "bool",
    "capitalize",
    "center",
    "chain",
    "count",
    "d",
    "default",
    "dictsort",
    "e",
    "escape",
    "filesizeformat",
    "first",
    "float",
    "forceescape",
    "format",
    "format_currency",
    "format_date",
    "format_datetime",
    "format_number",
    "format_timedelta",
    "groupby",
    "indent",
    "int",
    "items",
    "join",
    "last",
    "length",
    "lines",
    "list",
    "lower",
    "map",
    "max",
    "min",
    "pluralize",
    "pprint",
    "reject",
    "rejectattr",
    "replace",
    "reverse",
    "round",
    "safe",
    "select",
    "selectattr",
    "slice",
    "sort",
    "split",
    "string",
    "striptags",
    "sum",
    "title",
    "tojson",
    "trim",
    "truncate",
    "unique",
    "upper",
    "urlencode",
    "wordcount",
    "wordwrap",
    "zip",
];

pub(super) const TESTS: [&str; 30] = [
    "boolean",
    "defined",
    "divisibleby",
    "endingwith",
    "eq",
    "equalto",
    "escaped",
    "even",
    "false",
    "filter",
    "float",
    "ge",
    "gt",
    "in",
    "integer",
    "iterable",
    "le",
    "lower",
    "lt",
    "mapping",
    "ne",
    "none",
    "number",
    "odd",
    "safe",
    "sameas",
    "sequence",
    "startingwith",
    "string",
    "true",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::template::environment;

    #[test]
    fn every_name_that_is_proposed_exists() {
        let environment = environment::environment();
        let mut state = environment.empty_state();
        for filter in OWN_FILTERS {
            let error = state
                .apply_filter(filter, &[])
                .map_err(|error| error.kind());
            assert_ne!(error, Err(minijinja::ErrorKind::UnknownFilter), "{filter}");
        }
        for test in TESTS {
            let error = state.perform_test(test, &[]).map_err(|error| error.kind());
            assert_ne!(error, Err(minijinja::ErrorKind::UnknownTest), "{test}");
        }
    }
}
