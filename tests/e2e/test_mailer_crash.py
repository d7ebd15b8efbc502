"""Two mailers, the worker, the server and the SMTP server die at random moments of a campaign, and every mail is accounted for."""

import os
import random
import signal
from collections import Counter

import psycopg2
from e2e.shop import TABLES, Shop, sending_to
from e2e.test_crash import MESSAGE_ID

from harness import Cluster, Mailer, SmtpSink, wait_until

# MAILER_MAILS=20000 for the whole campaign.
MAILS = int(os.environ.get("MAILER_MAILS") or 3000)
MOMENTS = 20


def test_every_mail_is_accounted_for_whatever_dies():
    seed = int(os.environ.get("CRASH_SEED") or random.randrange(2**32))
    print(f"CRASH_SEED={seed}")
    dice = random.Random(seed)
    sink = SmtpSink().start()
    cluster = Cluster(preload="marketing_automation", settings=sending_to(sink)).start()
    cluster.query("create database shop")
    shop = Shop(cluster, "shop")
    shop.psql(TABLES.format(database="shop", role=shop.marketer, tracking=shop.tracking))
    shop.crowd(MAILS)
    mailers = {name: Mailer(shop.mailer_url(), name).start() for name in ("one", "two")}
    try:
        shop.scenario()
        shop.tick()
        for _ in range(MOMENTS):
            arrived = len(sink.mails) + dice.randrange(2 * MAILS // MOMENTS)
            wait_until(lambda arrived=arrived: len(sink.mails) >= arrived or ended(shop), 60, 0.01, "mails to arrive")
            match dice.choices(("mailer", "worker", "server", "smtp"), (4, 1, 1, 2))[0]:
                case "mailer":
                    name = dice.choice(sorted(mailers))
                    mailers[name].kill()
                    # Under its name, and at once.
                    mailers[name].stop()
                    mailers[name] = Mailer(shop.mailer_url(), name).start(wait=False)
                case "worker":
                    try:
                        if pid := shop.worker():
                            os.kill(pid, signal.SIGKILL)
                    except (psycopg2.DatabaseError, ProcessLookupError):
                        pass
                    wait_until(lambda: answers(shop), 60, what="the server to recover")
                case "server":
                    cluster.restart("immediate")
                case "smtp":
                    sink.refuse()
                    sink.start()
            for name, mailer in mailers.items():
                # One that could not begin, as its former session was still there, is started again as by systemd.
                if mailer.process.poll() is not None:
                    mailer.stop()
                    mailers[name] = Mailer(shop.mailer_url(), name).start(wait=False)
        wait_until(lambda: ended(shop), 120, 0.2, "all mails to end")
        account(shop, sink)
    finally:
        for mailer in mailers.values():
            mailer.stop()
        sink.refuse()
        cluster.destroy()


def answers(shop):
    try:
        return shop.value("select true")
    except psycopg2.DatabaseError:
        return False


def ended(shop):
    """Whether no mail is under way; those that wait for another attempt need not wait long."""
    try:
        shop.query("update marketing_automation_internal.outbox set due_at = now() where state = 'queued' and due_at > now()")
        return shop.value("select count(*) from marketing_automation_internal.outbox") == 0
    except psycopg2.DatabaseError:
        return False


def account(shop, sink):
    """Every mail was sent; one that came twice was in doubt in between, and is the same mail."""
    assert Counter(shop.messages().values()) == {"sent": MAILS}
    arrived = Counter(mail.recipients[0] for mail in sink.mails)
    assert len(arrived) == MAILS
    doubted = {email for (email,) in shop.query(
        "select distinct m.email from marketing_automation.delivery_attempt a join marketing_automation.message m on m.id = a.message_id "
        "where a.state in ('in_doubt', 'deferred')")}  # fmt: skip
    twice = {email for email, count in arrived.items() if count > 1}
    assert twice <= doubted, sorted(twice - doubted)[:5]
    ids = {(mail.recipients[0], MESSAGE_ID.search(mail.raw)[1]) for mail in sink.mails}
    assert len(ids) == MAILS
    assert shop.value("select count(*) from marketing_automation.delivery_attempt where state = 'in_doubt'") > 0
