"""SMTP servers that refuse, delay, hang or vanish."""

import time

from harness import wait_until


def test_a_permanent_refusal_is_final(shop, sink):
    shop.customers("Ada", "Bob")
    sink.answer("bob@*", "550 5.1.1 no such user")
    shop.scenario(run=False)
    shop.activity("next", parent="hello")
    shop.query("select marketing_automation.run('welcome')")
    shop.tick()
    attempts, reply = shop.wait_for_message("bob@example.org", "failed")
    assert attempts == 1 and "550" in reply and "no such user" in reply
    sink.wait_for(1, recipient="ada@example.org")
    shop.wait_for_message("ada@example.org", "sent")
    shop.tick()
    sink.wait_for(2, recipient="ada@example.org")
    assert sink.to("bob@example.org") == []  # a mail that failed for good starts no child


def test_a_transient_refusal_is_tried_again(shop, sink):
    shop.customers("Ada")
    sink.answer("ada@*", "450 4.2.1 try again later")
    shop.scenario()
    shop.tick()
    wait_until(
        lambda: shop.value("select attempts from marketing_automation.message where smtp_reply like '%%450%%'"),
        what="the refusal to be noted",
    )
    assert shop.messages() == {"ada@example.org": "queued"}
    sink.behave()
    shop.retry_now()
    attempts, _ = shop.wait_for_message("ada@example.org", "sent", 60)
    assert attempts == 2 and len(sink.mails) == 1


def test_mails_wait_for_a_server_that_is_down(shop, sink):
    shop.customers(*(f"c{number}" for number in range(20)))
    sink.refuse()
    shop.scenario()
    shop.tick()
    wait_until(
        lambda: shop.value("select last_error from marketing_automation.worker_status() where database = current_database()"),
        what="the worker to tell its error",
    )
    assert sink.mails == []
    sink.start()
    sink.wait_for(20, timeout=60)
    wait_until(lambda: set(shop.messages().values()) == {"sent"}, what="all to be sent")
    assert len(sink.mails) == 20


def test_a_reply_that_never_came_leads_to_a_second_try_under_the_same_id(shop, sink):
    shop.customers("Ada")
    sink.drop("data")
    shop.scenario()
    shop.tick()
    sink.wait_for(1)
    sink.behave()
    wait_until(lambda: shop.value("select attempts from marketing_automation.message where state = 'queued'"), what="the loss to be noted")
    shop.retry_now()
    sink.wait_for(2)
    assert sink.mails[0].message["Message-ID"] == sink.mails[1].message["Message-ID"]
    shop.wait_for_message("ada@example.org", "sent")


def test_a_server_stops_at_once_while_its_smtp_server_hangs(shop, sink, cluster):
    shop.customers(*(f"c{number}" for number in range(5)))
    sink.hang("data")
    shop.scenario()
    shop.tick()
    sink.wait_for(1)
    started = time.monotonic()
    cluster.stop("fast")
    assert time.monotonic() - started < 5
    sink.behave()
    cluster.start()
    wait_until(lambda: set(shop.messages().values()) == {"sent"}, 90, what="all to be sent after the restart")


def test_a_crash_loses_no_mail_and_repeats_none_that_was_recorded(shop, sink, cluster):
    shop.query("insert into shop.customer (id, name, email) select n, 'c' || n, 'c' || n || '@example.org' from generate_series(1, 2000) n")
    shop.scenario()
    shop.tick()
    sink.wait_for(200)
    recorded = {email for email, state in shop.messages().items() if state == "sent"}
    assert recorded
    cluster.kill()
    cluster.start()
    wait_until(lambda: set(shop.messages().values()) == {"sent"}, 120, what="all to be sent after the crash")
    counts = {}
    for mail in sink.mails:
        counts.setdefault(mail.recipients[0], []).append(mail.message["Message-ID"])
    assert len(counts) == 2000
    assert all(len(counts[email]) == 1 for email in recorded)
    assert all(len(set(ids)) == 1 for ids in counts.values())
