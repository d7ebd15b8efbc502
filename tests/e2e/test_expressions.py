"""Expressions that are slow or wait for a lock hold up their own scenario only."""

import threading
import time

import psycopg2
import pytest

from harness import wait_until

OTHER = """
create table shop.other (like shop.customer including all);
grant select on shop.other to "{role}";
insert into shop.other select n, 'o' || n, 'o' || n || '@example.org' from generate_series(1, 5) n;
select marketing_automation.register_model('other', 'shop.other', key => 'self.id', party => 'self.id', email => 'self.email');
"""


def state(shop, scenario):
    """(last_error, last_error_code) of a scenario."""
    return shop.query(
        "select t.last_error, t.last_error_code from marketing_automation.scenario_status t "
        "join marketing_automation.scenario s on s.id = t.scenario_id where s.name = %s",
        scenario,
    )[0]


@pytest.fixture
def two_tables(shop):
    """Scenarios `welcome` on one table and `other` on another."""
    shop.customers("Ann", "Ben")
    shop.psql(OTHER.format(role=shop.marketer))
    shop.scenario("welcome")
    shop.query("select marketing_automation.create_scenario('other', 'other')", user=shop.marketer)
    shop.activity("hello", scenario="other")
    shop.query("select marketing_automation.run('other')", user=shop.marketer)
    return shop


def test_an_exclusive_lock_on_a_table_holds_its_own_scenarios_only(two_tables):
    shop = two_tables
    with shop.connect() as holder, holder.cursor() as cursor:
        holder.autocommit = False
        cursor.execute("lock table shop.customer in access exclusive mode")
        began = time.monotonic()
        shop.psql("call marketing_automation.enroll_all()")
        shop.psql("call marketing_automation.process_all_due()")
        assert time.monotonic() - began < 60
        assert shop.value("select enrolled from marketing_automation.enroll() where scenario = 'welcome'") == 0
        assert state(shop, "welcome")[1] == "55P03"
        wait_until(lambda: list(shop.messages().values()) == ["sent"] * 5, what="the mails of the other table")
        holder.rollback()
    shop.tick()
    wait_until(lambda: len(shop.messages()) == 7, what="the mails of the table that was locked")
    assert state(shop, "welcome") == (None, None)


def test_waiting_activities_of_a_locked_table_do_not_hold_up_others(two_tables):
    shop = two_tables
    shop.query("select * from marketing_automation.enroll('welcome')")
    shop.query("select * from marketing_automation.enroll('other')")
    with shop.connect() as holder, holder.cursor() as cursor:
        holder.autocommit = False
        cursor.execute("lock table shop.customer in access exclusive mode")
        shop.psql("call marketing_automation.process_all_due()")
        assert shop.value("select count(*) from marketing_automation.message where email like 'o%%'") == 5
        assert state(shop, "welcome")[1] == "55P03"
        holder.rollback()
    shop.psql("call marketing_automation.process_all_due()")
    assert len(shop.messages()) == 7


def test_who_locks_all_definitions_is_named_within_seconds_and_keeps_nobody_waiting(two_tables):
    shop = two_tables
    session = shop.connect(options="-c statement_timeout=20s")
    with shop.connect() as holder, holder.cursor() as cursor:
        holder.autocommit = False
        cursor.execute("lock table marketing_automation.scenario in access exclusive mode")
        for statement in (
            "call marketing_automation.enroll_all()",
            "call marketing_automation.process_all_due()",
            "select * from marketing_automation.enroll()",
        ):
            with pytest.raises(psycopg2.errors.LockNotAvailable, match=f"process {holder.info.backend_pid}"):
                session.cursor().execute(statement)
        holder.rollback()
    session.close()
    shop.tick()
    wait_until(lambda: len(shop.messages()) == 7, what="all mails")


def test_what_a_procedure_has_enrolled_stays_when_it_is_cancelled(two_tables):
    shop = two_tables
    shop.query("update marketing_automation.scenario set domain = 'pg_sleep(60) is null' where name = 'other'")
    connection = shop.connect()
    pid = connection.info.backend_pid
    failure = []

    def call():
        try:
            connection.cursor().execute("call marketing_automation.enroll_all()")
        except psycopg2.errors.QueryCanceled as error:
            failure.append(error)

    caller = threading.Thread(target=call)
    caller.start()
    wait_until(lambda: shop.value("select marketing_automation.record_count('welcome')") == "(2,0)", what="the first scenario to enter")
    wait_until(
        lambda: shop.value("select wait_event from pg_stat_activity where pid = %s", pid) == "PgSleep", what="the second one to be asked"
    )
    shop.query("select pg_cancel_backend(%s)", pid)
    caller.join(timeout=30)
    # A person's cancel ends the call: it is no error of the scenario.
    assert len(failure) == 1
    assert shop.value("select marketing_automation.record_count('welcome')") == "(2,0)"
    connection.close()


def test_the_callers_statement_timeout_leaves_time_for_others(two_tables):
    shop = two_tables
    shop.query("update marketing_automation.scenario set domain = 'pg_sleep(60) is null' where name = 'welcome'")
    connection = shop.connect(options="-c statement_timeout=6s")
    cursor = connection.cursor()
    cursor.execute("select scenario, enrolled, error is null from marketing_automation.enroll()")
    assert cursor.fetchall() == [("welcome", 0, False), ("other", 5, True)]
    assert state(shop, "welcome")[1] == "53400"
    connection.close()


def test_slow_consent_holds_up_the_events_of_its_scenario_only(two_tables):
    shop = two_tables
    shop.tick()
    wait_until(lambda: list(shop.messages().values()) == ["sent"] * 7, what="all mails to be sent")
    shop.query("update marketing_automation.model set track_opens = 'pg_sleep(60) is not null' where name = 'customer'")
    shop.query(
        "select marketing_automation.record_events(array_agg(gen_random_uuid()), array_agg('email_opened'::text), "
        "array_agg(marketing_automation_internal.sign_token('email_opened', m.record_id, m.activity_id)), array_agg(now()), "
        "array_agg('GET'::text), array_agg(null::inet), array_agg('Mozilla/5.0 Firefox/140.0'::text)) from marketing_automation.message m"
    )
    wait_until(lambda: shop.events() == [("email_opened", 5)], what="the events of the other scenario")
    wait_until(lambda: state(shop, "welcome")[1] == "53400", what="the scenario to say why")
    assert "events wait" in state(shop, "welcome")[0]
    # Mails go out meanwhile.
    shop.query("insert into shop.other values (9, 'o9', 'o9@example.org')")
    shop.tick()
    shop.wait_for_message("o9@example.org", "sent")
    # Once it is quick they are applied, after the minute for which nobody asked.
    shop.query("update marketing_automation.model set track_opens = null where name = 'customer'")
    shop.query("update marketing_automation_internal.failed_turn set failed_at = failed_at - interval '1 minute' where work = 'consent'")
    # Whoever comes first, the worker or this: what one holds the other leaves out.
    shop.query("select marketing_automation.apply_events()")
    wait_until(lambda: shop.events() == [("email_opened", 7)], what="the events that waited")


STUBBORN = """
create function shop.stubborn(x bigint) returns boolean language plpgsql as $$
begin
    loop
        begin perform pg_sleep(30); exception when query_canceled or others then perform pg_sleep(30); end;
    end loop;
exception when query_canceled or others then return true;
end $$;
"""


def test_an_expression_that_always_uses_up_its_time_and_refuses_to_end_keeps_nobody_from_a_turn(shop):
    shop.query(f'alter database "{shop.database}" set marketing_automation.expression_timeout = \'300ms\'')
    shop.psql(STUBBORN)
    shop.customers("Ann")
    for name in ("first", "second", "third"):
        shop.scenario(name, mail=False, run=False)
        shop.activity("start", scenario=name, action=None, subject=None, body=None)
        shop.activity("next", scenario=name, parent="start", action=None, subject=None, body=None)
        shop.query("select marketing_automation.run(%s)", name, user=shop.marketer)
    rows = 1
    # Enrolling, then a condition: each time the one that has the first turn, being the oldest, takes all of its time.
    for table, column, where in (("scenario", "domain", "name = 'first'"), ("activity", "condition", "name = 'next' and scenario_id = (select id from marketing_automation.scenario where name = 'first')")):
        shop.psql(f"update marketing_automation.{table} set {column} = 'shop.stubborn(self.id)' where {where}")
        for _ in range(3):
            rows += 1
            shop.customers(f"Row{rows}")
            shop.psql("call marketing_automation.enroll_all()")
            shop.psql("call marketing_automation.process_all_due()")
            done = dict(shop.query(
                "select s.name, count(*) from marketing_automation.record_activity ra join marketing_automation.activity a on a.id = ra.activity_id "
                "join marketing_automation.scenario s on s.id = a.scenario_id where a.name = 'next' and ra.state = 'done' and s.name <> 'first' group by 1"
            ))  # fmt: skip
            assert done == {"second": rows, "third": rows}
            assert state(shop, "first")[1] == "53400"
        shop.psql(f"update marketing_automation.{table} set {column} = 'true' where {where}")
    # Mended, it makes up for all of it.
    for _ in range(2):
        shop.psql("call marketing_automation.enroll_all()")
        shop.psql("call marketing_automation.process_all_due()")
    assert shop.value("select count(*) from marketing_automation.record_activity where state = 'done'") == 6 * rows
    assert state(shop, "first") == (None, None)


# Compares 10^5 characters 3 × 10^4 times: seconds in which PostgreSQL takes no cancel, as in a loop of PL/Perl that catches all of them.
DEAF = """
create function shop.deaf(row_id integer) returns boolean language plpgsql as $$
declare
    hay text := repeat('a', 130000);
    needle text := 'b' || repeat('a', 100000);
begin
    if row_id = 1 then
        perform pg_advisory_lock(4711);
        perform position(needle in hay);
    end if;
    return true;
end $$;
"""


def _end_deaf_session(shop):
    """Terminates the session that asks deaf(), once it is past its time."""
    holder = "select pid from pg_locks where locktype = 'advisory' and objid = 4711 and granted"
    wait_until(lambda: shop.query(holder), what="the expression")
    time.sleep(0.2)
    assert shop.value(f"select count(pg_terminate_backend(pid)) from ({holder}) h") == 1


@pytest.mark.parametrize("work", ["enroll", "process", "exit", "goal", "wait"])
def test_what_ends_its_whole_connection_is_noted_on_its_scenario_and_comes_last(shop, work):
    shop.query(f'alter database "{shop.database}" set marketing_automation.expression_timeout = \'50ms\'')
    shop.psql(DEAF)
    shop.customers("Ann")
    for name in ("first", "second"):
        shop.scenario(name, mail=False, run=False)
        shop.activity("start", scenario=name, action=None, subject=None, body=None, **({"delay": "1 day"} if work in ("exit", "goal", "wait") else {}))
        shop.query("select marketing_automation.run(%s)", name, user=shop.marketer)
    set_deaf = {
        "enroll": "update marketing_automation.scenario set domain = 'shop.deaf(self.id)' where name = 'first'",
        "process": "update marketing_automation.activity set condition = 'shop.deaf(self.id)' where scenario_id = marketing_automation.scenario_id('first')",
        "exit": "update marketing_automation.scenario set exit_condition = 'shop.deaf(self.id)' where name = 'first'",
        "goal": "update marketing_automation.scenario set goal = 'shop.deaf(self.id)' where name = 'first'",
        "wait": "update marketing_automation.activity set wait_until = 'shop.deaf(self.id)' where scenario_id = marketing_automation.scenario_id('first')",
    }[work]
    if work in ("process", "exit", "wait"):
        shop.psql("call marketing_automation.enroll_all()")
    shop.psql(set_deaf)
    call = {"enroll": "call marketing_automation.enroll_all()"}.get(work, "call marketing_automation.process_all_due()")
    if work == "goal":
        shop.query("insert into marketing_automation_internal.record (id, scenario_id, key, uuid, entered_at) "
                   "select 1, marketing_automation.scenario_id('first'), '1', gen_random_uuid(), now()")  # fmt: skip
        shop.query("insert into marketing_automation_internal.open_goal (scenario_id, record_id, until) "
                   "select marketing_automation.scenario_id('first'), 1, now() + interval '1 day'")  # fmt: skip
    failed = []

    def run():
        try:
            shop.query(call)
        except psycopg2.OperationalError as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    _end_deaf_session(shop)
    thread.join(60)
    assert failed
    error, code = state(shop, "first")
    assert code == "53400" and error.endswith("expressions took too long, and did not end before their connection")
    # The other one has its turn at once, before this one.
    if work in ("enroll", "process"):
        assert shop.value("select count(*) from marketing_automation_internal.failed_turn where work = %s and slow", work) == 1
        done = "from marketing_automation.record where scenario_id = marketing_automation.scenario_id('second')" if work == "enroll" else (
            "from marketing_automation.record_activity ra join marketing_automation.activity a on a.id = ra.activity_id "
            "where a.scenario_id = marketing_automation.scenario_id('second') and ra.state = 'done'")  # fmt: skip
        thread = threading.Thread(target=run)
        thread.start()
        wait_until(lambda: shop.value(f"select count(*) {done}") == 1, what="the other scenario")
        _end_deaf_session(shop)
        thread.join(60)
    else:
        assert shop.value("select count(*) from marketing_automation_internal.sweep where what = %s and rests_until > now() + interval '30 s'", work) == 1
        shop.query(call)
