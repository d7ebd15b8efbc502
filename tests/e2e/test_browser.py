"""A mail in a browser: its browser_url shows what it was, for a time."""

import html
import re

import requests

BODY = """<!doctype html><html><head><title>News</title><style>p {color: teal}</style></head><body>
<p>Bonjour {{ record.name }} <a href="{{ browser_url }}">look at it in a browser</a></p><script>document.title = 'ran'</script>
<img src="cid:logo" alt="Shop"><a href="https://shop.example/a?x=1&amp;y=2">one</a> <a href="unsubscribe">leave</a></body></html>"""
LOGO = "select 'logo.gif' as name, 'image/gif' as type, decode('474946383961', 'hex') as content, 'logo' as cid"


def test_a_browser_shows_what_the_mail_was_until_that_is_gone(shop, sink, proxy):
    shop.customers("Ada", "Zoë")
    shop.scenario(body=BODY, attachments=LOGO)
    shop.tick()
    mails = {mail.message["To"].split()[0]: mail.html for mail in sink.wait_for(2)}
    urls = {name: html.unescape(re.search(r'<a href="([^"]+/v/[^"]+)"', mail)[1]) for name, mail in mails.items()}
    # At once, whether or not its result is recorded, and afterwards.
    for _ in range(2):
        page = requests.get(urls["Ada"])
        assert page.status_code == 200 and page.encoding == "utf-8"
        without_image = re.sub(r'<img src="[^"]+/o/[^"]+"[^>]*>', "", mails["Ada"])
        assert page.text == without_image.replace("\r\n", "\n").replace("cid:logo", "data:image/gif;base64,R0lGODlh")
        shop.wait_for_message("ada@example.org", "sent")
    policy = page.headers["Content-Security-Policy"]
    assert policy.startswith("sandbox ") and "allow-scripts" not in policy and "default-src 'none'" in policy
    assert page.headers["Cache-Control"] == "no-store" and page.headers["X-Robots-Tag"] == "noindex"
    assert page.headers["Referrer-Policy"] == "no-referrer"
    head = requests.head(urls["Ada"])
    assert head.status_code == 200 and not head.content and head.headers["Content-Security-Policy"] == policy
    assert requests.post(urls["Ada"]).status_code == 405
    base, token = urls["Ada"].split("/v/")
    for wrong in [token[:-1] + ("A" if token[-1] != "A" else "B"), "A", "A" * 20000]:
        answer = requests.get(f"{base}/v/{wrong}", headers={"Accept-Language": "de"})
        assert answer.status_code == 404 and "Dieser Link ist ungültig" in answer.text
    # Its links are the reader's. That it was looked at is no open.
    click = re.search(r'href="([^"]+/c/[^"]+)"', page.text)[1]
    assert requests.get(click, allow_redirects=False).headers["Location"] == "https://shop.example/a?x=1&y=2"
    assert shop.query("select kind from marketing_automation_internal.event_inbox union all select kind from marketing_automation.event") == [
        ("email_clicked",)
    ]
    shop.query("select marketing_automation.forget('ada@example.org')")
    gone = requests.get(urls["Ada"], headers={"Accept-Language": "fr-CA"})
    assert gone.status_code == 410 and "Cet e-mail n’est plus affiché ici" in gone.text and "Ada" not in gone.text
    assert requests.get(urls["Zoë"]).status_code == 200
