"""The role that created the extension is no superuser any more: what it may no longer do is refused, and the rest works."""

import psycopg2
import pytest

DATABASE = "demoted"
SET_UP = """
create extension marketing_automation;
create table customer (id integer primary key, email text, name text);
insert into customer select n, 'd' || n || '@example.org', 'n' || n from generate_series(1, 5) n;
alter table customer owner to demoted_clerk;
grant usage on schema public to demoted_clerk;
select marketing_automation.grant_access('demoted_clerk', 'marketer');
"""


@pytest.fixture
def ask(cluster):
    """Runs a statement as one of the two roles; returns its rows."""
    for statement in ("create role demoted_boss superuser login", "create role demoted_clerk login", f"create database {DATABASE} owner demoted_boss"):
        cluster.query(statement)

    def ask(sql, *arguments, user="demoted_clerk"):
        return cluster.query(sql, arguments or None, dbname=DATABASE, user=user)

    for statement in filter(None, (part.strip() for part in SET_UP.split(";"))):
        ask(statement, user="demoted_boss")
    cluster.query("alter role demoted_boss nosuperuser")
    yield ask
    cluster.query(f"drop database {DATABASE} with (force)")
    cluster.query("drop role demoted_clerk, demoted_boss")


def test_expressions_run_as_nobody_whom_the_owner_of_the_extension_may_not_become(ask, cluster, sink):
    register = "select marketing_automation.register_model('customer', 'customer', key => 'self.id', party => 'self.id', email => 'self.email')"
    with pytest.raises(psycopg2.Error, match="may not run as role demoted_clerk") as refused:
        ask(register)
    assert "grant demoted_clerk to demoted_boss" in refused.value.diag.message_hint
    cluster.query("grant demoted_clerk to demoted_boss")
    ask(register)
    ask("select marketing_automation.create_scenario('campaign', 'customer')")
    ask("select marketing_automation.add_activity('campaign', 'hello', subject => 's', body => '<p>{{ record.name }}</p>')")
    ask("select marketing_automation.add_activity('campaign', 'next', parent => 'hello', action => null)")
    ask("select marketing_automation.run('campaign')")
    boss = {"user": "demoted_boss"}
    assert ask("select enrolled, error from marketing_automation.enroll()", **boss) == [(5, None)]
    assert ask("select marketing_automation.process_due()", **boss) == [(5,)]
    assert ask("select fact from marketing_automation.explain_record('campaign', '1')")[0][0].startswith("entered")
    # Each of these deletes and updates what others own, by triggers that run as the extension.
    ask("select marketing_automation.unsubscribe('2')", **boss)
    ask("select marketing_automation.block(uuid) from marketing_automation.record where key = '1'", **boss)
    assert ask("select * from marketing_automation.forget('d3@example.org')", **boss) == [(1, 1)]
    assert ask("select count(*) from marketing_automation.health() where status is null", **boss) == [(0,)]
    # Nobody has entered this one: it goes, with all that hangs on it.
    ask("select marketing_automation.create_scenario('draft', 'customer')")
    ask("select marketing_automation.add_activity('draft', 'root', subject => 's', body => '<p>b</p>')")
    ask("insert into marketing_automation.activity_translation (activity_id, language, subject) select id, 'fr', 'Salut' from marketing_automation.activity where name = 'root'")
    ask("select marketing_automation.delete_scenario('draft')")
    assert ask("select count(*) from marketing_automation.activity_translation", **boss) == [(0,)]
    # Without the role again, the scenario says why it does not go on, and no other is touched.
    cluster.query("revoke demoted_clerk from demoted_boss")
    [(enrolled, error)] = ask("select enrolled, error from marketing_automation.enroll()", **boss)
    assert enrolled == 0 and "may not run as role demoted_clerk" in error
