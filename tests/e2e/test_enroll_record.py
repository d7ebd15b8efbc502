"""Rows that enter by their keys, within the transactions of an application."""

import random
import threading

import psycopg2
import pytest

from harness import wait_until

NULL = {"action": None, "subject": None, "body": None}
# What is not held must be done before this; what waits for a lock without bound is cancelled.
SOON = "-c statement_timeout=60s"
ENTER = "select marketing_automation.enroll_record('welcome', %s)"

# Each finds what must not be.
VIOLATIONS = {
    "a key entered twice": "select count(*) - count(distinct key) from marketing_automation.record",
    "not each root waits once": """
        select count(*) from marketing_automation.record r
        where 2 <> (select count(*) from marketing_automation_internal.waiting_activity w where w.record_id = r.id)""",
    "something waits for no record": """
        select count(*) from marketing_automation_internal.waiting_activity w
        where not exists (select from marketing_automation.record r where r.id = w.record_id)""",
    "the counter differs": """
        select (select count(*) from marketing_automation.record) - (select records from marketing_automation.record_count('welcome'))""",
}


@pytest.fixture
def campaign(shop):
    """A scenario with two roots, of which one has a condition."""
    shop.scenario(mail=False, run=False)
    shop.activity("one", **NULL)
    shop.activity("two", condition="self.id > 0", delay="1 day", **NULL)
    shop.query("select marketing_automation.run('welcome')")
    return shop


@pytest.fixture
def session(campaign):
    """Makes sessions with an open transaction, which do not wait for ever."""
    connections = []

    def connect():
        connections.append(campaign.connect(autocommit=False, options=SOON))
        return connections[-1]

    yield connect
    for connection in connections:
        connection.close()


def ask(connection, sql, *arguments):
    cursor = connection.cursor()
    cursor.execute(sql, arguments)
    return cursor.fetchone()[0]


def keys(shop):
    return [key for (key,) in shop.query("select key from marketing_automation.record order by key")]


def test_two_keys_never_wait_for_each_other(campaign, session):
    campaign.crowd(40)
    sessions = [session() for _ in range(8)]
    for number, connection in enumerate(sessions):
        assert ask(connection, ENTER, str(number + 1))
        assert ask(connection, "select marketing_automation.enroll_records('welcome', %s)", [str(n) for n in range(number + 9, 41, 8)]) == 4
    for number, connection in enumerate(sessions):
        (connection.rollback if number % 2 else connection.commit)()
    assert len(keys(campaign)) == 20


def test_who_enrolls_all_and_who_enters_a_row_do_not_wait_for_each_other(campaign, session):
    campaign.customers("Ada", "Ben", "Cleo")
    application, person = session(), session()
    assert ask(application, ENTER, "1")
    # Ada's row is held: the others enter, and in the order of things nobody waits for the application.
    assert ask(person, "select enrolled from marketing_automation.enroll('welcome')") == 2
    campaign.customers("Dan")
    assert ask(application, ENTER, "4")
    application.rollback()
    person.commit()
    assert keys(campaign) == ["2", "3"]
    campaign.query("select * from marketing_automation.enroll()")
    assert keys(campaign) == ["1", "2", "3", "4"]


@pytest.mark.parametrize("end", ["commit", "rollback"])
@pytest.mark.parametrize("second", ["enroll_record", "enroll"])
def test_a_row_that_two_enter_is_one_record(campaign, session, second, end):
    campaign.customers("Ada", "Ben")
    first, entered = session(), []
    assert ask(first, ENTER, "1")
    sql = ENTER if second == "enroll_record" else "select enrolled from marketing_automation.enroll() where scenario <> %s"
    waiting = threading.Thread(target=lambda: entered.append(campaign.value(sql, "1")))
    waiting.start()
    wait_until(campaign.is_blocked, what="the second to meet the row of the first")
    getattr(first, end)()
    waiting.join()
    campaign.query("select * from marketing_automation.enroll()")
    assert keys(campaign) == ["1", "2"]
    if second == "enroll_record":
        assert entered == [end == "rollback"]
    for what, sql in VIOLATIONS.items():
        assert campaign.value(sql) == 0, what


MANY = "select marketing_automation.enroll_records('welcome', array[%s])"
CHANGE = "update marketing_automation.activity set action = 'send_email', subject = 's', body = 'b' where name = 'one'"
LOCK = "lock table marketing_automation.scenario in access exclusive mode"


@pytest.mark.parametrize("enter", [ENTER, MANY], ids=["one", "many"])
@pytest.mark.parametrize("what", [CHANGE, LOCK], ids=["change of the tree", "locked definitions"])
def test_what_others_hold_is_given_up_after_a_second(campaign, session, enter, what):
    campaign.customers("Ada")
    holder, application = session(), session()
    holder.cursor().execute(what)
    # Not QueryCanceled, which is what the statement_timeout of the session raises.
    with pytest.raises(psycopg2.errors.LockNotAvailable) as raised:
        ask(application, enter, "1")
    if what == LOCK:
        assert f"process {holder.info.backend_pid}" in raised.value.diag.message_detail
    application.rollback()
    holder.commit()
    assert ask(application, enter, "1")
    application.commit()
    assert keys(campaign) == ["1"]


def test_everything_at_once_enters_each_row_once(campaign):
    seed = random.randrange(10**6)
    print("seed", seed)
    campaign.crowd(600)
    errors = []

    def live(number):
        rng = random.Random(seed + number)
        connection = campaign.connect(autocommit=False, options="-c deadlock_timeout=10ms")
        for _ in range(40):
            try:
                kind = rng.random()
                if kind < 0.5:
                    ask(connection, ENTER, str(rng.randint(1, 600)))
                elif kind < 0.8:
                    ask(connection, "select marketing_automation.enroll_records('welcome', %s)", [str(rng.randint(1, 600)) for _ in range(20)])
                else:
                    connection.cursor().execute("select * from marketing_automation.enroll('welcome')")
                (connection.commit if rng.random() < 0.4 else connection.rollback)()
            except Exception as error:  # noqa: BLE001
                connection.rollback()
                errors.append(repr(error))
        connection.close()

    threads = [threading.Thread(target=live, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    campaign.query("select * from marketing_automation.enroll()")
    assert len(keys(campaign)) == 600
    for what, sql in VIOLATIONS.items():
        assert campaign.value(sql) == 0, what


def test_ten_thousand_keys_are_entered_by_as_many_queries_as_ten(campaign):
    """What that takes is measured by tests/bench."""
    campaign.crowd(10010)
    queries = []
    for size in (10, 10000):
        connection = campaign.connect(autocommit=False, options="-c track_functions=all")
        start = 1 if size == 10 else 11
        assert ask(connection, "select marketing_automation.enroll_records('welcome', %s)", [str(n) for n in range(start, start + size)]) == size
        queries.append(ask(connection, "select sum(calls) from pg_stat_xact_user_functions where funcname like '%%_as_owner' or funcname = 'enter_rows'"))
        connection.commit()
        connection.close()
    assert queries[0] == queries[1] and 0 < queries[0] < 10
