"""The mailer worker's life."""

import os
import signal
import time

from harness import wait_until


def workers(cluster):
    """Databases that have a worker now."""
    return {
        name
        for (name,) in cluster.query(
            "select datname from pg_stat_activity where backend_type ilike '%%marketing%%' and datname is not null"
        )
    }


def test_every_database_with_the_extension_gets_a_worker(shop, cluster):
    wait_until(lambda: shop.database in workers(cluster), what="a worker for the new database")
    status = shop.query("select database, pid from marketing_automation.worker_status() where database = current_database()")
    assert status[0][0] == shop.database and status[0][1] > 0


def test_dropping_the_extension_ends_the_worker_and_creating_it_starts_one(shop, cluster):
    wait_until(lambda: shop.database in workers(cluster), what="the worker")
    shop.query("drop extension marketing_automation cascade")
    wait_until(lambda: shop.database not in workers(cluster), what="the worker to end")
    shop.query("create extension marketing_automation")
    wait_until(lambda: shop.database in workers(cluster), what="a new worker")


def test_a_database_can_be_dropped_under_its_worker(shop, cluster):
    wait_until(lambda: shop.database in workers(cluster), what="the worker")
    started = time.monotonic()
    cluster.query(f'drop database "{shop.database}" with (force)')
    assert time.monotonic() - started < 10
    wait_until(lambda: shop.database not in workers(cluster), what="the worker to end")


def test_a_killed_worker_comes_back(shop, sink, cluster):
    shop.customers("Ada")
    wait_until(lambda: shop.database in workers(cluster), what="the worker")
    pid = shop.value("select pid from marketing_automation.worker_status() where database = current_database()")
    os.kill(pid, signal.SIGTERM)
    shop.scenario()
    shop.tick()
    sink.wait_for(1, timeout=60)


def test_the_worker_survives_sql_errors_and_tells_them(shop, sink):
    shop.customers("Ada")
    shop.scenario()
    pid = wait_until(
        lambda: shop.value("select pid from marketing_automation.worker_status() where database = current_database()"),
        what="the worker",
    )
    shop.query("alter table marketing_automation.outbox add column broken integer not null default 1 check (broken / (broken - 1) = 1) not valid")
    shop.psql("do $$ begin perform 1; end $$")
    shop.query("alter table marketing_automation.outbox drop column broken")
    shop.tick()
    sink.wait_for(1)
    assert shop.value("select pid from marketing_automation.worker_status() where database = current_database()") == pid


def test_settings_are_reread_on_sighup(shop, sink, cluster):
    shop.customers("Ada")
    shop.scenario()
    cluster.set(marketing_automation__email_from="Other <other@example.org>")
    try:
        shop.tick()
        assert sink.wait_for(1)[0].message["From"] == "Other <other@example.org>"
    finally:
        cluster.set(marketing_automation__email_from=None)


def test_mails_leave_at_commit_not_at_the_next_poll(shop, sink):
    shop.customers("Ada")
    shop.scenario()
    wait_until(
        lambda: shop.value("select pid from marketing_automation.worker_status() where database = current_database()"),
        what="the worker",
    )
    time.sleep(1)
    started = time.monotonic()
    shop.tick()
    sink.wait_for(1)
    assert time.monotonic() - started < 3


def test_mail_goes_into_files_when_the_url_says_so(shop, sink, cluster):
    shop.customers("Ada")
    directory = cluster.data / "mail"
    directory.mkdir()
    import shutil

    from harness.cluster import server_account

    shutil.chown(directory, server_account())
    cluster.set(marketing_automation__smtp_url=f"file://{directory}")
    try:
        shop.scenario()
        shop.tick()
        shop.wait_for_message("ada@example.org", "sent")
        assert len(list(directory.glob("*.eml"))) == 1
    finally:
        cluster.set(marketing_automation__smtp_url=None)
