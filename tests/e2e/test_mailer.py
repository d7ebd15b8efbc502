"""marketing-mailer: beside the worker and instead of it, each mail leaves once."""

import re
from collections import Counter

import pytest
from e2e.shop import BODY

from harness import Mailer, wait_until


def recipients(sink):
    return Counter(mail.recipients[0] for mail in sink.mails)


def test_without_preloading_a_mailer_sends_what_a_cron_processes(bare_shop, sink, start_mailer):
    assert bare_shop.value("select state from marketing_automation.worker_status()") == "not preloaded"
    mailer = start_mailer(bare_shop)
    bare_shop.crowd(200)
    bare_shop.scenario(
        body="<style>p {color: teal}</style>{{ browser_url }}" + BODY, reply_to="{{ record.name }}@example.org", preheader="For {{ record.name }}",
        text="Plain {{ record.name }}", headers='{"X-Name": "{{ record.name }}"}',
        attachments="select 'a.txt' as name, 'text/plain' as type, convert_to(self.name, 'UTF8') as content union all "
                    "select 'terms.pdf', 'application/pdf', convert_to(repeat('terms', 9000), 'UTF8')",
    )  # fmt: skip
    bare_shop.query("update marketing_automation.scenario set utm = 'utm_source=mail', utm_hosts = 'shop.example', inline_css = true")
    bare_shop.activity("later", parent="hello", delay="1 day", subject="Again")
    bare_shop.tick()
    sink.wait_for(200)
    wait_until(lambda: set(bare_shop.messages().values()) == {"sent"}, what="all to be recorded")
    assert set(recipients(sink).values()) == {1}
    assert sink.mails[0].subject.startswith("Welcome c")
    assert '<p style="color:teal;">Hello c' in sink.mails[0].html and ">For c" in sink.mails[0].html and sink.mails[0].text.startswith("Plain c")
    assert all(mail.message["Reply-To"] == mail.recipients[0] == f"{mail.message['X-Name']}@example.org" for mail in sink.mails)
    for mail in sink.mails:
        name, terms = (part.get_payload(decode=True).decode() for part in mail.message.iter_attachments())
        assert name == mail.message["X-Name"] and terms == "terms" * 9000
    shown = re.search(r"/v/([\w-]+)", sink.mails[0].html)[1]
    assert ">Hello c" in bare_shop.value("select marketing_automation.mail_by_token(%s)", shown)
    assert bare_shop.query("select url from marketing_automation.link") == [("https://shop.example/start?utm_source=mail",)]
    # Children of a sent mail start without a worker too.
    assert bare_shop.value("select count(*) from marketing_automation_internal.waiting_activity") == 200
    wait_until(lambda: mailer.metric("marketing_mailer_sent_total") == 200, what="the metric")
    assert bare_shop.value("select status from marketing_automation.health() where name = 'worker'") == "ok"
    wait_until(
        lambda: bare_shop.query("select name, state, sent, version = (select extversion from pg_extension where extname = 'marketing_automation') "
                                "from marketing_automation.mailer_status()") == [("mailer-1", "idle", 200, True)],
        what="its row",
    )  # fmt: skip
    assert mailer.terminate() == 0
    assert bare_shop.value("select state from marketing_automation.mailer_status()") == "not running"


def test_worker_and_two_mailers_share_a_campaign_and_each_mail_leaves_once(shop, sink, start_mailer):
    first, second = start_mailer(shop), start_mailer(shop, "mailer-2")
    shop.wait_for_worker()
    shop.crowd(3000)
    sink.delay(0.01)
    shop.scenario()
    shop.tick()
    sink.wait_for(3000, 90)
    wait_until(lambda: Counter(shop.messages().values()) == {"sent": 3000}, what="all to be recorded")
    assert set(recipients(sink).values()) == {1}
    assert len({mail.message["Message-ID"] for mail in sink.mails}) == 3000
    sent = [mailer.metric("marketing_mailer_sent_total") for mailer in (first, second)]
    by_worker = shop.value("select sent from marketing_automation.worker_status()")
    assert min(*sent, by_worker) > 100, (sent, by_worker)
    assert sum(sent) + by_worker == 3000
    assert shop.value("select max(attempts) from marketing_automation.message") == 1


def test_who_is_no_mailer_is_told_what_to_do(bare_shop, start_mailer):
    def ended(mailer):
        assert mailer.process.wait(20) == 1
        return mailer.said()

    bare_shop.query(f'create role "{bare_shop.mailing}" login password \'mailing\'')
    assert "grant_access('role', 'mailer')" in ended(start_mailer(bare_shop, wait=False))
    bare_shop.query("select marketing_automation.grant_access(%s, 'mailer')", f'"{bare_shop.mailing}"')
    first = start_mailer(bare_shop)
    said = ended(start_mailer(bare_shop, wait=False))
    assert 'mailer "mailer-1" is at work already' in said and "--name" in said
    assert first.process.poll() is None
    bare_shop.query("update pg_extension set extversion = '0.0.1' where extname = 'marketing_automation'")
    said = ended(start_mailer(bare_shop, "mailer-2", wait=False))
    assert "the extension is 0.0.1" in said and "ALTER EXTENSION marketing_automation UPDATE" in said
    bare_shop.query("update pg_extension set extversion = '9.9.9' where extname = 'marketing_automation'")
    said = ended(start_mailer(bare_shop, "mailer-2", wait=False))
    assert "the extension is 9.9.9" in said and "install marketing-mailer of that version" in said
    bare_shop.cluster.query(f'create database "{bare_shop.database}_bare"')
    try:
        bare = Mailer(bare_shop.mailer_url() + "_bare").start(wait=False)
        assert "create extension marketing_automation" in ended(bare)
        bare.stop()
    finally:
        bare_shop.cluster.query(f'drop database "{bare_shop.database}_bare"')


def test_a_mailer_whose_extension_is_updated_under_it_sends_nothing_and_goes_on_when_both_fit(bare_shop, sink, start_mailer):
    mailer = start_mailer(bare_shop)
    version = bare_shop.value("select extversion from pg_extension where extname = 'marketing_automation'")
    bare_shop.query("update pg_extension set extversion = '9.9.9' where extname = 'marketing_automation'")
    bare_shop.customers("Ada")
    bare_shop.scenario()
    bare_shop.tick()
    wait_until(lambda: mailer.ready_or_why() == "outdated", what="the mailer to notice")
    assert bare_shop.messages() == {"ada@example.org": "queued"}
    bare_shop.query("update pg_extension set extversion = %s where extname = 'marketing_automation'", version)
    sink.wait_for(1)


def test_a_copy_that_is_not_armed_sends_nothing(bare_shop, sink, start_mailer):
    bare_shop.query("update marketing_automation_internal.armed set database = 1")
    bare_shop.customers("Ada")
    bare_shop.scenario()
    bare_shop.tick()
    mailer = start_mailer(bare_shop, wait=False)
    wait_until(lambda: "select marketing_automation.arm()" in mailer.said(), what="the log to say what to do")
    assert mailer.ready_or_why() == "disarmed"
    assert bare_shop.messages() == {"ada@example.org": "queued"}
    bare_shop.query("select marketing_automation.arm(resend => true)")
    sink.wait_for(1)


def test_the_role_of_a_mailer_may_do_nothing_else(bare_shop):
    bare_shop.mailer_url()
    may = bare_shop.query(
        "select p.proname from pg_proc p where p.pronamespace in ('marketing_automation'::regnamespace, 'marketing_automation_internal'::regnamespace) "
        "and has_function_privilege(%s, p.oid, 'execute') and has_schema_privilege(%s, p.pronamespace, 'usage')",
        bare_shop.mailing, bare_shop.mailing,
    )  # fmt: skip
    assert len(may) > 10 and all(name.startswith("mailer_") for (name,) in may), may
    with pytest.raises(Exception, match="has not registered as a mailer"):
        bare_shop.query("select * from marketing_automation.mailer_claim(1, true)", user=bare_shop.mailing)


def test_check_tries_everything_and_sends_nothing(bare_shop, sink, tmp_path):
    bare_shop.customers("Ada")
    bare_shop.scenario()
    bare_shop.tick()
    mailer = Mailer(bare_shop.mailer_url())
    try:
        code, said = mailer.check()
        assert code == 0, said
        assert f'SMTP server "smtp_url" (127.0.0.1:{sink.port})' in said
        with bare_shop.cluster.having(marketing_automation__smtp_url="smtp://127.0.0.1:1"):
            wait_until(lambda: bare_shop.value("select marketing_automation_internal.setting('smtp_url')") == "smtp://127.0.0.1:1")
            code, said = mailer.check()
        assert code == 1 and "FAILED  SMTP server" in said, said
        bare_shop.query("update marketing_automation_internal.armed set database = 1")
        code, said = mailer.check()
        assert code == 1 and "FAILED  armed to send: it is a copy of another database" in said, said
    finally:
        mailer.stop()
    assert sink.mails == []
    assert bare_shop.query("select * from marketing_automation.mailer_status()") == []
