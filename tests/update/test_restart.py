"""The server dies with mails in flight, comes back with a newer library, and goes on after the update."""

from collections import Counter

import pytest

from harness import Cluster, wait_until
from release import history
from update.shop import Shop, script

# The number under which the current SQL is the older one: the library that sends before the crash must understand it.
OLDER = "0.0.9"
MAILS = 2000
CAMPAIGN = """
create schema shop;
create table shop.customer (id integer primary key, email text not null);
insert into shop.customer select n, 'c' || n || '@example.com' from generate_series(1, %s) n;
select marketing_automation.register_model('customer', 'shop.customer', key => 'self.id', party => 'self.id', email => 'self.email');
select marketing_automation.create_scenario('welcome', model => 'customer');
select marketing_automation.add_activity('welcome', 'hello', subject => 'Hello {{ record.id }}', body => '<p>…</p>');
select marketing_automation.run('welcome');
select marketing_automation.enroll();
"""
STATES = "select email, state from marketing_automation.message"
UNDER_WAY = "select count(*) from marketing_automation_internal.outbox where state <> 'in_doubt'"


@pytest.fixture
def dying(sink, database):
    """A shop on a server of its own."""
    cluster = Cluster(settings={
        "marketing_automation.email_from": "Shop <shop@example.org>",
        "marketing_automation.automation_base": "http://127.0.0.1:1",
        "marketing_automation.smtp_url": sink.url,
    }).start()  # fmt: skip
    cluster.query(f'create database "{database}"')
    shop = Shop(cluster, database)
    shop.psql("create extension marketing_automation")
    shop.psql(CAMPAIGN % MAILS)
    yield shop
    cluster.destroy()


def kill_in_the_middle(shop, sink):
    """Kills the server while mails are handed over, some of them taken and not yet answered; the number of those taken."""
    sink.delay(0.02)
    shop.query("call marketing_automation.process_all_due()")
    sink.wait_for(MAILS // 4)
    sink.hang("data")
    wait_until(lambda: sink.hanging > 2, what="mails without an answer")
    # So that the next start has no mailer: another library, as ALTER SYSTEM cannot write that there is none.
    shop.cluster.set(shared_preload_libraries="plpgsql")
    shop.cluster.kill()
    sink.behave()
    return len(sink.mails)


def call_it_older(shop):
    """While no mailer runs, which the next start has again."""
    shop.cluster.start()
    shop.query("update pg_catalog.pg_extension set extversion = %s where extname = 'marketing_automation'", OLDER)
    shop.cluster.set(shared_preload_libraries=None)
    shop.cluster.restart()


@pytest.mark.parametrize("in_doubt", ["hold", "resend"])
def test_mails_in_flight_when_the_server_died_are_settled_after_the_upgrade(dying, sink, tmp_path, in_doubt):
    shop, now = dying, history.current_version()
    shop.cluster.set(marketing_automation__in_doubt=in_doubt)
    wait_until(lambda: shop.state() == "idle", what="the mailer")
    taken = kill_in_the_middle(shop, sink)
    call_it_older(shop)

    wait_until(lambda: shop.state() == "outdated", what="the mailer to see the older version")
    assert shop.error() == f"nothing is sent: the extension is {OLDER}, this library {now}: run ALTER EXTENSION marketing_automation UPDATE"
    left = shop.query("select id, state, attempts from marketing_automation_internal.outbox order by id")
    states = Counter(state for _, state, _ in left)
    assert states["sending"] and states["queued"], "in the middle of it"
    for _ in range(5):
        shop.query("select marketing_automation_internal.notify_mailer(), pg_sleep(0.2)")
    assert shop.query("select id, state, attempts from marketing_automation_internal.outbox order by id") == left
    assert len(sink.mails) == taken and shop.state() == "outdated"

    with script(OLDER, now, tmp_path):
        shop.update()
    wait_until(lambda: not shop.value(UNDER_WAY), 60, what="all to end")
    assert shop.version() == now and shop.error() is None
    arrived = Counter(mail.recipients[0] for mail in sink.mails)
    ids = {(mail.recipients[0], mail.message["Message-ID"]) for mail in sink.mails}
    assert len(ids) == len(arrived), "a mail that came twice has the same id"
    ended = dict(shop.query(STATES))
    assert len(ended) == MAILS and all(arrived[email] for email, state in ended.items() if state == "sent")
    twice = {email for email, times in arrived.items() if times > 1}
    if in_doubt == "hold":
        assert not twice and Counter(ended.values())["in_doubt"] == states["sending"]
    else:
        assert set(ended.values()) == {"sent"} and set(arrived) == ended.keys()
        assert twice and len(twice) <= states["sending"] and max(arrived.values()) == 2
