"""An activity is deleted while other sessions write rows that wait for it: none is left behind."""

import threading
import time

import psycopg2
import pytest

from harness import wait_until

NULL = {"action": None, "subject": None, "body": None}
DELETE = "delete from marketing_automation.activity where name = 'child'"
ORPHANS = """
    select count(*) from (
        select activity_id from marketing_automation_internal.waiting_activity
        union all select activity_id from marketing_automation_internal.finished_activity
        union all select activity_id from marketing_automation_internal.activity_counter) w
    where not exists (select from marketing_automation.activity a where a.id = w.activity_id)"""
CHILDREN = """
    select count(*) from marketing_automation.record_activity ra join marketing_automation.activity a on a.id = ra.activity_id
    where a.name = 'child'"""


def _campaign(shop, mail, **child):
    shop.customers("Ada", "Ben", "Cleo")
    shop.scenario(run=False, **({} if mail else NULL))
    shop.activity("child", parent="hello", **{"delay": "1 hour", **NULL, **child})
    shop.query("select marketing_automation.run('welcome')")
    shop.query("select * from marketing_automation.enroll()")


def _go_on(shop, mail, event):
    """Does what starts the child, and waits until it is done."""
    shop.query("select marketing_automation.process_due()")
    if mail:
        wait_until(lambda: shop.value("select count(*) from marketing_automation.message where state = 'sent'") == 3, what="the mails to be sent")
    if event:
        for name in ("ada", "ben", "cleo"):
            shop.open_mail(f"{name}@example.org")
        wait_until(lambda: shop.events() == [("email_opened", 3)], what="the opens in the log")


WAYS = {"processing": (False, {}), "mail": (True, {}), "event": (True, {"on_event": "email_opened"})}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_what_begins_to_wait_for_an_activity_that_is_being_deleted_shares_its_fate(shop, sink, way, end):
    mail, child = WAYS[way]
    _campaign(shop, mail, **child)
    shop.query("select marketing_automation.tracking_keys()")
    shop.wait_for_worker()
    deleting = shop.connect(autocommit=False)
    deleting.cursor().execute(DELETE)
    _go_on(shop, mail, child)
    # Some are cancelled before it commits.
    shop.query("select marketing_automation.block(uuid) from marketing_automation.record where key = '1'")
    getattr(deleting, end)()
    assert shop.value(ORPHANS) == 0
    assert shop.value(CHILDREN) == (0 if end == "commit" else 3)


def test_who_deletes_an_activity_waits_for_those_who_let_records_wait_for_it(shop):
    _campaign(shop, mail=False)
    processing = shop.connect(autocommit=False)
    processing.cursor().execute("select marketing_automation.process_due()")
    refusals = []

    def delete():
        try:
            shop.query(DELETE)
        except psycopg2.errors.ObjectInUse as refusal:
            refusals.append(refusal)

    deleting = threading.Thread(target=delete)
    deleting.start()
    wait_until(shop.is_blocked, what="the deletion to wait")
    processing.commit()
    deleting.join()
    assert refusals and shop.value(CHILDREN) == 3


def test_activities_come_and_go_under_a_running_campaign(shop, sink):
    shop.scenario(mail=False)
    shop.activity("root", **NULL)
    shop.activity("mail")
    end = time.monotonic() + 10
    errors, deletions = [], [0]

    def loop(step):
        connection = shop.connect()
        cursor = connection.cursor()
        try:
            while time.monotonic() < end:
                step(cursor)
        except psycopg2.Error as error:
            errors.append(error)
        finally:
            connection.close()

    def arrive(cursor):
        cursor.execute("insert into shop.customer (id, name, email) select c.last + i, 'c', 'c' || c.last + i || '@example.org' "
                       "from (select coalesce(max(id), 0) as last from shop.customer) c, generate_series(1, 20) i")  # fmt: skip
        cursor.execute("select * from marketing_automation.enroll()")
        time.sleep(0.02)

    def process(cursor):
        cursor.execute("select marketing_automation.process_due(20)")

    def edit(parent):
        def step(cursor):
            name = f"child of {parent}"
            cursor.execute("select marketing_automation.add_activity('welcome', %s, parent => %s, delay => '1 hour', action => null)", (name, parent))
            try:
                cursor.execute("delete from marketing_automation.activity where name = %s", (name,))
                deletions[0] += 1
            except psycopg2.errors.ObjectInUse:
                cursor.execute("delete from marketing_automation_internal.waiting_activity w using marketing_automation.activity a "
                               "where a.id = w.activity_id and a.name = %s", (name,))  # fmt: skip
                cursor.execute("update marketing_automation.activity set name = name || ' ' || id where name = %s", (name,))

        return step

    threads = [threading.Thread(target=loop, args=(step,)) for step in (arrive, process, process, edit("root"), edit("mail"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert deletions[0] > 20
    assert shop.value(ORPHANS) == 0
