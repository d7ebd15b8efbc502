"""Leaving, as a reader does it: the page behind the link, its buttons, the undo."""

import re

import pytest
import requests
from e2e.mails import unsubscribe_url

from harness import wait_until

PREFETCH = {"Sec-Purpose": "prefetch", "Purpose": "prefetch"}


@pytest.fixture
def url(shop, sink, proxy):
    """The unsubscribe link of a mail to Ada, who also gets mails of another kind."""
    shop.customers("Ada", language="fr_CA")
    shop.scenario(body='<p><a href="unsubscribe">leave</a></p>')
    shop.scenario("offers", run=False)
    shop.query("update marketing_automation.scenario set title = 'Nos nouvelles' where name = 'welcome'")
    shop.tick()
    mail = sink.wait_for(1)[0]
    shop.wait_for_message("ada@example.org", "sent")
    return unsubscribe_url(mail)


def left(shop):
    """What Ada has left, 0 being everything."""
    return {scenario or "everything" for (scenario,) in shop.query(
        "select s.name from marketing_automation.unsubscription u left join marketing_automation.scenario s on s.id = u.scenario_id"
    )}  # fmt: skip


def press(url, page, label):
    """Presses the button of that label as a browser would; radio buttons keep their defaults."""
    forms = re.findall(r"<form method=\"post\">(.*?)</form>", page.text, re.S)
    form = next(form for form in forms if label in form)
    fields = dict(re.findall(r'<input type="radio" name="(\w+)" value="(\w+)" checked>', form))
    fields |= dict(re.findall(r'<button [^>]*name="(\w+)" value="(\w+)"', form))
    return requests.post(url, data=fields, allow_redirects=False)


def test_only_the_button_unsubscribes_and_there_is_a_way_back(shop, url):
    assert requests.head(url).status_code == 200
    assert requests.get(url, headers=PREFETCH).status_code == 200
    page = requests.get(url)
    assert '<html lang="fr" dir="ltr">' in page.text and "Nos nouvelles" in page.text and "welcome" not in page.text
    assert "default-src 'none'" in page.headers["Content-Security-Policy"] and "Set-Cookie" not in page.headers
    assert left(shop) == set()
    done = press(url, page, "Me désabonner")
    assert done.status_code == 200 and left(shop) == {"welcome"}
    assert press(url, done, "Me réabonner").status_code == 200
    assert left(shop) == set() and not shop.value("select bool_or(blocked_at is not null) from marketing_automation.record")
    kinds = "select array_agg(kind order by occurred_at, kind) from marketing_automation.event where kind like %s"
    assert shop.value(kinds, "%subscribed") == ["unsubscribed", "resubscribed"]


def test_the_page_says_who_the_mail_was_from_and_no_internal_name(shop, sink, proxy):
    shop.customers("Ada", language="pt_BR")
    shop.scenario("crm_wave_2", body='<p><a href="unsubscribe">leave</a></p>')
    shop.query("update marketing_automation.activity set sender = 'Loja de Chá <cha@shop.example>'")
    shop.tick()
    url = unsubscribe_url(sink.wait_for(1)[0])
    shop.wait_for_message("ada@example.org", "sent")
    page = requests.get(url)
    done = press(url, page, "Cancelar inscrição")
    assert done.status_code == 200
    for answer in [page, done, press(url, done, "Inscrever-se novamente")]:
        assert '<html lang="pt-BR" dir="ltr">' in answer.text and "crm_wave_2" not in answer.text
        assert "<bdi>Loja de Chá</bdi><br><bdi>cha@shop.example</bdi>" in answer.text and "-mails como este" in answer.text


def test_everything_is_every_kind_of_mail(shop, sink, url):
    already = press(url, requests.get(url), "Me désabonner")
    assert press(url, already, "Me désabonner de tout").status_code == 200
    assert left(shop) == {"welcome", "everything"}
    assert "Me désabonner de tout" not in requests.get(url).text
    shop.query("select marketing_automation.run('offers')", user=shop.marketer)
    shop.tick()
    assert shop.value("select count(*) from marketing_automation.record") == 1
    press(url, requests.get(url), "Me réabonner")
    shop.tick()
    assert len(sink.wait_for(2)) == 2


def test_pages_and_texts_of_ones_own(shop, url):
    shop.query("insert into marketing_automation.page_text values ('fr', 'button', 'Au revoir')")
    shop.query(
        "insert into marketing_automation.page (name, body) values ('unsubscribed', '<!doctype html><h1>{{ scenario }} {{ language }}</h1>{{ form }}')"
    )
    wait_until(lambda: "Au revoir" in requests.get(url).text, what="the proxy to notice the text")
    done = press(url, requests.get(url), "Au revoir")
    assert done.text.startswith("<!doctype html><h1>Nos nouvelles fr</h1><form method=") and left(shop) == {"welcome"}
    assert "script-src" not in done.headers["Content-Security-Policy"]
