"""What the server tells those who look after it: why nobody sends, and nothing of anybody's row."""

import re

import psycopg2
import pytest
from e2e.shop import TABLES, Shop, sending_to

from harness import Cluster, wait_until


@pytest.mark.parametrize("slots", [0, 1])
def test_a_lack_of_worker_slots_is_told_with_the_setting_that_helps(sink, slots):
    # Of one the launcher takes it, and there is none for a mailer.
    few = {"max_worker_processes": slots, "max_parallel_workers": 0, "max_logical_replication_workers": 0}
    cluster = Cluster(preload="marketing_automation", settings=sending_to(sink) | few).start()
    try:
        cluster.query("create database shop")
        shop = Shop(cluster, "shop")
        shop.psql(TABLES.format(database="shop", role=shop.marketer, tracking=shop.tracking))
        status = "select state, last_error from marketing_automation.worker_status() where database = current_database()"
        told = ["the launcher does not run: it found no background worker slot", "there was no background worker slot for the mailer"][slots]
        state, reason = wait_until(lambda: next((row for row in shop.query(status) if row[1]), None), what="a reason")
        assert state == "not running" and reason.startswith(told) and "raise max_worker_processes" in reason
        assert "max_worker_processes" in cluster.log_text()
        warned = re.search(r'no background worker slot for database "\w+": raise max_worker_processes', cluster.log_text())
        assert bool(warned) == (slots == 1)
        [(health, message)] = shop.query("select status, message from marketing_automation.health() where name = 'worker'")
        assert health == "error" and "max_worker_processes" in message
    finally:
        cluster.stop()


def test_an_error_has_a_detail_and_no_backtrace(shop):
    # The server runs with RUST_BACKTRACE=1.
    shop.scenario(mail=False, run=False)
    with pytest.raises(psycopg2.Error) as error:
        shop.activity("broken", body="<p>{{ record.name | nonsense }}</p>")
    told = error.value.diag
    assert "nonsense" in (told.message_primary or "") + (told.message_detail or "")
    for text in (told.message_primary, told.message_detail, told.message_hint, told.context):
        assert "backtrace" not in (text or "") and "rust_" not in (text or "") and ".rs:" not in (text or "")


def test_the_log_names_no_row(cluster, shop, sink):
    before = len(cluster.log_text())
    shop.customers("Ada", "Bob", "Cyd", "Dan", "Eve")
    # Addresses as keys and parties, as shops have them.
    shop.query(
        "select marketing_automation.register_model('by address', 'shop.customer', key => 'self.email', party => 'self.email', "
        "email => 'self.email', recipient_name => 'self.name')",
        user=shop.marketer,
    )
    shop.query(
        "select marketing_automation.create_scenario('addressed', 'by address', domain => '100 / (self.id - 4) <> 7', unsubscribable => true)",
        user=shop.marketer,
    )
    shop.activity("hello", scenario="addressed", subject="{{ record.name }}", body="{{ 1 / (record.id - 3) }}<a href='unsubscribe'>u</a>")
    shop.activity("poison", scenario="addressed", condition="self.id <> 5 or ('x' || self.email)::integer > 0")
    # Of which running says that mails may fail, for a row whose key is an address.
    shop.activity("from them", scenario="addressed", sender="{{ record.name }} {{ record.email }}", subject="s", delay="1 day",
                  body="<p>{{ record.email }}<a href='unsubscribe'>u</a></p>")  # fmt: skip
    shop.query("select marketing_automation.run('addressed')", user=shop.marketer)
    assert 'mails of activity "from them" may fail: sender "…" is no address' in cluster.log_text()[before:]
    sink.answer("bob@*", "550 5.1.1 <bob@example.org>: no such user")
    shop.tick()
    # Of each of two mails, the second of which leaves where the first one failed.
    states = "select array_agg(distinct state) from marketing_automation.message"
    wait_until(lambda: set(shop.value(states) or ()) >= {"sent", "failed"}, what="mails to be sent, refused and not rendered")
    shop.query("select * from marketing_automation.enroll_records('addressed', array['dan@example.org', 'eve@example.org'])")
    assert shop.value("select count(*) from marketing_automation.record_activity where state = 'failed'") > 0
    assert "@example.org" not in cluster.log_text()[before:].replace("shop@example.org", "")


def test_a_record_is_told_that_its_mail_waits_for_a_server_that_refuses(shop, sink):
    shop.customers("Ada")
    sink.greet("421 4.7.0 too many connections")
    shop.scenario()
    shop.tick()
    wait_until(lambda: shop.value("select state from marketing_automation.worker_status()") == "paused", what="the server to be given up")
    facts = shop.query("select fact from marketing_automation.explain_record('welcome', '1') where about like '%hello'")
    assert len(facts) == 1 and "the mailer is paused" in facts[0][0] and "to be sent now" not in facts[0][0]
