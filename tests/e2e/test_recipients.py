"""Mails that go to somebody else than their party, and copies: one transaction to all of them, over real SMTP."""

from harness import wait_until

ADDRESSES = {
    "message_class": "internal",
    "recipient": "'Zoë Berg <zoe@shop.example>'",
    "cc": "'Max <max@shop.example>, dead@shop.example'",
    "bcc": "case when self.name = 'Ada' then 'archive@shop.example' end",
}
BODY = '<p>{{ party.name }} {{ party.email }}</p><a href="https://shop.example/deal">deal</a>'


def test_one_transaction_goes_to_all_and_a_refused_copy_is_told(shop, sink):
    shop.customers("Ada")
    shop.query("select marketing_automation.suppress('max@shop.example')")
    sink.answer("dead@*", "550 5.1.1 <dead@shop.example>: no such user")
    shop.scenario(body=BODY, **ADDRESSES)
    shop.tick()
    [mail] = sink.wait_for(1)
    assert mail.recipients == ["zoe@shop.example", "archive@shop.example"]
    assert mail.message["To"] == "Zoë Berg <zoe@shop.example>" and mail.message["Cc"] == "dead@shop.example"
    assert mail.message["Bcc"] is None and b"archive" not in mail.message.as_bytes()
    assert "Ada ada@example.org" in mail.html
    # Who opens or clicks is anybody's guess.
    assert 'href="https://shop.example/deal"' in mail.html and "/o/" not in mail.html
    shop.wait_for_message("zoe@shop.example", "sent")
    reply = shop.value("select smtp_reply from marketing_automation.message")
    assert reply.startswith("250 ") and "; no copy to dead@shop.example: 550 5.1.1" in reply, reply
    assert reply.endswith("; no copy to max@shop.example: it is suppressed"), reply
    assert not shop.value("select marketing_automation.is_suppressed('zoe@shop.example')")


def test_a_mailer_sends_to_all_and_a_link_to_unsubscribe_to_none(bare_shop, sink, start_mailer):
    start_mailer(bare_shop)
    bare_shop.customers("Ada", "Bob")
    bare_shop.scenario(body=BODY + "{% if record.name == 'Bob' %}{{ unsubscribe_url }}{% endif %}", **ADDRESSES)
    bare_shop.tick()
    [mail] = sink.wait_for(1)
    assert mail.recipients == ["zoe@shop.example", "max@shop.example", "dead@shop.example", "archive@shop.example"]
    assert mail.message["Cc"] == "Max <max@shop.example>, dead@shop.example"
    outcome = "select key, state, smtp_reply from marketing_automation.message order by 1"
    wait_until(lambda: [state for _, state, _ in bare_shop.query(outcome)] == ["sent", "failed"], what="both to be recorded")
    assert bare_shop.query(outcome)[1][2] == "message goes to others than its party, and has a link to unsubscribe"


def test_nobody_but_the_staging_mailbox_gets_a_copy(shop, sink, cluster):
    with cluster.having(marketing_automation__staging_mailbox="stage@shop.example"):
        wait_until(lambda: "all mails go to stage@shop.example" in cluster.log_text(), what="the mailer to say so")
        shop.customers("Ada")
        shop.scenario(body=BODY, **ADDRESSES)
        shop.tick()
        [mail] = sink.wait_for(1)
        assert mail.recipients == ["stage@shop.example"] and mail.message["Cc"] is None
        assert mail.message["X-Original-Recipient"] == "zoe@shop.example"
        assert mail.message["X-Original-Cc"] == "max@shop.example, dead@shop.example"
        assert mail.message["X-Original-Bcc"] == "archive@shop.example"
