\set SHOW_CONTEXT never
-- Random pieces of SQL as an expression: what the check accepts is one value a row, wherever it is put, and what it refuses, it refuses with a
-- reason of the expression; no row changes.
create table shop.hostile (id integer primary key, name text, at timestamptz, amount numeric, tags text[]);
insert into shop.hostile values (1, 'Ada', '2026-03-01 12:00+00', 1.5, '{a}'), (2, null, null, null, null), (3, '''); --', 'infinity', 'NaN', '{}');
create role regress_hostile;
grant usage on schema shop to regress_hostile;
grant select, insert, update, delete on shop.hostile to regress_hostile;

create function shop.try_expressions(tries integer, seed double precision, out tried integer, out accepted integer, out surprises text[])
language plpgsql as $try$
declare
    pieces constant text[] := array['self.id', 'self.name', 'self.at', 'self.amount', 'self.tags', 'self', 'self.*', 'true', 'false', 'null', '1', '0', '''x''',
        'now()', '=', '<', '>', '+', '/', '||', '::text', '::int', '::boolean', ' and ', ' or ', ' not ', ' is null', ' is true', ' in (1, 2)', '(', ')', '(', ')', ',', '[', ']',
        ';', '--', '/*', '*/', '$$', '$1', '''', '"', '\', E'\n', 'E''\''', 'U&"\0061"', ' union select true', ' from shop.hostile', ' where true', ' limit 1', ' order by 1', ' as x',
        'select true', '(select true)', 'exists (select from shop.hostile)', '(delete from shop.hostile returning true)', 'generate_series(1, 3) > 1', 'count(*) > 0',
        'lag(true) over ()', 'coalesce(', 'case when ', ' then ', ' else ', ' end', 'length(self.name)', 'any (self.tags)', 'array[1, 2]', 'row(1, 2)', '%', '%s', '%L', 'é', E'\u00a0',
        'current_user = ''x''', 'pg_sleep(0) is null', 'x', '1e400', '999999999999999999999', 'interval ''1 day''', ' at time zone ''UTC''', ' collate "C"', ' between 1 and 2'];
    wholes constant text[] := array['true', 'self.id > 1', 'self.name like ''A%''', 'self.at < now() and self.amount > 0', 'not self.name is null', 'exists (select from shop.hostile h where h.id = self.id)'];
    expression text;
    its_type regtype;
    answer record;
begin
    perform setseed(seed);
    accepted := 0;
    surprises := '{}';
    for i in 0 .. tries loop
        -- Deeper than anybody writes; then a few pieces, or a whole one with pieces in it.
        expression := case when i = 0 then repeat('(', 100000) || 'true' || repeat(')', 100000)
            when random() < 0.5 then wholes[1 + floor(random() * cardinality(wholes))::int] else '' end;
        for j in 1 .. floor(random() * 4)::int loop
            exit when i = 0;
            expression := overlay(expression placing pieces[1 + floor(random() * cardinality(pieces))::int]
                from 1 + floor(random() * (length(expression) + 1))::int for floor(random() * 3)::int);
        end loop;
        begin
            its_type := marketing_automation_internal.check_expression('regress_hostile'::regrole, 'shop.hostile'::regclass, expression, 'domain');
        exception when others then
            if sqlstate !~ '^(42|22|0A|54|2F|25|3F)' then
                surprises := surprises || format('%s: %s %s', expression, sqlstate, sqlerrm);
            end if;
            continue;
        end;
        accepted := accepted + 1;
        begin
            execute format(E'select count(*) as rows, bool_and(to_jsonb(a) - ''value'' = ''{"mark": 42}'') as alone '
                'from (select (%s\n) as value, 42 as mark from shop.hostile self) a', expression) into answer;
            if answer.rows <> 3 or not answer.alone then
                surprises := surprises || format('%s: %s', expression, answer);
            end if;
        exception when others then
            -- What a row makes of it is for the run to tell.
            if sqlstate !~ '^(22|21)' then
                surprises := surprises || format('%s was accepted: %s %s', expression, sqlstate, sqlerrm);
            end if;
        end;
    end loop;
    tried := tries;
end $try$;

begin;
create temp table before as table shop.hostile;
select tried, accepted > 100 as enough, surprises from shop.try_expressions(3000, 0.13);
select array(select b::text from before b order by id) = array(select h::text from shop.hostile h order by id) as unchanged;
rollback;
drop function shop.try_expressions;
drop table shop.hostile;
revoke usage on schema shop from regress_hostile;
drop role regress_hostile;
