"""What an administrator does to a database while marketing-mailer is at work in it: nothing leaves twice or after it, and it goes on."""

import contextlib
import time
from collections import Counter

import psycopg2
import pytest
from e2e.shop import TABLES, Shop, sending_to

from harness import Cluster, wait_until

SIZE = 60


def sent_once(shop, sink, size):
    """Each of the crowd has one mail, and the database says so."""
    wait_until(lambda: Counter(shop.messages().values()) == {"sent": size}, 90, what="all to be recorded")
    assert Counter(mail.recipients[0] for mail in sink.mails) == {f"c{number}@example.org": 1 for number in range(1, size + 1)}


def test_time_limits_of_its_role_do_not_stop_a_mailer(bare_shop, sink, start_mailer):
    bare_shop.mailer_url()
    for setting, value in (
        ("statement_timeout", "20ms"), ("lock_timeout", "1ms"), ("idle_in_transaction_session_timeout", "1ms"), ("idle_session_timeout", "100ms"),
        ("default_transaction_isolation", "serializable"), ("search_path", "nowhere"),
    ):  # fmt: skip
        bare_shop.cluster.query(f'alter role "{bare_shop.mailing}" set {setting} = %s', (value,))
    if bare_shop.value("select true from pg_settings where name = 'transaction_timeout'"):
        bare_shop.cluster.query(f'alter role "{bare_shop.mailing}" set transaction_timeout = \'300ms\'')
    bare_shop.crowd(SIZE)
    bare_shop.scenario()
    mailer = start_mailer(bare_shop)
    session = "select array_agg(pid) from pg_stat_activity where usename = %s"
    before = bare_shop.value(session, bare_shop.mailing)
    # A claim takes longer than any of them.
    connection = bare_shop.connect(autocommit=False)
    connection.cursor().execute("lock table marketing_automation_internal.outbox in access exclusive mode")
    wait_until(bare_shop.is_blocked, what="the mailer to wait")
    time.sleep(0.7)
    connection.rollback()
    bare_shop.tick()
    sent_once(bare_shop, sink, SIZE)
    assert mailer.process.poll() is None and bare_shop.value(session, bare_shop.mailing) == before


def test_a_mailer_waits_for_a_connection_while_none_is_left(sink, start_mailer):
    cluster = Cluster(preload="", settings=sending_to(sink) | {"max_connections": 8, "superuser_reserved_connections": 3, "max_wal_senders": 0}).start()
    taken = []

    def take_all():
        """All that are there for roles that are no superuser's; the ones that end meanwhile too."""
        with contextlib.suppress(psycopg2.OperationalError):
            while True:
                taken.append(cluster.connect(shop.database, user=shop.marketer))

    try:
        cluster.query("create database shop")
        shop = Shop(cluster, "shop")
        shop.psql(TABLES.format(database="shop", role=shop.marketer, tracking=shop.tracking))
        shop.crowd(SIZE)
        shop.scenario()
        shop.mailer_url()
        take_all()
        mailer = start_mailer(shop, wait=False)
        wait_until(lambda: "too many" in mailer.said() or "reserved" in mailer.said() or "remaining" in mailer.said(), what="the mailer to say why")
        shop.tick()
        assert mailer.process.poll() is None and sink.mails == []
        taken.pop().close()
        sink.wait_for(10)
        # It loses its session, and somebody else is faster.
        sink.delay(0.02)
        shop.query("select pg_terminate_backend(pid) from pg_stat_activity where usename = %s", shop.mailing)
        take_all()
        for connection in taken:
            connection.close()
        sent_once(shop, sink, SIZE)
        assert mailer.process.poll() is None
    finally:
        cluster.destroy()


def test_a_mailer_of_a_database_that_is_renamed_goes_on_when_it_has_its_name_again(bare_shop, sink, start_mailer):
    cluster, database = bare_shop.cluster, bare_shop.database
    renamed = database[:50] + "_renamed"
    bare_shop.crowd(SIZE)
    bare_shop.scenario()
    bare_shop.tick()
    sink.delay(0.05)
    mailer = start_mailer(bare_shop)
    sink.wait_for(10)
    for old, new in ((database, renamed), (renamed, database)):
        cluster.query(f'alter database "{old}" allow_connections false')
        cluster.query("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", (old,))
        wait_until(lambda old=old: not cluster.value("select count(*) from pg_stat_activity where datname = %s", (old,)), what="the sessions to end")
        cluster.query(f'alter database "{old}" rename to "{new}"')
        cluster.query(f'alter database "{new}" allow_connections true')
    sink.delay(0)
    sent_once(bare_shop, sink, SIZE)
    assert mailer.process.poll() is None


@pytest.mark.parametrize("how", ["extension", "database"])
def test_nothing_leaves_of_what_was_dropped_and_the_mailer_waits(bare_shop, sink, start_mailer, how):
    cluster, database = bare_shop.cluster, bare_shop.database
    bare_shop.crowd(2000)
    bare_shop.scenario()
    bare_shop.tick()
    sink.delay(0.1)
    mailer = start_mailer(bare_shop)
    sink.wait_for(10)
    if how == "extension":
        bare_shop.query("drop extension marketing_automation cascade")
    else:
        cluster.query(f'drop database "{database}" with (force)')
    dropped = time.time()
    # A claim is good for a second, and each connection may have been in the middle of a mail.
    wait_until(lambda: time.time() > dropped + 3, what="the last claims to end")
    late = [mail for mail in sink.mails if mail.at > dropped + 2]
    assert len(late) == 0, [mail.at - dropped for mail in late]
    assert len(sink.mails) < 2000
    assert mailer.process.poll() is None
    wait_until(lambda: mailer.ready_or_why() != "ok", what="it to say that it cannot send")
    if how == "extension":
        bare_shop.query("create extension marketing_automation")
    else:
        bare_shop.cluster.create_database(database)
    bare_shop.query("select marketing_automation.grant_access(%s, 'mailer')", f'"{bare_shop.mailing}"')
    wait_until(lambda: mailer.ready_or_why() == "ok", 60, what="it to be at work in the new one")
    assert mailer.terminate() == 0
