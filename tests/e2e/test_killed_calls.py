"""Sessions that are killed in whatever they call: what has ended is whole, what has not was never there."""

import random
import threading
import time

import psycopg2
import pytest
from e2e.test_concurrency import VIOLATIONS

from harness import wait_until

SIZE = 400
# For each call: who is meant, a row at random. All of them write.
ONE = "(select r.uuid from marketing_automation.record r join marketing_automation.scenario s on s.id = r.scenario_id" \
    " where s.name = 'side' order by random() limit 1)"  # fmt: skip
KEY = f"(select floor(random() * {SIZE} + 1)::integer::text)"
CALLS = (
    "select * from marketing_automation.enroll()",
    "select marketing_automation.process_due(20)",
    "select marketing_automation.apply_events(20)",
    "select marketing_automation.apply_exits(batch_size => 50)",
    "select marketing_automation.apply_goals(batch_size => 50)",
    "select marketing_automation_internal.roll_up_counters()",
    f"select marketing_automation.enroll_record('side', {KEY})",
    f"select marketing_automation.enroll_records('side', array[{KEY}, {KEY}, {KEY}])",
    f"select marketing_automation.record_conversion({ONE}, 1)",
    f"select marketing_automation.block({ONE})",
    f"select marketing_automation.unblock({ONE})",
    f"select marketing_automation.unsubscribe({KEY}, 'side')",
    f"select marketing_automation.resubscribe({KEY}, 'side')",
    f"select marketing_automation.unsubscribe_address('c' || {KEY} || '@example.org', 'side')",
    f"select marketing_automation.resubscribe_address('c' || {KEY} || '@example.org', 'side')",
    "select marketing_automation.rotate_tracking_key('1 day')",
    "select marketing_automation.purge_messages('1 day')",
    "select marketing_automation.suppress('nobody@example.net'), marketing_automation.unsuppress('nobody@example.net')",
    """select marketing_automation.record_events(array[gen_random_uuid()], array['email_opened'],
        array[marketing_automation_internal.sign_token('email_opened', m.record_id, m.activity_id)], array[clock_timestamp()],
        array['GET'], array[null::inet], array[null::text])
        from (select * from marketing_automation.message where state = 'sent' order by random() limit 1) m""",
)
# What is counted, beside what there is; and what each of the calls may leave behind by halves.
WHOLE = VIOLATIONS | {
    "counted otherwise than there are": """
        select count(*) from marketing_automation.metric m
        where m.name = 'marketing_automation_scenario_records_total' and m.value <> (
            select count(*) from marketing_automation_internal.record r where r.scenario_id = marketing_automation.scenario_id(m.scenario))""",
    "sent otherwise than counted": """
        select count(*) from marketing_automation.metric m
        where m.name = 'marketing_automation_activity_sent_total' and m.value <> (
            select count(*) from marketing_automation.message s join marketing_automation.activity a on a.id = s.activity_id
            where s.state = 'sent' and (a.scenario_id, a.name) = (marketing_automation.scenario_id(m.scenario), m.label))""",
    "entered twice": """
        select count(*) from (select from marketing_automation_internal.record group by scenario_id, key having count(*) > 1) twice""",
    "neither waits, nor has run, nor has left": """
        select count(*) from marketing_automation_internal.record r
        where r.blocked_at is null and r.ended_at is null
          and not exists (select from marketing_automation_internal.waiting_activity w where w.record_id = r.id)
          and not exists (select from marketing_automation_internal.finished_activity f where f.record_id = r.id)""",
}


@pytest.fixture
def campaign(shop):
    shop.crowd(SIZE)
    shop.scenario()
    shop.query(
        "select marketing_automation.create_scenario('side', model => 'customer', unsubscribable => true, goal => 'self.orders > 5',"
        " exit_condition => 'self.orders > 3')",
        user=shop.marketer,
    )
    shop.activity("begin", scenario="side", action=None, subject=None, body=None)
    shop.activity("end", scenario="side", parent="begin", delay="1 day", action=None, subject=None, body=None)
    shop.query("select marketing_automation.run('side')", user=shop.marketer)
    # Whoever means a record finds one.
    shop.query("select marketing_automation.enroll_records('side', array['1', '2', '3'])")
    return shop


def test_each_call_that_writes_is_whole_or_was_never_made(campaign, sink):
    shop = campaign
    done, completed, failed = threading.Event(), set(), []

    def work(calls):
        while not done.is_set():
            connection = psycopg2.connect(
                host=str(shop.cluster.directory), port=shop.cluster.port, user="postgres", dbname=shop.database,
                application_name="victim",
            )  # fmt: skip
            connection.autocommit = True
            try:
                with connection.cursor() as cursor:
                    for call in random.sample(calls, len(calls)):
                        cursor.execute(call)
                        completed.add(call)
            except (psycopg2.OperationalError, psycopg2.InterfaceError) as error:
                # Killed; or two of these calls wanted the same rows, and one gave way.
                if error.pgcode not in (None, "57P01", "40P01", "55P03"):
                    failed.append(error)
            except psycopg2.Error as error:
                failed.append(error)
            finally:
                connection.close()

    workers = [threading.Thread(target=work, args=(calls,)) for calls in (CALLS[:6], CALLS, CALLS[6:], CALLS)]
    for worker in workers:
        worker.start()
    killed, chance = 0, random.Random(77)
    end = time.monotonic() + 90
    # Rows change meanwhile, so that goals and exits have something to do.
    while (killed < 150 or len(completed) < len(CALLS)) and time.monotonic() < end:
        shop.query("update shop.customer set orders = orders + 1 where id = %s", chance.randrange(1, SIZE + 1))
        killed += shop.value(
            "select count(pg_terminate_backend(pid)) from (select pid from pg_stat_activity where datname = current_database()"
            " and application_name = 'victim' and state = 'active' order by random() limit 1) a"
        )
        time.sleep(chance.uniform(0.01, 0.1))
    done.set()
    for worker in workers:
        worker.join()
    assert killed >= 50 and completed == set(CALLS), set(CALLS) - completed
    assert not failed, failed[:3]
    shop.query("select marketing_automation.unsubscribe_address('x@example.net')")
    shop.tick()
    wait_until(
        lambda: not shop.value("select exists (select from marketing_automation_internal.outbox)"
                               " or exists (select from marketing_automation_internal.event_inbox)"),
        60, what="all mails and events to be done with",
    )  # fmt: skip
    for what, query in WHOLE.items():
        assert shop.value(query) == 0, what
    assert len(sink.mails) == SIZE == len({address for mail in sink.mails for address in mail.recipients})
