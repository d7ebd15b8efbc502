"""Recorded clicks and opens through the proxy, beside nginx under the same load."""

import base64
import hashlib
import hmac
import itertools
import os
import pathlib
import re
import subprocess
import tempfile

from bench import processor
from bench.memory import Watch
from bench.nginx import nginx
from harness import Proxy, wait_until

HERE = pathlib.Path(__file__).parent
SECONDS = 10
CONNECTIONS = 256
# So many that the pauses are long beside an answer.
HALF_LOAD_CONNECTIONS = 900
RECORDED = """select (select count(*) from marketing_automation.event where kind = %(kind)s)
                   + (select count(*) from marketing_automation_internal.event_inbox where kind = %(kind)s)"""


def hits(results, cluster, database, proxy_port):
    """Clicks and opens, each with a token of its own, as fast as they are answered and at half of that."""
    cluster.psql(
        "create role tracking login password 'tracking'; select marketing_automation.grant_access('tracking', 'tracking')",
        dbname=database,
    )
    for purpose, kind, name, reference in (
        ("c", "email_clicked", "clicks", "nginx return 302"),
        ("o", "email_opened", "opens", "nginx empty_gif"),
    ):
        with tempfile.TemporaryDirectory(prefix="ma-bench-") as directory:
            paths = pathlib.Path(directory) / "paths"
            distinct = _write_paths(cluster, database, purpose, paths)
            _measure(results, cluster, database, proxy_port, paths, kind, name, reference)
            results.note(f"{distinct:,} tokens")


def _measure(results, cluster, database, proxy_port, paths, kind, name, reference):
    """The rate is that of the rows found in the log afterwards."""
    beside = [_nginx(paths)]
    proxy = Proxy(cluster.url(database, "tracking", "tracking"), profile="release", port=proxy_port).start()
    processes = {"proxy": proxy.process.pid, **_server_processes(cluster, database)}
    with Watch(proxy.process.pid) as watch:
        before = processor.times(processes)
        answered, errors, p99 = _wrk(proxy.port, paths)
        spent = processor.since(before, processes)
        recorded = _stable_count(cluster, database, kind)
        beside.append(_nginx(paths))
        # Every connection sends, and then waits for as long as makes half the rate of all of them.
        pause = HALF_LOAD_CONNECTIONS / (answered / SECONDS / 2)
        paced, paced_errors, paced_p99 = _wrk(proxy.port, paths, HALF_LOAD_CONNECTIONS, pause)
        recorded_paced = _stable_count(cluster, database, kind) - recorded
    proxy.stop()
    results.rate(f"record distinct {name}", recorded / SECONDS, sum(beside) / len(beside), reference)
    results.note(f"{recorded:,} events found for {answered:,} answers ({errors} errors), p99 {p99}")
    processor.note(results, "a hit", recorded, SECONDS, spent)
    results.note(f"half load: {recorded_paced / SECONDS:,.0f}/s ({paced_errors} errors), p99 {paced_p99}")
    results.memory("the proxy", watch.before, watch.peak)
    assert recorded >= answered and recorded_paced >= paced, "answered without recording"


def _server_processes(cluster, database):
    """The proxy's sessions, which record, and the worker, which applies what was recorded meanwhile."""
    sessions = cluster.query("select pid from pg_stat_activity where usename = 'tracking'", dbname=database)
    worker = cluster.value("select pid from marketing_automation.worker_status() where database = current_database()", dbname=database)
    return {**{f"session {number}": pid for number, (pid,) in enumerate(sessions, 1)}, "worker": worker}


def _write_paths(cluster, database, purpose, file):
    """A million paths of mailed records, and for opens of others, signed as the format says."""
    key_id, secret = cluster.query("select id, secret from marketing_automation.tracking_keys()", dbname=database)[0]
    mails = cluster.query(
        "select r.id, a.id from marketing_automation.record r join marketing_automation.activity a using (scenario_id) "
        "join marketing_automation.scenario s on s.id = r.scenario_id order by s.name <> 'some', r.id", dbname=database)  # fmt: skip
    links = [None]
    if purpose == "c":
        links = [row[0] for row in cluster.query("select id from marketing_automation.link order by id", dbname=database)]
    count = 0
    with open(file, "w", encoding="ascii") as out:
        for link, (record, activity) in itertools.islice(itertools.product(links, mails), 1_000_000):
            signed = bytes([key_id]) + b"".join(_varint(number) for number in (record, activity, link) if number is not None)
            mac = hmac.digest(bytes(secret), purpose.encode() + signed, hashlib.sha256)[:16]
            out.write(f"/{purpose}/" + base64.urlsafe_b64encode(signed + mac).decode().rstrip("=") + "\n")
            count += 1
    assert count, "no mail has been sent"
    os.chmod(file.parent, 0o755)
    return count


def _varint(number):
    encoded = bytearray()
    while number >= 0x80:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def _wrk(port, paths, connections=CONNECTIONS, pause=0):
    """Requests over so many connections, each of which pauses for so many seconds on average between two."""
    run = subprocess.run(
        ["wrk", "-t1", f"-c{connections}", f"-d{SECONDS}s", "--latency", "-s", HERE / "paths.lua", f"http://127.0.0.1:{port}",
         "--", paths, str(round(pause * 1000))],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    answered = int(re.search(r"(\d+) requests in", run)[1])
    errors = sum(int(number) for number in re.findall(r"(?:connect|read|write|timeout|responses:) (\d+)", run))
    return answered, errors, re.search(r"99%\s+(\S+)", run)[1]


def _nginx(paths):
    with nginx() as (port, _):
        answered, _, _ = _wrk(port, paths)
    return answered / SECONDS


def _stable_count(cluster, database, kind):
    """Rows in the log or on their way to it, once none is added any more."""
    last = -1

    def stable():
        nonlocal last
        previous, last = last, cluster.value(RECORDED, {"kind": kind}, dbname=database)
        return previous == last and last

    return wait_until(stable, 60, 1, "the log to be complete")
