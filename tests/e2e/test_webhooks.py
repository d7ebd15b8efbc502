"""Webhooks against a real HTTP server with faults: through the worker, and through a mailer."""

import base64
import hashlib
import hmac
import os

import pytest

from harness import wait_until
from harness.http_target import HttpTarget

SECRET = b"a secret of thirty-two characters"


@pytest.fixture
def target():
    target = HttpTarget()
    yield target
    target.close()


@pytest.fixture
def secret(cluster, tmp_path_factory):
    """A file that only the server may read."""
    path = cluster.directory / "hook.secret"
    path.write_text(f"whsec_{base64.b64encode(SECRET).decode()}\n")
    path.chmod(0o600)
    os.chown(path, *cluster.owner())
    yield path
    path.unlink()


def listed(shop, target, **columns):
    columns = {"origin": target.origin, "is_private": True, **columns}
    shop.query(
        f"insert into marketing_automation.webhook_target ({', '.join(columns)}) values ({', '.join(['%s'] * len(columns))})", *columns.values()
    )


def campaign(shop, target, path="/hook/{{ record.name }}"):
    shop.scenario(run=False, mail=False)
    shop.activity("post", action="webhook", url=target.origin + path, subject=None, body='{"name": {{ record.name }}}')
    shop.activity("delivered", parent="post", on_event="webhook_delivered", action=None, subject=None, body=None)
    shop.activity("refused", parent="post", on_event="webhook_failed", action=None, subject=None, body=None)
    shop.query("select marketing_automation.run('welcome')", user=shop.marketer)


def states(shop):
    return dict(shop.query("select key, state || ' ' || coalesce(smtp_reply, '') from marketing_automation.message order by id"))


def wait_for(shop, state, key):
    return wait_until(lambda: states(shop).get(key, "").startswith(state) and states(shop)[key], what=f"{key} to be {state}, not {states(shop)}")


def followed_by(shop, key):
    """What came after the webhook of a row."""
    shop.psql("call marketing_automation.process_all_due()")
    return shop.value(
        "select string_agg(a.name, ' ') from marketing_automation.record_activity ra join marketing_automation.activity a on a.id = ra.activity_id "
        "join marketing_automation.record r on r.id = ra.record_id where r.key = %s and a.name <> 'post' and ra.state = 'done'",
        key,
    )


def test_each_answer_has_its_consequence_and_retries_are_known_by_their_id(shop, sink, target, secret):
    faults = {
        "once": iter([500, 200]),
        "moved": iter([(302, {"location": f"{target.origin}/elsewhere"})]),
        "wrong": iter([422]),
        "busy": iter([(503, {"retry-after": "1"}), 200]),
        "endless": iter(["endless"]),
    }
    target.answer = lambda call: next(faults.get(call.path.rpartition("/")[2], iter([])), 204)
    listed(shop, target, secret_file=str(secret))
    shop.customers("fine", "once", "moved", "wrong", "endless", "busy")
    campaign(shop, target)
    shop.wait_for_worker()
    shop.tick()
    assert wait_for(shop, "sent", "1") == "sent 204 No Content"
    assert wait_for(shop, "deferred", "2") == "deferred 500 Internal Server Error"
    assert wait_for(shop, "failed", "3") == "failed 302 Found: redirects are not followed"
    assert wait_for(shop, "failed", "4") == "failed 422 Unprocessable Entity"
    assert wait_for(shop, "sent", "5") == "sent 200 OK"
    wait_until(lambda: shop.retry_now() or states(shop)["2"].startswith("sent") and states(shop)["6"].startswith("sent"), what="the retries")
    # Asked for by Retry-After, the second attempt may have been made before anybody looked.
    assert len(target.to("/hook/busy")) == 2 and not target.to("/elsewhere")
    fine = target.to("/hook/fine")[0]
    assert fine.body == {"name": "fine"} and fine.headers["content-type"] == "application/json"
    for call in target.calls:
        signed = f"{call.headers['webhook-id']}.{call.headers['webhook-timestamp']}.{call.text}".encode()
        expected = base64.b64encode(hmac.new(SECRET, signed, hashlib.sha256).digest()).decode()
        assert call.headers["webhook-signature"] == f"v1,{expected}"
    first, second = target.to("/hook/once")
    assert first.headers["webhook-id"] == second.headers["webhook-id"] != fine.headers["webhook-id"] and first.text == second.text
    assert len({call.headers["webhook-id"] for call in target.calls}) == 6
    assert [followed_by(shop, str(key)) for key in range(1, 7)] == ["delivered", "delivered", "refused", "refused", "delivered", "delivered"]
    assert not sink.mails


def test_a_target_that_is_gone_silent_or_out_of_bounds_stops_neither_mails_nor_others(shop, sink, target):
    other, public = HttpTarget(), HttpTarget()
    try:
        target.answer = lambda call: 410
        other.answer = lambda call: "silence"
        listed(shop, target, connections=1)
        listed(shop, other, timeout="500 milliseconds")
        listed(shop, public, is_private=False)
        shop.customers(*(f"c{number}" for number in range(1, 4)))
        campaign(shop, target)
        shop.activity("silent", action="webhook", url=f"{other.origin}/", subject=None, body=None)
        shop.activity("public", action="webhook", url=f"{public.origin}/", subject=None, body=None)
        shop.activity("mail", subject="Hello")
        shop.wait_for_worker()
        shop.tick()
        sink.wait_for(3)
        of_target = "select count(*) from marketing_automation.message where target = %s and state in ('failed', 'suppressed')"
        wait_until(lambda: shop.value(of_target, target.origin) == 3, what=f"the end of all, not {states(shop)}")
        status = "select state, disabled_because from marketing_automation.webhook_target_status where origin = %s"
        assert shop.query(status, target.origin) == [("disabled", "it answered 410 Gone")]
        wait_until(lambda: shop.query(status, other.origin) == [("out of reach", None)], what="the silent one to be noticed")
        assert "no answer within 0.5 s" in shop.value("select message from marketing_automation.health() where name = 'webhook_targets'")
        # Listed as a public one, it is not connected to.
        said = "select distinct smtp_reply from marketing_automation.message where target = %s and state = 'deferred'"
        reply = wait_until(lambda: shop.query(said, public.origin), what="it to be refused")
        assert reply == [("127.0.0.1 is at 127.0.0.1, a loopback or private address, where webhooks do not go",)]
        assert not public.calls
    finally:
        other.close()
        public.close()


def test_a_mailer_posts_what_the_worker_would(bare_shop, target, start_mailer):
    listed(bare_shop, target)
    bare_shop.customers(*(f"c{number}" for number in range(1, 51)))
    campaign(bare_shop, target, "/hook")
    start_mailer(bare_shop)
    bare_shop.tick()
    wait_until(lambda: set(bare_shop.messages().values()) == {"sent"} and len(target.calls) == 50, what="all to be delivered")
    assert {call.body["name"] for call in target.calls} == {f"c{number}" for number in range(1, 51)}
    assert bare_shop.value("select taken_today from marketing_automation.webhook_target_status") == 50


def test_nothing_is_posted_while_a_staging_mailbox_is_set(shop, sink, target, cluster):
    with cluster.having(marketing_automation__staging_mailbox="stage@shop.example"):
        wait_until(lambda: "all mails go to stage@shop.example" in cluster.log_text(), what="the mailer to say so")
        listed(shop, target)
        shop.customers("c1")
        campaign(shop, target)
        shop.activity("mail", subject="Hello")
        shop.tick()
        assert sink.wait_for(1)[0].recipients == ["stage@shop.example"]
        said = "select smtp_reply from marketing_automation.message where target = %s and state = 'sent'"
        reply = wait_until(lambda: shop.value(said, target.origin), what="the webhook to be dealt with")
        assert reply == "not posted: marketing_automation.staging_mailbox is set"
        assert "delivered" in followed_by(shop, "1").split() and not target.calls
