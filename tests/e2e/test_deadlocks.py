"""Pairs of what works at the same time on the same rows: each goes on, and no two wait for each other."""

import psycopg2
import pytest
from e2e.at_once import run_at_once

NULL = {"action": None, "subject": None, "body": None}
RECORDS = 200
# What is said to people: a scenario that has another name just now.
TOLD = (psycopg2.errors.ObjectInUse, psycopg2.errors.UniqueViolation, psycopg2.errors.UndefinedObject)

OPEN = """
    select count(*) from marketing_automation.record_events(
        array(select gen_random_uuid() from unnest(%(records)s::bigint[])), array(select 'email_opened' from unnest(%(records)s::bigint[])),
        array(select marketing_automation_internal.sign_token('email_opened', r, %(mail)s) from unnest(%(records)s::bigint[]) r),
        array(select clock_timestamp() from unnest(%(records)s::bigint[])), array(select 'GET' from unnest(%(records)s::bigint[])),
        array(select null::inet from unnest(%(records)s::bigint[])), array(select null::text from unnest(%(records)s::bigint[])))"""
SOME = "select array_agg(id) as records from (select id from marketing_automation.record order by random() limit 20) r"
ONE = "select uuid from marketing_automation.record order by random() limit 1"
DUE = """
    update marketing_automation_internal.waiting_activity set at = now() where ctid = any (array(
        select ctid from marketing_automation_internal.waiting_activity order by random() limit 20 for update skip locked))"""

# What each does again and again, statement by statement, each of them a transaction.
STEPS = {
    "enroll": ["insert into shop.customer (id, name, email) select max(id) + 1, 'c', 'c' || max(id) + 1 || '@example.org' from shop.customer",
               "select * from marketing_automation.enroll()"],
    "enroll one": ["select * from marketing_automation.enroll('broken')", "select * from marketing_automation.enroll('welcome')"],
    "process": ["call marketing_automation.process_all_due()"],
    "process in one": [
        "begin; select marketing_automation.process_due(5); select marketing_automation.process_due(5); select marketing_automation.apply_events(5); commit"],
    "due": [DUE],
    "apply": ["select marketing_automation.apply_events()"],
    "open": [OPEN],
    "reclassify": ["update marketing_automation.robot_rule set is_enabled = not is_enabled where name = 'head'",
                   "select * from marketing_automation.reclassify_events(now() - interval '1 hour')"],
    "bounce": ["select marketing_automation_internal.record_dead_mailboxes(array_agg(id)) from "
               "(select id from marketing_automation.message where state in ('sent', 'failed', 'bounced') order by random() limit 3) m"],
    "hard bounce": ["select marketing_automation.suppress(m.email, 'hard_bounce'), marketing_automation_internal.mark_bounced(array[m.id]) from "
                    "(select * from marketing_automation.message where email <> '' and record_id < 20 order by random() limit 1) m"],
    "complaint": ["select marketing_automation.suppress(m.email, 'complaint'), marketing_automation_internal.complain(m.id) from "
                  "(select * from marketing_automation.message where email <> '' and record_id < 20 order by random() limit 1) m"],
    "forget": ["select marketing_automation.forget('c' || 1 + (random() * 20)::int || '@example.org')"],
    "block": [f"select marketing_automation.block(r.uuid) from ({ONE}) r", f"select marketing_automation.unblock(r.uuid) from ({ONE}) r"],
    "leave": ["select marketing_automation.unsubscribe((random() * 20)::int::text)", "select marketing_automation.resubscribe((random() * 20)::int::text)"],
    "rename": ["update marketing_automation.scenario set name = 'renamed' where name = 'welcome'",
               "update marketing_automation.scenario set name = 'welcome' where name = 'renamed'"],
    "edit": ["update marketing_automation.activity set condition = 'self.orders >= 0' where name = 'next'",
             "update marketing_automation.activity set condition = null where name = 'next'"],
    "tree": ["select marketing_automation.add_activity('welcome', 'late', parent => 'next', delay => '1 hour', action => null)",
             "delete from marketing_automation.activity where name = 'late' and not exists "
             "(select from marketing_automation.record_activity ra where ra.activity_id = id)"],
}  # fmt: skip

PAIRS = [
    ("enroll", "enroll one"), ("enroll", "process"), ("process", "apply"), ("process in one", "apply"), ("process in one", "process in one"),
    ("reclassify", "process"), ("reclassify", "apply"), ("forget", "bounce"), ("forget", "hard bounce"), ("forget", "complaint"),
    ("forget", "forget"), ("forget", "process"), ("complaint", "block"), ("complaint", "hard bounce"), ("block", "process"), ("block", "apply"),
    ("block", "reclassify"), ("block", "forget"), ("leave", "process"), ("leave", "block"), ("bounce", "process"),
    ("tree", "process"), ("tree", "apply"), ("edit", "process"), ("rename", "process"), ("edit", "enroll"), ("rename", "enroll"),
]  # fmt: skip


@pytest.mark.parametrize("pair", PAIRS, ids=" with ".join)
def test_no_two_wait_for_each_other(shop, sink, pair):
    shop.crowd(RECORDS)
    shop.scenario(run=False)
    shop.activity("next", parent="hello", delay="300 ms", **NULL)
    shop.activity("opened", parent="hello", on_event="email_opened", **NULL)
    shop.activity("not opened", parent="hello", on_event="email_not_opened", delay="300 ms", **NULL)
    shop.query("update marketing_automation.scenario set goal = 'self.id % 7 = 0', goal_ends_journey = true")
    shop.query("select marketing_automation.run('welcome')")
    for name in ("broken", "broken too"):
        shop.query("alter table shop.customer add if not exists old integer default 1")
        shop.scenario(name, mail=False, run=False)
        shop.activity(f"root of {name}", scenario=name, condition="self.old = 1", **NULL)
        shop.query("select marketing_automation.run(%s)", name)
    shop.query("select marketing_automation.tracking_keys()")
    shop.query("select * from marketing_automation.enroll()")
    # Both enroll no more, and process no more.
    shop.query("alter table shop.customer drop old")
    shop.query("call marketing_automation.process_all_due(20)")
    mail = shop.value("select id from marketing_automation.activity where name = 'hello'")

    def execute(cursor, statement):
        cursor.execute(SOME)
        [(records,)] = cursor.fetchall()
        cursor.execute(statement, {"records": records, "mail": mail} if statement == OPEN else None)

    # What makes work for them.
    run_at_once(shop, [*pair, *pair, "due", "open"], STEPS, execute, lambda error: isinstance(error, TOLD))
