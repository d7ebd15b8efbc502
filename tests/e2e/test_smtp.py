"""SMTP servers that refuse, delay, hang or vanish."""

import time

from harness import wait_until

STATUS = "select state, last_error from marketing_automation.worker_status()"


def wait_for_pause(shop, error):
    """Waits until the worker says that it pauses, and why."""
    wait_until(
        lambda: shop.query(f"select true from ({STATUS}) s where state = 'paused' and last_error like %s", f"%{error}%"),
        what=f"a pause for {error}",
    )


def wait_for_end(shop, timeout=60):
    """Waits until all mails are sent; the worker then has nothing to complain about."""
    wait_until(lambda: set(shop.messages().values()) == {"sent"}, timeout, what="all to be sent")
    wait_until(lambda: shop.query(STATUS) == [("idle", None)], what="the worker to be content")


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
    assert shop.messages() == {"ada@example.org": "deferred"}
    sink.behave()
    shop.retry_now()
    attempts, _ = shop.wait_for_message("ada@example.org", "sent", 60)
    assert attempts == 2 and len(sink.mails) == 1
    tried = shop.query("select attempt, state, code, status, server from marketing_automation.delivery_attempt order by attempt")
    server = f"127.0.0.1:{sink.port}"
    assert tried == [(1, "deferred", 450, "4.2.1", server), (2, "sent", 250, "2.0.0", server)]


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
    wait_for_end(shop)
    assert len(sink.mails) == 20


def test_a_refusal_of_the_sender_is_the_servers_trouble_and_costs_no_mail(shop, sink):
    shop.crowd(30)
    sink.answer_senders("530 5.7.0 authentication required")
    shop.scenario()
    shop.tick()
    wait_for_pause(shop, "530")
    assert shop.query("select distinct state, attempts from marketing_automation.message where state <> 'sending'") == [("queued", 0)]
    sink.behave()
    wait_for_end(shop)


def test_a_server_that_turns_us_away_is_left_alone(shop, sink):
    shop.crowd(500)
    sink.greet("421 4.7.0 too many connections")
    before = sink.connections
    shop.scenario()
    shop.tick()
    wait_for_pause(shop, "421")
    time.sleep(6)
    # Eight at once, and then one after 1, 2 and 4 seconds.
    assert sink.connections - before <= 12
    sink.behave()
    wait_for_end(shop, 90)
    assert len(sink.mails) == 500


def test_the_same_refusal_again_and_again_does_not_cost_the_campaign(shop, sink):
    shop.crowd(200)
    sink.answer("*", "550 5.7.1 blocked, see https://blocklist.example")
    shop.scenario()
    shop.tick()
    wait_for_pause(shop, "in a row")
    tried = "select count(*) from marketing_automation.message where state = 'deferred'"
    wait_until(lambda: 20 <= shop.value(tried) <= 40, what="those that were refused to wait")
    sink.behave()
    wait_until(lambda: shop.value("select count(*) from marketing_automation.message where state in ('queued', 'sending')") == 0, 60,
               what="the others to be sent")  # fmt: skip
    # Before their time, so that the test need not wait for it.
    shop.query("select marketing_automation.retry(id) from marketing_automation.message where state = 'deferred'")
    wait_for_end(shop)
    assert shop.value("select count(*) from marketing_automation.suppression") == 0


def test_a_refused_sender_holds_up_no_other_sender(shop, sink):
    shop.crowd(20)
    sink.answer_senders("550 5.7.1 not owned by user", "bad@*")
    shop.scenario("bad", sender="bad@shop.example")
    shop.scenario("good", sender="good@shop.example")
    shop.tick()
    sent = "select count(*) from marketing_automation.message where state = 'sent'"
    wait_until(lambda: shop.value(sent) == 20, what="the good sender's mails to be sent")
    error = "%message % from bad@shop.example: MAIL FROM: 550 5.7.1%"
    wait_until(lambda: shop.query(f"select true from ({STATUS}) s where last_error like %s", error), what="mail and sender to be named")
    tried = shop.query("select attempts from marketing_automation.message where state = 'deferred'")
    assert tried and all(attempts == 1 for attempts, in tried)
    assert shop.value("select count(*) from marketing_automation.message where state = 'failed'") == 0


def test_a_connection_that_hangs_holds_up_no_other_mail(shop, sink):
    shop.customers("Ada")
    sink.hang("rcpt", "ada@*")
    shop.scenario()
    shop.tick()
    wait_until(lambda: shop.messages() == {"ada@example.org": "sending"}, what="the first mail to hang")
    shop.customers("Bob")
    shop.tick()
    sink.wait_for(1, timeout=15, recipient="bob@example.org")


def test_only_what_the_server_may_have_is_in_doubt(shop, sink, cluster):
    shop.crowd(100)
    with cluster.having(marketing_automation__in_doubt="hold"):
        sink.hang("data")
        shop.scenario()
        shop.tick()
        sink.wait_for(8)
        pid = shop.worker()
        shop.end_worker(pid)
        sink.behave()
        wait_until(lambda: set(shop.messages().values()) == {"sent", "in_doubt"}, 60, what="the others to be sent")
        assert list(shop.messages().values()).count("in_doubt") == 8


def test_a_reply_that_never_came_leads_to_a_second_try_under_the_same_id(shop, sink):
    shop.customers("Ada")
    sink.drop("data")
    shop.scenario()
    shop.tick()
    sink.wait_for(1)
    sink.behave()
    shop.wait_for_message("ada@example.org", "deferred")
    shop.retry_now()
    sink.wait_for(2)
    assert sink.mails[0].message["Message-ID"] == sink.mails[1].message["Message-ID"]
    shop.wait_for_message("ada@example.org", "sent")
    assert shop.query("select attempt, state from marketing_automation.delivery_attempt order by attempt") == [(1, "in_doubt"), (2, "sent")]


def test_a_server_stops_at_once_while_its_smtp_server_hangs(shop, sink, cluster):
    shop.customers(*(f"c{number}" for number in range(5)))
    sink.hang("data")
    shop.scenario()
    shop.tick()
    sink.wait_for(1)
    started = time.monotonic()
    cluster.stop("fast")
    # The server's replies are waited for ten times as long.
    assert time.monotonic() - started < 30
    sink.behave()
    cluster.start()
    wait_until(lambda: set(shop.messages().values()) == {"sent"}, 90, what="all to be sent after the restart")


def test_a_restart_waits_for_replies_that_are_on_their_way(shop, sink, cluster):
    shop.customers("Ada")
    sink.delay(1.5)
    shop.scenario()
    shop.tick()
    sink.wait_for(1)
    cluster.stop("fast")
    cluster.start()
    assert shop.query("select state, attempts from marketing_automation.message") == [("sent", 1)]
    assert len(sink.mails) == 1


def test_a_crash_loses_no_mail_and_repeats_none_that_was_recorded(shop, sink, cluster):
    shop.crowd(2000)
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
