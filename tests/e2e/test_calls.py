"""Calls: what an activity does in the shop's tables is there exactly when the activity is done, whatever sessions do and whatever dies."""

import random
import threading
import time

import psycopg2

RECORDS = 2000
SECONDS = 6

# Each finds what must not be.
VIOLATED = {
    "called, and not done": """
        select count(*) from shop.called c where not exists (
            select from marketing_automation.record_activity ra join marketing_automation.record r on r.id = ra.record_id
            join marketing_automation.activity a on a.id = ra.activity_id and a.name = c.activity
            where r.key = c.customer_id::text and ra.outcome = 'executed')""",
    "done, and not called": """
        select count(*) from marketing_automation.record_activity ra join marketing_automation.record r on r.id = ra.record_id
        join marketing_automation.activity a on a.id = ra.activity_id and a.action = 'call'
        where ra.outcome = 'executed' and not exists (
            select from shop.called c where c.customer_id::text = r.key and c.activity = a.name)""",
    "called twice": "select count(*) from (select from shop.called group by customer_id, activity having count(*) > 1) c",
    "done, and no result kept": """
        select count(*) from marketing_automation.record_activity ra join marketing_automation.record r on r.id = ra.record_id
        join marketing_automation.activity a on a.id = ra.activity_id and a.action = 'call'
        where ra.outcome = 'executed' and ra.result is distinct from to_jsonb(a.name || ' ' || r.key)""",
    "a result of what is not done": """
        select count(*) from marketing_automation_internal.call_result c where not exists (
            select from marketing_automation_internal.finished_activity f
            where (f.record_id, f.activity_id, f.outcome) = (c.record_id, c.activity_id, 'executed'))""",
    "the second called without the first": """
        select count(*) from shop.called c where c.activity = 'second' and c.before is distinct from 'first ' || c.customer_id""",
    "failed, though it is divided by no nought": """
        select count(*) from marketing_automation.record_activity ra join marketing_automation.record r on r.id = ra.record_id
        where ra.state = 'failed' and r.key::integer % 97 <> 0""",
}


def plant(shop):
    shop.crowd(RECORDS)
    shop.scenario(run=False, mail=False)
    shop.query("""
        create table shop.called (customer_id integer, activity text, before text);
        create function shop.note(of_customer integer, activity text, before text) returns text language plpgsql as $$
        begin
            insert into shop.called values (of_customer, activity, before);
            if of_customer % 97 = 0 and activity = 'second' then
                perform 1 / (of_customer % 97);
            end if;
            return activity || ' ' || of_customer;
        end $$""")
    shop.query(f'grant insert on shop.called to "{shop.marketer}"')
    shop.activity("first", action="call", call="shop.note(self.id, 'first', null)", subject=None, body=None)
    shop.activity("second", parent="first", action="call", call="shop.note(self.id, 'second', record.results ->> 'first')",
        subject=None, body=None)  # fmt: skip
    shop.query("select marketing_automation.run('welcome')")
    shop.query("select * from marketing_automation.enroll()")


def violations(shop):
    return {what: shop.value(query) for what, query in VIOLATED.items()}


def test_what_is_called_is_there_exactly_when_it_is_done_whatever_dies(shop):
    draw = random.Random(3)
    plant(shop)
    end = time.monotonic() + SECONDS
    errors, killed = [], []

    def process():
        while time.monotonic() < end:
            try:
                connection = shop.connect()
                cursor = connection.cursor()
                while time.monotonic() < end:
                    cursor.execute("select marketing_automation.process_due(40)")
            except (psycopg2.OperationalError, psycopg2.InterfaceError) as error:
                killed.append(error)
            except psycopg2.Error as error:
                errors.append(error)

    def roll_back():
        """Processes in transactions that come to nothing."""
        connection = shop.connect()
        cursor = connection.cursor()
        while time.monotonic() < end:
            cursor.execute("begin")
            cursor.execute("select marketing_automation.process_due(30)")
            cursor.execute("rollback")
        connection.close()

    def kill():
        while time.monotonic() < end:
            time.sleep(draw.random() / 10)
            shop.query("""
                select pg_terminate_backend(pid) from (
                    select pid from pg_stat_activity where query like '%process_due(40)%' and pid <> pg_backend_pid() and state = 'active'
                        and datname = current_database()
                    order by random() limit 1) a""")

    sessions = [threading.Thread(target=of) for of in (process, process, roll_back, kill)]
    for session in sessions:
        session.start()
    for session in sessions:
        session.join()
    assert not errors, errors[0]
    assert killed
    # As they stand, with what the killed have left; and when all is done.
    assert violations(shop) == dict.fromkeys(VIOLATED, 0)
    while shop.value("select marketing_automation.process_due()"):
        pass
    assert violations(shop) == dict.fromkeys(VIOLATED, 0)
    assert shop.value("select count(*) from shop.called where activity = 'first'") == RECORDS
    assert shop.value("select count(*) from shop.called where activity = 'second'") == RECORDS - RECORDS // 97
    assert shop.value("select count(*) from marketing_automation.record_activity where state = 'failed'") == RECORDS // 97


def test_a_row_that_goes_between_condition_and_call_fails_nobody_else(shop):
    """Rows are deleted while they are called for: who is gone did nothing, and nothing was done for him."""
    plant(shop)
    deleted = threading.Thread(target=lambda: shop.query("delete from shop.customer where id % 5 = 0"))
    processing = threading.Thread(target=lambda: [shop.value("select marketing_automation.process_due(500)") for _ in range(3)])
    for thread in (processing, deleted):
        thread.start()
    for thread in (processing, deleted):
        thread.join()
    while shop.value("select marketing_automation.process_due()"):
        pass
    assert violations(shop) == dict.fromkeys(VIOLATED, 0)


def test_a_result_is_mailed(shop, sink):
    shop.crowd(3)
    shop.scenario(run=False, mail=False)
    shop.query("""
        create table shop.voucher (code text, customer_id integer);
        create function shop.voucher(of_customer integer) returns shop.voucher language sql as $$
            insert into shop.voucher values ('CODE' || of_customer, of_customer) returning *
        $$""")
    shop.query(f'grant select, insert on shop.voucher to "{shop.marketer}"')
    shop.activity("voucher", action="call", call="shop.voucher(self.id)", subject=None, body=None)
    shop.activity("tell", parent="voucher", subject="{{ results.voucher.code }}", body="<p>{{ results.voucher.customer_id }}</p>")
    shop.query("select marketing_automation.run('welcome')")
    shop.query("select * from marketing_automation.enroll()")
    shop.psql("call marketing_automation.process_all_due()")
    mails = sink.wait_for(3)
    assert sorted(mail.subject for mail in mails) == ["CODE1", "CODE2", "CODE3"]
