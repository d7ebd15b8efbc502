"""With a mailer nothing leaves that a commit forbids, from a second after it on."""

import time

import pytest
from e2e.test_revocation import CLAIMED, CONNECTIONS, WAYS, about_news

from harness import wait_until

BOUND = 1
# Those of the worker, and what else takes back mails that are claimed.
MORE = {
    "unsubscribe from everything": """
        with claimed as materialized ({claimed})
        select c.email from claimed c, marketing_automation.unsubscribe(c.party) as gone""",
    "a mailbox that is dead": """
        with claimed as materialized ({claimed})
        select c.email from claimed c, marketing_automation.suppress(c.email, 'hard_bounce')""",
    "a complaint": """
        with claimed as materialized ({claimed})
        select c.email from claimed c, marketing_automation.suppress(c.email, 'complaint')""",
    "forget": """
        with claimed as materialized ({claimed})
        select c.email from claimed c, marketing_automation.forget(c.email) as forgotten""",
    "pause": """
        with claimed as materialized ({claimed})
        select c.email from claimed c, (select from marketing_automation.pause('wait')) as paused""",
}
# What holds up all, and is over some time.
HOLDS = ("stop", "pause")


@pytest.mark.parametrize("way", WAYS | MORE)
def test_nothing_claimed_leaves_a_second_after_the_commit_that_forbids_it(bare_shop, sink, start_mailer, way):
    bare_shop.setting("smtp_connections", str(CONNECTIONS))
    bare_shop.crowd(400)
    sink.delay(0.1)
    bare_shop.scenario()
    about_news(bare_shop)
    start_mailer(bare_shop)
    bare_shop.tick()
    # By then a claim is as large as what leaves within a second.
    sink.wait_for(60)
    forbidden = wait_until(
        lambda: {email for (email,) in bare_shop.query((WAYS | MORE)[way].format(claimed=CLAIMED))}, interval=0.02, what="claimed mails"
    )
    committed = time.time()
    wait_until(
        lambda: bare_shop.value(
            "select not exists (select from marketing_automation_internal.outbox where state = 'sending' and email = any (%s))", list(forbidden)
        ),
        60, what="the claims to be given back",
    )  # fmt: skip
    sink.delay(0)
    if way not in HOLDS:
        wait_until(lambda: not bare_shop.value("select count(*) from marketing_automation_internal.outbox"), 120, what="all to end")
    # One on each connection may have been on its way.
    late = [mail.at - committed for mail in sink.mails if mail.at > committed + BOUND and mail.recipients[0] in forbidden]
    assert len(late) <= CONNECTIONS, f"{len(late)} of {len(forbidden)}: {late}"
    assert bare_shop.value("select coalesce(max(attempts), 1) from marketing_automation.message") == 1
