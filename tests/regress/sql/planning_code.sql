\set SHOW_CONTEXT never
-- What a query runs without naming it: constants of indexes, statistics, partitions and constraints are evaluated when it is planned.
-- None of it runs as a superuser, unless it is a superuser's.
create role regress_bea;
create schema beas authorization regress_bea;
set role regress_bea;
create function beas.ran() returns integer immutable language plpgsql as $$
begin
    if (select r.rolsuper from pg_roles r where r.rolname = current_user) then
        raise warning 'ran as %', current_user;
    end if;
    return 1;
end $$;
create function beas.inlined(integer) returns integer immutable language sql as $$ select $1 + beas.ran() $$;
create table beas.lead (id integer primary key, name text);
insert into beas.lead select n, 'lead ' || n from generate_series(1, 20) n;
create table beas.part (id integer, name text) partition by range ((id + beas.ran()));
create table beas.part_1 partition of beas.part for values from (0) to (1000);
insert into beas.part values (1, 'one');
reset role;
create schema supers;
create view supers.over_lead as select l.id, l.name from beas.lead l;
create view supers.over_part as select p.id, p.name from beas.part p;
select marketing_automation.register_model(m, ('supers.' || m)::regclass, key => 'self.id')
from unnest(array['over_lead', 'over_part']) m;
select count(*) from unnest(array['over_lead', 'over_part']) m
cross join lateral marketing_automation.create_scenario('s ' || m, m, domain => 'self.id = 1') s
cross join lateral marketing_automation.add_activity('s ' || m, 'root', action => null)
cross join lateral marketing_automation.run('s ' || m);
create function supers.enrolled(scenario text) returns text language plpgsql as $$
declare
    result record;
begin
    select * into result from marketing_automation.enroll(scenario);
    return coalesce(result.error, 'enrolled');
end $$;

-- Her table gets an index, a statistic or a constraint later.
set role regress_bea;
create index one on beas.lead ((id + beas.ran()));
reset role;
select supers.enrolled('s over_lead');
set role regress_bea;
drop index beas.one;
create index one on beas.lead (id) where beas.ran() = 1;
reset role;
select supers.enrolled('s over_lead');
set role regress_bea;
drop index beas.one;
create index one on beas.lead (beas.inlined(id));
reset role;
select supers.enrolled('s over_lead');
set role regress_bea;
drop index beas.one;
create statistics beas.two on (id + beas.ran()), name from beas.lead;
analyze beas.lead;
reset role;
select supers.enrolled('s over_lead');
set role regress_bea;
drop statistics beas.two;
alter table beas.lead add constraint one check (id > 0 and beas.ran() = 1);
reset role;
set constraint_exclusion = on;
select supers.enrolled('s over_lead');
reset constraint_exclusion;
set role regress_bea;
alter table beas.lead drop constraint one;
reset role;
select supers.enrolled('s over_lead');
-- The expression of a partition key is kept by each session; a new one evaluates it.
\c
set client_min_messages = error;
select supers.enrolled('s over_part');
reset client_min_messages;
-- Her own scenario may run her own code.
select marketing_automation.register_model('lead of bea', 'beas.lead', key => 'self.id');
select marketing_automation.create_scenario('lead of bea', 'lead of bea') > 0 as created;
-- And a superuser's index may run a superuser's.
alter function beas.ran() owner to current_user;
select marketing_automation.create_scenario('trusted', 'over_lead') > 0 as created;

-- Procedures that commit cannot pin a search_path: nothing in them is looked up there.
create schema evil;
grant all on schema evil to regress_bea;
set role regress_bea;
create function evil.ran(anyelement) returns boolean language plpgsql as $$ begin raise exception 'ran as %', current_user; end $$;
create domain evil.text as pg_catalog.text check (evil.ran(value));
create domain evil.int4 as pg_catalog.int4 check (evil.ran(value));
create domain evil.bool as pg_catalog.bool check (evil.ran(value));
create function evil.ran(integer, integer) returns boolean language plpgsql as $$ begin raise exception 'ran as %', current_user; end $$;
create operator evil.> (function = evil.ran, leftarg = integer, rightarg = integer);
create operator evil.< (function = evil.ran, leftarg = integer, rightarg = integer);
create operator evil.= (function = evil.ran, leftarg = integer, rightarg = integer);
create function evil.array_append(pg_catalog.text[], pg_catalog.text) returns pg_catalog.text[] language plpgsql
    as $$ begin raise exception 'ran as %', current_user; end $$;
reset role;
select marketing_automation.grant_access('regress_bea', 'marketer');
set role regress_bea;
set search_path = evil, pg_catalog;
call marketing_automation.enroll_all();
call marketing_automation.process_all_due();
reset search_path;
reset role;
select marketing_automation.stop(s) from unnest(array['s over_lead', 's over_part']) s;
set client_min_messages = error;
drop schema supers, beas, evil cascade;
