\set SHOW_CONTEXT never
-- Teams delete their own definitions, by functions, and lock nobody's tables.
create role regress_dora;
create role regress_dirk;
select count(*) from (values ('regress_dora'), ('regress_dirk')) as g (role) cross join lateral marketing_automation.grant_access(g.role::regrole, 'marketer');
create schema attics;
create table attics.guest (id integer primary key, email text);
insert into attics.guest values (1, 'guest@attic.example');
grant usage on schema attics to regress_dora, regress_dirk;
grant select on attics.guest to regress_dora, regress_dirk;

set role regress_dora;
select marketing_automation.register_model('attic guest', 'attics.guest', key => 'self.id', email => 'self.email');
select marketing_automation.create_scenario('attic', 'attic guest') > 0 as created;
insert into marketing_automation.snippet (name, language, body) values ('attic_foot', '', '<p>foot</p>'), ('attic_foot', 'fr', '<p>pied</p>');
select marketing_automation.add_activity('attic', 'first', subject => 's', body => '<p>x</p>{% include "attic_foot" %}') > 0 as added;
select marketing_automation.add_activity('attic', 'child', parent => 'first', delay => '1 day', action => null) > 0 as added;
insert into marketing_automation.activity_translation (activity_id, language, subject)
select a.id, l.language, 's' from marketing_automation.activity a cross join (values ('fr'), ('de')) as l (language) where a.name = 'first' and a.scenario_id = marketing_automation.scenario_id('attic');

-- Nobody may lock what all teams share, in any mode in which others would wait. A row of one's own is one's own.
create function pg_temp.lock_all() returns table (mode text, refused bigint) language plpgsql as $$
declare
    its_table text;
begin
    foreach mode in array array['row share', 'row exclusive', 'share update exclusive', 'share', 'share row exclusive', 'exclusive', 'access exclusive'] loop
        refused := 0;
        for its_table in
            select c.oid::regclass::text from pg_class c
            where c.relnamespace in ('marketing_automation'::regnamespace, 'marketing_automation_internal'::regnamespace) and c.relkind in ('r', 'p')
        loop
            begin
                execute format('lock table %s in %s mode nowait', its_table, mode);
                raise exception 'locked';
            exception when insufficient_privilege then
                refused := refused + 1;
            when others then
                null;
            end;
        end loop;
        return next;
    end loop;
end $$;
select l.mode, l.refused = (select count(*) from pg_class c where c.relnamespace in ('marketing_automation'::regnamespace,
    'marketing_automation_internal'::regnamespace) and c.relkind in ('r', 'p')) as all_refused
from pg_temp.lock_all() l where l.mode not in ('row share', 'row exclusive');
delete from marketing_automation.scenario where name = 'attic';
truncate marketing_automation.activity;

-- Another team's are refused, and nothing is told of them by rows that are not there.
set role regress_dirk;
select marketing_automation.delete_translation('attic', 'first', 'fr');
select marketing_automation.delete_activity('attic', 'child');
select marketing_automation.delete_activity('attic', 'none');
select marketing_automation.delete_scenario('attic');
select marketing_automation.delete_snippet('attic_foot');
select marketing_automation.unregister_model('attic guest');

-- Own ones go, with what belongs to them, unless something would be missing.
set role regress_dora;
select marketing_automation.delete_translation('attic', 'first', 'nl');
select marketing_automation.delete_translation('attic', 'child', 'nl');
select marketing_automation.delete_translation('attic', 'first', 'fr');
select t.language from marketing_automation.activity_translation t join marketing_automation.activity a on a.id = t.activity_id where a.scenario_id = marketing_automation.scenario_id('attic');
select marketing_automation.delete_activity('attic', 'none');
select marketing_automation.delete_snippet('attic_foot', 'nl');
select marketing_automation.delete_snippet('attic_foot');
select marketing_automation.delete_snippet('attic_foot', 'fr');
select s.language from marketing_automation.snippet s where s.name = 'attic_foot';
select marketing_automation.unregister_model('attic guest');
select marketing_automation.run('attic');
select enrolled from marketing_automation.enroll('attic');
select marketing_automation.delete_activity('attic', 'first');
select marketing_automation.delete_scenario('attic');
select marketing_automation.create_scenario('attic two', 'attic guest') > 0 as created;
select marketing_automation.add_activity('attic two', 'root', action => null) > 0 as added;
select marketing_automation.add_activity('attic two', 'leaf', parent => 'root', action => null) > 0 as added;
select marketing_automation.delete_activity('attic two', 'root');
select count(*) from marketing_automation.activity a where a.scenario_id = marketing_automation.scenario_id('attic two');
select marketing_automation.delete_scenario('attic two');
select marketing_automation.delete_scenario('attic two');
select marketing_automation.delete_scenario(null);
select marketing_automation.stop('attic');
reset role;

-- What a dump of 0.1.0 grants is taken back by grant_access(), and an admin deletes what is shared.
grant delete on marketing_automation.scenario to regress_dora;
select marketing_automation.grant_access('regress_dora', 'marketer');
select marketing_automation.grant_access('regress_dirk', 'admin');
select r.rolname, has_table_privilege(r.rolname, 'marketing_automation.scenario', 'delete') as scenario, has_table_privilege(r.rolname, 'marketing_automation.page', 'delete') as page
from pg_roles r where r.rolname in ('regress_dora', 'regress_dirk') order by 1;
select marketing_automation.revoke_access('regress_dirk', 'admin');
select has_table_privilege('regress_dirk', 'marketing_automation.page', 'delete') as page;
