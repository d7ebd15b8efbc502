"""Faults of the server and of those who share it: what is under way is neither lost nor done twice, and what is wrong is told."""

import random
import threading
import time

import psycopg2
import pytest
from e2e.shop import TABLES, Shop, sending_to

from harness import Cluster, wait_until

STATE = "select state, last_error from marketing_automation.worker_status()"


def check(shop, sink, customers):
    """Every record went all the way, and each mail left once."""
    wait_until(lambda: not shop.value("select count(*) from marketing_automation_internal.outbox"), 60, what="all mails to leave")
    assert shop.query(
        "select r.state, r.outcome, count(*), count(distinct r.record_id) from marketing_automation.record_activity r group by 1, 2"
    ) == [("done", "mailed", customers, customers)]
    assert shop.query("select state, count(*) from marketing_automation.message group by 1") == [("sent", customers)]
    assert len(sink.mails) == customers == len({address for mail in sink.mails for address in mail.recipients})


def test_no_background_worker_slot_is_told_with_what_helps(sink):
    # One for the launcher, one for logical replication.
    cluster = Cluster(preload="marketing_automation", settings=sending_to(sink) | {"max_worker_processes": 2}).start()
    try:
        cluster.query("create database shop")
        shop = Shop(cluster, "shop")
        shop.psql(TABLES.format(database="shop", role=shop.marketer, tracking=shop.tracking))
        wait_until(lambda: "max_worker_processes" in (shop.query(STATE)[0][1] or ""), what="worker_status() to tell")
        status, hint = shop.query("select status, hint from marketing_automation.health() where name = 'worker'")[0]
        assert status == "error" and hint.startswith("alter system set max_worker_processes = 10;")
        shop.customers("Ada")
        shop.scenario()
        shop.tick()
        cluster.query("alter system set max_worker_processes = 10")
        cluster.restart()
        check(shop, sink, 1)
    finally:
        cluster.destroy()


def test_mails_leave_while_no_connection_is_left(sink):
    cluster = Cluster(
        preload="marketing_automation", settings=sending_to(sink) | {"max_connections": 8, "superuser_reserved_connections": 1, "max_wal_senders": 0}
    ).start()
    taken = []
    try:
        cluster.query("create database shop")
        shop = Shop(cluster, "shop")
        shop.psql(TABLES.format(database="shop", role=shop.marketer, tracking=shop.tracking))
        shop.customers("Ada")
        shop.scenario()
        shop.wait_for_worker()
        with pytest.raises(psycopg2.OperationalError, match="too many clients|reserved"):
            while True:
                taken.append(psycopg2.connect(host=str(cluster.directory), port=cluster.port, user="postgres", dbname="shop"))
                taken[-1].autocommit = True
        with taken[0].cursor() as session:
            session.execute("select * from marketing_automation.enroll()")
            session.execute("call marketing_automation.process_all_due()")
        sink.wait_for(1)
        for connection in taken:
            connection.close()
        check(shop, sink, 1)
    finally:
        cluster.destroy()


@pytest.mark.parametrize("setting", ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "transaction_read_only"])
def test_limits_of_the_caller_undo_what_he_did_and_no_more(shop, sink, setting):
    shop.crowd(20)
    shop.scenario()
    shop.query("select * from marketing_automation.enroll()")
    locker = shop.cluster.connect(shop.database)
    locker.autocommit = False
    caller = shop.cluster.connect(shop.database)
    caller.autocommit = False
    with locker.cursor() as other, caller.cursor() as session:
        if setting in ("statement_timeout", "lock_timeout"):
            # Which processing has to insert into.
            other.execute("lock table marketing_automation_internal.finished_activity in exclusive mode")
        session.execute(f"set {setting} = {dict(transaction_read_only='on').get(setting, 300)}")
        if setting == "lock_timeout":
            # It is the turn that ends, as if the expression had waited.
            session.execute("select marketing_automation.process_due(10)")
            assert session.fetchone() == (0,)
        elif setting == "idle_in_transaction_session_timeout":
            session.execute("select marketing_automation.process_due(10)")
            assert session.fetchone() == (10,)
            wait_until(lambda: not shop.value("select count(*) from pg_stat_activity where pid = %s", session.connection.info.backend_pid), what="the session to be ended")
        else:
            with pytest.raises((psycopg2.errors.QueryCanceled, psycopg2.errors.ReadOnlySqlTransaction)):
                session.execute("select marketing_automation.process_due(10)")
    locker.close()
    caller.close()
    assert shop.value("select count(*) from marketing_automation_internal.waiting_activity") == 20
    shop.tick()
    check(shop, sink, 20)


def test_a_database_that_is_renamed_at_work_goes_on(shop, sink, cluster):
    shop.crowd(30)
    shop.scenario()
    shop.query("select * from marketing_automation.enroll()")
    assert shop.value("select marketing_automation.process_due(10)") == 10
    renamed = shop.database[:50] + "_renamed"
    for old, new in ((shop.database, renamed), (renamed, shop.database)):
        cluster.query(f'alter database "{old}" allow_connections false')
        cluster.query("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", (old,))
        wait_until(lambda: not cluster.value("select count(*) from pg_stat_activity where datname = %s", (old,)), what="the sessions to end")
        cluster.query(f'alter database "{old}" rename to "{new}"')
        cluster.query(f'alter database "{new}" allow_connections true')
        wait_until(lambda: cluster.query(STATE, dbname=new)[0][0] == "idle", 60, what="the mailer to be back")
        cluster.query("select marketing_automation.process_due(10)", dbname=new)
    check(shop, sink, 30)


@pytest.mark.parametrize("change", ["rename", "retype", "drop"])
def test_a_relation_that_changes_in_mid_campaign_loses_no_record(shop, sink, change):
    shop.crowd(30)
    shop.scenario()
    shop.query("select * from marketing_automation.enroll()")
    assert shop.value("select marketing_automation.process_due(10)") == 10
    if change == "retype":
        shop.query("alter table shop.customer alter column id type text")
    else:
        shop.query("alter table shop.customer rename to former")
        shop.query("create table shop.customer as select * from shop.former")
        shop.query(f'grant select on shop.customer to "{shop.marketer}"')
    if change == "drop":
        shop.query("drop table shop.former cascade")
        assert shop.value("select marketing_automation.process_due(10)") == 0
        assert shop.value("select last_error from marketing_automation.scenario_status")
        assert shop.value("select count(*) from marketing_automation_internal.waiting_activity") == 20
        shop.query("update marketing_automation.model set relation = 'shop.customer' where name = 'customer'")
    shop.tick()
    check(shop, sink, 30)


def test_sessions_that_are_terminated_again_and_again_lose_and_double_nothing(shop, sink):
    shop.crowd(1500)
    shop.scenario()
    calls = ["select * from marketing_automation.enroll()", "select marketing_automation.process_due(20)", "select marketing_automation.apply_events(20)"]
    done = threading.Event()

    def work(call):
        while not done.is_set():
            try:
                connection = psycopg2.connect(
                    host=str(shop.cluster.directory), port=shop.cluster.port, user="postgres", dbname=shop.database, application_name="victim"
                )
                connection.autocommit = True
                with connection.cursor() as cursor:
                    for _ in range(20):
                        cursor.execute(call)
            except psycopg2.Error:
                continue
            finally:
                connection.close()

    workers = [threading.Thread(target=work, args=(call,)) for call in (*calls, calls[1])]
    for worker in workers:
        worker.start()
    killed = 0
    chance = random.Random(13)
    end = time.monotonic() + 30
    while killed < 60 and time.monotonic() < end:
        kind = chance.choice(["application_name = 'victim'"] * 3 + ["backend_type = 'marketing_automation mailer'"])
        killed += shop.value(
            f"select count(pg_terminate_backend(pid)) from (select pid from pg_stat_activity where datname = current_database() and {kind} "
            "order by random() limit 1) a"
        )
        time.sleep(chance.uniform(0.005, 0.05))
    done.set()
    for worker in workers:
        worker.join()
    assert killed == 60
    shop.tick()
    wait_until(lambda: not shop.value("select count(*) from marketing_automation_internal.outbox"), 60, what="all mails to leave")
    assert shop.query("select state, count(*) from marketing_automation.message group by 1") == [("sent", 1500)]
    assert shop.query("select count(*), count(distinct record_id) from marketing_automation.record_activity where outcome = 'mailed'") == [(1500, 1500)]
    # Whose reply the mailer could not record is sent again under the same Message-ID.
    assert len({mail.message["Message-ID"] for mail in sink.mails}) == 1500 == len({address for mail in sink.mails for address in mail.recipients})


def test_an_old_snapshot_held_all_the_while_changes_nothing(shop, sink):
    old = shop.connect(autocommit=False, options="-c default_transaction_isolation=repeatable\\ read")
    old.cursor().execute("select count(*) from marketing_automation.message")
    shop.crowd(600)
    shop.scenario()
    shop.query("select * from marketing_automation.enroll()")
    for _ in range(6):
        shop.query("select marketing_automation.process_due(100)")
    check(shop, sink, 600)
    with old.cursor() as cursor:
        cursor.execute("select (select count(*) from marketing_automation.message), (select count(*) from marketing_automation.record)")
        assert cursor.fetchone() == (0, 0)
    old.rollback()


def test_a_relation_that_somebody_locks_holds_back_its_own_scenario_alone(shop, sink):
    shop.crowd(20)
    shop.query("create table shop.partner as select id, 'p' || id as name, 'p' || id || '@example.org' as email from shop.customer")
    shop.query(f'grant select on shop.partner to "{shop.marketer}"')
    shop.query(
        "select marketing_automation.register_model('partner', 'shop.partner', key => 'self.id', email => 'self.email')", user=shop.marketer
    )
    shop.scenario()
    shop.query("select marketing_automation.create_scenario('partners', model => 'partner')", user=shop.marketer)
    shop.activity("hi", scenario="partners", body="<p>Hi</p>", subject="Hi")
    shop.query("select marketing_automation.run('partners')", user=shop.marketer)
    shop.query("select * from marketing_automation.enroll()")
    assert shop.value("select marketing_automation.process_due(10)") == 10
    locker = shop.connect(autocommit=False)
    locker.cursor().execute("lock table shop.customer in access exclusive mode")
    began = time.monotonic()
    with shop.cluster.having(marketing_automation__expression_timeout="2s"):
        shop.tick()
    assert time.monotonic() - began < 120
    wait_until(lambda: len([mail for mail in sink.mails if mail.message["Subject"] == "Hi"]) == 20, what="the mails of the other scenario")
    assert len(sink.mails) < 40
    locker.rollback()
    wait_until(lambda: shop.tick() or not shop.value("select count(*) from marketing_automation_internal.waiting_activity"), 90,
               interval=1, what="the rest to be done")  # fmt: skip
    wait_until(lambda: len(sink.mails) == 40, what="its mails")
    assert len({address for mail in sink.mails for address in mail.recipients}) == 40


def test_two_databases_send_side_by_side_and_one_outlives_the_other(shop, sink, cluster):
    other = Shop.create(cluster, "the_other_of_two")
    try:
        for each, prefix in ((shop, "a"), (other, "b")):
            each.query(
                "insert into shop.customer (id, name, email) select n, %s || n, %s || n || '@example.org' from generate_series(1, 200) n",
                prefix, prefix,
            )  # fmt: skip
            each.scenario()
            each.query("select * from marketing_automation.enroll()")
        sink.delay(0.005)
        for _ in range(4):
            for each in (shop, other):
                each.query("select marketing_automation.process_due(50)")
        sink.wait_for(60)
        other.drop()
        wait_until(lambda: not shop.value("select count(*) from marketing_automation_internal.outbox"), 60, what="all mails of one to leave")
        addresses = [address for mail in sink.mails for address in mail.recipients]
        assert sorted(address for address in addresses if address.startswith("a")) == sorted(f"a{n}@example.org" for n in range(1, 201))
        of_other = [address for address in addresses if address.startswith("b")]
        assert 0 < len(of_other) == len(set(of_other))
    finally:
        other.drop()
