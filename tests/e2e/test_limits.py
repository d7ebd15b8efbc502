"""How fast mail goes: limits of recipient domains, and the pause."""

import time

from harness import wait_until

STATUS = "select state, last_error from marketing_automation.worker_status()"


def crowd(shop, domain, size):
    """Customers with addresses of one domain."""
    shop.query(
        "insert into shop.customer (id, name, email) "
        "select s.first + n, 'c' || n, 'c' || n || '@' || %s from (select coalesce(max(id), 0) as first from shop.customer) s, generate_series(1, %s) n",
        domain, size,
    )  # fmt: skip


def of_domain(sink, domain):
    """The mails to that domain, in the order in which they came."""
    return [mail for mail in sink.mails if mail.recipients[0].endswith("@" + domain)]


def test_a_limited_domain_gets_its_rate_over_a_restart_and_holds_nobody_up(shop, sink):
    rate, burst = 2, 20
    crowd(shop, "gmail.example", 40)
    crowd(shop, "other.example", 40)
    shop.query("insert into marketing_automation.domain_limit (domain, per_second, burst) values ('Gmail.example', %s, %s)", rate, burst)
    shop.scenario()
    started = time.time()
    shop.tick()
    wait_until(lambda: len(of_domain(sink, "other.example")) == 40, what="the mails without a limit")
    wait_until(lambda: len(of_domain(sink, "gmail.example")) >= burst, what="the burst")
    assert "queued" in shop.messages().values()
    shop.query("select pg_terminate_backend(%s)", shop.wait_for_worker())
    wait_until(lambda: set(shop.messages().values()) == {"sent"}, 60, what="all to be sent")
    limited = of_domain(sink, "gmail.example")
    assert len(limited) == 40
    for number, mail in enumerate(limited, 1):
        assert number <= burst + rate * (mail.at - started) + 1


def test_a_limit_counts_for_mails_that_are_queued_already(shop, sink):
    crowd(shop, "gmail.example", 30)
    crowd(shop, "other.example", 1)
    shop.query("select marketing_automation.pause('until the limit is known')")
    shop.scenario()
    shop.tick()
    wait_until(lambda: shop.query(STATUS)[0][0] == "paused", what="the pause to show")
    assert shop.query(STATUS)[0][1].endswith(": until the limit is known")
    shop.query("insert into marketing_automation.domain_limit values ('gmail.example', 0)")
    shop.query("select marketing_automation.resume()")
    sink.wait_for(1, recipient="c1@other.example")
    assert of_domain(sink, "gmail.example") == []
    wait_until(lambda: shop.query(STATUS) == [("idle", None)], what="the pause to be over")
    shop.query("delete from marketing_automation.domain_limit")
    shop.query("select marketing_automation_internal.notify_mailer()")
    sink.wait_for(31)


def test_a_pause_stops_a_campaign_at_once(shop, sink):
    crowd(shop, "other.example", 300)
    sink.delay(0.1)
    shop.scenario()
    shop.tick()
    sink.wait_for(5)
    shop.query("select marketing_automation.pause()")
    wait_until(lambda: "sending" not in shop.messages().values(), what="what was claimed to leave")
    sent = len(sink.mails)
    assert sent < 300
    wait_until(lambda: shop.query(STATUS)[0][0] == "paused", what="the pause to show")
    assert len(sink.mails) == sent
    sink.behave()
    shop.query("select marketing_automation.resume()")
    sink.wait_for(300)
