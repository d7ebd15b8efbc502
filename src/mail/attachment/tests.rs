use super::*;

fn file(name: &str, content_type: &str, cid: Option<&str>, size: u64) -> File {
    File {
        name: Some(name.to_owned()),
        content_type: Some(content_type.to_owned()),
        cid: cid.map(str::to_owned),
        size: Some(size),
    }
}

fn pdf(name: &str) -> File {
    file(name, "application/pdf", None, 1)
}

fn fault(files: &[File]) -> String {
    labels(files).unwrap_err()
}

#[test]
fn names_are_of_files_and_of_no_folder() {
    let long = format!("{}.pdf", "ä".repeat(300));
    for (given, kept) in [
        ("invoice.pdf", "invoice.pdf"),
        ("../../etc/passwd", "passwd"),
        ("C:\\invoices\\7.pdf", "7.pdf"),
        ("Rechnung für Zoë.pdf", "Rechnung für Zoë.pdf"),
        ("a\r\nBcc: b.pdf", "aBcc: b.pdf"),
        ("a\u{202e}fdp.exe", "afdp.exe"),
        (" .htaccess. ", ".htaccess"),
        ("say \"hi\".txt", "say \"hi\".txt"),
        (long.as_str(), &format!("{}.pdf", "ä".repeat(146))),
    ] {
        let labels = labels(&[pdf(given)]).unwrap();
        assert_eq!(labels[0].name, kept, "{given:?}");
    }
    for nothing in ["", "  ", "a/", "..", "\u{0}"] {
        assert!(
            fault(&[pdf(nothing)]).ends_with("has no name"),
            "{nothing:?}"
        );
    }
    assert_eq!(fault(&[File::default()]), "attachment 1 has no name");
}

#[test]
fn types_are_media_types_of_files() {
    for good in [
        "application/pdf",
        "image/svg+xml",
        "text/calendar; method=REQUEST; charset=\"utf-8\"",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        " text/csv;charset=utf-8 ",
    ] {
        let labels = labels(&[file("a", good, None, 1)]);
        assert_eq!(labels.unwrap()[0].content_type, good.trim(), "{good}");
    }
    for bad in [
        "",
        "pdf",
        "a/b/c",
        "text/",
        "text/plain\r\nX: y",
        "text/plain; a",
        "text/plain; a=\"\r\n\"",
        "text/plain; a=b;",
        "text/pläin",
        "multipart/mixed",
        "Message/rfc822",
        &format!("text/{}", "x".repeat(300)),
    ] {
        let fault = fault(&[file("a", bad, None, 1)]);
        assert!(
            fault.starts_with("attachment \"a\" has the type "),
            "{fault}"
        );
    }
    let untyped = File {
        content_type: None,
        ..pdf("a")
    };
    assert_eq!(
        fault(&[untyped]),
        "attachment \"a\" has the type \"\", which is no media type such as application/pdf"
    );
}

#[test]
fn what_is_missing_or_too_much_is_said() {
    let missing = File {
        size: None,
        ..pdf("7.pdf")
    };
    assert_eq!(
        fault(&[pdf("a"), missing]),
        "attachment \"7.pdf\" has no content"
    );
    let half = file("a", "image/png", None, MAX_BYTES / 2);
    assert!(labels(&[half.clone(), half.clone()]).is_ok());
    assert_eq!(
        fault(&[half.clone(), half, pdf("b")]),
        "its attachments have more than 10 MB together"
    );
    assert!(labels(&vec![pdf("a"); MAX_FILES]).is_ok());
    assert_eq!(
        fault(&vec![pdf("a"); MAX_FILES + 1]),
        "it has more than 20 attachments"
    );
}

#[test]
fn each_picture_has_a_cid_of_its_own() {
    let picture = |cid| file("a.png", "image/png", Some(cid), 1);
    assert!(labels(&[picture("logo"), picture("logo.2@shop.example")]).is_ok());
    assert_eq!(
        fault(&[picture("logo"), picture("logo")]),
        "attachment \"a.png\" has the cid \"logo\" of another one"
    );
    for bad in ["", "<logo>", "cid:logo", "a b", "ä", "a\r\n"] {
        assert!(fault(&[picture(bad)]).contains("has the cid"), "{bad:?}");
    }
}

#[test]
fn what_the_html_shows_is_there() {
    let labels = labels(&[file("a.png", "image/png", Some("a@b"), 1), pdf("b.pdf")]).unwrap();
    let has = |cid: &str| labels.iter().any(|label| label.is(cid));
    for good in [
        "",
        "<img src=\"cid:a@b\"><td background='CID:a%40b'>",
        "<p style=\"background: url('cid:a@b')\">cid:other</p><img alt=\"cid:other\">",
        "<img src=\"https://x.example/cid:other\"><!-- <img src=\"cid:other\"> -->",
    ] {
        assert_eq!(check_references(good, has), Ok(()), "{good}");
    }
    for bad in [
        "<img src=\"cid:other\">",
        "<img src=cid:other>",
        "<p style=\"background:url(cid:a@b),url( &quot;cid:other&quot; )\">",
        "<a href=\"cid:other\">",
    ] {
        assert_eq!(
            check_references(bad, has),
            Err("its HTML shows cid:other, and no attachment has that cid".to_owned()),
            "{bad}"
        );
    }
    // What is told goes to the database, whose texts have no NUL.
    let told = check_references("<img src=\"cid:%00%1b\">", has).unwrap_err();
    assert!(!told.chars().any(char::is_control), "{told:?}");
}

#[test]
fn pictures_of_a_mail_are_shown_without_its_other_parts() {
    let url_of = |cid: &str| (cid == "a@b").then_some("data:image/png;base64,AA==");
    for (html, shown) in [
        ("<p>cid:a@b</p><img alt=x>", "<p>cid:a@b</p><img alt=x>"),
        (
            "<img src=\"cid:a@b\" alt=\"é\"><td background='CID:a%40b'><img src=cid:a@b>",
            "<img src=\"data:image/png;base64,AA==\" alt=\"é\"><td background='data:image/png;base64,AA=='>\
             <img src=data:image/png;base64,AA==>",
        ),
        (
            "<p style=\"background:url( &quot;cid:a@b&quot; ),url(cid:gone)\">",
            "<p style=\"background:url( &quot;data:image/png;base64,AA==&quot; ),url()\">",
        ),
        (
            "<img src=\"cid:gone\"><!-- <img src=\"cid:a@b\"> --><img src=\"https://x.example/cid:a@b\">",
            "<img src=\"\"><!-- <img src=\"cid:a@b\"> --><img src=\"https://x.example/cid:a@b\">",
        ),
    ] {
        assert_eq!(with_pictures(html, url_of), shown);
    }
}
