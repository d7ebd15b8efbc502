//! What the head says about the finished HTML.

use super::html;

fn with(head: &str, column: &str) -> String {
    html(&format!(
        "<mjml><mj-head>{head}</mj-head><mj-body><mj-section><mj-column>{column}</mj-column></mj-section></mj-body></mjml>"
    ))
}

/// The attribute `style` of the first tag that begins so.
fn style_of<'a>(html: &'a str, tag: &str) -> &'a str {
    let (_, rest) = html
        .split_once(tag)
        .unwrap_or_else(|| panic!("{tag}: {html}"));
    let (tag, _) = rest.split_once('>').unwrap();
    let (_, style) = tag
        .split_once("style=\"")
        .unwrap_or_else(|| panic!("{tag}"));
    style.split('"').next().unwrap()
}

#[test]
fn inlined_styles_stand_in_their_elements_and_nowhere_else() {
    let html = with(
        "<mj-style inline=\"inline\">.price > b, td.price{color:red} /* } */ .price { font-weight : bold }</mj-style>\
         <mj-style>.other{color:blue}</mj-style>",
        "<mj-text><p class=\"price\">5 <b id='x'>€</b></p><p>x</p></mj-text>",
    );
    assert!(
        html.contains(
            "<p style=\"font-weight:bold;\" class=\"price\">5 <b style=\"color:red;\" id=\"x\">"
        ),
        "{html}"
    );
    assert!(html.contains("<p>x</p>"), "{html}");
    assert!(
        html.contains("<style type=\"text/css\">.other{color:blue}</style>"),
        "{html}"
    );
    assert!(!html.contains(".price"), "{html}");
}

#[test]
fn the_cascade_is_a_browsers() {
    for (css, element, expected) in [
        // The element's own wins, unless the rule is important.
        (
            "p{color:red;margin:1px}",
            "<p style=\"color:blue\">",
            "margin:1px;color:blue;",
        ),
        (
            "p{color:red !important}",
            "<p style=\"color:blue\">",
            "color:red;",
        ),
        (
            "p{color:red!important}",
            "<p style=\"color:blue !important\">",
            "color:blue !important;",
        ),
        // Ids before classes before names; of equal ones the later.
        (
            "#i{color:red}.c{color:blue}p{color:green}",
            "<p id=\"i\" class=\"c\">",
            "color:red;",
        ),
        (
            "p.c{color:red}.c{color:blue}",
            "<p class=\"c\">",
            "color:red;",
        ),
        ("p{color:red}p{color:blue}", "<p>", "color:blue;"),
        // A short form does not undo what is stronger.
        (
            "p{padding:1px}",
            "<p style=\"padding-top:2px\">",
            "padding:1px;padding-top:2px;",
        ),
        (
            "p{padding-top:2px}",
            "<p style=\"padding:1px\">",
            "padding-top:2px;padding:1px;",
        ),
        // Values with marks in them.
        (
            "p{font-family:\"Open Sans\", 'a;b'}",
            "<p>",
            "font-family:&quot;Open Sans&quot;, 'a;b';",
        ),
        (
            "p{background:url(data:image/png;base64,AA==)}",
            "<p>",
            "background:url(data:image/png;base64,AA==);",
        ),
        ("p{Color:Red;;broken;x:}", "<p>", "color:Red;"),
        ("<!-- p{color:red} -->", "<p>", "color:red;"),
        ("p:not(.x){color:red}p{color:blue}", "<p>", "color:red;"),
        (
            "p:not(.x){color:red}",
            "<p class='x' style='top:0'>",
            "top:0",
        ),
        ("*{color:red}", "<p>", "color:red;"),
        ("[data-x=\"1\"]{color:red}", "<p data-x='1'>", "color:red;"),
        ("div p:first-child{color:red}", "<p>", "color:red;"),
    ] {
        let head = format!("<mj-style inline=\"inline\">{css}</mj-style>");
        let html = with(&head, &format!("<mj-text>{element}x</p></mj-text>"));
        assert_eq!(style_of(&html, "<p"), expected, "{css}");
    }
}

#[test]
fn what_no_attribute_can_say_stays_a_style_sheet() {
    let html = with(
        "<mj-style inline=\"inline\">@media (max-width:400px){.a{color:red}}a:hover,.a{color:blue} h1 + p {color:green}</mj-style>",
        "<mj-text><p class=\"a\">x</p></mj-text>",
    );
    assert!(
        html.contains("@media (max-width:400px){.a{color:red}}a:hover {color:blue}h1 + p {color:green}</style>"),
        "{html}"
    );
    assert_eq!(style_of(&html, "<p"), "color:blue;");
}

#[test]
fn attributes_are_set_by_selectors() {
    let html = with(
        "<mj-html-attributes><mj-selector path=\".a p\"><mj-html-attribute name=\"data-id\"> 4 &quot;x&quot; </mj-html-attribute>\
         <mj-html-attribute name=\"title\">b</mj-html-attribute></mj-selector><mj-selector path=\"i, u\">\
         <mj-html-attribute name=\"class\">c</mj-html-attribute></mj-selector></mj-html-attributes>\
         <mj-style inline=\"inline\">.c{color:red}</mj-style>",
        "<mj-text css-class=\"a\"><p title='old' lang=\"fr\">x</p><i>y</i><u class='z'>z</u></mj-text>",
    );
    assert!(
        html.contains("<p data-id=\"4 &quot;x&quot;\" title=\"b\" lang=\"fr\">"),
        "{html}"
    );
    assert!(
        html.contains("<i style=\"color:red;\" class=\"c\">y"),
        "{html}"
    );
    assert!(
        html.contains("<u style=\"color:red;\" class=\"c\">z"),
        "{html}"
    );
    assert!(!html.contains("mj-selector"), "{html}");
}

#[test]
fn selectors_cannot_make_a_mail_endless() {
    let many = "<p>x</p>".repeat(900);
    let css = "*{a:b;c:d;e:f;g:h;i:j;k:l;m:n;o:p;q:r;s:t}".repeat(90);
    for (head, expected) in [
        (
            format!("<mj-style inline=\"inline\">{css}</mj-style>"),
            "more than 50000 values",
        ),
        (
            format!(
                "<mj-style inline=\"inline\">{}</mj-style>",
                "a,".repeat(1_001) + "b{c:d}"
            ),
            "more than 1000 selectors",
        ),
    ] {
        let document = format!(
            "<mjml><mj-head>{head}</mj-head><mj-body><mj-section><mj-column><mj-text>{many}</mj-text></mj-column></mj-section>\
             </mj-body></mjml>"
        );
        let error = super::to_html(&document).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}

/// A stack overflow would end the server process.
#[test]
fn brackets_in_style_sheets_may_be_nested_as_deep_as_these_are_long() {
    for (open, close) in [
        ("a(", ")"),
        ("[", "]"),
        ("{", "}"),
        (":not(", ")"),
        (":is(", ")"),
        ("@media{", "}"),
        ("p{a:b(", ")}"),
    ] {
        let count = 60_000 / (open.len() + close.len());
        for css in [
            open.repeat(count),
            open.repeat(count) + &close.repeat(count),
            format!("{}p{}{{a:b}}", open.repeat(count), close.repeat(count)),
        ] {
            let _ = with(
                &format!("<mj-style inline=\"inline\">{css}</mj-style>"),
                "<mj-text><p>x</p></mj-text>",
            );
        }
    }
}
