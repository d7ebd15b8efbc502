\set SHOW_CONTEXT never
-- Who owns a view or a type borrows nobody's rights by built-in functions, either: those that execute a text, ask what their caller may,
-- or make a value of a type from text, which its constraints check.
create role regress_dot;
create role regress_eli;
create schema dots authorization regress_dot;
grant usage on schema dots to regress_eli;
select marketing_automation.grant_access('regress_eli', 'marketer');
set role regress_dot;
create table dots.lead (id integer primary key, name text, at timestamptz, facts jsonb);
insert into dots.lead values (1, 'one', '2026-01-01 00:00 UTC', '{"street": "a"}');
create domain dots.tag as text;
create type dots.address as (street dots.tag);
create function dots.difference(integer, integer) returns double precision immutable language sql as $$ select ($1 - $2)::double precision $$;
create type dots.span as range (subtype = integer, subtype_diff = dots.difference);
create view dots.v_text as select l.id, query_to_xml('select 1', true, true, '')::text as x from dots.lead l;
create view dots.v_file as select l.id, pg_read_file('/etc/hostname') as x from dots.lead l;
create view dots.v_setting as select l.id, current_setting('hba_file') as x from dots.lead l;
create view dots.v_large as select l.id, lo_get(1) as x from dots.lead l;
create view dots.v_stop as select l.id from dots.lead l where exists (select pg_terminate_backend(0));
create view dots.v_stats as select l.id, s.most_common_vals::text as x from dots.lead l left join pg_stats s on s.tablename = l.name;
create view dots.v_words as select l.id, w.word as x from dots.lead l, ts_stat('select ''a''::tsvector') w;
create view dots.v_record as select l.id, (jsonb_populate_record(null::dots.address, l.facts)).street as x from dots.lead l;
create view dots.v_set as select l.id, r.street::text as x from dots.lead l, jsonb_to_record(l.facts) as r (street dots.tag);
create view dots.v_xml as select l.id, x.street::text as x from dots.lead l, xmltable('/a' passing xmlparse(document '<a/>') columns street dots.tag) x;
create view dots.v_parsed as select l.id, (format('(%s)', l.name)::text::dots.address)::text as x from dots.lead l;
create view dots.v_plain as
select l.id, concat(upper(l.name), ' ', to_char(l.at, 'YYYY')) as x, date_trunc('day', l.at) as day, jsonb_build_object('name', l.name) as facts,
    (select string_agg(o.name, ', ') from dots.lead o where o.at <= now()) as names
from dots.lead l where l.at < now() - interval '1 day' and l.at::date < current_date;
create view dots.v_over as select * from dots.v_text;
create table dots.typed (id integer primary key, tags dots.tag[], number integer);
create table dots.ranged (id integer primary key, span dots.span);
create table dots.watched (id integer primary key);
alter table dots.watched enable row level security;
create policy all_rows on dots.watched using (query_to_xml('select 1', true, true, '') is not null);
grant select on all tables in schema dots to regress_eli;
reset role;
create schema overs;
select format('create view overs.%I as select * from dots.%I', v.viewname, v.viewname) from pg_views v where v.schemaname = 'dots' order by 1 \gexec
create view overs.typed as select * from dots.typed;
create view overs.number as select t.id, t.number from dots.typed t;
create view overs.ranged as select * from dots.ranged;
create view overs.watched as select * from dots.watched;
create function overs.registered(relation regclass) returns text language plpgsql as $$
begin
    perform marketing_automation.register_model('borrowed ' || relation, relation, key => 'self.id');
    return 'registered';
exception when others then
    return sqlstate || ' ' || sqlerrm;
end $$;

-- A superuser's view over hers.
select c.relname, overs.registered(c.oid) from pg_class c where c.relnamespace = 'overs'::regnamespace and c.relkind = 'v' order by c.relname::text collate "C";
-- What he names himself is refused, too: the literal is checked before anything else is.
create table overs.own (id integer primary key);
select marketing_automation.register_model('own of overs', 'overs.own', key => 'self.id');
\set VERBOSITY terse
select marketing_automation.create_scenario('literal', 'own of overs', domain => '''{a}''::dots.tag[] is not null');
select marketing_automation.create_scenario('compared', 'own of overs', domain => 'exists (select from dots.typed t where t.tags = ''{a}'')');
\set VERBOSITY default
-- Another member reads as herself; what executes a text runs as her.
set role regress_eli;
reset role;
grant usage on schema overs to regress_eli;
set role regress_eli;
select c.relname, overs.registered(c.oid) from pg_class c where c.relnamespace = 'dots'::regnamespace and c.relkind in ('v', 'r') order by c.relname::text collate "C";
reset role;
select marketing_automation.unregister_model(m.name) from marketing_automation.model m where m.name ~ '^borrowed |^own of overs' order by m.name \g (tuples_only=on format=unaligned)
set client_min_messages = error;
drop schema overs, dots cascade;
