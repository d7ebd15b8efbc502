"""What comes back: refusals at once, and returned mails."""

import os
import pathlib
import re
import subprocess

from harness import wait_until

ROOT = pathlib.Path(__file__).resolve().parents[2]
MANUAL = ROOT / "docs" / "mail.md"
SAMPLE = ROOT / "src" / "email" / "bounce" / "samples" / "postfix_user_unknown.eml"

SUPPRESSED = "select array_agg(c.name order by c.name) from shop.customer c where marketing_automation.is_suppressed(c.email)"


def test_only_a_mailbox_that_does_not_exist_is_suppressed_at_once(shop, sink):
    shop.customers("Ada", "Bob", "Cyd")
    sink.answer("ada@*", "550 5.1.1 <ada@example.org>: no such user")
    sink.answer("bob@*", "550 5.7.1 <bob@example.org>: no such user for the likes of you")
    shop.scenario(run=False)
    shop.activity("call", parent="hello", on_event="email_bounced", action=None, subject=None, body=None)
    shop.query("select marketing_automation.run('welcome')")
    shop.tick()
    shop.wait_for_message("ada@example.org", "failed")
    shop.wait_for_message("bob@example.org", "failed")
    shop.wait_for_message("cyd@example.org", "sent")
    wait_until(lambda: shop.value(SUPPRESSED) == ["Ada"], what="the address to be suppressed")
    assert shop.events() == [("email_bounced", 1)]
    assert shop.value(
        "select r.key from marketing_automation.record_activity ra join marketing_automation.activity a on a.id = ra.activity_id and a.name = 'call' "
        "join marketing_automation.record r on r.id = ra.record_id where ra.state = 'waiting'"
    ) == shop.value("select id::text from shop.customer where name = 'Ada'")
    sink.behave()
    shop.scenario("again")
    shop.tick()
    wait_until(lambda: len(sink.mails) == 3, what="the others to get the next mail")
    assert sink.to("ada@example.org") == []


def test_the_pipe_that_the_manual_shows_takes_what_comes_back(shop, sink, cluster, tmp_path):
    cluster.set(marketing_automation__bounce_address="bounces@shop.example")
    try:
        shop.customers("Ada")
        shop.scenario()
        shop.tick()
        [mail] = sink.wait_for(1)
        shop.wait_for_message("ada@example.org", "sent")
    finally:
        cluster.set(marketing_automation__bounce_address=None)
    assert mail.sender.startswith("bounces+") and mail.sender.endswith("@shop.example")
    script = tmp_path / "ingest-bounce"
    script.write_text(re.search(r"^```sh\n(#!/bin/sh\n.*?)^```", MANUAL.read_text(), re.M | re.S)[1])
    script.chmod(0o755)
    shop.query(f"select marketing_automation.grant_access('{shop.tracking}', 'bounces')")
    database = {"PGHOST": str(cluster.directory), "PGPORT": str(cluster.port), "PGDATABASE": shop.database, "PGUSER": shop.tracking, "PGPASSWORD": "tracking"}
    report = SAMPLE.read_bytes().replace(b"bounces+0abcdefghijk@shop.example", mail.sender.encode())
    # Larger than what fits into an argument, and anything but text.
    report += bytes(range(256)) * 2000

    def deliver(**environment):
        return subprocess.run([script], input=report, env={**os.environ, **database, **environment}, stderr=subprocess.DEVNULL).returncode

    assert deliver(PGDATABASE="nowhere") == 75
    assert deliver() == 0
    assert shop.messages() == {"ada@example.org": "bounced"}
    assert shop.value(SUPPRESSED) == ["Ada"]
