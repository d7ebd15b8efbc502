"""Everything at once: enrolling, processing, the mailer, events and blocks, then the invariants."""

import random
import threading
import time

import psycopg2
import pytest

from harness import wait_until

# How many cases of each kind make a race, and how long to try for them; new records arrive all the while, so that a machine
# that is slow, fast or busy only needs more or less of the time.
CASES = 50
SECONDS = 240
RECORDS = 3000

# Each finds what must not be; see SPEC's invariants.
VIOLATIONS = {
    "waits and is finished": """
        select count(*) from marketing_automation_internal.waiting_activity join marketing_automation_internal.finished_activity using (record_id, activity_id)""",
    "both sides of an event ran": """
        select count(*) from marketing_automation_internal.finished_activity p
        join marketing_automation.activity a on a.id = p.activity_id and a.on_event in ('email_opened', 'email_clicked')
        join marketing_automation.activity n on n.parent_id = a.parent_id and n.on_event = replace(a.on_event, 'email_', 'email_not_')
        join marketing_automation_internal.finished_activity f on f.activity_id = n.id and f.record_id = p.record_id
        where p.state = 'done' and f.state = 'done'""",
    "two mails of one activity": """
        select count(*) from (select from marketing_automation.message group by record_id, activity_id having count(*) > 1) m""",
    "mailed without a mail": """
        select count(*) from marketing_automation_internal.finished_activity f
        where f.outcome = 'mailed' and not exists (
            select from marketing_automation.message m where (m.record_id, m.activity_id) = (f.record_id, f.activity_id))""",
    "opened by the log, not by the state": """
        select count(*) from marketing_automation.event e
        join marketing_automation_internal.finished_activity f on (f.record_id, f.activity_id) = (e.record_id, e.activity_id)
        where e.kind = 'email_opened' and f.opened_at is null""",
    "not exactly one side of an event came of a mail that was sent": """
        select count(*) from marketing_automation.message m
        join marketing_automation.activity p on p.parent_id = m.activity_id and p.on_event in ('email_opened', 'email_clicked')
        join marketing_automation.activity n on n.parent_id = m.activity_id and n.on_event = replace(p.on_event, 'email_', 'email_not_')
        join marketing_automation.record r on r.id = m.record_id and r.blocked_at is null
        where m.state = 'sent' and 1 <> (
            select count(*) from marketing_automation.record_activity ra
            where ra.record_id = m.record_id and ra.activity_id in (p.id, n.id) and ra.state <> 'cancelled')""",
    "waits for a blocked record": """
        select count(*) from marketing_automation_internal.waiting_activity w
        join marketing_automation.record r on r.id = w.record_id and r.blocked_at is not null""",
}

# How often an event came before, and after, its negative side had run: the rarest of these for opens and clicks.
OUTCOMES = """
    select coalesce(min(least(o.before, o.after)), 0) from (
        select count(*) filter (where f.outcome = 'event_arrived') as before,
               count(*) filter (where f.state = 'done' and case a.on_event when 'email_not_opened' then m.opened_at else m.clicked_at end is not null) as after
        from marketing_automation.activity a
        left join marketing_automation_internal.finished_activity f on f.activity_id = a.id
        left join marketing_automation_internal.finished_activity m on m.record_id = f.record_id and m.activity_id = a.parent_id
        where a.on_event in ('email_not_opened', 'email_not_clicked') group by a.id) o"""


def test_everything_at_once_keeps_the_invariants(shop, sink):
    shop.crowd(RECORDS)
    shop.scenario(unsubscribable=False, run=False)
    shop.activity("opened", parent="hello", on_event="email_opened", action=None, subject=None, body=None)
    shop.activity("not opened", parent="hello", on_event="email_not_opened", delay="300 ms", action=None, subject=None, body=None)
    shop.activity("clicked", parent="hello", on_event="email_clicked", delay="50 ms")
    shop.activity("not clicked", parent="hello", on_event="email_not_clicked", delay="400 ms", action=None, subject=None, body=None)
    shop.query("select marketing_automation.run('welcome')")
    shop.query("select marketing_automation.tracking_keys()")
    link = shop.value("select id from marketing_automation_internal.link_ids(array['https://shop.example/'])")
    shop.wait_for_worker()
    enough = threading.Event()
    errors = []

    def worker(step, **session):
        def loop():
            connection = shop.connect(**session)
            try:
                with connection.cursor() as cursor:
                    while not enough.is_set():
                        step(cursor)
            except psycopg2.Error as error:
                errors.append(error)
            finally:
                connection.close()

        return threading.Thread(target=loop)

    def arrive(cursor):
        cursor.execute(
            "insert into shop.customer (id, name, email) select i, 'c' || i, 'c' || i || '@example.org' "
            "from (select max(id) as last from shop.customer) c cross join lateral generate_series(c.last + 1, c.last + 20) i"
        )
        time.sleep(0.1)

    def enroll(cursor):
        cursor.execute("select * from marketing_automation.enroll()")
        time.sleep(0.2)

    def process(cursor):
        cursor.execute("select marketing_automation.process_due(%s)", (random.choice((10, 100, 1000)),))
        if cursor.fetchone()[0] == 0:
            time.sleep(0.01)

    def report(cursor):
        # A few at a time: else everybody has opened before the first mail is out. Some do, by a proxy that is quicker than the mailer.
        state = random.choice(("sent", "sent", "queued"))
        cursor.execute(
            "select record_id, activity_id from marketing_automation.message where state = %s order by random() limit 5", (state,)
        )
        hits = [(random.choice(("email_opened", "email_clicked")), *row) for row in cursor.fetchall()]
        time.sleep(0.02)
        if not hits:
            return
        kinds, records, activities = (list(column) for column in zip(*hits))
        cursor.execute(
            """with hit as (
                   select h.n, h.kind, marketing_automation_internal.sign_token(h.kind, h.record, h.activity, case h.kind when 'email_clicked' then %s end) as token
                   from unnest(%s, %s, %s) with ordinality h (kind, record, activity, n))
               select marketing_automation.record_events(array_agg(gen_random_uuid()), array_agg(kind order by n), array_agg(token order by n),
                   array_agg(clock_timestamp()), array_agg('GET'::text), array_agg(null::inet), array_agg(null::text)) from hit""",
            (link, kinds, records, activities),
        )

    def block(cursor):
        cursor.execute("select marketing_automation.block(uuid) from marketing_automation.record order by random() limit 1")
        time.sleep(0.05)

    steps = [arrive, enroll, enroll, process, process, process, report, report, report, block]
    threads = [worker(step) for step in steps]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: errors or shop.value(OUTCOMES) >= CASES, SECONDS, what="events before and after their negative sides")
    finally:
        enough.set()
        for thread in threads:
            thread.join()
    assert errors == []

    wait_until(
        lambda: not shop.value(
            "select exists (select from marketing_automation_internal.outbox) or exists (select from marketing_automation_internal.event_inbox)"
        ),
        SECONDS,
        what="all mails and events to be done with",
    )
    for what, query in VIOLATIONS.items():
        assert shop.value(query) == 0, what


@pytest.mark.parametrize("kind", ["opened", "clicked"])
@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_an_event_that_arrives_while_its_negative_side_runs_waits_for_the_outcome(shop, sink, kind, end):
    shop.customers("Ada")
    shop.scenario(run=False)
    shop.activity("positive", parent="hello", on_event=f"email_{kind}", action=None, subject=None, body=None)
    shop.activity("negative", parent="hello", on_event=f"email_not_{kind}", delay="1 day", action=None, subject=None, body=None)
    shop.query("select marketing_automation.run('welcome')")
    shop.query("select marketing_automation.tracking_keys()")
    link = shop.value("select id from marketing_automation_internal.link_ids(array['https://shop.example/'])")
    shop.tick()
    shop.wait_for_message("ada@example.org", "sent")
    shop.pass_time("2 days")

    processing = shop.connect(autocommit=False)
    processing.cursor().execute("select marketing_automation.process_due()")
    shop.query(
        """select e.known from marketing_automation.message m
           cross join lateral marketing_automation.record_events(array[gen_random_uuid()], array[%s],
               array[marketing_automation_internal.sign_token(%s, m.record_id, m.activity_id, %s)],
               array[clock_timestamp()], array['GET'], array[null::inet], array[null::text]) e""",
        f"email_{kind}", f"email_{kind}", link if kind == "clicked" else None,
    )  # fmt: skip
    assert shop.value("select marketing_automation.apply_events()") == 0
    assert shop.value("select count(*) from marketing_automation_internal.event_inbox") == 1, "applied beside the side that runs"
    getattr(processing, end)()
    wait_until(lambda: shop.events() == [(f"email_{kind}", 1)], what="the event in the log")
    assert dict(shop.query(
        "select a.name, coalesce(r.outcome, r.state) from marketing_automation.record_activity r "
        "join marketing_automation.activity a on a.id = r.activity_id and a.parent_id is not null"
    )) == ({"negative": "executed"} if end == "commit" else {"negative": "event_arrived", "positive": "waiting"})  # fmt: skip


CHANGES = {
    "key of the model": "update marketing_automation.model set key = 'self.id + 0' where name = 'customer'",
    "model": "update marketing_automation.scenario set model = 'other' where name = 'welcome'",
    "tree": "update marketing_automation.activity set action = null where name = 'hello'",
    "deleted activity": "delete from marketing_automation.activity where name = 'hello'",
    "deleted scenario": "delete from marketing_automation.scenario where name = 'welcome'",
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_records_depend_on_does_not_change_while_they_enter(shop, change):
    shop.customers("Ada")
    shop.query("select marketing_automation.register_model('other', 'shop.customer', key => 'self.name')")
    shop.scenario()
    enrolling = shop.connect(autocommit=False)
    enrolling.cursor().execute("select * from marketing_automation.enroll()")
    refusals = []

    def attempt():
        try:
            shop.query(CHANGES[change])
        except psycopg2.errors.ObjectInUse as refusal:
            refusals.append(refusal)

    changing = threading.Thread(target=attempt)
    changing.start()
    wait_until(
        lambda: not changing.is_alive() or shop.is_blocked(),
        what="the change to wait for the enrolling",
    )
    enrolling.commit()
    changing.join()
    assert refusals, "the change was made under the records that entered"


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_a_goal_that_two_sessions_see_is_one_conversion(shop, end):
    shop.customers("Ada", "Ben", "Cleo")
    shop.scenario(run=False)
    shop.activity("second", action=None, subject=None, body=None)
    shop.query("update marketing_automation.scenario set goal = 'self.name like ''% has bought''', goal_ends_journey = true")
    shop.query("select marketing_automation.run('welcome')")
    shop.query("select * from marketing_automation.enroll()")
    # Since they have entered: who had reached it before has no conversion.
    shop.query("update shop.customer set name = name || ' has bought'")

    one, other = shop.connect(autocommit=False), shop.connect(autocommit=False)
    other.cursor().execute(
        "select from marketing_automation_internal.waiting_activity w join marketing_automation.activity a on a.id = w.activity_id "
        "where a.name = 'second' for update of w"
    )
    one.cursor().execute("select marketing_automation.process_due()")
    # It leaves the records to the first, and waits for no conversion.
    other.cursor().execute("set statement_timeout = '60s'; select marketing_automation.process_due()")
    getattr(one, end)()
    other.commit()
    shop.query("call marketing_automation.process_all_due()")
    assert shop.query("select source, count(*), count(distinct record_id) from marketing_automation.conversion group by source") == [("goal", 3, 3)]
    assert shop.query("select outcome, count(*) from marketing_automation.record_activity group by outcome") == [("goal_reached", 6)]


def test_who_leaves_again_while_their_party_is_resubscribed_meets_no_deadlock(shop):
    shop.customers("Ada")
    shop.scenario()
    shop.query("select marketing_automation.tracking_keys()")
    shop.query("select * from marketing_automation.enroll()")
    token = shop.value("select marketing_automation_internal.sign_token('unsubscribed', id, 1) from marketing_automation.record")
    leave = "select marketing_automation.unsubscribe_by_token(%s, false, null)"
    shop.query(leave, token)

    leaving = shop.connect(autocommit=False)
    # As far as unsubscribe_by_token() gets in one moment, and the rest of it in another.
    leaving.cursor().execute("select marketing_automation_internal.lock_record(id) from marketing_automation.record")
    resubscribing = threading.Thread(target=shop.query, args=("select marketing_automation.resubscribe('1')",))
    resubscribing.start()
    wait_until(shop.is_blocked, what="the administrator to wait for the record")
    leaving.cursor().execute(leave, (token,))
    leaving.commit()
    resubscribing.join()
    assert shop.value("select count(*) from marketing_automation.unsubscription") == 0
