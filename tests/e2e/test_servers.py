"""Several SMTP servers: who takes which mail, and what happens when one is away."""

import os
import time

import pytest

from harness import SmtpSink, wait_until

STATUS = "select state from marketing_automation.smtp_server_status where name = %s"


@pytest.fixture
def relay(sink):
    """A second SMTP server."""
    relay = SmtpSink().start()
    yield relay
    relay.refuse()


def server(shop, name, url, **columns):
    """A row of smtp_server, which the mailer knows at once."""
    row = {"name": name, "url": url, **columns}
    shop.query(f"insert into marketing_automation.smtp_server ({', '.join(row)}) values ({', '.join(['%s'] * len(row))})", *row.values())
    shop.query("select pg_reload_conf()")


def recipients(*sinks):
    """Who got a mail, from whichever server."""
    return sorted(mail.recipients[0] for sink in sinks for mail in sink.mails)


def all_sent(shop, size):
    """Waits until all mails are sent."""
    sent = "select count(*) from marketing_automation.message where state = 'sent' and record_id is not null"
    wait_until(lambda: shop.value(sent) == size, 60, what=f"{size} mails to be sent")


def test_equals_share_by_weight(shop, sink, relay):
    shop.crowd(200)
    shop.query("select marketing_automation.pause()")
    server(shop, "big", sink.url, weight=3)
    server(shop, "small", relay.url, weight=1)
    shop.scenario()
    shop.tick()
    shop.query("select marketing_automation.resume()")
    all_sent(shop, 200)
    assert (len(sink.mails), len(relay.mails)) == (150, 50)
    assert shop.query("select server, count(*) from marketing_automation.message group by 1 order by 2") == [
        (relay.url.removeprefix("smtp://"), 50),
        (sink.url.removeprefix("smtp://"), 150),
    ]


def test_a_server_that_dies_is_replaced_until_it_is_back_and_no_mail_is_lost_or_doubled(shop, sink, relay):
    shop.crowd(400)
    server(shop, "first", sink.url, priority=1)
    server(shop, "second", relay.url, priority=2)
    sink.delay(0.02)
    shop.scenario()
    shop.tick()
    sink.wait_for(30)
    assert relay.mails == []
    sink.refuse()
    relay.wait_for(1)
    wait_until(lambda: shop.value(STATUS, "first") == "out of reach", what="the first server to be given up")
    # What was at the dying server is in doubt, and tried again after a minute.
    wait_until(lambda: shop.query("select 1 where not exists (select from marketing_automation_internal.outbox where attempts = 0)"), what="all to be tried")
    sink.behave()
    sink.start()
    shop.retry_now()
    all_sent(shop, 400)
    in_doubt = shop.value("select count(distinct message_id) from marketing_automation.delivery_attempt where state = 'in_doubt'")
    got = recipients(sink, relay)
    assert len(set(got)) == 400
    assert len(got) <= 400 + in_doubt
    # Back: it takes the next campaign alone, but for what goes elsewhere until the probe is answered.
    wait_until(lambda: shop.value(STATUS, "first") == "ready" or probe(shop), 90, what="the first server to be back")
    before = len(relay.mails)
    shop.scenario("again")
    shop.tick()
    all_sent(shop, 800)
    assert len(relay.mails) == before


def probe(shop):
    """Gives the mailer a mail with which to find out whether the server is back."""
    shop.query("select marketing_automation.send_test('welcome', 'hello', '1', 'probe@example.org')")


def test_the_senders_domain_chooses_its_server(shop, sink, relay):
    shop.crowd(20)
    server(shop, "general", sink.url, priority=1)
    server(shop, "news", relay.url, priority=9, sender_domain="News.Example")
    shop.scenario(run=False, mail=False)
    shop.activity("news", sender="News <hello@{{ 'news' }}.example>")
    shop.activity("shop")
    shop.query("select marketing_automation.run('welcome')")
    shop.tick()
    wait_until(lambda: len(sink.mails) + len(relay.mails) == 40, 60, what="all mails")
    assert {mail.subject for mail in relay.mails} == {"news"} and len(relay.mails) == 20
    assert {mail.subject for mail in sink.mails} == {"shop"} and len(sink.mails) == 20
    # Without its own, the general one takes them.
    shop.query("update marketing_automation.smtp_server set enabled = false where name = 'news'")
    shop.query("select pg_reload_conf()")
    shop.customers("Zoe")
    shop.tick()
    sink.wait_for(22)


def test_a_warm_up_hands_the_rest_to_the_next_server_and_holds_over_a_restart(shop, sink, relay):
    shop.crowd(50)
    shop.query("insert into marketing_automation.smtp_warmup values ('new', 1, 10), ('new', 2, 1000)")
    server(shop, "new", sink.url, priority=1, warmup_started="today")
    server(shop, "old", relay.url, priority=2)
    shop.scenario()
    shop.tick()
    wait_until(lambda: len(sink.mails) + len(relay.mails) == 50, 60, what="all mails")
    assert len(sink.mails) == 10
    shop.query("select pg_terminate_backend(%s)", shop.wait_for_worker())
    shop.scenario("again")
    shop.tick()
    wait_until(lambda: len(sink.mails) + len(relay.mails) == 100, 60, what="the second campaign")
    assert len(sink.mails) == 10
    assert shop.query("select taken_today, allowed_today from marketing_automation.smtp_server_status where name = 'new'") == [(10, 10)]


def test_a_pace_holds_for_a_server_alone(shop, sink):
    shop.crowd(30)
    server(shop, "slow", sink.url, per_second=10)
    shop.scenario()
    # Permits are given from here on, however late the first mail arrives.
    started = time.time()
    shop.tick()
    sink.wait_for(30)
    for number, mail in enumerate(sorted(sink.mails, key=lambda mail: mail.at), 1):
        assert number <= 10 + 10 * (mail.at - started) + 1
    assert max(mail.at for mail in sink.mails) - started > 1.9
    assert shop.value("select max(attempts) from marketing_automation.message") == 1


def test_a_server_that_cannot_be_used_is_named_and_the_others_work(shop, sink):
    shop.crowd(5)
    server(shop, "locked", sink.url, password_file="/nonexistent/password")
    server(shop, "open", sink.url, priority=2)
    shop.scenario()
    shop.tick()
    sink.wait_for(5)
    wait_until(
        lambda: shop.value("select last_error like '%%server \"locked\": cannot read the password file%%' from marketing_automation.worker_status()"),
        what="the fault to show",
    )


def test_a_server_that_hangs_does_not_hold_up_the_others(shop, sink, relay):
    shop.crowd(200)
    shop.query(f"alter database {shop.database} set marketing_automation.smtp_timeout = 1")
    server(shop, "answers", sink.url)
    server(shop, "hangs", relay.url, connections=2)
    relay.hang("data")
    shop.scenario()
    shop.tick()
    # What has only waited for one of its connections is not in doubt.
    sink.wait_for(198)
    assert len(relay.mails) == 2
    assert len(set(recipients(sink, relay))) == 200
    status = "select state, last_error from marketing_automation.smtp_server_status where name = 'hangs'"
    error = f"all connections to {relay.url.removeprefix('smtp://')} have waited for a reply for 1 s"
    wait_until(lambda: shop.query(status) == [("out of reach", error)], what="the trouble to show")
    relay.behave()
    wait_until(lambda: shop.value(STATUS, "hangs") == "ready", what="the server to be back")


def test_mails_that_wait_for_a_server_that_hangs_leave_by_another_once_it_is_disabled(shop, sink, relay):
    shop.crowd(20)
    server(shop, "hangs", relay.url, connections=2)
    relay.hang("data")
    shop.scenario()
    shop.tick()
    relay.wait_for(2)
    shop.query("update marketing_automation.smtp_server set enabled = false")
    server(shop, "answers", sink.url, connections=1)
    sink.wait_for(18)
    assert len(relay.mails) == 2
    assert len(set(recipients(sink, relay))) == 20


def test_a_mail_that_hangs_does_not_keep_its_server_from_being_probed(shop, sink):
    shop.crowd(1)
    shop.scenario()
    sink.hang("rcpt", "c1@*")
    shop.tick()
    # Had it not come so far yet, it would be greeted too, and be the probe that hangs.
    wait_until(lambda: sink.hanging, what="the first mail to hang")
    sink.greet("421 4.7.0 later")
    shop.customers("Bob", "Eve")
    shop.tick()
    wait_until(lambda: shop.value("select state from marketing_automation.worker_status()") == "paused", what="the server to be given up")
    sink.greet(None)
    sink.wait_for(2, timeout=15)
    assert shop.messages()["c1@example.org"] == "sending"


def test_a_url_that_cannot_be_used_is_named_and_the_others_work(shop, sink):
    shop.crowd(5)
    # As a dump of another version may bring it.
    shop.psql(
        f"set session_replication_role = replica; insert into marketing_automation.smtp_server (name, url) values ('odd', 'lmtp://x'), ('good', '{sink.url}')"
    )
    shop.query("select pg_reload_conf()")
    shop.scenario()
    shop.tick()
    sink.wait_for(5)
    wait_until(lambda: "server \"odd\"" in (shop.value("select last_error from marketing_automation.worker_status()") or ""), what="the fault to show")


def taken(shop):
    return dict(shop.query("select name, taken_today from marketing_automation.smtp_server_status"))


def counts(shop, sink, send):
    """Campaigns of 30 mails, by servers without limits: each mail counts for the server that took it, and for no other."""
    shop.crowd(30)
    # The one of the settings.
    send("one")
    assert taken(shop) == {"smtp_url": 30}
    # Two at one address, which differ in name only.
    server(shop, "main", sink.url)
    server(shop, "other", sink.url, priority=2)
    send("two")
    assert taken(shop) == {"main": 30, "other": 0}
    shop.query("update marketing_automation.smtp_server set enabled = name = 'other'")
    shop.query("select pg_reload_conf()")
    send("three")
    assert taken(shop) == {"main": 30, "other": 30}
    # A limit hands out tokens by the second and more than are used: no mails.
    shop.query("update marketing_automation.smtp_server set per_second = 1000")
    shop.query("select pg_reload_conf()")
    send("four")
    assert taken(shop) == {"main": 30, "other": 60}


def test_the_worker_counts_what_servers_without_limits_take(shop, sink):
    def send(name):
        shop.scenario(name)
        shop.tick()
        all_sent_of(shop, name, 30)

    counts(shop, sink, send)


def test_a_mailer_counts_what_servers_without_limits_take(bare_shop, sink, start_mailer):
    mailers = []

    def send(name):
        # Each starts with the servers as they are.
        for mailer in mailers:
            mailer.stop()
        mailers[:] = [start_mailer(bare_shop, name)]
        bare_shop.scenario(name)
        bare_shop.tick()
        all_sent_of(bare_shop, name, 30)

    counts(bare_shop, sink, send)


def all_sent_of(shop, name, size):
    """Waits until all mails of a scenario are sent."""
    sent = "select count(*) from marketing_automation.message m join marketing_automation.activity a on a.id = m.activity_id where m.state = 'sent' and a.scenario_id = marketing_automation.scenario_id(%s)"
    wait_until(lambda: shop.value(sent, name) == size, 60, what=f"{size} mails of {name} to be sent")


def test_an_access_token_that_another_program_renews_is_read_at_each_connection(shop, tmp_path):
    tokens = SmtpSink(login=("nobody", "nothing")).start()
    file = tmp_path / "token"

    def renew(token):
        file.with_suffix(".new").write_text(token + "\n")
        file.with_suffix(".new").chmod(0o600)
        os.chown(file.with_suffix(".new"), *shop.cluster.owner())
        file.with_suffix(".new").rename(file)

    for directory in (tmp_path, *tmp_path.parents[:2]):
        directory.chmod(0o755)
    renew("first")
    tokens.token = ("news@shop.example", "first")
    server(shop, "tokens", tokens.url.replace("//", "//news%40shop.example@") + "?tls=none&auth=xoauth2", password_file=str(file))
    try:
        shop.customers("Ada")
        shop.scenario()
        shop.tick()
        tokens.wait_for(1)
        # The token has expired, and with it the connection.
        tokens.token = ("news@shop.example", "second")
        tokens.refuse()
        tokens.start()
        shop.customers("Bob")
        shop.tick()
        wait_until(lambda: "535" in (shop.value("select last_error from marketing_automation.smtp_server_status") or ""), what="the refusal")
        said = shop.value("select last_error from marketing_automation.smtp_server_status")
        assert '{"status":"400","schemes":"Bearer"}' in said and "first" not in said
        renew("second")
        tokens.wait_for(1, recipient="bob@example.org")
    finally:
        tokens.refuse()
