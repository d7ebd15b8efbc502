"""A run of enroll_all() reads no row where nothing was written, and misses nothing that was committed for ten seconds."""

import os
import random
import signal
import threading
import time

import psycopg2
import pytest

from harness import Cluster, wait_until

COUNTED = 10.5  # seconds after a commit, in which PostgreSQL counts it


@pytest.fixture
def campaign(shop):
    shop.customers("Ada")
    shop.scenario(action=None, subject=None, body=None)
    settle(shop)
    return shop


def is_read(shop, name="welcome"):
    """Whether the last run has read rows."""
    return shop.value(
        "select s.last_scanned_at = s.last_enrolled_at from marketing_automation.scenario_status s "
        "where s.scenario_id = marketing_automation.scenario_id(%s)", name,
    )  # fmt: skip


def records(shop):
    return {key for (key,) in shop.query("select key from marketing_automation.record")}


def settle(shop):
    def reads_nothing():
        enroll_all(shop)
        return not is_read(shop)

    wait_until(reads_nothing, timeout=30, interval=0.5, what="a run that reads nothing")


def enroll_all(shop):
    shop.query("call marketing_automation.enroll_all()")


def add(cursor, key):
    cursor.execute("insert into shop.customer (id, name, email) values (%s, %s, %s)", (key, f"n{key}", f"n{key}@example.org"))


def test_what_another_session_wrote_last_is_found_ten_seconds_later(campaign):
    writer = campaign.connect().cursor()
    # The first is counted at once, the second, in the same second, is not.
    add(writer, 10)
    enroll_all(campaign)
    add(writer, 11)
    time.sleep(COUNTED)
    enroll_all(campaign)
    assert records(campaign) == {"1", "10", "11"}
    settle(campaign)
    # Who asks for it has it at once.
    add(writer, 12)
    enroll_all(campaign)
    add(writer, 13)
    campaign.query("select * from marketing_automation.enroll()")
    assert records(campaign) == {"1", "10", "11", "12", "13"}


def test_a_long_transaction_hides_nothing_that_its_session_committed_before(campaign):
    connection = campaign.connect()
    writer = connection.cursor()
    add(writer, 10)
    enroll_all(campaign)
    add(writer, 11)
    writer.execute("begin")
    writer.execute("select 1")
    time.sleep(COUNTED)
    enroll_all(campaign)
    assert records(campaign) == {"1", "10", "11"}
    # It has been read since this transaction began.
    enroll_all(campaign)
    assert not is_read(campaign)
    connection.close()


def test_a_procedure_that_commits_hides_nothing(campaign):
    campaign.psql("""create procedure shop.import() language plpgsql as $$
        begin
            for key in 10..40 loop
                insert into shop.customer (id, name, email) values (key, 'n', 'n' || key || '@example.org');
                commit;
                perform pg_sleep(0.5);
            end loop;
        end $$""")
    thread = threading.Thread(target=lambda: campaign.psql("call shop.import()"))
    thread.start()
    try:
        wait_until(lambda: campaign.value("select count(*) from shop.customer") > 5, what="rows of the procedure")
        before = {str(key) for (key,) in campaign.query("select id from shop.customer")}
        enroll_all(campaign)
        assert before <= records(campaign)
        assert thread.is_alive()
    finally:
        thread.join()


def test_what_a_transaction_would_have_entered_enters_when_it_is_undone(campaign):
    campaign.customers("Ben")
    holder = campaign.connect(autocommit=False)
    holder.cursor().execute("select marketing_automation.enroll_record('welcome', '2')")
    enroll_all(campaign)
    assert records(campaign) == {"1"}
    enroll_all(campaign)
    holder.rollback()
    holder.close()
    enroll_all(campaign)
    assert records(campaign) == {"1", "2"}


def test_after_a_crash_or_a_restart_rows_are_read():
    cluster = Cluster(preload="marketing_automation").start()
    try:
        cluster.query("create database shop")
        cluster.psql("""create extension marketing_automation; create table customer (id integer primary key);
            select marketing_automation.register_model('customer', 'customer', key => 'self.id');
            select marketing_automation.create_scenario('welcome', 'customer', 'true');
            select marketing_automation.add_activity('welcome', 'a', action => null); select marketing_automation.run('welcome')""", dbname="shop")  # fmt: skip

        class Shop:
            psql = staticmethod(lambda sql: cluster.psql(sql, dbname="shop"))
            value = staticmethod(lambda sql, *arguments: cluster.value(sql, arguments or None, dbname="shop"))
            query = staticmethod(lambda sql, *arguments: cluster.query(sql, arguments or None, dbname="shop"))

        settle(Shop)
        for mode in ("fast", "immediate"):
            cluster.restart(mode)
            enroll_all(Shop)
            assert is_read(Shop), mode
            settle(Shop)
        # A process that dies takes the counters with it, and the server lives on.
        began = Shop.value("select pg_postmaster_start_time()")
        writer = cluster.connect("shop").cursor()
        writer.execute("insert into customer values (1)")
        writer.execute("select pg_backend_pid()")
        os.kill(writer.fetchone()[0], signal.SIGKILL)
        wait_until(lambda: not alive(cluster), what="the server to notice")
        wait_until(lambda: alive(cluster), what="the server to be back")
        assert Shop.value("select pg_postmaster_start_time()") == began
        enroll_all(Shop)
        assert is_read(Shop)
        assert records(Shop) == {"1"}
    finally:
        cluster.destroy()


def alive(cluster):
    try:
        return cluster.value("select true", dbname="shop")
    except psycopg2.Error:
        return False


def test_writers_of_all_kinds_lose_no_row(campaign):
    """Each row is a record after the first run that begins ten seconds after its commit, whatever its session does meanwhile."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    committed = {}
    ends = time.monotonic() + 40
    guard = threading.Lock()

    def write(number):
        dice = random.Random(seed + number)
        connection = campaign.connect(autocommit=False)
        cursor = connection.cursor()
        key = 1000 * (number + 1)
        while time.monotonic() < ends:
            keys = range(key, key + dice.randint(1, 3))
            key = keys[-1] + 1
            if dice.random() < 0.3:
                cursor.execute("select count(*) from shop.customer")
                time.sleep(dice.choice((0, 0.5, 12)))
            for each in keys:
                add(cursor, each)
            if dice.random() < 0.2:
                connection.rollback()
            else:
                connection.commit()
                with guard:
                    committed.update(dict.fromkeys(map(str, keys), time.monotonic()))
            time.sleep(dice.choice((0.05, 0.3, 0.9, 6)))
        connection.close()

    writers = [threading.Thread(target=write, args=(number,)) for number in range(3)]
    for writer in writers:
        writer.start()
    while time.monotonic() < ends + 12:
        began = time.monotonic()
        enroll_all(campaign)
        with guard:
            due = {key for key, at in committed.items() if at < began - COUNTED}
        assert due <= records(campaign)
        time.sleep(0.5)
    for writer in writers:
        writer.join()
    time.sleep(COUNTED)
    enroll_all(campaign)
    assert set(committed) <= records(campaign)
    settle(campaign)
