"""The main job: enrolling, mails, events, follow-ups."""

import threading

import requests
from e2e.mails import links, open_image

from harness import wait_until


def test_a_campaign_runs_from_enrolling_to_the_follow_up(shop, sink, proxy):
    shop.customers("Ada", "Bob", "Cyd")
    shop.scenario(run=False)
    shop.activity("opened", parent="hello", on_event="email_opened")
    shop.activity("clicked", parent="hello", on_event="email_clicked")
    shop.activity("silent", parent="hello", on_event="email_not_opened", delay="1 day")
    shop.query("select marketing_automation.run('welcome')")
    shop.tick()
    sink.wait_for(3)

    assert requests.get(open_image(sink.to("ada@example.org")[0])).headers["Content-Type"] == "image/gif"
    click = requests.get(links(sink.to("bob@example.org")[0])[0], allow_redirects=False)
    assert (click.status_code, click.headers["Location"]) == (302, "https://shop.example/start")
    wait_until(lambda: len(shop.events()) == 2, what="both events to be recorded")
    shop.tick()

    sink.wait_for(2, recipient="ada@example.org")
    sink.wait_for(3, recipient="bob@example.org")  # who clicked has opened too
    assert {mail.subject for mail in sink.to("bob@example.org")} == {"Welcome Bob", "opened", "clicked"}
    assert len(sink.to("cyd@example.org")) == 1

    shop.pass_time("1 day")
    shop.tick()
    sink.wait_for(2, recipient="cyd@example.org")
    shop.tick()
    assert sorted(mail.subject for mail in sink.mails) == sorted(
        ["Welcome Ada", "opened", "Welcome Bob", "opened", "clicked", "Welcome Cyd", "silent"]
    )


def test_a_record_enters_once_and_gets_each_mail_once(shop, sink):
    shop.customers("Ada")
    shop.scenario()
    for _ in range(3):
        shop.tick()
    shop.query("update shop.customer set orders = 5")
    shop.tick()
    sink.wait_for(1)
    shop.wait_for_message("ada@example.org", "sent")
    assert shop.value("select count(*) from marketing_automation.record") == 1
    assert len(sink.mails) == 1


def test_two_sessions_enroll_at_once_without_doubles(shop):
    shop.query("insert into shop.customer (id, name) select n, 'c' || n from generate_series(1, 5000) n")
    shop.scenario(run=False)
    shop.query("select marketing_automation.run('welcome')")
    first, second = shop.connect(), shop.connect()
    def enroll(connection):
        connection.cursor().execute("select * from marketing_automation.enroll('welcome')")

    threads = [threading.Thread(target=enroll, args=(connection,)) for connection in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert shop.value("select count(*) from marketing_automation.record") == 5000
    assert shop.value("select count(*) from marketing_automation_internal.waiting_activity") == 5000


def test_a_stopped_scenario_keeps_its_mails_until_it_runs_again(shop, sink):
    shop.customers("Ada")
    shop.scenario()
    shop.query("select * from marketing_automation.enroll()")
    shop.query("select marketing_automation.stop('welcome')")
    shop.customers("Bob")
    shop.tick()
    assert sink.mails == []
    shop.query("select marketing_automation.draft('welcome')")
    shop.query("select marketing_automation.run('welcome')")
    shop.tick()
    assert {mail.recipients[0] for mail in sink.wait_for(2)} == {"ada@example.org", "bob@example.org"}


def test_a_condition_that_is_not_true_ends_the_branch(shop, sink):
    shop.customers("Ada", "Bob")
    shop.query("update shop.customer set orders = 1 where name = 'Bob'")
    shop.scenario(run=False, mail=False)
    shop.activity("gate", action=None, subject=None, body=None, condition="self.orders > 0", delay="1 hour")
    shop.activity("thanks", parent="gate")
    shop.query("select marketing_automation.run('welcome')")
    shop.query("update shop.customer set orders = 1")
    shop.query("select * from marketing_automation.enroll()")
    shop.query("update shop.customer set orders = 0 where name = 'Ada'")
    shop.pass_time("1 hour")
    shop.tick()
    shop.tick()
    assert [mail.recipients for mail in sink.wait_for(1)] == [["bob@example.org"]]


def test_two_poisonous_records_of_ten_thousand_fail_alone_and_can_be_mended(shop, sink):
    shop.query(
        "insert into shop.customer (id, name, email, orders) "
        "select i, 'c' || i, 'c' || i || '@example.org', case i when 1234 then 0 when 6789 then 7 else 1 end from generate_series(1, 10000) i"
    )
    shop.scenario(run=False, mail=False)
    shop.activity("start", action=None, subject=None, body=None)
    body = "<p>{% if record.orders == 7 %}{{ 1 // (record.orders - 7) }}{% endif %}</p>"
    shop.activity("risky", parent="start", condition="1 / self.orders >= 0", body=body)
    shop.query("select marketing_automation.run('welcome')")
    shop.query("select * from marketing_automation.enroll()")
    assert [shop.value("select marketing_automation.process_due(10000)") for _ in "12"] == [10000, 10000]

    def messages():
        return dict(shop.query("select state, count(*) from marketing_automation.message group by 1"))

    wait_until(lambda: messages() == {"sent": 9998, "failed": 1}, 180, what="all mails but one to be sent")
    assert shop.query(
        "select r.key, ra.error_code from marketing_automation.record_activity ra "
        "join marketing_automation.record r on r.id = ra.record_id where ra.state = 'failed'"
    ) == [("1234", "22012")]
    assert "body, line 1" in shop.value("select smtp_reply from marketing_automation.message where key = '6789' and state = 'failed'")

    shop.query("update shop.customer set orders = 1 where id = 1234")
    shop.query("update marketing_automation.activity set body = 'mended' where name = 'risky'", user=shop.marketer)
    shop.query("select marketing_automation.retry(a) from marketing_automation.record_activity a where a.state = 'failed'", user=shop.marketer)
    shop.query("select marketing_automation.retry(id) from marketing_automation.message where state = 'failed'", user=shop.marketer)
    shop.tick()
    wait_until(lambda: messages() == {"sent": 10000}, what="the mended ones to be sent")
    assert len(sink.to("c1234@example.org")) == len(sink.to("c6789@example.org")) == 1
