"""Sessions that do anything at any time: what each says, commits, rolls back or keeps open is drawn from a seed; then all is counted."""

import random
import threading
import time

import psycopg2
from e2e.test_concurrency import VIOLATIONS
from e2e.test_deadlocks import NULL, OPEN, SOME, STEPS

from harness import wait_until

SECONDS = 20
SESSIONS = 6
SEED = 11
# Robots' hits and what is forgotten have no effect, and what has left is not mailed: the rest holds whatever happens.
HOLDS = ("waits and is finished", "both sides of an event ran", "two mails of one activity", "waits for a blocked record")
VIOLATED = {what: VIOLATIONS[what] for what in HOLDS} | {
    "waits for an activity that is gone": """
        select count(*) from marketing_automation_internal.waiting_activity w
        where not exists (select from marketing_automation.activity a where a.id = w.activity_id)""",
    "a record of which nobody knows what became of its root": """
        select count(*) from marketing_automation.record r
        join marketing_automation.activity a on a.scenario_id = r.scenario_id and a.name = 'hello'
        where not exists (select from marketing_automation.record_activity ra where ra.record_id = r.id and ra.activity_id = a.id)""",
    "a row of the model entered twice": """
        select count(*) from (select from marketing_automation.record group by scenario_id, key having count(*) > 1) r""",
}


def test_whatever_sessions_do_nothing_is_lost_and_nothing_done_twice(shop, sink):
    shop.crowd(200)
    shop.scenario(run=False)
    shop.activity("next", parent="hello", delay="300 ms", **NULL)
    shop.activity("opened", parent="hello", on_event="email_opened", **NULL)
    shop.activity("not opened", parent="hello", on_event="email_not_opened", delay="300 ms", **NULL)
    shop.query("select marketing_automation.run('welcome')")
    shop.query("select marketing_automation.tracking_keys()")
    shop.query("select * from marketing_automation.enroll()")
    mail = shop.value("select id from marketing_automation.activity where name = 'hello'")
    deadlocks = shop.value("select deadlocks from pg_stat_database where datname = current_database()")
    # A rename and an edit of the same scenario lock in opposite orders, as docs/architecture.md says of its locks.
    names = sorted(set(STEPS) - {"enroll one", "process in one", "rename"})
    end = time.monotonic() + SECONDS
    errors, done = [], []

    def act(number):
        draw = random.Random(SEED * 1000 + number)
        connection = shop.connect(options="-c statement_timeout=60s")
        cursor = connection.cursor()
        while time.monotonic() < end:
            name = draw.choice(names)
            for statement in STEPS[name]:
                kept_open = not statement.startswith("call") and draw.random() < 0.2
                try:
                    cursor.execute(SOME)
                    [(records,)] = cursor.fetchall()
                    if kept_open:
                        cursor.execute("begin")
                    cursor.execute(statement, {"records": records, "mail": mail} if statement == OPEN else None)
                    if kept_open:
                        time.sleep(draw.random() * 0.3)
                        cursor.execute(draw.choice(["commit", "commit", "rollback"]))
                    done.append(name)
                except (psycopg2.errors.ObjectInUse, psycopg2.errors.UniqueViolation, psycopg2.errors.UndefinedObject):
                    # What is said to people: an activity that somebody has entered, a customer whom another session adds.
                    cursor.execute("rollback")
                except psycopg2.Error as error:
                    errors.append((name, statement, error))
                    cursor.execute("rollback")
        connection.close()

    sessions = [threading.Thread(target=act, args=(number,)) for number in range(SESSIONS)]
    for session in sessions:
        session.start()
    for session in sessions:
        session.join()
    assert not errors, errors[0]
    assert set(done) == set(names)
    assert shop.value("select deadlocks from pg_stat_database where datname = current_database()") == deadlocks
    shop.tick()
    wait_until(lambda: shop.value("select count(*) from marketing_automation.message where state in ('queued', 'sending', 'deferred')") == 0, what="the mails to leave")
    shop.tick()
    for what, sql in VIOLATED.items():
        assert shop.value(sql) == 0, what
    arrived = [mail.message["Message-ID"] for mail in sink.mails]
    assert len(arrived) == len(set(arrived)) > 0, "a mail went out twice"
