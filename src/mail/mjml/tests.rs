use super::*;

fn mail(column: &str) -> String {
    html(&format!(
        "<mjml><mj-body><mj-section><mj-column>{column}</mj-column></mj-section></mj-body></mjml>"
    ))
}

fn html(document: &str) -> String {
    to_html(document).unwrap_or_else(|error| panic!("{document}: {error}"))
}

#[test]
fn attributes_keep_their_characters() {
    for (column, expected) in [
        (
            "<mj-image src=\"https://a.example/1.png\" alt=\"Soldes : ❤️\"/>",
            "alt=\"Soldes&#160;: ❤&#65039;\"",
        ),
        (
            "<mj-image src='x' alt='👩‍💻 \u{a0}é \\ x'/>",
            "alt=\"👩&#8205;💻 &#160;é &#92; x\"",
        ),
        (
            "<mj-text><p style=\"\n  color: red;\n\ttext-align: center\">x</p></mj-text>",
            "style=\"   color: red;  text-align: center\"",
        ),
        (
            "<mj-text><a href='https://a.example/?q=\"tea\"'>x</a></mj-text>",
            "href=\"https://a.example/?q=&quot;tea&quot;\"",
        ),
        (
            "<mj-button href='https://a.example/?q=\"tea\"&amp;b=1'>x</mj-button>",
            "href=\"https://a.example/?q=&quot;tea&quot;&amp;b=1\"",
        ),
        (
            "<mj-text font-family='\"Open Sans\", Arial'>x</mj-text>",
            "font-family:&quot;Open Sans&quot;, Arial",
        ),
        (
            "<mj-text>a &nbsp; &copy; <img alt=\"x\" src=\"y\"/></mj-text>",
            "a &nbsp; &copy; <img alt=\"x\" src=\"y\"",
        ),
        (
            "<mj-text>5 &lt; 6 &amp; &quot;x&quot;</mj-text>",
            "5 &lt; 6 &amp; &quot;x&quot;",
        ),
    ] {
        let html = mail(column);
        // Where the author has written a plain space the reference is none.
        let expected = expected.replace(
            "Soldes&#160;:",
            if column.contains('\u{a0}') {
                "Soldes&#160;:"
            } else {
                "Soldes :"
            },
        );
        assert!(html.contains(&expected), "{column}: {html}");
        assert!(
            !html.contains("\\u{") && !html.contains("\\\""),
            "{column}: {html}"
        );
    }
}

#[test]
fn images_have_an_alternative_text() {
    assert!(mail("<mj-image src=\"x\"/>").contains("alt=\"\""));
    assert!(mail("<mj-image src=\"x\" alt=\"y\"></mj-image>").contains("alt=\"y\""));
    let html = html(
        "<mjml><mj-head><mj-attributes><mj-image alt=\"z\" /></mj-attributes></mj-head><mj-body><mj-section><mj-column>\
         <mj-image src=\"x\" /></mj-column></mj-section></mj-body></mjml>",
    );
    assert!(
        html.contains("alt=\"z\"") && !html.contains("alt=\"\""),
        "{html}"
    );
}

#[test]
fn documents_are_known_whatever_stands_before_them_and_however_they_are_written() {
    for document in [
        "<!doctype html>\n<mjml><mj-body></mj-body></mjml>",
        "<!DOCTYPE mjml SYSTEM \"x\"><!-- a --><mjml><mj-body></mj-body></mjml>",
        "<MJML><MJ-BODY></MJ-BODY></MJML>",
        "\u{feff}<?xml version=\"1.0\"?><mjml><Mj-Body /></mjml>",
    ] {
        assert!(is_mjml(document), "{document}");
        assert!(html(document).starts_with("<!doctype html>"), "{document}");
    }
    for document in [
        "<!doctype html><html><mjml></html>",
        "<mjmlx>",
        "<é",
        "mjml",
        "<!doctype",
    ] {
        assert!(!is_mjml(document), "{document}");
    }
}

#[test]
fn unknown_names_are_found_with_the_nearest() {
    let unknown = |document: &str| {
        unknown_name(document)
            .map(|found| (found.offset, found.message, found.hint.unwrap_or_default()))
    };
    assert_eq!(
        unknown("<mjml><mj-body><mj-txt>x</mj-txt></mj-body></mjml>"),
        Some((
            16,
            "mjml: element <mj-txt> does not exist".to_owned(),
            "Did you mean <mj-text>?".to_owned()
        ))
    );
    assert_eq!(
        unknown(
            "<mjml><mj-body><mj-section bakground-color=\"red\"></mj-section></mj-body></mjml>"
        ),
        Some((
            27,
            "mjml: <mj-section> has no attribute \"bakground-color\"".to_owned(),
            "Did you mean background-color?".to_owned()
        ))
    );
    assert_eq!(
        unknown(
            "<mjml lang=\"fr\"><mj-head><mj-attributes><mj-all font-family=\"x\" /><mj-class name=\"a\" color=\"red\" />\
             <mj-text href=\"x\" /></mj-attributes><mj-html-attributes><mj-selector path=\".a\"><mj-html-attribute name=\"b\">c\
             </mj-html-attribute></mj-selector></mj-html-attributes></mj-head><mj-body><mj-text css-class=\"a\" mj-class=\"b\">\
             <p whatever=\"1\">x</p><custom x=\"y\"/></mj-text></mj-body></mjml>"
        ),
        None
    );
}

#[test]
fn mistakes_have_a_line() {
    for (document, line) in [
        (
            "<!-- a -->\n<mjml><mj-body>\n<mj-image\nalt=x /></mj-body></mjml>",
            "mjml: line 3",
        ),
        (
            "<mjml>\n<mj-body>\n<mj-image alt=x /></mj-body></mjml>",
            "mjml: line 3",
        ),
    ] {
        let error = to_html(document).unwrap_err();
        assert!(error.contains(line), "{error}");
    }
}
