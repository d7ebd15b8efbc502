"""health() in each state of what sends, by making it so; its hint is run, and helps."""

import re
import time

import pytest

from harness import wait_until
from harness.paths import ROOT

CHECK = "select status, message, hint from marketing_automation.health() where name = %s"


def told(shop, check, status):
    """Waits until that check has that status; its message and its hint."""
    now = shop.query(CHECK, check)
    row = wait_until(
        lambda: next((row for row in shop.query(CHECK, check) if row[0] == status), None), what=f"{check} to be {status}; it was {now}"
    )
    return row[1:]


def number(shop, name, label):
    """The value of a metric."""
    return shop.value("select value from marketing_automation.metric where name = %s and label = %s", "marketing_automation_" + name, label)


def test_a_pause_is_a_warning_until_its_hint_is_run(shop):
    told(shop, "worker", "ok")
    shop.query("select marketing_automation.pause('stocktaking')")
    message, hint = told(shop, "worker", "warning")
    assert message.startswith("paused: ") and message.endswith("stocktaking") and shop.query(CHECK, "pause")[0][0] == "warning"
    assert number(shop, "health_status", "worker") == 1
    shop.query(hint)
    assert told(shop, "worker", "ok")[0] in ("idle", "sending") and shop.query(CHECK, "pause")[0][0] == "ok"


def test_what_is_not_configured_is_an_error_that_names_the_setting(shop, cluster):
    for name in ("automation_base", "smtp_url"):
        shop.setting(name, "")
        cluster.query("select pg_reload_conf()")
        message, hint = told(shop, "worker", "error")
        assert message.startswith("unconfigured: ") and name in message
        assert f"marketing_automation.{name}" in dict(shop.query(hint))
        shop.query(f'alter database "{shop.database}" reset marketing_automation.{name}')
        cluster.query("select pg_reload_conf()")
        told(shop, "worker", "ok")


def test_a_copy_is_an_error_until_its_hint_is_run(shop):
    shop.query("update marketing_automation_internal.armed set system_identifier = 1")
    shop.cluster.query("select pg_reload_conf()")
    message, hint = told(shop, "worker", "error")
    assert message.startswith("disarmed: ") and "it was armed as part of another database cluster" in message
    shop.query(hint)
    told(shop, "worker", "ok")


def test_sql_of_another_version_is_an_error_with_the_update(shop):
    current = shop.value("select extversion from pg_extension where extname = 'marketing_automation'")
    shop.query("update pg_extension set extversion = '0.0.9' where extname = 'marketing_automation'")
    shop.end_worker(shop.wait_for_worker())
    wait_until(lambda: shop.query(CHECK, "worker")[0][1].startswith("outdated: "), what="the mailer to see the old version")
    assert told(shop, "worker", "error")[1] == "alter extension marketing_automation update;"
    assert shop.query(CHECK, "versions")[0][0::2] == ("warning", "alter extension marketing_automation update;")
    shop.query("update pg_extension set extversion = %s where extname = 'marketing_automation'", current)
    told(shop, "worker", "ok")


def test_a_server_out_of_reach_is_a_warning_and_so_are_the_mails_that_wait_for_it(shop, sink):
    shop.customers("Ada")
    shop.scenario()
    sink.refuse()
    shop.tick()
    message, hint = told(shop, "worker", "warning")
    assert message.startswith("paused: ") and hint == "show marketing_automation.smtp_url;"
    assert shop.value(hint) == sink.url
    wait = "update marketing_automation_internal.outbox set first_attempt_at = now() - %s::interval where first_attempt_at is not null"
    wait_until(lambda: shop.query(wait + " returning id", "20 minutes"), what="an attempt")
    message, hint = told(shop, "queued_mails_unreachable", "warning")
    assert "as no SMTP server answers" in message and shop.query(hint)[0][0] == "paused"
    assert told(shop, "queued_mails_ready", "ok")[0] == "none"
    assert number(shop, "backlog_seconds", "queued_mails_unreachable") > 1100
    shop.query(wait, "2 hours")
    told(shop, "queued_mails_unreachable", "error")
    # Also when the server has been tried again.
    due = shop.value("select clock_timestamp()")
    wait_until(lambda: shop.value("select due_at > %s from marketing_automation_internal.outbox where state = 'queued'", due), what="another attempt")
    told(shop, "queued_mails_unreachable", "error")
    # With servers of their own the hint is another.
    shop.query("insert into marketing_automation.smtp_server (name, url) values ('main', %s)", sink.url)
    shop.cluster.query("select pg_reload_conf()")
    wait_until(lambda: shop.query(CHECK, "servers")[0][0] == "error", what="the server to be given up")
    hint = told(shop, "worker", "warning")[1]
    assert shop.query(hint)[0][:2] == ("main", "out of reach") and shop.query(shop.query(CHECK, "servers")[0][2])[0][0] == "main"
    sink.start()
    sink.wait_for(1)
    for check in ("worker", "servers", "queued_mails_unreachable"):
        told(shop, check, "ok")


def test_a_server_that_does_not_preload_says_so_until_a_mailer_is_at_work(bare_shop, start_mailer):
    message, hint = told(bare_shop, "worker", "error")
    assert message == "not preloaded: marketing_automation is not in shared_preload_libraries: no mail is sent"
    # It can be typed as it is, and keeps what is preloaded already.
    before = bare_shop.value("show shared_preload_libraries")
    try:
        bare_shop.query(hint)
        written = bare_shop.value("select setting from pg_file_settings where name = 'shared_preload_libraries' order by seqno desc limit 1")
        assert written == ", ".join(filter(None, (before, "marketing_automation")))
    finally:
        bare_shop.query("alter system reset shared_preload_libraries")
    # A session that has not loaded the library knows none of its settings.
    bare_shop.query(told(bare_shop, "retention", "warning")[1])
    told(bare_shop, "retention", "ok")
    assert bare_shop.query(CHECK, "mailers") == []
    mailer = start_mailer(bare_shop)
    assert told(bare_shop, "worker", "ok") == ("not preloaded: 1 of marketing-mailer at work", None)
    assert told(bare_shop, "mailers", "ok") == ("1 at work", None)
    mailer.kill()
    message, hint = told(bare_shop, "mailers", "warning")
    assert message == "mailer-1: lost" and bare_shop.query(hint)[0][4] == "lost"
    told(bare_shop, "worker", "error")


def test_dead_rows_are_told_with_a_vacuum_that_removes_them(shop):
    shop.query("alter table marketing_automation.link set (autovacuum_enabled = false)")
    shop.query(
        "insert into marketing_automation.link (digest, url)"
        " select sha256(n::text::bytea), 'https://shop.example/' || n from generate_series(1, 110000) n"
    )
    shop.query("delete from marketing_automation.link")
    message, hint = told(shop, "vacuum", "warning")
    assert message.startswith("marketing_automation.link has 1") and hint == "vacuum (analyze) marketing_automation.link;"
    shop.query(hint)
    told(shop, "vacuum", "ok")


@pytest.mark.needs("pg_cron")
def test_each_check_and_each_number_is_in_the_manual(cluster, shop, start_mailer):
    page = (ROOT / "docs/operations.md").read_text()
    start_mailer(shop)
    # Those that are there only where there is something to say.
    shop.query("insert into marketing_automation.webhook_target (origin) values ('https://crm.example')")
    shop.setting("staging_mailbox", "staging@shop.example")
    rows = re.findall(r"^\| (`.*?) \|", page.partition("| check |")[2].partition("\n\n")[0], re.M)
    documented = {name.replace("…", "queued_mails") for row in rows for name in re.findall(r"`(\S+?)`", row)} - {"staging_mailbox"}
    wait_until(lambda: shop.query(CHECK, "mailers"), what="the mailer to be known")
    # Where pg_cron lives in this database there are its checks instead of one.
    checks = {name for (name,) in shop.query("select name from marketing_automation.health()")} - {"jobs"}
    assert checks | {"pg_cron", "enroll_job", "process_job"} == documented
    assert "the check is called `jobs`" in page
    shop.customers("Ada")
    shop.scenario()
    shop.tick()
    numbers = page.partition("| name | scenario |")[2].partition("\n\n")[0]
    named = {name if name.startswith("marketing") else "marketing_automation_" + kind + name.removeprefix("…")
             for kind, line in ((re.search(r"marketing_automation_(activity|worker)?", line)[1], line) for line in numbers.splitlines()[2:])
             for name in re.findall(r"`(\S+?)`", line.split("|")[1])}  # fmt: skip
    assert named == {name for (name,) in shop.query("select distinct name from marketing_automation.metric")}


def test_looking_costs_little_where_much_waits(shop):
    """Each of 2,500 mails and activities would be a block that is read at least once."""
    shop.crowd(5000)
    shop.query("select marketing_automation.pause()")
    shop.scenario()
    shop.query("select * from marketing_automation.enroll()")
    shop.query("select marketing_automation.process_due(2500)")
    shop.query("select count(*) from marketing_automation.health()")
    blocks = "select sum(heap_blks_read + heap_blks_hit) from pg_statio_user_tables where schemaname = 'marketing_automation_internal'"
    with shop.connect().cursor() as session:
        session.execute("select pg_stat_force_next_flush()")
        session.execute(blocks)
        before = session.fetchone()[0]
        session.execute("select count(*) from marketing_automation.health()")
        session.execute("select pg_stat_force_next_flush()")
        time.sleep(0.1)
        session.execute(blocks)
        assert session.fetchone()[0] - before < 1000
