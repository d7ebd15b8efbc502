"""pg_cron, dumps and copies."""

import contextlib
import subprocess
import time

import psycopg2
import pytest
from e2e.conftest import CRON_DATABASE
from e2e.shop import TABLES, Shop

from harness import Cluster, wait_until
from harness.paths import pg_program


@pytest.mark.needs("pg_cron")
def test_pg_cron_enrolls_and_processes(cluster, sink):
    shop = Shop(cluster, CRON_DATABASE)
    if cluster.process is None:
        cluster.start()
    shop.query("create extension pg_cron")
    shop.psql(TABLES.format(database=CRON_DATABASE, role=shop.marketer, tracking=shop.tracking))
    shop.customers("Ada")
    shop.scenario()
    shop.query("select * from marketing_automation.enroll()")
    shop.customers("Bob")
    # Within one minute: Ada is for the one job, Bob for the other.
    shop.query("select * from marketing_automation.schedule_jobs(enroll => '* * * * *', process => '* * * * *')")
    shop.query("select * from marketing_automation.schedule_jobs()")  # again: replaces
    assert shop.value("select count(*) from cron.job") == 2
    sink.wait_for(1, timeout=80)
    wait_until(lambda: shop.value("select count(*) from marketing_automation.record") == 2, what="Bob to enter")
    assert wait_until(
        lambda: shop.query("select distinct status from cron.job_run_details where status not in ('starting', 'running')"),
        what="the jobs to end",
    ) == [("succeeded",)]
    shop.query("select marketing_automation.unschedule_jobs()")
    assert shop.value("select count(*) from cron.job") == 0


@pytest.mark.needs("pg_cron")
def test_jobs_of_a_dropped_extension_remove_themselves(cluster, sink):
    shop = Shop(cluster, CRON_DATABASE)
    if cluster.process is None:
        cluster.start()
    shop.query("create extension if not exists pg_cron")
    shop.query("create extension if not exists marketing_automation")
    shop.query("select * from marketing_automation.schedule_jobs()")
    shop.query("select cron.schedule('another', '0 0 1 1 *', 'select 1')")
    commands = shop.query("select command from cron.job where jobname <> 'another'")
    assert len(commands) == 2
    shop.query("drop extension marketing_automation cascade")
    for (command,) in commands:
        # pg_cron runs them itself when its minute is over; who comes second finds none.
        with contextlib.suppress(psycopg2.Error):
            shop.query(command)
    wait_until(lambda: shop.query("select jobname from cron.job") == [("another",)], what="the jobs to be gone, and no other")
    shop.query("select cron.unschedule('another')")


@pytest.mark.needs("pg_cron")
def test_scheduling_from_another_database_says_what_to_run(shop):
    with pytest.raises(psycopg2.Error) as error:
        shop.query("select * from marketing_automation.schedule_jobs()")
    assert CRON_DATABASE in error.value.diag.message_detail + error.value.diag.message_hint
    assert "schedule_in_database" in error.value.diag.message_hint


def test_without_preloading_everything_works_but_mail_and_says_so():
    cluster = Cluster(preload="").start()
    cluster.query("create database unloaded")
    shop = Shop(cluster, "unloaded")
    shop.psql(TABLES.format(database=shop.database, role=shop.marketer, tracking=shop.tracking))
    shop.customers("Ada")
    shop.scenario()
    shop.tick()
    assert shop.messages() == {"ada@example.org": "queued"}
    assert shop.query("select pid, state from marketing_automation.worker_status()") == [(None, "not preloaded")]
    shop.query("select marketing_automation.tracking_keys()")
    token = shop.value("select marketing_automation_internal.sign_token('email_opened', id, 1, null) from marketing_automation.record")
    shop.query(
        "select marketing_automation.record_events(array[gen_random_uuid()], array['email_opened'], array[%s], array[now()], array['GET'],"
        " array[null::inet], array['Firefox'])",
        token,
    )
    # In a session of its own, in which nothing else has loaded the library.
    assert shop.value("select marketing_automation.apply_events()") == 1
    assert shop.events() == [("email_opened", 1)]
    cluster.destroy()


def test_a_restored_dump_has_everything_and_sends_nothing(shop, sink, cluster):
    shop.customers("Ada", "Bob")
    sink.answer("bob@*", "450 4.2.1 later")
    shop.scenario(run=False)
    shop.activity("later", parent="hello", delay="1 day")
    shop.query("select marketing_automation.run('welcome')")
    shop.tick()
    shop.wait_for_message("ada@example.org", "sent")
    copy = Shop(cluster, shop.database + "_copy")
    cluster.query(f'create database "{copy.database}"')
    try:
        dump = subprocess.run(
            [pg_program("pg_dump"), "-h", cluster.directory, "-p", str(cluster.port), "-U", "postgres", shop.database],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        cluster.psql(dump.stdout, dbname=copy.database)
        for table in ("scenario", "activity", "record", "record_activity", "message", "delivery_attempt", "link"):
            count = f"select count(*) from marketing_automation.{table}"
            assert copy.value(count) == shop.value(count), table
        sink.clear()
        copy.retry_now()
        copy.query("select * from marketing_automation.enroll()")
        copy.pass_time("2 days")
        copy.psql("call marketing_automation.process_all_due()")
        time.sleep(5)
        assert sink.to("ada@example.org") == []
        assert copy.messages()["bob@example.org"] == "deferred"
        # New rows get new numbers: the sequences have come along.
        assert copy.value("select nextval('marketing_automation.record_id_seq') > max(id) from marketing_automation.record")
    finally:
        cluster.query(f'drop database "{copy.database}" with (force)')


def test_a_parallel_restore_loses_nothing(shop, cluster, tmp_path):
    shop.customers(*(f"customer{n}" for n in range(20)))
    for number in range(30):
        shop.scenario(f"scenario {number}")
    shop.activity("child", scenario="scenario 1", parent="hello", delay="1 day")
    shop.query(
        "insert into marketing_automation.activity_translation (activity_id, language, subject) "
        "select id, 'fr', 'Bienvenue' from marketing_automation.activity where name = 'hello'"
    )
    shop.query("insert into marketing_automation.party (name) values ('Ada')")
    shop.query("insert into marketing_automation.sale (party_id) select id from marketing_automation.party")
    shop.tick()
    # At rest: else the mailer goes on while the dump is compared.
    wait_until(lambda: not shop.value("select count(*) from marketing_automation_internal.outbox"), what="all mails to be sent")
    connection = ("-h", str(cluster.directory), "-p", str(cluster.port), "-U", "postgres")
    archive = tmp_path / "dump"
    subprocess.run([pg_program("pg_dump"), *connection, "-Fd", "-f", archive, shop.database], check=True)
    tables = "model party sale scenario scenario_status activity activity_translation record record_activity message".split()
    for attempt in range(4):
        copy = Shop(cluster, f"{shop.database}_{attempt}"[-60:])
        cluster.query(f'create database "{copy.database}"')
        try:
            restore = subprocess.run(
                [pg_program("pg_restore"), *connection, "-j4", "-d", copy.database, archive], capture_output=True, text=True
            )
            assert restore.returncode == 0, restore.stderr
            for table in tables:
                count = f"select count(*) from marketing_automation.{table}"
                assert copy.value(count) == shop.value(count), table
            assert not copy.value("select marketing_automation.is_armed()")
        finally:
            copy.drop()


def test_a_copy_made_as_template_is_disarmed(shop, sink, cluster):
    shop.customers("Ada")
    shop.scenario()
    copy = Shop(cluster, shop.database + "_copy")
    cluster.query(f'alter database "{shop.database}" allow_connections false')
    cluster.query("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", (shop.database,))
    wait_until(
        lambda: not cluster.value("select count(*) from pg_stat_activity where datname = %s", (shop.database,)),
        what="the sessions to end",
    )
    cluster.query(f'create database "{copy.database}" template "{shop.database}"')
    cluster.query(f'alter database "{shop.database}" allow_connections true')
    try:
        copy.tick()
        wait_until(lambda: copy.value("select state from marketing_automation.worker_status()") == "disarmed", what="the copy to say so")
        assert copy.messages() == {"ada@example.org": "queued"} and not sink.mails
        copy.query("select marketing_automation.arm(resend => true)")
        sink.wait_for(1)
    finally:
        cluster.query(f'drop database "{copy.database}" with (force)')
