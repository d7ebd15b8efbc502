//! What a mail holds by what its recipient has consented to.

use super::*;

#[test]
fn a_hidden_link_needs_consent_to_clicks_and_is_in_no_plain_text() {
    let rendered = render("s", "<body>Hello</body>").unwrap();
    let with = |opens, clicks| rendered.assemble(Consent { opens, clicks }, true, url_of);
    let link = r#"<a href="https://t.example/c/hidden" aria-hidden="true" tabindex="-1" rel="nofollow" style="display:none;font-size:0"></a>"#;
    assert!(
        with(true, true)
            .html
            .contains(&format!("Hello{link}<img src"))
    );
    assert_eq!(with(false, true).html, format!("<body>Hello{link}</body>"));
    assert_eq!(with(false, false).html, "<body>Hello</body>");
    assert_eq!(with(true, true).text, "Hello\n");
}

#[test]
fn without_consent_there_is_no_image_and_links_are_as_written() {
    let rendered = render(
        "s",
        r#"<body><p><a href="https://shop.example/?a=1&amp;b=2">shop</a> <a href="unsubscribe|https://bye.example">bye</a></p></body>"#,
    )
    .unwrap();
    let with = |opens, clicks| assembled_with(&rendered, Consent { opens, clicks });
    let image = |html: &str| html.contains("<img") || html.contains("/o/1");

    let neither = with(false, false);
    assert_eq!(
        neither.html,
        r#"<body><p><a href="https://shop.example/?a=1&amp;b=2">shop</a> <a href="https://t.example/u/Some(1)&amp;x">bye</a></p></body>"#
    );
    assert!(
        neither.text.contains("https://shop.example/?a=1&b=2"),
        "{}",
        neither.text
    );
    assert!(neither.text.contains("https://t.example/u/"));
    assert!(!neither.text.contains("/c/"));

    let opens = with(true, false);
    assert!(image(&opens.html) && !opens.html.contains("/c/"));
    let clicks = with(false, true);
    assert!(!image(&clicks.html) && clicks.html.contains("https://t.example/c/0"));
    assert!(clicks.text.contains("https://t.example/c/0"));
}
