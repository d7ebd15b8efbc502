"""A campaign that runs goes on after the update, with the mailer of the server that is running."""

import requests

from harness import Proxy, wait_until
from release import history

START = "https://shop.example/start"
# By what became of their mails before: who gets one now.
STILL_TO_SEND = ("queued", "deferred", "sending")


def address(customer):
    return f"c{customer}@example.com"


def test_the_mailer_waits_for_the_update_and_goes_on_by_itself(shop, sink, release):
    wait_until(lambda: shop.state() == "outdated", what="the mailer to see the old version")
    now = history.current_version()
    assert shop.error() == (
        f"nothing is sent: the extension is {release}, this library {now}: run ALTER EXTENSION marketing_automation UPDATE"
    )
    pid = shop.value("select pid from marketing_automation.worker_status()")
    waiting = shop.query("select id, state, attempts from marketing_automation_internal.outbox order by id")
    inbox = shop.value("select count(*) from marketing_automation_internal.event_inbox")
    assert inbox == 1

    # Woken again and again, it looks, and leaves all as it is.
    for _ in range(5):
        shop.query("select marketing_automation_internal.notify_mailer()")
        shop.query("select pg_sleep(0.2)")
    assert not sink.mails and shop.query("select id, state, attempts from marketing_automation_internal.outbox order by id") == waiting
    assert shop.value("select count(*) from marketing_automation_internal.event_inbox") == inbox
    assert shop.cluster.log.read_text().count(f"[{pid}] marketing_automation mailer WARNING:  marketing_automation mailer: nothing is sent") == 1

    fates = shop.fates()
    expected = {address(customer) for customer, fate in fates.items() if fate in STILL_TO_SEND}
    # Who has clicked, gets the tips too, whether the click was applied before the update or waited in the inbox.
    clicked = {address(customer) for customer, fate in fates.items() if fate.startswith("clicked")}
    assert len(expected) == 17 and len(clicked) == 2
    shop.update()
    sink.wait_for(len(expected))
    wait_until(lambda: not shop.value("select count(*) from marketing_automation_internal.event_inbox"), what="the click to be applied")
    shop.query("call marketing_automation.process_all_due()")
    sink.wait_for(len(expected) + len(clicked))
    wait_until(lambda: shop.state() == "idle", what="all to be sent")
    assert shop.value("select pid from marketing_automation.worker_status()") == pid, "without a restart"
    assert shop.error() is None
    assert sorted(address for mail in sink.mails if mail.subject != "Tips" for address in mail.recipients) == sorted(expected)
    assert sorted(address for mail in sink.mails if mail.subject == "Tips" for address in mail.recipients) == sorted(clicked)
    assert len({mail.message["Message-ID"] for mail in sink.mails}) == len(sink.mails), "once each"
    states = shop.query("""
        select m.fate, array_agg(distinct s.state) from shop.mail m
        join marketing_automation.record r on r.party = m.customer::text
        join marketing_automation.message s on s.record_id = r.id
        join marketing_automation.activity a on a.id = s.activity_id and a.name = 'hello' group by 1""")
    assert dict(states) == {
        **dict.fromkeys((*STILL_TO_SEND, "sent", "clicked", "opened", "left by token", "clicked in the inbox"), ["sent"]),
        **dict.fromkeys(("unsubscribed", "blocked", "suppressed"), ["suppressed"]),
        "failed": ["failed"], "in_doubt": ["in_doubt"],
    }  # fmt: skip
    # What was in doubt stays so until somebody decides.
    sink.clear()
    shop.query("select marketing_automation.retry(id) from marketing_automation.message where state = 'in_doubt'")
    assert sink.wait_for(1)[0].recipients == [address(customer) for customer, fate in fates.items() if fate == "in_doubt"]


def test_links_of_mails_sent_before_still_work(shop, sink, proxy_port):
    click, leave = shop.query("select click, leave from shop.mail where fate = 'sent' order by customer")[0]
    event = "select count(*) from marketing_automation.event where kind = %s and record_id = (select r.id from shop.mail m join marketing_automation.record r on r.party = m.customer::text where m.click = %s)"
    proxy = Proxy(shop.tracking_url(), port=proxy_port).start()
    try:
        def get(path):
            return requests.get(proxy.base + path, allow_redirects=False, timeout=10)

        assert get("/readyz").text.startswith(f"ready, outdated: the extension is {shop.version()}, ")
        assert "marketing_tracking_outdated 1" in get("/metrics").text
        assert get(f"/c/{click}").headers["Location"] == START, "before"
        shop.update()
        assert get(f"/c/{click}").headers["Location"] == START, "and after, with the connections that it has"
        wait_until(lambda: shop.value(event, "email_clicked", click) == 2, what="both clicks to be applied")
        assert proxy.log.read_text().count("clicks are recorded meanwhile") == 1
        proxy.stop()
        proxy.start()
        assert get("/readyz").text == "ready\n"
        assert "marketing_tracking_outdated 0" in get("/metrics").text
        page = get(f"/u/{leave}")
        assert page.status_code == 200 and "<form" in page.text
        answer = requests.post(f"{proxy.base}/u/{leave}", data={"List-Unsubscribe": "One-Click"}, timeout=10)
        assert answer.status_code == 200
        wait_until(lambda: shop.value(event, "unsubscribed", click) == 1, what="the recipient to be unsubscribed")
    finally:
        proxy.stop()
