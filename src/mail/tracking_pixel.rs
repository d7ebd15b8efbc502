//! The tracking pixel (the open image) and the hidden link, which are put at the end of a mail although its author has not written
//! them.

use crate::mail::html_tokens::{Token, Tokens};
use crate::mail::placeholder::Target;

/// Puts the open image before the last `</body>`, or at the end of a document without one.
pub(crate) fn insert_open_image(mut html: String) -> String {
    let at = end_of_body(&html).unwrap_or(html.len());
    html.insert_str(at, &open_image());
    html
}

/// The open image as it stands in the HTML.
pub(crate) fn open_image() -> String {
    format!(
        r#"<img src="{}" width="1" height="1" alt="" style="display:block;border:0;width:1px;height:1px">"#,
        Target::OpenImage.placeholder()
    )
}

/// The link that no person sees and no screen reader reads, which only programs follow.
pub(crate) fn hidden_link() -> String {
    format!(
        r#"<a href="{}" aria-hidden="true" tabindex="-1" rel="nofollow" style="display:none;font-size:0"></a>"#,
        Target::HiddenLink.placeholder()
    )
}

/// Finds the last `</body>` that is markup, not part of a comment (also of a conditional one for Outlook) or a script.
fn end_of_body(html: &str) -> Option<usize> {
    let ends = Tokens::new(html).filter(
        |(_, token)| matches!(token, Token::End(name) if name.eq_ignore_ascii_case("body")),
    );
    ends.last().map(|(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::placeholder;

    #[test]
    fn open_image_goes_before_the_last_end_of_body_outside_comments() {
        let at = |html: &str| {
            let with = placeholder::fill(&insert_open_image(html.to_owned()), |_| "I".into());
            assert_eq!(with.matches("<img ").count(), 1);
            with.find("<img ").unwrap()
        };
        assert_eq!(at("<body>a</body><body>b</BODY ></html>"), 21);
        assert_eq!(at("<body>a</body><!-- </body> --></html>"), 7);
        assert_eq!(at("<p>é</p>"), 9);
        assert_eq!(at("<body>a</bodywork>"), 18);
        assert_eq!(at("<body>a<!-- </body>"), 19);
    }
}
