"""A mail that comes back forbids those that are claimed for its address: with the worker from the answer to the report on, with a mailer a
second later."""

import time

import requests
from e2e.test_bounces import TOKEN, no_such_user
from e2e.test_revocation import CONNECTIONS

from harness import Proxy, wait_until

CROWD, BOUNCES = 200, 60
CLAIMED = """
    select o.email from marketing_automation_internal.outbox o join marketing_automation.activity a on a.id = o.activity_id
    join marketing_automation.scenario s on s.id = a.scenario_id where o.state = 'sending' and s.name = 'second'"""


def bounce_while_claimed(shop, sink, bound, tmp_path):
    """Reports hard bounces of everybody's first mail while the second ones leave."""
    (tmp_path / "token").write_text(TOKEN + "\n")
    (tmp_path / "token").chmod(0o600)
    shop.query(f"select marketing_automation.grant_access('{shop.tracking}', 'bounces')")
    proxy = Proxy(shop.tracking_url(), arguments=("--bounce-token-file", tmp_path / "token")).start()
    shop.crowd(CROWD)
    shop.scenario("first")
    shop.tick()
    wait_until(lambda: list(shop.messages().values()) == ["sent"] * CROWD, 60, what="the first mails to be sent")
    reports = {mail.recipients[0]: no_such_user(mail) for mail in sink.mails}
    # Slow enough that most of a claim waits, and for long enough that a claim gets large.
    sink.delay(0.1)
    shop.scenario("second")
    shop.tick()
    sink.wait_for(CROWD + 40, 60)
    taken = {}
    try:
        with requests.Session() as session:
            while len(taken) < BOUNCES:
                claimed = [email for (email,) in shop.query(CLAIMED) if email not in taken]
                if not claimed and not shop.value("select count(*) from marketing_automation_internal.outbox"):
                    break
                for email in claimed[-8:]:
                    answer = session.post(proxy.base + "/bounce", reports[email], headers={"Authorization": f"Bearer {TOKEN}"})
                    assert answer.status_code == 200 and answer.json()["kind"] == "hard", answer.text
                    taken[email] = time.time()
    finally:
        proxy.stop()
    sink.delay(0)
    wait_until(lambda: not shop.value("select count(*) from marketing_automation_internal.outbox"), 60, what="all to end")
    second = sink.mails[CROWD:]
    # One on each connection was on its way when the proxy answered.
    late = [mail.at - taken[mail.recipients[0]] for mail in second if mail.at > taken.get(mail.recipients[0], mail.at) + bound]
    assert len(late) <= CONNECTIONS, f"{len(late)} of {len(taken)}: {late}"
    # Who had the mail before is none of those that it was kept from.
    kept = shop.value("select count(*) from marketing_automation.message where smtp_reply = 'address suppressed: hard_bounce'")
    assert kept >= BOUNCES / 3 and len(second) + kept == CROWD, (kept, len(second), len(taken))
    assert shop.value("select max(attempts) from marketing_automation.message") == 1


def test_nothing_claimed_leaves_after_its_address_has_bounced(shop, sink, cluster, tmp_path):
    with cluster.having(marketing_automation__smtp_connections=CONNECTIONS):
        bounce_while_claimed(shop, sink, 0, tmp_path)


def test_nothing_claimed_by_a_mailer_leaves_a_second_after_its_address_has_bounced(bare_shop, sink, start_mailer, tmp_path):
    bare_shop.setting("smtp_connections", str(CONNECTIONS))
    start_mailer(bare_shop)
    bounce_while_claimed(bare_shop, sink, 1, tmp_path)
