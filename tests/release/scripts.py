"""The scripts that PostgreSQL runs: one that installs a version, and one that leads from a version to the next.

`sql/order` says in which order the files run. All of them make the install script. An update runs what the tables need, written
by hand in `sql/updates/FROM--TO.sql`, and then again every file that is not below `tables/`: there each object is made by
`create or replace`. The files themselves say plain `create`, because an install script that replaced what it finds could be
handed somebody else's objects (CVE-2022-2625). In an update this cannot happen: PostgreSQL replaces nothing in an extension's
script that is not the extension's own.
"""

import re
from pathlib import Path

from .statements import statements

ROOT = Path(__file__).resolve().parents[2]
SQL = ROOT / "sql"
NAME = "marketing_automation"

REPLACED = ("function", "procedure", "view", "trigger")
REPEATED = ("comment", "grant", "revoke", "select", "do")

GUARD = """\
\\echo Use "ALTER EXTENSION {name} UPDATE TO '{to}'" to load this file. \\quit

-- ALTER EXTENSION has written the new version before it runs this. Whoever runs the file in another way is refused.
do $$ begin
    if (select e.extversion from pg_catalog.pg_extension e where e.extname = '{name}') is distinct from '{to}' then
        raise exception 'this script leads from version {start} of {name} to {to}, and only ALTER EXTENSION runs it'
            using errcode = 'object_not_in_prerequisite_state', hint = 'ALTER EXTENSION {name} UPDATE TO ''{to}'';';
    end if;
end $$;

-- While the update waits for a lock, others wait behind it. Without a lock_timeout of the session it gives up after some seconds
-- and changes nothing; it can be run again.
select pg_catalog.set_config('{name}_update.lock_timeout', pg_catalog.current_setting('lock_timeout'), true);
select pg_catalog.set_config('lock_timeout', '5s', true) where pg_catalog.current_setting('lock_timeout') = '0';

-- What is there now: roles get what is new, and nothing back that was revoked, see functions/access.sql.
select pg_catalog.set_config('{name}_update.known', pg_catalog.string_agg(k.what, ' '), true)
from (
    select n.oid::pg_catalog.text from pg_catalog.pg_namespace n where n.nspname in ('{name}', '{name}_internal')
    union all
    select c.oid::pg_catalog.text from pg_catalog.pg_class c
    where c.relnamespace in ('{name}'::pg_catalog.regnamespace, '{name}_internal'::pg_catalog.regnamespace)
    union all
    select p.oid::pg_catalog.text from pg_catalog.pg_proc p
    where p.pronamespace in ('{name}'::pg_catalog.regnamespace, '{name}_internal'::pg_catalog.regnamespace)
    union all
    select pg_catalog.concat_ws('.', a.attrelid, a.attnum)
    from pg_catalog.pg_attribute a join pg_catalog.pg_class c on c.oid = a.attrelid
    where c.relnamespace = '{name}'::pg_catalog.regnamespace and c.relkind = 'r' and a.attnum > 0
    union all
    select pg_catalog.concat_ws('.', r.access, r.privilege, o.name)
    from {name}_internal.access_right() r
    cross join lateral pg_catalog.unnest(pg_catalog.string_to_array(r.objects, ' ')) as o (name)
) as k (what);
"""
END = f"""\
-- The transaction may go on: it is to find its settings as they were.
select pg_catalog.set_config('lock_timeout', pg_catalog.current_setting('{NAME}_update.lock_timeout'), true),
       pg_catalog.set_config('{NAME}_update.lock_timeout', '', true), pg_catalog.set_config('{NAME}_update.known', '', true);

-- The mailer looks at the version when this commits, and goes on.
select {NAME}_internal.notify_mailer();
"""


def order():
    """The files of sql/order, as paths below sql/."""
    return re.findall(r'^\s*"\w+" "([\w/]+\.sql)"$', (SQL / "order").read_text(), re.M)


def install_script():
    """What CREATE EXTENSION runs, as .ci/install and `cargo pgrx schema` put it together too, the latter with its own remarks in between."""
    return "\n".join(f"-- {file}\n{(SQL / file).read_text()}" for file in order())


def update_script(start, to, updates=SQL / "updates"):
    """What ALTER EXTENSION … UPDATE runs on the way from one version to the next."""
    steps = updates / f"{start}--{to}.sql"
    if not steps.exists():
        raise FileNotFoundError(f"write {steps}: what tables need, and which old signatures go")
    # The rows are written by the new functions of their triggers.
    again = sorted((file for file in order() if not file.startswith("tables/")), key=lambda file: file == "seed.sql")
    parts = [GUARD.format(name=NAME, start=start, to=to), f"-- updates/{steps.name}\n{steps.read_text()}"]
    parts += [f"-- {file}\n{or_replace((SQL / file).read_text())}" for file in again]
    return "\n".join([*parts, END])


def or_replace(text):
    """The text with `or replace` behind each `create`."""
    for statement in reversed(statements(text)):
        if statement.begins("create"):
            end = statement.start + len("create")
            text = f"{text[:end]} or replace{text[end:]}"
    return text


def faults():
    """What in the files cannot be run again, or must not be run by CREATE EXTENSION."""
    for file in order():
        for statement in statements((SQL / file).read_text()):
            place = f"sql/{file}: {statement.text.splitlines()[0]}"
            if statement.begins("create", "or", "replace") or "if not exists" in " ".join(statement.words[:6]):
                yield f"{place}\n  an install script makes what is not there yet: plain create (CVE-2022-2625)"
            elif not file.startswith("tables/") and not can_be_repeated(statement):
                yield f"{place}\n  cannot be run by every update: it belongs into tables/ or updates/"


def can_be_repeated(statement):
    """Whether an update may run the statement on top of what an earlier version has made."""
    if statement.begins("create"):
        return statement.words[1] in REPLACED
    if statement.begins("insert"):
        return "on conflict" in statement.text or "not exists" in statement.text
    return statement.words[0] in REPEATED
