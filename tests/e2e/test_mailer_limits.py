"""Limits hold over the worker and all mailers."""

import time
from collections import Counter

from harness import wait_until


def test_limits_of_domains_and_servers_hold_over_worker_and_mailers(shop, sink, start_mailer):
    shop.query("insert into marketing_automation.smtp_server (name, url, per_second) values ('main', %s, 40)", sink.url)
    shop.query("insert into marketing_automation.domain_limit values ('slow.example', 5)")
    shop.crowd(400)
    shop.query("update shop.customer set email = 'c' || id || '@slow.example' where id <= 40")
    shop.scenario()
    start_mailer(shop)
    start_mailer(shop, "mailer-2")
    shop.wait_for_worker()
    shop.query("select pg_reload_conf()")
    started = time.time()
    shop.tick()
    wait_until(lambda: Counter(shop.messages().values()) == {"sent": 400}, 60, what="all to be sent")
    took = max(mail.at for mail in sink.mails) - started
    # 400 at 40 a second; in the first second each of the three may have had a second's worth.
    assert took > (400 - 3 * 40) / 40, took
    slow = sorted(mail.at for mail in sink.mails if mail.recipients[0].endswith("@slow.example"))
    assert slow[-1] - started > (40 - 5 - 1) / 5, slow[-1] - started
    assert set(Counter(mail.recipients[0] for mail in sink.mails).values()) == {1}


def test_all_that_send_have_together_no_more_connections_than_a_server_allows(shop, sink, cluster, start_mailer):
    with cluster.having(marketing_automation__smtp_connections=2):
        shop.wait_for_worker()
        mailers = [start_mailer(shop, f"mailer-{number}") for number in range(3)]
        # Who comes waits until the others know. None has anything to send before.
        wait_until(lambda: shop.value("select count(*) = 3 and bool_and(since < now() - interval '5 seconds') from marketing_automation.mailer_status()"), what="all to be at home")
        # Nor has anybody else: those of other databases close after ten seconds.
        wait_until(lambda: sink.open() == 0, 60, what="the connections of other tests to be closed")
        sink.clear()
        sink.delay(0.05)
        shop.crowd(200)
        shop.scenario()
        shop.tick()
        sink.wait_for(60, 60)
        # While nobody comes or goes.
        assert sink.most_open <= 2
        # Those without a connection take over when others go.
        mailers[0].terminate()
        shop.end_worker(shop.worker())
        wait_until(lambda: Counter(shop.messages().values()) == {"sent": 200}, 120, what="all to be sent")
        assert set(Counter(mail.recipients[0] for mail in sink.mails).values()) == {1}


def test_who_has_no_connection_takes_over_when_the_one_that_had_it_dies(bare_shop, sink, start_mailer):
    bare_shop.setting("smtp_connections", "1")
    first = start_mailer(bare_shop, "first")
    start_mailer(bare_shop, "second")
    bare_shop.crowd(100)
    sink.delay(0.05)
    bare_shop.scenario()
    bare_shop.tick()
    sink.wait_for(5)
    first.kill()
    sink.delay(0)
    wait_until(lambda: Counter(bare_shop.messages().values()) == {"sent": 100}, 90, what="the second to send the rest")


def test_a_worker_that_lacks_a_setting_takes_no_connections_from_mailers(shop, sink, start_mailer):
    shop.wait_for_worker()
    shop.mailer_url()
    # The worker of this database has no server; the role of the mailer has.
    shop.query(f'alter role "{shop.mailing}" in database "{shop.database}" set marketing_automation.smtp_url = \'{sink.url}\'')
    shop.setting("smtp_url", "")
    shop.query("select pg_reload_conf()")
    wait_until(lambda: shop.value("select state from marketing_automation.worker_status() where database = current_database()") == "unconfigured", what="the worker to have no server")
    start_mailer(shop)
    share = "select k.senders, k.place from marketing_automation_internal.mailer m cross join lateral marketing_automation_internal.mailer_share(m.id) k"
    wait_until(lambda: shop.query(share) == [(1, 0)], what="all connections to be the mailer's")
    shop.query(f'alter database "{shop.database}" reset marketing_automation.smtp_url')
    shop.query("select pg_reload_conf()")
    wait_until(lambda: shop.query(share) == [(2, 1)], what="the worker to have its share")
