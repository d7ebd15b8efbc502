"""The demo's story, step by step."""

import pathlib
import secrets
import shlex
import shutil
from collections import Counter

from demo import inbox as inbox_
from demo import kept
from demo.recipients import Mail
from demo.screen import note, step, title
from harness import Cluster, Mailer, Proxy, free_port, wait_until
from harness.installation import PG_CONFIG, Installation, run_logged
from harness.paths import TARGET, ask, has_extension

HERE = pathlib.Path(__file__).parent
DATABASE = "shop"
# pg_cron ticks once a minute; enrolling and processing may need one tick each.
TICKS = 150


def play(keep):
    """Plays the demo; with `keep`, leaves everything running."""
    title("marketing_automation: a campaign inside the database that already holds the customers")
    installation = _build()
    inbox, cluster, proxy = _start(keep)
    try:
        mailer = _campaign(cluster, inbox, proxy, keep)
    except Exception:
        shutil.copy(cluster.log, TARGET / "demo" / "server.log")
        raise
    _end(keep, installation, cluster, inbox, proxy, mailer)


def _campaign(cluster, inbox, proxy, keep):
    _load(cluster)
    password, other = secrets.token_urlsafe(12), secrets.token_urlsafe(12)
    with step("create extension marketing_automation; roles for the marketer, the proxy and a mailer"):
        cluster.psql(
            file=HERE / "extension.sql", dbname=DATABASE,
            options=("-v", f"tracking_password={password}", "-v", f"mailer_password={other}"),
        )  # fmt: skip
    with step(f"The tracking proxy on port {proxy.port}, as the role that may only record"):
        proxy.set_database(cluster.url(DATABASE, "tracking", password))
        proxy.start()
    with step("A marketing-mailer beside the worker, as from another host, as the role that may only send") as show:
        mailer = Mailer(cluster.url(DATABASE, "mailer", other), "second-host", detached=keep).start()
        show("each mail leaves once: whoever is free claims the next ones")
    with step("Two campaigns in plain SQL, by the marketer: tests/demo/campaign.sql") as show:
        cluster.psql(file=HERE / "campaign.sql", dbname=DATABASE, user="marketing")
        show("welcome (new customers): hello → opened, clicked, not opened")
        show("abandoned order (baskets): reminder in MJML → not clicked")
    _look_ahead(cluster)
    with step("select marketing_automation.schedule_jobs()") as show:
        cluster.psql("select marketing_automation.schedule_jobs()", dbname=DATABASE)
        show("from here on pg_cron does the work once a minute; this script only waits and plays")
    _first_wave(cluster, inbox)
    unsubscribed = _play_recipients(cluster, inbox)
    _follow_ups(cluster, inbox, unsubscribed)
    _report(cluster, inbox, unsubscribed)
    return mailer


def _build():
    """The extension and the proxy without optimisations, which take longer than the demo needs, in an installation of the server that
    is its own."""
    log = TARGET / "demo" / "build.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("")
    with step("Build the extension and the proxy (some minutes the first time)"):
        installation = Installation().use()
        if not has_extension("pg_cron"):
            raise RuntimeError(f"the demo needs pg_cron, which this {ask(PG_CONFIG, 'version')} has not: make demo PG=15")
        installation.install(run_logged(log), "debug")
    return installation


def _start(keep):
    with step("An inbox with a web page: maildev, from npm") as show:
        inbox_.install()
        inbox = inbox_.Inbox(detached=keep).start()
        show(f"SMTP on port {inbox.smtp_port}; read the mails at {inbox.web}")
    proxy_port = free_port()
    cluster = Cluster(
        cron_database=DATABASE,
        detached=keep,
        settings={
            "marketing_automation.email_from": "The Tea Shop <hello@shop.example>",
            "marketing_automation.automation_base": f"http://127.0.0.1:{proxy_port}",
            "marketing_automation.smtp_url": inbox.smtp_url,
            # One each for the worker and the mailer: so few mails would else be gone before the mailer has looked.
            "marketing_automation.smtp_connections": 2,
        },
    )
    with step(f"A throw-away {ask(PG_CONFIG, 'version').partition(' (')[0]} on port {cluster.port}") as show:
        cluster.start()
        show("shared_preload_libraries = 'pg_cron,marketing_automation'")
    return inbox, cluster, Proxy(None, port=proxy_port, detached=keep)


def _load(cluster):
    with step("The shop's own tables, in its own schema") as show:
        cluster.psql(file=HERE / "shop.sql", dbname=DATABASE)
        customers, with_address, languages, orders, baskets = cluster.query(
            """select (select count(*) from shop.customer), (select count(email) from shop.customer),
                      (select count(distinct language) from shop.customer), (select count(*) from shop.orders),
                      (select count(*) from shop.orders where state = 'cart')""",
            dbname=DATABASE,
        )[0]
        show(f"{customers} customers ({with_address} with an address, {languages} languages),")
        show(f"{orders} orders, {baskets} of them still baskets")


def _count(cluster, sql, *arguments):
    return cluster.value(sql, arguments or None, dbname=DATABASE)


def _settled(cluster):
    """Whether nothing is due and nothing is on its way."""
    return _count(
        cluster,
        """select not exists (select from marketing_automation.record_activity where state = 'waiting' and at <= now())
              and not exists (select from marketing_automation.message where state in ('queued', 'sending', 'deferred'))""",
    )


def _look_ahead(cluster):
    """What a marketer looks at before anything leaves; none of it leaves a trace."""
    reader = _count(
        cluster,
        """select id::text from shop.customer where language like 'fr%' and email like '%@%' and newsletter
           and created_at > now() - interval '5 days' order by id limit 1""",
    )
    with step(f"Look before it leaves: preview(), simulate(), for customer {reader}") as show:
        for language in ("fr_CA", "en"):
            subject, text = _ask(
                cluster, "select subject, text from marketing_automation.preview('welcome', 'hello', %s, %s)", reader, language
            )[0]
            show(f"{language:6} {subject}")
            show(f"       {' '.join(line for line in text.split() if line)[:110]} …")
        show("if the mail is opened after ten seconds and clicked after fifteen:")
        for after, activity, detail in _ask(
            cluster,
            """select coalesce(to_char(at - min(at) over (), 'MI:SS'), 'never'), coalesce(activity, ''), detail
               from marketing_automation.simulate('welcome', %s,
                   '[{"activity": "hello", "event": "email_opened", "after": "10 seconds"},
                     {"activity": "hello", "event": "email_clicked", "after": "15 seconds"}]')""",
            reader,
        ):
            show(f"  {after:5}  {activity:10}  {detail}")


def _ask(cluster, sql, *arguments):
    return cluster.query(sql, arguments, dbname=DATABASE, user="marketing")


def _first_wave(cluster, inbox):
    with step("pg_cron enrolls who fits") as show:
        wait_until(
            lambda: _count(cluster, "select count(distinct scenario_id) = 2 from marketing_automation.record"),
            TICKS, 0.5, "both scenarios to be enrolled by pg_cron",
        )  # fmt: skip
        for name, count in cluster.query(
            """select s.name, count(*) from marketing_automation.record r
               join marketing_automation.scenario s on s.id = r.scenario_id group by 1 order by 1 desc""",
            dbname=DATABASE,
        ):
            show(f"{name}: {count} records")
    with step("pg_cron processes what is due, the worker sends") as show:
        wait_until(lambda: inbox.count() and _settled(cluster), TICKS, 0.5, "the first mails")
        seconds = _count(
            cluster,
            "select extract(epoch from max(sent_at) - min(created_at))::float from marketing_automation.message",
        )
        show(f"{inbox.count()} mails arrived over SMTP, within {seconds:.1f} s of being queued")
        for activity, error in cluster.query(
            """select a.name, m.smtp_reply from marketing_automation.message m
               join marketing_automation.activity a on a.id = m.activity_id where m.state = 'failed' order by m.id""",
            dbname=DATABASE,
        ):
            show(f"{activity}: one failed alone: {error}")


def _play_recipients(cluster, inbox):
    with step("Recipients open, click and unsubscribe, by the links in their mails") as show:
        mails = [Mail(message) for message in inbox.mails()]
        times_used = Counter(mail.address.lower() for mail in mails)
        mails = [mail for mail in mails if times_used[mail.address.lower()] == 1]
        welcome = [mail for mail in mails if mail.sender == "hello@shop.example"]
        baskets = [mail for mail in mails if mail.sender == "basket@shop.example"]
        readers, clickers, unsubscribed = welcome[0::3], welcome[1::6], welcome[2]
        deciders, buyer = baskets[0::4], baskets[1]
        for mail in readers:
            mail.open()
        for mail in (*clickers, *deciders):
            mail.click()
        unsubscribed.unsubscribe()
        order = _count(
            cluster,
            """update shop.orders set state = 'placed', updated_at = now() from shop.customer
               where customer.id = orders.customer_id and orders.state = 'cart' and customer.email = %s
               returning orders.id""",
            buyer.address,
        )
        show(f"welcome: {len(readers)} opened it, {len(clickers)} clicked; the first was led to {clickers[0].click()}")
        show(f"abandoned order: {len(deciders)} clicked")
        show(f"{unsubscribed.name} <{unsubscribed.address}> unsubscribed with one click (RFC 8058)")
        show(f"{buyer.name} bought the basket in the shop after all (order {order}): no last call for that one")
    return unsubscribed


def _follow_ups(cluster, inbox, unsubscribed):
    before = inbox.count()
    with step("pg_cron and the worker follow up, each by what they did") as show:
        wait_until(
            lambda: _count(
                cluster,
                """select count(distinct activity_id) = 4 from marketing_automation.message m
                   join marketing_automation.activity a on a.id = m.activity_id where a.on_event is not null""",
            )
            and _settled(cluster),
            TICKS, 0.5, "the follow-ups",
        )  # fmt: skip
        later = [Mail(message) for message in inbox.mails()[before:]]
        show(f"{len(later)} follow-ups arrived")
        if any(mail.address == unsubscribed.address for mail in later):
            raise RuntimeError(f"{unsubscribed.address} had unsubscribed and got another mail")
        show(f"none for {unsubscribed.address}, who had unsubscribed")


def _report(cluster, inbox, unsubscribed):
    title("What was sent")
    alike = {}
    for message in inbox.mails():
        mail = Mail(message)
        alike.setdefault(mail.pattern(), []).append(mail.subject)
    for subjects in sorted(alike.values(), key=len, reverse=True):
        note(f"{len(subjects):4}  {subjects[0]}")
    for scenario in ("welcome", "abandoned order"):
        title(f"select marketing_automation.tree('{scenario}')")
        note(
            cluster.psql(
                f"select marketing_automation.tree('{scenario}')", dbname=DATABASE, user="marketing", options=("-At",)
            ).rstrip()
        )
    who = _count(cluster, "select id from shop.customer where email = %s", unsubscribed.address)
    for query in (
        f"select * from marketing_automation.explain_record('welcome', '{who}')",
        "select scenario, records, blocked, block_rate, records_trend from marketing_automation.scenario_report",
        "select name, starts_on, sent, opened, clicked, open_rate, click_rate, click_through_rate\n"
        "  from marketing_automation.activity_report_by('welcome', period => 'day')",
        "select a.name as activity, m.state, count(*) from marketing_automation.message m\n"
        "  join marketing_automation.activity a on a.id = m.activity_id group by a.id, a.name, m.state order by a.id, m.state",
        "select kind, count(*) from marketing_automation.event group by kind order by kind",
        "select * from marketing_automation.worker_status()",
        "select name, version, role, state, sent, failed, retried from marketing_automation.mailer_status()",
    ):
        title(query)
        note(cluster.psql(query, dbname=DATABASE, options=("-P", "footer=off", "-x" if "_status()" in query else "-q")))


def _end(keep, installation, cluster, inbox, proxy, mailer):
    if not keep:
        title("Everything has been stopped and removed. `make demo KEEP=1` leaves it running to look around.")
        return
    inbox.leave_running()
    proxy.leave_running()
    mailer.leave_running()
    cluster.leave_running()
    installation.keep()
    kept.remember(
        [(mailer.process, kept.STOP), (proxy.process, kept.STOP), (cluster.process, kept.STOP_SERVER), (inbox.process, kept.STOP)],
        [mailer.directory, proxy.directory, cluster.directory, inbox.directory, installation.directory],
    )
    title("It is left running. Where to look:")
    note(f"SQL    {shlex.join(cluster.psql_command(DATABASE))}")
    note(f"inbox  {inbox.web}   (reading a mail there counts as an open: it fetches the image)")
    note(f"proxy  {proxy.base}/readyz")
    note(f"mailer {mailer.base}/readyz, /metrics")
    note(f"log    {cluster.log}")
    note("end    make demo-stop")
