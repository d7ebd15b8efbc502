"""A year of the shop within minutes: the campaigns of docs/recipes.md on a server whose clock is set forward eight hours at a time, sent by the
real worker to a real SMTP server."""

import datetime
import math
import os
import pathlib
import re
import shutil

from demo.screen import note, step, title
from harness import Clock, Cluster, SmtpSink, wait_until
from harness.installation import PG_CONFIG, Installation, run_logged
from harness.paths import ROOT, TARGET, ask

HERE = pathlib.Path(__file__).parent
DATABASE = "shop"
BEGIN = datetime.datetime(2030, 1, 1, tzinfo=datetime.timezone.utc)
# In each time zone of the customers one of these falls into working hours, and one into the first hours of a day.
STEP = datetime.timedelta(hours=8)
CUSTOMERS = 300
EXAMPLE = re.compile(r"^```sql\n(.*?)^```\n", re.M | re.S)
# Of the recipes, what defines them: not the few rows that they show something of, nor what they run.
DEFINES = re.compile(
    r"create |insert into marketing_automation\.|select marketing_automation\.(register_model|create_scenario|add_activity)\("
)


def play(days):
    """Plays so many days, and says what happened in each campaign."""
    title("marketing_automation: the campaigns of docs/recipes.md in a simulated year")
    _build()
    clock, sink = Clock((BEGIN - datetime.datetime.now(datetime.timezone.utc)).total_seconds()), SmtpSink().start()
    cluster = Cluster(
        preload="marketing_automation",
        environment=clock.environment,
        settings={
            "marketing_automation.email_from": "The Shop <hello@shop.example>",
            "marketing_automation.automation_base": "http://127.0.0.1:9",
            "marketing_automation.smtp_url": sink.url,
        },
    )
    try:
        with step(f"A throw-away {ask(PG_CONFIG, 'version').partition(' (')[0]} on which it is 1 January 2030"):
            cluster.start()
            cluster.query(f"create database {DATABASE}")
        with step(f"The campaigns of docs/recipes.md, {CUSTOMERS} customers") as show:
            show(", ".join(_define(cluster)))
        _live(cluster, sink, clock, days)
        _report(cluster)
    except Exception:
        shutil.copy(cluster.log, TARGET / "demo" / "server.log")
        raise
    finally:
        cluster.destroy()
        clock.remove()


def statements():
    """The statements of docs/recipes.md that define tables and campaigns, in their order."""
    found = []
    for example in EXAMPLE.findall((ROOT / "docs" / "recipes.md").read_text()):
        # A statement ends with a line; functions have dollar quotes around lines that do, too.
        for statement in re.findall(r"(?:[^;$]|\$\$.*?\$\$|;(?!\n))+;\n", example, re.S):
            text = re.sub(r"^(\s*--[^\n]*\n)*\s*", "", statement)
            if DEFINES.match(text):
                found.append(text)
    return found


def _build():
    log = TARGET / "demo" / "build.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("")
    with step("Build the extension (some minutes the first time)"):
        Installation().use().install(run_logged(log), "debug")


def _define(cluster):
    cluster.query("create extension marketing_automation", dbname=DATABASE)
    cluster.psql("set client_min_messages = error;\n" + "".join(statements()), dbname=DATABASE)
    cluster.psql(file=HERE / "year.sql", dbname=DATABASE, options=("-v", f"customers={CUSTOMERS}"))
    names = [name for (name,) in cluster.query("select name from marketing_automation.scenario order by id", dbname=DATABASE)]
    cluster.psql("set client_min_messages = error; select marketing_automation.run(name) from marketing_automation.scenario", dbname=DATABASE)
    return names


def _live(cluster, sink, clock, days):
    """Sets the clock, lets the shop live, enrolls and processes, and waits until what is due has left: again and again."""
    session = cluster.connect(DATABASE)
    with step(f"{days} days, eight hours at a time") as show, session.cursor() as cursor:
        months = []
        for number in range(days * int(datetime.timedelta(days=1) / STEP)):
            moment = BEGIN + (number + 1) * STEP
            # Not a part of a second before: at midnight that would be another day.
            clock.set(math.ceil((moment - datetime.datetime.now(datetime.timezone.utc)).total_seconds()))
            # What they do at the moment of sending is taken for a robot's: recipients read eight hours later.
            cursor.execute("call shop.read()")
            cursor.execute("call shop.live()")
            cursor.execute("select error from marketing_automation.enroll() where error is not null")
            errors = cursor.fetchall()
            if errors:
                raise RuntimeError(f"enrolling failed at {moment}: {errors[0][0]}")
            cursor.execute("call marketing_automation.process_all_due()")
            wait_until(lambda: _has_left(cursor), 30, 0.01, f"what is due at {moment} to be sent")
            if (moment + STEP).month != moment.month:
                months.append(f"{moment:%B}: {len(sink.mails)}")
        show("mails by the end of " + (", ".join(months) or f"these days: {len(sink.mails)}"))


def _has_left(cursor):
    cursor.execute(
        "select not exists (select from marketing_automation.message where state = 'sending'"
        " or state in ('queued', 'deferred') and next_attempt_at <= clock_timestamp())"
    )
    return cursor.fetchone()[0]


def _report(cluster):
    title("What happened in each campaign")
    for query in (
        "select s.scenario, s.records, c.sent, c.opened, c.clicked, v.conversions, v.value, e.exited, h.held_out\n"
        "  from marketing_automation.scenario_report s\n"
        "  cross join lateral (select sum(sent) as sent, sum(opened) as opened, sum(clicked) as clicked\n"
        "      from marketing_automation.activity_count(s.scenario)) c\n"
        "  cross join lateral (select count(*) as conversions, sum(value) as value from marketing_automation.conversion\n"
        "      where scenario_id = marketing_automation.scenario_id(s.scenario)) v\n"
        "  cross join lateral (select count(*) as exited from marketing_automation.record\n"
        "      where scenario_id = marketing_automation.scenario_id(s.scenario) and end_reason = 'exited') e\n"
        "  cross join lateral (select count(*) as held_out from marketing_automation.record\n"
        "      where scenario_id = marketing_automation.scenario_id(s.scenario) and held_out) h order by s.scenario",
        "select * from marketing_automation.variant_report('news of June')",
        "select * from marketing_automation.uplift_report('news of June')",
        "select * from marketing_automation.uplift_report('win back')",
        "select state, count(*) from marketing_automation.subscription where topic = 'offers' group by 1 order by 1",
        "select extract(month from sent_at) as month, count(*) as birthday_mails from marketing_automation.message m\n"
        "  join marketing_automation.activity a on a.id = m.activity_id and a.name = 'cake' group by 1 order by 1",
    ):
        title(query)
        note(cluster.psql(query, dbname=DATABASE, options=("-P", "footer=off", "-q")))
    for name in ("abandoned cart", "trial ends", "please confirm"):
        title(f"select marketing_automation.tree('{name}')")
        note(cluster.psql(f"select marketing_automation.tree('{name}')", dbname=DATABASE, options=("-At",)).rstrip())
    broken = cluster.query("select promise, count(*) from shop.broken_promise group by 1 order by 1", dbname=DATABASE)
    errors = cluster.query("select last_error from marketing_automation.scenario_status where last_error is not null", dbname=DATABASE)
    if broken or errors:
        raise RuntimeError(f"promises were broken: {broken} {errors}")
    title(
        "Nobody got a mail twice, a birthday wish or the last word of a trial on another day, an offer that was not confirmed, a reminder of a\n"
        "cart that was paid, news outside working hours, or was asked back twice within half a year; each order was confirmed at once."
    )


def days_to_play():
    """DAYS of the environment, a year unless it says otherwise."""
    return int(os.environ.get("DAYS") or 365)
