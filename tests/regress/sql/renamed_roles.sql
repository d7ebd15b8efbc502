\set SHOW_CONTEXT never
-- What a role was given is kept under the name that it has by now; a dump has names, and is restored where roles may be missing.
begin;
set local client_min_messages = error;
create role regress_rita;
create role regress_rolf;
select marketing_automation.grant_access('regress_rita', 'reports'), marketing_automation.grant_access('regress_rita', 'monitor');
insert into marketing_automation.sender_permission (role, sender) values ('regress_rita', 'rita.example'), ('regress_rita', 'both.example');
alter role regress_rita rename to regress_rosa;
-- She was given one thing again, under her new name.
select marketing_automation.grant_access('regress_rosa', 'monitor');
insert into marketing_automation.sender_permission (role, sender) values ('regress_rosa', 'both.example');
-- Another one of the old name is another one.
create role regress_rita;
select marketing_automation_internal.follow_renamed_roles();
select g.role, g.access, g.role_id = quote_ident(g.role)::regrole as is_its_id from marketing_automation_internal.access_grant g where g.role ~ '^regress_r[io]' order by 1, 2;
select p.role, p.sender, p.role_id = quote_ident(p.role)::regrole as is_its_id from marketing_automation.sender_permission p where p.role ~ '^regress_r[io]' order by 1, 2;
select marketing_automation.revoke_access('regress_rosa', 'reports');
select has_function_privilege('regress_rosa', 'marketing_automation.activity_count(text)', 'execute') as may;
rollback;

-- The number in a dump is another server's.
begin;
create role regress_rolf;
set local check_function_bodies = off;
insert into marketing_automation_internal.access_grant (role, access, role_id) values ('regress_rolf', 'reports', 10), ('regress_nowhere', 'reports', 10);
insert into marketing_automation.sender_permission (role, sender, role_id) values ('regress_rolf', 'rolf.example', 10), ('regress_nowhere', 'nowhere.example', 10);
reset check_function_bodies;
select g.role, g.role_id = (select r.oid from pg_roles r where r.rolname = g.role) as is_its_id from marketing_automation_internal.access_grant g where g.role in ('regress_rolf', 'regress_nowhere') order by 1;
select p.role, p.role_id = (select r.oid from pg_roles r where r.rolname = p.role) as is_its_id, p.role_id = 0 as is_nobody from marketing_automation.sender_permission p where p.role in ('regress_rolf', 'regress_nowhere') order by 1;
rollback;
