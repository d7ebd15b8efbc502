"""Webhooks through the worker to nginx, which answers 204 and logs them, beside as many connections of wrk that post such a body."""

import pathlib
import subprocess

from bench import processor
from bench.nginx import nginx
from harness import free_port, wait_until

HERE = pathlib.Path(__file__).parent
CONNECTIONS = 8
SECONDS = 10
SCENARIO = "webhooks"
BODY = '{"id": {{ record.id }}, "name": {{ record.name }}, "city": {{ record.city }}}'
DEFINE = """
insert into marketing_automation.webhook_target (origin, is_private, connections) values (%(origin)s, true, %(connections)s);
select marketing_automation.create_scenario(%(name)s, model => 'some_customer');
select marketing_automation.add_activity(%(name)s, 'post', action => 'webhook', url => %(origin)s || '/webhook/{{ record.id }}',
    body => %(body)s);
select marketing_automation.run(%(name)s);
"""
DELIVERED = "select count(*) from marketing_automation.message where channel = 'webhook' and state = 'sent'"


def queue(cluster, database):
    """Fills the queue, of a scenario that does not run yet; gives the port of its target."""
    port = free_port()
    values = {"name": SCENARIO, "origin": f"http://127.0.0.1:{port}", "connections": CONNECTIONS, "body": BODY}
    cluster.query(DEFINE, values, dbname=database)
    cluster.query("select * from marketing_automation.enroll(%s)", (SCENARIO,), dbname=database)
    cluster.psql("call marketing_automation.process_all_due()", dbname=database)
    cluster.query("select marketing_automation.stop(%s)", (SCENARIO,), dbname=database)
    cluster.query("vacuum analyze", dbname=database)
    return port


def deliver(results, cluster, database, count, port):
    """Lets the worker post what is queued; the rate is that of the requests in the log of nginx, from the first to the last."""
    worker = wait_until(
        lambda: cluster.value("select pid from marketing_automation.worker_status() where database = current_database()", dbname=database),
        30, 0.05, "the worker",
    )  # fmt: skip
    with nginx(port) as (_, log):
        beside = [_posted_by_wrk(port, log)]
        before = len(_posts(log))
        spent = processor.times({"worker": worker})
        cluster.query("select marketing_automation.draft(%(s)s), marketing_automation.run(%(s)s)", {"s": SCENARIO}, dbname=database)
        wait_until(lambda: cluster.value(DELIVERED, dbname=database) == count, 600, 0.5, "all webhooks to be recorded as delivered")
        spent = processor.since(spent, {"worker": worker})
        posts = _posts(log)[before:]
        assert len(posts) == count, f"{len(posts)} requests arrived, not {count}"
        beside.append(_posted_by_wrk(port, log))
    seconds = posts[-1] - posts[0]
    results.rate(f"post {count:,} webhooks", count / seconds, sum(beside) / len(beside), f"wrk -c{CONNECTIONS}")
    processor.note(results, "a webhook", count, seconds, spent)


def _posts(log):
    """When each was answered, in seconds."""
    return sorted(float(line) for line in log.read_text(encoding="ascii").split())


def _posted_by_wrk(port, log):
    before = len(_posts(log))
    subprocess.run(
        ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "-s", HERE / "post.lua", f"http://127.0.0.1:{port}/webhook/1"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    return (len(_posts(log)) - before) / SECONDS
