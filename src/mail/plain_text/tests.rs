use super::*;
use crate::mail::message::MAX_LINE_BYTES;
use fold::WIDTH;

#[test]
fn paragraphs_are_folded_between_words_and_urls_stay_whole() {
    let words = "word ".repeat(40);
    let url = format!("https://example.org/{}", "x".repeat(200));
    let text = from_html(&format!(
        "<html><head><title>t</title><style>p {{}}</style></head>\n<body>\n <h1>Hello</h1><p>{words}</p>\
         <p>See <a href=\"{url}\">the shop</a>.</p><hr>x<br>y</body></html>"
    ));
    assert!(text.starts_with("Hello\n\nword word"), "{text}");
    assert!(
        text.contains(&format!("<{url}>.\n\n----\n\nx\ny\n")),
        "{text}"
    );
    assert!(
        text.lines()
            .all(|line| line.chars().count() <= WIDTH || line.contains(&url)),
        "{text}"
    );
}

#[test]
fn links_show_their_target_once() {
    for (html, text) in [
        (
            "<a href='https://a.example/?b&amp;c'>shop</a>",
            "shop <https://a.example/?b&c>\n",
        ),
        (
            "<a href='https://a.example'>https://a.example</a>",
            "https://a.example\n",
        ),
        (
            "<a href='mailto:a@b.example'>a@b.example</a>",
            "a@b.example\n",
        ),
        (
            "<a href='mailto:a@b.example'>write</a>",
            "write <mailto:a@b.example>\n",
        ),
        (
            "<a href='#top'>up</a> <a name=x>x</a> <a href=''>y</a>",
            "up x y\n",
        ),
        (
            "call <a href='tel:+3225550100'>+32&nbsp;2 555 01 00</a>",
            "call +32\u{a0}2 555 01 00\n",
        ),
        (
            "<a href='mailto:a@b.example?subject=x'>a@b.example</a>",
            "a@b.example\n",
        ),
        // Nobody can follow them from a text, or there is nothing to read.
        (
            "<a href='/x'>relative</a> <a href='//a.example'>too</a> <a href='x?y:z'>and</a>",
            "relative too and\n",
        ),
        ("a<a href='https://a.example'><img src=x alt=''></a>", "a\n"),
        (
            "<a href='https://a.example'><img alt=' Logo ' src=x></a>",
            "[Logo] <https://a.example>\n",
        ),
        (
            "<a href='https://a.example'>a<a href='https://b.example'>b",
            "a <https://a.example> b <https://b.example>\n",
        ),
    ] {
        assert_eq!(from_html(html), text, "{html}");
    }
}

#[test]
fn lists_and_quotes_are_marked() {
    let text = from_html(
        "<p>To do:<ul><li>one<li><p>two</p><ol><li>first</li><li>second</li></ol></li><li>three</ul>\
         <blockquote>said<br>he<blockquote>she</blockquote></blockquote>end",
    );
    assert_eq!(
        text,
        "To do:\n\n* one\n\n* two\n\n  1. first\n  2. second\n* three\n\n> said\n> he\n\n> > she\n\nend\n"
    );
    assert_eq!(
        from_html("<ul><li>Darjeeling<br>first flush</ul>"),
        "* Darjeeling\n  first flush\n"
    );
    let long = from_html(&format!("<ol><li>{}</ol>", "word ".repeat(30)));
    assert!(
        long.starts_with("1. word") && long.lines().nth(1).unwrap().starts_with("   word"),
        "{long}"
    );
}

#[test]
fn cells_stand_beside_each_other_and_rows_below() {
    let text = from_html(
        "<table>\n<tr><th>Item</th><th>Price</th></tr><tr><td>Tea</td><td>2&nbsp;€</td></tr>\
         <tr><td><div>a</div></td><td><table><tr><td>b</td></tr></table></td></tr></table>",
    );
    assert_eq!(text, "Item | Price\nTea | 2\u{a0}€\na\n\nb\n");
}

#[test]
fn white_space_collapses_except_in_pre() {
    assert_eq!(from_html("  a\n\t b<b> c</b>d <i> e</i>  "), "a b cd e\n");
    assert_eq!(
        from_html("x<pre>a\n  b\n\nc</pre>y"),
        "x\n\na\n  b\n\nc\n\ny\n"
    );
    assert_eq!(
        from_html("x<pre>\n\n\r\na\r\n\r\n<b>\nb</b>\n\n\n</pre>y<pre></pre>z"),
        "x\n\n\n\na\n\n\nb\n\ny\n\nz\n"
    );
}

#[test]
fn nothing_hidden_and_no_control_character_shows() {
    let html = "<script>x</script><!-- c --><!--[if mso]>m<![endif]--><p>\u{7f}a\u{1}&#127;b&eacute;&lt;i&gt;</p>";
    assert_eq!(from_html(html), "abé<i>\n");
    assert_eq!(from_html(""), "");
    assert_eq!(from_html("<img src=y alt=''><p> &#32; </p>"), "");
}

#[test]
fn hidden_elements_do_not_show() {
    for (html, text) in [
        (
            "a<div style='color:red; DISPLAY : None !important'>p<div>q</div></div>b",
            "ab\n",
        ),
        (
            "a<span hidden>x</span><p style='display:block'>b",
            "a\n\nb\n",
        ),
        ("<img hidden alt=x>a<br style=display:none>b", "ab\n"),
        ("<p hidden>a<div hidden>b</div>", "a\nb\n"),
        ("<p style='x:display;y:none'>a", "a\n"),
        ("<div style='max-height:0;overflow:hidden'>x</div>a", "a\n"),
        (
            "<div style='max-height:0px'>x</div>a<div style='max-height: 0.5em'>b</div>",
            "a\nb\n",
        ),
        (
            "<i style='visibility:hidden'>x</i><i style='opacity:0'>y</i>a",
            "a\n",
        ),
        (
            "<i style='height:0;overflow:hidden'>x</i><i style='height:0'>a</i>",
            "a\n",
        ),
        (
            "<i style='opacity:0.9;max-height:10px;font-size:0'>a</i>",
            "a\n",
        ),
    ] {
        assert_eq!(from_html(html), text, "{html}");
    }
}

#[test]
fn a_preheader_is_the_first_line_of_the_text_and_stands_there_once() {
    for (html, text) in [
        (
            "<body><div style='display:none'>Save <b>20 %</b> today &zwnj;&nbsp;&#847;&zwnj;&nbsp;</div><p>Hi</p>",
            "Save 20 % today\n\nHi\n",
        ),
        (
            "<div style='display:none'>Hello you</div><h1>Hello\n you</h1>x",
            "Hello you\n\nx\n",
        ),
        ("<div style='display:none'>&nbsp;&zwnj;</div>a", "a\n"),
        (
            "<div style='display:none'><table><tr><td>x</table></div>a",
            "a\n",
        ),
        ("<p>a</p><div style='display:none'>x</div>", "a\n"),
        ("<span hidden>x</span>", ""),
    ] {
        assert_eq!(from_html(html), text, "{html}");
    }
    let long = format!("<div hidden>{}</div>a", "word ".repeat(100));
    assert_eq!(from_html(&long), "a\n");
}

#[test]
fn what_stands_side_by_side_is_kept_apart() {
    for (html, text) in [
        (
            "<a href='https://a.example/1'>Home</a><a href='https://a.example/2'>About</a>",
            "Home <https://a.example/1> About <https://a.example/2>\n",
        ),
        (
            "<a href='/1'>Home</a><a href='/2'>About</a>, <a href='/3'>c</a>.",
            "Home About, c.\n",
        ),
        (
            "<a href='https://a.example'>x</a>y",
            "x <https://a.example> y\n",
        ),
        ("<a name=x></a><a href=''>y</a>z", "y z\n"),
        (
            "<table><tr><td>12 €</td><td>Black</td></tr></table>",
            "12 € | Black\n",
        ),
        (
            "<table><tr><td>Shoe<br>12 €</td><td width=20>&nbsp;</td><td>Black<br>13 €</td></tr></table>",
            "Shoe\n12 €\nBlack\n13 €\n",
        ),
        (
            "<table><tr><td><p>Shoe</p><p>12 €</p></td><td><p>Black</p></td></tr></table>",
            "Shoe\n\n12 €\n\nBlack\n",
        ),
        (
            "<table><tr><td></td><td>a</td><td></td><td> b </td></tr><tr><td>c</td></tr></table>",
            "a | b\nc\n",
        ),
        (
            "<p>5<sup>99</sup> EUR, 5<sup>,99</sup>, 1<sup>st</sup>, m<sup>2</sup>, H<sub>2</sub>O</p>",
            "5⁹⁹ EUR, 5,99, 1st, m², H₂O\n",
        ),
    ] {
        assert_eq!(from_html(html), text, "{html}");
    }
}

#[test]
fn empty_lines_are_kept_and_do_not_pile_up() {
    for (html, text) in [
        ("<p>Line 1<br><br>Line 2</p>", "Line 1\n\nLine 2\n"),
        ("a<br> <br /><br>b<br>c", "a\n\nb\nc\n"),
        ("<div>a</div><div><br></div><div>b</div>", "a\n\nb\n"),
        ("<br><br>a<p>b</p><br>", "a\n\nb\n"),
        (
            "<table><tr><td>A</td></tr><tr><td>&nbsp;</td></tr><tr><td>&nbsp;&nbsp;</td></tr><tr><td>B</td></tr></table>",
            "A\nB\n",
        ),
        (
            "<p>&nbsp;</p><p>a &nbsp; b&nbsp;c</p><p>&#8203;</p>",
            "a b\u{a0}c\n",
        ),
        ("<pre>a\tb\n\tc</pre>", "a\tb\n\tc\n"),
    ] {
        assert_eq!(from_html(html), text, "{html}");
    }
}

#[test]
fn items_are_numbered_from_the_start_and_empty_ones_leave_no_mark() {
    for (html, text) in [
        ("<ul><li></li></ul>a", "a\n"),
        ("<ul><li><blockquote></blockquote>a</ul>", "* a\n"),
        ("<ul><li><li>b<li></ul>a", "* b\n\na\n"),
        (
            "<ol start=5><li>a<li>b</ol><ol start=x><li>c</ol>",
            "5. a\n6. b\n\n1. c\n",
        ),
        ("<ol start='-1'><li>a<li>b</ol>", "-1. a\n0. b\n"),
        (
            "<ol start=2147483647><li>a<li>b</ol>",
            "2147483647. a\n2147483647. b\n",
        ),
    ] {
        assert_eq!(from_html(html), text, "{html}");
    }
}

#[test]
fn endless_words_and_hostile_nesting_are_bounded() {
    let text = from_html(&"é".repeat(3_000));
    assert!(text.lines().all(|line| line.len() <= MAX_LINE_BYTES));
    assert_eq!(text.chars().filter(|&c| c == 'é').count(), 3_000);
    let text = from_html(&("<blockquote><ul><li>".repeat(10_000) + &"x ".repeat(100)));
    assert!(text.len() < 10_000, "{}", text.len());
    let started = std::time::Instant::now();
    from_html(&"<p hidden>x<b style=display:none></b>".repeat(7_000));
    assert!(started.elapsed().as_secs() < 2, "{:?}", started.elapsed());
}
