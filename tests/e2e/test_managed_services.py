"""Where nothing may be preloaded and nobody is a superuser but the one who has set it up: an owner of the database runs campaigns."""

import psycopg2
import pytest
from e2e.shop import BODY

from harness import wait_until

# What docs/operations.md has an administrator do once.
SET_UP = """
create role "{owner}" login createrole;
alter database "{database}" owner to "{owner}";
select marketing_automation.grant_access('{owner}', each) from unnest(array['marketer', 'operator', 'reader', 'admin', 'monitor']) each;
grant set on parameter marketing_automation.email_from, marketing_automation.message_retention to "{owner}";
"""

CAMPAIGN = f"""
create schema own;
create table own.customer (id bigint primary key, name text, email text);
insert into own.customer values (1, 'Ada', 'ada@example.org'), (2, 'Bob', 'bob@example.org');
select marketing_automation.register_model('reader', 'own.customer', key => 'self.id', party => 'self.id', email => 'self.email');
select marketing_automation.create_scenario('own', model => 'reader', unsubscribable => true);
select marketing_automation.add_activity('own', 'hello', subject => 'Hello {{{{ record.name }}}}', body => '{BODY}');
select marketing_automation.add_activity('own', 'opened', parent => 'hello', on_event => 'email_opened', subject => 'Again', body => '{BODY}');
select marketing_automation.run('own');
"""


def test_an_owner_who_is_no_superuser_runs_campaigns_without_preloading(bare_shop, sink, start_mailer):
    owner = f"o_{bare_shop.database}"

    def cron():
        """What any scheduler runs each minute, as the owner."""
        bare_shop.psql("call marketing_automation.enroll_all(); call marketing_automation.process_all_due();", user=owner)

    try:
        bare_shop.psql(SET_UP.format(owner=owner, database=bare_shop.database))
        assert not bare_shop.value("select rolsuper from pg_roles where rolname = %s", owner)
        bare_shop.mailer_url()
        # From here on everything is the owner's, whom nobody has to help.
        bare_shop.query(f'alter database "{bare_shop.database}" set marketing_automation.email_from = \'Own <own@example.org>\'', user=owner)
        bare_shop.psql(CAMPAIGN, user=owner)
        mailer = start_mailer(bare_shop)
        cron()
        wait_until(lambda: len(sink.mails) == 2, what="the mails")
        assert {mail.message["From"] for mail in sink.mails} == {"Own <own@example.org>"}
        wait_until(lambda: set(bare_shop.messages().values()) == {"sent"}, what="the mails to be recorded")
        bare_shop.open_mail("ada@example.org")
        # It applies what was opened, and processes what starts with it.
        cron()
        wait_until(lambda: len(sink.to("ada@example.org")) == 2, what="the mail that follows")
        assert "2 records" in bare_shop.psql("select marketing_automation.tree('own')", user=owner)
        bare_shop.query("select marketing_automation.block(uuid) from marketing_automation.record where key = '2'", user=owner)
        assert bare_shop.value("select status from marketing_automation.health() where name = 'worker'", user=owner) == "ok"
        wait_until(lambda: bare_shop.value("select sum(sent) from marketing_automation.mailer_status()") == 3, what="the mailer to report them")
        assert mailer.terminate() == 0
        for denied in ("select marketing_automation.arm()", "drop extension marketing_automation", "select marketing_automation.forget('ada@example.org')"):
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                bare_shop.query(denied, user=owner)
    finally:
        bare_shop.cluster.query(f'alter database "{bare_shop.database}" owner to postgres')
        bare_shop.psql("drop schema if exists own cascade")
        bare_shop.cluster.query(f'drop database "{bare_shop.database}" with (force)')
        bare_shop.cluster.query(f'drop owned by "{owner}"')
        bare_shop.cluster.query(f'drop role "{owner}"')
