//! A source with pieces replaced, and the way back to the places that its author sees.

use std::ops::Range;

/// A piece of a source that another text stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Edit {
    /// What is replaced; empty: the text is put in before it.
    pub(crate) range: Range<usize>,
    pub(crate) text: String,
    /// The place in the source that errors in the text are reported at.
    pub(crate) blame: usize,
}

impl Edit {
    pub(crate) fn replace(range: Range<usize>, text: String) -> Edit {
        let blame = range.start;
        Edit { range, text, blame }
    }
}

/// An edited source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Edited {
    pub(crate) text: String,
    /// What was replaced, the length of what stands there, and whom to blame; in order.
    edits: Vec<(Range<usize>, usize, usize)>,
}

impl Edited {
    /// Applies edits that do not overlap.
    pub(crate) fn new(source: &str, mut edits: Vec<Edit>) -> Edited {
        // What is put in goes before what is replaced at the same place.
        edits.sort_by_key(|edit| (edit.range.start, edit.range.end));
        let mut text = String::with_capacity(source.len() + 16 * edits.len());
        let mut done = 0;
        for edit in &edits {
            text.push_str(&source[done..edit.range.start]);
            text.push_str(&edit.text);
            done = edit.range.end;
        }
        text.push_str(&source[done..]);
        let edits = edits
            .into_iter()
            .map(|edit| (edit.range, edit.text.len(), edit.blame))
            .collect();
        Edited { text, edits }
    }

    /// The place in the source of one in the text.
    pub(crate) fn original(&self, offset: usize) -> usize {
        let (mut before, mut after) = (0, 0);
        for (range, length, blame) in &self.edits {
            let start = range.start - before + after;
            if offset < start {
                break;
            }
            if offset < start + length {
                return *blame;
            }
            before = range.end;
            after = start + length;
        }
        offset - after + before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_of_an_edited_text_has_one_in_its_source() {
        let edit = |range, text: &str, blame| Edit {
            range,
            text: text.to_owned(),
            blame,
        };
        let edited = Edited::new(
            "a + b * c",
            vec![
                edit(9..9, ")", 4),
                edit(6..7, "|mul(", 4),
                edit(2..3, "|add(", 0),
                edit(9..9, ")", 0),
            ],
        );
        assert_eq!(edited.text, "a |add( b |mul( c))");
        for (text, source) in [("a", "a"), (" b", " b"), (" c", " c")] {
            let at = edited.text.find(text).unwrap();
            assert_eq!(
                edited.original(at),
                "a + b * c".find(source).unwrap(),
                "{text}"
            );
        }
        assert_eq!(edited.original(3), 0);
        assert_eq!(edited.original(12), 4);
    }
}
