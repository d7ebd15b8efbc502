\set SHOW_CONTEXT never
-- Nothing written, nothing read: a run of enrolling reads the rows of a model only where something that decides who enters was written.
create schema scan;
create table scan.person (id integer primary key, mail text, wants boolean default true, day date default '2026-01-01');
create table scan.order_of (person integer);
insert into scan.person (id, mail) select i, 'p' || i || '@scan.example' from generate_series(1, 3) i;
select marketing_automation.register_model('scanned', 'scan.person', key => 'self.id', party => 'self.mail', email => 'self.mail') \gset
create function scan.create(name text, domain text, model text default 'scanned') returns void language sql as $$
    select marketing_automation.create_scenario(name, model, domain), marketing_automation.add_activity(name, 'a', action => null),
        marketing_automation.run(name);
$$;
-- A turn of this scenario alone, as enroll_all() takes it.
create function scan.look(name text default 'lazy') returns text language plpgsql as $$
declare
    entered bigint;
begin
    select e.enrolled into entered
    from marketing_automation.enroll_next(array(select s.name from marketing_automation.scenario s where s.name <> look.name)) e;
    return (select case when s.last_scanned_at = s.last_enrolled_at then format('read: %s', entered) else 'not read' end
        from marketing_automation.scenario_status s where s.scenario_id = marketing_automation.scenario_id(name));
end $$;
-- Counters get what a session has written a second later, or so; this makes it now.
\set counted 'select pg_stat_force_next_flush() as now'
select scan.create('lazy', 'self.wants and self.day > date ''2000-01-01''') \gset
:counted \gset
select scan.look();
select scan.look();
select scan.look();
-- Who calls enroll() has all rows read: it finds what was committed a moment ago, too.
select enrolled from marketing_automation.enroll('lazy');
select last_scanned_at = last_enrolled_at as read from marketing_automation.scenario_status where scenario_id = marketing_automation.scenario_id('lazy');
select scan.look();

-- Whatever is written is seen, counted or not.
insert into scan.person (id, mail) values (4, 'p4@scan.example'), (5, 'p5@scan.example');
select scan.look();
:counted \gset
select scan.look(), scan.look() \gset
select scan.look();
update scan.person set wants = false where id = 1;
:counted \gset
select scan.look();
select scan.look();
copy scan.person (id, mail) from program 'echo 6,p6@scan.example' (format csv);
:counted \gset
select scan.look();
select scan.look();
-- In a transaction of one's own, which may be undone.
begin;
insert into scan.person (id, mail) values (7, 'p7@scan.example');
select scan.look();
select scan.look();
rollback;
:counted \gset
select scan.look();
select scan.look();
begin isolation level repeatable read;
select scan.look();
commit;
select scan.look();
select scan.look();
-- Files and definitions of tables.
begin;
truncate scan.person;
insert into scan.person (id, mail) select i, 'p' || i || '@scan.example' from generate_series(1, 8) i;
commit;
:counted \gset
select scan.look();
select scan.look();
alter table scan.person add column since date default '2026-01-01';
select scan.look();
select scan.look();
vacuum full scan.person;
:counted \gset
select scan.look();
select scan.look();

-- Of the scenario, of its model, and of what it starts with.
update marketing_automation.scenario set domain = 'self.wants or self.id > 0' where name = 'lazy';
select scan.look();
select scan.look();
begin;
select marketing_automation.stop('lazy'), marketing_automation.draft('lazy'), marketing_automation.run('lazy') \gset
commit;
select scan.look();
select scan.look();
update marketing_automation.model set time_zone = '''Europe/Paris''' where name = 'scanned';
select scan.look();
select scan.look();
update marketing_automation.activity set delay = '1 hour' where scenario_id = marketing_automation.scenario_id('lazy');
select scan.look();
select scan.look();
-- An hour later, at another time, or with other counters.
update marketing_automation.scenario_status set last_scanned_at = last_scanned_at - interval '61 minutes' where scenario_id = marketing_automation.scenario_id('lazy');
select scan.look();
select scan.look();
update marketing_automation.scenario_status set last_scanned_at = last_scanned_at + interval '1 year' where scenario_id = marketing_automation.scenario_id('lazy');
select scan.look();
select scan.look();
select pg_stat_reset_single_table_counters('scan.person'::regclass) \gset
:counted \gset
select scan.look();
select scan.look();
select enrolled from marketing_automation.enroll('lazy', now() + interval '1 day');
select scan.look();
select scan.look();

-- Who unsubscribes lets nobody in; who comes back does.
insert into scan.person (id, mail) values (9, 'p9@scan.example');
select marketing_automation.unsubscribe('p9@scan.example', 'lazy') \gset
:counted \gset
select scan.look();
select scan.look();
select marketing_automation.unsubscribe('p8@scan.example', 'lazy') \gset
:counted \gset
select scan.look();
select marketing_automation.resubscribe('p9@scan.example', 'lazy') \gset
:counted \gset
select scan.look();
select scan.look();
-- Nor who leaves a topic; who chooses it does.
insert into marketing_automation.topic (name, title) values ('scanned', 'Scanned');
update marketing_automation.scenario set topic = 'scanned' where name = 'lazy';
insert into scan.person (id, mail) values (10, 'p10@scan.example');
select marketing_automation.unsubscribe_from('p10@scan.example', 'scanned') \gset
:counted \gset
select scan.look();
select scan.look();
select marketing_automation.subscribe('p10@scan.example', 'scanned') \gset
:counted \gset
select scan.look();
select scan.look();
-- What enroll() would find is said.
insert into scan.person (id, mail, wants) values (11, 'p11@scan.example', true);
update marketing_automation.scenario_status set last_scanned_at = last_enrolled_at - interval '1 minute' where scenario_id = marketing_automation.scenario_id('lazy');
select regexp_replace(fact, '\w+ \w+ \d+ [:\d]+ \d{4} \w+', 'T', 'g') as fact from marketing_automation.explain_record('lazy', '11') where fact ~ 'not entered';
select marketing_automation.stop('lazy') \gset

-- Rows that stand apart are tried again each time.
select scan.create('scan apart', '100 / (self.id - 1) is not null') \gset
select scan.look('scan apart');
select scan.look('scan apart');
update scan.person set id = 12 where id = 1;
:counted \gset
select scan.look('scan apart');
select scan.look('scan apart');
select marketing_automation.stop('scan apart') \gset

-- Tables of subqueries, partitions, views, and materialized views.
create table scan.part (id integer, mail text) partition by range (id);
create table scan.part_1 partition of scan.part for values from (0) to (100);
create table scan.part_2 (id integer, mail text);
insert into scan.part values (1, 'a@scan.example');
insert into scan.part_2 values (101, 'b@scan.example');
create materialized view scan.chosen as select person from scan.order_of;
create view scan.everybody as select p.* from scan.part p join scan.chosen c on c.person = p.id;
select marketing_automation.register_model('view scanned', 'scan.everybody', key => 'self.id', party => 'self.mail', email => 'self.mail') \gset
select scan.create('lazy view', 'true', 'view scanned') \gset
:counted \gset
select scan.look('lazy view');
select scan.look('lazy view');
insert into scan.order_of values (1), (101);
:counted \gset
select scan.look('lazy view');
refresh materialized view scan.chosen;
select scan.look('lazy view');
:counted \gset
select scan.look('lazy view') \gset
select scan.look('lazy view');
alter table scan.part attach partition scan.part_2 for values from (100) to (200);
select scan.look('lazy view');
select scan.look('lazy view');
insert into scan.part values (150, 'c@scan.example');
:counted \gset
select scan.look('lazy view');
select scan.look('lazy view');
create or replace view scan.everybody as select p.* from scan.part p;
select scan.look('lazy view');
select scan.look('lazy view');
select marketing_automation.stop('lazy view') \gset

-- What depends on anything else is read each time.
create function scan.stable(integer) returns boolean stable language sql as 'select exists (select from scan.order_of where person = $1)';
create function scan.immutable(integer) returns boolean immutable language plpgsql as 'begin return exists (select from scan.order_of where person = $1); end';
create aggregate scan.total(integer) (sfunc = int4pl, stype = integer);
create domain scan.small as integer check (value < 1000);
create sequence scan.counter;
create foreign data wrapper scan_wrapper;
create server scan_server foreign data wrapper scan_wrapper;
create foreign table scan.far (id integer) server scan_server;
create view scan.behind as select id from scan.far;
create table scan.child (more text) inherits (scan.order_of);
select d.domain, q.obstacle, q.obstacle is null as only_tables, q.tables::regclass[] as tables
from unnest(array['self.id > 1', 'self.day < current_date', 'self.day > now()', 'self.day < ''today''', 'age(self.day) > ''1 year''',
    'self.day = ''today''::text::date', 'self.day + time ''08:00'' < marketing_automation.assumed_now()', 'random() < 0.5', 'scan.stable(self.id)',
    'scan.immutable(self.id)', '(select scan.total(person) from scan.order_of) > 1', 'self.id::scan.small > 1',
    '(select last_value from scan.counter) > 1', 'exists (select from scan.far f where f.id = self.id)',
    'self.id in (select b.id from scan.behind b)', 'exists (select from pg_catalog.pg_class)', 'current_user = ''x''',
    'exists (select from scan.order_of tablesample bernoulli (50))', 'pg_catalog.lower(self.mail) like ''%.example''',
    'exists (select from scan.order_of o where o.person = self.id)', 'extract(year from self.day::timestamptz) = 2026',
    'self.day < date_trunc(''month'', timestamptz ''2026-05-03'')', 'self.mail ~ ''^p'' and length(self.mail) between 5 and 20']) with ordinality as d (domain, n)
cross join marketing_automation_internal.query_dependencies(quote_ident(current_user)::regrole, 'scan.person', format('select 1 from scan.person as self where %s', d.domain)) q
order by d.n;
-- A date that is computed when it is read is another query the next day.
select count(distinct q.tree) as trees
from (values ('today'), ('tomorrow')) d (day)
cross join marketing_automation_internal.query_dependencies(quote_ident(current_user)::regrole, 'scan.person', format('select 1 from scan.person as self where self.day = %L', d.day)) q;
select scan.create('present', 'self.day < timestamptz ''now''') \gset
:counted \gset
select scan.look('present') \gset
select scan.look('present');
select marketing_automation.stop('present') \gset
select scan.create('scan again', 'true') \gset
update marketing_automation.scenario set reenter_after = '1 day' where name = 'scan again';
select scan.look('scan again') \gset
select scan.look('scan again');
update marketing_automation.scenario set reenter_after = null where name = 'scan again';
select scan.look('scan again');
select scan.look('scan again');
-- Where somebody is not counted.
create role regress_uncounted;
alter role regress_uncounted set track_counts = off;
select scan.look('scan again');
select scan.look('scan again');
drop role regress_uncounted;
set track_counts = off;
select scan.look('scan again');
reset track_counts;
select scan.look('scan again');
select scan.look('scan again');
select marketing_automation.stop('scan again') \gset

-- Who reads large tables at each run is told so.
select scan.create('large', 'self.mail like ''%5%'' and exists (select from scan.order_of o where o.person = self.id)') \gset
update pg_class set reltuples = 5000000, relpages = 100000 where oid = 'scan.person'::regclass;
select severity, message, hint from marketing_automation.check_scenario('large') where message ~ 'enrolling';
update marketing_automation.scenario set domain = 'self.id = 5 and self.day < now()' where name = 'large';
select severity, message, hint from marketing_automation.check_scenario('large') where message ~ 'enrolling';
update marketing_automation.scenario set domain = 'self.day < now()' where name = 'large';
select severity, message, hint from marketing_automation.check_scenario('large') where message ~ 'enrolling';
analyze scan.person;
select scan.look('large') \gset
select last_scan_took from marketing_automation.scenario_status where scenario_id = marketing_automation.scenario_id('large');
select scan.look('large') \gset
select scan.look('large') \gset
select last_scan_took between '0' and '1 hour' as took from marketing_automation.scenario_status where scenario_id = marketing_automation.scenario_id('large');
select name, status, message, hint from marketing_automation.health() where name = 'enrolling';
update marketing_automation.scenario_status set last_scan_took = '2.5 seconds' where scenario_id = marketing_automation.scenario_id('large');
select name, status, message, hint from marketing_automation.health() where name = 'enrolling';
select marketing_automation.stop('large') \gset
select status from marketing_automation.health() where name = 'enrolling';
