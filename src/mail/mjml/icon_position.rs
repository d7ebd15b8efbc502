//! The icon of a social network that stands behind its text, which mrml writes before it.

use crate::mail::html_tokens::{Token, Tokens};

pub(super) const ICON_POSITION: &str = "icon-position";

/// How mrml ends the cell of an icon.
const ICON_END: &str = "</tbody></table></td>";

/// The class of a row, which mrml writes as it is.
const CLASS: &str = " class=\"";

/// Moves the icon behind the text in rows whose class holds the mark, and takes the mark away.
pub(super) fn move_icons(mut html: String, mark: char) -> String {
    let marked = format!("{mark}{ICON_POSITION}=right\"");
    let mut done = 0;
    while let Some(at) = html[done..].find(&marked).map(|at| done + at) {
        done = at + marked.len();
        let tag = html[..at].rfind("<tr").unwrap_or(at);
        let Some(class) = html[tag..at]
            .strip_prefix("<tr")
            .and_then(|rest| rest.strip_prefix(CLASS))
        else {
            continue;
        };
        if class.is_empty() {
            html.replace_range(tag + "<tr".len()..done, "");
        } else {
            html.replace_range(at..done, "\"");
        }
        done = tag + "<tr".len();
        if let Some((start, middle, end)) = cells(&html, tag) {
            let moved = format!("{}{}", &html[middle..end], &html[start..middle]);
            html.replace_range(start..end, &moved);
        }
    }
    html
}

/// Where the first cell begins, where it ends, and where the row ends.
fn cells(html: &str, row: usize) -> Option<(usize, usize, usize)> {
    let start = row + html.get(row..)?.find('>')? + 1;
    let middle = start + html[start..].find(ICON_END)? + ICON_END.len();
    let mut depth = 0usize;
    for (offset, token) in Tokens::new(&html[middle..]) {
        match token {
            Token::Start(tag) if tag.name.eq_ignore_ascii_case("tr") => depth += 1,
            Token::End(name) if name.eq_ignore_ascii_case("tr") => match depth.checked_sub(1) {
                Some(outer) => depth = outer,
                None => return Some((start, middle, middle + offset)),
            },
            _ => {}
        }
    }
    None
}
