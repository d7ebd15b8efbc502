"""Links to reports: whoever has one sees the numbers of its scenario, until it expires."""

import base64
import hashlib
import re

import psycopg2
import pytest
import requests
from e2e.mails import unsubscribe_url

from harness import wait_until

LINK = "select marketing_automation.report_link('welcome', %s)"


@pytest.fixture
def mail(shop, sink, proxy):
    """A mail of a scenario of which there may be links."""
    shop.setting("report_links", "on")
    shop.customers("Ada")
    shop.scenario(body='<p><a href="unsubscribe">leave</a></p>')
    shop.tick()
    mail = sink.wait_for(1)[0]
    shop.wait_for_message("ada@example.org", "sent")
    return mail


def test_there_are_no_links_unless_they_are_asked_for(shop):
    shop.scenario(run=False)
    with pytest.raises(psycopg2.Error, match="links to reports are turned off"):
        shop.value(LINK, "1 day", user=shop.marketer)


def test_whoever_has_a_link_sees_the_report(shop, mail):
    url = shop.value(LINK, "1 day", user=shop.marketer)
    page = requests.get(url, headers={"Accept-Language": "fr-CA,en;q=0.5"})
    assert page.status_code == 200 and '<html lang="fr" dir="ltr">' in page.text and "<bdi>welcome</bdi>" in page.text
    assert "ada@example.org" not in page.text
    style = re.search(r"<style>(.*?)</style>", page.text, re.S)[1]
    policy = page.headers["Content-Security-Policy"]
    assert f"'sha256-{base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()}'" in policy
    assert "default-src 'none'" in policy and "unsafe" not in policy and " style=" not in page.text
    assert page.headers["Cache-Control"] == "no-store" and page.headers["X-Robots-Tag"] == "noindex"
    assert requests.post(url).status_code == 405


def test_a_link_that_is_forged_or_has_expired_shows_nothing(shop, mail):
    url = shop.value(LINK, "1 day", user=shop.marketer)
    base, token = url.split("/r/")
    other = unsubscribe_url(mail).split("/u/")[1]
    changed = token[:-1] + ("A" if token[-1] != "A" else "B")
    for wrong in [f"/r/{changed}", f"/r/{other}", f"/u/{token}", "/r/A", "/r/" + "A" * 5000]:
        answer = requests.get(base + wrong, headers={"Accept-Language": "en"})
        assert answer.status_code == 404 and "This link is not valid" in answer.text, wrong
    short = shop.value(LINK, "1 second", user=shop.marketer)
    wait_until(lambda: requests.get(short).status_code == 404, what="the end of the link")
    assert requests.get(url).status_code == 200


def test_turning_links_off_ends_those_that_there_are(shop, mail):
    token = shop.value(LINK, "1 day", user=shop.marketer).split("/r/")[1]
    report = "select marketing_automation.report_by_token(%s, 'en')"
    assert "welcome" in shop.value(report, token, user=shop.tracking)
    shop.setting("report_links", "off")
    assert shop.value(report, token, user=shop.tracking) is None
