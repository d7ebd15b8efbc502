use std::sync::Arc;

use mail_parser::{MessageParser, MimeHeaders};

use super::*;
use crate::mail::attachment::{Attachment, Label};

fn attachment(name: &str, content_type: &str, cid: Option<&str>, content: &[u8]) -> Attachment {
    Attachment {
        label: Label {
            name: name.to_owned(),
            content_type: content_type.to_owned(),
            cid: cid.map(str::to_owned),
        },
        content: Arc::from(content),
    }
}

fn built(attachments: &[Attachment]) -> String {
    let mail = build(&Draft {
        attachments,
        ..draft()
    });
    text(&mail.unwrap())
}

/// The types of the parts, each as deep as it lies.
fn structure(mail: &str) -> Vec<String> {
    let lines = mail.split("\r\n");
    lines
        .filter_map(|line| line.strip_prefix("Content-Type: "))
        .map(|value| value.split(';').next().unwrap_or_default().to_owned())
        .collect()
}

#[test]
fn pictures_are_beside_the_html_and_files_beside_both() {
    let picture = attachment("logo.png", "image/png", Some("logo"), b"\x89PNG");
    let file = attachment("a.pdf", "application/pdf", None, b"%PDF");
    let alternative = ["multipart/alternative", "text/plain"];
    assert_eq!(
        structure(&built(&[])),
        [&alternative[..], &["text/html"]].concat()
    );
    assert_eq!(
        structure(&built(std::slice::from_ref(&picture))),
        [
            &alternative[..],
            &["multipart/related", "text/html", "image/png"]
        ]
        .concat()
    );
    assert_eq!(
        structure(&built(std::slice::from_ref(&file))),
        [
            &["multipart/mixed"],
            &alternative[..],
            &["text/html", "application/pdf"]
        ]
        .concat()
    );
    let both = built(&[file, picture]);
    assert_eq!(
        structure(&both),
        [
            &["multipart/mixed"],
            &alternative[..],
            &[
                "multipart/related",
                "text/html",
                "image/png",
                "application/pdf"
            ]
        ]
        .concat()
    );
    assert!(both.contains("\r\nContent-ID: <logo>\r\nContent-Disposition: inline;"));
    assert!(both.contains("\r\nContent-Disposition: attachment; filename=\"a.pdf\"\r\n"));
}

#[test]
fn any_bytes_under_any_name_arrive() {
    let bytes: Vec<u8> = (0..100_000_u32)
        .map(|n| (n.wrapping_mul(n) >> 3) as u8)
        .collect();
    let dots = "\r\n.\r\n".repeat(50).into_bytes();
    let names = [
        "invoice.pdf".to_owned(),
        "Rechnung für Zoë №7.pdf".to_owned(),
        "say \"hi\" \\ ; x=1.txt".to_owned(),
        format!("{}.pdf", "日本".repeat(70)),
        "x".repeat(150),
    ];
    let attachments: Vec<Attachment> = names
        .iter()
        .zip([&bytes[..], &dots, b"", &bytes[..57], &bytes[..58]])
        .map(|(name, content)| attachment(name, "application/octet-stream", None, content))
        .collect();
    let mail = built(&attachments);
    assert!(mail.is_ascii());
    assert!(mail.split("\r\n").all(|line| line.len() <= 998));
    let (_, files) = mail.split_once("multipart/alternative").unwrap();
    let longest = files
        .split("\r\n")
        .filter(|line| !line.contains([' ', ':', '=', '-']))
        .map(str::len)
        .max();
    assert_eq!(longest, Some(76));
    let read = MessageParser::default().parse(mail.as_bytes()).unwrap();
    let read: Vec<_> = read
        .attachments()
        .map(|part| (part.attachment_name().unwrap_or_default(), part.contents()))
        .collect();
    assert_eq!(read.len(), attachments.len());
    for (attachment, (name, content)) in attachments.iter().zip(read) {
        assert_eq!(name, attachment.label.name);
        assert!(content == &*attachment.content, "{name}");
    }
}
