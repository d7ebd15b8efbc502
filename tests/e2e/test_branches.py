"""Alternatives: whatever moves while several sessions process, each record takes one, and none takes two."""

import concurrent.futures
import itertools
import random
import threading
import time

import psycopg2
import pytest

from e2e.test_deadlocks import NULL
from harness import wait_until

RECORDS = 3000
SECONDS = 6

# Each finds what must not be.
VIOLATED = {
    "a record that has passed decided nothing": """
        select count(*) from marketing_automation_internal.finished_activity f
        join marketing_automation.activity a on a.id = f.activity_id and a.branch_by is not null
        where f.state = 'done' and f.outcome in ('executed', 'mailed', 'no_address') and not exists (
            select from marketing_automation.branch_decision d where (d.record_id, d.parent_id) = (f.record_id, f.activity_id))""",
    "an alternative that was not decided on has started": """
        select count(*) from marketing_automation.record_activity ra
        join marketing_automation.activity c on c.id = ra.activity_id and c.on_event is null
        join marketing_automation.activity p on p.id = c.parent_id and p.branch_by is not null
        where not exists (
            select from marketing_automation.branch_decision d where (d.record_id, d.parent_id, d.activity_id) = (ra.record_id, p.id, c.id))""",
    "the one that was decided on has not started": """
        select count(*) from marketing_automation.branch_decision d
        join marketing_automation.activity p on p.id = d.parent_id and p.action is null
        where d.activity_id is not null and not exists (
            select from marketing_automation.record_activity ra where (ra.record_id, ra.activity_id) = (d.record_id, d.activity_id))""",
    "both a condition met and not met": """
        select count(*) from marketing_automation.record_activity ra
        join marketing_automation.activity c on c.id = ra.activity_id and c.on_event = 'condition_not_met'
        join marketing_automation.record_activity p on p.record_id = ra.record_id and p.activity_id = c.parent_id
        where p.outcome <> 'condition_not_met'""",
}


def plant(shop, draw):
    """Adds a tree of random branches, up to five deep."""
    names = (f"n{number}" for number in itertools.count(1))

    def add(parent, depth, **attributes):
        name = next(names)
        kind = draw.choice(["condition", "share", None]) if 0 < depth < 5 else "condition" if depth == 0 else None
        shop.activity(name, parent=parent, branch_by=kind, delay=draw.choice([None, None, "50 ms"]), **attributes, **NULL)
        for _ in range(draw.randint(1, 3) if kind else 0):
            add(name, depth + 1, **(
                {"share": draw.choice([10, 20, 33.3])} if kind == "share" else {"condition": a_condition()}))  # fmt: skip
        if kind and draw.random() < 0.7:
            add(name, depth + 1)
        if attributes.get("condition") and draw.random() < 0.5:
            # Its condition is not asked again, if it is an alternative.
            shop.activity(next(names), parent=name, on_event="condition_not_met", **NULL)
        if depth < 5 and kind is None:
            add(name, depth + 1, condition=a_condition())

    def a_condition():
        return f"self.orders % {draw.randint(2, 4)} = {draw.randint(0, 1)}"

    add(None, 0)


@pytest.mark.parametrize("seed", [1, 2])
def test_whatever_moves_each_record_takes_one_alternative(shop, seed):
    draw = random.Random(seed)
    shop.crowd(RECORDS)
    shop.scenario(run=False, mail=False)
    shop.query("update shop.customer set orders = id % 12")
    plant(shop, draw)
    shop.query("select marketing_automation.run('welcome')")
    shop.query("select * from marketing_automation.enroll()")
    end = time.monotonic() + SECONDS
    errors = []

    def process():
        connection = shop.connect()
        cursor = connection.cursor()
        while time.monotonic() < end:
            try:
                cursor.execute("select marketing_automation.process_due(100)")
            except psycopg2.Error as error:
                errors.append(error)
        connection.close()

    def move():
        """Changes what conditions see, and the conditions themselves."""
        connection = shop.connect()
        cursor = connection.cursor()
        while time.monotonic() < end:
            cursor.execute("update shop.customer set orders = orders + 1 where id %% 7 = %s", [draw.randrange(7)])
            cursor.execute("""
                update marketing_automation.activity set condition = condition || ' ' where id = (
                    select id from marketing_automation.activity where condition is not null order by random() limit 1)""")
        connection.close()

    sessions = [threading.Thread(target=process) for _ in range(2)] + [threading.Thread(target=move)]
    for session in sessions:
        session.start()
    for session in sessions:
        session.join()
    while shop.value("select marketing_automation.process_due()"):
        pass
    assert not errors, errors[0]
    assert shop.value("select count(*) from marketing_automation.branch_decision") > RECORDS
    assert {what: shop.value(query) for what, query in VIOLATED.items()} == dict.fromkeys(VIOLATED, 0)


def test_shares_are_within_three_standard_deviations(shop):
    shop.crowd(RECORDS)
    shop.scenario(run=False, mail=False)
    shop.activity("split", branch_by="share", **NULL)
    shares = {"a": 10, "b": 25.5, "c": 0.5, "d": 50}
    for name, share in shares.items():
        shop.activity(name, parent="split", share=share, **NULL)
    shop.query("select marketing_automation.run('welcome')")
    shop.query("select * from marketing_automation.enroll()")
    while shop.value("select marketing_automation.process_due()"):
        pass
    taken = dict(shop.query("""
        select a.name, count(*) from marketing_automation.branch_decision d left join marketing_automation.activity a on a.id = d.activity_id
        group by a.name"""))
    for name, share in (shares | {None: 14}).items():
        expected = RECORDS * share / 100
        assert abs(taken.get(name, 0) - expected) <= 3 * (expected * (1 - share / 100)) ** 0.5, (name, taken)


def test_an_experiment_is_decided_once_and_nobody_takes_two_variants(shop):
    shop.crowd(RECORDS)
    shop.scenario(run=False, mail=False)
    shop.activity("try", branch_by="share", metric="conversions", decide_after="3 s", **NULL)
    shop.activity("a", parent="try", share=10, **NULL)
    shop.activity("b", parent="try", share=10, **NULL)
    shop.query("select marketing_automation.run('welcome')")
    end = time.monotonic() + 2 * SECONDS
    errors, winners, decided = [], set(), []

    def session(*statements):
        connection = shop.connect()
        cursor = connection.cursor()
        while time.monotonic() < end:
            for statement in statements:
                try:
                    cursor.execute(statement)
                    if statement.startswith("select marketing_automation.decide"):
                        decided.append(statement)
                except psycopg2.errors.ObjectNotInPrerequisiteState:
                    time.sleep(0.01)
                except psycopg2.Error as error:
                    errors.append(error)
        connection.close()

    def watch():
        while time.monotonic() < end:
            winners.update(shop.query("select winner_id, decided_at from marketing_automation_internal.experiment where winner_id is not null"))
            time.sleep(0.05)

    def decide():
        time.sleep(2.9)
        session("select marketing_automation.decide('welcome', 'try', 'b')", "select marketing_automation.decide('welcome', 'try', 'a')")

    process = "select marketing_automation.process_due(100)"
    some = "select marketing_automation.enroll_records('welcome', array(select id::text from shop.customer order by random() limit 20))"
    sessions = [threading.Thread(target=session, args=arguments) for arguments in ((process,), (process, some), (some, process))]
    sessions += [threading.Thread(target=watch), threading.Thread(target=decide)]
    for thread in sessions:
        thread.start()
    for thread in sessions:
        thread.join()
    shop.query("select * from marketing_automation.enroll()")
    while shop.value("select marketing_automation.process_due()"):
        pass
    assert not errors, errors[0]
    assert len(winners) == 1 and len(decided) <= 1
    assert shop.value("select count(*) from marketing_automation.branch_decision") == RECORDS
    assert shop.value("select count(*) from marketing_automation.branch_decision where activity_id is null") == 0
    assert shop.value("""
        select count(*) from marketing_automation.branch_decision d, marketing_automation_internal.experiment e
        where d.by_winner and d.activity_id <> e.winner_id""") == 0
    assert shop.value("""
        select count(*) from (
            select ra.record_id from marketing_automation.record_activity ra join marketing_automation.activity a on a.id = ra.activity_id
            where a.name in ('a', 'b') group by ra.record_id having count(*) = 1) r""") == RECORDS
    assert {what: shop.value(query) for what, query in VIOLATED.items()} == dict.fromkeys(VIOLATED, 0)


def test_who_is_in_a_share_while_it_is_decided_counts_for_the_experiment(shop):
    shop.crowd(40)
    shop.query("""
        create function shop.moment() returns timestamptz language plpgsql as $$
        begin perform pg_advisory_xact_lock_shared(4713); return now() - interval '1 hour'; end $$""")
    shop.scenario(run=False, mail=False)
    # The date is asked for after the shares have been read, and before the batch is written.
    shop.activity("try", branch_by="share", metric="conversions", at="shop.moment()", **NULL)
    shop.activity("a", parent="try", share=50, **NULL)
    shop.activity("b", parent="try", share=10, **NULL)
    shop.query("select marketing_automation.run('welcome')")
    shop.query("select * from marketing_automation.enroll()")
    holder, other = shop.connect(), shop.connect()
    holder.cursor().execute("select pg_advisory_lock(4713)")
    # Who processes holds the experiment, and decides for all; the next session goes by it, and nobody holds it any more.
    other.autocommit = False
    other.cursor().execute("select from marketing_automation.activity where name = 'try' for no key update")
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        processing = pool.submit(shop.value, "select marketing_automation.process_due()")
        wait_until(lambda: shop.query("select 1 from pg_locks where locktype = 'advisory' and not granted"), what="the date to be asked for")
        other.rollback()
        shop.query("select marketing_automation.decide('welcome', 'try', 'b')")
        holder.cursor().execute("select pg_advisory_unlock(4713)")
        assert processing.result() == 40
    other.close()
    holder.close()
    assert shop.value("select count(*) from marketing_automation.branch_decision where activity_id is not null and not by_winner") > 10
    assert shop.value("select count(*) from marketing_automation.branch_decision where by_winner") == 0
    # Who waited gets the winner, as such.
    shop.query("select marketing_automation.process_due()")
    assert shop.query("""
        select distinct a.name from marketing_automation.branch_decision d join marketing_automation.activity a on a.id = d.activity_id
        where d.by_winner""") == [("b",)]


def test_who_waits_goes_one_way(shop):
    shop.crowd(RECORDS)
    shop.scenario(run=False, mail=False)
    shop.activity("wait", wait_until="self.orders > 0", delay="6 s", **NULL)
    shop.activity("yes", parent="wait", **NULL)
    shop.activity("no", parent="wait", on_event="condition_not_met", **NULL)
    shop.query("select marketing_automation.run('welcome')")
    shop.query("select * from marketing_automation.enroll()")
    end = time.monotonic() + 9
    errors = []

    def session(statement):
        connection = shop.connect()
        cursor = connection.cursor()
        while time.monotonic() < end:
            try:
                cursor.execute(statement)
            except psycopg2.Error as error:
                errors.append(error)
        connection.close()

    statements = [
        "select marketing_automation.process_due(100)",
        "select marketing_automation.apply_waits('welcome', 200)",
        "select marketing_automation.apply_waits('welcome', 300)",
        # Back and forth, so that what was true is not any more when it is asked again.
        "update shop.customer set orders = 1 - orders where id in (select 1 + (random() * 1500)::integer from generate_series(1, 50))",
    ]
    sessions = [threading.Thread(target=session, args=(statement,)) for statement in statements]
    for thread in sessions:
        thread.start()
    for thread in sessions:
        thread.join()
    while shop.value("select marketing_automation.process_due()"):
        pass
    assert not errors, errors[0]
    ways = dict(shop.query("""
        select p.outcome || ' ' || string_agg(a.name, ' '), count(*) over (partition by p.outcome)
        from marketing_automation.record_activity p join marketing_automation.activity w on w.id = p.activity_id and w.name = 'wait'
        join marketing_automation.record_activity ra on ra.record_id = p.record_id and ra.state = 'done'
        join marketing_automation.activity a on a.id = ra.activity_id and a.parent_id = w.id
        group by p.record_id, p.outcome"""))
    assert set(ways) == {"executed yes", "condition_not_met no"} and sum(ways.values()) == RECORDS, ways
    assert ways["executed yes"] > 200, ways
