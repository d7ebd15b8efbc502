"""Taking SQL apart, and what may be run again."""

import pytest

from release.scripts import can_be_repeated, or_replace
from release.statements import statements

TRICKY = """\
-- a comment; with 'quotes
create function f(a text default ';''') returns text language sql as $$ select ';$'; -- '
$$;
/* create view; /* nested; */ still; */ create view v as select "a;""b", E'\\';' , $x$;$$;$x$;
create function g() returns int language sql
begin atomic
    select case when true then 1 else case 2 when 2 then 3 end end;
    select 1;
end;
create trigger t before insert on x for each row when (new.a = 'create;') execute function h();
comment on function f(text) is 'create function';
"""


def test_statements_end_where_they_end():
    texts = [statement.text for statement in statements(TRICKY)]
    assert [text.split()[0:2] for text in texts] == [["create", "function"], ["create", "view"], ["create", "function"], ["create", "trigger"], ["comment", "on"]]
    assert "".join(texts).count("\n") == 5 and texts[2].endswith("end;")


def test_what_is_created_is_replaced_and_nothing_else_changes():
    replaced = or_replace(TRICKY)
    assert replaced.count("create or replace ") == 4
    assert replaced.replace("create or replace ", "create ") == TRICKY
    assert "is 'create function'" in replaced and "(new.a = 'create;')" in replaced


@pytest.mark.parametrize("text", ["select 'open;", "select 1", "/* /* */ select 1;", 'select "a;'])
def test_text_that_does_not_end_is_refused(text):
    with pytest.raises(ValueError):
        statements(text)


@pytest.mark.parametrize(("sql", "may"), [
    ("create view v as select 1;", True),
    ("insert into t values (1) on conflict do nothing;", True),
    ("insert into t values (1);", False),
    ("create table t (a int);", False),
    ("create index on t (a);", False),
    ("create constraint trigger t after insert on x execute function h();", False),
    ("alter table t add column b int;", False),
    ("drop function f();", False),
])  # fmt: skip
def test_only_what_can_be_repeated_runs_at_every_update(sql, may):
    assert can_be_repeated(statements(sql)[0]) is may
