//! The gap between the sections of a wrapper, which mrml does not know.

use htmlparser::{ElementEnd, Token, Tokenizer};

use super::prepare::VOID;
use crate::mail::edits::Edit;

/// Gives the edits that put an empty section between two of a wrapper with a gap.
pub(super) fn edits(document: &str) -> Vec<Edit> {
    let mut edits = Vec::new();
    let (mut name, mut start, mut gap) = (String::new(), 0, None);
    let mut depth = 0usize;
    // Of the wrapper that is open: its depth, its gap, and whether something stands in it.
    let mut wrapper: Option<(usize, u32, bool)> = None;
    for token in Tokenizer::from(document).map_while(Result::ok) {
        match token {
            Token::ElementStart { local, span, .. } => {
                name = local.as_str().to_ascii_lowercase();
                start = span.start();
                gap = None;
            }
            Token::Attribute {
                local,
                value: Some(value),
                ..
            } if local.as_str() == "gap" => gap = pixels(value.as_str()),
            Token::ElementEnd {
                end: ElementEnd::Close(..),
                ..
            } => {
                depth = depth.saturating_sub(1);
                wrapper = wrapper.filter(|(of, ..)| depth > *of);
            }
            Token::ElementEnd { end, .. } => {
                if let Some((of, gap, is_begun)) = &mut wrapper
                    && depth == *of + 1
                    && matches!(name.as_str(), "mj-section" | "mj-hero")
                {
                    if *is_begun {
                        edits.push(Edit::replace(start..start, empty_section(*gap)));
                    }
                    *is_begun = true;
                }
                if matches!(end, ElementEnd::Open) && !VOID.contains(&name.as_str()) {
                    if name == "mj-wrapper" {
                        wrapper = gap.filter(|gap| *gap > 0).map(|gap| (depth, gap, false));
                    }
                    depth += 1;
                }
            }
            _ => {}
        }
    }
    edits
}

fn empty_section(height: u32) -> String {
    format!(
        "<mj-section padding=\"{height}px 0 0\" border=\"none\" background-color=\"transparent\"></mj-section>"
    )
}

fn pixels(value: &str) -> Option<u32> {
    value
        .trim()
        .trim_end_matches("px")
        .parse()
        .ok()
        .filter(|pixels| *pixels <= 10_000)
}
