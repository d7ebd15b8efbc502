"""A small shop in a database of its own, and what a test does with it."""

import os
import re
import signal
from dataclasses import dataclass

from harness import wait_until

TABLES = """
create schema shop;
create table shop.customer (
    id integer primary key, name text not null, email text, language text, time_zone text, orders integer not null default 0
);
create role "{role}" login;
grant usage on schema shop to "{role}";
grant select on shop.customer to "{role}";
grant create on database "{database}" to "{role}";
create extension if not exists marketing_automation;
select marketing_automation.grant_access('{role}', 'marketer');
-- Clicks count at once: see Shop.judge_clicks().
update marketing_automation.robot_rule set is_enabled = false where kind in ('burst', 'hidden_link');
create role "{tracking}" login password 'tracking';
select marketing_automation.grant_access('{tracking}', 'tracking');
select marketing_automation.register_model('customer', 'shop.customer', key => 'self.id', party => 'self.id',
    email => 'self.email', recipient_name => 'self.name', language => 'self.language', time_zone => 'self.time_zone');
"""

BODY = '<p>Hello {{ record.name }}, <a href="https://shop.example/start">start</a>.</p>'


def sending_to(sink, base="http://127.0.0.1:9"):
    """The settings without which nothing is sent: sender, base URL of the proxy (nobody listens on port 9), SMTP server."""
    return {
        "marketing_automation.email_from": "Shop <shop@example.org>",
        "marketing_automation.automation_base": base,
        "marketing_automation.smtp_url": sink.url,
    }


@dataclass
class Shop:
    """One test's database."""

    cluster: object
    database: str

    @classmethod
    def create(cls, cluster, test):
        """Makes the database, its roles and the extension in it."""
        database = re.sub(r"\W+", "_", test)[-50:].strip("_")
        shop = cls(cluster, database)
        cluster.create_database(database)
        shop.psql(TABLES.format(database=database, role=shop.marketer, tracking=shop.tracking))
        return shop

    def drop(self):
        """Removes the database and the roles."""
        self.cluster.query(f'drop database if exists "{self.database}" with (force)')
        for role in (self.marketer, self.tracking, self.mailing):
            self.cluster.query(f'drop role if exists "{role}"')

    @property
    def marketer(self):
        return f"m_{self.database}"

    @property
    def tracking(self):
        return f"t_{self.database}"

    @property
    def mailing(self):
        return f"s_{self.database}"

    def mailer_url(self, port=None):
        """How a mailer connects, as a role that may send and nothing else; `port`: by way of a forwarder."""
        if not self.value("select count(*) from pg_roles where rolname = %s", self.mailing):
            self.query(f'create role "{self.mailing}" login password \'mailing\'')
            self.query("select marketing_automation.grant_access(%s, 'mailer')", f'"{self.mailing}"')
        url = self.cluster.url(self.database, self.mailing, "mailing")
        return url.replace(f":{self.cluster.port}/", f":{port}/") if port else url

    def setting(self, name, value):
        """Sets a setting for sessions of this database that begin from now on."""
        self.query(f'alter database "{self.database}" set marketing_automation.{name} = %s', value)

    def tracking_url(self):
        """How the proxy connects."""
        return self.cluster.url(self.database, self.tracking, "tracking")

    # -- SQL --------------------------------------------------------------------------------------

    def query(self, sql, *arguments, user=None):
        return self.cluster.query(sql, arguments or None, dbname=self.database, user=user)

    def value(self, sql, *arguments, user=None):
        return self.cluster.value(sql, arguments or None, dbname=self.database, user=user)

    def psql(self, sql, user=None):
        return self.cluster.psql(sql, dbname=self.database, user=user)

    def connect(self, user=None, **options):
        return self.cluster.connect(self.database, user, **options)

    # -- a campaign -------------------------------------------------------------------------------

    def customers(self, *names, language="en", **columns):
        """Adds customers; the address is NAME@example.org."""
        start = self.value("select coalesce(max(id), 0) from shop.customer")
        for number, name in enumerate(names, start + 1):
            row = {
                "id": number, "name": name, "email": f"{name.lower()}@example.org", "language": language,
                "time_zone": "Europe/Paris", **columns,
            }  # fmt: skip
            self.query(
                f"insert into shop.customer ({', '.join(row)}) values ({', '.join(['%s'] * len(row))})", *row.values()
            )

    def judge_clicks(self):
        """Has the shipped rules look at the clicks of a mail together, as they do unless somebody disables them: each click waits for the next ones."""
        self.query("update marketing_automation.robot_rule set is_enabled = true where kind in ('burst', 'hidden_link')")

    def crowd(self, size):
        """Inserts customers c1, c2 and so on, each with an address at example.org."""
        self.query("insert into shop.customer (id, name, email) select n, 'c' || n, 'c' || n || '@example.org' from generate_series(1, %s) n", size)

    def scenario(self, name="welcome", domain="true", unsubscribable=True, run=True, mail=True, **hello):
        """A scenario, by the marketer; with `mail`, its root is the mail `hello`."""
        self.query(
            "select marketing_automation.create_scenario(%s, model => 'customer', domain => %s, unsubscribable => %s)",
            name, domain, unsubscribable, user=self.marketer,
        )  # fmt: skip
        if mail:
            self.activity("hello", scenario=name, **{"subject": "Welcome {{ record.name }}", **hello})
        if run:
            self.query("select marketing_automation.run(%s)", name, user=self.marketer)

    def activity(self, name, scenario="welcome", **arguments):
        """Adds an activity, by the marketer."""
        arguments = {"subject": name, "body": BODY, **arguments}
        named = "".join(f", {key} => %s" for key in arguments)
        self.query(
            f"select marketing_automation.add_activity(%s, %s{named})",
            scenario, name, *arguments.values(), user=self.marketer,
        )  # fmt: skip

    def tick(self):
        """What pg_cron does every minute: enroll, then process."""
        self.query("select * from marketing_automation.enroll()")
        self.psql("call marketing_automation.process_all_due()")

    def pass_time(self, interval):
        """Makes waiting activities due that are due within `interval`."""
        self.query("update marketing_automation_internal.waiting_activity set at = at - %s::interval", interval)

    def messages(self):
        """{address: state} of all mails."""
        return dict(self.query("select email, state from marketing_automation.message order by id"))

    def wait_for_message(self, email, state, timeout=60):
        """Waits until the mail to `email` is in that state; its attempts and what the server said."""
        row = wait_until(
            lambda: self.query(
                "select attempts, smtp_reply from marketing_automation.message where email = %s and state = %s",
                email, state,
            ),
            timeout, what=f"the mail to {email} to be {state}, not {self.messages()}",
        )  # fmt: skip
        return row[0]

    def open_mail(self, email, cursor=None):
        """Records that the mails to `email` were opened, as a proxy does; with a cursor, in its transaction."""
        sql = """
            select e.known from marketing_automation.message m
            cross join lateral marketing_automation.record_events(array[gen_random_uuid()], array['email_opened'],
                array[marketing_automation_internal.sign_token('email_opened', m.record_id, m.activity_id)],
                array[clock_timestamp()], array['GET'], array[null::inet], array[null::text]) e
            where m.email = %s"""
        if cursor:
            cursor.execute(sql, (email,))
        else:
            self.query(sql, email)

    def retry_now(self):
        """Ends the pause before the next attempt of every mail."""
        self.query("update marketing_automation_internal.outbox set due_at = now()")
        self.query("select marketing_automation_internal.notify_mailer()")

    def worker(self):
        """The process id of this database's mailer, or None."""
        return self.value(
            "select pid from pg_stat_activity where datname = current_database() "
            "and backend_type = 'marketing_automation mailer'"
        )

    def wait_for_worker(self):
        """Waits for the mailer and returns its process id."""
        return wait_until(self.worker, what=f"a mailer in {self.database}")

    def end_worker(self, pid):
        """Asks the mailer to end, and waits until it has."""
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not os.path.exists(f"/proc/{pid}"), interval=0.01, what="the worker to end")

    def is_blocked(self):
        """Whether some session waits for a lock."""
        return self.value("select count(*) > 0 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'")

    def events(self):
        """[(kind, count)] of the log."""
        return self.query("select kind, count(*) from marketing_automation.event group by kind order by kind")
