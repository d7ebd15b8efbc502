use super::super::{first_break, first_break_in_piece};

const TAG: char = '\u{1}';

#[test]
fn a_lone_angle_bracket_is_found_in_every_branch() {
    for (document, at) in [
        ("<mjml>\u{1}\u{1}5 < 6\u{1}</mjml>", Some(10)),
        ("<!-- x --><mjml>I <3 you</mjml>", Some(18)),
        ("<mjml><mj-text>a <- b</mj-text></mjml>", Some(17)),
        ("<mjml><mj-text>a <= \u{1}</mj-text></mjml>", Some(17)),
        ("<mjml><mj-text>été > 3 <</mj-text></mjml>", Some(25)),
        ("<mjml><mj-text>a <b and c</mj-text></mjml>", Some(17)),
        // An expression may make a whole of it.
        ("<mjml><\u{1}\u{1} x></mjml>", None),
        ("<mjml><mj-text \u{1}>x</mj-text></mjml>", None),
        (
            "<mjml><mj-text align=\"\u{1}\">x &lt; y & z</mj-text></mjml>",
            None,
        ),
        (
            "<mjml><!-- 5 < 6 --><mj-raw><!--[if mso]><p><![endif]--></mj-raw></mjml>",
            None,
        ),
        (
            "<!doctype html><mjml><mj-style>a > b { x: 1 }</mj-style></mjml>",
            None,
        ),
    ] {
        let found = first_break(document, TAG);
        assert_eq!(
            found.as_ref().map(|found| found.offset),
            at,
            "{document}: {found:?}"
        );
    }
}

#[test]
fn a_lone_angle_bracket_is_found_in_a_snippet() {
    assert_eq!(
        first_break_in_piece("5 < 6", TAG).map(|found| found.offset),
        Some(2)
    );
    assert_eq!(first_break_in_piece("<mj-text>x</mj-text> y", TAG), None);
    for whole in [
        "</mj-text> y",
        "</mj-column></mj-section><mj-section>",
        "\u{1}</p>\u{1}</p>\u{1}<p>x",
    ] {
        assert_eq!(first_break_in_piece(whole, TAG), None, "{whole}");
    }
}
