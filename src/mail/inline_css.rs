//! Style sheets of a mail, written into the elements that they match: some programs show a mail without its `<style>`.

use crate::mail::html_tokens::{Token, Tokens};
use crate::mail::mjml::{Rule, Sheet, inline_styles};

/// Writes what `<style>` says of elements into them. The style sheets stay: for `@media`, `:hover` and selectors that match only in some
/// programs.
///
/// # Errors
/// Too many values, or markup that needs more memory than allowed.
pub(crate) fn inline(html: String) -> Result<String, String> {
    let mut rules = Vec::new();
    let mut tokens = Tokens::new(&html);
    while let Some((at, token)) = tokens.next() {
        if let Token::Start(tag) = token
            && tag.name.eq_ignore_ascii_case("style")
            && tag
                .attribute("media")
                .is_none_or(|media| is_for_all(&media))
        {
            let css = html.get(at + tag.length()..tokens.at());
            let sheet = Sheet::read(css.unwrap_or_default());
            let says_something = |rule: &Rule| !rule.declarations.is_empty();
            rules.extend(sheet.rules.into_iter().filter(says_something));
        }
    }
    inline_styles(html, &rules)
}

/// Whether a style sheet counts wherever the mail is shown on a screen.
fn is_for_all(media: &str) -> bool {
    ["", "all", "screen"].contains(&media.trim().to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_become_attributes_and_the_sheet_stays() {
        let html = |style: &str, p: &str| {
            format!("<html><head>{style}</head><body><p{p}>a</p><b>c</b></body></html>")
        };
        for (style, before, after) in [
            ("", "", ""),
            ("<style>b + i {color: red} p {} p {color: }</style>", "", ""),
            (
                "<style>p {color: red}</style>",
                "",
                r#" style="color:red;""#,
            ),
            (
                "<STYLE type='text/css' media='screen'><!-- p {Color: red} --></STYLE>",
                "",
                r#" style="color:red;""#,
            ),
            ("<style media='print'>p {color: red}</style>", "", ""),
            ("<!-- <style>p {color: red}</style> -->", "", ""),
            (
                "<style>@media screen { p {color: red} } p:hover {color: red}</style>",
                "",
                "",
            ),
            // What the element says itself is stronger, ids are than classes, and of equals the last.
            (
                "<style>p {color: red; margin: 0}</style>",
                r#" style="color: blue""#,
                r#" style="margin:0;color:blue;""#,
            ),
            (
                "<style>#x {color: red} .y {color: blue; top: 0}</style><style>p {top: 1px} .y {left: 0}</style>",
                r#" id="x" class="y""#,
                r#" style="top:0;left:0;color:red;" id="x" class="y""#,
            ),
            (
                "<style>p {font: 1em \"A\"}</style>",
                "",
                r#" style="font:1em &quot;A&quot;;""#,
            ),
        ] {
            assert_eq!(
                inline(html(style, before)),
                Ok(html(style, after)),
                "{style}"
            );
        }
        for broken in [
            "<style>p {color: red",
            "<style",
            "<style>",
            "<style>{{{{((</style><p>",
            "",
        ] {
            assert_eq!(inline(broken.to_owned()).as_deref(), Ok(broken));
        }
    }

    #[test]
    fn a_sheet_that_would_write_too_much_is_an_error() {
        let sheet = "* {color: red}".repeat(300);
        let html = format!("<style>{sheet}</style>{}", "<p>".repeat(300));
        assert!(
            inline(html)
                .unwrap_err()
                .starts_with("more than 50000 values")
        );
    }
}
