-- A fresh install: everything has a comment, PUBLIC may do nothing, every table with data is dumped.
create extension marketing_automation;

select 'function' as kind, p.oid::regprocedure::text as object
from pg_proc p where p.pronamespace in ('marketing_automation'::regnamespace, 'marketing_automation_internal'::regnamespace) and obj_description(p.oid, 'pg_proc') is null
union all
select 'relation', c.oid::regclass::text
from pg_class c where c.relnamespace in ('marketing_automation'::regnamespace, 'marketing_automation_internal'::regnamespace) and c.relkind in ('r', 'v') and obj_description(c.oid, 'pg_class') is null
order by 1, 2;

select n.nspname from pg_namespace n cross join lateral aclexplode(n.nspacl) a where n.nspname like 'marketing\_automation%' and a.grantee = 0;
select p.oid::regprocedure
from pg_proc p cross join lateral aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
where p.pronamespace in ('marketing_automation'::regnamespace, 'marketing_automation_internal'::regnamespace) and a.grantee = 0;

-- What people use is in the one schema, what the machine needs in the other, where nobody has been granted anything.
select 'function' as kind, p.oid::regprocedure::text as object
from pg_proc p
where p.pronamespace in ('marketing_automation'::regnamespace, 'marketing_automation_internal'::regnamespace)
  and (obj_description(p.oid, 'pg_proc') like 'API: private.%') <> (p.pronamespace = 'marketing_automation_internal'::regnamespace)
union all
select 'relation', c.oid::regclass::text
from pg_class c
where c.relnamespace in ('marketing_automation'::regnamespace, 'marketing_automation_internal'::regnamespace) and c.relkind in ('r', 'p', 'v')
  and (obj_description(c.oid, 'pg_class') like 'API: private.%') <> (c.relnamespace = 'marketing_automation_internal'::regnamespace)
order by 1, 2;
create role regress_all;
select count(*) from unnest(array['tracking', 'bounces', 'reader', 'operator', 'marketer']) a cross join lateral marketing_automation.grant_access('regress_all', a) g;
select has_schema_privilege('regress_all', 'marketing_automation_internal', 'usage') as may_use,
       (select count(*) from pg_proc p where p.pronamespace = 'marketing_automation_internal'::regnamespace
          and has_function_privilege('regress_all', p.oid, 'execute')) as callable,
       (select count(*) from pg_class c where c.relnamespace = 'marketing_automation_internal'::regnamespace and c.relkind in ('r', 'p', 'v')
          and has_table_privilege('regress_all', c.oid, 'select, insert, update, delete, truncate')) as accessible;
drop owned by regress_all;
drop role regress_all;

-- Every function whose names are looked up when it runs pins its search_path; only the procedure that commits cannot.
select p.oid::regprocedure
from pg_proc p
where p.pronamespace in ('marketing_automation'::regnamespace, 'marketing_automation_internal'::regnamespace)
  and p.prosqlbody is null and p.proname not in ('new_record_uuid', 'is_time_zone', 'assumed_now', 'address_hash', 'address_domain', 'capture_keys')
  and p.prosrc <> 'call_with_caller' -- in C, run no SQL
  and not coalesce(p.proconfig @> array['search_path=pg_catalog, pg_temp'], false)
order by p.oid::regprocedure::text;

-- What works on batches of the hot tables is planned anew each time: a plan made while they were empty is quadratic later.
select p.proname from pg_proc p
where p.pronamespace in ('marketing_automation'::regnamespace, 'marketing_automation_internal'::regnamespace) and p.proconfig @> array['plan_cache_mode=force_custom_plan'] order by 1;

-- Nor is its plan compiled: while the tables' statistics are behind, its cost is estimated a thousand times too high, and compiling took 0.7 s
-- for a batch of 0.02 s.
select p.proname from pg_proc p
where p.pronamespace in ('marketing_automation'::regnamespace, 'marketing_automation_internal'::regnamespace)
  and p.proconfig @> array['plan_cache_mode=force_custom_plan'] and not p.proconfig @> array['jit=off'] order by 1;

-- Only this is not dumped: what arms this server must not travel, and what failed last is found again.
select c.oid::regclass
from pg_class c join pg_extension e on e.extname = 'marketing_automation'
where c.relnamespace in ('marketing_automation'::regnamespace, 'marketing_automation_internal'::regnamespace) and c.relkind in ('r', 'S') and not c.oid = any (e.extconfig)
order by c.relname;

select marketing_automation.is_armed();
select database, state from marketing_automation.worker_status() where state in ('not preloaded');

-- A schema of that name that is not ours is not taken over.
drop extension marketing_automation;
create schema marketing_automation;
-- PostgreSQL 18 says where in the script.
\set SHOW_CONTEXT never
create extension marketing_automation;
\set SHOW_CONTEXT errors
drop schema marketing_automation;
-- Whatever everything new is granted to by default, nothing of ours is.
create role regress_default;
alter default privileges grant usage on schemas to regress_default;
alter default privileges grant all on tables to regress_default;
alter default privileges grant execute on functions to regress_default;
create extension marketing_automation;
select count(*) filter (where has_schema_privilege('regress_default', n.oid, 'usage')) as schemas,
       (select count(*) from pg_proc p where p.pronamespace = any (array_agg(n.oid)) and has_function_privilege('regress_default', p.oid, 'execute')) as routines,
       (select count(*) from pg_class c where c.relnamespace = any (array_agg(n.oid)) and c.relkind in ('r', 'p', 'v')
          and has_table_privilege('regress_default', c.oid, 'select')) as relations
from pg_namespace n where n.nspname in ('marketing_automation', 'marketing_automation_internal');
alter default privileges revoke usage on schemas from regress_default;
alter default privileges revoke all on tables from regress_default;
alter default privileges revoke execute on functions from regress_default;
drop role regress_default;

-- What the other tests work on.
create schema shop;
create table shop.customer (
    id bigint generated always as identity primary key,
    name text not null,
    email text,
    language text,
    time_zone text,
    country text not null default 'FR',
    score integer not null default 1
);
insert into shop.customer (name, email, language, time_zone)
select 'Customer ' || i, 'customer' || i || '@shop.example', 'fr_CA', 'Europe/Paris' from generate_series(1, 6) i;
select marketing_automation.register_model('customer', 'shop.customer', key => 'self.id', party => 'self.id', email => 'self.email',
    recipient_name => 'self.name', language => 'self.language', time_zone => 'self.time_zone');

-- The mailer has come up and says what it lacks.
do $$ begin
    for i in 1 .. 400 loop
        exit when (select state from marketing_automation.worker_status()) = 'unconfigured';
        perform pg_sleep(0.05);
    end loop;
end $$;
select state, last_error from marketing_automation.worker_status();

-- Clicks of the other tests count at once: what waits for others of its mail has the test clicks_wait.
update marketing_automation.robot_rule set is_enabled = false where kind in ('burst', 'hidden_link');
-- Returns when all that is in the inbox is applied; the worker may be at some of it.
create function public.events_applied() returns boolean language plpgsql as $$
begin
    for i in 1..600 loop
        perform marketing_automation.apply_events();
        if not exists (select from marketing_automation_internal.event_inbox i where i.error is null) then
            return true;
        end if;
        perform pg_sleep(0.05);
    end loop;
    return false;
end $$;
