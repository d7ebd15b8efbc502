"""What features of a campaign add to a mail: processor time of the session that processes and claims, each in turns with nothing used."""

import concurrent.futures
import pathlib
import statistics

from bench.backlog import claim

ROUNDS = 3
CLAIMERS = 3
HOT = "vacuum analyze " + ", ".join(f"marketing_automation_internal.{table}" for table in ("record", "waiting_activity", "outbox", "capped_mail"))
# Asked, and true for nobody.
NEVER = "$$self.city = 'nowhere'$$"
# Arguments of the scenario; what they need; what takes that back, as the next scenario is to be without.
FEATURES = {
    "nothing, once more": ("", "", ""),
    "a send window": (
        ", send_window => 'always'",
        "insert into marketing_automation.send_window (name) values ('always')",
        "update marketing_automation.scenario set send_window = null; delete from marketing_automation.send_window",
    ),
    "a class with a cap": (
        "",
        "insert into marketing_automation.frequency_cap (message_class, mails, per) values ('marketing', 1000, '1 day')",
        "delete from marketing_automation.frequency_cap",
    ),
    "a goal": (f", goal => {NEVER}", "", ""),
    "an exit condition": (f", exit_condition => {NEVER}", "", ""),
    "a goal and a hold-out": (f", goal => {NEVER}, holdout => 10", "", ""),
}

DEFINE = """
select marketing_automation.create_scenario('{name}', model => 'customer', domain => '{domain}'{arguments});
select marketing_automation.add_activity('{name}', 'hello', subject => 'Hello {{{{ record.name }}}}', body => '<p>Hello</p>');
select marketing_automation.run('{name}');
"""

# Records as they are when all but a few have converted, or their windows are over; of those few one in ten has reached the goal.
SWEPT = """
select marketing_automation.create_scenario('{name}', model => 'customer', domain => 'false', goal => $$self.id / {one_in} % 10 = 0$$);
select marketing_automation.add_activity('{name}', 'hello', action => null);
select marketing_automation.run('{name}');
insert into marketing_automation_internal.record (id, scenario_id, key, party, uuid, entered_at)
select n.id, marketing_automation.scenario_id('{name}'), n.key, n.key, marketing_automation_internal.new_record_uuid(n.id), now()
from (select nextval('marketing_automation.record_id_seq') as id, c.id::text as key from shop.customer c where c.id <= {rows}) n;
insert into marketing_automation_internal.open_goal (scenario_id, record_id, until)
select r.scenario_id, r.id, now() + interval '30 days' from marketing_automation_internal.record r
where r.scenario_id = marketing_automation.scenario_id('{name}') and r.key::bigint % {one_in} = 0;
"""

# Each of these has had a mail within the day, and may have one more.
CAP = "insert into marketing_automation.frequency_cap (message_class, mails, per) values ('marketing', 2, '1 day')"
HAD_ONE = """
insert into marketing_automation_internal.capped_mail (message_id, attempt, person, message_class, at)
select -n, 1, marketing_automation_internal.person_hash(n::text, null), 'marketing', now() - interval '1 hour'
from generate_series({first}, {last}) n;
"""


def per_mail(results, cluster, database, mails):
    """Processes and claims a mail for each of as many records, with each feature and without."""
    connection = cluster.connect(database)
    for feature, (arguments, needs, takes_back) in FEATURES.items():
        plain, its = [], []
        for number in range(ROUNDS):
            plain.append(_cost_of_mail(cluster, database, connection, f"without {feature} {number}", "", mails))
            cluster.psql(needs, dbname=database)
            its.append(_cost_of_mail(cluster, database, connection, f"with {feature} {number}", arguments, mails))
            cluster.psql(takes_back, dbname=database)
        plain, its = statistics.median(plain), statistics.median(its)
        results.rate(f"process and claim, {feature}", 1 / its, 1 / plain, "nothing used", "/s of CPU")
        results.note(f"{its * 1e6:.1f} µs a mail, {(its - plain) * 1e6:+.1f}")
    connection.close()


def sweep(results, cluster, database, rows):
    """Looks for the goal of records of which one in a hundred can still convert, beside as many in a scenario of their own."""
    connection = cluster.connect(database)
    seconds = {}
    # The first one compiles the functions of a session, which takes longer than it has records.
    for name, size, one_in in (("first records", 100, 1), ("few records", rows // 100, 1), ("many records", rows, 100)):
        cluster.psql(SWEPT.format(name=name, rows=size, one_in=one_in), dbname=database)
        cluster.query("vacuum analyze", dbname=database)
        with connection.cursor() as cursor:
            before = _processor_time(connection)
            cursor.execute("select marketing_automation.apply_goals(%s)", (name,))
            seconds[name] = _processor_time(connection) - before
            looked_at = cursor.fetchone()[0]
            assert looked_at == size // one_in, f"{looked_at} looked at, not {size // one_in}"
            converted = cluster.value(
                "select count(*) from marketing_automation.conversion where scenario_id = marketing_automation.scenario_id(%s)",
                (name,),
                dbname=database,
            )
            assert converted == size // one_in // 10, f"{converted} have converted"
        cluster.psql(f"select marketing_automation.stop('{name}')", dbname=database)
    connection.close()
    open_records = rows // 100
    results.rate(
        f"sweep {rows:,} records, 1 % of them open",
        open_records / seconds["many records"],
        open_records / seconds["few records"],
        f"{open_records:,} records",
        "/s of CPU",
    )


def cap(results, cluster, database, people, mails):
    """Three sessions claim three mails to each of some people who may have one more: when a cap has counted only them, and when it has
    counted everybody."""
    cluster.psql(CAP, dbname=database)
    cluster.psql(HAD_ONE.format(first=people - mails + 1, last=people), dbname=database)
    few, _ = _claim_thrice(cluster, database, "few people", people - mails, mails)
    cluster.psql(HAD_ONE.format(first=1, last=people - mails), dbname=database)
    many, claimed = _claim_thrice(cluster, database, "all people", people - 2 * mails, mails)
    results.rate(f"claim under a cap of {people:,} people", 1 / many, 1 / few, f"of {mails:,} people", "/s of CPU")
    results.note(f"nobody got more than the cap from three who claimed at once: {', '.join(map(str, claimed))} mails")


def _claim_thrice(cluster, database, name, before, people):
    """Three scenarios over the people after `before`: processor time a mail to claim them, of which one to each leaves, and how many each
    session got."""
    for number in range(3):
        domain = f"self.id > {before} and self.id <= {before + people}"
        cluster.psql(DEFINE.format(name=f"{name} {number}", domain=domain, arguments=""), dbname=database)
        cluster.query("select * from marketing_automation.enroll(%s)", (f"{name} {number}",), dbname=database)
    cluster.psql("call marketing_automation.process_all_due()", dbname=database)
    cluster.query("vacuum analyze", dbname=database)
    with concurrent.futures.ThreadPoolExecutor(CLAIMERS) as pool:
        claimers = [pool.submit(_claim_all, cluster, database) for _ in range(CLAIMERS)]
        claimed, seconds = zip(*(claimer.result() for claimer in claimers))
    least, most = cluster.query(
        """select min(c.mails), max(c.mails)
           from (select count(*) as mails from marketing_automation_internal.capped_mail c
                 where c.person = any (array(
                     select marketing_automation_internal.person_hash(n::text, null) from generate_series(%s, %s) n))
                 group by c.person) c""",
        (before + 1, before + people),
        dbname=database,
    )[0]
    waiting = cluster.value(
        """select count(*) from marketing_automation.message m join marketing_automation.activity a on a.id = m.activity_id
           join marketing_automation.scenario s on s.id = a.scenario_id
           where s.name like %s || ' %%' and m.state in ('queued', 'deferred') and m.next_attempt_at > now() + interval '22 hours'""",
        (name,),
        dbname=database,
    )
    found = (sum(claimed), least, most, waiting)
    assert found == (people, 2, 2, 2 * people), f"(left, least and most a person, waiting) is {found}"
    for number in range(3):
        cluster.psql(f"select marketing_automation.stop('{name} {number}')", dbname=database)
    return sum(seconds) / people / 3, claimed


def _cost_of_mail(cluster, database, connection, name, arguments, mails):
    """Seconds of processor time a mail to process the records of a new scenario, and to claim their mails."""
    cluster.psql(DEFINE.format(name=name, domain=f"self.id <= {mails}", arguments=arguments), dbname=database)
    cluster.query("select * from marketing_automation.enroll(%s)", (name,), dbname=database)
    cluster.query(HOT, dbname=database)
    with connection.cursor() as cursor:
        before = _processor_time(connection)
        cursor.execute("call marketing_automation.process_all_due()")
        seconds = _processor_time(connection) - before
    claimed, more = _claim_all(cluster, database, connection)
    cluster.psql(f"select marketing_automation.stop('{name}')", dbname=database)
    entered, held_out, sent = cluster.query(
        """select count(*), count(*) filter (where r.held_out), count(*) filter (where m.state = 'sent')
           from marketing_automation.record r left join marketing_automation.message m on m.record_id = r.id
           where r.scenario_id = marketing_automation.scenario_id(%s)""",
        (name,),
        dbname=database,
    )[0]
    assert entered == mails and sent == claimed == mails - held_out, f"{entered} entered, {held_out} held out, {sent} sent"
    return (seconds + more) / sent


def _claim_all(cluster, database, connection=None):
    """Claims until nothing is due: how many mails, and the processor time of the claims."""
    own = connection or cluster.connect(database)
    claimed, seconds = 0, 0
    with own.cursor() as cursor:
        while True:
            mails, more = claim(cursor, lambda: _processor_time(own))
            seconds += more
            if not mails:
                break
            claimed += mails
    if own is not connection:
        own.close()
    return claimed, seconds


def _processor_time(connection):
    """Seconds that the session's process has run."""
    return int(pathlib.Path(f"/proc/{connection.info.backend_pid}/schedstat").read_text().split()[0]) / 1e9
