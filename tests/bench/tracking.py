"""Recorded clicks through the proxy, beside nginx under the same load."""

import base64
import hashlib
import hmac
import itertools
import os
import pathlib
import re
import socket
import subprocess
import tempfile

from bench.memory import Watch
from harness import Proxy, free_port, lifetime, wait_until
from harness.paths import TARGET

HERE = pathlib.Path(__file__).parent
NGINX = TARGET / "bench" / "nginx" / "usr/sbin/nginx"
SECONDS = 10
RECORDED = """select (select count(*) from marketing_automation.event where kind = 'email_clicked') + (select count(*) from marketing_automation.event_inbox)"""


def clicks(results, cluster, database, mails, proxy_port):
    """Distinct clicks for some seconds; the rate is that of the rows found in the log afterwards."""
    cluster.psql(
        "create role tracking login password 'tracking'; select marketing_automation.grant_access('tracking', 'tracking')",
        dbname=database,
    )
    with tempfile.TemporaryDirectory(prefix="ma-bench-") as directory:
        paths = pathlib.Path(directory) / "paths"
        distinct = _write_paths(cluster, database, paths)
        reference = [_nginx(paths)]
        proxy = Proxy(cluster.url(database, "tracking", "tracking"), profile="release", port=proxy_port).start()
        with Watch(proxy.process.pid) as watch:
            answered, errors, p99 = _wrk(proxy.port, paths)
            recorded = _stable_count(cluster, database)
        proxy.stop()
        reference.append(_nginx(paths))
    results.rate("record distinct clicks", recorded / SECONDS, sum(reference) / len(reference), "nginx empty_gif")
    results.note(f"{recorded:,} events found for {answered:,} answers ({errors} errors, {distinct:,} tokens), p99 {p99}")
    results.memory("the proxy", watch.before, watch.peak)
    assert recorded >= answered, "answered without recording"


def _write_paths(cluster, database, file):
    """Click paths for every record of the mailed scenario and every link, signed as the format says."""
    key_id, secret = cluster.query("select id, secret from marketing_automation.tracking_keys()", dbname=database)[0]
    activity = cluster.value(
        "select a.id from marketing_automation.activity a join marketing_automation.scenario s on s.id = a.scenario_id where s.name = 'some'",
        dbname=database,
    )
    records = [row[0] for row in cluster.query(
        "select r.id from marketing_automation.record r join marketing_automation.scenario s on s.id = r.scenario_id "
        "where s.name = 'some' order by r.id", dbname=database)]  # fmt: skip
    links = [row[0] for row in cluster.query("select id from marketing_automation.link order by id", dbname=database)]
    count = 0
    with open(file, "w", encoding="ascii") as out:
        for link, record in itertools.islice(itertools.product(links, records), 1_000_000):
            signed = bytes([key_id]) + _varint(record) + _varint(activity) + _varint(link)
            mac = hmac.digest(bytes(secret), b"c" + signed, hashlib.sha256)[:16]
            out.write("/c/" + base64.urlsafe_b64encode(signed + mac).decode().rstrip("=") + "\n")
            count += 1
    os.chmod(file.parent, 0o755)
    return count


def _varint(number):
    encoded = bytearray()
    while number >= 0x80:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def _wrk(port, paths):
    run = subprocess.run(
        ["wrk", "-t1", "-c64", f"-d{SECONDS}s", "--latency", "-s", HERE / "paths.lua", f"http://127.0.0.1:{port}", "--", paths],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    answered = int(re.search(r"(\d+) requests in", run)[1])
    errors = sum(int(number) for number in re.findall(r"(?:connect|read|write|timeout|responses:) (\d+)", run))
    return answered, errors, re.search(r"99%\s+(\S+)", run)[1]


def _nginx(paths):
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="ma-nginx-") as directory:
        conf = pathlib.Path(directory) / "nginx.conf"
        conf.write_text((HERE / "nginx.conf").read_text().replace("@DIRECTORY@", directory).replace("@PORT@", str(port)))
        process = lifetime.spawn([NGINX, "-p", directory, "-c", conf], log=conf.with_suffix(".log"))

        def stop():
            lifetime.end(process)

        lifetime.stop_at_exit(stop)
        wait_until(lambda: _listens(port), 10, what="nginx to listen")
        answered, _, _ = _wrk(port, paths)
        lifetime.cancel_stop(stop)
        stop()
    return answered / SECONDS


def _listens(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def _stable_count(cluster, database):
    """Rows in the log or on their way to it, once none is added any more."""
    last = -1

    def stable():
        nonlocal last
        previous, last = last, cluster.value(RECORDED, dbname=database)
        return previous == last and last

    return wait_until(stable, 60, 1, "the log to be complete")
