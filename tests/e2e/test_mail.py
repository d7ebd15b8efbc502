"""What the mails look like on the wire."""

import re

import requests
from e2e.mails import links, open_image, unsubscribe_url

from harness import wait_until

BODY = """<html><body><p>Bonjour {{ record.name }}</p>
<a href="https://shop.example/a">one</a> <a href="https://shop.example/b?x=1&amp;y=2">two</a>
<a href="mailto:help@example.org">write</a> <a href="#top">up</a> <a href="unsubscribe">leave</a></body></html>"""


def test_a_mail_has_the_headers_and_parts_that_it_should_have(shop, sink):
    shop.customers("Zoë", email="zoe@example.org")
    reply_to = "{{ record.name }} <{{ party.email }}>, help@example.org"
    body = BODY.replace("<body>", "<head><style>p {color: teal}</style></head><body>")
    shop.scenario(body=body, subject="Für {{ record.name }} & Söhne", reply_to=reply_to, preheader="Pour {{ record.name }}",
                  headers='{"X-Customer": "{{ record.name }}", "Importance": "high"}')  # fmt: skip
    shop.query("update marketing_automation.scenario set utm = 'utm_source={{ scenario.name }}', utm_hosts = 'shop.example', inline_css = true")
    shop.tick()
    mail = sink.wait_for(1)[0]
    message = mail.message
    assert message["Subject"] == "Für Zoë & Söhne"
    assert message["To"] == "Zoë <zoe@example.org>"
    assert message["From"] == "Shop <shop@example.org>"
    assert message["Reply-To"] == "Zoë <zoe@example.org>, help@example.org"
    assert message["X-Customer"] == "Zoë" and message["Importance"] == "high"
    assert mail.sender == "shop@example.org"
    assert message["Date"] and message["Auto-Submitted"] == "auto-generated" and message["Feedback-ID"]
    assert re.fullmatch(r"<[^<>@\s]+@[^<>@\s]+>", message["Message-ID"])
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert re.fullmatch(r"<http://127\.0\.0\.1:\d+/u/[\w-]+>", message["List-Unsubscribe"])
    assert message.get_content_type() == "multipart/alternative"
    assert re.search(r"<body><div style=.display:none[^>]*>Pour Zoë", mail.html) and "Pour" not in mail.text
    assert '<p style="color:teal;">' in mail.html
    assert "Bonjour Zoë" in mail.text and re.search(r"one <http://127\.0\.0\.1:\d+/c/[\w-]+>", mail.text)
    assert not re.search(r"<(?!http|mailto:)", mail.text)
    assert len(links(mail)) == 2 and "https://shop.example/a" not in mail.html
    urls = shop.query("select url from marketing_automation.link order by url")
    assert urls == [("https://shop.example/a?utm_source=welcome",), ("https://shop.example/b?x=1&y=2&utm_source=welcome",)]
    assert 'href="mailto:help@example.org"' in mail.html and 'href="#top"' in mail.html


FILES = """
select d.* from (values
    ('Rechnung für ' || self.name || '.pdf', 'application/pdf', decode(repeat('00ff0a2e0d0a', 30000), 'hex'), null),
    ('logo.png', 'image/png', decode('89504e470d0a1a0a', 'hex'), 'logo'),
    ('notes.txt', 'text/plain; charset=utf-8', case when self.name <> 'None' then convert_to('For ' || self.name, 'UTF8') end, null)
    ) as d (name, type, content, cid)"""


def test_files_and_pictures_arrive_byte_for_byte_and_a_missing_one_fails_that_mail(shop, sink):
    shop.customers("Zoë", "None")
    shop.scenario(body=BODY.replace("<body>", '<body><img src="cid:logo" alt="">'), attachments=FILES)
    shop.tick()
    message = sink.wait_for(1)[0].message
    assert [part.get_content_type() for part in message.walk()] == [
        "multipart/mixed", "multipart/alternative", "text/plain", "multipart/related", "text/html", "image/png", "application/pdf", "text/plain",
    ]  # fmt: skip
    files = {part.get_filename(): part for part in message.walk() if part.get_filename()}
    assert list(files) == ["logo.png", "Rechnung für Zoë.pdf", "notes.txt"]
    assert files["Rechnung für Zoë.pdf"].get_payload(decode=True) == bytes.fromhex("00ff0a2e0d0a") * 30000
    assert files["logo.png"].get_payload(decode=True) == bytes.fromhex("89504e470d0a1a0a")
    assert files["logo.png"]["Content-ID"] == "<logo>" and files["logo.png"].get_content_disposition() == "inline"
    assert files["notes.txt"].get_payload(decode=True).decode() == "For Zoë" and files["notes.txt"].is_attachment()
    assert 'src="cid:logo"' in message.get_body(("html",)).get_content()
    wait_until(lambda: sorted(shop.messages().values()) == ["failed", "sent"], what="both to be recorded")
    failed, reason = shop.query("select id, smtp_reply from marketing_automation.message where state = 'failed'")[0]
    assert reason == 'attachment "notes.txt" has no content'
    kept = "select count(*) from marketing_automation_internal.file_content, marketing_automation_internal.outbox_file"
    assert shop.value(kept) == 0
    # It is asked for again.
    shop.query("update marketing_automation.activity set attachments = replace(attachments, 'None', 'Nobody')")
    shop.query("select marketing_automation.retry(%s)", failed)
    assert len([part for part in sink.wait_for(2)[1].message.walk() if part.get_filename()]) == 3


def test_links_of_a_text_of_its_own_are_those_of_the_html(shop, sink):
    shop.customers("Zoë", email="zoe@example.org")
    shop.scenario(body=BODY, text="Bonjour {{ record.name }} : https://shop.example/a, https://shop.example/c.\n{{ unsubscribe_url }}")
    shop.tick()
    mail = sink.wait_for(1)[0]
    url = r"http://127\.0\.0\.1:\d+/"
    found = re.fullmatch(rf"Bonjour Zoë : ({url}c/[\w-]+), {url}c/[\w-]+\.\s+({url}u/[\w-]+)\s*", mail.text)
    assert found, mail.text
    assert found[1] == links(mail)[0] and found[2] == unsubscribe_url(mail)
    urls = shop.query("select url from marketing_automation.link order by url")
    assert urls == [("https://shop.example/a",), ("https://shop.example/b?x=1&y=2",), ("https://shop.example/c",)]


def test_a_staging_mailbox_gets_all_mails_and_nobody_is_judged_by_what_it_says(shop, sink, cluster):
    settings = {"marketing_automation__staging_mailbox": "stage@shop.example", "marketing_automation__bounce_address": "bounces@shop.example"}
    with cluster.having(**settings):
        wait_until(lambda: "all mails go to stage@shop.example" in cluster.log_text(), what="the mailer to say so")
        sink.answer("stage@*", "550 5.1.1 <stage@shop.example>: no such user")
        shop.customers("Zoë", email="zoe@example.org")
        shop.scenario(body=BODY)
        shop.tick()
        shop.wait_for_message("zoe@example.org", "deferred")
        assert not shop.value("select marketing_automation.is_suppressed('zoe@example.org')")
        sink.behave()
        shop.query("select marketing_automation.retry(id) from marketing_automation.message")
        [mail] = sink.wait_for(1)
        assert mail.recipients == ["stage@shop.example"] and mail.sender == "shop@example.org"
        assert mail.message["To"] == "Zoë <stage@shop.example>" and mail.message["X-Original-Recipient"] == "zoe@example.org"
        assert mail.message["Subject"] == "[For zoe@example.org] Welcome Zoë"
        assert mail.message["Message-ID"].startswith("<staged.")
        shop.wait_for_message("zoe@example.org", "sent")
        assert shop.value("select smtp_reply from marketing_automation.message").startswith("to stage@shop.example instead: 250 ")
        report = f"Content-Type: text/plain\n\n550 5.1.1 <stage@shop.example>: no such user\n\nMessage-ID: {mail.message['Message-ID']}\n"
        shop.query("select * from marketing_automation.ingest_bounce(%s)", report.encode())
        assert not shop.value("select marketing_automation.is_suppressed('zoe@example.org')")


def test_each_recipient_is_written_to_in_their_language(shop, sink):
    shop.customers("Ada", language="en_GB")
    shop.customers("Luc", language="fr_CA")
    shop.customers("Kay", language=None)
    shop.scenario(run=False, body="<p>{{ 1234.5 | format_number }}</p>")
    shop.query(
        "insert into marketing_automation.activity_translation (activity_id, language, subject, body) "
        "select id, 'fr', 'Bienvenue {{ record.name }}', '<p>{{ 1234.5 | format_number }}</p>' "
        "from marketing_automation.activity"
    )
    shop.query("select marketing_automation.run('welcome')")
    shop.tick()
    sink.wait_for(3)
    subjects = {mail.recipients[0]: mail.subject for mail in sink.mails}
    assert subjects == {
        "ada@example.org": "Welcome Ada",
        "luc@example.org": "Bienvenue Luc",
        "kay@example.org": "Welcome Kay",
    }
    assert "1,234.5" in sink.to("ada@example.org")[0].html
    assert "1,234.5" not in sink.to("luc@example.org")[0].html


def test_an_address_that_is_none_fails_alone_with_the_reason(shop, sink):
    shop.customers("Ada", "Cyd")
    shop.customers("Bob", email="not an address")
    shop.customers("Eve", email="eve@example.org\r\nBcc: all@example.org")
    shop.scenario()
    shop.tick()
    sink.wait_for(2)
    _, reason = shop.wait_for_message("not an address", "failed")
    assert "not an address" in reason
    assert shop.value("select count(*) from marketing_automation.message where state = 'failed'") == 2
    assert {mail.recipients[0] for mail in sink.mails} == {"ada@example.org", "cyd@example.org"}


def test_a_record_without_an_address_sends_nothing_and_goes_on(shop, sink):
    shop.customers("Ada", email=None)
    shop.scenario(run=False)
    shop.activity("mark", parent="hello", action=None, subject=None, body=None)
    shop.query("select marketing_automation.run('welcome')")
    shop.tick()
    shop.tick()
    assert shop.query("select name, state from marketing_automation.record_activity ra join marketing_automation.activity a "
                      "on a.id = ra.activity_id order by name") == [("hello", "done"), ("mark", "done")]  # fmt: skip
    assert sink.mails == []


def test_a_constant_sender_from_before_it_was_checked_holds_its_mails_until_it_is_mended(shop, sink):
    shop.customers("Ann")
    shop.scenario()
    shop.psql(
        "alter table marketing_automation.activity disable trigger user; "
        "update marketing_automation.activity set sender = 'Shop hello@shop.example', version = version + 1; "
        "alter table marketing_automation.activity enable trigger user"
    )
    shop.tick()
    shop.wait_for_message("ann@example.org", "deferred")
    assert shop.value("select smtp_reply from marketing_automation.message").startswith("sender")
    shop.query("update marketing_automation.activity set sender = 'Shop <hello@shop.example>'", user=shop.marketer)
    shop.query("select marketing_automation.retry(id) from marketing_automation.message")
    assert sink.wait_for(1)[0].message["From"] == "Shop <hello@shop.example>"


def test_a_sender_that_a_row_has_made_wrong_fails_its_mail_alone(shop, sink):
    shop.customers("Ann", "Ben@")
    shop.query("update shop.customer set email = 'ben@example.org' where id = 2")
    shop.scenario(sender="Shop <{{ record.name }}@shop.example>")
    shop.tick()
    shop.wait_for_message("ben@example.org", "failed")
    shop.wait_for_message("ann@example.org", "sent")


def test_a_template_that_fails_for_one_record_fails_alone(shop, sink):
    shop.customers("Ada", "Bob")
    shop.query("update shop.customer set language = null, orders = 3 where name = 'Bob'")
    shop.scenario(body="<p>{{ record.language | upper }} {{ 'x' if record.orders == 0 else (record.name | format_number) }}</p>")
    shop.tick()
    shop.wait_for_message("ada@example.org", "sent")
    _, reason = shop.wait_for_message("bob@example.org", "failed")
    assert "body, line 1" in reason


def test_a_test_mail_looks_like_the_mail_and_counts_nowhere(shop, sink, proxy):
    shop.customers("Zoë", email="zoe@example.org")
    shop.scenario(run=False, body=BODY)
    shop.query(
        "select marketing_automation.send_test('welcome', 'hello', '1', 'tester@example.org')", user=shop.marketer
    )
    mail = sink.wait_for(1)[0]
    assert mail.recipients == ["tester@example.org"]
    assert mail.subject == "[Test] Welcome Zoë" and "Bonjour Zoë" in mail.text
    shop.wait_for_message("tester@example.org", "sent")
    click = requests.get(links(mail)[0], allow_redirects=False)
    assert click.headers["Location"] == "https://shop.example/a"
    assert requests.get(open_image(mail)).ok
    assert requests.post(unsubscribe_url(mail), data={"List-Unsubscribe": "One-Click"}).ok
    assert shop.events() == []
    shop.query("select marketing_automation.run('welcome')")
    shop.tick()
    sink.wait_for(2)
    shop.wait_for_message("zoe@example.org", "sent")
    # Nobody is blocked, and the real mail is another one.
    assert sink.mails[0].message["Message-ID"] != sink.mails[1].message["Message-ID"]
    assert shop.value("select sent from marketing_automation.activity_count('welcome')") == 1
