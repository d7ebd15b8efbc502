"""What an administrator meets: locks of others, a wrong order of steps, dumps of older versions."""

import subprocess

import psycopg2
import pytest

from harness import wait_until
from harness.paths import pg_program
from release import history
from update.shop import NEXT, Data, Shop, extension_folder, script_to_next


def test_an_update_that_cannot_get_a_lock_gives_up_and_can_be_repeated(shop):
    before = shop.catalog()
    with shop.connect(autocommit=False) as holder, holder.cursor() as cursor:
        cursor.execute("lock table marketing_automation.suppression in row exclusive mode")
        with pytest.raises(psycopg2.errors.LockNotAvailable):
            shop.update()
        # The session's own timeout is left alone.
        impatient = shop.connect()
        with impatient.cursor() as other:
            other.execute("set lock_timeout = '100ms'")
            other.execute("select clock_timestamp()")
            began = other.fetchone()[0]
            with pytest.raises(psycopg2.errors.LockNotAvailable):
                other.execute("alter extension marketing_automation update")
            other.execute("select clock_timestamp() - %s < interval '3 seconds', current_setting('lock_timeout')", (began,))
            assert other.fetchone() == (True, "100ms")
        holder.rollback()
    assert shop.catalog() == before
    shop.update()
    assert shop.version() == history.current_version()


def test_readers_do_not_wait_for_an_update_nor_it_for_them(shop):
    """A long report over tables that stay as they are is no hindrance; one over views is, as an update makes them anew."""
    with shop.connect(autocommit=False) as reader, reader.cursor() as cursor:
        cursor.execute("select count(*) from marketing_automation.link, marketing_automation_internal.attempt_log")
        shop.update()
        cursor.execute("select count(*) from marketing_automation_internal.attempt_log")
        reader.rollback()


def test_a_view_of_somebody_over_ours_stays_or_refuses_the_update_as_a_whole(shop, tmp_path):
    # Over what has stayed of its kind: of record and event, which were tables, see test_rights.py.
    shop.query("create view shop.sent as select m.*, a.name as mail from marketing_automation.message m join marketing_automation.activity a on a.id = m.activity_id")
    before = shop.value("select count(*) from shop.sent")
    shop.update()
    assert before and shop.value("select count(*) from shop.sent") >= before
    with script_to_next(tmp_path, "drop view marketing_automation.message;"), pytest.raises(psycopg2.errors.DependentObjectsStillExist, match="cannot drop"):
        shop.update(NEXT)
    assert shop.version() == history.current_version() and shop.value("select count(*) from shop.sent") >= before


def test_a_script_runs_only_by_alter_extension(shop, release):
    latest = history.releases()[-1]
    script = extension_folder() / f"marketing_automation--{latest}--{history.current_version()}.sql"
    assert 'Use "ALTER EXTENSION marketing_automation UPDATE TO' in shop.psql(file=script)
    body = script.read_text().partition("\\quit\n")[2]
    with pytest.raises(psycopg2.errors.ObjectNotInPrerequisiteState) as refused:
        shop.query(body)
    assert f"leads from version {latest} of marketing_automation to {history.current_version()}" in str(refused.value)
    assert shop.version() == release


def test_sql_that_names_a_function_of_a_newer_library_is_refused_as_a_whole(cluster, database, tmp_path):
    shop = Shop.create(cluster, database, history.current_version())
    steps = "create function marketing_automation_internal.brand_new() returns void language c as 'MODULE_PATHNAME', 'brand_new_wrapper';"
    try:
        with script_to_next(tmp_path, steps), pytest.raises(psycopg2.errors.UndefinedFunction, match='could not find function "brand_new_wrapper" in file'):
            shop.update(NEXT)
        assert shop.version() == history.current_version()
        wait_until(lambda: shop.state() == "idle", what="the mailer to go on")
    finally:
        shop.drop()


def test_a_dump_of_an_older_version_is_restored_into_this_one(cluster, shop, sink, database):
    wait_until(lambda: shop.state() == "outdated", what="the mailer to leave the data alone")
    # Which the mailer of the copy would do before the two are compared.
    shop.query("select marketing_automation.apply_events()")
    restored = Shop(cluster, f"restored_{database}"[:60])
    cluster.query(f'create database "{restored.database}"')
    try:
        connection = ("-h", str(cluster.directory), "-p", str(cluster.port), "-U", cluster.superuser)
        dump = subprocess.run([pg_program("pg_dump"), *connection, shop.database], check=True, capture_output=True, text=True).stdout
        restored.psql(dump)
        assert restored.version() == history.current_version()
        before, with_new = shop.connect(), restored.connect()
        lost = Data(before).lost(with_new)
        before.close(), with_new.close()
        assert not lost
        assert restored.value("select has_function_privilege('update_marketer', 'marketing_automation.run(text)', 'execute')")
        assert not sink.mails
        restored.query("select marketing_automation.arm(resend => true)")
        sink.wait_for(17)
    finally:
        restored.drop()


def test_what_roles_were_given_is_dumped_after_an_update_too(cluster, shop, database):
    shop.update()
    copy = Shop(cluster, f"copy_{database}"[:60])
    cluster.query(f'create database "{copy.database}"')
    rights = """
        select p.oid::regprocedure::text, x.grantee::regrole::text from pg_proc p cross join aclexplode(p.proacl) x
        where p.pronamespace = 'marketing_automation'::regnamespace and x.grantee <> 10 order by 1, 2"""
    try:
        connection = ("-h", str(cluster.directory), "-p", str(cluster.port), "-U", cluster.superuser)
        dump = subprocess.run([pg_program("pg_dump"), *connection, "-s", shop.database], check=True, capture_output=True, text=True).stdout
        copy.psql(dump)
        assert copy.query(rights) == shop.query(rights) and len(copy.query(rights)) > 40
    finally:
        copy.drop()
