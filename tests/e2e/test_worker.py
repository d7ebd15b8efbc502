"""The mailer worker's life."""

import os
import pathlib
import re
import shutil
import signal
import threading
import time

from e2e.shop import BODY

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


def test_dropping_the_extension_waits_for_a_transaction_of_the_worker_before_any_table(shop):
    waits = "select coalesce(max(wait_event), '') from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock' and query like %s"
    shop.wait_for_worker()
    holder = shop.connect(autocommit=False)
    holder.cursor().execute("lock table marketing_automation_internal.event_inbox in access exclusive mode")
    shop.query("select marketing_automation_internal.notify_mailer()")
    wait_until(lambda: shop.value(waits, "marketing_automation") == "relation", what="the mailer to wait for the inbox")
    dropping = threading.Thread(target=shop.query, args=("drop extension marketing_automation cascade",))
    dropping.start()
    wait_until(lambda: shop.value(waits, "drop extension%") == "object", what="the drop to wait for the mailer")
    holder.rollback()
    dropping.join()
    assert shop.value("select count(*) from pg_extension where extname = 'marketing_automation'") == 0


def test_a_database_can_be_dropped_under_its_worker(shop, cluster):
    pid = shop.wait_for_worker()
    cluster.query(f'drop database "{shop.database}" with (force)')
    assert pid not in cluster.children()


def test_a_worker_that_ends_comes_back(shop, sink):
    shop.customers("Ada")
    shop.scenario()
    pid = shop.wait_for_worker()
    shop.end_worker(pid)
    shop.tick()
    sink.wait_for(1, timeout=60)


def test_a_worker_in_the_middle_of_a_statement_ends_at_once(shop):
    pid = shop.wait_for_worker()
    shop.query(
        "create or replace function marketing_automation_internal.next_due() returns timestamptz language sql "
        "as 'select now() from pg_sleep(60)'"
    )
    shop.query("select marketing_automation_internal.notify_mailer()")
    wait_until(
        lambda: shop.value("select wait_event = 'PgSleep' from pg_stat_activity where pid = %s", pid),
        what="the worker to be in its statement",
    )
    shop.end_worker(pid)


def test_a_worker_full_of_huge_mails_stays_small_and_ends_at_once(shop, sink):
    shop.crowd(300)
    shop.scenario(body=BODY + "{% for i in range(4) %}<p>" + "so much to say " * 15_000 + "</p>{% endfor %}")
    shop.tick()
    sink.wait_for(5, timeout=60)
    time.sleep(2)
    pid = shop.worker()
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    assert int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) < 600_000
    shop.end_worker(pid)


def test_a_lock_of_somebody_else_does_not_keep_the_mailer_away(shop, sink):
    shop.customers("Ada")
    shop.scenario()
    pid = shop.wait_for_worker()
    locker = shop.connect(user=shop.marketer)
    locker.cursor().execute("select pg_advisory_lock(hashtext('marketing_automation.mailer'), 0)")
    os.kill(pid, signal.SIGTERM)
    shop.tick()
    sink.wait_for(1, timeout=60)


def test_mails_that_somebody_has_locked_are_waited_for_in_peace(shop, sink, cluster):
    shop.customers("Ada")
    with cluster.having(track_functions="pl"):
        shop.scenario()
        sink.refuse()
        shop.tick()
        wait_until(lambda: shop.value("select state = 'paused' from marketing_automation.worker_status()"), what="a pause")
        locker = shop.connect(autocommit=False)
        locker.cursor().execute("select from marketing_automation_internal.outbox for update")
        sink.start()
        claims = "select calls from pg_stat_user_functions where funcname = 'claim_messages'"
        time.sleep(3)
        before = shop.value(claims)
        time.sleep(4)
        assert shop.value(claims) - before <= 8
        locker.rollback()
        sink.wait_for(1, timeout=10)


def test_a_launcher_that_is_terminated_comes_back(shop, cluster):
    launcher = "select pid from pg_stat_activity where backend_type = 'marketing_automation launcher'"
    pid = cluster.value(launcher)
    cluster.query("select pg_terminate_backend(%s)", (pid,))
    wait_until(lambda: cluster.value(launcher) not in (None, pid), what="another launcher")


def test_a_database_owners_operators_do_not_run_with_the_workers_rights(shop, sink, cluster):
    shop.customers("Ada")
    shop.scenario()
    pid = shop.wait_for_worker()
    shop.psql(f"""
        create schema evil;
        create table evil.seen (who text);
        create function evil.same(name, name) returns boolean language plpgsql as
            $$ begin insert into evil.seen values (current_user); return $1 operator(pg_catalog.=) $2; end $$;
        create operator evil.= (function = evil.same, leftarg = name, rightarg = name);
        create function evil.same(oid, oid) returns boolean language plpgsql as
            $$ begin insert into evil.seen values (current_user); return $1 operator(pg_catalog.=) $2; end $$;
        create operator evil.= (function = evil.same, leftarg = oid, rightarg = oid);
        alter database "{shop.database}" set search_path = evil, pg_catalog;
        alter database "{shop.database}" set default_transaction_read_only = on;
        alter database "{shop.database}" set role = '{shop.marketer}';
    """)
    os.kill(pid, signal.SIGTERM)
    mailers = "select array_agg(pid) from pg_stat_activity where datname = %s and backend_type = 'marketing_automation mailer'"
    wait_until(lambda: cluster.value(mailers, (shop.database,)) not in (None, [pid]), what="another worker")
    superuser = shop.connect(options="-c role=none -c default_transaction_read_only=off")
    with superuser.cursor() as cursor:
        cursor.execute("select * from marketing_automation.enroll()")
        cursor.execute("call marketing_automation.process_all_due()")
        sink.wait_for(1)
        cursor.execute("select * from evil.seen")
        assert cursor.fetchall() == []


def test_a_limit_of_the_database_for_transactions_does_not_end_the_worker(shop, sink, cluster):
    known = shop.value("select count(*) from pg_settings where name = 'transaction_timeout'")
    if known:
        shop.query(f'alter database "{shop.database}" set transaction_timeout = \'300ms\'')
    shop.end_worker(shop.wait_for_worker())
    pid = shop.wait_for_worker()
    # As one who sets the limit does it, for whom it counts. The outbox would not do: a worker looks whether it is locked, and waits without a transaction.
    administrator = shop.connect(autocommit=False, options="-c transaction_timeout=0" if known else "")
    administrator.cursor().execute("lock table marketing_automation_internal.event_inbox in access exclusive mode")
    waits = "select count(*) from pg_stat_activity where pid = %s and wait_event_type = 'Lock'"
    # Again and again, as one that has just begun may not listen yet.
    notify = "select true from marketing_automation_internal.notify_mailer()"
    wait_until(lambda: shop.value(notify) and cluster.value(waits, (pid,)), what="the worker to wait")
    time.sleep(0.7)
    administrator.rollback()
    shop.customers("Ada")
    shop.scenario()
    shop.tick()
    sink.wait_for(1)
    assert shop.worker() == pid


def test_the_worker_survives_sql_errors_and_tells_them(shop, sink):
    shop.customers("Ada")
    shop.scenario()
    pid = shop.wait_for_worker()
    claim = shop.value("select 'marketing_automation_internal.claim_messages'::regproc::oid::regprocedure::text")
    shop.query(f"alter function {claim} rename to gone")
    shop.tick()
    error = "select last_error from marketing_automation.worker_status() where database = current_database()"
    wait_until(lambda: "claim_messages" in (shop.value(error) or ""), what="the worker to tell its error")
    shop.query(f"alter function {claim.replace('claim_messages', 'gone')} rename to claim_messages")
    sink.wait_for(1)
    assert shop.worker() == pid


def test_settings_are_reread_on_sighup(shop, sink, cluster):
    shop.customers("Ada")
    shop.scenario()
    shop.wait_for_worker()
    with cluster.having(marketing_automation__email_from="Other <other@example.org>"):
        shop.tick()
        assert sink.wait_for(1)[0].message["From"] == "Other <other@example.org>"


def test_settings_of_the_database_come_and_go(shop, sink, cluster):
    shop.customers("Ada")
    shop.scenario()
    shop.wait_for_worker()
    default = cluster.value("show marketing_automation.email_from")
    for sender, change in (
        ("Own <own@example.org>", "set marketing_automation.email_from = 'Own <own@example.org>'"),
        (default, "reset marketing_automation.email_from"),
    ):
        pid = shop.wait_for_worker()
        shop.query(f'alter database "{shop.database}" {change}')
        cluster.query("select pg_reload_conf()")
        wait_until(lambda: shop.worker() not in (None, pid), what="a worker with the settings")
        sink.clear()
        shop.customers(f"c{len(change)}")
        shop.tick()
        assert sink.wait_for(1)[-1].message["From"] == sender


def test_mails_leave_at_commit_not_at_the_next_poll(shop, sink):
    shop.customers("Ada")
    shop.scenario()
    shop.wait_for_worker()
    time.sleep(1)
    started = time.monotonic()
    shop.tick()
    sink.wait_for(1)
    # The next poll is nine seconds away.
    assert time.monotonic() - started < 7


def test_mail_goes_into_files_when_the_url_says_so(shop, cluster):
    shop.customers("Ada")
    directory = cluster.directory / "mail"
    directory.mkdir(exist_ok=True)
    shutil.chown(directory, server_account())
    with cluster.having(marketing_automation__smtp_url=f"file://{directory}"):
        shop.scenario()
        shop.tick()
        shop.wait_for_message("ada@example.org", "sent")
        assert len(list(directory.glob("*.eml"))) == 1
