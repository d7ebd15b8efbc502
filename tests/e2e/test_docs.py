"""Every SQL example of README and docs runs, in the order of the page, and shows what the page shows."""

import pathlib
import re

import pytest

from harness import wait_until

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
EXAMPLE = re.compile(r"^```sql\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", re.M | re.S)


def lines(text):
    return [line.rstrip() for line in text.splitlines() if line.strip()]


def psql_options(shown):
    """As the page shows it: a table with its heading, or a column behind one space."""
    return ("-P", "footer=off") if re.search(r"^-+(\+-+)*$", shown, re.M) else ("-At",)


def printed(shown):
    """What psql prints with these options."""
    return lines(shown) if "-At" not in psql_options(shown) else [line.removeprefix(" ") for line in lines(shown)]


def test_the_tables_of_events_are_what_their_golden_test_prints():
    row = re.compile(r"^\| \d+ \| .*\|$", re.M)
    page, golden = (row.findall((ROOT / path).read_text()) for path in ("docs/events.md", "tests/regress/expected/event_table.out"))
    assert len(page) > 30
    assert page == golden


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_examples_run(cluster, sink, page):
    examples = EXAMPLE.findall(page.read_text())
    if page.stem == "README":
        assert examples, "README has lost its examples"
    database = f"docs_{page.stem.lower()}"
    if any("create extension" in sql for sql, _ in examples):
        cluster.query(f'create database "{database}"')
    else:
        cluster.create_database(database)
    try:
        for sql, shown in examples:
            cluster.psql(sql, dbname=database)
            if shown:
                last = re.split(r";\s*(?:--.*)?\n", sql.strip() + "\n")[-2] + ";"
                # The mailer is at work meanwhile: what the page shows comes to be.
                wait_until(
                    lambda last=last, shown=shown: lines(cluster.psql(last, dbname=database, options=psql_options(shown))) == printed(shown),
                    what=f"the output of {last}",
                )
    finally:
        cluster.query(f'drop database "{database}" with (force)')
        cluster.query("drop role if exists tracking_proxy, monitoring, mailer")
