"""Who leaves and comes back goes on as if they had not left, but for what happened meanwhile."""

import pytest

from harness import wait_until

NULL = {"action": None, "subject": None, "body": None}


def _states(shop):
    return dict(shop.query(
        "select a.name, coalesce(ra.outcome, ra.state) from marketing_automation.record_activity ra "
        "join marketing_automation.activity a on a.id = ra.activity_id"))  # fmt: skip


@pytest.fixture
def away(shop, sink):
    """A mail that has not been read, and its record blocked."""
    shop.customers("Ada")
    shop.scenario(run=False)
    for kind in ("opened", "clicked", "bounced"):
        shop.activity(kind, parent="hello", on_event=f"email_{kind}", delay="1 hour", **NULL)
        shop.activity(f"not {kind}", parent="hello", on_event=f"email_not_{kind}", delay="1 hour", **NULL)
    shop.query("select marketing_automation.run('welcome')")
    shop.query("select marketing_automation.tracking_keys()")
    shop.tick()
    shop.wait_for_message("ada@example.org", "sent")
    shop.query("select marketing_automation.block(uuid) from marketing_automation.record")
    return shop


def test_what_happened_to_a_mail_while_its_record_was_blocked_decides_its_children(away):
    shop = away
    shop.open_mail("ada@example.org")
    wait_until(lambda: dict(shop.events()).get("email_opened") == 1, what="the open in the log")
    shop.query("select marketing_automation_internal.mark_bounced(array[id]) from marketing_automation.message")
    assert set(_states(shop).values()) == {"mailed", "blocked"}
    shop.query("select marketing_automation.unblock(uuid) from marketing_automation.record")
    assert _states(shop) == {
        "hello": "mailed", "opened": "waiting", "not opened": "blocked", "not clicked": "waiting", "bounced": "waiting", "not bounced": "blocked",
    }  # fmt: skip


def test_a_journey_goes_on_after_who_left_while_their_mail_was_being_sent(shop, sink):
    shop.customers("Ada")
    shop.scenario(unsubscribable=False, run=False)
    shop.activity("next", parent="hello", **NULL)
    shop.query("select marketing_automation.run('welcome')")
    shop.tick()
    shop.wait_for_worker()
    shop.wait_for_message("ada@example.org", "sent")
    # As if the result came later than the block.
    shop.query("select marketing_automation.block(uuid) from marketing_automation.record")
    shop.query("delete from marketing_automation_internal.finished_activity where outcome = 'blocked'")
    shop.query("select marketing_automation_internal.start_or_note_children(array[record_id], array[activity_id], now()) from marketing_automation.message")
    assert _states(shop) == {"hello": "mailed", "next": "blocked"}
    shop.query("select marketing_automation.unblock(uuid) from marketing_automation.record")
    shop.tick()
    assert _states(shop) == {"hello": "mailed", "next": "executed"}


def test_what_fell_due_while_a_party_was_unsubscribed_runs_when_it_is_back(shop):
    shop.customers("Ada")
    shop.scenario(**NULL)
    shop.query("select * from marketing_automation.enroll()")
    shop.query("select marketing_automation.unsubscribe('1')")
    shop.query("call marketing_automation.process_all_due()")
    assert _states(shop) == {"hello": "blocked"}
    assert shop.value("select marketing_automation.resubscribe('1')") == 0
    assert _states(shop) == {"hello": "waiting"}
    shop.query("call marketing_automation.process_all_due()")
    assert _states(shop) == {"hello": "executed"}


def test_a_click_that_a_changed_rule_makes_a_persons_counts_with_the_next_one(shop, sink):
    shop.judge_clicks()
    shop.customers("Ada")
    shop.scenario(run=False)
    shop.activity("clicked", parent="hello", on_event="email_clicked", **NULL)
    shop.query("select marketing_automation.run('welcome')")
    shop.query("select marketing_automation.tracking_keys()")
    shop.tick()
    shop.wait_for_message("ada@example.org", "sent")
    links = [row[0] for row in shop.query("select id from marketing_automation_internal.link_ids(array['https://a.example/', 'https://b.example/', 'https://c.example/'])")]

    def click(link, method="GET"):
        shop.query("""
            select e.known from marketing_automation.message m
            cross join lateral marketing_automation.record_events(array[gen_random_uuid()], array['email_clicked'],
                array[marketing_automation_internal.sign_token('email_clicked', m.record_id, m.activity_id, %s)],
                array[clock_timestamp() - interval '1 minute'], array[%s], array[null::inet], array['Mozilla/5.0 Firefox']) e""", link, method)  # fmt: skip

    def people():
        return shop.value("select count(*) from marketing_automation.event where kind = 'email_clicked' and robot is null")

    holder = shop.connect(autocommit=False)
    holder.cursor().execute("select from marketing_automation_internal.finished_activity for update")
    for link in links:
        click(link)
    holder.commit()
    wait_until(lambda: dict(shop.events()).get("email_clicked") == 3, what="the clicks in the log")
    assert people() == 0 and _states(shop) == {"hello": "mailed"}
    shop.query("update marketing_automation.robot_rule set is_enabled = false where name = 'all_links'")
    click(links[0], method="HEAD")
    wait_until(lambda: people() == 3, what="the clicks to be a person's")
    assert _states(shop).keys() == {"hello", "clicked"}
    assert shop.value("select count(*) from marketing_automation_internal.finished_activity where clicked_at is not null") == 1
