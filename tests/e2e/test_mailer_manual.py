"""What docs/mailer.md shows is what marketing-mailer takes, says and answers."""

import os
import pathlib
import re
import subprocess

import requests

from harness import Mailer, SmtpSink, wait_until
from harness.mailer import BINARY
from harness.paths import TARGET

MANUAL = (pathlib.Path(__file__).resolve().parents[2] / "docs" / "mailer.md").read_text()


def shown(language, first):
    """The block of the manual in this language that begins so."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", MANUAL, re.M | re.S)
    return next(block for block in blocks if block.startswith(first))


def without_places(lines):
    """What is said, but for names of databases and hosts."""
    return [re.sub(r"connect to \S+ on [^,]+", "connect to …", re.sub(r"\([^)]*:\d+\)", "(…)", line)) for line in lines.splitlines()]


def test_the_configuration_that_the_manual_shows_starts_a_mailer(bare_shop, sink, tmp_path):
    text = shown("toml", "database = ")
    url = bare_shop.mailer_url()
    (tmp_path / "mailer.toml").write_text(re.sub(r'^database = ".*"$', f'database = "{url}"', text, flags=re.M))
    mailer = Mailer(None, None, arguments=("--config", tmp_path / "mailer.toml"))
    try:
        mailer.start()
        bare_shop.customers("Ada")
        bare_shop.scenario()
        bare_shop.tick()
        sink.wait_for(1)
        name = re.search(r'^name = "(.*)"$', text, re.M)[1]
        assert bare_shop.query("select name from marketing_automation.mailer_status()") == [(name,)]
    finally:
        mailer.stop()


def test_the_manual_has_each_option_with_its_variable_and_no_other(bare_shop):
    # Not in the environment of the test: its values would be shown.
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MARKETING_")}
    said = subprocess.run([TARGET / "debug" / BINARY, "--help"], env=clean, capture_output=True, text=True, check=True).stdout
    options = re.findall(r"^ +(?:-\w, )?--([a-z-]+)(.*?)(?=^ +(?:-\w, )?--|\Z)", said, re.M | re.S)
    variables = {name: re.search(r"\[env: (\w+)", text) for name, text in options if name not in ("help", "version")}
    offered = {name: variable[1] if variable else "" for name, variable in variables.items()}
    table = dict(re.findall(r"^\| `--([a-z-]+)` \| (?:`(\w+)`)? ?\|", MANUAL, re.M))
    assert len(offered) > 5 and table == offered


def test_what_the_manual_says_of_watching_is_what_a_mailer_answers(bare_shop, start_mailer):
    mailer = start_mailer(bare_shop)
    assert requests.get(mailer.base + "/healthz").status_code == 200
    wait_until(lambda: mailer.ready_or_why() == "ok", what="it to be idle")
    table = re.search(r"^\| `GET /metrics` \|.*$", MANUAL, re.M)[0]
    names = {name.replace("…", "marketing_mailer") for name in re.findall(r"`(\S+_\w+)`", table)}
    there = set(re.findall(r"^(\w+)", requests.get(mailer.base + "/metrics").text, re.M))
    assert len(names) >= 5 and names <= there, names - there


def test_check_says_what_the_manual_shows_and_tries_each_server(bare_shop, sink, tmp_path):
    mailer = Mailer(bare_shop.mailer_url())
    guarded = SmtpSink(login=("news", "right")).start()
    try:
        code, said = mailer.check()
        assert (code, without_places(said)) == (0, without_places(shown("text", "ok      options")))
        for name, password in (("right", "right"), ("wrong", "wrong")):
            (tmp_path / name).write_text(password + "\n")
            (tmp_path / name).chmod(0o600)
        user = f"smtp://news@127.0.0.1:{guarded.port}?tls=none"
        for name, url, file in (
            ("open", sink.url, None),
            ("dead", "smtp://127.0.0.1:1", None),
            ("clear", f"smtp://127.0.0.1:{sink.port}?tls=required", None),
            ("right", user, tmp_path / "right"),
            ("wrong", user, tmp_path / "wrong"),
        ):
            bare_shop.query(
                "insert into marketing_automation.smtp_server (name, url, password_file) values (%s, %s, %s)", name, url, file and str(file)
            )
        code, said = mailer.check()
        lines = re.findall(r'^(ok|FAILED) +SMTP server "(\w+)" [^:]+:\d+\): EHLO, TLS and AUTH:? ?(.*)$', said, re.M)
        found = {name: (state, error) for state, name, error in lines}
        assert code == 1 and {name: state for name, (state, _) in found.items()} == {
            "open": "ok", "dead": "FAILED", "clear": "FAILED", "right": "ok", "wrong": "FAILED",
        }, said  # fmt: skip
        for name, reason in {"dead": "refused", "clear": "does not offer STARTTLS", "wrong": "535"}.items():
            assert reason in found[name][1], said
        # A file that is not there keeps its server from being used, and the others are tried all the same.
        (tmp_path / "right").unlink()
        code, said = mailer.check()
        assert code == 1 and 'server "right": cannot read the password file' in said and 'ok      SMTP server "open"' in said, said
    finally:
        mailer.stop()
        guarded.refuse()
    assert sink.mails == [] and guarded.mails == []
