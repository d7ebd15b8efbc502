"""In no time of the length of a cap does anybody get more mails than it allows, whoever sends, dies and tries again."""

import os
import random
import signal
from collections import Counter, defaultdict

from e2e.shop import TABLES, Shop, sending_to
from e2e.test_mailer_crash import PATIENCE, Mailers, asked, ended

from harness import Cluster, SmtpSink, wait_until

PEOPLE = 40
SCENARIOS = 4
MAILS = 2
SECONDS = 4
# A mail is noted when the server has read it, whose sender may have died a moment before.
TOLERANCE = 0.1


def test_nobody_gets_more_than_a_cap_allows_whatever_dies():
    seed = int(os.environ.get("CRASH_SEED") or 4711)
    print(f"CRASH_SEED={seed}")
    dice = random.Random(seed)
    sink = SmtpSink().start()
    cluster = Cluster(preload="marketing_automation", settings=sending_to(sink)).start()
    cluster.query("create database shop")
    shop = Shop(cluster, "shop")
    shop.psql(TABLES.format(database="shop", role=shop.marketer, tracking=shop.tracking))
    shop.crowd(PEOPLE)
    shop.query("insert into marketing_automation.frequency_cap values ('marketing', %s, make_interval(secs => %s))", MAILS, SECONDS)
    # Tried again, for as long as it says so: the mails of ten people.
    sink.answer("c1?@example.org", "450 4.2.1 later")
    sink.delay(0.02)
    mailers = Mailers(shop)
    try:
        for number in range(SCENARIOS):
            shop.scenario(f"scenario {number}")
        shop.tick()
        for moment in range(12):
            # While so many are refused, and some are in doubt, not all can arrive.
            if moment == 6 or len(sink.mails) > PEOPLE * SCENARIOS // 2:
                sink.behave()
            arrived = len(sink.mails) + dice.randrange(1, 2 * PEOPLE * SCENARIOS // 12)
            mailers.wait_until(lambda arrived=arrived: len(sink.mails) >= arrived or ended(shop), "mails to arrive")
            match dice.choices(("mailer", "worker", "server", "smtp"), (4, 1, 1, 2))[0]:
                case "mailer":
                    mailers.kill(dice.choice(("one", "two")))
                case "worker":
                    if pid := asked(shop.worker):
                        os.kill(pid, signal.SIGKILL)
                        wait_until(lambda: asked(shop.worker) not in (None, pid), PATIENCE, what="the server to recover")
                case "server":
                    cluster.restart("immediate")
                case "smtp":
                    sink.refuse()
                    sink.start()
        mailers.wait_until(lambda: ended(shop), "all mails to end")
        assert shop.query("select state, count(*) from marketing_automation.message group by 1") == [("sent", PEOPLE * SCENARIOS)]
        times = defaultdict(list)
        for mail in sink.mails:
            times[mail.recipients[0]].append(mail.at)
        print(f"came so often: {Counter(map(len, times.values()))}")
        assert len(times) == PEOPLE and min(map(len, times.values())) >= SCENARIOS
        gaps = [later - earlier for ats in times.values() for earlier, later in zip(sorted(ats), sorted(ats)[MAILS:], strict=False)]
        assert min(gaps) > SECONDS - TOLERANCE, sorted(gaps)[:10]
    finally:
        mailers.stop()
        sink.refuse()
        cluster.destroy()
