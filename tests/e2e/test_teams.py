"""The table of rights in the docs is the one in the code."""

import re

from harness.paths import ROOT

SCOPES = {"own": "own", "all": "every", "yes": "shared"}


def documented():
    """(access, scope, privilege, object), of each cell of the table."""
    lines = [line for line in (ROOT / "docs/teams.md").read_text().splitlines() if line.startswith("| ")]
    heading = next(index for index, line in enumerate(lines) if line.startswith("| right "))
    accesses = [cell.strip() for cell in lines[heading].split("|")[3:-1]]
    for line in lines[heading + 1 :]:
        if line.startswith("| ---"):
            continue
        privilege, objects, *cells = [cell.strip() for cell in line.split("|")[1:-1]]
        assert len(cells) == len(accesses), line
        for access, cell in zip(accesses, cells, strict=True):
            if cell:
                yield from ((access, SCOPES[cell], privilege, name) for name in re.findall(r"`(\w+)`", objects))


def test_the_table_of_rights_in_the_docs_is_the_one_in_the_code(shop):
    code = shop.query("""
        select access, scope, privilege, name from marketing_automation_internal.access_right()
        cross join lateral unnest(string_to_array(objects, ' ')) as n (name)""")
    # A model and a snippet are a team's to write, and everybody's to read.
    page = list(documented())
    assert len(page) == len(set(page)) > 100
    assert sorted(page) == sorted(code)
