//! What mrml writes into style sheets and styles otherwise than the npm package, so that mails look different.

/// mrml hides the arrows of a carousel from all screens: the comma makes two media of one that only Yahoo reads.
const ALL_SCREENS: &str = "@media screen, yahoo {";
const YAHOO_ONLY: &str = "@media screen yahoo {";
/// Around the height of a fluid hero, in percent of its width: mrml leaves the unit away, and the hero is flat.
const BEFORE_RATIO: &str = "mso-padding-bottom-alt:0;padding-bottom:";
const BEHIND_RATIO: &str = ";width:0.01%";

/// How mrml begins an `mj-table`.
const TABLE: &str = "<table border=\"0\" cellpadding=";

pub(super) fn correct(html: String) -> String {
    let html = if html.contains(ALL_SCREENS) {
        html.replace(ALL_SCREENS, YAHOO_ONLY)
    } else {
        html
    };
    let html = if html.contains(BEFORE_RATIO) {
        with_unit(&html)
    } else {
        html
    };
    if html.contains(TABLE) {
        with_cells_apart(&html)
    } else {
        html
    }
}

/// Without it the reset of styles that MJML begins with lets no room between cells.
fn with_cells_apart(html: &str) -> String {
    let mut parts = html.split(TABLE);
    let mut corrected = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        corrected.push_str(TABLE);
        let tag = part.split('>').next().unwrap_or_default();
        let inside = |before: &str| {
            let at = tag.find(before)? + before.len();
            Some((at, tag[at..].split('"').next()?))
        };
        let is_apart = inside(" cellspacing=\"")
            .and_then(|(_, room)| room.parse::<u32>().ok())
            .is_some_and(|room| room > 0);
        let style = inside(" style=\"").filter(|(_, style)| {
            is_apart && style.contains("table-layout:") && !style.contains("border-collapse")
        });
        match style {
            Some((at, style)) => {
                let end = at + style.len();
                corrected.push_str(&part[..end]);
                corrected.push_str("border-collapse:separate;");
                corrected.push_str(&part[end..]);
            }
            None => corrected.push_str(part),
        }
    }
    corrected
}

/// Rounded, as the npm package does.
fn with_unit(html: &str) -> String {
    let mut parts = html.split(BEFORE_RATIO);
    let mut corrected = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        corrected.push_str(BEFORE_RATIO);
        let number = part.split_once(BEHIND_RATIO).map(|(number, _)| number);
        match number.and_then(|number| Some((number, number.parse::<f32>().ok()?))) {
            Some((number, ratio)) => {
                corrected.push_str(&format!("{}%", ratio.round()));
                corrected.push_str(&part[number.len()..]);
            }
            None => corrected.push_str(part),
        }
    }
    corrected
}
