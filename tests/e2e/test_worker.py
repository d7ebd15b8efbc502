"""The mailer worker's life."""

import os
import shutil
import signal
import time

from harness import wait_until
from harness.cluster import server_account


def test_every_database_with_the_extension_gets_a_worker(shop):
    pid = shop.wait_for_worker()
    status = shop.query("select pid from marketing_automation.worker_status() where database = current_database()")
    assert status == [(pid,)]


def test_dropping_the_extension_ends_the_worker_and_creating_it_starts_one(shop):
    shop.wait_for_worker()
    shop.query("drop extension marketing_automation cascade")
    wait_until(lambda: not shop.worker(), what="the worker to end")
    shop.query("create extension marketing_automation")
    shop.wait_for_worker()


def test_a_database_can_be_dropped_under_its_worker(shop, cluster):
    pid = shop.wait_for_worker()
    started = time.monotonic()
    cluster.query(f'drop database "{shop.database}" with (force)')
    assert time.monotonic() - started < 10
    assert pid not in cluster.children()


def test_a_worker_that_ends_comes_back(shop, sink):
    shop.customers("Ada")
    shop.scenario()
    pid = shop.wait_for_worker()
    started = time.monotonic()
    os.kill(pid, signal.SIGTERM)
    wait_until(lambda: not os.path.exists(f"/proc/{pid}"), interval=0.01, what="the worker to end")
    assert time.monotonic() - started < 1
    shop.tick()
    sink.wait_for(1, timeout=60)


def test_the_worker_survives_sql_errors_and_tells_them(shop, sink):
    shop.customers("Ada")
    shop.scenario()
    pid = shop.wait_for_worker()
    shop.query("alter function marketing_automation.claim_messages(integer) rename to gone")
    shop.tick()
    error = "select last_error from marketing_automation.worker_status() where database = current_database()"
    wait_until(lambda: "claim_messages" in (shop.value(error) or ""), what="the worker to tell its error")
    shop.query("alter function marketing_automation.gone(integer) rename to claim_messages")
    sink.wait_for(1)
    assert shop.worker() == pid


def test_settings_are_reread_on_sighup(shop, sink, cluster):
    shop.customers("Ada")
    shop.scenario()
    shop.wait_for_worker()
    cluster.set(marketing_automation__email_from="Other <other@example.org>")
    try:
        shop.tick()
        assert sink.wait_for(1)[0].message["From"] == "Other <other@example.org>"
    finally:
        cluster.set(marketing_automation__email_from=None)


def test_mails_leave_at_commit_not_at_the_next_poll(shop, sink):
    shop.customers("Ada")
    shop.scenario()
    shop.wait_for_worker()
    time.sleep(1)
    started = time.monotonic()
    shop.tick()
    sink.wait_for(1)
    assert time.monotonic() - started < 2


def test_mail_goes_into_files_when_the_url_says_so(shop, cluster):
    shop.customers("Ada")
    directory = cluster.directory / "mail"
    directory.mkdir(exist_ok=True)
    shutil.chown(directory, server_account())
    cluster.set(marketing_automation__smtp_url=f"file://{directory}")
    try:
        shop.scenario()
        shop.tick()
        shop.wait_for_message("ada@example.org", "sent")
        assert len(list(directory.glob("*.eml"))) == 1
    finally:
        cluster.set(marketing_automation__smtp_url=None)
