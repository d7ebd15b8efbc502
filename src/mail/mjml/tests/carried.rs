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
