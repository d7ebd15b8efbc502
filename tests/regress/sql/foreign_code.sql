\set SHOW_CONTEXT never
-- Nobody's code runs with rights that its owner does not have: what a relation runs when it is read is its owner's doing.
create role regress_ada;
create role regress_ben;
create role regress_app;
grant regress_app to regress_ada;
create schema bobs authorization regress_ben;
create schema apps authorization regress_app;
grant usage on schema bobs, apps to regress_ada, regress_app;
select count(*) from (values ('regress_ada'), ('regress_ben')) as g (role)
cross join lateral marketing_automation.grant_access(g.role::regrole, 'marketer');

set role regress_ben;
create table bobs.lead (id integer primary key, email text);
insert into bobs.lead values (1, 'lead@shop.example');
create function bobs.reads_as() returns text language sql as $$ select current_user::text $$;
create view bobs.harmless as select l.id, l.email from bobs.lead l;
create view bobs.called as select l.id, l.email, bobs.reads_as() as reads_as from bobs.lead l;
create view bobs.hidden as select l.id, l.email from bobs.lead l where exists (select from (select bobs.reads_as() as r) x where x.r is not null);
create domain bobs.address as text;
alter domain bobs.address add check (bobs.reads_as() is not null);
create view bobs.checked as select l.id, l.email::bobs.address as email from bobs.lead l;
create type bobs.mood as enum ('glad');
create function bobs.mood_json(bobs.mood) returns json language sql as $$ select to_json(current_user::text) $$;
create cast (bobs.mood as json) with function bobs.mood_json(bobs.mood);
create table bobs.moody (id integer primary key, moods bobs.mood[]);
create table bobs.guarded (id integer primary key);
alter table bobs.guarded enable row level security;
create policy all_rows on bobs.guarded using (bobs.reads_as() is not null);
create function bobs.less(integer, integer) returns boolean language sql as $$ select current_user is not null $$;
create operator bobs.<<< (function = bobs.less, leftarg = integer, rightarg = integer);
create view bobs.compared as select l.id from bobs.lead l where l.id operator(bobs.<<<) 2;
grant select on all tables in schema bobs to regress_ada, regress_app;
set role regress_app;
create function apps.reads_as() returns text language sql as $$ select current_user::text $$;
create table apps.customer (id integer primary key, email text);
insert into apps.customer values (1, 'app@shop.example');
create view apps.customers as select c.id, c.email, apps.reads_as() as reads_as from apps.customer c;
create view apps.over_bob as select * from bobs.called;
grant select on all tables in schema apps to regress_ada;
reset role;

-- A table runs nothing, nor does a view over it. All others would run Bob's code as Ann.
set role regress_ada;
select marketing_automation.register_model('bobs lead', 'bobs.lead', key => 'self.id', email => 'self.email');
select marketing_automation.register_model('harmless', 'bobs.harmless', key => 'self.id', email => 'self.email');
select marketing_automation.register_model('called', 'bobs.called', key => 'self.id', email => 'self.email');
select marketing_automation.register_model('hidden', 'bobs.hidden', key => 'self.id');
select marketing_automation.register_model('checked', 'bobs.checked', key => 'self.id');
select marketing_automation.register_model('moody', 'bobs.moody', key => 'self.id');
select marketing_automation.register_model('guarded', 'bobs.guarded', key => 'self.id');
select marketing_automation.register_model('compared', 'bobs.compared', key => 'self.id');
-- What she writes herself, she wants; what others bring along behind it, she does not.
select marketing_automation.create_scenario('named', 'bobs lead', domain => 'bobs.reads_as() = ''regress_ada''') > 0 as created;
select marketing_automation.create_scenario('behind', 'bobs lead', domain => 'exists (select from bobs.called)');
-- Of whom she is a member, she may be: the view of the application's role is read as that role.
select marketing_automation.register_model('apps customers', 'apps.customers', key => 'self.id', party => 'self.reads_as');
select marketing_automation.create_scenario('application', 'apps customers') > 0 as created;
select marketing_automation.add_activity('application', 'root', action => null) > 0 as added;
select marketing_automation.register_model('over_bob', 'apps.over_bob', key => 'self.id');
-- It is looked at in every run.
select marketing_automation.create_scenario('replaced', 'harmless') > 0 as created;
select marketing_automation.add_activity('replaced', 'root', action => null) > 0 as added;
select marketing_automation.run(s) from unnest(array['application', 'replaced']) s;
set role regress_ben;
create or replace view bobs.harmless as select l.id, bobs.reads_as() as email from bobs.lead l;
reset role;
select e.* from unnest(array['application', 'replaced']) s cross join lateral marketing_automation.enroll(s) e order by 1;
select r.party from marketing_automation.record r where r.scenario_id = marketing_automation.scenario_id('application');
-- Bob becomes one who may.
grant regress_ada to regress_ben;
select scenario, enrolled, error from marketing_automation.enroll('replaced');
revoke regress_ada from regress_ben;

-- A superuser's expressions run code of superusers only, however deep it is, and whoever has named it.
create view public.over_lead as select * from bobs.lead;
create view public.over_called as select * from bobs.called;
create view public.over_over as select * from public.over_called;
create table public.own (id integer primary key, email text);
select marketing_automation.register_model('over_lead', 'public.over_lead', key => 'self.id');
select marketing_automation.register_model('over_called', 'public.over_called', key => 'self.id');
select marketing_automation.register_model('over_over', 'public.over_over', key => 'self.id');
select marketing_automation.register_model('own', 'public.own', key => 'self.id');
select marketing_automation.create_scenario('own_named', 'own', domain => 'bobs.reads_as() is not null');
select marketing_automation.create_scenario('own_behind', 'own', domain => 'exists (select from bobs.called)');
select marketing_automation.create_scenario('own_table', 'own', domain => 'exists (select from bobs.lead)') > 0 as created;
-- A foreign table's server says as whom who reads it is logged in.
create foreign data wrapper nowhere;
create server nowhere foreign data wrapper nowhere;
grant usage on foreign server nowhere to regress_ben;
create table public.measure (id integer) partition by range (id);
set role regress_ben;
create foreign table bobs.far (id integer) server nowhere;
reset role;
select marketing_automation.register_model('far', 'public.measure', key => 'self.id');
alter table public.measure attach partition bobs.far for values from (0) to (10);
select marketing_automation.create_scenario('far', 'far');

select marketing_automation.stop(s) from unnest(array['application', 'replaced']) s;
drop foreign table bobs.far;
drop foreign data wrapper nowhere cascade;

-- Who owns the extension may be no superuser any more: nothing runs then that he could not run himself.
create role regress_lapsed superuser;
select n.nspowner::regrole as extension_owner from pg_namespace n where n.nspname = 'marketing_automation_internal' \gset
alter schema marketing_automation_internal owner to regress_lapsed;
alter role regress_lapsed nosuperuser;
\set VERBOSITY terse
select marketing_automation.create_scenario('lapsed', 'own');
grant regress_ada to regress_lapsed;
set role regress_ada;
select marketing_automation.create_scenario('lapsed', 'bobs lead') > 0 as created;
reset role;
\set VERBOSITY default
alter schema marketing_automation_internal owner to :extension_owner;
drop role regress_lapsed;
