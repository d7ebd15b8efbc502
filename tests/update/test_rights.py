"""Roles get what an update brings, and nothing that was revoked; what they were granted by others stays."""

import contextlib
import re
import subprocess

import psycopg2
import pytest

from harness.paths import pg_program
from release import history
from update.shop import NEXT, Shop, script_to_next

MAY = "select has_{}_privilege(%s, %s, %s)"
REMADE = "drop function marketing_automation.is_suppressed(text), marketing_automation_internal.access_right();"


@contextlib.contextmanager
def role(shop, name, access):
    """A role that has an access, and nothing after the test."""
    shop.psql(f"create role {name}; select marketing_automation.grant_access('{name}', '{access}')")
    try:
        yield name
    finally:
        for left in shop.query("select rolname from pg_roles where rolname ~ %s", f"^{name}"):
            shop.psql(f"drop owned by {left[0]}; drop role {left[0]}")


def executes(shop, name, function):
    return shop.value(MAY.format("function"), name, f"marketing_automation.{function}", "execute")


def writes(shop, name, table, privilege):
    """The columns of a table that a role may insert or update."""
    return {column for (column,) in shop.query("""
        select a.attname from pg_attribute a
        where a.attrelid = format('marketing_automation.%%I', %s)::regclass and a.attnum > 0 and not a.attisdropped
          and has_column_privilege(%s, a.attrelid, a.attnum, %s)""", table, name, privilege)}  # fmt: skip


def dump(cluster, shop):
    return subprocess.run(
        [pg_program("pg_dump"), "-h", cluster.directory, "-p", str(cluster.port), "-U", cluster.superuser, shop.database],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip


def test_what_is_made_anew_is_for_those_who_had_it(shop, tmp_path):
    """An update that drops a function and makes it with other arguments: roles, PUBLIC and pg_dump see no difference."""
    shop.update()
    before = shop.catalog()
    with script_to_next(tmp_path, REMADE):
        shop.update(NEXT)
    different = set(shop.catalog()) ^ set(before)
    assert {line.partition(":")[0] for line in different} == {"extension"}
    assert [line for line in before if "is_suppressed" in line and "update_reader EXECUTE" in line]


def test_nothing_that_was_revoked_comes_back(shop):
    with role(shop, "update_narrow", "marketer") as name:
        shop.psql("""
            revoke execute on function marketing_automation.preview(text, text, text, text) from update_narrow;
            revoke select on marketing_automation.message from update_narrow;
            revoke delete on marketing_automation.scenario from update_narrow;
            revoke update (email), insert (email) on marketing_automation.party from update_narrow;
            revoke update (body) on marketing_automation.activity from update_narrow;
            revoke delete, insert, update on marketing_automation.robot_rule from update_narrow;
            revoke usage on schema marketing_automation from update_narrow""")
        before = [line for line in shop.catalog() if "update_narrow" in line]
        shop.update()
        lost = set(before) - set(shop.catalog())
        # Whoever may delete may lock the table: marketers delete by functions. Addresses of links may name people.
        assert before and sorted(lost) == sorted([
            "right on relation marketing_automation.link: update_narrow SELECT f by postgres",
            *(f"right on relation marketing_automation.{table}: update_narrow DELETE f by postgres"
              for table in ("activity", "activity_translation", "model", "snippet")),
        ])  # fmt: skip
        assert executes(shop, name, "delete_scenario(text)")
        assert not executes(shop, name, "preview(text, text, text, text)") and executes(shop, name, "run(text)")
        assert not shop.value(MAY.format("table"), name, "marketing_automation.message", "select")
        assert not shop.value(MAY.format("table"), name, "marketing_automation.scenario", "delete")
        for table, may in (("party", True), ("robot_rule", False)):
            assert shop.value(MAY.format("table"), name, f"marketing_automation.{table}", "delete") == may
        for privilege in ("insert", "update"):
            assert "email" not in writes(shop, name, "party", privilege) and "name" in writes(shop, name, "party", privilege)
            assert not writes(shop, name, "robot_rule", privilege)
        assert "body" not in writes(shop, name, "activity", "update") and "body" in writes(shop, name, "activity", "insert")
        assert not shop.value(MAY.format("schema"), name, "marketing_automation", "usage")


def test_a_marketer_of_old_keeps_the_rights_on_all_by_accesses_that_can_be_revoked(shop):
    shop.update()
    granted = "select array_agg(access order by access) from marketing_automation_internal.access_grant where role = 'update_marketer'"
    assert shop.value(granted) == ["admin", "marketer", "operator", "reader"]
    for function in ("pause(text)", "reads_every_scenario()", "operates_every_scenario()", "run(text)"):
        assert executes(shop, "update_marketer", function)
    assert shop.value("select count(*) from marketing_automation.record") > 0
    shop.psql("".join(f"select marketing_automation.revoke_access('update_marketer', '{access}');" for access in ("reader", "operator", "admin")))
    assert not executes(shop, "update_marketer", "pause(text)") and not executes(shop, "update_marketer", "reads_every_scenario()")
    assert executes(shop, "update_marketer", "run(text)") and executes(shop, "update_marketer", "block(uuid)")
    assert shop.value(MAY.format("table"), "update_marketer", "marketing_automation.record", "select")
    with shop.connect(autocommit=False) as connection, connection.cursor() as cursor:
        cursor.execute("""
            set session_replication_role = replica;
            update marketing_automation.scenario set owner = 'update_reader', owner_id = 'update_reader'::regrole::oid;
            set role update_marketer""")
        cursor.execute("select count(*) from marketing_automation.record")
        assert cursor.fetchone() == (0,)
        connection.rollback()


def test_views_over_the_tables_that_become_views_are_named_and_nothing_has_changed(shop):
    shop.psql("create view shop.entered as select key from marketing_automation.record")
    with pytest.raises(psycopg2.errors.DependentObjectsStillExist) as refused:
        shop.query("alter extension marketing_automation update")
    assert refused.value.diag.message_detail == "view shop.entered."
    assert shop.version() != history.current_version()
    shop.psql("drop view shop.entered")
    shop.update()


def test_new_columns_are_for_who_may_still_write_others(shop, tmp_path):
    shop.update()
    with role(shop, "update_writer", "marketer") as name:
        shop.psql("select marketing_automation.grant_access('update_writer', 'admin')")
        shop.psql("revoke update (email) on marketing_automation.party from update_writer")
        columns = [column for (column,) in shop.query("select attname from pg_attribute where attrelid = 'marketing_automation.snippet'::regclass and attnum > 0")]
        shop.psql(f"revoke update ({', '.join(columns)}) on marketing_automation.snippet from update_writer")
        with script_to_next(tmp_path, """
                alter table marketing_automation.party add column shoe_size integer;
                alter table marketing_automation.snippet add column remark text;"""):  # fmt: skip
            shop.update(NEXT)
        assert "shoe_size" in writes(shop, name, "party", "insert") & writes(shop, name, "party", "update")
        assert "email" not in writes(shop, name, "party", "update")
        assert writes(shop, name, "snippet", "update") == set() and "remark" in writes(shop, name, "snippet", "insert")


def test_what_an_access_newly_includes_is_given_though_it_was_there_before(shop, tmp_path):
    shop.update()
    with role(shop, "update_curious", "reader") as name:
        assert not executes(shop, name, "pause(text)")
        # As if the installed version had not counted a function among those of its readers.
        definition = shop.value("select pg_get_functiondef('marketing_automation_internal.access_right()'::regprocedure)")
        assert "'is_suppressed is_armed'" in definition
        shop.psql(definition.replace("'is_suppressed is_armed'", "'is_armed'"))
        shop.psql("revoke execute on function marketing_automation.is_suppressed(text) from update_curious")
        with script_to_next(tmp_path, ""):
            shop.update(NEXT)
        assert executes(shop, name, "is_suppressed(text)") and not executes(shop, name, "pause(text)")


def test_a_renamed_role_gets_what_is_new_and_a_new_one_of_its_name_does_not(shop, tmp_path):
    with role(shop, "update_bride", "reader") as name:
        shop.update()
        shop.psql(f"alter role {name} rename to {name}_married; create role {name}")
        with script_to_next(tmp_path, REMADE):
            shop.update(NEXT)
        assert executes(shop, f"{name}_married", "is_suppressed(text)") and not executes(shop, name, "is_suppressed(text)")


def test_another_role_of_that_name_has_what_it_was_given_itself(shop):
    former = "create role update_former; select marketing_automation.grant_access('update_former', '{}');"
    shop.psql(former.format("operator") + "drop owned by update_former; drop role update_former;" + former.format("reader"))
    try:
        shop.update()
        assert not executes(shop, "update_former", "pause(text)") and executes(shop, "update_former", "worker_status()")
    finally:
        shop.psql("drop owned by update_former; drop role update_former;")


def test_what_was_granted_is_in_a_dump_after_an_update(cluster, shop):
    shop.psql("grant execute on function marketing_automation.is_armed() to public")
    shop.update()
    dumped = dump(cluster, shop)
    assert re.search(r"GRANT .* ON FUNCTION marketing_automation\.run\(scenario text\) TO update_marketer", dumped)
    assert "GRANT USAGE ON SCHEMA marketing_automation TO update_tracking" in dumped
    for grantee in ("PUBLIC", "update_reader"):
        assert re.search(rf"GRANT .* ON FUNCTION marketing_automation\.is_armed\(\) TO {grantee};", dumped), grantee


def test_an_update_leaves_the_settings_of_its_transaction_as_they_were(shop):
    with shop.connect(autocommit=False) as connection, connection.cursor() as cursor:
        cursor.execute("set local lock_timeout = '7s'; alter extension marketing_automation update")
        cursor.execute("select name from pg_settings where name ~ '^marketing_automation_update' and setting <> ''")
        assert not cursor.fetchall()
        cursor.execute("select current_setting('lock_timeout'), coalesce(current_setting('marketing_automation_update.known', true), '')")
        assert cursor.fetchone() == ("7s", "")
        connection.rollback()
        cursor.execute("alter extension marketing_automation update")
        cursor.execute("select current_setting('lock_timeout')")
        assert cursor.fetchone() == ("0",)


def test_outside_an_update_nothing_is_new(cluster, database):
    shop = Shop.create(cluster, database, history.current_version())
    try:
        with pytest.raises(psycopg2.errors.ObjectNotInPrerequisiteState) as refused:
            shop.query("select marketing_automation_internal.give_access('update_reader', 'reader', true)")
        assert refused.value.diag.message_hint == "select marketing_automation.grant_access('update_reader', 'reader');"
    finally:
        shop.drop()
