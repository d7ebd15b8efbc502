"""Events between their commit and their effect: whoever applies them, they count once and in time."""

import pytest

from harness import wait_until


@pytest.fixture
def mailed(shop, sink):
    """A mail that was sent, with both sides of an open below it."""
    shop.customers("Ada")
    shop.scenario(run=False)
    shop.activity("opened", parent="hello", on_event="email_opened", delay="1 hour", action=None, subject=None, body=None)
    shop.activity("not opened", parent="hello", on_event="email_not_opened", delay="1 day", action=None, subject=None, body=None)
    shop.query("select marketing_automation.run('welcome')")
    shop.query("select marketing_automation.tracking_keys()")
    shop.tick()
    shop.wait_for_message("ada@example.org", "sent")


def _outcomes(shop):
    return dict(shop.query(
        "select a.name, coalesce(r.outcome, r.state) from marketing_automation.record_activity r "
        "join marketing_automation.activity a on a.id = r.activity_id and a.parent_id is not null"))  # fmt: skip


@pytest.mark.usefixtures("mailed")
def test_an_event_that_nobody_has_applied_counts_before_the_negative_side(shop):
    shop.pass_time("2 days")
    # As far as process_due() gets before the event is committed, and the rest of it.
    processing = shop.connect(autocommit=False)
    cursor = processing.cursor()
    cursor.execute("""
        select marketing_automation_internal.due_records(a, 1000, now()) from marketing_automation.activity a where a.name = 'not opened'""")
    shop.open_mail("ada@example.org")
    cursor.execute("select marketing_automation.process_due()")
    assert _outcomes(shop) == {"not opened": "waiting"}
    processing.commit()
    assert _outcomes(shop) == {"opened": "waiting", "not opened": "event_arrived"}
    assert shop.events() == [("email_opened", 1)]


@pytest.mark.usefixtures("mailed")
def test_an_event_committed_after_the_negative_side_ran_changes_nothing_but_the_log(shop):
    late = shop.connect(autocommit=False)
    shop.open_mail("ada@example.org", late.cursor())
    shop.pass_time("2 days")
    shop.query("select marketing_automation.process_due()")
    assert _outcomes(shop) == {"not opened": "executed"}
    late.commit()
    wait_until(lambda: shop.events() == [("email_opened", 1)], what="the open in the log")
    assert _outcomes(shop) == {"not opened": "executed"}


@pytest.mark.usefixtures("mailed")
def test_events_are_applied_while_sending_is_disarmed(shop):
    shop.query("delete from marketing_automation_internal.armed")
    shop.query("select pg_reload_conf()")
    wait_until(lambda: shop.value("select state from marketing_automation.worker_status()") == "disarmed", what="the mailer to be disarmed")
    shop.open_mail("ada@example.org")
    wait_until(lambda: shop.events() == [("email_opened", 1)], what="the open in the log")
    assert _outcomes(shop) == {"opened": "waiting", "not opened": "event_arrived"}


# 40 mails with clicks on four links, some on the hidden one, in an order of their own.
CLICKS = """
    insert into marketing_automation_internal.event_inbox (id, occurred_at, kind, record_id, activity_id, link_id, method)
    select gen_random_uuid(), timestamptz '2026-01-01' + floor(random() * 600) * interval '0.5 s', 'email_clicked', -1 - n %% 40, 1,
           case when random() < 0.02 then 0 else 1 + floor(random() * 4) end, 'GET'
    from generate_series(1, %s) n"""
# What the rules say of each click when it is compared with all others.
COMPARED = """
    with click as (select * from marketing_automation.event where kind = 'email_clicked'), trapped as (
        select distinct c.id from click c
        join click o on o.record_id = c.record_id and o.link_id = 0
            and o.occurred_at between c.occurred_at - interval '10 s' and c.occurred_at + interval '10 s'
    ), burst as (
        select s.record_id, s.occurred_at as since, s.occurred_at + interval '5 s' as until from click s
        join click o on o.record_id = s.record_id and o.occurred_at between s.occurred_at and s.occurred_at + interval '5 s'
        group by s.id, s.record_id, s.occurred_at having count(distinct o.link_id) >= 3
    ), near as (
        select c.robot, case when c.id in (select id from trapped) then 'hidden_link' end as trap,
               exists (select from burst b where b.record_id = c.record_id and c.occurred_at between b.since and b.until) as bursts
        from click c)
    select count(*) filter (where robot is distinct from coalesce(trap, case when bursts then 'all_links' end)),
           least(count(*) filter (where robot is null), count(*) filter (where robot = 'all_links'), count(*) filter (where robot = 'hidden_link')) > 0
    from near"""


def test_clicks_are_judged_as_if_each_was_compared_with_all_others(shop):
    shop.judge_clicks()
    cursor = shop.connect().cursor()
    cursor.execute("select setseed(0.5)")
    for _ in range(5):
        cursor.execute(CLICKS, (300,))
        cursor.execute("select marketing_automation.apply_events()")
        assert shop.query(COMPARED) == [(0, True)]
    cursor.execute("update marketing_automation_internal.event set robot = null")
    cursor.execute("select * from marketing_automation.reclassify_events('-infinity')")
    assert shop.query(COMPARED) == [(0, True)]


def test_a_mail_that_is_clicked_without_end_holds_up_nobody(shop):
    shop.judge_clicks()
    shop.query(
        """insert into marketing_automation_internal.event_inbox (id, occurred_at, kind, record_id, activity_id, link_id, method)
           select gen_random_uuid(), timestamptz '2026-01-01' + n * interval '0.2 ms', 'email_clicked', -1, 1, 1 + n % 2, 'GET'
           from generate_series(1, 20000) n"""
    )
    cursor = shop.connect(options="-c statement_timeout=60s").cursor()
    # A second; minutes if each click were compared with those around it.
    cursor.execute("select marketing_automation.apply_events(20000)")
    wait_until(lambda: shop.events() == [("email_clicked", 20000)], what="all clicks in the log")
