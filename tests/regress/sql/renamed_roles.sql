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
insert into marketing_automation.sender_permission (role, sender) values ('regress_rosa', 'both.example');
insert into marketing_automation_internal.access_grant (role, access) values ('regress_rosa', 'monitor');
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

-- Names that are exchanged, and one that moves into the place of another: nothing is lost, whoever had a name before.
begin;
set local client_min_messages = error;
create role regress_rs1;
create role regress_rs2;
create role regress_rx;
create role regress_ry;
select count(marketing_automation.grant_access(quote_ident(r)::regrole, 'reports')) from unnest(array['regress_rs1', 'regress_rs2', 'regress_rx', 'regress_ry']) r;
insert into marketing_automation.sender_permission (role, sender)
select r, 'swap.example' from unnest(array['regress_rs1', 'regress_rs2', 'regress_rx', 'regress_ry']) r;
-- One of a name that nobody has any more stands where another one comes.
create role regress_rw;
select marketing_automation.grant_access('regress_rw', 'reports');
insert into marketing_automation.sender_permission (role, sender) values ('regress_rw', 'swap.example');
select marketing_automation.revoke_access('regress_rw', 'reports');
drop role regress_rw;
create table shop.was as select p.role_id, 'sender' as what from marketing_automation.sender_permission p where p.sender = 'swap.example' and p.role <> 'regress_rw'
union all select g.role_id, g.access from marketing_automation_internal.access_grant g where g.role ~ '^regress_r[swxy]';
alter role regress_rs1 rename to regress_rs9;
alter role regress_rs2 rename to regress_rs1;
alter role regress_rs9 rename to regress_rs2;
alter role regress_rx rename to regress_rw;
alter role regress_ry rename to regress_rx;
select marketing_automation_internal.follow_renamed_roles();
select w.what, count(*), count(n.role_id) as kept, bool_and(n.role = r.rolname) as has_its_name from shop.was w join pg_roles r on r.oid = w.role_id
left join (select p.role, p.role_id, 'sender' as what from marketing_automation.sender_permission p
    union all select g.role, g.role_id, g.access from marketing_automation_internal.access_grant g) n on n.role_id = w.role_id and n.what = w.what
group by 1 order by 1;
select p.role from marketing_automation.sender_permission p where p.sender = 'swap.example' order by 1;

-- Somebody new gets an old name: who had it keeps what was given, and may lose it.
alter role regress_rw rename to regress_rv;
create role regress_rw;
select marketing_automation.grant_access('regress_rw', 'reports');
select g.role, g.role_id = quote_ident(g.role)::regrole as is_its_id from marketing_automation_internal.access_grant g where g.role in ('regress_rv', 'regress_rw') order by 1;
select marketing_automation.revoke_access('regress_rv', 'reports');
-- What is written beside the name means the role that it meant.
alter role regress_rv rename to regress_ru;
create role regress_rv;
update marketing_automation.sender_permission set sender = 'moved.example' where role = 'regress_rv';
select p.role, p.role_id = 'regress_ru'::regrole as is_who_had_it from marketing_automation.sender_permission p where p.sender = 'moved.example' order by 1;
rollback;

-- A model whose expressions do not plan any more, and a definition that refuses its owner's new name, keep no other.
begin;
create function shop.refuse() returns trigger language plpgsql as $$ begin raise exception 'not this one'; end $$;
create trigger refuse before update on marketing_automation.snippet for each row when (new.name = 'ru_foot') execute function shop.refuse();
create role regress_ro;
create table shop.ro_guest (id integer, email text);
grant usage on schema shop to regress_ro;
grant select on shop.ro_guest to regress_ro;
insert into marketing_automation.model (name, relation, key, email, owner) values ('ro 1', 'shop.ro_guest', 'self.id', 'self.email', 'regress_ro');
insert into marketing_automation.model (name, relation, key, owner) values ('ro 2', 'shop.ro_guest', 'self.id', 'regress_ro');
insert into marketing_automation.snippet (name, body, owner) values ('ru_foot', '<p>x</p>', 'regress_ro'), ('ru_head', '<p>x</p>', 'regress_ro');
insert into marketing_automation.send_window (name, owner) values ('ru', 'regress_ro');
alter table shop.ro_guest rename column email to address;
alter role regress_ro rename to regress_ru;
select marketing_automation_internal.follow_renamed_roles();
select m.name, m.owner from marketing_automation.model m where m.name like 'ro _'
union all select s.name, s.owner from marketing_automation.snippet s where s.name like 'ru\_%'
union all select w.name, w.owner from marketing_automation.send_window w where w.name = 'ru' order by 1;
rollback;
