"""The mailer, the server and the SMTP server die at random moments of a campaign, and every mail is accounted for."""

import os
import random
import re
import signal
from collections import Counter

import psycopg2
from e2e.shop import TABLES, Shop, sending_to

from harness import Cluster, SmtpSink, wait_until

# In each half of the campaign.
MAILS = int(os.environ.get("CRASH_MAILS") or 10_000)
MOMENTS = max(20, MAILS // 200)
MESSAGE_ID = re.compile(rb"^Message-ID: *(\S+)", re.M | re.I)


def test_every_mail_of_a_campaign_is_accounted_for_whatever_dies():
    seed = int(os.environ.get("CRASH_SEED") or random.randrange(2**32))
    print(f"CRASH_SEED={seed}")
    dice = random.Random(seed)
    sink = SmtpSink().start()
    cluster = Cluster(preload="marketing_automation", settings=sending_to(sink)).start()
    cluster.query("create database shop")
    shop = Shop(cluster, "shop")
    shop.psql(TABLES.format(database="shop", role=shop.marketer, tracking=shop.tracking))
    shop.crowd(2 * MAILS)
    try:
        for in_doubt, first in (("hold", 1), ("resend", MAILS + 1)):
            sink.clear()
            cluster.set(marketing_automation__in_doubt=in_doubt)
            shop.scenario(in_doubt, domain=f"self.id between {first} and {first + MAILS - 1}")
            shop.tick()
            disturb(dice, shop, sink)
            wait_until(lambda: all_ended(shop), 120, 0.2, "all mails to end")
            account(shop, sink, in_doubt)
    finally:
        sink.refuse()
        cluster.destroy()


def disturb(dice, shop, sink):
    """Something dies, again and again, while mails arrive; each time it is brought back."""
    for moment in range(MOMENTS):
        # So many of the mails that are left, that the moments spread over the campaign.
        arrived = len(sink.mails) + dice.randrange(2 * MAILS // MOMENTS)
        wait_until(lambda arrived=arrived: len(sink.mails) >= arrived or all_ended(shop), 60, 0.05, "mails to arrive")
        match dice.choices(("mailer", "server", "smtp"), (2, 1, 3))[0]:
            case "mailer":
                if pid := mailer(shop):
                    os.kill(pid, signal.SIGKILL)
                    wait_until(lambda pid=pid: mailer(shop) not in (None, pid), 60, 0.02, "another mailer")
            case "server":
                shop.cluster.restart("immediate")
            case "smtp":
                sink.refuse()
                sink.start()


def mailer(shop):
    """The mailer's process; None while there is none, as the server recovers."""
    try:
        return shop.worker()
    except psycopg2.DatabaseError:  # not always an OperationalError, when the server goes in the middle of the query
        return None


def all_ended(shop):
    """Whether no mail is under way; those that wait for another attempt need not wait long."""
    shop.query("update marketing_automation_internal.outbox set due_at = now() where state = 'queued' and due_at > now()")
    shop.query("select marketing_automation_internal.notify_mailer()")
    return not shop.value("select count(*) from marketing_automation_internal.outbox where state <> 'in_doubt'")


def account(shop, sink, scenario):
    """Holds what arrived against what the database says."""
    said = shop.query(
        """select m.email, m.state, m.attempts,
                  (select count(*) from marketing_automation.delivery_attempt t where t.message_id = m.id and t.state in ('sent', 'in_doubt'))
           from marketing_automation.message m
           join marketing_automation.activity a on a.id = m.activity_id
           join marketing_automation.scenario s on s.id = a.scenario_id
           where s.name = %s""",
        scenario,
    )
    arrived = Counter(mail.recipients[0] for mail in sink.mails)
    ids = {mail.recipients[0]: MESSAGE_ID.search(mail.raw)[1] for mail in sink.mails}
    assert len(said) == MAILS
    assert {state for _, state, _, _ in said} <= {"sent", "in_doubt"}
    print(scenario, Counter(state for _, state, _, _ in said), "arrived", Counter(arrived.values()))
    for email, state, attempts, possible in said:
        lost = state == "sent" and not arrived[email]
        assert not lost, f"{email} is lost after {attempts} attempts"
        assert arrived[email] <= possible, f"{email} arrived {arrived[email]} times, {possible} attempts may have sent it"
    # The same mail twice has the same id, and no other mail has it.
    assert len({MESSAGE_ID.search(mail.raw)[1] for mail in sink.mails}) == len(set(ids.values())) == len(arrived)
    if scenario == "hold":
        assert max(arrived.values()) == 1
