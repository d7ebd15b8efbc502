//! Collects words into folded lines.

use crate::mail::message::MAX_LINE_BYTES;

/// Width at which lines are folded, in characters (RFC 5322, section 2.1.1, recommends at most 78).
pub(super) const WIDTH: usize = 76;

/// Text that grows line by line: white space collapses, lines are folded between words only.
#[derive(Debug, Default)]
pub(super) struct Folder {
    done: String,
    /// The line that is being filled, without prefix.
    line: String,
    /// Width of `line` in characters.
    width: usize,
    /// White space has been seen since the last word.
    space: bool,
    /// Stands between the last word and the next one, if that comes on the same line.
    separator: Option<&'static str>,
    /// How many lines have been broken.
    broken_lines: usize,
    /// Empty lines that go before the next one.
    blank_lines: usize,
    prefix: String,
    /// Stands before the next line only; the lines after it are indented by its width.
    marker: Option<String>,
    hanging: usize,
}

/// Whether a character takes room at most: spaces that do not break, joiners, soft hyphens.
pub(super) fn is_invisible(c: char) -> bool {
    c.is_whitespace()
        || matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{2064}' | '\u{feff}')
}

/// How many characters a text has.
fn width(text: &str) -> usize {
    match text.is_ascii() {
        true => text.len(),
        false => text.chars().count(),
    }
}

impl Folder {
    /// Adds text; runs of white space count as one space, control characters as nothing.
    pub(super) fn text(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        self.space |= text.starts_with(|c: char| c.is_ascii_whitespace());
        for word in text.split_ascii_whitespace() {
            self.word(word);
            self.space = true;
        }
        self.space &= text.ends_with(|c: char| c.is_ascii_whitespace());
    }

    /// Puts this before the next word, unless that begins a line.
    pub(super) fn separate(&mut self, separator: &'static str) {
        if !self.line.is_empty() {
            self.separator = Some(separator);
        }
    }

    fn word(&mut self, word: &str) {
        let clean;
        // Nearly all words: there is nothing to take out, and each byte is a character that shows.
        let is_plain = word.bytes().all(|byte| byte.is_ascii_graphic());
        let word = match !is_plain && word.contains(char::is_control) {
            true => {
                clean = word.replace(char::is_control, "");
                clean.as_str()
            }
            false => word,
        };
        // Rows of no-break spaces are there to keep cells open, and other invisible signs to fill up a preview.
        if !is_plain && word.chars().all(is_invisible) {
            self.space = true;
            return;
        }
        let word_width = match is_plain {
            true => word.len(),
            false => width(word),
        };
        if let Some(separator) = self.separator.take().filter(|_| !self.line.is_empty()) {
            let width = separator.chars().count();
            if self.indentation() + self.width + width + word_width > WIDTH {
                self.break_line();
            } else {
                self.line.push_str(separator);
                self.width += width;
            }
        } else if self.space && !self.line.is_empty() {
            if self.indentation() + self.width + 1 + word_width > WIDTH {
                self.break_line();
            } else {
                self.line.push(' ');
                self.width += 1;
            }
        }
        self.space = false;
        self.append(word, word_width);
    }

    /// Adds a text of this width to the line as it is, but for what would make it longer than a line may be.
    fn append(&mut self, text: &str, text_width: usize) {
        if self.indentation() + self.line.len() + text.len() <= MAX_LINE_BYTES {
            self.line.push_str(text);
            self.width += text_width;
            return;
        }
        let mut rest = text;
        loop {
            let room = MAX_LINE_BYTES.saturating_sub(self.indentation() + self.line.len());
            let (piece, tail) = rest.split_at(rest.floor_char_boundary(room));
            self.line.push_str(piece);
            self.width += width(piece);
            if tail.is_empty() {
                return;
            }
            rest = tail;
            self.break_line();
        }
    }

    /// Adds a part of a line whose white space counts.
    pub(super) fn verbatim(&mut self, text: &str) {
        self.space = false;
        let clean: String = text
            .chars()
            .filter(|c| *c == '\t' || !c.is_control())
            .collect();
        self.append(&clean, width(&clean));
    }

    /// Tells whether the line ends with this word.
    pub(super) fn ends_with_word(&self, word: &str) -> bool {
        self.line
            .strip_suffix(word)
            .is_some_and(|before| before.is_empty() || before.ends_with(' '))
    }

    /// Tells whether the line ends with these digits, whatever stands between them.
    pub(super) fn ends_with_digits(&self, number: &str) -> bool {
        let digits = |text: &str| -> String { text.chars().filter(char::is_ascii_digit).collect() };
        let number = digits(number);
        !number.is_empty() && digits(&self.line).ends_with(&number)
    }

    /// How much text there is.
    pub(super) fn length(&self) -> usize {
        self.done.len() + self.line.len()
    }

    /// Ends the line; what follows belongs to the same item. A break on an empty line leaves one, and only one.
    pub(super) fn line_break(&mut self) {
        match self.line.is_empty() {
            false => self.break_line(),
            true if self.marker.is_none() => self.blank_lines = self.blank_lines.max(1),
            true => {}
        }
        self.space = false;
        self.separator = None;
    }

    /// Puts a space before the next word.
    pub(super) fn space(&mut self) {
        self.space = true;
    }

    /// How many lines there are already.
    pub(super) fn lines(&self) -> usize {
        self.broken_lines
    }

    /// Ends the line, if there is one.
    pub(super) fn end_line(&mut self) {
        if !self.line.is_empty() {
            self.break_line();
        }
        self.space = false;
        self.separator = None;
        self.hanging = 0;
    }

    /// Ends the line; the next one stands apart.
    pub(super) fn end_paragraph(&mut self) {
        self.end_line();
        self.blank_lines = 1;
    }

    /// Ends a line whose white space counts, also when it is empty.
    pub(super) fn end_verbatim_line(&mut self) {
        match self.line.is_empty() {
            true => self.blank_lines += 1,
            false => self.end_line(),
        }
    }

    /// Ends the item of a list; an empty one leaves no mark.
    pub(super) fn end_item(&mut self) {
        self.end_line();
        self.marker = None;
    }

    /// Puts a mark before the next line.
    pub(super) fn marker(&mut self, marker: String) {
        self.marker = Some(marker);
    }

    pub(super) fn set_prefix(&mut self, prefix: String) {
        self.prefix = prefix;
    }

    fn indentation(&self) -> usize {
        self.prefix.len() + self.marker.as_ref().map_or(self.hanging, String::len)
    }

    fn break_line(&mut self) {
        let blank_lines = std::mem::take(&mut self.blank_lines);
        self.broken_lines += 1;
        if !self.done.is_empty() {
            self.done.extend(std::iter::repeat_n('\n', blank_lines));
        }
        self.done.push_str(&self.prefix);
        match self.marker.take() {
            Some(marker) => {
                self.done.push_str(&marker);
                self.hanging = marker.len();
            }
            None => self.done.extend(std::iter::repeat_n(' ', self.hanging)),
        }
        self.done.push_str(self.line.trim_end_matches(' '));
        self.done.push('\n');
        self.line.clear();
        self.width = 0;
    }

    pub(super) fn finish(mut self) -> String {
        self.end_line();
        self.done
    }
}
