"""Choosing topics, as a reader does it: the page behind the link, its boxes, the undo."""

import re

import pytest
import requests
from e2e.mails import unsubscribe_url

from harness import wait_until

FIELD = re.compile(r'<input type="(radio|checkbox|hidden)" name="(\w+)" value="([^"]*)"( checked)?>')
BUTTON = re.compile(r'<button [^>]*name="(\w+)" value="(\w+)"[^>]*>([^<]*)<')


@pytest.fixture
def url(shop, sink, proxy):
    """The page of topics of a mail to Ada, which is about news; offers have to be confirmed, tips not."""
    shop.customers("Ada", language="fr_CA")
    shop.query("insert into marketing_automation.topic values ('news', 'News', 'none'), ('offers', 'Offers', 'double'), ('tips', null, 'none')")
    shop.query("insert into marketing_automation.topic_translation values ('news', 'fr', 'Nos nouvelles <b>')")
    shop.scenario(body='<p>{{ preferences_url }} <a href="{{ preferences_url }}">choose</a> <a href="unsubscribe">leave</a></p>')
    shop.query("update marketing_automation.scenario set topic = 'news' where name = 'welcome'")
    shop.tick()
    mail = sink.wait_for(1)[0]
    shop.wait_for_message("ada@example.org", "sent")
    shown, linked = re.findall(r"https?://[^\s\"<]+/p/[\w-]+", mail.html)
    # It is not tracked, and the token is that of the unsubscribe link.
    assert shown == linked and shown.replace("/p/", "/u/") == unsubscribe_url(mail)
    return shown


def chosen(shop):
    return dict(shop.query("select topic, state from marketing_automation.subscription where party = '1' and address_hash is null"))


def press(url, page, label, tick=(), untick=()):
    """Presses the button of that label as a browser would, with other boxes ticked."""
    for form in re.findall(r"<form method=\"post\">(.*?)</form>", page.text, re.S):
        if label in form:
            fields = [
                (name, value)
                for kind, name, value, checked in FIELD.findall(form)
                if kind == "hidden" or (checked or value in tick) and value not in untick
            ]
            fields += [(name, value) for name, value, text in BUTTON.findall(form) if text == label]
            answer = requests.post(url, data=fields, allow_redirects=False)
            assert answer.status_code == 200
            return answer
    raise AssertionError(f"no button {label}")


def test_topics_are_chosen_and_taken_back(shop, url):
    for _ in range(2):
        page = requests.get(url)
        assert page.status_code == 200 and '<html lang="fr"' in page.text
        assert "<bdi>Nos nouvelles &lt;b&gt;</bdi>" in page.text and "<bdi>Offers</bdi>" in page.text and "<bdi>tips</bdi>" in page.text
        assert [value for _, name, value, checked in FIELD.findall(page.text) if name == "topic" and checked] == ["news", "tips"]
        assert "<script" not in page.text and "default-src 'none'" in page.headers["Content-Security-Policy"]
        # Looking changes nothing, nor does a form that says nothing, nor a mail client's button.
        for body in ({}, {"List-Unsubscribe": "One-Click"}, {"scope": "this"}):
            assert requests.post(url, data=body).status_code == 200
        assert chosen(shop) == {}
    saved = press(url, page, "Enregistrer", tick=["offers"], untick=["tips"])
    assert chosen(shop) == {"offers": "pending", "tips": "unsubscribed"}
    assert "Votre choix a été enregistré." in saved.text and "Pas encore confirmé" in saved.text
    # What is undone once is not done again when the browser repeats it.
    for _ in range(2):
        press(url, saved, "Annuler la modification")
        assert chosen(shop) == {}
    log = shop.query("select source, count(*) from marketing_automation.subscription_log where party = '1' group by 1 order by 1")
    assert log == [("page", 3), ("page, taken back", 3)]


def test_without_a_tick_nothing_but_the_topics_is_left(shop, url):
    shop.query("insert into marketing_automation.topic values ('late')")
    page = requests.get(url)
    shop.query("insert into marketing_automation.topic values ('later')")
    press(url, page, "Enregistrer", untick=["news", "tips", "late"])
    assert chosen(shop) == {"news": "unsubscribed", "tips": "unsubscribed", "late": "unsubscribed"}
    assert shop.value("select count(*) from marketing_automation.unsubscription") == 0
    assert shop.value("select count(*) from marketing_automation.record where blocked_at is not null") == 0
    everything = press(url, requests.get(url), "Me désabonner de tout")
    assert shop.value("select count(*) from marketing_automation.unsubscription where scenario_id = 0") == 1
    assert "checkbox" not in everything.text
    press(url, everything, "Me réabonner")
    assert shop.value("select count(*) from marketing_automation.unsubscription where scenario_id = 0") == 0
    # What was not ticked stays so, but for the topic of the mail that was left with everything.
    assert chosen(shop)["tips"] == "unsubscribed"


def test_a_hostile_form_chooses_nothing_that_is_not_there(shop, url):
    fields = [("action", "save"), ("shown", "nonsense"), ("shown", "'; drop table x; --"), ("topic", "nonsense"), ("topic", "offers")]
    assert requests.post(url, data=fields).status_code == 200
    assert requests.post(url, data=[("action", "undo"), ("topic", "news"), ("topic", "nonsense")]).status_code == 200
    assert chosen(shop) == {}
    assert requests.post(url + "x", data={"action": "save"}).status_code == 404
    assert requests.post(url, data="x" * 100_000).status_code == 413
    base, token = url.rsplit("/p/", 1)
    # The links of a mail are not interchangeable but for these two.
    assert requests.get(f"{base}/s/{token}").status_code == 404
    assert requests.post(f"{base}/s/{token}").status_code == 404
    assert requests.get(f"{base}/u/{token}").status_code == 200


def test_the_page_that_unsubscribes_leaves_the_topic_and_leads_to_the_others(shop, url):
    leave = url.replace("/p/", "/u/")
    page = requests.get(leave)
    assert f'<a href="/p/{url.rsplit("/", 1)[1]}">' in page.text and "Nos nouvelles" in page.text
    done = press(leave, page, "Me désabonner") if 'name="scope"' not in page.text else requests.post(leave, data={"scope": "this"})
    assert done.status_code == 200 and chosen(shop) == {"news": "unsubscribed"}
    press(leave, done, "Me réabonner")
    assert chosen(shop) == {}


def test_who_ticks_a_topic_again_goes_on(shop, sink, url):
    press(url, requests.get(url), "Enregistrer", untick=["news"])
    shop.scenario("second", body="<p>x</p>", run=False)
    shop.query("update marketing_automation.scenario set topic = 'news' where name = 'second'")
    shop.query("select marketing_automation.run('second')", user=shop.marketer)
    shop.tick()
    assert shop.value("select count(*) from marketing_automation.record") == 1
    press(url, requests.get(url), "Enregistrer", tick=["news"])
    shop.tick()
    assert len(sink.wait_for(2)) == 2


def test_without_topics_the_link_leads_to_the_page_that_unsubscribes(shop, url):
    shop.query("update marketing_automation.scenario set topic = null")
    shop.query("delete from marketing_automation.topic")
    answer = requests.get(url, allow_redirects=False)
    assert answer.status_code == 303 and answer.headers["Location"] == "/u/" + url.rsplit("/", 1)[1]
    wait_until(lambda: "/p/" not in requests.get(url).text, what="the page that unsubscribes")


def test_a_subscription_is_confirmed_by_the_button_only(shop, sink, proxy):
    shop.query("insert into marketing_automation.topic values ('offers', 'Offers', 'double')")
    shop.query(
        "select marketing_automation.register_model('request', 'marketing_automation.subscription_request', key => 'self.id', "
        "party => 'self.party', email => 'self.email', language => 'self.language')"
    )
    shop.query("select marketing_automation.create_scenario('confirm', 'request', message_class => 'transactional')")
    shop.query("select marketing_automation.add_activity('confirm', 'ask', subject => 's', body => '<a href=\"{{ confirm_url }}\">yes</a>')")
    shop.query("select marketing_automation.run('confirm')")
    # Also who has left everything is asked, as they have asked.
    shop.query("select marketing_automation.unsubscribe('1')")
    assert shop.value("select marketing_automation.subscribe('1', 'offers', 'form', address => 'ada@example.org', language => 'de')") == "pending"
    shop.tick()
    url = re.search(r'href="(https?://[^"]+/s/[\w-]+)"', sink.wait_for(1)[0].html)[1]
    for _ in range(2):
        page = requests.get(url)
        assert page.status_code == 200 and "Offers" in page.text and '<html lang="de"' in page.text
        assert chosen(shop) == {"offers": "pending"}
    for _ in range(2):
        done = press(url, page, "Bestätigen")
        assert chosen(shop) == {"offers": "subscribed"} and "<form" not in done.text
    assert shop.value("select count(*) from marketing_automation.subscription_log where source = 'confirmed'") == 1
    base, token = url.rsplit("/s/", 1)
    assert {requests.get(f"{base}/{other}/{token}").status_code for other in "upoc"} == {404}
