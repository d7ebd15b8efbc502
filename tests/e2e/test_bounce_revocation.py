"""A mail that comes back forbids those that are claimed for its address: with the worker from the commit on, with a mailer a second later.
What the proxy takes by POST /bounce it has committed when it answers, see test_bounces."""

import time

from e2e.test_bounces import no_such_user
from e2e.test_revocation import CONNECTIONS

from harness import wait_until

CROWD = 300


def bounce_while_claimed(shop, sink, bound):
    """Takes hard bounces of everybody's first mail while the second ones leave."""
    shop.crowd(CROWD)
    shop.scenario("first")
    shop.tick()
    wait_until(lambda: list(shop.messages().values()) == ["sent"] * CROWD, 60, what="the first mails to be sent")
    session = shop.connect(autocommit=False)
    with session.cursor() as cursor:
        for mail in sink.mails:
            cursor.execute("select kind from marketing_automation.ingest_bounce(%s)", (no_such_user(mail),))
            assert cursor.fetchone() == ("hard",)
    # Slow enough that most of a claim waits, and for long enough that a claim gets large.
    sink.delay(0.1)
    shop.scenario("second")
    shop.tick()
    sink.wait_for(CROWD + 60, 60)
    # From here on all that is claimed is forbidden at once.
    session.commit()
    committed = time.time()
    wait_until(lambda: not shop.value("select count(*) from marketing_automation_internal.outbox"), 60, what="all to end")
    late = [mail.at - committed for mail in sink.mails if mail.at > committed + bound]
    # One on each connection may have been on its way.
    assert len(late) <= CONNECTIONS, late
    kept = shop.value("select count(*) from marketing_automation.message where smtp_reply = 'address suppressed: hard_bounce'")
    assert kept > CROWD / 3 and kept == 2 * CROWD - len(sink.mails)
    assert shop.value("select max(attempts) from marketing_automation.message") == 1


def test_nothing_claimed_leaves_after_its_address_has_bounced(shop, sink, cluster):
    with cluster.having(marketing_automation__smtp_connections=CONNECTIONS):
        bounce_while_claimed(shop, sink, 0)


def test_nothing_claimed_by_a_mailer_leaves_a_second_after_its_address_has_bounced(bare_shop, sink, start_mailer):
    bare_shop.setting("smtp_connections", str(CONNECTIONS))
    start_mailer(bare_shop)
    bounce_while_claimed(bare_shop, sink, 1)
