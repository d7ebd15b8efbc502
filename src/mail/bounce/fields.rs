//! Fields as RFC 5322 writes them, `Name: value` with folded lines: in headers, in the reports inside of a mail, and in
//! texts that quote a header.

/// One field; its name in lower case, its value unfolded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) value: String,
}

/// Reads all lines that are fields; others, such as empty ones between groups, end a field and are left out.
pub(super) fn fields(text: &str) -> Vec<Field> {
    let mut found: Vec<Field> = Vec::new();
    let mut open = false;
    for line in text.lines() {
        let folded = line.starts_with([' ', '\t']) && !line.trim().is_empty();
        if folded {
            if let (true, Some(field)) = (open, found.last_mut()) {
                field.value.push(' ');
                field.value.push_str(line.trim());
            }
            continue;
        }
        let field = line.split_once(':').filter(|(name, _)| {
            // RFC 5322, section 2.2: printable ASCII; section 4.5: blanks before the colon, as some still write them.
            let name = name.trim_end_matches([' ', '\t']);
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic())
        });
        open = field.is_some();
        if let Some((name, value)) = field {
            found.push(Field {
                name: name.trim_end().to_ascii_lowercase(),
                value: value.trim().to_owned(),
            });
        }
    }
    found
}

/// Value of the first field of that name, which is in lower case.
pub(super) fn value<'a>(fields: &'a [Field], name: &str) -> Option<&'a str> {
    fields
        .iter()
        .find(|field| field.name == name)
        .map(|field| field.value.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_unfolded_and_other_lines_end_them() {
        let text = "Status: 5.1.1\r\nDiagnostic-Code: smtp;\r\n 550 no\r\n\tsuch user\r\n\r\n  an indented line\r\nHi. This is: prose\r\nACTION : failed\r\n: x\r\n";
        let found: Vec<_> = fields(text)
            .into_iter()
            .map(|field| (field.name, field.value))
            .collect();
        let expected = [
            ("status", "5.1.1"),
            ("diagnostic-code", "smtp; 550 no such user"),
            ("action", "failed"),
        ];
        assert_eq!(
            found,
            expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
    }
}
