"""Alternatives: whatever moves while several sessions process, each record takes one, and none takes two."""

import itertools
import random
import threading
import time

import psycopg2
import pytest

from e2e.test_deadlocks import NULL

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
    shop.query("update shop.customer set orders = id %% 12")
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
