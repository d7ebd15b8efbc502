"""Who only inserts a row of a watched table has its first mail sent at once: no pg_cron, no call."""

import itertools
import time

import pytest

from harness import wait_until

WITHIN = 30  # seconds, on a machine that has much other work


@pytest.fixture
def campaign(shop):
    shop.scenario()
    shop.query("select * from marketing_automation.watch('customer')")
    enroll_all(shop)
    wait_until(lambda: shop.value("select state from marketing_automation.worker_status()") == "idle", what="an idle mailer")
    return shop


def enroll_all(shop):
    shop.query("call marketing_automation.enroll_all()")


def captured(shop):
    return shop.value("select count(*) from marketing_automation_internal.captured_keys")


def test_a_mail_leaves_as_soon_as_its_row_is_committed(campaign, sink):
    took = []
    for name in ("ada", "ben", "cem", "dua", "eve", "fay"):
        began = time.monotonic()
        campaign.customers(name)
        sink.wait_for(1, timeout=WITHIN, recipient=f"{name}@example.org")
        took.append(time.monotonic() - began)
        # Whatever it does afterwards.
        wait_until(lambda: captured(campaign) == 0, what="the keys to be forgotten")
    print([round(each, 3) for each in took])
    assert len(sink.mails) == 6


def test_what_is_rolled_back_gets_no_mail_and_what_is_not_gets_one(campaign, sink):
    connection = campaign.connect(autocommit=False)
    cursor = connection.cursor()
    insert = "insert into shop.customer (id, name, email) values (%s, %s, %s)"
    cursor.execute(insert, (1, "Ada", "ada@example.org"))
    connection.rollback()
    cursor.execute(insert, (2, "Ben", "ben@example.org"))
    cursor.execute("savepoint s")
    cursor.execute(insert, (3, "Cem", "cem@example.org"))
    cursor.execute("rollback to s")
    time.sleep(0.5)
    assert sink.mails == []
    connection.commit()
    connection.close()
    sink.wait_for(1, timeout=WITHIN)
    time.sleep(0.5)
    assert [mail.recipients for mail in sink.mails] == [["ben@example.org"]]


def test_each_of_many_rows_gets_one_mail(campaign, sink):
    connection = campaign.connect()
    cursor = connection.cursor()
    for key in range(1, 301):
        cursor.execute("insert into shop.customer (id, name, email) values (%s, 'n', %s)", (key, f"n{key}@example.org"))
    connection.close()
    sink.wait_for(300, timeout=60)
    wait_until(lambda: captured(campaign) == 0, what="the keys to be forgotten")
    assert len({mail.recipients[0] for mail in sink.mails}) == len(sink.mails) == 300


def test_what_needs_all_rows_read_is_left_to_the_job(campaign, sink):
    campaign.query("update marketing_automation.scenario set domain = '100 / self.orders > 0'")
    campaign.customers("Ada", orders=1)
    campaign.customers("Ben", orders=0)
    time.sleep(1)
    # The definition has changed: who has been in the table all along may enter, too.
    assert sink.mails == []
    enroll_all(campaign)
    campaign.query("call marketing_automation.process_all_due()")
    sink.wait_for(1, timeout=WITHIN)
    # The row that raises stands apart, and all are read until that is over; who else comes waits for the job.
    campaign.customers("Cem", orders=1)
    time.sleep(1)
    assert len(sink.mails) == 1
    assert campaign.value("select last_error like '%%division by zero' from marketing_automation.scenario_status")
    campaign.query("update shop.customer set orders = 2 where orders = 0")
    enroll_all(campaign)
    enroll_all(campaign)
    campaign.query("call marketing_automation.process_all_due()")
    sink.wait_for(3, timeout=WITHIN)
    # A scenario that was left is looked at again with the next row that comes a quarter of a minute later, or more where trying it took long.
    names = (f"dua{number}" for number in itertools.count())

    def has_entered():
        campaign.customers(next(names), orders=1)
        time.sleep(1)
        return len(sink.mails) > 3

    wait_until(has_entered, timeout=120, what="a row to enter without the job")


def test_a_locked_scenario_keeps_no_other_waiting(campaign, sink):
    campaign.scenario("second", subject="Second")
    enroll_all(campaign)
    holder = campaign.connect(autocommit=False)
    holder.cursor().execute(
        "select from marketing_automation.scenario_status where scenario_id = marketing_automation.scenario_id('welcome') for update"
    )
    campaign.customers("Ada")
    sink.wait_for(1, timeout=WITHIN)
    assert sink.mails[0].subject == "Second"
    holder.rollback()
    holder.close()
    sink.wait_for(2, timeout=WITHIN)


def test_it_can_be_switched_off(campaign, sink):
    worker = campaign.wait_for_worker()
    campaign.setting("enroll_on_commit", "off")
    campaign.end_worker(worker)
    wait_until(lambda: campaign.worker() not in (None, worker), timeout=30, what="another mailer")
    campaign.customers("Ada")
    time.sleep(1)
    assert captured(campaign) == 1
    assert sink.mails == []
    enroll_all(campaign)
    campaign.query("call marketing_automation.process_all_due()")
    sink.wait_for(1, timeout=WITHIN)
