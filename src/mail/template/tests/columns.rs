//! What a mail takes along of its record.

use super::super::{Columns, Snippets};

fn columns(source: &str) -> Columns {
    let mut snippets = Snippets::default();
    snippets.add("footer", "", "{{ record.city }}".to_owned());
    snippets.add("footer", "fr", "{{ record.ville }}".to_owned());
    snippets.add("all", "", "{{ record }}".to_owned());
    snippets.columns_in([source])
}

fn some(names: &[&str]) -> Columns {
    Columns::Some(names.iter().map(|name| (*name).to_owned()).collect())
}

#[test]
fn a_mail_takes_the_columns_that_are_named() {
    for (source, names) in [
        ("<p>Hello</p>{{ party.email }}", &[][..]),
        (
            "{{ record.name }} {{ record['first name'] }}",
            &["first name", "name"],
        ),
        ("{{ record.address.city }}", &["address"]),
        // The results of calls, whichever.
        (
            "{{ results.voucher.code }}{{ results['a b'] }}{{ record.name }}",
            &["", "name"],
        ),
        ("{% for x in results %}{{ x }}{% endfor %}", &[""]),
        ("{{ record.name.upper() }}", &["name"]),
        (
            "{{ record.name | default(record.nick) }}",
            &["name", "nick"],
        ),
        (
            "{% if record.vip %}{% for x in record.items %}{{ x.n }}{% endfor %}{% endif %}",
            &["items", "vip"],
        ),
        (
            "{% set n = record.name %}{{ n }}{{ short(record.url) }}",
            &["name", "url"],
        ),
        (
            "{% macro m(x) %}{{ x ~ record.a }}{% endmacro %}{{ m(record.b) }}",
            &["a", "b"],
        ),
        ("{% if record.maybe is defined %}x{% endif %}", &["maybe"]),
        ("{% include 'footer' %}", &["city", "ville"]),
        (
            "{# {{ record.secret }} #}{% raw %}{{ record.secret }}{% endraw %}",
            &[],
        ),
    ] {
        assert_eq!(columns(source), some(names), "{source}");
    }
}

#[test]
fn a_mail_takes_all_where_columns_are_chosen_when_it_is_rendered() {
    for source in [
        "{{ record }}",
        "{{ record[name] }}",
        "{{ record[party.language] }}",
        "{{ record | items }}",
        "{% for name in record %}{{ name }}{% endfor %}",
        "{% set r = record %}{{ r.name }}",
        "{% with r = record %}{{ r.name }}{% endwith %}",
        "{% macro m(r) %}{{ r.name }}{% endmacro %}{{ m(record) }}",
        "{{ record | attr('name') }}",
        "{{ [record] | map(attribute='name') | join }}",
        "{{ 'name' in record }}",
        "{% include 'all' %}",
    ] {
        assert_eq!(columns(source), Columns::All, "{source}");
    }
}
