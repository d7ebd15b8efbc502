"""Readers who click and open all the time, and remember which hits were answered."""

import http.client
import threading

from harness import wait_until

TOKENS = """
    select marketing_automation.sign_token(k.kind, n, 1, case k.kind when 'email_clicked' then %s end)
    from generate_series(1, %s) n, unnest(array['email_clicked', 'email_opened']) k (kind) order by n, k.kind"""
RECORDED = """
    select count(distinct record_id) filter (where kind = 'email_clicked') + count(distinct record_id) filter (where kind = 'email_opened'),
           count(*)
    from (select kind, record_id from marketing_automation.event union all select kind, record_id from marketing_automation.event_inbox) e"""


class Readers:
    """Each token is used once; `answered` are those whose answer came."""

    def __init__(self, shop, ports, threads=4, tokens=40_000):
        shop.query("select marketing_automation.tracking_keys()")
        link = shop.value("select id from marketing_automation.link_ids(array['https://shop.example/'])")
        paths = [row[0] for row in shop.query(TOKENS, link, tokens)]
        self.shop = shop
        self.answered = [0] * threads
        self.refused = [0] * threads
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._read, args=(number, ports[number % len(ports)], paths[number::threads]))
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
        start = sum(self.answered)
        wait_until(lambda: sum(self.answered) >= start + more, what=f"{more} more answers")

    def check(self):
        """Every answered hit is recorded exactly once. A hit whose answer was lost on its way may be recorded too."""
        answered = sum(self.answered)
        wait_until(lambda: self.shop.query(RECORDED)[0][0] >= answered, what=f"{answered} answered hits in the database")
        wait_until(lambda: self.shop.value("select count(*) from marketing_automation.event_inbox") == 0, what="all to be applied")
        distinct, rows = self.shop.query(RECORDED)[0]
        assert rows == distinct

    def _read(self, number, port, tokens):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        for at, token in enumerate(tokens):
            if self._stop.is_set():
                return
            try:
                # The link comes first in each pair of tokens; which kind a token is of, the proxy tells by the path.
                connection.request("GET", ("/c/" if self._is_click(number, at) else "/o/") + token)
                answer = connection.getresponse()
                answer.read()
                if answer.status in (200, 302):
                    self.answered[number] += 1
                elif answer.status == 503:
                    assert answer.headers["Retry-After"]
                    self.refused[number] += 1
                else:
                    raise AssertionError(f"{answer.status} for a good token")
            except (OSError, http.client.HTTPException):
                # The proxy is gone for the moment.
                connection.close()
                self._stop.wait(0.05)

    def _is_click(self, number, at):
        return (number + at * len(self._threads)) % 2 == 0
