"""Who leaves and comes back goes on as if they had not left, but for what happened meanwhile."""

import threading

import psycopg2
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


# While a session holds the lock a batch stops after it has seen who has left, at another customer's condition.
SLOW = """
create function shop.waits(row_id integer) returns boolean language plpgsql as $$
begin
    if row_id = 2 then perform pg_advisory_xact_lock(4712); end if;
    return true;
end $$;
"""


@pytest.fixture
def leaving(shop):
    """Ada has left, before anything has run for her."""
    shop.query(f"alter database \"{shop.database}\" set marketing_automation.expression_lock_timeout = 0")
    shop.psql(SLOW)
    shop.customers("Ada", "Ben")
    shop.scenario(condition="shop.waits(self.id)", **NULL)
    shop.query("select * from marketing_automation.enroll()")
    shop.query("select marketing_automation.unsubscribe('1')")
    return shop


def _state_of_ada(shop):
    return shop.query("""
        select coalesce(ra.outcome, ra.state) from marketing_automation.record_activity ra
        join marketing_automation.record r on r.id = ra.record_id where r.key = '1'""")  # fmt: skip


def _batch(shop, errors):
    def run():
        try:
            shop.query("select marketing_automation.process_due()")
        except psycopg2.Error as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_a_batch_that_had_seen_the_party_away_cancels_nothing_when_it_is_back_before_it_ends(leaving):
    shop, errors = leaving, []
    with shop.connect(autocommit=False) as holder, holder.cursor() as cursor:
        cursor.execute("select pg_advisory_lock(4712)")
        thread = _batch(shop, errors)
        wait_until(lambda: shop.query("select 1 from pg_locks where locktype = 'advisory' and not granted"), what="the batch")
        shop.query("select marketing_automation.resubscribe('1')")
        cursor.execute("select pg_advisory_unlock(4712)")
        thread.join(60)
    assert errors == []
    assert _state_of_ada(shop) == [("waiting",)]
    shop.query("call marketing_automation.process_all_due()")
    assert _state_of_ada(shop) == [("executed",)]
    assert shop.query("select done, cancelled from marketing_automation.activity_count('welcome')") == [(2, 0)]


def test_a_batch_beside_a_party_that_is_about_to_come_back_leaves_it_and_ends(leaving):
    shop = leaving
    with shop.connect(autocommit=False) as holder, holder.cursor() as cursor:
        cursor.execute("select marketing_automation.resubscribe('1')")
        # Whatever becomes of the other transaction.
        shop.query("call marketing_automation.process_all_due()")
        assert _state_of_ada(shop) == [("waiting",)]
        holder.rollback()
    shop.query("call marketing_automation.process_all_due()")
    assert _state_of_ada(shop) == [("blocked",)]
    assert shop.query("select done, cancelled from marketing_automation.activity_count('welcome')") == [(1, 1)]


@pytest.mark.parametrize("before", [False, True], ids=["first", "second"])
def test_who_comes_back_waits_for_a_batch_that_is_open_and_finds_what_it_has_cancelled(leaving, before):
    shop, errors = leaving, []
    if before:
        shop.activity("more", **NULL)
        shop.query("insert into marketing_automation_internal.waiting_activity (record_id, activity_id, at) "
                   "select r.id, a.id, now() + interval '1 hour' from marketing_automation.record r, marketing_automation.activity a where a.name = 'more'")  # fmt: skip
        shop.query("call marketing_automation.process_all_due()")
        shop.query("update marketing_automation_internal.waiting_activity set at = now()")
    with shop.connect(autocommit=False) as holder, holder.cursor() as cursor:
        cursor.execute("select marketing_automation.process_due()")
        thread = threading.Thread(target=lambda: shop.query("select marketing_automation.resubscribe('1')"))
        thread.start()
        wait_until(lambda: shop.query("select 1 from pg_locks where not granted"), what="who comes back to wait")
        holder.commit()
        thread.join(60)
    assert set(_state_of_ada(shop)) == {("waiting",)}
    shop.query("call marketing_automation.process_all_due()")
    assert set(_state_of_ada(shop)) == {("executed",)}
    assert shop.value("select sum(cancelled) from marketing_automation.activity_count('welcome')") == 0


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

    # All at one moment, as a scanner's: on a busy machine three statements may take longer than the rule allows.
    at = shop.value("select clock_timestamp() - interval '1 minute'")

    def click(link, method="GET"):
        shop.query("""
            select e.known from marketing_automation.message m
            cross join lateral marketing_automation.record_events(array[gen_random_uuid()], array['email_clicked'],
                array[marketing_automation_internal.sign_token('email_clicked', m.record_id, m.activity_id, %s)],
                array[%s::timestamptz], array[%s], array[null::inet], array['Mozilla/5.0 Firefox']) e""", link, at, method)  # fmt: skip

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
