"""The proxy, as recipients, mail scanners and attackers meet it."""

import base64
import re
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from e2e.mails import links, open_image, unsubscribe_url

from harness import wait_until


@pytest.fixture
def mail(shop, sink, proxy):
    """A mail that has arrived."""
    shop.customers("Ada")
    shop.scenario(body='<p><a href="https://shop.example/a?b=1&amp;c=2">a</a> <a href="unsubscribe|https://shop.example/bye">leave</a></p>')
    shop.tick()
    mail = sink.wait_for(1)[0]
    shop.wait_for_message("ada@example.org", "sent")
    return mail


def test_a_click_leads_to_the_page_and_is_recorded(shop, mail):
    answer = requests.get(links(mail)[0], allow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (302, "https://shop.example/a?b=1&c=2")
    wait_until(lambda: shop.value("select clicked_at from marketing_automation.record_activity"), what="the click")
    assert shop.value("select opened_at is not null from marketing_automation.record_activity")


def test_many_opens_change_nothing_but_the_log(shop, mail):
    for _ in range(3):
        answer = requests.get(open_image(mail))
        assert answer.status_code == 200 and len(answer.content) == 43
    wait_until(lambda: shop.events() == [("email_opened", 3)], what="three opens in the log")
    first = shop.value("select opened_at from marketing_automation.record_activity")
    requests.get(open_image(mail))
    wait_until(lambda: shop.events() == [("email_opened", 4)], what="the fourth open")
    assert shop.value("select opened_at from marketing_automation.record_activity") == first


def test_get_never_unsubscribes_and_post_does(shop, sink, mail):
    url = unsubscribe_url(mail)
    page = requests.get(url)
    assert page.status_code == 200 and "<button" in page.text and "<form" in page.text
    assert shop.value("select count(*) from marketing_automation.unsubscription") == 0
    answer = requests.post(url, data={"List-Unsubscribe": "One-Click"}, allow_redirects=False)
    assert answer.status_code == 200 and "Set-Cookie" not in answer.headers
    assert shop.query("select party from marketing_automation.unsubscription") == [("1",)]
    assert shop.value("select blocked_at is not null from marketing_automation.record")
    assert requests.post(url, data={"List-Unsubscribe": "One-Click"}).status_code == 200


def test_a_browsers_form_leads_to_the_page_that_the_mail_named(shop, mail):
    url = re.search(r'<a [^>]*href="([^"]+/u/[^"]+)"', mail.html)[1]
    answer = requests.post(url, data={}, allow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (303, "https://shop.example/bye")
    assert shop.value("select count(*) from marketing_automation.unsubscription") == 1


def test_an_unsubscribed_party_gets_nothing_more(shop, sink, mail):
    requests.post(unsubscribe_url(mail), data={"List-Unsubscribe": "One-Click"})
    shop.activity("later", scenario="welcome")
    shop.query("update shop.customer set id = 1")
    shop.tick()
    assert len(sink.mails) == 1


def test_tokens_that_are_not_ours_find_nothing(shop, mail, proxy):
    token = links(mail)[0].rpartition("/")[2]
    other = "A" if token[10] != "A" else "B"
    forged = token[:10] + other + token[11:]
    for path in (f"/c/{forged}", f"/o/{forged}", f"/u/{forged}", f"/o/{token}", f"/u/{token}", "/c/", "/c/x", "/c/" + "A" * 5000,
                 "/c/%00", "/c/..%2f..%2fetc", f"/c/{token}?url=https://evil.example", "/"):  # fmt: skip
        answer = requests.get(proxy.base + path, allow_redirects=False)
        if path.startswith(f"/c/{token}?"):
            assert answer.headers["Location"] == "https://shop.example/a?b=1&c=2"
        else:
            assert answer.status_code in (404, 414), path
            assert "evil" not in answer.text and len(answer.text) < 2000
    assert requests.post(f"{proxy.base}/u/{forged}").status_code == 404
    assert shop.value("select count(*) from marketing_automation.unsubscription") == 0


def test_a_new_key_signs_and_old_links_still_work(shop, sink, mail, cluster):
    shop.query("select marketing_automation.rotate_tracking_key()")
    cluster.query("select pg_reload_conf()")
    shop.customers("Bob")

    def signed_with_the_new_key():
        shop.tick()
        shop.customers("Eve")
        return [new for new in sink.mails[1:] if key_id(links(new)[0]) != key_id(links(mail)[0])]

    new = wait_until(signed_with_the_new_key, what="a mail signed with the new key")[0]
    assert requests.get(links(mail)[0], allow_redirects=False).status_code == 302
    # The proxy asks for unknown keys every few seconds at most; until then the link is not lost.
    answers = set()
    wait_until(lambda: answers.add(requests.get(links(new)[0], allow_redirects=False).status_code) or 302 in answers, what="the new key")
    assert answers <= {302, 503}


def key_id(link):
    """The first byte of a link's token."""
    return base64.urlsafe_b64decode(link.rpartition("/")[2][:4])[0]


def test_the_proxy_outlives_a_restart_of_the_server(shop, mail, proxy, cluster):
    cluster.restart("immediate")
    wait_until(proxy.ready, 30, what="the proxy to be ready again")
    assert requests.get(links(mail)[0], allow_redirects=False).status_code == 302
    wait_until(lambda: dict(shop.events()).get("email_clicked") == 1, what="the click after the restart")


def test_limits_of_its_role_cost_the_proxy_neither_hits_nor_sessions(shop, mail, start_proxy):
    # Unless it exists: PostgreSQL 17 has one more.
    limits = {"statement_timeout": "20ms", "lock_timeout": "1ms", "idle_session_timeout": "300ms", "transaction_timeout": "300ms"}
    known = {name for (name,) in shop.query("select name from pg_settings where name = any (%s)", list(limits))}
    for setting, value in {**limits, "default_transaction_isolation": "serializable", "search_path": "nowhere"}.items():
        if setting in known or setting not in limits:
            shop.cluster.query(f'alter role "{shop.tracking}" set {setting} = %s', (value,))
    proxy = start_proxy()
    sessions = "select array_agg(pid order by pid) from pg_stat_activity where usename = %s"
    image = proxy.base + open_image(mail).partition("/o/")[1] + open_image(mail).rpartition("/")[2]
    assert requests.get(image).status_code == 200
    wait_until(lambda: shop.events() == [("email_opened", 1)], what="the open")
    before = set(shop.value(sessions, shop.tracking))
    connection = shop.connect(autocommit=False)
    connection.cursor().execute("lock marketing_automation_internal.event_inbox")
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(requests.get, image)
        wait_until(shop.is_blocked, what="the hit to wait")
        time.sleep(0.7)
        connection.rollback()
        assert waiting.result().status_code == 200
    wait_until(lambda: shop.events() == [("email_opened", 2)], what="the second open")
    assert before <= set(shop.value(sessions, shop.tracking))
    assert "timeout" not in proxy.log.read_text()


def test_not_ready_while_the_inbox_of_events_is_locked(shop, proxy):
    assert proxy.ready()
    connection = shop.connect(autocommit=False)
    connection.cursor().execute("lock marketing_automation_internal.event_inbox")
    assert requests.get(proxy.base + "/readyz", timeout=30).status_code == 503
    connection.rollback()
    wait_until(proxy.ready, what="the proxy to be ready again")


def test_a_locked_record_stops_nobody_else(shop, sink, proxy):
    shop.customers("Ada", "Bob")
    shop.scenario(body='<p><a href="unsubscribe|https://shop.example/bye">leave</a></p>')
    shop.tick()
    locked, free = (unsubscribe_url(sink.wait_for(1, recipient=f"{name}@example.org")[0]) for name in ("ada", "bob"))
    connection = shop.connect(autocommit=False)
    connection.cursor().execute("select from marketing_automation.record where party = '1' for update")
    with ThreadPoolExecutor() as pool:

        def is_first():
            waiting = pool.submit(requests.post, locked)
            assert requests.post(free).status_code == 200
            first = not waiting.done()
            refused = waiting.result()
            assert refused.status_code == 503 and refused.headers["Retry-After"]
            return first

        # A busy machine may take longer than the two seconds that a lock is waited for.
        assert any(is_first() for _ in range(5))
    connection.rollback()
    assert requests.post(locked).status_code == 200


def test_a_person_with_a_broken_link_gets_a_page(proxy):
    answer = requests.get(proxy.base + "/u/broken", headers={"Accept-Language": "fr-CH, en;q=0.5"})
    assert answer.status_code == 404
    assert '<html lang="fr"' in answer.text and "broken" not in answer.text


def test_health(proxy):
    assert requests.get(proxy.base + "/healthz").status_code == 200
    assert requests.head(proxy.base + "/readyz").status_code in (200, 405)


def test_a_mail_without_consent_has_no_image_and_links_as_they_were_written(shop, sink, proxy):
    shop.query("alter table shop.customer add newsletter boolean")
    shop.query(
        "select marketing_automation.register_model('customer', 'shop.customer', key => 'self.id', party => 'self.id', email => 'self.email',"
        " track_opens => 'self.newsletter', track_clicks => 'self.newsletter')"
    )
    shop.customers("Ada", newsletter=True)
    shop.customers("Bob", newsletter=None)
    shop.scenario(body='<p><a href="https://shop.example/a?b=1&amp;c=2">a</a> <a href="unsubscribe">leave</a></p>')
    shop.tick()
    mails = {mail.recipients[0]: mail for mail in sink.wait_for(2)}
    ada, bob = mails["ada@example.org"], mails["bob@example.org"]
    assert "/c/" in links(ada)[0] and requests.get(open_image(ada)).status_code == 200
    assert "<img" not in bob.html and '<a href="https://shop.example/a?b=1&amp;c=2">' in bob.html and "/c/" not in bob.html
    assert "https://shop.example/a?b=1&c=2" in bob.text and "/c/" not in bob.text
    assert unsubscribe_url(bob) in bob.html and requests.get(unsubscribe_url(bob)).status_code == 200
    # Ada changes her mind: her link still leads on, and what comes after it shows that the click has been dropped.
    shop.query("update shop.customer set newsletter = false")
    assert requests.get(links(ada)[0], allow_redirects=False).headers["Location"] == "https://shop.example/a?b=1&c=2"
    wait_until(lambda: shop.value("select count(*) from marketing_automation_internal.event_inbox") == 0, what="an empty inbox")
    assert "email_clicked" not in dict(shop.events())


def test_a_scanner_with_a_browsers_name_counts_nowhere_and_starts_nothing(shop, sink, proxy):
    shop.judge_clicks()
    shop.customers("Ada", "Bob")
    shop.scenario(run=False, body="".join(f'<p><a href="https://shop.example/{n}">{n}</a></p>' for n in range(3)))
    shop.activity("clicked", parent="hello", on_event="email_clicked")
    shop.query("select marketing_automation.run('welcome')")
    shop.tick()
    sink.wait_for(2)
    scanned, [read, *_] = links(sink.to("ada@example.org")[0]), links(sink.to("bob@example.org")[0])
    for link in [*scanned, read]:
        assert requests.get(link, allow_redirects=False).status_code == 302
    judged = "select count(*), count(robot) from marketing_automation.event where kind = 'email_clicked'"
    # By the mailer itself, in its time: nothing else wakes it.
    wait_until(lambda: shop.query(judged) == [(4, 3)], what="all clicks to be judged")
    assert shop.query("select sum(clicked), sum(robot_clicks) from marketing_automation.activity_report where activity = 'hello'") == [(1, 3)]
    shop.tick()
    assert len(sink.wait_for(3)) == 3 and [mail.subject for mail in sink.to("bob@example.org")][1:] == ["clicked"]
    assert "all are applied" in shop.value("select message from marketing_automation.health() where name = 'events'")


def test_who_follows_the_hidden_link_of_a_mail_is_a_robot(cluster, shop, sink, proxy):
    shop.judge_clicks()
    with cluster.having(marketing_automation__hidden_link="on"):
        shop.customers("Ada")
        shop.scenario(body='<p><a href="https://shop.example/a">a</a></p>')
        shop.tick()
        [mail] = sink.wait_for(1)
    seen, hidden = links(mail)
    assert 'aria-hidden="true"' in mail.html and hidden not in mail.text
    assert requests.get(hidden, allow_redirects=False).status_code == 404
    assert requests.get(seen, allow_redirects=False).status_code == 302
    wait_until(
        lambda: shop.query("select robot from marketing_automation.event where kind = 'email_clicked'") == [("hidden_link",)] * 2,
        what="both clicks to be a robot's",
    )
    assert shop.value("select count(clicked_at) from marketing_automation.record_activity") == 0
