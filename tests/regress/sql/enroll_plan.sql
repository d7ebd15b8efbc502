\set SHOW_CONTEXT never
-- Enrolling uses the indexes of the user's table.
create table shop.shopper (id bigint primary key, email text, created_at timestamptz, city text);
insert into shop.shopper select i, 's' || i || '@shop.example', timestamptz '2026-01-01 00:00+00' + i * interval '1 minute', 'City ' || i % 100
from generate_series(1, 50000) i;
create index on shop.shopper (created_at);
create table shop.visit (shopper bigint, at date);
insert into shop.visit values (5, '2026-01-01');
analyze shop.shopper, shop.visit;
select marketing_automation.register_model('shopper', 'shop.shopper', key => 'self.id', party => 'self.email', email => 'self.email');
select marketing_automation.create_scenario('window', 'shopper', $$self.created_at > '2026-02-04 17:00+00'$$) > 0 as created;
select marketing_automation.create_scenario('visited', 'shopper', 'exists (select from shop.visit v where v.shopper = self.id)') > 0 as created;
create function shop.explain(query text, keys text[] default null) returns setof text language plpgsql as $$
begin
    return query execute 'explain (costs off) ' || replace(query, '$1', quote_nullable(keys::text));
end $$;
select shop.explain(marketing_automation_internal.entering_query(s, m)) as plan
from marketing_automation.scenario s join marketing_automation.model m on m.name = s.model where s.name = 'window';
select shop.explain(marketing_automation_internal.entering_query(s, m)) ~ 'Semi Join|Nested Loop' as joins
from marketing_automation.scenario s join marketing_automation.model m on m.name = s.model where s.name = 'visited' limit 1;
-- Keys are found by their index, whatever their type is: by the equality of its own.
create schema addon;
create domain addon.short as varchar(20);
create type addon.mood as enum ('good', 'bad');
-- A type as an extension makes it (citext): like text, with operators in a schema of its own.
-- PostgreSQL 18 shows the place of a notice too.
set client_min_messages = warning;
create type addon.ci;
create function addon.ci_in(cstring) returns addon.ci language internal immutable strict as 'textin';
create function addon.ci_out(addon.ci) returns cstring language internal immutable strict as 'textout';
create type addon.ci (input = addon.ci_in, output = addon.ci_out, like = text, category = 'S', collatable = true);
reset client_min_messages;
create cast (addon.ci as text) without function as implicit;
create cast (text as addon.ci) without function as assignment;
create function addon.lt(addon.ci, addon.ci) returns boolean language internal immutable strict as 'text_lt';
create function addon.le(addon.ci, addon.ci) returns boolean language internal immutable strict as 'text_le';
create function addon.eq(addon.ci, addon.ci) returns boolean language internal immutable strict as 'texteq';
create function addon.ge(addon.ci, addon.ci) returns boolean language internal immutable strict as 'text_ge';
create function addon.gt(addon.ci, addon.ci) returns boolean language internal immutable strict as 'text_gt';
create function addon.cmp(addon.ci, addon.ci) returns integer language internal immutable strict as 'bttextcmp';
create operator addon.< (leftarg = addon.ci, rightarg = addon.ci, function = addon.lt, restrict = scalarltsel);
create operator addon.<= (leftarg = addon.ci, rightarg = addon.ci, function = addon.le, restrict = scalarlesel);
create operator addon.= (leftarg = addon.ci, rightarg = addon.ci, function = addon.eq, restrict = eqsel, join = eqjoinsel, merges);
create operator addon.>= (leftarg = addon.ci, rightarg = addon.ci, function = addon.ge, restrict = scalargesel);
create operator addon.> (leftarg = addon.ci, rightarg = addon.ci, function = addon.gt, restrict = scalargtsel);
create operator class addon.ci_ops default for type addon.ci using btree as
    operator 1 addon.<, operator 2 addon.<=, operator 3 addon.=, operator 4 addon.>=, operator 5 addon.>, function 1 addon.cmp(addon.ci, addon.ci);
create table shop.by_key (ci addon.ci, id bigint, uuid uuid, code char(8), name varchar(20), short addon.short, mood addon.mood, ids integer[], day date);
insert into shop.by_key select i::text::addon.ci, i, md5(i::text)::uuid, i::text, i::text, i::text, 'good', array[i], date '2000-01-01' + i from generate_series(1, 20000) i;
create view shop.key_kind as select c as kind from unnest(array['ci', 'id', 'uuid', 'code', 'name', 'short', 'day']) c;
select format('create index on shop.by_key (%I)', kind) from shop.key_kind \gexec
analyze shop.by_key;
set search_path = pg_catalog;
select k.kind, bool_or(p.line ~ 'Index') as by_index, bool_or(p.line ~ 'Seq') as reads_all
from shop.key_kind k
join pg_attribute a on a.attrelid = 'shop.by_key'::regclass and a.attname = k.kind
cross join lateral shop.explain(marketing_automation_internal.key_query('shop.by_key', 'self.' || k.kind, a.atttypid, 'self.id'),
    array[case k.kind when 'day' then '2001-01-01' when 'uuid' then md5('5') else '5' end]) as p (line)
group by 1 order by 1;
reset search_path;
select t, marketing_automation_internal.key_operator(t) from unnest(array['bigint', 'text', 'addon.ci', 'varchar', 'addon.short', 'addon.mood', 'int[]', 'uuid']::regtype[]) t;

-- A condition of a root is not asked of rows that are in already.
create function shop.ask(id bigint) returns boolean language plpgsql as $$ begin raise notice 'asked about %', id; return true; end $$;
select marketing_automation.create_scenario('asking', 'shopper', 'self.id <= 3') > 0 as created;
select marketing_automation.add_activity('asking', 'a', condition => 'shop.ask(self.id)', action => null) > 0 as added;
select marketing_automation.run('asking');
select enrolled from marketing_automation.enroll('asking');
select enrolled from marketing_automation.enroll('asking');
update marketing_automation.scenario set domain = 'self.id <= 4' where name = 'asking';
select enrolled from marketing_automation.enroll('asking');
select marketing_automation.stop('asking');

-- Few candidates are looked up among the records, many are hashed; user SQL is planned as the user's own settings say.
create function shop.note_plan() returns boolean language plpgsql as $$ begin raise notice 'nestloop is %', current_setting('enable_nestloop'); return true; end $$;
select marketing_automation.create_scenario('planning', 'shopper', 'self.id = 1 and shop.note_plan()') > 0 as created;
select marketing_automation.add_activity('planning', 'a', action => null) > 0 as added;
select marketing_automation.run('planning');
select enrolled from marketing_automation.enroll('planning');
select marketing_automation.stop('planning');
drop function shop.note_plan, shop.ask cascade;

-- Partitions that the domain excludes are not read, and a subquery is a join.
create table shop.parcel (id bigint, region text not null, email text) partition by list (region);
create table shop.parcel_north partition of shop.parcel for values in ('north');
create table shop.parcel_south partition of shop.parcel for values in ('south');
insert into shop.parcel select i, case when i % 2 = 0 then 'north' else 'south' end, 'p@shop.example' from generate_series(1, 1000) i;
analyze shop.parcel;
select marketing_automation.register_model('parcel', 'shop.parcel', key => 'self.id', email => 'self.email');
select marketing_automation.create_scenario('northern', 'parcel', 'self.region = ''north''') > 0 as created;
select marketing_automation.create_scenario('shoppers only', 'parcel', 'exists (select from shop.shopper p where p.id = self.id)') > 0 as created;
select shop.explain(marketing_automation_internal.entering_query(s, m)) as plan
from marketing_automation.scenario s join marketing_automation.model m on m.name = s.model where s.name = 'northern';
select bool_or(line ~ 'Join|Nested Loop') as joins, bool_or(line ~ 'SubPlan') as asks_each
from (select shop.explain(marketing_automation_internal.entering_query(s, m)) as line
    from marketing_automation.scenario s join marketing_automation.model m on m.name = s.model where s.name = 'shoppers only') p;
-- A tenth of the records decides whether they are hashed, whatever a session has set.
create function shop.nestloop(name text) returns text language plpgsql set enable_nestloop = off as $$
begin
    perform marketing_automation_internal.expect_rows(s, m, marketing_automation_internal.entering_query(s, m))
    from marketing_automation.scenario s join marketing_automation.model m on m.name = s.model where s.name = nestloop.name;
    return current_setting('enable_nestloop');
end $$;
begin;
update pg_class set reltuples = 6000 where oid = 'marketing_automation_internal.record'::regclass;
select shop.nestloop('northern'), shop.nestloop('shoppers only'), shop.nestloop('window');
rollback;
begin;
update pg_class set reltuples = 4000 where oid = 'marketing_automation_internal.record'::regclass;
select shop.nestloop('northern'), shop.nestloop('shoppers only');
rollback;
select current_setting('enable_nestloop') as left_alone;
