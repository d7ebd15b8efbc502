"""Rows that enter a scenario again: one journey at a time, once for each occasion, whoever enrolls, processes and blocks meanwhile."""

import random
import threading
import time

import psycopg2
import pytest

from harness import wait_until

NULL = {"action": None, "subject": None, "body": None}
SOON = "-c statement_timeout=60s"
ENTER = "select marketing_automation.enroll_record('welcome', %s)"
KEYS = 12

# Each finds what must not be.
VIOLATIONS = {
    "two journeys at a time": """
        select count(*) from (
            select from marketing_automation.record r
            where exists (select from marketing_automation_internal.waiting_activity w where w.record_id = r.id)
            group by r.scenario_id, r.key having count(*) > 1) t""",
    "two records that have not ended": """
        select count(*) from (select from marketing_automation.record r where r.end_reason is null group by r.scenario_id, r.key having count(*) > 1) t""",
    "twice for an occasion": """
        select count(*) from (
            select from marketing_automation.record r where r.occasion is not null group by r.scenario_id, r.key, r.occasion having count(*) > 1) t""",
    "numbered with a gap": """
        select count(*) from (select from marketing_automation.record r group by r.scenario_id, r.key having count(*) <> max(r.run)) t""",
    "has entered again after it was blocked": """
        select count(*) from marketing_automation.record r
        where r.blocked_at is null and not exists (select from marketing_automation.record l where (l.scenario_id, l.key) = (r.scenario_id, r.key) and l.run > r.run)
          and exists (select from marketing_automation.record b where (b.scenario_id, b.key) = (r.scenario_id, r.key) and b.blocked_at is not null)""",
    "an activity was lost": """
        select count(*) from marketing_automation.record r
        where not exists (select from marketing_automation.record_activity a where a.record_id = r.id)""",
    "the counter differs": """
        select abs((select count(*) from marketing_automation.record) - (select records from marketing_automation.record_count('welcome')))""",
}


def violations(shop):
    return {what: count for what, sql in VIOLATIONS.items() if (count := shop.value(sql))}


@pytest.fixture
def campaign(shop):
    """A scenario that rows enter again at once, for whatever number of orders they have then."""
    shop.crowd(KEYS)
    shop.scenario(mail=False, run=False)
    shop.activity("one", **NULL)
    shop.activity("two", parent="one", delay="20 ms", **NULL)
    return shop


@pytest.mark.parametrize("occasion", [None, "nullif(self.orders, 3)"], ids=["always", "for_orders"])
def test_whatever_sessions_do_a_row_has_one_journey_at_a_time(campaign, occasion):
    campaign.query("update marketing_automation.scenario set reenter_after = '10 ms', occasion = %s where name = 'welcome'", occasion)
    campaign.query("select marketing_automation.run('welcome')")
    enough = threading.Event()
    errors, entered = [], []

    def repeat(work):
        connection = campaign.connect(autocommit=True, options=SOON)
        chance = random.Random(work.__name__)
        try:
            while not enough.is_set():
                try:
                    work(connection.cursor(), chance)
                except psycopg2.errors.LockNotAvailable:
                    pass  # Somebody changes the scenario, or blocks.
        except psycopg2.Error as error:
            errors.append(f"{work.__name__}: {error}")
        finally:
            connection.close()

    def enroll(cursor, _):
        cursor.execute("select enrolled, error from marketing_automation.enroll('welcome')")
        count, error = cursor.fetchone()
        entered.append(count)
        if error and "another session" not in error:
            errors.append(error)

    def enter_one(cursor, chance):
        cursor.execute(ENTER, (str(chance.randint(1, KEYS)),))

    def enter_some(cursor, chance):
        cursor.execute("select marketing_automation.enroll_records('welcome', %s)", ([str(n) for n in chance.sample(range(1, KEYS + 1), 5)],))

    def process(cursor, _):
        cursor.execute("select marketing_automation.process_due(7)")

    def buy(cursor, chance):
        cursor.execute("update shop.customer set orders = %s where id = %s", (chance.randint(0, 40), chance.randint(1, KEYS)))

    def block_and_unblock(cursor, chance):
        key = str(chance.randint(1, 4))
        for what in ("block", "unblock") if key != "4" else ("block",):
            cursor.execute(
                f"select count(marketing_automation.{what}(r.uuid)) from (select uuid from marketing_automation.record where key = %s order by random() limit 1) r",
                (key,),
            )
            time.sleep(0.02)

    def look(_, __):
        for what, count in violations(campaign).items():
            errors.append(f"{what}: {count}")

    threads = [threading.Thread(target=repeat, args=(work,)) for work in (enroll, enter_one, enter_some, process, process, buy, block_and_unblock, look)]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: errors or (campaign.value("select coalesce(max(run), 0) from marketing_automation.record") or 0) > 25, timeout=120)
    finally:
        enough.set()
        for thread in threads:
            thread.join()
    assert errors == []
    assert violations(campaign) == {}
    assert sum(entered) > 0
    # The row that nobody has unblocked stays out.
    before = campaign.value("select max(run) from marketing_automation.record where key = '4'")
    campaign.query("select * from marketing_automation.enroll('welcome')")
    assert campaign.value("select max(run) from marketing_automation.record where key = '4'") == before


def test_two_sessions_that_enter_one_row_again_make_one_record_and_nobody_waits(campaign):
    campaign.query("update marketing_automation.scenario set reenter_after = '0' where name = 'welcome'")
    campaign.query("select marketing_automation.run('welcome')")
    campaign.query("select * from marketing_automation.enroll('welcome')")
    wait_until(lambda: campaign.value("select marketing_automation.process_due() + count(*) from marketing_automation_internal.waiting_activity") == 0)
    first, second = (campaign.connect(autocommit=False, options=SOON) for _ in range(2))
    try:
        with first.cursor() as one, second.cursor() as two:
            one.execute(ENTER, ("1",))
            assert one.fetchone()[0]
            two.execute(ENTER, ("1",))
            assert not two.fetchone()[0]
            # All others enter meanwhile.
            two.execute("select enrolled, error from marketing_automation.enroll('welcome')")
            assert two.fetchone() == (KEYS - 1, None)
            first.commit()
            second.commit()
    finally:
        first.close()
        second.close()
    assert violations(campaign) == {}
    assert campaign.query("select distinct max(run) from marketing_automation.record group by key") == [(2,)]


def test_who_leaves_by_an_old_mail_while_the_row_enters_again_gets_nothing_more(campaign):
    campaign.query("update marketing_automation.scenario set reenter_after = '0' where name = 'welcome'")
    campaign.query("select marketing_automation.run('welcome')")
    campaign.query("select * from marketing_automation.enroll('welcome')")
    wait_until(lambda: campaign.value("select marketing_automation.process_due() + count(*) from marketing_automation_internal.waiting_activity") == 0)
    application = campaign.connect(autocommit=False, options=SOON)
    cursor = application.cursor()
    cursor.execute(ENTER, ("1",))
    assert cursor.fetchone()[0]
    leaving = threading.Thread(target=campaign.query, args=("select marketing_automation.block(uuid) from marketing_automation.record where key = '1'",))
    leaving.start()
    wait_until(lambda: campaign.value("select count(*) from pg_stat_activity where wait_event_type = 'Lock' and query like '%%marketing_automation.block%%' and datname = current_database()"))
    application.commit()
    leaving.join()
    application.close()
    assert campaign.query("select run, blocked_at is not null from marketing_automation.record where key = '1' order by run") == [(1, True), (2, True)]
    assert campaign.value("select count(*) from marketing_automation_internal.waiting_activity w join marketing_automation.record r on r.id = w.record_id where r.key = '1'") == 0
