//! Words of Jinja2, Django, Liquid, Twig and Python that a template has no use for, and what to write instead.

/// Names that mean the same, and the advice.
type Table = [(&'static [&'static str], &'static str)];

/// Filters of Jinja2, Django, Liquid and Twig that do not exist here.
pub(super) const FILTERS: &Table = &[
    (
        &["money", "currency", "money_format", "format_money"],
        "an amount is {{ record.amount | format_currency(\"EUR\") }}",
    ),
    (
        &[
            "number_format",
            "floatformat",
            "intcomma",
            "number",
            "delimit",
        ],
        "a number is {{ record.number | format_number(2) }}",
    ),
    (
        &[
            "date",
            "strftime",
            "format_time",
            "localtime",
            "datetime",
            "date_format",
        ],
        "a date is {{ record.date | format_date(\"long\") }}",
    ),
    (
        &["time"],
        "a time is {{ record.at | format_datetime(\"short\") }}",
    ),
    (
        &["timesince", "timeuntil"],
        "an interval is {{ record.interval | format_timedelta }}",
    ),
    (&["upcase", "uppercase"], "it is {{ … | upper }}"),
    (&["downcase", "lowercase"], "it is {{ … | lower }}"),
    (&["size", "len"], "it is {{ … | length }}"),
    (
        &["raw", "mark_safe", "safeseq", "html_safe", "html"],
        "markup that is not to be escaped is {{ … | safe }}",
    ),
    (&["strip", "lstrip", "rstrip"], "it is {{ … | trim }}"),
    (
        &[
            "url_encode",
            "iriencode",
            "url",
            "uri_encode",
            "url_param_escape",
        ],
        "it is {{ … | urlencode }}",
    ),
    (
        &["json", "json_encode", "to_json", "escapejs", "jsonify"],
        "it is {{ … | tojson }}",
    ),
    (
        &["append", "prepend", "add", "concat", "merge"],
        "texts are put together by ~, numbers and lists are added by +",
    ),
    (
        &["plus", "minus", "times", "divided_by", "modulo", "ceil"],
        "numbers are calculated with by + - * / // %, and | round(0, \"ceil\")",
    ),
    (
        &[
            "urlize",
            "linebreaks",
            "linebreaksbr",
            "nl2br",
            "newline_to_br",
            "xmlattr",
        ],
        "markup is written out: <a href=\"{{ … }}\">, {% for line in … | lines %}{{ line }}<br>{% endfor %}",
    ),
    (
        &["default_if_none", "fallback", "coalesce", "ifempty"],
        "it is {{ … | default(\"friend\") }}, which stands for null too",
    ),
    (
        &["where", "filter", "compact", "random", "shuffle"],
        "lists are chosen from by | selectattr(\"name\", \"eq\", value), | first, | sort",
    ),
];

/// Methods of Python that do not exist here.
pub(super) const METHODS: &Table = &[
    (
        &["strftime", "isoformat", "date", "time", "strptime"],
        "a date is {{ record.date | format_date(\"long\") }}, a time | format_datetime",
    ),
    (
        &[
            "append", "extend", "insert", "pop", "update", "add", "remove",
        ],
        "lists are made by +: {% set list = list + [value] %}, in a loop with a namespace",
    ),
    (&["encode", "decode"], "for a URL it is {{ … | urlencode }}"),
    (&["length", "size", "len"], "it is {{ … | length }}"),
    (
        &["sort", "reverse", "index"],
        "lists are sorted by | sort and turned by | reverse",
    ),
];

/// Functions of Python and statements of other languages that stand where a value is expected.
pub(super) const VARIABLES: &Table = &[
    (&["len"], "Write {{ … | length }}."),
    (&["str"], "Write {{ … | string }}."),
    (
        &[
            "int", "float", "round", "abs", "sum", "min", "max", "sorted", "list",
        ],
        "It is a filter: {{ … | round(2) }}, {{ … | sum }}.",
    ),
    (&["enumerate"], "Write {% for item in … %} and loop.index."),
    (
        &["now", "today", "datetime", "date"],
        "A mail has no clock: let the model's relation have a column for it.",
    ),
    (
        &["else", "elif", "elseif"],
        "Write {% else %} and {% elif record.column %}, without a second brace.",
    ),
    (
        &["this"],
        "Write {% for item in record.items %}{{ item.name }}{% endfor %}.",
    ),
    (
        &[
            "FNAME",
            "LNAME",
            "EMAIL",
            "contact",
            "subscriber",
            "user",
            "customer",
            "recipient",
            "person",
            "lead",
            "member",
        ],
        "The row is record, whoever gets the mail is party: {{ record.column }}, {{ party.name }}.",
    ),
];

/// Statements of other languages, by their first word.
pub(super) const STATEMENTS: &Table = &[
    (
        &["unless", "endunless", "ifnot"],
        "Write {% if not record.column %} … {% endif %}.",
    ),
    (
        &["elsif", "elseif", "else if"],
        "Write {% elif record.column %}.",
    ),
    (
        &["assign", "capture", "endcapture"],
        "Write {% set name = value %}.",
    ),
    (
        &["case", "when", "endcase", "switch"],
        "Write {% if … %} … {% elif … %} … {% else %} … {% endif %}.",
    ),
    (&["comment", "endcomment"], "A comment is {# … #}."),
    (
        &["render", "partial", "section", "includes"],
        "Write {% include \"name\" %}, with the name of a snippet.",
    ),
    (
        &[
            "load",
            "url",
            "static",
            "csrf_token",
            "trans",
            "blocktrans",
            "endblocktrans",
            "translate",
        ],
        "Links are written out, and translations are rows of marketing_automation.activity_translation.",
    ),
    (
        &["foreach", "each", "endforeach", "endeach"],
        "Write {% for item in record.items %} … {% endfor %}.",
    ),
    (
        &["verbatim", "endverbatim", "literal"],
        "Write {% raw %} … {% endraw %}.",
    ),
];

/// The advice for a name.
pub(super) fn known(table: &'static Table, name: &str) -> Option<&'static str> {
    let found = table.iter().find(|(names, _)| names.contains(&name));
    found.map(|(_, advice)| *advice)
}
