"""What monitoring sees: the names of the dashboard are those of the real programs, and the log names nobody."""

import json
import re
import threading
import time
import urllib.parse

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from harness import free_port, wait_until
from harness.cluster import Cluster
from harness.paths import ROOT, TARGET
from harness.web_program import WebProgram

EXPORTER = TARGET / "packages/prometheus-postgres-exporter/usr/bin/prometheus-postgres-exporter"
NAME = re.compile(r"\bmarketing_[a-z_]+")


def _samples(url):
    """The samples of an exposition: a value by name and labels."""
    text = requests.get(url, timeout=60).text
    return {
        (sample.name, tuple(sorted((label, value) for label, value in sample.labels.items() if label != "server"))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.fixture
def exporter(shop, cluster):
    """postgres_exporter with the queries of the docs, as a role that may see nothing else."""
    shop.query("create role shop_monitor login")
    shop.query("select marketing_automation.grant_access('shop_monitor', 'monitor')")
    port = free_port()
    program = WebProgram("exporter", f"http://127.0.0.1:{port}/metrics")
    socket = urllib.parse.quote(str(cluster.directory))
    program.spawn(
        [
            EXPORTER, "--disable-default-metrics", "--disable-settings-metrics", "--no-collector.database", "--no-collector.bgwriter",
            "--extend.query-path", ROOT / "docs/postgres_exporter.yaml", "--web.listen-address", f"127.0.0.1:{port}",
        ],
        {"DATA_SOURCE_NAME": f"postgresql:///{urllib.parse.quote(shop.database)}?host={socket}&port={cluster.port}&user=shop_monitor&sslmode=disable"},
    )  # fmt: skip
    yield program
    program.stop()
    shop.query("drop owned by shop_monitor")
    shop.query("drop role shop_monitor")


def _expressions(panel):
    """What a panel asks, with the names that Grafana shows of the answer."""
    return [(target["expr"], target.get("legendFormat", "")) for target in panel.get("targets", ())]


def test_each_name_of_the_dashboard_is_exported(shop, sink, start_proxy, start_mailer, exporter, tmp_path):
    shop.customers("Ada")
    shop.scenario()
    shop.tick()
    sink.wait_for(1)
    wait_until(lambda: shop.messages() == {"ada@example.org": "sent"}, what="the mail to be recorded")
    proxy = start_proxy("--spool", tmp_path / "spool")
    requests.get(proxy.base + "/o/broken")
    mailer = start_mailer(shop)
    samples = _samples(exporter.health) | _samples(proxy.base + "/metrics") | _samples(mailer.base + "/metrics")
    dashboard = (ROOT / "docs/grafana.json").read_text()
    shown = set(NAME.findall(dashboard)) - {"marketing_automation"}
    exported = {name for name, _ in samples}
    assert shown <= exported, shown - exported
    # Labels by which it groups, chooses and names lines are of each of the metrics beside them.
    labels = {name: {label for other, pairs in samples if other == name for label, _ in pairs} for name in exported}
    panels = json.loads(dashboard)["panels"]
    assert len(panels) > 5
    for expression, legend in (asked for panel in panels for asked in _expressions(panel)):
        used = {label for group in re.findall(r"by \((.*?)\)", expression) for label in group.split(", ")}
        used |= set(re.findall(r"(\w+)=~", expression)) | set(re.findall(r"{{(\w+)}}", legend))
        for name in NAME.findall(expression):
            assert used <= labels[name], (expression, name, labels[name])
    # And the other way: nothing that is exported by the queries is missing, or has another value than the view.
    for name, scenario, label, value in shop.query("select name, scenario, label, value from marketing_automation.metric where name not like '%backlog%'"):
        kind = {"marketing_automation_health_status": "check"}.get(name, "activity")
        labels = [(key, text) for key, text in (("scenario", scenario), (kind, label)) if text is not None]
        assert samples[name, tuple(sorted(labels))] == value, name
    assert samples["marketing_automation_activity_sent_total", (("activity", "hello"), ("scenario", "welcome"))] == 1


@pytest.mark.needs("pg_cron")
def test_a_launcher_of_pg_cron_that_has_ended_is_told():
    cluster = Cluster(cron_database="shop").start()
    try:
        cluster.query("create extension pg_cron", dbname="shop")
        cluster.query("create extension marketing_automation", dbname="shop")

        def told():
            return cluster.query("select status, hint from marketing_automation.health() where name = 'pg_cron'", dbname="shop")

        wait_until(lambda: told() == [("ok", None)], what="the launcher to run")
        cluster.query("select pg_terminate_backend(pid) from pg_stat_activity where backend_type = 'pg_cron launcher'")
        wait_until(lambda: told() == [("warning", "-- restart the server, with pg_cron in shared_preload_libraries")], what="health() to tell")
        cluster.restart()
        wait_until(lambda: told() == [("ok", None)], what="the launcher to be back")
    finally:
        cluster.destroy()


def test_lines_of_the_mailer_begin_alike_and_name_nobody(shop, sink, cluster):
    before = cluster.log.stat().st_size
    shop.customers("Ada", "Bob", "Cleo")
    sink.answer("bob@*", "550 5.1.1 bob@example.org: no such user")
    sink.answer("cleo@*", "451 4.3.0 cleo@example.org: try later")
    shop.scenario()
    shop.tick()
    wait_until(lambda: shop.messages() == {"ada@example.org": "sent", "bob@example.org": "failed", "cleo@example.org": "deferred"}, what="all to be tried")
    # Who consents cannot be told.
    shop.query("update marketing_automation.model set track_opens = 'self.orders >= 0' where name = 'customer'")
    shop.query("alter table shop.customer rename column orders to purchases")
    record, activity = shop.query("select record_id, activity_id from marketing_automation.message where email = 'ada@example.org'")[0]
    token = shop.value("select marketing_automation_internal.sign_token('email_opened', %s, %s)", record, activity)
    shop.query(
        "select marketing_automation.record_events(array[gen_random_uuid()], array['email_opened'], array[%s], array[now()], array['GET'],"
        " array[null::inet], array['Firefox'])",
        token,
    )
    wait_until(lambda: not shop.value("select count(*) from marketing_automation_internal.event_inbox"), what="the open to be applied")
    sink.refuse()
    shop.retry_now()
    wait_until(lambda: shop.value("select state from marketing_automation.worker_status()") == "paused", what="the mailer to notice")
    with open(cluster.log, "rb") as log:
        log.seek(before)
        text = log.read().decode()
    # The type of the process comes first: see log_line_prefix in harness/cluster.py.
    lines = re.findall(r"\] marketing_automation (?:mailer|launcher) (LOG|WARNING|ERROR|DETAIL|HINT|CONTEXT):  (.*)", text)
    messages = [message for level, message in lines if level in ("LOG", "WARNING")]
    assert any("does not know who consents" in message for message in messages) and any("mailer: " in message for message in messages)
    for message in messages:
        assert re.match(r'marketing_automation( mailer| launcher)?: |scenario "', message), message
    assert not [line for line in lines if "@" in line[1]]


def test_replies_that_repeat_an_address_name_nobody_in_log_and_state(shop, sink, cluster):
    before = cluster.log.stat().st_size
    sink.answer("*", "550 5.7.1 <c1@example.org>: blocked, ask postmaster@example.net")
    shop.crowd(30)
    shop.scenario()
    shop.tick()
    wait_until(
        lambda: shop.value("select state from marketing_automation.smtp_server_status") == "out of reach", what="the refusals to be about us"
    )
    shown = shop.value(
        "select concat_ws(' ', w.last_error, (select string_agg(s.last_error, ' ') from marketing_automation.smtp_server_status s),"
        " (select string_agg(message, ' ') from marketing_automation.health())) from marketing_automation.worker_status() w"
    )
    assert "in a row were refused" in shown and "<…>: blocked, ask …" in shown and "@" not in shown, shown

    def logged():
        with open(cluster.log, "rb") as log:
            log.seek(before)
            return re.findall(r"marketing_automation mailer: .*", log.read().decode(errors="replace"))

    wait_until(lambda: any("<…>: blocked, ask …" in line for line in logged()), what="the log to tell")
    assert not [line for line in logged() if "@" in line]
    # Who may see the mails sees it all.
    assert shop.value("select count(*) from marketing_automation.message where smtp_reply like '%%<c1@example.org>: blocked%%'") > 0


def test_what_a_statement_is_at_is_seen_by_others(shop):
    shop.customers("Ada")
    shop.scenario("slow", domain="pg_sleep(0.7) is not null", mail=False, run=False)
    shop.activity("sleeper", scenario="slow", condition="pg_sleep(0.7) is not null")
    shop.query("select marketing_automation.run('slow')")
    seen = set()
    call = threading.Thread(target=shop.tick)
    call.start()
    while call.is_alive():
        seen |= {query for (query,) in shop.query("select query from pg_stat_activity where datname = current_database() and query like '/* marketing_automation: %'")}
        time.sleep(0.05)
    call.join()
    assert any(query.startswith('/* marketing_automation: enroll scenario "slow" */ select * from marketing_automation.enroll()') for query in seen), seen
    assert any(query.startswith('/* marketing_automation: process activity "sleeper" of scenario "slow" */ ') for query in seen), seen
