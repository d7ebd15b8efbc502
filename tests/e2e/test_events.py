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


def _open(shop, cursor=None):
    """Records an open of the only mail."""
    sql = """
        select e.known from marketing_automation.message m
        cross join lateral marketing_automation.record_events(array[gen_random_uuid()], array['email_opened'],
            array[marketing_automation.sign_token('email_opened', m.record_id, m.activity_id)],
            array[clock_timestamp()], array['GET'], array[null::inet], array[null::text]) e"""
    if cursor:
        return cursor.execute(sql)
    assert shop.value(sql)


def _outcomes(shop):
    return dict(shop.query(
        "select a.name, coalesce(r.outcome, r.state) from marketing_automation.record_activity r "
        "join marketing_automation.activity a on a.id = r.activity_id and a.parent_id is not null"))  # fmt: skip


@pytest.mark.usefixtures("mailed")
def test_an_event_that_nobody_has_applied_counts_before_the_negative_side(shop):
    keeper = shop.connect(autocommit=False)
    keeper.cursor().execute("select from marketing_automation.event_application for update")
    _open(shop)
    shop.pass_time("2 days")
    shop.query("select marketing_automation.process_due()")
    assert _outcomes(shop) == {"opened": "waiting", "not opened": "event_arrived"}
    keeper.rollback()
    shop.query("select marketing_automation.apply_events()")
    assert shop.events() == [("email_opened", 1)]


@pytest.mark.usefixtures("mailed")
def test_an_event_committed_after_the_negative_side_ran_changes_nothing_but_the_log(shop):
    late = shop.connect(autocommit=False)
    _open(shop, late.cursor())
    shop.pass_time("2 days")
    shop.query("select marketing_automation.process_due()")
    assert _outcomes(shop) == {"not opened": "executed"}
    late.commit()
    wait_until(lambda: shop.events() == [("email_opened", 1)], what="the open in the log")
    assert _outcomes(shop) == {"not opened": "executed"}


@pytest.mark.usefixtures("mailed")
def test_events_are_applied_while_sending_is_disarmed(shop):
    shop.query("delete from marketing_automation.armed")
    shop.query("select pg_reload_conf()")
    wait_until(lambda: shop.value("select state from marketing_automation.worker_status()") == "disarmed", what="the mailer to be disarmed")
    _open(shop)
    wait_until(lambda: shop.events() == [("email_opened", 1)], what="the open in the log")
    assert _outcomes(shop) == {"opened": "waiting", "not opened": "event_arrived"}
