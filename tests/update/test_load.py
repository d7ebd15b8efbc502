"""The SQL becomes newer while mails go out and readers click: nothing is lost, and nothing happens twice."""

import collections
import threading

import pytest
import requests

from harness import Proxy, wait_until
from release import history
from update.shop import NEXT, Shop, script_to_next

STEPS = "alter table marketing_automation_internal.outbox add column next_version_needs_it text;"
MAILS = 4000
CAMPAIGN = """
create schema shop;
create table shop.customer (id integer primary key, email text not null);
insert into shop.customer select n, 'c' || n || '@example.com' from generate_series(1, %s) n;
select marketing_automation.register_model('customer', 'shop.customer', key => 'self.id', party => 'self.id', email => 'self.email');
select marketing_automation.create_scenario('welcome', model => 'customer');
select marketing_automation.add_activity('welcome', 'hello', subject => 'Hello {{ record.id }}', body => '<a href="https://shop.example/start">start</a>');
select marketing_automation.add_activity('welcome', 'tips', parent => 'hello', on_event => 'email_clicked', delay => '1 day', subject => 'Tips', body => '<p>…</p>');
select marketing_automation.run('welcome');
select marketing_automation.grant_access('update_tracking', 'tracking');
"""


@pytest.fixture
def busy_shop(cluster, database):
    """The current version with thousands of mails to send."""
    if not cluster.query("select 1 from pg_roles where rolname = 'update_tracking'"):
        cluster.query("create role update_tracking login password 'update'")
    shop = Shop.create(cluster, database, history.current_version())
    shop.psql(CAMPAIGN % MAILS)
    yield shop
    shop.drop()


class Readers:
    """Click links of the mails that have arrived, one after the other, from several threads; `answered` counts the answers."""

    def __init__(self, proxy, urls):
        self.proxy, self.urls = proxy, urls
        self.answered, self.failed = 0, []
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._threads = [threading.Thread(target=self._read) for _ in range(4)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _read(self):
        session = requests.Session()
        while not self._stop.is_set():
            answer = session.get(self.urls(), allow_redirects=False, timeout=10)
            with self._lock:
                if answer.status_code == 302 and answer.headers["Location"] == "https://shop.example/start":
                    self.answered += 1
                else:
                    self.failed.append(answer.status_code)


def assert_a_proxy_says_that_the_sql_is_newer(shop):
    """One that starts; those that run ask each minute."""
    proxy = Proxy(shop.tracking_url()).start()
    try:
        said = requests.get(f"{proxy.base}/readyz", timeout=10).text
        assert said == f"ready, outdated: the extension is {NEXT}, this proxy {history.current_version()}: install and start the proxy of that version\n"
    finally:
        proxy.stop()


def test_an_update_under_load_loses_nothing_and_repeats_nothing(busy_shop, sink, proxy_port, tmp_path):
    shop, now = busy_shop, history.current_version()
    wait_until(lambda: shop.state() == "idle", what="the mailer")
    shop.query("select marketing_automation.enroll()")
    link = shop.value("select id from marketing_automation_internal.link_ids(array['https://shop.example/start'])")
    shop.query("select marketing_automation.tracking_keys()")
    tokens = [token for (token,) in shop.query(
        "select marketing_automation_internal.sign_token('email_clicked', r.id, a.id, %s) from marketing_automation.record r cross join marketing_automation.activity a where a.name = 'hello'", link)]  # fmt: skip
    proxy = Proxy(shop.tracking_url(), port=proxy_port).start()
    try:
        with Readers(proxy, iter([f"{proxy.base}/c/{token}" for token in tokens * 50]).__next__) as readers:
            sink.delay(0.02)
            shop.query("call marketing_automation.process_all_due()")
            sink.wait_for(MAILS // 8)
            with script_to_next(tmp_path, STEPS):
                shop.update(NEXT)
            updated_at = len(sink.mails)
            wait_until(lambda: shop.state() == "outdated", what="the mailer to see the new version")
            wait_until(lambda: not shop.value("select count(*) from marketing_automation_internal.outbox where state = 'sending'"),
                       what="the mails in flight to be recorded")  # fmt: skip
            clicks = readers.answered
            wait_until(lambda: readers.answered > clicks + 100, what="clicks after the update")
        assert not readers.failed
        states = dict(shop.query("select state, count(*)::integer from marketing_automation.message group by 1"))
        assert states["sent"] == len(sink.mails) and states.keys() == {"sent", "queued"} and sum(states.values()) == MAILS
        assert MAILS // 8 <= updated_at <= len(sink.mails) < MAILS, "in the middle of it"
        assert_a_proxy_says_that_the_sql_is_newer(shop)
        assert shop.error() == f"nothing is sent: the extension is {NEXT}, this library {now}: restart the server with the library of that version"
        shop.query("select pg_sleep(1), marketing_automation_internal.notify_mailer()")
        shop.query("select pg_sleep(1)")
        assert states["sent"] == len(sink.mails), "and it claims no more"
        assert shop.value("select count(*) from marketing_automation_internal.event_inbox") > 100, "nor does it apply clicks"
        recorded = "select (select count(*) from marketing_automation.event where kind = 'email_clicked') + (select count(*) from marketing_automation_internal.event_inbox)"
        wait_until(lambda: shop.value(recorded) == readers.answered, what="each answered click to be there once")

        # As the library of the next version would find it.
        sink.delay(0)
        shop.query("update pg_catalog.pg_extension set extversion = %s where extname = 'marketing_automation'", now)
        shop.query("select marketing_automation_internal.notify_mailer()")
        sink.wait_for(MAILS, 90)
        wait_until(lambda: not shop.value("select count(*) from marketing_automation_internal.outbox"), what="all to be recorded")
        assert shop.state() in ("sending", "idle")
        assert collections.Counter(mail.message["Message-ID"] for mail in sink.mails).most_common(1)[0][1] == 1
        assert {recipient for mail in sink.mails for recipient in mail.recipients} == {f"c{n}@example.com" for n in range(1, MAILS + 1)}
        assert shop.query("select state, count(*)::integer from marketing_automation.message group by 1") == [("sent", MAILS)]
        wait_until(lambda: not shop.value("select count(*) from marketing_automation_internal.event_inbox"), what="the clicks to be applied")
        assert shop.value(recorded) == readers.answered
    finally:
        proxy.stop()
