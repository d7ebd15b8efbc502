//! What stands behind the end of a document, where XML has no place for anything but comments: no mail can be made of it.

use super::mistake::Mistake;

const END: &str = "</mjml";

/// Finds it; `tag` stands for each byte of an expression. What an expression or a branch prints there is a row's.
pub(super) fn behind_end(document: &str, tag: char) -> Option<Mistake> {
    let document = without_comments(document);
    let start = document.to_ascii_lowercase().rfind(END)? + END.len();
    let end = start + document[start..].find('>')? + 1;
    let behind = document[end..].split(tag).next()?;
    let offset = end + behind.len() - behind.trim_start().len();
    (!behind.trim().is_empty()).then(|| {
        Mistake::new(
            offset,
            "nothing may stand behind </mjml>",
            Some("Write it into mj-body, or leave it away.".to_owned()),
        )
    })
}

/// The document with blanks in the place of each byte of its comments.
fn without_comments(document: &str) -> String {
    let mut kept = String::with_capacity(document.len());
    let mut rest = document;
    while let Some((before, after)) = rest.split_once("<!--") {
        let end = after.find("-->").map_or(after.len(), |at| at + "-->".len());
        kept.push_str(before);
        kept.extend(std::iter::repeat_n(' ', "<!--".len() + end));
        rest = &after[end..];
    }
    kept + rest
}

#[cfg(test)]
mod tests {
    use super::super::to_html;
    use super::*;

    const DOCUMENT: &str = "<mjml><mj-body><mj-section><mj-column><mj-text>é</mj-text></mj-column></mj-section></mj-body></mjml >";

    #[test]
    fn what_stands_behind_the_end_is_found_and_no_mail_can_be_made_of_it() {
        for behind in [
            "<p>x</p>",
            "\nx",
            "&nbsp;",
            "</div>",
            "<!-- a -->y",
            "<mjml></mjml> z",
        ] {
            let document = format!("{DOCUMENT}{behind}");
            let mistake = behind_end(&document, '\u{1}').expect(behind);
            assert!(mistake.message.contains("behind </mjml>"), "{behind}");
            assert!(mistake.offset > DOCUMENT.len() - 1, "{behind}");
            assert!(to_html(&document).is_err(), "{behind}");
        }
    }

    #[test]
    fn comments_and_white_space_may_stand_there() {
        for behind in ["", " \n", "<!-- x -->\n", "\n<!-- </mjml> --> <!-- b -->"] {
            let document = format!("{DOCUMENT}{behind}");
            assert_eq!(behind_end(&document, '\u{1}'), None, "{behind}");
            assert!(to_html(&document).is_ok(), "{behind}");
        }
    }

    #[test]
    fn what_is_said_by_a_row_is_not_judged() {
        for behind in ["\u{1}\u{1}", "\n\u{1}\u{1}<p>x</p>\u{1}"] {
            assert_eq!(behind_end(&format!("{DOCUMENT}{behind}"), '\u{1}'), None);
        }
        assert_eq!(behind_end("<mjml>", '\u{1}'), None);
    }
}
