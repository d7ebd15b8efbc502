"""What must not be mailed any more is not, from the moment that the client knows its commit."""

import pytest

from harness import wait_until

CONNECTIONS = 4
# Each forbids mails that the mailer has claimed, and gives their addresses.
WAYS = {
    "block": """
        with claimed as materialized ({claimed})
        select c.email from claimed c, marketing_automation.block(c.uuid)""",
    "unsubscribe": """
        with claimed as materialized ({claimed}), gone as (
            insert into marketing_automation.unsubscription (party, scenario_id, created_at)
            select c.party, c.scenario_id, now() from claimed c)
        select c.email from claimed c""",
    "suppress": """
        with claimed as materialized ({claimed})
        select c.email from claimed c, marketing_automation.suppress(c.email)""",
    "leave as another row of that address": """
        with claimed as materialized ({claimed})
        select c.email from claimed c, marketing_automation.unsubscribe_address(c.email, 'welcome')""",
    "leave the topic": """
        with claimed as materialized ({claimed})
        select c.email from claimed c, marketing_automation.unsubscribe_from(c.party, 'news')""",
    "leave the topic by address": """
        with claimed as materialized ({claimed})
        select c.email from claimed c, marketing_automation.unsubscribe_address_from(c.email, 'news')""",
    "stop": """
        with claimed as materialized ({claimed})
        select c.email from claimed c, (select from marketing_automation.stop('welcome')) as stopped""",
}
CLAIMED = """
    select o.email, r.uuid, r.party, r.scenario_id from marketing_automation_internal.outbox o
    join marketing_automation.record r on r.id = o.record_id where o.state = 'sending'"""


def about_news(shop):
    """A topic to leave."""
    shop.query("insert into marketing_automation.topic (name) values ('news')")
    shop.query("update marketing_automation.scenario set topic = 'news' where name = 'welcome'")


@pytest.fixture
def few_connections(cluster):
    """So few that a good part of a claim waits for one."""
    with cluster.having(marketing_automation__smtp_connections=CONNECTIONS):
        yield


@pytest.mark.parametrize("way", WAYS)
def test_nothing_claimed_leaves_after_the_commit_that_forbids_it(shop, sink, few_connections, way):
    shop.crowd(1000)
    sink.delay(0.05)
    shop.scenario()
    about_news(shop)
    shop.tick()
    # By then a claim is as large as what leaves within a second.
    sink.wait_for(100)
    forbidden = {email for (email,) in shop.query(WAYS[way].format(claimed=CLAIMED))}
    gone = len(sink.mails)
    assert len(forbidden) > 2 * CONNECTIONS
    sink.delay(0)
    if way == "stop":
        wait_until(lambda: "sending" not in shop.messages().values(), what="the claims to be given back")
    else:
        wait_until(lambda: set(shop.messages().values()) == {"sent", "suppressed"}, 60, what="all to end")
    # One on each connection may have been on its way.
    late = [mail for mail in sink.mails[gone:] if mail.recipients[0] in forbidden]
    assert len(late) <= CONNECTIONS, f"{len(late)} of {len(forbidden)}"
    assert way == "stop" or len(sink.mails) >= 1000 - len(forbidden)
    assert shop.value("select max(attempts) from marketing_automation.message") == 1
