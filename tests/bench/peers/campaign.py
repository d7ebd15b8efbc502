"""A campaign of two mails, each party gets both: ours beside Tryton's, each sending to the same smtp-sink."""

import time

from bench import database, processor
from bench.peers.tryton import Tryton
from harness import wait_until

STEPS = 2
# Sent before, so that what is loaded or compiled once is not measured.
WARM_UP = 50
DATABASE = "campaign"
SUBJECT = "Hello {{ record.name }}"

SHOP = """
create extension marketing_automation;
create schema shop;
create table shop.customer (id bigint primary key, name text not null, email text not null);
insert into shop.customer select n, 'Customer ' || n, 'c' || n || '@example.org' from generate_series(1, {rows}) n;
vacuum analyze shop.customer;
select marketing_automation.register_model('customer', 'shop.customer', key => 'self.id', party => 'self.id',
    email => 'self.email', recipient_name => 'self.name');
"""


def compare(results, cluster, sink, parties, many):
    """As many parties for both, then `many` for ours alone."""
    tryton = _tryton(results, cluster, sink, parties)
    cluster.query(f"create database {DATABASE}")
    cluster.psql(SHOP.format(rows=many), dbname=DATABASE)
    _ours(results, cluster, sink, "warm-up", WARM_UP)
    ours = _ours(results, cluster, sink, "same", parties)
    for stage, rows in (("enroll", parties), ("send", STEPS * parties)):
        what = "parties" if stage == "enroll" else "mails"
        results.rate(f"campaign: {stage} {rows:,} {what}", rows / ours[stage], rows / tryton[stage], "Tryton")
        _processor(results, rows, ours, tryton, stage)
    ours = _ours(results, cluster, sink, "many", many)
    for stage, rows in (("enroll", many), ("send", STEPS * many)):
        what = "parties" if stage == "enroll" else "mails"
        results.rate(f"campaign: {stage} {rows:,} {what}", rows / ours[stage], tryton[f"{stage} rate"], f"Tryton's {parties:,} parties")
        _processor(results, rows, ours, {}, stage)


def _processor(results, rows, ours, tryton, stage):
    figures = [f"{name} {spent[f'{stage} processor'] / rows * 1e6:,.0f}" for name, spent in (("ours", ours), ("Tryton", tryton)) if spent]
    results.note(f"µs of processor time each, of the server and of what sends: {', '.join(figures)}")


def _ours(results, cluster, sink, name, parties):
    """The seconds of enroll(), and of all mails from then on, with the processor time of both.

    What pg_cron calls each minute is called over and over, as children of a mail are due when the worker has sent it.
    """
    cluster.query(
        """select marketing_automation.create_scenario(%(s)s, model => 'customer', domain => format('self.id <= %%s', %(n)s::integer));
           select marketing_automation.add_activity(%(s)s, 'first', subject => %(t)s, body => %(b)s);
           select marketing_automation.add_activity(%(s)s, 'second', parent => 'first', subject => %(t)s, body => %(b)s);
           select marketing_automation.run(%(s)s)""",
        {"s": name, "n": parties, "t": SUBJECT, "b": database.BODY},
        dbname=DATABASE,
    )
    cluster.query("checkpoint")
    connection = cluster.connect(DATABASE)
    with connection.cursor() as cursor:
        spent, started = processor.tree(cluster.process.pid), time.monotonic()
        cursor.execute("select enrolled from marketing_automation.enroll(%s)", (name,))
        enrolled = cursor.fetchone()[0]
        done = {"enroll": time.monotonic() - started, "enroll processor": processor.tree(cluster.process.pid) - spent}
        assert enrolled == parties, f"{enrolled} entered, not {parties}"

        def sent():
            cursor.execute("call marketing_automation.process_all_due()")
            return sink.count() - before >= STEPS * parties

        before, spent, started = sink.count(), processor.tree(cluster.process.pid), time.monotonic()
        wait_until(sent, 1200, 0.01, "all mails at the sink")
        done["send"] = time.monotonic() - started
        # What it has recorded since belongs to them.
        wait_until(lambda: _recorded(cluster, name) == STEPS * parties, 60, 0.1, "all mails to be recorded as sent")
        done["send processor"] = processor.tree(cluster.process.pid) - spent
    connection.close()
    assert sink.count() - before == STEPS * parties, f"{sink.count() - before} mails arrived, not {STEPS * parties}"
    results.keep(f"campaign of ours: {name}", {"parties": parties, **done})
    return done


def _recorded(cluster, name):
    return cluster.value(
        "select count(*) from marketing_automation.message m join marketing_automation.activity a on a.id = m.activity_id "
        "join marketing_automation.scenario s on s.id = a.scenario_id where s.name = %s and m.state = 'sent'",
        (name,), dbname=DATABASE,
    )  # fmt: skip


def _tryton(results, cluster, sink, parties):
    """The same of Tryton's module."""
    tryton = Tryton(cluster, sink)
    tryton.make(parties)
    try:
        tryton.start()
        tryton.campaign("warm-up", WARM_UP, STEPS)
        done = tryton.campaign("same", parties, STEPS)
    finally:
        tryton.stop()
    done |= {"enroll rate": parties / done["enroll"], "send rate": STEPS * parties / done["send"]}
    results.keep("campaign of Tryton", {"parties": parties, **done})
    return done
