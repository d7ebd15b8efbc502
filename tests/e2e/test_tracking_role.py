"""The role of the proxy, in the hands of somebody who has taken the proxy over."""

import psycopg2
import pytest

ALLOWED = {
    "tracking_keys", "record_events", "page_sources", "unsubscribe_page", "unsubscribe_origin", "unsubscribe_by_token", "resubscribe_by_token",
    "preferences", "choose_by_token", "undo_choice_by_token", "confirm_page", "confirm_by_token", "report_by_token", "mail_by_token",
}  # fmt: skip
ROUTINES = """
    select p.proname, p.prokind, p.pronargs, p.oid::regprocedure::text
    from pg_proc p where p.pronamespace = 'marketing_automation'::regnamespace and p.prokind in ('f', 'p') and p.prorettype <> 'trigger'::regtype
    order by 4"""
RELATIONS = "select c.relname, c.relkind from pg_class c where c.relnamespace = 'marketing_automation'::regnamespace and c.relkind in ('r', 'v', 'S', 'p') order by 1"
# Not constants, or a strict function would be folded into null without a look at who calls it; CALL takes no subqueries.
ARGUMENTS = "select coalesce(string_agg(format(case when %s then 'null::%%s' else '(select null::%%s)' end, format_type(t, null)), ', ' order by n), '') from unnest((select proargtypes from pg_proc where oid = %s::regprocedure)) with ordinality a (t, n)"


def test_no_other_function_can_be_called(shop):
    allowed = set()
    connection = shop.connect(user=shop.tracking)
    for name, kind, _, signature in shop.query(ROUTINES):
        arguments = shop.value(ARGUMENTS, kind == "p", signature)
        call = f"{'call' if kind == 'p' else 'select'} marketing_automation.{name}({arguments})"
        with connection.cursor() as cursor:
            try:
                cursor.execute(call)
                allowed.add(name)
            except psycopg2.errors.InsufficientPrivilege as error:
                assert "permission denied for" in str(error), call
            except psycopg2.errors.AmbiguousFunction:
                # Two of a name, one of which has a default: there is no such call.
                assert not shop.value("select has_function_privilege(%s, %s::regprocedure, 'execute')", shop.tracking, signature), call
            except psycopg2.Error:
                allowed.add(name)
    assert allowed == ALLOWED


def test_no_table_can_be_read_or_written(shop):
    connection = shop.connect(user=shop.tracking)
    relations = shop.query(RELATIONS)
    assert len(relations) > 15
    for name, kind in relations:
        statements = [f"select * from marketing_automation.{name}"]
        if kind == "S":
            statements += [f"select nextval('marketing_automation.{name}')", f"select setval('marketing_automation.{name}', 1)"]
        elif kind == "r":
            statements += [
                f"insert into marketing_automation.{name} default values",
                f"delete from marketing_automation.{name}",
                f"copy marketing_automation.{name} to stdout",
                f"create temporary table copied as table marketing_automation.{name}",
                f"truncate marketing_automation.{name}",
                f"alter table marketing_automation.{name} add column x integer",
                f"drop table marketing_automation.{name}",
            ]
        for statement in statements:
            with connection.cursor() as cursor, pytest.raises(psycopg2.errors.InsufficientPrivilege):
                cursor.execute(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "select * from shop.customer",
        "create table public.t (a integer)",
        "create table marketing_automation.t (a integer)",
        "create function marketing_automation.f() returns integer language sql as 'select 1'",
        "create or replace function marketing_automation.tracking_keys() returns table (id smallint, secret bytea) language sql as 'select null, null'",
        "alter extension marketing_automation add table shop.customer",
        "drop extension marketing_automation",
        "alter role current_user superuser",
        "set role postgres",
        "set session authorization postgres",
        "select pg_read_file('postmaster.opts')",
        "copy (select 1) to program 'true'",
        "set marketing_automation.smtp_url = 'smtp://evil.example'",
        "select pg_reload_conf()",
    ],
)
def test_nothing_else_can_be_done(shop, statement):
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        shop.query(statement, user=shop.tracking)


def test_what_it_calls_is_not_led_astray(shop):
    """Functions that run as their owner find their own names, whatever the caller's search_path has to offer."""
    connection = shop.connect(user=shop.tracking)
    with connection.cursor() as cursor:
        cursor.execute("create temporary table event_inbox (a integer)")
        cursor.execute("create temporary table tracking_key (id smallint, secret bytea)")
        cursor.execute("create function pg_temp.address_prefix(inet) returns inet language plpgsql as $$ begin raise 'astray'; end $$")
        cursor.execute("set search_path = pg_temp, pg_catalog, marketing_automation")
        cursor.execute("select count(*) from marketing_automation.tracking_keys()")
        # The mailer may have asked for the first key at the same time, and made one too.
        assert cursor.fetchone()[0] in (1, 2)
        cursor.execute(
            "select known from marketing_automation.record_events(array[gen_random_uuid()], array['email_opened'], array['x'], array[now()], array['GET'], array['192.0.2.1'::inet], array['x'])"
        )
        assert cursor.fetchall() == [(False,)]
