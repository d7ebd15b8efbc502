"""Enrolling and processing beside raw SQL of the same shape."""

import time

from bench.memory import Watch

BODY = """<html><body><h1>Hello {{ record.name }}</h1>
""" + "".join(
    f'<p>Our offer number {number} for you: <a href="https://shop.example/offer/{number}">have a look</a>. {"Lorem ipsum dolor sit amet. " * 8}</p>\n'
    for number in range(10)
) + """<p><a href="unsubscribe">Unsubscribe</a></p></body></html>"""

SHOP = """
create schema shop;
create table shop.customer (id bigint primary key, name text not null, email text, city text not null, created_at timestamptz not null);
insert into shop.customer select n, 'Customer ' || n, 'c' || n || '@example.org', 'Sometown', now() from generate_series(1, {rows}) n;
create view shop.some_customer as select * from shop.customer where id <= {mails};
vacuum analyze shop.customer;
create extension marketing_automation;
select marketing_automation.register_model('customer', 'shop.customer', key => 'self.id', party => 'self.id',
    email => 'self.email', recipient_name => 'self.name');
select marketing_automation.register_model('some_customer', 'shop.some_customer', key => 'self.id', party => 'self.id',
    email => 'self.email', recipient_name => 'self.name');
"""

# The least that has to be written: who entered, and what waits for them.
RAW = """
drop table if exists raw_record, raw_waiting;
create table raw_record (id bigint primary key, scenario_id integer not null, key text collate "C" not null);
create table raw_waiting (record_id bigint, activity_id integer, at timestamptz not null, primary key (record_id, activity_id));
"""
RAW_ENROLL = """
insert into raw_record select id, 1, id::text from shop.customer;
insert into raw_waiting select id, 1, now() from raw_record;
"""
RAW_PROCESS = """
create table raw_finished (record_id bigint, activity_id integer, at timestamptz not null, primary key (record_id, activity_id));
create table raw_outbox (id bigint generated always as identity primary key, record_id bigint not null, email text, context jsonb not null);
"""


CALL = """
create table shop.called (code text primary key, customer_id bigint not null, at timestamptz not null);
create table raw_result (record_id bigint, activity_id integer, result jsonb not null, primary key (record_id, activity_id));
create function shop.call(of_customer bigint) returns text language plpgsql as $$
declare its_code text := md5(clock_timestamp()::text || of_customer);
begin
    insert into shop.called values (its_code, of_customer, now());
    return its_code;
end $$;
select marketing_automation.create_scenario('call', model => 'customer', domain => 'self.id <= {rows}');
select marketing_automation.add_activity('call', 'call', action => 'call', call => 'shop.call(self.id)');
select marketing_automation.run('call');
"""


def prepare(cluster, database, rows, mails):
    """The shop, and two scenarios of one mail: on all of it, and on the part that is mailed."""
    cluster.psql(SHOP.format(rows=rows, mails=mails), dbname=database)
    for scenario, model in (("all", "customer"), ("some", "some_customer")):
        cluster.query(
            """select marketing_automation.create_scenario(%(s)s, model => %(m)s);
               select marketing_automation.add_activity(%(s)s, 'hello', subject => 'Hello {{ record.name }}', body => %(b)s);
               select marketing_automation.run(%(s)s)""",
            {"s": scenario, "m": model, "b": BODY},
            dbname=database,
        )


def enroll(results, cluster, database, rows):
    """Enrolling new rows, beside inserting as many into two bare tables."""
    raw = [_raw_enroll(cluster, database)]
    connection = cluster.connect(database)
    with connection.cursor() as cursor, Watch(connection.info.backend_pid) as watch:
        seconds = _timed(cursor, "select * from marketing_automation.enroll('all')")
    connection.close()
    entered = cluster.value(
        "select count(*) from marketing_automation.record r join marketing_automation_internal.waiting_activity w on w.record_id = r.id",
        dbname=database,
    )
    assert entered == rows, f"{entered} entered, not {rows}"
    raw.append(_raw_enroll(cluster, database))
    results.rate(f"enroll {rows:,} new rows", rows / seconds, rows / (sum(raw) / len(raw)), "raw two-table insert")
    results.memory("the enrolling backend", watch.before, watch.peak)


def enroll_keys(results, cluster, database, rows):
    """Entering rows by their keys, beside enrolling the same rows."""
    size = min(rows, 10_000)
    cluster.query(
        """select marketing_automation.create_scenario('keys', model => 'customer', domain => format('self.id <= %%s', %(n)s::integer));
           select marketing_automation.add_activity('keys', 'by key', action => null);
           select marketing_automation.run('keys')""",
        {"n": size},
        dbname=database,
    )
    calls = {
        "enroll": "select enrolled from marketing_automation.enroll('keys')",
        "keys": f"select marketing_automation.enroll_records('keys', array(select n::text from generate_series(1, {size}) n))",
    }
    seconds = {what: [] for what in calls}
    connection = cluster.connect(database, autocommit=False)
    with connection.cursor() as cursor:
        for _ in range(5):
            for what, sql in calls.items():
                seconds[what].append(_timed(cursor, sql))
                assert cursor.fetchone() == (size,)
                connection.rollback()
    connection.close()
    results.rate(f"enter {size:,} rows by their keys", size / min(seconds["keys"]), size / min(seconds["enroll"]), "enroll() of the same rows")
    cluster.psql("select marketing_automation.stop('keys')", dbname=database)


def rescan(results, cluster, database, rows):
    """Enrolling when nothing is new, beside the bare anti-join."""
    cluster.query("vacuum analyze", dbname=database)
    connection = cluster.connect(database)
    with connection.cursor() as cursor:
        seconds = min(_timed(cursor, "select * from marketing_automation.enroll('all')") for _ in range(3))
        raw = min(
            _timed(
                cursor,
                "select count(*) from shop.customer c where not exists "
                "(select from raw_record r where r.scenario_id = 1 and r.key = c.id::text)",
            )
            for _ in range(3)
        )
    connection.close()
    assert cluster.value("select count(*) from marketing_automation.record", dbname=database) == rows
    results.rate(f"re-scan {rows:,} rows, nothing new", rows / seconds, rows / raw, "raw anti-join")
    cluster.psql("select marketing_automation.stop('all')", dbname=database)


def process(results, cluster, database, mails):
    """Due send_email activities to queued mails, beside the bare statements."""
    cluster.query("select * from marketing_automation.enroll('some')", dbname=database)
    cluster.psql(RAW_PROCESS, dbname=database)
    cluster.query("vacuum analyze", dbname=database)
    connection = cluster.connect(database)
    with connection.cursor() as cursor, Watch(connection.info.backend_pid) as watch:
        seconds = _timed(cursor, "call marketing_automation.process_all_due()")
        queued = cluster.value("select count(*) from marketing_automation.message where state = 'queued'", dbname=database)
        assert queued == mails, f"{queued} queued, not {mails}"
        raw = _timed(
            cursor,
            f"""with taken as (delete from raw_waiting where record_id <= {mails} returning *),
                done as (insert into raw_finished select record_id, activity_id, now() from taken)
                insert into raw_outbox (record_id, email, context)
                select t.record_id, c.email, jsonb_build_object('record', to_jsonb(c))
                from taken t join shop.customer c on c.id = t.record_id""",
        )
    connection.close()
    results.rate(f"process {mails:,} due mails", mails / seconds, mails / raw, "raw delete + two inserts")
    results.memory("the processing backend", watch.before, watch.peak)


def call(results, cluster, database, rows):
    """Due activities that call a function which writes, beside that function called over the same batches, its results kept."""
    cluster.psql(CALL.format(rows=rows), dbname=database)
    cluster.query("select * from marketing_automation.enroll('call')", dbname=database)
    cluster.query("vacuum analyze", dbname=database)
    connection = cluster.connect(database)
    with connection.cursor() as cursor:
        seconds = _timed(cursor, "call marketing_automation.process_all_due()")
        called = cluster.value("select count(*) from shop.called", dbname=database)
        assert called == rows, f"{called} called, not {rows}"
        raw = 0
        for first in range(1, rows + 1, 1000):
            raw += _timed(cursor, f"""
                insert into raw_result select c.id, 1, to_jsonb(shop.call(c.id)) from shop.customer c
                where c.id = any (array(select generate_series({first}, least({first + 999}, {rows}))))""")
    connection.close()
    results.rate(f"call a function for {rows:,} records", rows / seconds, rows / raw, "raw insert of its results")
    cluster.psql("select marketing_automation.stop('call')", dbname=database)


def _raw_enroll(cluster, database):
    cluster.psql(RAW, dbname=database)
    cluster.query("checkpoint", dbname=database)
    connection = cluster.connect(database)
    with connection.cursor() as cursor:
        seconds = _timed(cursor, RAW_ENROLL)
    connection.close()
    return seconds


def _timed(cursor, sql):
    started = time.monotonic()
    cursor.execute(sql)
    return time.monotonic() - started
