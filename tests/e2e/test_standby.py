"""A hot standby: what only reads is answered there as on its primary, what would write says where it can, the proxy shows its pages."""

import re

import psycopg2
import pytest
import requests
from e2e.shop import TABLES, Shop, sending_to

from harness import Cluster, Proxy, wait_until

# Each gives the same rows on both.
READS = """
select * from activity_count('welcome')
select * from record_count('welcome')
select * from tree('welcome')
select * from report('welcome')
select * from mail_report('welcome')
select * from link_report('welcome')
select * from domain_report('welcome')
select * from timing_report('welcome')
select * from cohort_report('welcome')
select * from uplift_report('welcome')
select * from variant_report('welcome')
select * from scenario_report_by('welcome')
select * from activity_report_by('welcome', 'hello')
select regexp_replace(report_html('welcome'), '\\d\\d:\\d\\d(:\\d\\d)?', '', 'g')
select report_link('welcome') like 'http://127.0.0.1:9/r/%'
select marketing_automation.report_by_token(split_part(report_link('welcome'), '/r/', 2), 'en') like '%welcome%'
select * from explain_record('welcome', '1')
select * from explain_record('welcome', '4')
select * from explain_record('welcome', '99')
select * from export_person('ada@example.org')
select * from export_scenario('welcome')
select * from check_scenario('welcome')
select sender, subject, html, text, headers is null from preview('welcome', 'hello', '1')
select sender, subject, html, text, headers is null from preview('welcome', 'told', '1')
select * from preview_attachments('welcome', 'hello', '1')
select * from marketing_automation.check()
select * from mailer_status()
select * from tracking_keys()
select * from page_sources()
select scenario_id('welcome'), record_id(gen_random_uuid()) is null, is_suppressed('ada@example.org'), sees_rows(scenario_id('welcome'))
select counts_every_scenario(), reads_every_scenario(), operates_every_scenario(), enters_every_scenario()
select address_hash('ada@example.org'), sparkline('{1,2}'), database_time_zone(), assumed_now() = now(), anniversary('2000-02-29')
select * from unsubscribe_page('none')
select * from unsubscribe_origin('none')
select * from preferences('none')
select * from confirm_page('none')
select * from mail_by_token('none')
"""
# What they tell is of the server that is asked.
OWN = ("health()", "metric", "worker_status()", "is_armed()")
# They play, and roll back.
PLAYS = {
    "simulate()": "select * from marketing_automation.simulate('welcome', '1')",
    "rehearse()": "select * from marketing_automation.rehearse('welcome', now() + interval '1 day')",
    "a dry run": "select * from marketing_automation.import_scenario(marketing_automation.export_scenario('welcome'), 'other', dry_run => true)",
}


class Pair:
    """A primary with a shop that has sent mails, and its standby."""

    def __init__(self, sink):
        self.primary = Cluster(settings={**sending_to(sink), "marketing_automation.report_links": "on"}).start()
        self.primary.query("create database shop")
        shop = self.shop = Shop(self.primary, "shop")
        shop.psql(TABLES.format(database="shop", role=shop.marketer, tracking=shop.tracking))
        shop.customers("Ada", "Bob", "Cyd")
        shop.query("insert into marketing_automation.webhook_target (origin) values ('https://crm.example')")
        shop.query("insert into marketing_automation.snippet (name, body) values ('foot', '<a href=\"unsubscribe\">leave</a>')")
        shop.scenario(
            run=False, body='<a href="https://shop.example/a">a</a> {{ browser_url }} {% include "foot" %}',
            attachments="select 'a.txt' as name, 'text/plain' as type, 'a'::bytea as content",
        )  # fmt: skip
        shop.activity("other", parent="hello", on_event="variant", share=50, action=None, body=None)
        webhook = {"action": "webhook", "url": "https://crm.example/{{ record.name }}", "subject": None, "body": None}
        shop.activity("told", parent="hello", on_event="email_clicked", **webhook)
        shop.query("select marketing_automation.run('welcome')", user=shop.marketer)
        shop.tick()
        for name in ("ada", "bob", "cyd"):
            shop.wait_for_message(f"{name}@example.org", "sent")
        shop.open_mail("ada@example.org")
        wait_until(lambda: shop.value("select count(opened_at) = 1 from marketing_automation.record_activity"), what="the open")
        # One that waits, though nothing keeps it but its time.
        shop.customers("Dan")
        session = shop.connect(autocommit=False)
        with session, session.cursor() as cursor:
            cursor.execute("select * from marketing_automation.enroll()")
            cursor.execute("select marketing_automation.process_due()")
            cursor.execute("update marketing_automation_internal.outbox set due_at = now() + interval '1 day' where email = 'dan@example.org'")
        session.close()
        # A mailer is known by its session; this one never tells again.
        self.mailer = shop.connect()
        with self.mailer.cursor() as cursor:
            cursor.execute("select extversion from pg_extension where extname = 'marketing_automation'")
            cursor.execute("select marketing_automation.mailer_register('far', gen_random_uuid(), 'far', %s)", cursor.fetchone())
            cursor.execute("update marketing_automation_internal.mailer set seen_at = now() + interval '1 day'")
        self.standby = Cluster.of_backup(self.primary, "--write-recovery-conf").start()
        self.catch_up()

    def catch_up(self):
        """Waits until the standby has all that its primary has."""
        position = self.primary.value("select pg_current_wal_insert_lsn()")
        wait_until(lambda: self.standby.value("select pg_last_wal_replay_lsn() >= %s", (position,)), what="the standby to catch up")

    def destroy(self):
        self.standby.destroy()
        self.primary.destroy()


@pytest.fixture(scope="module")
def pair(sink_of_the_run):
    pair = Pair(sink_of_the_run)
    yield pair
    pair.destroy()


def rows(cluster, sql, user=None):
    """The rows, as text; which function is meant is told by the path."""
    connection = cluster.connect("shop", user, options="-c search_path=marketing_automation,pg_catalog -c timezone=UTC")
    try:
        with connection.cursor() as cursor:
            cursor.execute(sql)
            return [[bytes(value) if isinstance(value, memoryview) else str(value) for value in row] for row in cursor.fetchall()]
    finally:
        connection.close()


def test_what_only_reads_is_answered_as_on_the_primary(pair):
    pair.catch_up()
    views = rows(
        pair.standby,
        "select format('select * from %I order by 1', relname) from pg_class where relnamespace = 'marketing_automation'::regnamespace"
        " and relkind in ('v', 'r') and relname <> 'metric'",
    )
    reads = [line for line in READS.splitlines() if line] + [sql for (sql,) in views]
    differing = {sql: told for sql in reads if (told := rows(pair.standby, sql)) != rows(pair.primary, sql)}
    assert differing == {}
    for what in OWN:
        assert rows(pair.standby, f"select * from {what}")
    # A member of a team asks, too.
    for sql in (line for line in READS.splitlines() if re.search(r" (\w*report\w*|tree|preview|check_scenario|explain_record)\('", line)):
        assert rows(pair.standby, sql, pair.shop.marketer) == rows(pair.primary, sql, pair.shop.marketer)


def test_what_only_reads_is_answered_where_transactions_are_read_only(pair):
    with pair.shop.connect(options="-c default_transaction_read_only=on -c search_path=marketing_automation,pg_catalog").cursor() as cursor:
        for sql in filter(None, READS.splitlines()):
            cursor.execute(sql)
        for what, sql in PLAYS.items():
            refusal = re.escape(f"{what} writes what it rolls back, which this transaction may not")
            with pytest.raises(psycopg2.errors.ReadOnlySqlTransaction, match=refusal):
                cursor.execute(sql)


def test_the_list_of_what_reads_is_whole(pair):
    stable = rows(
        pair.primary, "select distinct proname from pg_proc where pronamespace = 'marketing_automation'::regnamespace and provolatile <> 'v'"
    )
    asked = READS + " ".join(OWN)
    assert [name for (name,) in stable if not re.search(rf"\b{name}\(", asked)] == []


@pytest.mark.parametrize("what", PLAYS)
def test_what_plays_and_rolls_back_says_where_it_can(pair, what):
    with pytest.raises(psycopg2.errors.ReadOnlySqlTransaction) as refused:
        pair.standby.query(PLAYS[what], dbname="shop", user=pair.shop.marketer)
    assert refused.value.diag.message_primary == f"{what} writes what it rolls back, which a standby cannot"
    assert re.match(r"select sender_host, sender_port from pg_stat_wal_receiver; --", refused.value.diag.message_hint)
    pair.standby.query(refused.value.diag.message_hint)
    pair.primary.query(PLAYS[what], dbname="shop", user=pair.shop.marketer)


def test_a_standby_is_well_without_a_worker(pair):
    assert rows(pair.standby, "select state, last_error from worker_status()") == [["not running", "the server is a standby: mails leave from its primary"]]
    told = rows(pair.standby, "select name, status, message from health() where name <> 'retention'")
    assert [row for row in told if row[1] != "ok"] == []
    assert {"worker", "jobs"} <= {name for name, *_ in told}
    assert rows(pair.standby, "select state <> 'lost' from mailer_status()") == [["True"]]
    assert not re.search(r"\] marketing_automation|LOG: +marketing_automation", pair.standby.log_text())


def test_a_proxy_at_a_standby_shows_pages_and_takes_no_hit(pair):
    links = pair.shop.query(
        "select split_part(marketing_automation.report_link('welcome'), ':9', 2),"
        " '/u/' || marketing_automation_internal.sign_token('unsubscribed', record_id, activity_id),"
        " '/o/' || marketing_automation_internal.sign_token('email_opened', record_id, activity_id)"
        " from marketing_automation.message where email = 'bob@example.org'"
    )[0]
    proxy = Proxy(pair.standby.url("shop", pair.shop.tracking, "tracking")).start(wait=False)
    try:
        wait_until(lambda: "the server is a standby" in proxy.log.read_text(), what="the proxy to say so")
        answers = [requests.get(proxy.base + link).status_code for link in links]
        assert answers == [200, 200, 503]
        assert requests.post(proxy.base + links[1], data={"List-Unsubscribe": "One-Click"}).status_code == 503
        assert requests.get(proxy.base + "/readyz").status_code == 503
    finally:
        proxy.stop()
