"""Two mailers, the worker, the server and the SMTP server die at random moments of a campaign, and every mail is accounted for."""

import os
import random
import signal
from collections import Counter

import psycopg2
from e2e.shop import TABLES, Shop, sending_to
from e2e.test_crash import MESSAGE_ID

from harness import Cluster, Mailer, SmtpSink, wait_until

# CRASH_MAILS=20000 for a whole campaign.
MAILS = int(os.environ.get("CRASH_MAILS") or 4000)
MOMENTS = max(20, MAILS // 200)
# With it three mails were in doubt three times: twice as their sender died, once as the SMTP server did.
SEED = 7919
# For a machine that others use: what is waited for is a state.
PATIENCE = 300


def test_every_mail_is_accounted_for_whatever_dies():
    seed = int(os.environ.get("CRASH_SEED") or SEED)
    print(f"CRASH_SEED={seed}")
    dice = random.Random(seed)
    sink = SmtpSink().start()
    cluster = Cluster(preload="marketing_automation", settings=sending_to(sink)).start()
    cluster.query("create database shop")
    shop = Shop(cluster, "shop")
    shop.psql(TABLES.format(database="shop", role=shop.marketer, tracking=shop.tracking))
    shop.crowd(MAILS)
    mailers = Mailers(shop)
    try:
        shop.scenario()
        shop.tick()
        for _ in range(MOMENTS):
            arrived = len(sink.mails) + dice.randrange(2 * MAILS // MOMENTS)
            mailers.wait_until(lambda arrived=arrived: len(sink.mails) >= arrived or ended(shop), "mails to arrive")
            match dice.choices(("mailer", "worker", "server", "smtp"), (4, 1, 1, 2))[0]:
                case "mailer":
                    mailers.kill(dice.choice(("one", "two")))
                case "worker":
                    if pid := asked(shop.worker):
                        os.kill(pid, signal.SIGKILL)
                        # All sessions end with it.
                        wait_until(lambda: asked(shop.worker) not in (None, pid), PATIENCE, what="the server to recover")
                case "server":
                    cluster.restart("immediate")
                case "smtp":
                    sink.refuse()
                    sink.start()
        mailers.wait_until(lambda: ended(shop), "all mails to end")
        account(shop, sink)
    finally:
        mailers.stop()
        sink.refuse()
        cluster.destroy()


class Mailers:
    """Two mailers that are started again whenever they have ended, as by systemd."""

    def __init__(self, shop):
        self._url = shop.mailer_url()
        self._running = {name: self._start(name) for name in ("one", "two")}

    def _start(self, name):
        return Mailer(self._url, name).start(wait=False)

    def kill(self, name):
        self._running[name].kill()
        self._revive()

    def _revive(self):
        for name, mailer in self._running.items():
            # One also ends by itself where the session of its forerunner is still there.
            if mailer.process.poll() is not None:
                mailer.stop()
                self._running[name] = self._start(name)

    def wait_until(self, condition, what):
        def met():
            self._revive()
            return condition()

        wait_until(met, PATIENCE, 0.05, what)

    def stop(self):
        for mailer in self._running.values():
            mailer.stop()


def asked(question):
    """What the server answers; None while it is away."""
    try:
        return question()
    except psycopg2.DatabaseError:
        return None


def ended(shop):
    """Whether no mail is under way. Those that wait for another attempt need not wait long, and a person sends those that are held."""

    def look():
        states = dict(shop.query("select state, count(*) from marketing_automation_internal.outbox group by state"))
        if set(states) == {"in_doubt"}:
            shop.query("select marketing_automation.retry(id) from marketing_automation.message where state = 'in_doubt'")
        elif "queued" in states:
            shop.query("update marketing_automation_internal.outbox set due_at = now() where state = 'queued' and due_at > now()")
        return not states

    return asked(look)


def account(shop, sink):
    """Every mail was sent; one came no more often than attempts may have sent it, and is the same mail then."""
    said = shop.query(
        """select m.email, m.state, m.attempts,
                  (select count(*) from marketing_automation.delivery_attempt t where t.message_id = m.id and t.state in ('sent', 'in_doubt'))
           from marketing_automation.message m""")  # fmt: skip
    arrived = Counter(mail.recipients[0] for mail in sink.mails)
    doubts = shop.value("select count(*) from marketing_automation.delivery_attempt where state = 'in_doubt'")
    print(f"{len(said)} mails, {doubts} times in doubt, arrived so often: {dict(Counter(arrived.values()))}")
    assert Counter(state for _, state, _, _ in said) == {"sent": MAILS}
    lost = [(email, attempts) for email, _, attempts, _ in said if not arrived[email]]
    assert not lost, lost[:5]
    often = [(email, arrived[email], possible) for email, _, _, possible in said if arrived[email] > possible]
    assert not often, often[:5]
    ids = {(mail.recipients[0], MESSAGE_ID.search(mail.raw)[1]) for mail in sink.mails}
    assert len(ids) == len({id_ for _, id_ in ids}) == MAILS
