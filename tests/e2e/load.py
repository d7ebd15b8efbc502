"""Readers who click and open all the time, and remember which hits were answered."""

import http.client
import threading

from harness import wait_until

TOKENS = """
    select k.kind, n, marketing_automation_internal.sign_token(k.kind, n, 1, case k.kind when 'email_clicked' then %s end)
    from generate_series(1, %s) n, unnest(array['email_clicked', 'email_opened']) k (kind) order by n, k.kind"""
RECORDED = """
    select kind, record_id from marketing_automation.event union all select kind, record_id from marketing_automation_internal.event_inbox"""
PATHS = {"email_clicked": "/c/", "email_opened": "/o/"}


class Readers:
    """Each token is used once; `answered` are the hits (kind, record) whose answer came.

    They stay below `rate` hits a second together, so that what they leave behind depends on how long they read, and not
    on how fast the machine is.
    """

    def __init__(self, shop, ports, threads=4, tokens=20_000, rate=300):
        shop.query("select marketing_automation.tracking_keys()")
        link = shop.value("select id from marketing_automation_internal.link_ids(array['https://shop.example/'])")
        hits = shop.query(TOKENS, link, tokens)
        self.shop = shop
        self.answered = [[] for _ in range(threads)]
        self.refused = [0] * threads
        self._pause = threads / rate
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._read, args=(number, ports[number % len(ports)], hits[number::threads]))
            for number in range(threads)
        ]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error):
        self.stop()

    def stop(self):
        """Ends reading, after the requests under way."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def wait_for(self, more):
        """Waits until so many more hits were answered."""
        enough = self._count() + more
        wait_until(lambda: self._count() >= enough, what=f"{more} more answers")

    def check(self):
        """Every answered hit is recorded exactly once. A hit whose answer was lost on its way may be recorded too."""
        answered = {hit for hits in self.answered for hit in hits}
        wait_until(lambda: answered <= set(self.shop.query(RECORDED)), what=f"{len(answered)} answered hits in the database")
        wait_until(lambda: self.shop.value("select count(*) from marketing_automation_internal.event_inbox") == 0, what="all to be applied")
        recorded = self.shop.query(RECORDED)
        assert len(recorded) == len(set(recorded)), "hits were recorded twice"

    def _count(self):
        return sum(len(hits) for hits in self.answered)

    def _read(self, number, port, hits):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        for kind, record, token in hits:
            if self._stop.wait(self._pause):
                return
            try:
                connection.request("GET", PATHS[kind] + token)
                answer = connection.getresponse()
                answer.read()
                if answer.status in (200, 302):
                    self.answered[number].append((kind, record))
                elif answer.status == 503:
                    assert answer.headers["Retry-After"]
                    self.refused[number] += 1
                else:
                    raise AssertionError(f"{answer.status} for a good token")
            except (OSError, http.client.HTTPException):
                # The proxy is gone for the moment.
                connection.close()
                self._stop.wait(0.05)
