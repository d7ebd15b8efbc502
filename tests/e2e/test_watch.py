"""Of a watched table a run of enroll_all() tries the rows that were written, and misses none; no statement of a shop fails or waits for it."""

import random
import subprocess
import threading
import time

import psycopg2
import pytest

from e2e.shop import Shop
from harness import Cluster, wait_until
from harness.paths import pg_program


@pytest.fixture
def campaign(bare_shop):
    bare_shop.customers("Ada")
    bare_shop.scenario(action=None, subject=None, body=None)
    watch(bare_shop)
    return bare_shop


@pytest.fixture(scope="module")
def replicating():
    """A server that replicates, and prepares transactions."""
    cluster = Cluster(preload="", settings={"wal_level": "logical", "max_prepared_transactions": "5"}).start()
    yield cluster
    cluster.destroy()


@pytest.fixture
def replica(replicating, request):
    shop = Shop.create(replicating, request.node.name)
    shop.customers("Ada")
    shop.scenario(action=None, subject=None, body=None)
    watch(shop)
    yield shop
    shop.drop()


def watch(shop):
    """Watches the customers, and takes the turn that reads all of them."""
    shop.query("select * from marketing_automation.watch('customer')")
    enroll_all(shop)
    enroll_all(shop)
    assert not has_read_all(shop)


def has_read_all(shop):
    return shop.value(
        "select s.last_scanned_at = s.last_enrolled_at from marketing_automation.scenario_status s "
        "where s.scenario_id = marketing_automation.scenario_id('welcome')"
    )  # fmt: skip


def records(shop, scenario="welcome"):
    return {key for (key,) in shop.query(f"select key from marketing_automation.record where scenario_id = marketing_automation.scenario_id('{scenario}')")}


def captured(shop):
    return shop.value("select count(*) from marketing_automation_internal.captured_keys")


def enroll_all(shop):
    shop.query("call marketing_automation.enroll_all()")


def add(cursor, key):
    cursor.execute("insert into shop.customer (id, name, email) values (%s, %s, %s)", (key, f"n{key}", f"n{key}@example.org"))


def test_what_was_committed_a_moment_ago_is_found(campaign):
    writer = campaign.connect().cursor()
    for key in range(10, 20):
        add(writer, key)
        enroll_all(campaign)
        assert str(key) in records(campaign)
        assert not has_read_all(campaign)
    assert captured(campaign) == 0


def test_a_row_whose_transaction_ends_after_others_were_found_is_found(campaign):
    slow = campaign.connect(autocommit=False)
    add(slow.cursor(), 10)
    undone = campaign.connect(autocommit=False)
    add(undone.cursor(), 11)
    add(campaign.connect().cursor(), 12)
    enroll_all(campaign)
    assert records(campaign) == {"1", "12"}
    slow.commit()
    undone.rollback()
    enroll_all(campaign)
    assert records(campaign) == {"1", "10", "12"}
    assert not has_read_all(campaign)
    slow.close()
    undone.close()


def test_a_prepared_transaction_is_found_once_it_is_committed(replica):
    campaign = replica
    connection = campaign.connect(autocommit=False)
    cursor = connection.cursor()
    add(cursor, 10)
    cursor.execute("prepare transaction 'order'")
    enroll_all(campaign)
    enroll_all(campaign)
    assert records(campaign) == {"1"}
    campaign.query("commit prepared 'order'")
    enroll_all(campaign)
    assert records(campaign) == {"1", "10"}
    connection.close()


def test_a_run_that_is_undone_tries_the_rows_again(campaign):
    add(campaign.connect().cursor(), 10)
    runner = campaign.connect(autocommit=False)
    runner.cursor().execute("select * from marketing_automation.enroll_next()")
    runner.rollback()
    runner.close()
    assert records(campaign) == {"1"}
    enroll_all(campaign)
    assert records(campaign) == {"1", "10"}
    assert not has_read_all(campaign)


def test_each_scenario_tries_the_rows_though_another_is_held(campaign):
    campaign.scenario("held", action=None, subject=None, body=None)
    enroll_all(campaign)
    enroll_all(campaign)
    holder = campaign.connect(autocommit=False)
    holder.cursor().execute(
        "select from marketing_automation.scenario_status where scenario_id = marketing_automation.scenario_id('held') for update"
    )
    add(campaign.connect().cursor(), 10)
    enroll_all(campaign)
    assert campaign.value("select count(*) from marketing_automation.record where key = '10'") == 1
    # Its keys are kept until it has had its turn.
    assert captured(campaign) == 1
    holder.rollback()
    holder.close()
    enroll_all(campaign)
    assert campaign.value("select count(*) from marketing_automation.record where key = '10'") == 2
    assert captured(campaign) == 0


def test_a_scenario_that_is_reading_all_rows_loses_none_that_is_written_meanwhile(campaign):
    """Its snapshot is older than the row, and others, who have seen it, must not have it forgotten."""
    campaign.scenario("new", action=None, subject=None, body=None)
    reader = campaign.connect(autocommit=False)
    reader.cursor().execute("select * from marketing_automation.enroll('new')")
    add(campaign.connect().cursor(), 10)
    # Welcome has seen it, and what deletes keys has been here.
    enroll_all(campaign)
    assert campaign.value("select count(*) from marketing_automation.record where key = '10'") == 1
    reader.commit()
    reader.close()
    enroll_all(campaign)
    assert campaign.value("select count(*) from marketing_automation.record where key = '10'") == 2


def test_no_writer_fails_or_waits_where_the_keys_cannot_be_noted(campaign):
    holder = campaign.connect(autocommit=False)
    holder.cursor().execute("lock table marketing_automation_internal.captured_keys in access exclusive mode")
    writer = campaign.connect().cursor()
    writer.execute("set statement_timeout = '2s'")
    add(writer, 10)
    holder.rollback()
    holder.close()
    enroll_all(campaign)
    assert records(campaign) == {"1"}
    # What could not be noted is found when all rows are read: at the latest an hour later.
    campaign.query("update marketing_automation_internal.watched_scan set scanned_at = scanned_at - interval '1 hour'")
    enroll_all(campaign)
    assert records(campaign) == {"1", "10"}


def test_keys_that_nobody_takes_are_bounded(campaign):
    writer = campaign.connect().cursor()
    for _ in range(11):
        writer.execute("update shop.customer set orders = orders + 1 where id < 10")
        writer.execute("insert into shop.customer (id, name) select (select max(id) from shop.customer) + n, 'n' from generate_series(1, 9900) n")
    assert campaign.value("select sum(cardinality(keys)) > 100000 from marketing_automation_internal.captured_keys")
    campaign.query("call marketing_automation.process_all_due()")
    assert captured(campaign) == 0
    enroll_all(campaign)
    assert has_read_all(campaign)
    assert len(records(campaign)) == campaign.value("select count(*) from shop.customer")


def test_a_transaction_of_many_statements_notes_no_more_than_it_must(campaign):
    connection = campaign.connect(autocommit=False)
    cursor = connection.cursor()
    cursor.execute("do $$ begin for i in 10..25000 loop insert into shop.customer (id, name) values (i, 'n'); end loop; end $$")
    connection.commit()
    connection.close()
    assert captured(campaign) == 10001
    enroll_all(campaign)
    assert len(records(campaign)) == 24992
    assert captured(campaign) == 0


def test_nobody_waits_long_for_who_watches(campaign):
    campaign.query("select marketing_automation.unwatch('customer')")
    holder = campaign.connect(autocommit=False)
    add(holder.cursor(), 10)
    with pytest.raises(psycopg2.errors.LockNotAvailable, match="more than two seconds"):
        campaign.query("select * from marketing_automation.watch('customer')")
    holder.commit()
    holder.close()
    watch(campaign)


def test_dropping_the_extension_takes_the_triggers_along(campaign):
    campaign.query("drop extension marketing_automation")
    add(campaign.connect().cursor(), 10)
    assert campaign.value("select count(*) from pg_trigger where tgrelid = 'shop.customer'::regclass and not tgisinternal") == 0


def test_a_restored_dump_is_watched_and_reads_all_rows_once(campaign, tmp_path):
    database, cluster = campaign.database, campaign.cluster
    add(campaign.connect().cursor(), 10)
    there = ["-h", str(cluster.directory), "-p", str(cluster.port), "-U", cluster.superuser, "-d"]
    subprocess.run([pg_program("pg_dump"), *there, database, "-Fc", "-f", tmp_path / "dump"], check=True)
    cluster.create_database(f"{database}_copy")
    try:
        subprocess.run([pg_program("pg_restore"), *there, f"{database}_copy", "--exit-on-error", tmp_path / "dump"], check=True)
        copy = Shop(cluster, f"{database}_copy")
        assert copy.query("select status, message from marketing_automation.health() where name = 'watch'") == [("ok", 'watched: "customer"')]
        enroll_all(copy)
        assert has_read_all(copy)
        add(copy.connect().cursor(), 11)
        enroll_all(copy)
        assert not has_read_all(copy)
        assert records(copy) == {"1", "10", "11"}
    finally:
        cluster.query(f'drop database "{database}_copy" with (force)')


def test_rows_that_replication_brings_are_found(replica):
    """By the trigger of rows: what applies changes fires none of statements."""
    campaign, cluster = replica, replica.cluster
    source = f"{campaign.database}_source"
    cluster.create_database(source)
    try:
        cluster.psql(
            "create schema shop; create table shop.customer (id integer primary key, name text not null, email text, language text, time_zone text, "
            "orders integer not null default 0); insert into shop.customer (id, name) values (10, 'n'); "
            "create publication customers for table shop.customer; select pg_create_logical_replication_slot('watch_test', 'pgoutput')",
            dbname=source,
        )  # fmt: skip
        campaign.query(
            f"create subscription customers connection 'host={cluster.directory} port={cluster.port} dbname={source} user={cluster.superuser}' "
            "publication customers with (create_slot = false, slot_name = 'watch_test')"
        )
        try:
            wait_until(lambda: campaign.value("select count(*) from shop.customer") == 2, what="the rows of the source")
            enroll_all(campaign)
            cluster.query("insert into shop.customer (id, name) values (11, 'n')", dbname=source)
            cluster.query("update shop.customer set id = 12 where id = 10", dbname=source)
            wait_until(lambda: campaign.value("select count(*) from shop.customer where id in (11, 12)") == 2, what="its changes")
            enroll_all(campaign)
            assert records(campaign) == {"1", "10", "11", "12"}
            assert not has_read_all(campaign)
        finally:
            campaign.query("drop subscription customers")
    finally:
        cluster.query(f'drop database "{source}" with (force)')


def test_writers_of_all_kinds_lose_no_row(campaign):
    """Each row is a record after the first run that begins after its commit, and not every run reads all rows."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    # What a run passes over without a turn, but for those that match.
    campaign.query("select marketing_automation.create_scenario('rare', 'customer', 'self.id % 50 = 0')")
    campaign.query("select marketing_automation.add_activity('rare', 'a', action => null), marketing_automation.run('rare')")
    committed = {}
    guard = threading.Lock()
    ends = time.monotonic() + 20
    failures = []

    def write(number):
        dice = random.Random(seed + number)
        connection = campaign.connect(autocommit=False)
        cursor = connection.cursor()
        key = 10_000_000 * (number + 1)
        try:
            while time.monotonic() < ends:
                many = dice.random() < 0.05
                keys = range(key, key + (dice.choice((500, 11000)) if many else dice.randint(1, 3)))
                key = keys[-1] + 1
                kept = set(keys)
                if many:
                    cursor.execute("insert into shop.customer (id, name) select n, 'n' from generate_series(%s, %s) n", (keys[0], keys[-1]))
                else:
                    for each in keys:
                        cursor.execute("savepoint s")
                        add(cursor, each)
                        if dice.random() < 0.2:
                            cursor.execute("rollback to s")
                            kept.discard(each)
                        else:
                            cursor.execute("release s")
                    if dice.random() < 0.3 and kept:
                        moved = kept.pop()
                        cursor.execute("update shop.customer set id = -id where id = %s", (moved,))
                        kept.add(-moved)
                if dice.random() < 0.3:
                    time.sleep(dice.choice((0, 0.2, 1)))
                if dice.random() < 0.2:
                    connection.rollback()
                else:
                    connection.commit()
                    with guard:
                        committed.update(dict.fromkeys(map(str, kept), time.monotonic()))
                time.sleep(dice.choice((0, 0.02, 0.1)))
        except Exception as error:
            failures.append(error)
        finally:
            connection.close()

    writers = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for writer in writers:
        writer.start()
    by_keys = 0
    while time.monotonic() < ends + 2:
        began = time.monotonic()
        enroll_all(campaign)
        with guard:
            due = {key for key, at in committed.items() if at < began}
        assert due <= records(campaign)
        assert {key for key in due if int(key) % 50 == 0} <= records(campaign, "rare")
        by_keys += not has_read_all(campaign)
    for writer in writers:
        writer.join()
    assert not failures
    enroll_all(campaign)
    assert set(committed) | {"1"} == records(campaign)
    assert {key for key in committed if int(key) % 50 == 0} == records(campaign, "rare")
    # How many depends on how long a run takes here: one that comes after 11,000 rows reads all.
    assert by_keys
    assert captured(campaign) == 0
