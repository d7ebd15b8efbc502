//! MJML becomes what the npm package mjml makes of it: the same words, and the same elements with the same links, images and styles.
//! What the package makes is kept in `expected`; `make compare-mjml` asks it again, and compares pictures.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use lol_html::html_content::Element;
use lol_html::{RewriteStrSettings, element, rewrite_str};
use marketing_automation::mail::{mjml, plain_text};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/mjml");
/// Where the HTML lies of which `make compare-mjml` takes pictures.
const OURS: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/mjml");
/// Ways to say the same: mrml repeats a style as an attribute that is none, the package a style as an attribute that is obsolete.
const LEFT_OUT: [&str; 2] = ["vertical-align", "bgcolor"];

#[test]
fn templates_become_what_the_npm_package_makes_of_them() {
    fs::create_dir_all(OURS).unwrap();
    let mut compared = 0;
    for template in fs::read_dir(Path::new(FOLDER).join("templates")).unwrap() {
        let template = template.unwrap().path();
        let name = template.file_stem().unwrap().to_str().unwrap().to_owned();
        let ours = mjml::to_html(&fs::read_to_string(&template).unwrap())
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        fs::write(format!("{OURS}/{name}.html"), &ours).unwrap();
        let theirs = fs::read_to_string(format!("{FOLDER}/expected/{name}.html")).unwrap();
        assert_eq!(words(&ours), words(&theirs), "{name}");
        let (ours, theirs) = (elements(&ours), elements(&theirs));
        for (at, (our, their)) in ours.iter().zip(&theirs).enumerate() {
            assert_eq!(our, their, "{name}: element {at}");
        }
        assert_eq!(ours.len(), theirs.len(), "{name}");
        compared += 1;
    }
    assert!(compared >= 6);
}

fn words(html: &str) -> Vec<String> {
    plain_text::from_html(html)
        .split_whitespace()
        .map(str::to_owned)
        .collect()
}

/// All elements of the body that browsers see, with their attributes.
fn elements(html: &str) -> Vec<String> {
    let body = &html[html.find("<body").unwrap()..];
    let found = RefCell::new(Vec::new());
    let settings =
        RewriteStrSettings::new().append_element_content_handler(element!("*", |element| {
            found.borrow_mut().push(described(element));
            Ok(())
        }));
    rewrite_str(body, settings).unwrap();
    found.into_inner()
}

fn described(element: &Element) -> String {
    let attributes: BTreeMap<String, String> = element
        .attributes()
        .iter()
        .filter(|attribute| !LEFT_OUT.contains(&attribute.name().as_str()))
        .map(|attribute| {
            let value = html_escape::decode_html_entities(&attribute.value()).into_owned();
            let value = match attribute.name().as_str() {
                // A zero needs no unit.
                "style" => sorted(&value, ';', |style| {
                    let sides = style.split(' ');
                    let sides = sides.map(|side| {
                        side.strip_suffix("0px")
                            .filter(|before| before.is_empty() || before.ends_with(':'))
                            .map_or(side.to_owned(), |before| format!("{before}0"))
                    });
                    sides.collect::<Vec<_>>().join(" ")
                }),
                "class" => sorted(&value, ' ', known),
                "id" | "for" | "name" => known(&value),
                // HTML's attribute is a number, and browsers read it from either.
                "width" => value.trim_end_matches("px").to_owned(),
                _ => value,
            };
            (attribute.name(), value)
        })
        .filter(|(name, value)| !value.is_empty() || name == "alt")
        .collect();
    format!("{} {attributes:?}", element.tag_name())
}

fn sorted(value: &str, separator: char, written: impl Fn(&str) -> String) -> String {
    let mut parts: Vec<String> = value
        .split(separator)
        .map(|part| {
            let words: Vec<&str> = part.split_whitespace().collect();
            written(&words.join(" ").replacen(": ", ":", 1))
        })
        .filter(|part| !part.is_empty())
        .collect();
    parts.sort();
    parts.join(&separator.to_string())
}

/// A name without what is drawn by chance, and without the decimals of a width.
fn known(name: &str) -> String {
    let name = name.strip_prefix("mj-column-per-").map_or(name, |width| {
        &name[..name.len() - width.len() + width.find('-').unwrap_or(width.len())]
    });
    let is_drawn = |part: &&str| {
        matches!(part.len(), 8 | 16) && part.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    let parts: Vec<&str> = name
        .split('-')
        .map(|part| if is_drawn(&part) { "ID" } else { part })
        .collect();
    parts.join("-")
}
