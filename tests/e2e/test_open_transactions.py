"""A transaction that stays open keeps what it has locked, and nothing else."""


import pytest

from harness import wait_until

NULL = {"action": None, "subject": None, "body": None}
# What is not held must be done before this; what waits for a lock without bound is cancelled.
SOON = "-c statement_timeout=60s"


@pytest.fixture
def other(shop):
    """A session that does not wait for ever."""
    connection = shop.connect(options=SOON)
    yield connection.cursor()
    connection.close()


@pytest.fixture
def campaign(shop, sink):
    """Three mails of a campaign with children, and another one."""
    shop.customers("Ada", "Ben", "Cleo")
    shop.scenario(run=False)
    shop.activity("next", parent="hello", delay="1 hour", **NULL)
    shop.activity("opened", parent="hello", on_event="email_opened", **NULL)
    shop.activity("not opened", parent="hello", on_event="email_not_opened", delay="1 hour", **NULL)
    shop.query("select marketing_automation.run('welcome')")
    shop.scenario("other", mail=False, run=False, domain="self.id > 3")
    shop.activity("root", scenario="other", **NULL)
    shop.query("select marketing_automation.run('other')")
    shop.query("select marketing_automation.tracking_keys()")
    shop.wait_for_worker()
    shop.tick()
    wait_until(lambda: set(shop.messages().values()) == {"sent"} and len(shop.messages()) == 3, what="the mails to be sent")
    return shop


OPEN = {
    "block": "select marketing_automation.block(uuid) from marketing_automation.record where key = '1'",
    "process_due": "select marketing_automation.process_due()",
    "process_due of one": "select marketing_automation.process_due(1)",
    "enroll": "select * from marketing_automation.enroll('welcome')",
    "enroll of all": "select * from marketing_automation.enroll()",
    "apply_events": "select marketing_automation.apply_events()",
    "complaint": "select marketing_automation_internal.complain(id) from marketing_automation.message where email like 'ada@%'",
    "forget": "select marketing_automation.forget('ada@example.org')",
    "deletion": "delete from marketing_automation.activity where name = 'root'",
    "rename": "update marketing_automation.activity set name = 'renamed' where name = 'hello'",
    "template": "update marketing_automation.activity set subject = 'Other' where name = 'hello'",
    "rehearse": "select count(*) from marketing_automation.rehearse('{welcome,other}'::text[], now() + interval '3 days')",
    "reclassify": "select * from marketing_automation.reclassify_events(now() - interval '1 hour')",
}


@pytest.mark.parametrize("what", OPEN)
def test_an_open_transaction_keeps_nobody_from_the_rest(campaign, other, what):
    shop = campaign
    shop.open_mail("ada@example.org")
    wait_until(lambda: shop.events() == [("email_opened", 1)], what="the open in the log")
    shop.pass_time("1 hour")
    holder = shop.connect(autocommit=False)
    holder.cursor().execute(OPEN[what])
    shop.open_mail("ben@example.org")
    shop.customers("Dora", "Emil")

    other.execute("select * from marketing_automation.enroll()")
    other.execute("call marketing_automation.process_all_due()")

    # The other campaign goes on, but for what the holder holds of it.
    if what not in ("enroll of all", "deletion"):
        assert shop.value("select count(*) from marketing_automation.record_activity ra join marketing_automation.activity a "
                          "on a.id = ra.activity_id where a.name = 'root' and ra.state = 'done'") == 2  # fmt: skip
    # So does this one, for those whose rows are free.
    if what in ("block", "complaint", "forget", "process_due of one"):
        done = shop.query("""
            select r.key from marketing_automation.record_activity ra join marketing_automation.activity a on a.id = ra.activity_id
            join marketing_automation.record r on r.id = ra.record_id where a.name = 'next' and ra.state = 'done' order by 1""")
        assert len(done) >= 2
    holder.rollback()
    shop.tick()
    wait_until(lambda: shop.events() == [("email_opened", 2)], what="both opens in the log")
    assert not shop.query("select last_error from marketing_automation.scenario_status where last_error is not null")
    assert shop.value("select count(*) from marketing_automation.record_activity ra join marketing_automation.activity a "
                      "on a.id = ra.activity_id where a.name = 'next' and ra.state = 'done'") == 3  # fmt: skip


def test_events_are_applied_beside_a_process_due_that_is_left_open(campaign):
    shop = campaign
    # It applies one event, and so holds that mail.
    holder = shop.connect(autocommit=False)
    cursor = holder.cursor()
    shop.open_mail("ada@example.org", cursor)
    cursor.execute("select marketing_automation.process_due()")
    shop.open_mail("ben@example.org")
    wait_until(lambda: shop.events() == [("email_opened", 1)], what="the event of another mail to be applied")
    shop.open_mail("ada@example.org")
    wait_until(lambda: shop.value("select count(*) from marketing_automation_internal.event_inbox") == 1, what="the inbox to hold one event")
    holder.commit()
    wait_until(lambda: shop.events() == [("email_opened", 3)], what="all events to be applied")


def test_results_of_mails_are_recorded_beside_a_block_that_is_left_open(shop, sink):
    shop.customers("Ada", "Ben", "Cleo")
    shop.scenario(run=False)
    shop.activity("next", parent="hello", **NULL)
    shop.query("select marketing_automation.run('welcome')")
    shop.wait_for_worker()
    sink.delay(1)
    shop.tick()
    wait_until(lambda: set(shop.messages().values()) == {"sending"}, what="the mails to be claimed")
    holder = shop.connect(autocommit=False)
    holder.cursor().execute("select marketing_automation.block(uuid) from marketing_automation.record where key = '1'")
    wait_until(lambda: set(shop.messages().values()) == {"sent"}, what="all results to be recorded")
    children = "select r.key from marketing_automation_internal.waiting_activity w join marketing_automation.record r on r.id = w.record_id order by 1"
    assert shop.query(children) == [("2",), ("3",)]
    holder.rollback()
    wait_until(lambda: shop.query(children) == [("1",), ("2",), ("3",)], what="the child of the mail that was held")


def test_a_bounce_is_recorded_beside_a_block_that_is_left_open(campaign):
    shop = campaign
    holder = shop.connect(autocommit=False)
    holder.cursor().execute("select marketing_automation.block(uuid) from marketing_automation.record where key = '1'")
    session = shop.connect(options=SOON)
    session.cursor().execute("select marketing_automation_internal.mark_bounced(array_agg(id)) from marketing_automation.message")
    session.cursor().execute("select marketing_automation_internal.mark_bounced(array_agg(id)) from marketing_automation.message")
    assert set(shop.messages().values()) == {"bounced"}
    assert shop.events() == [("email_bounced", 2)]
    holder.rollback()
    wait_until(lambda: dict(shop.events()).get("email_bounced") == 3, what="the third bounce in the log")
    assert shop.value("select count(*) from marketing_automation_internal.finished_activity where bounced_at is not null") == 3


def test_who_asks_for_one_scenario_waits_a_second_for_it(shop):
    shop.customers("Ada")
    shop.scenario()
    holder = shop.connect(autocommit=False)
    holder.cursor().execute("select * from marketing_automation.enroll()")
    [(_, enrolled, error)] = shop.query("select * from marketing_automation.enroll('welcome')")
    assert (enrolled, error) == (0, "another session has been enrolling it for more than a second")
    holder.commit()
    assert shop.query("select * from marketing_automation.enroll('welcome')") == [("welcome", 0, None)]


def test_events_of_others_are_found_behind_many_that_somebody_holds(campaign):
    shop = campaign
    holder = shop.connect(autocommit=False)
    holder.cursor().execute("select marketing_automation.block(uuid) from marketing_automation.record where key = '1'")
    shop.query("""
        insert into marketing_automation_internal.event_inbox (id, occurred_at, kind, record_id, activity_id, method)
        select gen_random_uuid(), now(), 'email_opened', m.record_id, m.activity_id, 'GET'
        from generate_series(1, 20000), marketing_automation.message m where m.email like 'ada@%'""")
    shop.open_mail("ben@example.org")
    wait_until(lambda: shop.events() == [("email_opened", 1)], what="the event behind them")
    holder.rollback()
    wait_until(lambda: dict(shop.events()).get("email_opened") == 20001, 60, what="the others")
