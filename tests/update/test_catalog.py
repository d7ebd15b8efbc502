"""An updated extension is what a fresh one is."""

import difflib

from release import history
from update.shop import HERE, NEXT, ROLES, Data, Shop, script_to_next

LIBRARY = (HERE / "library.sql").read_text()


def test_an_updated_extension_is_what_a_fresh_one_is(cluster, shop, database):
    fresh = Shop.fresh(cluster, database)
    try:
        shop.update()
        assert shop.version() == history.current_version()
        different = difflib.unified_diff(shop.catalog(), fresh.catalog(), "updated", "fresh", lineterm="", n=0)
        assert not "\n".join(different)
        assert not any("update_revoked" in line or "update_dropped" in line for line in shop.catalog())
        assert len(shop.catalog()) > 1000 and all(any(role in line for line in shop.catalog()) for role in ROLES[:3])
    finally:
        fresh.drop()


def test_an_update_keeps_all_data(shop):
    connection = shop.connect(autocommit=False)
    # In one transaction, so that the mailer does not begin to work on what is compared.
    before = Data(connection)
    with connection.cursor() as cursor:
        cursor.execute("alter extension marketing_automation update")
    assert len(before.sums) > 80 and sum(rows for rows, *_ in before.sums.values()) > 100
    assert not before.lost(connection)
    connection.rollback()
    with connection.cursor() as cursor:
        cursor.execute("delete from marketing_automation.link")
    assert before.lost(connection), "it would notice"
    connection.rollback()


def test_rules_that_were_changed_stay_and_others_are_as_they_are_shipped_now(shop):
    shop.query("update marketing_automation.robot_rule set note = 'as an older version shipped it' where name = 'head'")
    shop.query("alter table marketing_automation.robot_rule disable trigger validate")
    shop.query("update marketing_automation.robot_rule set is_shipped = true where name = 'head'")
    shop.query("alter table marketing_automation.robot_rule enable trigger validate")
    shop.update()
    rules = dict(shop.query("select name, (pattern, note, is_shipped)::text from marketing_automation.robot_rule"))
    assert rules["crawler"] == "(shopbot,ours,f)"
    assert rules["office"] == "(192.0.2.0/24,,f)"
    assert "as an older version" not in rules["head"] and rules["head"].endswith(",t)")


def test_bounce_rules_of_the_library_become_rows_that_an_update_replaces_unless_they_were_changed(shop, tmp_path):
    shop.update()
    rules = "select pattern, meaning, is_enabled, note = 'older', is_shipped from marketing_automation.bounce_rule where {} order by 1"
    shipped = shop.query(rules.format("true"))
    assert len(shipped) > 500 and all(enabled and is_shipped for _, _, enabled, _, is_shipped in shipped)
    shop.psql("""
        insert into marketing_automation.bounce_rule (kind, pattern, meaning) values ('reply', 'moved out', 'dead');
        update marketing_automation.bounce_rule set is_enabled = false where pattern = 'quota';
        alter table marketing_automation.bounce_rule disable trigger validate;
        update marketing_automation.bounce_rule set note = 'older' where pattern in ('5.1.1', 'quota');
        insert into marketing_automation.bounce_rule (kind, pattern, meaning, is_shipped) values ('reply', 'shipped once', 'dead', true);
        alter table marketing_automation.bounce_rule enable trigger validate;""")
    with script_to_next(tmp_path, ""):
        shop.update(NEXT)
    mine = rules.format("pattern in ('moved out', 'quota', '5.1.1', 'shipped once')")
    assert shop.query(mine) == [
        ("5.1.1", "dead", True, False, True), ("moved out", "dead", True, None, False), ("quota", "alive", False, True, False)]  # fmt: skip
    assert len(shop.query(rules.format("true"))) == len(shipped) + 1


def test_a_function_of_the_library_is_called_as_before(cluster, release, database):
    """The symbol of a C function means the same in all versions: another signature has another symbol."""
    older = Shop.create(cluster, database, release)
    newer = Shop.create(cluster, f"new_{database}"[:60], history.current_version())
    try:
        signature = lambda row: (row[0], *row[2:])  # noqa: E731
        now = {signature(row) for row in newer.query(LIBRARY)}
        known = {symbol for symbol, *_ in now}
        before = older.query(LIBRARY)
        assert len(before) > 30
        # A symbol that the new SQL does not name any more is still there, or the old version could not be installed.
        assert not [row for row in before if row[0] in known and signature(row) not in now]
    finally:
        older.drop()
        newer.drop()
