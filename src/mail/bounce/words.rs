//! Text as phrases are looked for in it: words only, however a server spells, wraps and numbers its lines.

use crate::mail::addresses_in_text;

/// More of a text is not looked at.
const MAX_TEXT_BYTES: usize = 64 * 1024;
/// Most characters between two parts of a phrase with `%` in the middle: a few words.
const MAX_GAP_BYTES: usize = 48;
/// Stands where a sentence or a paragraph ends, and is part of no phrase.
const END: char = '|';
/// What an address becomes: "<ada@example.org> does not exist" and "this address does not exist" say the same.
const ADDRESS: &str = " address ";

/// Words in lower case, without accents, apostrophes and numbers, between single blanks and with one at both ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Words(String);

impl Words {
    /// Takes a text apart. Left out are what names no reason: numbers, reply codes within the lines of a long reply, and
    /// the names of the servers that spoke, as in `host spamfilter.example[192.0.2.7] said`.
    pub(super) fn of(text: &str) -> Self {
        let mut plain = String::with_capacity(text.len() + 2);
        let text = beginning(text, MAX_TEXT_BYTES);
        for paragraph in text.replace('\r', "").split("\n\n") {
            push_paragraph(&mut plain, paragraph);
            plain.push_str(" | ");
        }
        Words(join(&plain))
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.0.contains(char::is_alphabetic)
    }

    pub(super) fn starts_with(&self, phrase: &Phrase) -> bool {
        phrase.0.first().is_some_and(|first| {
            self.0.starts_with(first.as_str()) && phrase.follows(&self.0, first.len(), 1)
        })
    }

    pub(super) fn contain(&self, phrase: &Phrase) -> bool {
        let Some(first) = phrase.0.first() else {
            return false;
        };
        self.0
            .match_indices(first.as_str())
            .any(|(at, _)| phrase.follows(&self.0, at + first.len(), 1))
    }

    /// Whether they are these words and no others.
    pub(super) fn are(&self, phrase: &Phrase) -> bool {
        matches!(&phrase.0[..], [only] if self.0.trim_end_matches([END, ' ']) == only.trim_end())
    }
}

/// Words to look for: whole ones, in this order. `%` stands for any end or beginning of a word, and between blanks for
/// up to some words of the same sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Phrase(Vec<String>);

impl Phrase {
    /// `None` when nothing is left to look for.
    pub(super) fn parse(pattern: &str) -> Option<Self> {
        let mut parts = Vec::new();
        let last = pattern.split('%').count() - 1;
        for (at, part) in pattern.split('%').enumerate() {
            let mut plain = String::new();
            push_paragraph(&mut plain, part);
            let words = join(&plain);
            let words = words.trim_matches(' ');
            if words.is_empty() {
                continue;
            }
            // A blank belongs to the part when the word ends there.
            let open = |edge: bool, blank: bool| if edge && !blank { "" } else { " " };
            let start = open(at > 0, part.starts_with(char::is_whitespace));
            let end = open(at < last, part.ends_with(char::is_whitespace));
            parts.push(format!("{start}{words}{end}"));
        }
        (!parts.is_empty()).then_some(Phrase(parts))
    }

    /// Whether the parts from `next` on stand within reach behind `from`.
    fn follows(&self, text: &str, from: usize, next: usize) -> bool {
        let Some(part) = self.0.get(next) else {
            return true;
        };
        // The blank that ended the last part may begin this one.
        let from = from - usize::from(text[..from].ends_with(' '));
        let near = beginning(&text[from..], MAX_GAP_BYTES + part.len());
        let near = near.find(END).map_or(near, |end| &near[..end]);
        near.match_indices(part.as_str())
            .any(|(at, _)| self.follows(text, from + at + part.len(), next + 1))
    }
}

/// At most so many bytes from the beginning of a text.
pub(super) fn beginning(text: &str, bytes: usize) -> &str {
    let mut end = bytes.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn push_paragraph(plain: &mut String, paragraph: &str) {
    let words: Vec<&str> = paragraph.split_whitespace().collect();
    for (at, word) in words.iter().enumerate() {
        if is_server(&words, at) {
            continue;
        }
        let rest = push_without_address(plain, word);
        push_letters(plain, rest);
        plain.push(' ');
        if word.ends_with(['.', ';', '!', '?', '。', '！']) {
            plain.push(END);
            plain.push(' ');
        }
    }
}

/// Whether a word is the name or number of the server that speaks: `host mx.example`, `mx.example[192.0.2.7]`,
/// `mx.example (192.0.2.7)`, `talking to mx.example`.
fn is_server(words: &[&str], at: usize) -> bool {
    let word = words[at].trim_start_matches('<');
    let name = word.split(['[', '(']).next().unwrap_or_default();
    if name.is_empty() {
        return is_number(word);
    }
    if !name.contains('.') || name.contains(['/', '@']) {
        return false;
    }
    let before = |back: usize| at.checked_sub(back).map_or("", |at| words[at]);
    let is_named = ["host", "host:", "server", "server:"]
        .iter()
        .any(|name| before(1).eq_ignore_ascii_case(name));
    let is_met = before(1) == "to" && before(2).eq_ignore_ascii_case("talking");
    let after = words.get(at + 1).copied().unwrap_or_default();
    is_named || is_met || is_number(&word[name.len()..]) || is_number(after)
}

/// Whether a word is an IP address in brackets.
fn is_number(word: &str) -> bool {
    let Some(number) = word.strip_prefix(['[', '(']) else {
        return false;
    };
    let number = number.split([']', ')']).next().unwrap_or_default();
    number.contains(['.', ':'])
        && number
            .bytes()
            .all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b'.' | b':'))
}

/// Writes the part of a word up to the end of the address in it, and returns the rest.
fn push_without_address<'a>(plain: &mut String, word: &'a str) -> &'a str {
    let Some(address) = addresses_in_text::first(word) else {
        return word;
    };
    push_letters(plain, &word[..address.start]);
    plain.push_str(ADDRESS);
    &word[address.end..]
}

fn push_letters(plain: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '\'' | '’' | '‘' | '`' | '´' => {}
            c if c.is_alphanumeric() => plain.extend(c.to_lowercase().map(without_accent)),
            _ => plain.push(' '),
        }
    }
}

/// Joins the words with single blanks, without those that are numbers.
fn join(plain: &str) -> String {
    let mut joined = String::with_capacity(plain.len() + 2);
    joined.push(' ');
    for word in plain.split(' ') {
        if !word.is_empty() && !word.bytes().all(|byte| byte.is_ascii_digit()) {
            joined.push_str(word);
            joined.push(' ');
        }
    }
    joined
}

/// Servers write the languages of Europe with and without accents.
fn without_accent(c: char) -> char {
    match c {
        'à' | 'á' | 'â' | 'ã' | 'ä' | 'å' | 'ą' | 'ā' | 'ă' => 'a',
        'ç' | 'ć' | 'č' => 'c',
        'ď' | 'đ' => 'd',
        'è' | 'é' | 'ê' | 'ë' | 'ę' | 'ě' | 'ė' | 'ē' => 'e',
        'ğ' => 'g',
        'ì' | 'í' | 'î' | 'ï' | 'ı' | 'ī' | 'į' => 'i',
        'ł' | 'ľ' => 'l',
        'ñ' | 'ń' | 'ň' => 'n',
        'ò' | 'ó' | 'ô' | 'õ' | 'ö' | 'ø' | 'ő' => 'o',
        'ř' => 'r',
        'ś' | 'š' | 'ş' | 'ș' => 's',
        'ť' | 'ţ' | 'ț' => 't',
        'ù' | 'ú' | 'û' | 'ü' | 'ů' | 'ű' | 'ū' => 'u',
        'ý' | 'ÿ' => 'y',
        'ź' | 'ż' | 'ž' => 'z',
        'ё' => 'е',
        _ => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_says_something_is_left() {
        for (text, words) in [
            (
                "550-5.2.1 The  User's\r\n550 5.2.1 mailbox",
                " the users mailbox | ",
            ),
            (
                "<Ada@Old.Example>... No such user here",
                " address | no such user here | ",
            ),
            ("(\"ada.b\"@x.example): gone", " address gone | "),
            (
                "host spam.example[192.0.2.7] said: 550 Boîte désactivée.",
                " host said boite desactivee | | ",
            ),
            (
                "mx.spam.example [2001:db8::1] did not like our RCPT TO",
                " did not like our rcpt to | ",
            ),
            (
                "... while talking to mx.spam.example.: >>> RCPT",
                " | while talking to rcpt | ",
            ),
            (
                "blocked using zen.spamhaus.org",
                " blocked using zen spamhaus org | ",
            ),
            (
                "Reason: unknown\n\nRecipient",
                " reason unknown | recipient | ",
            ),
            ("", " | "),
        ] {
            let found = Words::of(text).0;
            assert_eq!(
                found.trim_start_matches(" |"),
                words.trim_start_matches(" |"),
                "{text}"
            );
        }
    }

    #[test]
    fn phrases_are_whole_words_of_one_sentence() {
        let found =
            |pattern: &str, text: &str| Words::of(text).contain(&Phrase::parse(pattern).unwrap());
        for (pattern, text) in [
            (
                "user unknown",
                "550 5.1.1 <a@b.example>: User unknown in virtual table",
            ),
            (
                "doesn't have a % account",
                "dd This user doesn’t have a yahoo.com account (a@b) [0]",
            ),
            (
                "account % not exist",
                "The email account that you tried to reach does not exist.",
            ),
            ("account % not exist", "account not exist"),
            ("address % not exist", "<a@b.example> does not exist here"),
            ("spam%", "Spamming is not liked"),
            ("%spam%", "our antispam says no"),
            ("%不存在%", "550 该用户不存在，请检查"),
            ("n'existe pas", "Cette adresse n’existe pas"),
            ("ja está", "JÁ ESTA"),
        ] {
            assert!(found(pattern, text), "{pattern}: {text}");
        }
        for (pattern, text) in [
            ("rate", "a corporate server generated this"),
            ("unknown recipient", "Reason: unknown. Recipient: ada"),
            ("unknown recipient", "unknown\n\nrecipient"),
            (
                "account % not exist",
                "The account is fine. It does not exist twice",
            ),
            (
                "account % not exist",
                "account one two three four five six seven eight nine ten eleven does not exist",
            ),
            ("spam%", "antispam"),
            ("user unknown", "user unknowns"),
        ] {
            assert!(!found(pattern, text), "{pattern}: {text}");
        }
        assert_eq!(Phrase::parse(" %, 550 5.1.1 %"), None);
    }
}
