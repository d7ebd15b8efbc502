"""The queues while somebody keeps an old snapshot: what a batch costs as the dead rows pile up."""

import statistics
import time

from bench.database import prepare

TENTHS = 10
BATCH = 1000
CLAIM = 500

FINISH = """
select marketing_automation_internal.complete_messages(array_agg(c.id), array_agg(c.attempt), array_agg('sent'::text), array_agg('250 ok'::text), array_agg(0::double precision)),
       count(*)
from unnest(%s::bigint[], %s::integer[]) as c (id, attempt)"""


def health(results, cluster, mails):
    """Runs a campaign of `mails` beside a transaction that sees none of it; prints the cost of each tenth."""
    database = "bench_queue"
    cluster.query(f"create database {database}")
    prepare(cluster, database, mails, mails)
    cluster.query(
        """select marketing_automation.create_scenario('queue', model => 'customer', domain => 'true');
           select marketing_automation.add_activity('queue', 'hello', subject => 'Hello', body => '<p>Hello</p>');
           select marketing_automation.run('queue')""",
        dbname=database,
    )
    old = cluster.connect(database, autocommit=False)
    old.set_session(isolation_level="REPEATABLE READ")
    old.cursor().execute("select count(*) from marketing_automation_internal.outbox")
    connection = cluster.connect(database)
    with connection.cursor() as cursor:
        cursor.execute("select * from marketing_automation.enroll('queue')")
        _curve(results, f"process {BATCH} of {mails:,}", mails // BATCH, lambda: _process(cursor))
        _curve(results, f"claim {CLAIM} of {mails:,}", mails // CLAIM, lambda: _claim(cursor))
        for table in ("waiting_activity", "outbox"):
            cursor.execute(f"vacuum marketing_automation_internal.{table}")
        cursor.execute(
            "select string_agg(format('%s %s', relname, n_dead_tup), ', ' order by relname) from pg_stat_user_tables "
            "where schemaname = 'marketing_automation_internal' and relname in ('waiting_activity', 'outbox')"
        )
        results.note(f"dead rows that the old snapshot keeps from being removed: {cursor.fetchone()[0]}")
        cursor.execute("select count(*) from marketing_automation_internal.outbox where state <> 'sent'")
        assert cursor.fetchone()[0] == 0
    connection.close()
    old.close()
    cluster.query(f"drop database {database} with (force)")


def _process(cursor):
    started = time.monotonic()
    cursor.execute("select marketing_automation.process_due(%s)", (BATCH,))
    assert cursor.fetchone()[0] == BATCH
    return time.monotonic() - started


def claim(cursor, clock=time.monotonic):
    """Claims mails as a mailer does, and finishes them: how many, and how long the claim took by that clock."""
    started = clock()
    cursor.execute("select id, attempt from marketing_automation_internal.claim_messages(%s, full_scan => false)", (CLAIM,))
    claimed = cursor.fetchall()
    seconds = clock() - started
    if claimed:
        cursor.execute(FINISH, tuple(list(column) for column in zip(*claimed)))
    return len(claimed), seconds


def _claim(cursor):
    claimed, seconds = claim(cursor)
    assert claimed == CLAIM
    return seconds


def _curve(results, what, batches, run):
    """Prints the median of each tenth in milliseconds."""
    each = max(batches // TENTHS, 1)
    medians = [statistics.median(run() for _ in range(each)) * 1000 for _ in range(min(TENTHS, batches))]
    results.curve(f"{what}, ms by tenth", medians)
