"""What asks all records (exits, goals, dates, waits), experiments, topics and rows that enter again, beside each other and beside transactions
that stay open: each goes on with what is free, and no two wait for each other."""


import psycopg2
import pytest
from e2e.at_once import run_at_once

from harness import wait_until

NULL = {"action": None, "subject": None, "body": None}
SOON = "-c statement_timeout=60s"


def _campaign(shop, name, domain):
    """One of every kind that is asked of records that wait."""
    shop.scenario(name, domain=domain, run=False)
    shop.activity("ordered", scenario=name, wait_until="self.orders = 1", delay="1 day", **NULL)
    shop.activity("day", scenario=name, at="case when self.orders < 2 then timezone('UTC', '2100-01-01'::timestamp) else now() end", **NULL)
    shop.activity("split", scenario=name, branch_by="share", metric="conversions", decide_after="1 hour", **NULL)
    for variant in ("one", "two"):
        shop.activity(variant, scenario=name, parent="split", share=10, **NULL)
    shop.query("""
        update marketing_automation.scenario set goal = 'self.orders > 5', exit_condition = 'self.orders = 3', reenter_after = '0', topic = 'news'
        where name = %s""", name)  # fmt: skip
    shop.query("select marketing_automation.run(%s)", name)


@pytest.fixture
def campaigns(shop, sink):
    """Two campaigns with such activities, of which `other` is the one that nobody holds, and a frequency cap."""
    shop.query("insert into marketing_automation.topic (name, title) values ('news', 'News')")
    shop.query("insert into marketing_automation.frequency_cap (message_class, mails, per) values ('marketing', 1, '1 hour')")
    shop.crowd(40)
    _campaign(shop, "welcome", "self.id <= 20")
    _campaign(shop, "other", "self.id > 20")
    shop.query("select marketing_automation.tracking_keys()")
    shop.tick()
    # Who leaves by an exit condition before a mail does enters again by the run that a test makes.
    wait_until(lambda: set(shop.messages().values()) == {"sent"}, what="the first mails")
    return shop


OPEN = {
    "apply_exits of one": "select marketing_automation.apply_exits('welcome')",
    "apply_goals of one": "select marketing_automation.apply_goals('welcome')",
    "apply_dates of one": "select marketing_automation.apply_dates('welcome')",
    "apply_waits of one": "select marketing_automation.apply_waits('welcome')",
    "apply_waits": "select marketing_automation.apply_waits()",
    "decide": "select marketing_automation.decide('welcome', 'split', 'two')",
    "subscribe": "select marketing_automation.subscribe('1', 'news')",
    "unsubscribe_from": "select marketing_automation.unsubscribe_from('1', 'news')",
    "record_conversion": "select marketing_automation.record_conversion(uuid) from marketing_automation.record where key = '1'",
    "enroll_record": "select marketing_automation.enroll_record('welcome', '41')",
    "replace": "select marketing_automation.add_activity('welcome', 'day', at => 'now()', action => null, replace => true)",
    "priority": "update marketing_automation.scenario set priority = 5 where name = 'welcome'",
    "cap": "update marketing_automation.frequency_cap set mails = 2",
    "topic": "update marketing_automation.topic set opt_in = 'double' where name = 'news'",
    "window": "insert into marketing_automation.send_window (name) values ('office')",
    "simulate": "select count(*) from marketing_automation.simulate('welcome', '1')",
}

DONE = """
    select count(*) from marketing_automation.record_activity ra join marketing_automation.activity a on a.id = ra.activity_id
    where a.scenario_id = marketing_automation.scenario_id(%s) and a.name = 'ordered' and ra.state = 'done' and ra.outcome = 'executed'"""


@pytest.mark.parametrize("what", OPEN)
def test_an_open_transaction_keeps_no_sweep_from_the_rest(campaigns, what):
    shop = campaigns
    shop.query("insert into shop.customer (id, name, email) values (41, 'c41', 'c41@example.org')")
    holder = shop.connect(autocommit=False)
    holder.cursor().execute(OPEN[what])
    shop.query("update shop.customer set orders = case when id % 4 = 0 then 3 when id % 4 = 1 then 6 else 1 end")
    shop.query("update marketing_automation_internal.sweep set rests_until = '-infinity' where ctid = any (array("
               "select ctid from marketing_automation_internal.sweep for update skip locked))")  # fmt: skip
    other = shop.connect(options=SOON).cursor()
    other.execute("select * from marketing_automation.enroll()")
    other.execute("call marketing_automation.process_all_due()")
    assert shop.value(DONE, "other") == 10
    assert shop.value("select count(*) from marketing_automation.record where end_reason = 'exited' and scenario_id = marketing_automation.scenario_id('other')") == 5
    assert shop.value("select count(*) from marketing_automation.conversion c where c.source = 'goal' and c.scenario_id = marketing_automation.scenario_id('other')") == 5
    assert not shop.query("select last_error from marketing_automation.scenario_status where last_error is not null")
    holder.rollback()
    shop.query("update marketing_automation_internal.sweep set rests_until = '-infinity'")
    shop.tick()
    assert shop.value(DONE, "welcome") == 10


@pytest.mark.parametrize("what", ["exits", "goals", "dates", "waits"])
def test_who_asks_for_one_scenario_waits_a_second_for_who_is_at_it(campaigns, what):
    shop = campaigns
    call = f"select marketing_automation.apply_{what}('welcome')"
    holder = shop.connect(autocommit=False)
    holder.cursor().execute(call)
    with pytest.raises(psycopg2.errors.LockNotAvailable, match='another session has been asking the records of scenario "welcome" for more than a second'):
        shop.connect(options=SOON).cursor().execute(call)
    holder.commit()
    shop.query(call)


def test_what_takes_long_to_ask_leaves_time_for_what_is_due(shop):
    shop.setting("expression_timeout", "800ms")
    shop.crowd(60)
    for name in ("long", "quick"):
        shop.scenario(name, mail=False, run=False)
        shop.activity("waits", scenario=name, wait_until="self.orders = 1", delay="1 day", **NULL)
    shop.activity("due", scenario="quick", **NULL)
    for name in ("long", "quick"):
        shop.query("select marketing_automation.run(%s)", name)
    shop.query("select * from marketing_automation.enroll()")
    # Three records a second, of sixty, one in each slice.
    shop.query("update marketing_automation.activity set wait_until = 'pg_sleep(0.3) is null' where scenario_id = marketing_automation.scenario_id('long')")
    shop.query("insert into marketing_automation_internal.sweep (scenario_id, what, batch_size) select marketing_automation.scenario_id('long'), 'wait', 1")
    shop.query("update shop.customer set orders = 1")
    shop.psql("call marketing_automation.process_all_due()")
    done = "select count(*) from marketing_automation.record_activity where state = 'done' and activity_id in (select id from marketing_automation.activity where name = %s)"
    assert shop.value(done, "due") == 60
    # The other one had its turn, too, and this one goes on from where it is.
    assert shop.value(done, "waits") == 60
    reached, last = shop.query(
        "select (select reached_record from marketing_automation_internal.sweep where scenario_id = s.id and what = 'wait'),"
        " (select max(id) from marketing_automation.record where scenario_id = s.id) from marketing_automation.scenario s where name = 'long'"
    )[0]
    assert 0 < reached < last


SOME = "select (random() * 20)::integer::text"
STEPS = {
    "sweeps": [f"select marketing_automation.apply_{what}()" for what in ("exits", "goals", "dates", "waits")],
    "sweeps of one": [f"select marketing_automation.apply_{what}('welcome')" for what in ("waits", "dates", "goals", "exits")],
    "process": ["call marketing_automation.process_all_due(20)"],
    "process in one": ["begin; select marketing_automation.process_due(5); select marketing_automation.process_due(5); commit"],
    "enroll": ["select * from marketing_automation.enroll()"],
    "enter": ["select marketing_automation.enroll_records('welcome', array(select k::text from generate_series(1, 20) k order by random()))"],
    "choose": [f"select marketing_automation.unsubscribe_from(({SOME}), 'news')", f"select marketing_automation.subscribe(({SOME}), 'news')"],
    "block": ["select marketing_automation.block(r.uuid) from (select uuid from marketing_automation.record order by random() limit 1) r",
              "select marketing_automation.unblock(r.uuid) from (select uuid from marketing_automation.record order by random() limit 1) r"],
    "convert": ["select marketing_automation.record_conversion(r.uuid) from (select uuid from marketing_automation.record order by random() limit 1) r"],
    "forget": ["select marketing_automation.forget('c' || 1 + (random() * 5)::integer || '@example.org')"],
    "claim": ["select count(*) from marketing_automation_internal.claim_messages(5)"],
    "priority": ["update marketing_automation.scenario set priority = 1 - priority where name = 'welcome'"],
    "edit": ["update marketing_automation.activity set wait_until = 'self.orders in (1, 2)' where name = 'ordered' and scenario_id = marketing_automation.scenario_id('welcome')",
             "update marketing_automation.activity set wait_until = 'self.orders = 1' where name = 'ordered' and scenario_id = marketing_automation.scenario_id('welcome')"],
    # What makes work for them.
    "live": ["update shop.customer set orders = (random() * 7)::integer where id = (random() * 40)::integer",
             "update marketing_automation_internal.sweep set rests_until = '-infinity' where ctid = any (array("
             "select ctid from marketing_automation_internal.sweep for update skip locked))"],
}  # fmt: skip

PAIRS = [
    ("sweeps", "sweeps of one"), ("sweeps", "process"), ("sweeps", "enroll"), ("sweeps", "enter"), ("sweeps", "choose"), ("sweeps", "block"),
    ("sweeps", "forget"), ("sweeps", "claim"), ("sweeps", "edit"), ("sweeps of one", "process in one"), ("sweeps of one", "claim"),
    ("claim", "choose"), ("claim", "process in one"), ("claim", "forget"), ("enter", "enroll"), ("enter", "choose"), ("enter", "block"), ("enter", "forget"),
    ("convert", "sweeps"), ("convert", "forget"), ("priority", "process"), ("choose", "process in one"), ("choose", "forget"),
]  # fmt: skip


@pytest.mark.parametrize("pair", PAIRS, ids=" with ".join)
def test_no_two_of_what_works_beside_sweeps_wait_for_each_other(campaigns, pair):
    shop = campaigns

    def is_told(error):
        # Who asks for one scenario is told after a second that somebody is at it.
        return isinstance(error, psycopg2.errors.LockNotAvailable) and "for more than a second" in str(error)

    run_at_once(shop, [*pair, *pair, "live"], STEPS, lambda cursor, statement: cursor.execute(statement), is_told)
    # Whatever was lost between them shows: each record takes one alternative, and one conversion by the goal.
    assert not shop.query("select record_id from marketing_automation.conversion where source = 'goal' group by 1 having count(*) > 1")
    assert not shop.query("""
        select w.record_id from marketing_automation_internal.waiting_activity w
        join marketing_automation_internal.finished_activity f using (record_id, activity_id)""")
