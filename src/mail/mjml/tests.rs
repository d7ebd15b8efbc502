use super::*;

mod broken;
mod carried;
mod head;

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
fn arrows_of_a_carousel_are_hidden_from_yahoo_only() {
    let html = mail("<mj-carousel><mj-carousel-image src=\"x\"/></mj-carousel>");
    assert!(html.contains("@media screen yahoo {"), "{html}");
    assert!(!html.contains("screen, yahoo"), "{html}");
}

#[test]
fn a_fluid_hero_is_as_high_as_its_background() {
    let html = html(
        "<mjml><mj-body><mj-hero mode=\"fluid-height\" background-width=\"600px\" background-height=\"100px\" /></mj-body></mjml>",
    );
    assert_eq!(html.matches("padding-bottom:17%;").count(), 2, "{html}");
}

#[test]
fn elements_without_an_end_have_none_in_capitals_either() {
    let html = mail("<mj-text>a<BR>b<Br/>c</mj-text>");
    assert!(
        html.contains("a<br>b<br>c") || html.contains("a<br />b<br />c"),
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
        first_mistake(document, '\u{1}')
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
            "mjml: line 3, column 10: ",
        ),
        (
            "<mjml>\n<mj-body>\n<mj-image alt=x /></mj-body></mjml>",
            "mjml: line 3, column 10: ",
        ),
    ] {
        let error = to_html(document).unwrap_err();
        assert!(error.contains(line), "{error}");
    }
}

#[test]
fn mistakes_behind_an_expression_and_files_to_load_are_found() {
    let found = |document: &str| {
        first_mistake(document, '\u{1}').map(|mistake| (mistake.offset, mistake.message))
    };
    assert_eq!(
        found("<mjml><mj-body><mj-text>→ > \u{1}\u{1}</mj-text><mj-txt/></mj-body></mjml>"),
        Some((43, "mjml: element <mj-txt> does not exist".to_owned()))
    );
    let (_, message) =
        found("<mjml><mj-body><mj-include path=\"./a.mjml\"/></mj-body></mjml>").unwrap();
    assert!(message.contains("mj-include loads nothing"), "{message}");
    let (offset, message) = found(
        "<mjml><mj-head><mj-html-attributes><mj-selector path=\"a + b\"><mj-html-attribute name=\"x\">1\
         </mj-html-attribute></mj-selector></mj-html-attributes></mj-head></mjml>",
    )
    .unwrap();
    assert!(message.contains("\"a + b\" is no selector"), "{message}");
    assert_eq!(offset, 54);
}

/// htmlparser cuts such a text in the middle of a letter.
#[test]
fn greater_than_stands_behind_any_letter() {
    for text in ["→>", "é >", "a é>b", "日本 > 5", "👍>", "\u{a0}>", "]]é>"] {
        for (column, expected) in [
            (format!("<mj-text>{text}</mj-text>"), text.to_owned()),
            (
                format!("<mj-text><b title=\"é\">{text}</b></mj-text>"),
                format!("<b title=\"é\">{text}</b>"),
            ),
            (
                format!("<mj-raw><style>{text} b {{}}</style></mj-raw>"),
                format!("<style>{text} b {{}}</style>"),
            ),
            (
                format!("<mj-text><!-- {text} --><b\u{20}>{text}</b></mj-text>"),
                format!("<b>{text}</b>"),
            ),
        ] {
            let html = mail(&column);
            assert!(html.contains(&expected), "{column}: {html}");
            assert!(!html.contains('\u{7f}'));
        }
    }
}

/// A stack overflow would end the server process: threads of the pool have 2 MB.
#[test]
fn nesting_is_bounded_by_what_the_stack_bears() {
    let nested = |open: &str, close: &str, depth: usize| {
        format!(
            "<mjml><mj-body><mj-section><mj-column>\n{}x{}</mj-column></mj-section></mj-body></mjml>",
            open.repeat(depth),
            close.repeat(depth)
        )
    };
    std::thread::Builder::new()
        .stack_size(2 * 1024 * 1024)
        .spawn(move || {
            for (start, open, close, end) in [
                ("<mj-text>", "<b>", "</b>", "</mj-text>"),
                ("<mj-text>", "<a href=\"x\" >", "</a>", "</mj-text>"),
                ("<mj-raw>", "<div>", "</div>", "</mj-raw>"),
                ("<mj-table>", "<td>", "</td>", "</mj-table>"),
                ("<mj-button>", "<i>", "</i>", "</mj-button>"),
                (
                    "<mj-accordion><mj-accordion-element><mj-accordion-text>",
                    "<p>",
                    "</p>",
                    "</mj-accordion-text></mj-accordion-element></mj-accordion>",
                ),
            ] {
                let levels = 4 + start.matches('<').count();
                let document = |depth| {
                    nested(open, close, depth)
                        .replace('\n', &format!("\n{start}"))
                        .replace("</mj-column>", &format!("{end}</mj-column>"))
                };
                assert!(to_html(&document(100 - levels)).is_ok(), "{start}");
                let error = to_html(&document(101 - levels)).unwrap_err();
                assert!(
                    error.contains("line 2, column") && error.contains("more than 100 levels"),
                    "{error}"
                );
            }
            for (open, close) in [
                ("<mj-section>", "</mj-section>"),
                ("<mj-column>", "</mj-column>"),
                ("<mj-wrapper>", "</mj-wrapper>"),
            ] {
                assert!(
                    to_html(&nested(open, close, 20_000))
                        .unwrap_err()
                        .contains("more than 100 levels")
                );
            }
        })
        .unwrap()
        .join()
        .unwrap();
}

#[test]
fn defaults_win_against_what_is_inherited() {
    let html = html(
        "<mjml><mj-head><mj-attributes><mj-all font-size=\"19px\" /><mj-social-element color=\"#f00\" padding=\"1px\" />\
         <mj-class name=\"pale\" color=\"#eee\" /></mj-attributes></mj-head><mj-body><mj-section><mj-column>\
         <mj-social color=\"#00f\" font-size=\"9px\"><mj-social-element name=\"facebook\">A</mj-social-element>\
         <mj-social-element name=\"facebook\" mj-class=\"pale\">B</mj-social-element>\
         <mj-social-element name=\"facebook\" color=\"#0f0\" font-size=\"8px\">C</mj-social-element>\
         </mj-social></mj-column></mj-section></mj-body></mjml>",
    );
    for (text, color, size) in [
        ("A", "#f00", "19px"),
        ("B", "#eee", "19px"),
        ("C", "#0f0", "8px"),
    ] {
        let before = &html[..html
            .find(&format!(">{text}<"))
            .or(html.find(&format!(" {text} ")))
            .unwrap()];
        let style = &before[before.rfind("style=").unwrap()..];
        assert!(style.contains(&format!("color:{color}")), "{text}: {style}");
        assert!(
            style.contains(&format!("font-size:{size}")),
            "{text}: {style}"
        );
    }
}

#[test]
fn a_hero_is_as_high_as_it_says_with_its_padding() {
    let hero = |attributes: &str| {
        html(&format!(
            "<mjml><mj-body><mj-hero {attributes}><mj-text>x</mj-text></mj-hero></mj-body></mjml>"
        ))
    };
    for (attributes, height) in [
        ("height=\"220px\" padding=\"30px 0\"", 160),
        (
            "mode=\"fixed-height\" height=\"220px\" padding=\"10px 1px 20px\"",
            190,
        ),
        (
            "height=\"220px\" padding=\"10px\" padding-bottom=\"0\"",
            210,
        ),
        ("height=\"220px\"", 220),
    ] {
        let html = hero(attributes);
        assert!(
            html.contains(&format!("height=\"{height}\"")),
            "{attributes}: {html}"
        );
    }
}

#[test]
fn widths_are_what_a_padding_leaves() {
    for (padding, width) in [
        ("0 20px", 560),
        ("0px 20px", 560),
        ("10px 0", 600),
        ("0", 600),
    ] {
        let html = mail(&format!(
            "<mj-image src=\"https://a.example/i.png\" padding=\"{padding}\" />"
        ));
        assert!(
            html.contains(&format!("width=\"{width}\"")),
            "{padding}: {html}"
        );
    }
}

#[test]
fn sections_of_a_wrapper_have_its_gap_between_them() {
    let section = "<mj-section><mj-column><mj-text>a<br>b</mj-text></mj-column></mj-section>";
    let wrapper = |attributes: &str| {
        html(&format!(
            "<mjml><mj-body><mj-wrapper{attributes}>{section}{section}{section}</mj-wrapper>{section}{section}</mj-body></mjml>"
        ))
    };
    assert_eq!(
        wrapper(" gap=\"12px\"").matches("padding:12px 0 0").count(),
        2
    );
    assert_eq!(wrapper("").matches("padding:12px 0 0").count(), 0);
}

#[test]
fn cells_of_a_table_stand_apart_where_it_says_so() {
    for (attributes, apart) in [
        (" cellspacing=\"2\"", true),
        (" cellspacing=\"0\"", false),
        ("", false),
    ] {
        let html = mail(&format!(
            "<mj-table{attributes}><tr><td>x</td></tr></mj-table>"
        ));
        assert_eq!(
            html.contains("border-collapse:separate"),
            apart,
            "{attributes}"
        );
    }
    let own = "<mj-text><table border=\"0\" cellpadding=\"1\" cellspacing=\"2\" style=\"border-collapse:collapse\"><tr><td>x</td></tr></table></mj-text>";
    assert!(!mail(own).contains("separate"));
}
