"""A database whose transactions are read-only by default: what a person sets, to be careful, is not for the mailer and the proxy."""

import os
import signal

import requests
from e2e.mails import links, open_image, unsubscribe_url

from harness import Proxy, wait_until


def test_mailer_and_proxy_write_where_transactions_are_read_only_by_default(shop, sink, cluster, proxy_port):
    shop.customers("Ann")
    shop.scenario(body='<p><a href="https://shop.example/a">a</a> <a href="unsubscribe">leave</a></p>')
    pid = shop.wait_for_worker()
    shop.query(f'alter database "{shop.database}" set default_transaction_read_only = on')
    os.kill(pid, signal.SIGTERM)
    wait_until(lambda: shop.worker() not in (None, pid), what="another worker")
    # A person, or the role of pg_cron's job, says that they mean it.
    person = shop.connect(options="-c default_transaction_read_only=off")
    with person.cursor() as cursor:
        cursor.execute("select * from marketing_automation.enroll()")
        cursor.execute("call marketing_automation.process_all_due()")
    person.close()
    mail = sink.wait_for(1)[0]
    shop.wait_for_message("ann@example.org", "sent")
    proxy = Proxy(shop.tracking_url(), port=proxy_port).start()
    try:
        assert requests.get(links(mail)[0], allow_redirects=False).status_code == 302
        assert requests.get(open_image(mail)).status_code == 200
        wait_until(lambda: shop.value("select clicked_at is not null and opened_at is not null from marketing_automation.record_activity"), what="the events")
        assert requests.post(unsubscribe_url(mail), data={"List-Unsubscribe": "One-Click"}).status_code == 200
        assert shop.value("select blocked_at is not null from marketing_automation.record")
    finally:
        proxy.stop()
