use super::*;

const NEWSLETTER: &str = include_str!("../../fixtures/newsletter.html");
const FOOTER: &str = include_str!("../../fixtures/footer.html");
const FRAGMENT: &str = include_str!("../../fixtures/fragment.html");
const MJML: &str = include_str!("../../fixtures/shop.mjml");

/// A body that is looked through mail by mail: it prints something as it is, though nothing.
fn looked_through(body: &str) -> String {
    format!("{{{{ '' | safe }}}}{body}")
}

fn compile_with_footer(body: &str) -> MailTemplate {
    let mut snippets = Snippets::default();
    snippets.add("footer", "", FOOTER.to_owned());
    snippets.add(
        "macros",
        "",
        "{% macro button(url, label) %}<a class=\"b\" href=\"{{ url }}\">{{ label }}</a>\
         <a href='https://static.example'>s</a>{% endmacro %}\
         {% macro box(url) %}<a href='{{ url }}'>{{ caller() }}</a>{% endmacro %}"
            .to_owned(),
    );
    snippets.add(
        "layout",
        "",
        "<html><body><a href=https://top.example>t</a>{% block a %}<a href='https://old.example'>o</a>{% endblock %}</body>"
            .to_owned(),
    );
    let source = |text| Source {
        text,
        language: "fr",
        snippets: "",
    };
    MailTemplate::compile(
        [
            None,
            None,
            Some(source("s")),
            Some(source(body)),
            None,
            None,
            None,
            None,
        ],
        None,
        &snippets,
    )
    .unwrap()
}

/// The mail, and whether its links were found in the template.
fn mail(body: &str) -> (Rendered, bool) {
    let template = compile_with_footer(body);
    let rendered = template.render(&context(), &recipient()).unwrap();
    (rendered, template.links.is_some())
}

fn assert_alike(body: &str, is_marked: bool) {
    let (once, marked) = mail(body);
    assert_eq!(marked, is_marked, "{body}");
    let (each, marked) = mail(&looked_through(body));
    assert!(!marked);
    assert_eq!(once.links(), each.links(), "{body}");
    assert_eq!(assembled(&once), assembled(&each), "{body}");
}

#[test]
fn links_found_in_the_template_give_the_same_mail_as_links_found_in_each_mail() {
    for body in [
        NEWSLETTER,
        FRAGMENT,
        "<a href='https://a.example'>1</a>{{ short('https://b.example') }}<a href=https://c.example>2</a><a href='https://b.example'>3</a>",
        "{% for o in record.orders %}<a href=\"https://a.example/{{ o.no }}\">x</a><a href=\"https://b.example\">y</a>{% endfor %}",
        "{% if record.nothing %}<a href='https://a.example'>x</a>{% else %}<a href='https://b.example'>y</a>{% endif %}<a href='https://c.example'>z</a>",
        "<a href=\"{{ 'mailto:' ~ record.first_name }}\">x</a><a href=' {{ record.url }} '>y</a><a href='{{ 'unsubscribe' }}'>z</a>",
        "<a data-no-track href='https://a.example/{{ record.total }}'>x</a><a\tdata-no-track=\"1\" \n href='unsubscribe'>y</a><a href='https://b.example' data-no-track>z</a>",
        "<a href='unsubscribe|{{ record.url }}'>x</a><a href=\"unsubscribe|{{ short(record.url) }}\">y</a>",
        "{% set x %}<a href='https://a.example'>x</a>{% endset %}{{ x }}{{ x }}",
        "{% from 'macros' import button as b, box %}{{ b(record.url, 'é') }}{% call box('https://q.example') %}<b>c</b>{% endcall %}",
        "{% extends 'layout' %}{% block a %}{{ super() }}<a href='https://new.example'>n</a>{% endblock %}",
        "<title>{{ record.first_name }}</title><img alt=\"{{ record.first_name }}\"><!-- {{ record.first_name }} --><a href='https://a.example'>x</a>",
        "a{# <a href='https://no.example'> #}b{% raw %}<a href='https://raw.example/{{ x }}'>{% endraw %}x</a>",
        "<a href='https://a.example/{# c #}x'>x</a> <{# c #}a href='https://b.example'>y</a>",
        "<p>no link</p>",
        "",
    ] {
        assert_alike(body, true);
    }
}

#[test]
fn what_could_change_the_markup_is_looked_through_in_each_mail() {
    for body in [
        "{{ '<a href=\"https://a.example\">x</a>' | safe }}",
        "{% autoescape false %}{{ '<a href=https://a.example>' }}{% endautoescape %}",
        "{% filter upper %}<a href='https://a.example'>x</a>{% endfilter %}",
        "{% set x %}<a href='https://a.example'>x</a>{% endset %}{{ x | replace('a.example', 'b.example') }}",
        "{% set x %}<a href='https://a.example'>x</a>{% endset %}{% if 'a.example' in x %}y{% endif %}",
        "{{ ['<a href=https://a.example>'] | map('safe') | join }}",
        "<a {% if true %}href='https://a.example'{% endif %}>x</a>",
        "<a href='{% if true %}https://a.example{% endif %}'>x</a>",
        "<a href=https://a.example/{{ record.total }}>x</a>",
        "<{{ 'a' }} href='https://a.example'>x</a>",
        "<!--{% if true %}--><a href='https://a.example'>x</a><!--{% endif %}-->",
        "<!-- {{ '--' }}> <a href='https://a.example'>x</a> -->",
        "{% if true %}<!--{% endif %}<a href='https://a.example'>x</a>",
        "<style>{% if true %}</style>{% endif %}<a href='https://a.example'>x</a>",
        "<svg><style><a href='https://a.example'>x</a></style></svg>",
        "<script>x = '{{ record.total }}'</script><a href='https://a.example'>x</a>",
        "<a data-no-track='{{ 1 }}' href='https://a.example'>x</a>",
        "{% set x %}\"><a href='https://a.example'>{% endset %}<img alt=\"{{ x }}\">",
        MJML,
    ] {
        assert_alike(body, false);
    }
}

#[test]
fn mistakes_stand_where_the_author_wrote_them_although_links_were_marked() {
    let body = "<a href='https://a-long-address.example/with/a/path'>x</a> é {{ record.total | format_date }}";
    let template = compile_with_footer(body);
    assert!(template.links.is_some());
    let error = template.render(&context(), &recipient()).unwrap_err();
    let column = body[..body.find("format_date").unwrap()].chars().count() + 1;
    assert_eq!(error.column, u32::try_from(column).ok(), "{error}");
    let wrong = "<a href='unsubscribe|/bye'>x</a>{{ 1 }}";
    let error = compile_with_footer(wrong)
        .render(&context(), &recipient())
        .unwrap_err();
    assert!(error.message.contains("no absolute http"), "{error}");
}

/// The document without what stands behind `href=`, quotes apart.
fn without_addresses(html: &str) -> String {
    let mut left = String::new();
    let mut rest = html;
    while let Some(at) = rest.to_ascii_lowercase().find("href=") {
        let (before, value) = rest.split_at(at + "href=".len());
        left.push_str(before);
        rest = match value.chars().next() {
            Some(quote @ ('"' | '\'')) => value[1..].split_once(quote).unwrap().1,
            _ => &value[value.find([' ', '>']).unwrap()..],
        };
    }
    left + rest
}

#[test]
fn nothing_but_addresses_changes() {
    for html in [NEWSLETTER, FRAGMENT, FOOTER] {
        // As it is when no template has run.
        let html = html.replace("{{", "(").replace("}}", ")");
        let mut links = Links::default();
        let tracked = rewrite::track_links(&html, &mut links).unwrap();
        assert_ne!(tracked, html);
        assert_eq!(
            without_addresses(&tracked),
            without_addresses(&html.replace(" data-no-track", ""))
        );
    }
    // One for each URL, as a browser would open it.
    let (newsletter, _) = mail(NEWSLETTER);
    assert_eq!(
        newsletter.links(),
        [
            "https://shop.example/?utm_source=news&utm_medium=email",
            "https://shop.example/autumn?c=%C3%A9t%C3%A9&q=caf%C3%A9",
            "https://shop.example/blog/how-to-brew",
            "https://shop.example/orders/1?from=mail&x=1",
            "https://shop.example/orders/2?from=mail&x=1",
            "https://shop.example/m%C3%BCnchen/stra%C3%9Fe",
            "https://shop.example/bye?x=1&y=2",
        ]
    );
}

#[test]
fn links_become_targets_in_html_and_text() {
    let rendered = render(
        "{{ short('https://in-subject.example') }}",
        "<body><a href=\"{{ record.url }}\">shop</a> <a href='{{ short(record.url) }}'>again</a>\
         <a href=\"{{ unsubscribe_url }}\">bye</a><a href=\"unsubscribe|https://bye.example\">bye</a>\
         {{ short('https://shown.example') }}</body>",
    )
    .unwrap();
    assert_eq!(
        rendered.links(),
        [
            "https://in-subject.example",
            "https://shop.example/?a=1&b=2",
            "https://shown.example",
            "https://bye.example"
        ]
    );
    let mail = assembled(&rendered);
    assert_eq!(mail.subject, "https://t.example/c/0");
    assert!(mail.html.contains(
        "<a href=\"https://t.example/c/1\">shop</a> <a href='https://t.example/c/1'>again</a>"
    ));
    assert!(
        mail.html
            .contains("<a href=\"https://t.example/u/None&amp;x\">bye</a>"),
        "{}",
        mail.html
    );
    assert!(
        mail.html
            .contains("<a href=\"https://t.example/u/Some(3)&amp;x\">bye</a>"),
        "{}",
        mail.html
    );
    assert!(mail.html.ends_with("></body>"));
    let words = mail.text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        words.contains("shop <https://t.example/c/1> again"),
        "{words}"
    );
    assert!(
        words.contains("bye <https://t.example/u/None&x>"),
        "{words}"
    );
    assert!(!mail.text.contains("/o/1"), "{}", mail.text);
}

#[test]
fn the_address_of_a_mail_in_a_browser_is_no_tracked_link() {
    let body =
        "<a href=\"{{ browser_url }}\">v</a> {{ browser_url }} <a href='https://a.example'>a</a>";
    for body in [body.to_owned(), looked_through(body)] {
        let rendered = render("s", &body).unwrap();
        assert_eq!(rendered.links(), ["https://a.example"]);
        let mail = assembled(&rendered);
        assert!(mail.html.starts_with(
            "<a href=\"https://t.example/v/1\">v</a> https://t.example/v/1 <a href='https://t.example/c/0'>"
        ));
        assert!(mail.text.starts_with("v <https://t.example/v/1>"));
    }
    assert!(render("s", "{{ short(browser_url) }}").is_err());
}
