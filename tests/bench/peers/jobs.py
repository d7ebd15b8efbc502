"""The same number of jobs, ours beside those of graphile-worker and pg-boss: queueing them, and working them off.

A job of `nothing` does nothing. A job of `row` inserts a row into a table, and is counted there. Ours is an activity without action, and
one that calls a function.
"""

import json
import pathlib
import subprocess
import time

from bench import processor
from harness.paths import TARGET

PEERS = TARGET / "peers"
PROGRAMS = {"graphile-worker": "graphile_worker.mjs", "pg-boss": "pg_boss.mjs"}
WORKS = ("nothing", "row")
OURS = "this project"
STAGES = {
    "queue": "select * from marketing_automation.enroll('jobs')",
    "work": "call marketing_automation.process_all_due()",
}
ROLE = PASSWORD = "jobs"

DONE = "create table public.done (id bigint not null)"
EXTENSION = """
create extension marketing_automation;
create schema shop;
create table shop.customer (id bigint primary key);
insert into shop.customer select generate_series(1, {rows});
vacuum analyze shop.customer;
create function shop.work(customer bigint) returns bigint language sql as 'insert into public.done values (customer) returning id';
select marketing_automation.register_model('customer', 'shop.customer', key => 'self.id');
"""


def compare(results, cluster, count):
    """Each in a database of its own, one after the other; every peer's rate beside ours of the same work."""
    cluster.query(f"create role {ROLE} login password '{PASSWORD}'")
    for work in WORKS:
        done = {OURS: _ours(results, cluster, work, count)}
        for peer, program in PROGRAMS.items():
            done[peer] = _peer(results, cluster, peer, program, work, count)
        for stage, what in (("queue", "queue"), ("work", "work off")):
            for peer in PROGRAMS:
                results.rate(f"jobs of {work}: {what} {count:,}", count / done[OURS][stage], count / done[peer][stage], peer)
            figures = (f"{name} {spent[f'{stage} processor'] / count * 1e6:,.0f}" for name, spent in done.items())
            results.note(f"µs of processor time each, of the server and of the program beside it: {', '.join(figures)}")


def _ours(results, cluster, work, count):
    """enroll(), and what pg_cron calls: both in one session."""
    database = f"jobs_{work}"
    cluster.query(f"create database {database}")
    cluster.query(DONE, dbname=database)
    cluster.psql(EXTENSION.format(rows=count), dbname=database)
    action = "action => null" if work == "nothing" else "action => 'call', call => 'shop.work(self.id)'"
    cluster.psql(
        f"""select marketing_automation.create_scenario('jobs', model => 'customer');
            select marketing_automation.add_activity('jobs', 'work', {action});
            select marketing_automation.run('jobs')""",
        dbname=database,
    )
    cluster.query("checkpoint")
    connection = cluster.connect(database)
    done = {}
    with connection.cursor() as cursor:
        for stage, sql in STAGES.items():
            spent, started = processor.tree(cluster.process.pid), time.monotonic()
            cursor.execute(sql)
            done[stage] = time.monotonic() - started
            done[f"{stage} processor"] = processor.tree(cluster.process.pid) - spent
            cluster.query("vacuum analyze", dbname=database)
    connection.close()
    finished = cluster.value("select count(*) from marketing_automation.record_activity where state = 'done'", dbname=database)
    assert finished == count, f"{finished} activities are done, not {count}"
    return _checked(results, cluster, database, OURS, work, count, done)


def _peer(results, cluster, peer, program, work, count):
    """Its program is told what to do, a process for each step, and says how long it took."""
    database = f"{program.partition('.')[0]}_{work}"
    cluster.query(f"create database {database} owner {ROLE}")
    cluster.query(DONE, dbname=database, user=ROLE)
    _run(cluster, database, program, "prepare", work, count)
    done = {}
    for stage in STAGES:
        cluster.query("checkpoint")
        spent = processor.tree(cluster.process.pid)
        said = _run(cluster, database, program, stage, work, count)
        done[stage] = said["seconds"]
        done[f"{stage} processor"] = said["processor"] + processor.tree(cluster.process.pid) - spent
        cluster.query("vacuum analyze", dbname=database)
    return _checked(results, cluster, database, peer, work, count, done)


def _checked(results, cluster, database, peer, work, count, done):
    """What the jobs have left: each one its row, once."""
    rows = cluster.query("select count(*), count(distinct id) from public.done", dbname=database)[0]
    wanted = (count, count) if work == "row" else (0, 0)
    assert rows == wanted, f"{peer} has left {rows[0]} rows of {rows[1]} jobs, not {wanted[0]}"
    results.keep(f"jobs of {peer}: {work}", {"jobs": count, **done})
    cluster.query(f"drop database {database} with (force)")
    return done


def _run(cluster, database, program, step, work, count):
    here = pathlib.Path(__file__).parent
    log = TARGET / "bench" / f"{program}.log"
    with open(log, "a", encoding="utf-8") as errors:
        ended = subprocess.run(
            [PEERS / "node", here / program, step, work, str(count)],
            env={"DATABASE_URL": cluster.url(database, ROLE, PASSWORD), "PACKAGES": str(PEERS / "npm" / "package.json")},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True, timeout=1800, check=False,
        )  # fmt: skip
    if ended.returncode != 0:
        raise RuntimeError(f"{program} {step} failed; see {log}")
    return json.loads(ended.stdout.splitlines()[-1])
