use super::{html, mail};

#[test]
fn what_mrml_loses_of_links_and_pictures_is_written() {
    let link = "href=\"https://a.example/\"";
    for (column, expected) in [
        (
            format!("<mj-button {link} title='To the \"shop\" \\ – é'>x</mj-button>"),
            &[
                "<a href=\"https://a.example/\" title=\"To the &quot;shop&quot; &#92; – é\" target=\"_blank\"",
            ][..],
        ),
        (
            format!("<mj-button name=\"go\" title=\"now\" {link}>x</mj-button>"),
            &[" name=\"go\" title=\"now\" target="],
        ),
        (
            "<mj-button title=\"no link\">x</mj-button>".to_owned(),
            &["<p title=\"no link\""],
        ),
        (
            format!(
                "<mj-image src=\"p.png\" title=\"t\" sizes=\"(max-width: 9px) 9px, 1px\" usemap=\"#m\" {link}/>"
            ),
            &[
                "<a href=\"https://a.example/\" title=\"t\"",
                " usemap=\"#m\" sizes=\"(max-width: 9px) 9px, 1px\"",
            ],
        ),
        (
            format!(
                "<mj-social><mj-social-element title=\"X\" srcset=\"a.png 2x\" sizes=\"1px\" src=\"b.png\" {link}>x\
                 </mj-social-element></mj-social>"
            ),
            &[" title=\"X\" srcset=\"a.png 2x\" sizes=\"1px\" src=\"b.png\""],
        ),
        (
            "<mj-table role=\"presentation\"><tr><td>x</td></tr></mj-table>".to_owned(),
            &["cellpadding=\"0\" role=\"presentation\" cellspacing=\"0\""],
        ),
        (
            "<mj-table role=\"none\" cellpadding=\"4\"><tr><td>x</td></tr></mj-table>".to_owned(),
            &["cellpadding=\"4\" role=\"none\""],
        ),
    ] {
        let html = mail(&column);
        for expected in expected {
            assert!(html.contains(expected), "{column}: {html}");
        }
        assert!(!html.contains("u{7f}"), "{html}");
    }
    let defaults = html(
        "<mjml><mj-head><mj-attributes><mj-all title=\"all\"/><mj-class name=\"c\" title=\"class\"/><mj-button name=\"n\"/>\
         </mj-attributes></mj-head><mj-body><mj-section><mj-column><mj-button href=\"/1\">x</mj-button>\
         <mj-button href=\"/2\" mj-class=\"c\">x</mj-button><mj-button href=\"/3\" mj-class=\"c\" title=\"own\">x</mj-button>\
         <mj-text>\\ u{7f}title=</mj-text></mj-column></mj-section></mj-body></mjml>",
    );
    for (href, title) in [("/1", "all"), ("/2", "class"), ("/3", "own")] {
        let expected = format!("href=\"{href}\" name=\"n\" title=\"{title}\"");
        assert!(defaults.contains(&expected), "{expected}: {defaults}");
    }
}

/// A text that looks like what mrml writes stays one.
#[test]
fn text_is_never_made_an_attribute() {
    let html = mail("<mj-text>x\\u{7f}title=y</mj-text><mj-button title=\"t\">x</mj-button>");
    assert!(html.contains("x\\u{7f}title=y"), "{html}");
}

#[test]
fn styles_that_mrml_loses_are_written() {
    let title = mail(
        "<mj-accordion><mj-accordion-element><mj-accordion-title font-weight=\"bold\">t</mj-accordion-title>\
         <mj-accordion-text>x</mj-accordion-text></mj-accordion-element></mj-accordion>",
    );
    assert!(
        title.contains("font-size:13px;font-weight:bold;"),
        "{title}"
    );
    let hero = html(
        "<mjml><mj-head><mj-attributes><mj-hero border-radius=\"9px\"/></mj-attributes></mj-head><mj-body>\
         <mj-hero vertical-align=\"middle\"><mj-text>x</mj-text></mj-hero></mj-body></mjml>",
    );
    assert!(
        hero.contains("vertical-align:middle;border-radius:9px;"),
        "{hero}"
    );
}

#[test]
fn an_icon_stands_on_the_side_that_is_said() {
    let html = mail(
        "<mj-social mode=\"vertical\"><mj-social-element css-class=\"c\" icon-position=\"right\" src=\"a.png\" alt=\"A\">\
         <table><tr><td>one</td></tr></table></mj-social-element>\
         <mj-social-element icon-position=\"right\" src=\"b.png\" alt=\"B\">two</mj-social-element>\
         <mj-social-element icon-position=\"left\" src=\"c.png\" alt=\"C\">three</mj-social-element>\
         <mj-social-element icon-position=\"right\" src=\"d.png\" alt=\"D\"/></mj-social>",
    );
    let order: Vec<usize> = ["one", "a.png", "two", "b.png", "c.png", "three", "d.png"]
        .iter()
        .map(|text| html.find(text).unwrap_or_else(|| panic!("{text}: {html}")))
        .collect();
    assert!(order.is_sorted(), "{order:?}: {html}");
    assert!(
        html.contains("<tr class=\"c\"><td style=\"vertical-align:middle"),
        "{html}"
    );
    assert!(
        !html.contains("icon-position") && !html.contains("u{7f}"),
        "{html}"
    );
}

#[test]
fn what_stands_at_the_start_of_the_file_does() {
    let html = html(
        "<mjml><mj-raw position=\"file-start\"><!-- <%= x %> --><br></mj-raw><mj-body><mj-raw position=\"file-start\">y</mj-raw>\
         </mj-body></mjml>",
    );
    assert!(
        html.starts_with("<!-- <%= x %> --><br>\n<!doctype html>"),
        "{html}"
    );
    assert!(html.contains(">y<"), "{html}");
}

#[test]
fn attributes_that_do_nothing_are_told() {
    let document = "\u{1}\u{1}<mjml><mj-raw position=\"file-start\">x</mj-raw><mj-body><mj-raw position=\"file-start\">y</mj-raw>\
         <mj-social table-layout=\"fixed\" mode=\"vertical\" vertical-align=\"top\"/></mj-body></mjml>";
    let found: Vec<(usize, String)> = super::super::idle_attributes(document, '\u{1}')
        .into_iter()
        .map(|found| (found.offset, found.message))
        .collect();
    let at = |text: &str| document.rfind(text).expect("it stands there");
    assert_eq!(
        found,
        [
            (
                at("position"),
                "mjml: position of <mj-raw> does nothing".to_owned()
            ),
            (
                at("table-layout"),
                "mjml: table-layout of <mj-social> does nothing".to_owned()
            ),
            (
                at("vertical-align"),
                "mjml: vertical-align of <mj-social> does nothing".to_owned()
            ),
        ]
    );
}
