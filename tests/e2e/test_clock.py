"""Clocks that are set while mails are on their way: forward and back by an hour, and over both changes of summer time."""

import concurrent.futures
import contextlib
import datetime
import threading
import time
from collections import Counter

import psycopg2
import pytest
from e2e.shop import TABLES, Shop, sending_to

from harness import Clock, Cluster, wait_until

HOUR = 3600
CROWD = 300


@pytest.fixture
def clock():
    clock = Clock()
    yield clock
    clock.remove()


@pytest.fixture
def timed_shop(clock, sink):
    """A shop on a server, in Berlin, that goes by that clock, the mailer in it too."""
    settings = sending_to(sink) | {"timezone": "Europe/Berlin"}
    cluster = Cluster(preload="marketing_automation", settings=settings, environment=clock.environment).start()
    cluster.query("create database shop")
    shop = Shop(cluster, "shop")
    shop.psql(TABLES.format(database="shop", role=shop.marketer, tracking=shop.tracking))
    yield shop
    cluster.destroy()


@contextlib.contextmanager
def load(shop):
    """A session that enrolls, and two that process in small batches, all the time."""
    over, errors = threading.Event(), []

    def work(*calls):
        connection = psycopg2.connect(host=str(shop.cluster.directory), port=shop.cluster.port, user="postgres", dbname=shop.database)
        connection.autocommit = True
        with connection.cursor() as cursor:
            while not over.is_set():
                try:
                    for call in calls:
                        cursor.execute(call)
                        errors.extend(row for row in cursor.fetchall() if isinstance(row[0], str))
                except psycopg2.Error as error:
                    errors.append(error)
                time.sleep(0.02)
        connection.close()

    enroll, process = "select error from marketing_automation.enroll()", "select marketing_automation.process_due(25)"
    threads = [threading.Thread(target=work, args=calls) for calls in ((enroll, process), (process,))]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert not errors, errors


def insert(shop, prefix, size, time_zone=None):
    """Customers PREFIX1, PREFIX2 and so on."""
    shop.query(
        "insert into shop.customer (id, name, email, time_zone) select m.last + n, %s || n, %s || n || '@example.org', %s"
        " from (select coalesce(max(id), 0) as last from shop.customer) m, generate_series(1, %s) n",
        prefix, prefix, time_zone, size,
    )  # fmt: skip


def arrived(sink, subject, prefix=""):
    """The mails of that subject to addresses that begin so, by address."""
    mails = list(sink.mails)
    return Counter(mail.recipients[0] for mail in mails if mail.message["Subject"] == subject and mail.recipients[0].startswith(prefix))


def all_once(shop, sink, size, subjects):
    """Each has each mail once, and so says the database."""
    wait_until(lambda: len(sink.mails) >= size * len(subjects), 120, what="all mails to arrive")
    wait_until(lambda: not shop.value("select count(*) from marketing_automation_internal.outbox"), what="all to be recorded")
    for subject in subjects:
        counts = arrived(sink, subject)
        assert len(counts) == size and set(counts.values()) == {1}, (subject, len(counts), counts.most_common(3))
    assert shop.query("select state, count(*) from marketing_automation.message group by 1") == [("sent", size * len(subjects))]
    assert len({mail.message["Message-ID"] for mail in sink.mails}) == size * len(subjects)
    assert shop.query("select state, outcome, count(*) from marketing_automation.record_activity group by 1, 2") == [
        ("done", "mailed", size * len(subjects))
    ]


@pytest.mark.parametrize("seconds", [HOUR, -HOUR])
def test_a_clock_that_is_set_by_an_hour_under_load_loses_and_doubles_nothing(timed_shop, clock, sink, start_mailer, seconds):
    shop = timed_shop
    # Both buckets of tokens are empty again and again.
    shop.query("insert into marketing_automation.domain_limit (domain, per_second) values ('example.org', 150)")
    shop.query("insert into marketing_automation.smtp_server (name, url, per_second) values ('main', %s, 150)", sink.url)
    insert(shop, "c", CROWD)
    shop.scenario(run=False, subject="hello")
    shop.activity("later", parent="hello", delay="5 seconds")
    shop.query("select marketing_automation.run('welcome')")
    for name in ("first", "second"):
        start_mailer(shop, name, **clock.environment)
    sessions = """
        select array_agg((pid, backend_start)::text order by pid) from pg_stat_activity
        where application_name = 'marketing-mailer' or backend_type = 'marketing_automation mailer'"""
    wait_until(lambda: len(shop.value(sessions) or []) == 3, what="worker and mailers to be at work")
    before = shop.value(sessions)
    with load(shop):
        sink.wait_for(CROWD // 4)
        clock.set(seconds)
        insert(shop, "new", 30)
        # What waits for a time that is an hour away stays where it is; what comes from now on does not.
        wait_until(lambda: len(arrived(sink, "hello", "new")) == 30, what="mails to those who enter after that")
        # A hit from before, and one from now.
        for prefix in ("c", "new"):
            shop.open_mail(next(iter(arrived(sink, "hello", prefix))))
        wait_until(lambda: dict(shop.events()).get("email_opened", 0) >= 2, what="opens to be applied")
        if seconds < 0:
            assert shop.value(
                "select count(*) from (select due_at from marketing_automation_internal.outbox"
                " union all select at from marketing_automation_internal.waiting_activity) t where due_at > now() + interval '50 minutes'"
            )
        else:
            # What is due within the hour that is taken back waits until it is there again: let it run before.
            all_once(shop, sink, CROWD + 30, ("hello", "later"))
        clock.set(0)
        # Who enters by a call that has begun before does so at its time.
        ahead = "select count(*) from pg_stat_activity where datname = current_database() and xact_start > now() + interval '30 minutes'"
        wait_until(lambda: not shop.value(ahead), what="what began an hour ahead to end")
        insert(shop, "back", 30)
        all_once(shop, sink, CROWD + 60, ("hello", "later"))
    # Nobody was taken for dead.
    assert shop.value(sessions) == before
    assert not shop.value("select count(*) from marketing_automation.delivery_attempt where state = 'in_doubt'")


def test_an_hour_that_is_gone_at_once_makes_no_expression_slow(timed_shop, clock):
    shop = timed_shop
    insert(shop, "c", 3)
    # The second wait sets a timer of PostgreSQL, which then looks at all others.
    shop.query(
        """create function shop.wait(id int) returns boolean language plpgsql volatile as $$
        begin perform pg_sleep(0.3); perform pg_advisory_xact_lock_shared(id); return true; end $$"""
    )
    shop.scenario(domain="shop.wait(self.id)")
    shop.query("select marketing_automation.enroll()")
    shop.query("delete from marketing_automation.record")
    other = psycopg2.connect(host=str(shop.cluster.directory), port=shop.cluster.port, user="postgres", dbname=shop.database)
    other.cursor().execute("select pg_advisory_lock(3)")
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        enrolling = pool.submit(shop.query, "select enrolled, error from marketing_automation.enroll('welcome')")
        waits = "select count(*) from pg_stat_activity where wait_event_type = {!r} and datname = current_database()"
        wait_until(lambda: shop.value(waits.format("Timeout")), what="the domain to be asked")
        clock.set(HOUR)
        wait_until(lambda: shop.value(waits.format("Lock")), what="it to wait for the lock")
        time.sleep(1.5)
        other.close()
        assert enrolling.result() == [(3, None)]


@pytest.mark.parametrize("change, hours", [("2027-03-28 01:00", 23), ("2027-10-31 01:00", 25)])
def test_mails_go_on_and_days_keep_the_hour_over_a_change_of_summer_time(timed_shop, clock, sink, change, hours):
    shop = timed_shop
    change = datetime.datetime.fromisoformat(change).replace(tzinfo=datetime.timezone.utc).timestamp()
    entering = change - 14 * HOUR

    def set_clock(moment):
        clock.set(moment - time.time())

    set_clock(entering)
    shop.scenario(run=False, subject="hello")
    shop.activity("later", parent="hello", delay="1 day")
    shop.query("select marketing_automation.run('welcome')")
    insert(shop, "berlin", 1, "Europe/Berlin")
    insert(shop, "newyork", 1, "America/New_York")
    shop.tick()
    wait_until(lambda: set(shop.messages().values()) == {"sent"} and len(sink.mails) == 2, what="the first mails")
    with load(shop):
        # The clocks of the server and of its readers change while mails leave.
        set_clock(change - 5)
        insert(shop, "c", CROWD, "Europe/Berlin")
        wait_until(lambda: shop.value("select extract(epoch from now())") > change + 1, what="the change")
        insert(shop, "after", 20, "Europe/Berlin")
        wait_until(lambda: len(arrived(sink, "hello")) == CROWD + 22, 120, what="all first mails")
        assert not arrived(sink, "later")
        # A day later on the clock of each, which in New York does not change.
        due = {"berlin1@example.org": hours, "newyork1@example.org": 24}
        for hour in (23, 24, 25):
            set_clock(entering + hour * HOUR - 120)
            expected = {address for address, at in due.items() if at < hour}
            time.sleep(1)
            assert set(arrived(sink, "later")) == expected, hour
            set_clock(entering + hour * HOUR + 120)
            expected |= {address for address, at in due.items() if at == hour}
            wait_until(lambda: set(arrived(sink, "later")) >= expected, what=f"what is due after {hour} hours")
            assert set(arrived(sink, "later")) == expected, hour
        # Those of the crowd too: in the hour that is repeated or left out a day is one of the clock's.
        set_clock(change + 26 * HOUR)
        all_once(shop, sink, CROWD + 22, ("hello", "later"))
