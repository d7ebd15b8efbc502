"""User expressions run as the scenario's owner, whoever enrolls and processes."""

import threading

import psycopg2
import pytest
from harness import wait_until

ESCALATIONS = {
    "becomes_a_superuser": "execute 'alter role \"{role}\" superuser'; return true;",
    "sets_a_role": "execute 'set role postgres'; return true;",
    "sets_session_authorization": "execute 'set session authorization postgres'; return true;",
    "reads_a_secret": "return (select count(*) >= 0 from public.secret);",
    "reads_the_keys": "return (select count(*) >= 0 from marketing_automation_internal.tracking_key);",
    "writes_elsewhere": "insert into public.secret values (1); return true;",
    "reads_a_server_file": "return pg_read_file('postmaster.opts') is not null;",
}


@pytest.mark.parametrize("attack", ESCALATIONS)
def test_a_domain_gains_nothing_when_a_superuser_enrolls(shop, attack):
    shop.customers("Ada")
    shop.query("create table public.secret (a integer)")
    shop.query("revoke all on public.secret from public")
    shop.psql("create schema evil", user=shop.marketer)
    # It behaves when the scenario is written, and attacks when a superuser's job runs it.
    shop.psql(
        "create function evil.probe(id integer) returns boolean language plpgsql volatile as $$ begin "
        "return true; end $$",
        user=shop.marketer,
    )
    shop.scenario(domain="evil.probe(self.id)")
    shop.psql(
        "create or replace function evil.probe(id integer) returns boolean language plpgsql volatile as $$ begin "
        + ESCALATIONS[attack].format(role=shop.marketer)
        + " end $$",
        user=shop.marketer,
    )
    rows = shop.query("select scenario, enrolled, error from marketing_automation.enroll()")
    assert rows[0][0] == "welcome" and rows[0][1] in (0, None) and rows[0][2]
    assert not shop.value("select rolsuper from pg_roles where rolname = %s", shop.marketer)
    assert shop.value("select count(*) from public.secret") == 0
    assert shop.value("select count(*) from marketing_automation.record") == 0


def test_one_broken_scenario_does_not_keep_the_others_from_enrolling(shop):
    shop.customers("Ada")
    shop.query("create function public.breaks() returns boolean language plpgsql as $$ begin return true; end $$")
    shop.scenario("broken", domain="public.breaks()")
    shop.scenario("sound")
    shop.query("create or replace function public.breaks() returns boolean language plpgsql as $$ begin raise 'no'; end $$")
    rows = {row[0]: row[1:] for row in shop.query("select scenario, enrolled, error from marketing_automation.enroll()")}
    assert rows["sound"][0] == 1 and not rows["sound"][1]
    assert "no" in rows["broken"][1]


def test_public_may_do_nothing(shop, cluster):
    cluster.query("drop role if exists nobody_special")
    cluster.query("create role nobody_special login")
    for sql in (
        "select * from marketing_automation.scenario",
        "select * from marketing_automation.enroll()",
        "select * from marketing_automation.worker_status()",
    ):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            shop.query(sql, user="nobody_special")
    cluster.query("drop role nobody_special")


def test_two_sessions_that_write_one_name_in_two_languages_leave_it_one_owner(shop):
    for role in ("racing_ann", "racing_bob"):
        shop.query(f"create role {role}")
        shop.query("select marketing_automation.grant_access(%s, 'marketer')", role)
    insert = "insert into marketing_automation.snippet (name, language, body) values ('race', %s, 'x')"
    first, second = (shop.connect(autocommit=False) for _ in range(2))
    with first.cursor() as ann, second.cursor() as bob:
        ann.execute("set role racing_ann")
        bob.execute("set role racing_bob")
        ann.execute(insert, ("",))
        refusals = []

        def late():
            try:
                bob.execute(insert, ("en",))
            except psycopg2.Error as error:
                refusals.append(error.pgcode)

        waiting = threading.Thread(target=late)
        waiting.start()
        wait_until(shop.is_blocked, what="the second session to wait for the name")
        first.commit()
        waiting.join(10)
    second.rollback()
    assert refusals == ["55006"]
    assert shop.value("select array_agg(owner::text) from marketing_automation.snippet where name = 'race'") == ["racing_ann"]
    for connection in (first, second):
        connection.close()
    shop.query("delete from marketing_automation.snippet")
    shop.query("drop owned by racing_ann, racing_bob")
    shop.query("drop role racing_ann, racing_bob")
