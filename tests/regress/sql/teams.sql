\set SHOW_CONTEXT never
-- Several teams: every access, and every table, view, sequence and function. What is new shows here, with who may do what to it.
create function shop.make_roles() returns void language plpgsql as $$
declare
    its_access text;
begin
    for its_access in select distinct r.access from marketing_automation_internal.access_right() r loop
        execute format('create role %I', 'regress_a_' || its_access);
        perform marketing_automation.grant_access(('regress_a_' || its_access)::regrole, its_access);
    end loop;
end $$;
select shop.make_roles();
create view shop.object as
select p.oid::regprocedure::text as name, p.proname::text as short, 'execute' as privilege, p.oid from pg_proc p
where p.pronamespace = 'marketing_automation'::regnamespace
union all
select c.oid::regclass::text, c.relname, w.privilege, c.oid from pg_class c cross join unnest(case
    when c.relkind = 'S' then array['usage'] else array['select', 'insert', 'update', 'delete', 'truncate', 'references', 'trigger'] end) as w (privilege)
where c.relnamespace = 'marketing_automation'::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S');
create function shop.may(role regrole, id oid, privilege text) returns boolean language sql as $$
    select case when privilege = 'execute' then has_function_privilege(role, id, privilege)
        when privilege = 'usage' then has_sequence_privilege(role, id, 'usage, select, update')
        when privilege in ('delete', 'truncate', 'trigger') then has_table_privilege(role, id, privilege)
        else has_any_column_privilege(role, id, privilege) end
$$;
\pset format unaligned
select replace(o.name, 'marketing_automation.', '') as object, o.privilege, coalesce(string_agg(replace(r.rolname, 'regress_a_', ''), ' ' order by r.rolname), 'nobody') as who
from shop.object o left join pg_roles r on r.rolname ~ '^regress_a_' and shop.may(r.oid, o.oid, o.privilege)
group by 1, 2 having o.privilege in ('select', 'execute') or count(r.oid) > 0
order by replace(o.name, 'marketing_automation.', '') collate "C", 2;
\pset format aligned
-- That is what the table says, and nothing more.
select o.short, o.privilege, r.rolname from shop.object o join pg_roles r on r.rolname ~ '^regress_a_' and shop.may(r.oid, o.oid, o.privilege)
where not exists (
    select from marketing_automation_internal.access_right() a
    where 'regress_a_' || a.access = r.rolname and o.short = any (string_to_array(a.objects, ' '))
      and (a.privilege = o.privilege or a.privilege = 'write' and o.privilege in ('insert', 'update', 'delete')));
select a.access, a.privilege, n.name from marketing_automation_internal.access_right() a
cross join unnest(string_to_array(a.objects, ' ')) as n (name)
where not exists (select from shop.object o where o.short = n.name and a.privilege in (o.privilege, 'write'));
-- Nothing of the other schema is anybody's.
select c.oid::regclass from pg_class c cross join pg_roles r
where c.relnamespace = 'marketing_automation_internal'::regnamespace and r.rolname ~ '^regress_a_' and has_schema_privilege(r.oid, c.relnamespace, 'usage');

-- Two teams with the same campaign, and one member of both.
create role regress_team_ann;
create role regress_team_bob;
create role regress_team_both in role regress_team_ann, regress_team_bob;
grant regress_a_marketer to regress_team_ann, regress_team_bob, regress_team_both;
create table shop.team_guest (id integer primary key, team text, email text);
insert into shop.team_guest select n, case when n % 2 = 0 then 'ann' else 'bob' end, 'guest' || n || '@shop.example' from generate_series(1, 6) n;
grant usage on schema shop to regress_team_ann, regress_team_bob, regress_a_reader, regress_a_reports;
grant select on shop.team_guest to regress_team_ann, regress_team_bob;
create function shop.campaign(team text) returns void language plpgsql as $$
begin
    perform marketing_automation.register_model(team || ' guests', 'shop.team_guest', key => 'self.id', party => 'self.id', email => 'self.email');
    perform marketing_automation.create_scenario(team, team || ' guests', domain => format('self.team = %L', team), unsubscribable => true);
    perform marketing_automation.add_activity(team, 'mail', subject => 's', body => '<p>x</p>', branch_by => 'condition');
    perform marketing_automation.add_activity(team, 'again', parent => 'mail', delay => '1 day', action => null);
    perform marketing_automation.add_activity(team, 'later', delay => '1 day', action => null);
    perform marketing_automation.add_activity(team, 'bad', condition => '1 / (self.id % 3) is not null', action => null);
    insert into marketing_automation.snippet (name, body) values (team || '_foot', '<p>x</p>');
    insert into marketing_automation.send_window (name) values (team || '_hours');
    insert into marketing_automation.activity_translation (activity_id, language, subject)
    select a.id, 'fr', 'S' from marketing_automation.activity a join marketing_automation.scenario s on s.id = a.scenario_id
    where s.name = team and a.name = 'mail';
end $$;
set client_min_messages = error;
set role regress_team_ann;
select shop.campaign('ann');
select marketing_automation.run('ann');
set role regress_team_bob;
select shop.campaign('bob');
select marketing_automation.run('bob');
-- Who enrolls and processes all, does so with his own.
select * from marketing_automation.enroll();
call marketing_automation.process_all_due();
call marketing_automation.enroll_all();
select * from marketing_automation.enroll_next();
reset role;
select s.name, count(r.id) as records from marketing_automation.scenario s
left join marketing_automation.record r on r.scenario_id = s.id where s.name in ('ann', 'bob') group by 1 order by 1;
select scenario, enrolled from marketing_automation.enroll('ann');
set role regress_team_bob;
call marketing_automation.process_all_due();
reset role;
select s.name, ra.state, count(*) from marketing_automation.record_activity ra
join marketing_automation.activity a on a.id = ra.activity_id join marketing_automation.scenario s on s.id = a.scenario_id and s.name in ('ann', 'bob')
group by 1, 2 order by 1, 2;
call marketing_automation.process_all_due();
reset client_min_messages;

-- Something of each kind, for each of the teams.
insert into marketing_automation.link (digest, url) select sha256(convert_to(u, 'UTF8')), u from unnest(array['https://shop.example/ann', 'https://shop.example/bob']) u;
insert into marketing_automation_internal.event (id, occurred_at, kind, record_id, activity_id, link_id, method, robot)
select gen_random_uuid(), now(), 'email_clicked', r.id, a.id, l.id, 'GET', 'a rule' from marketing_automation.record r
join marketing_automation.scenario s on s.id = r.scenario_id join marketing_automation.activity a on a.scenario_id = s.id and a.name = 'mail'
join marketing_automation.link l on l.url = 'https://shop.example/' || s.name where r.key in ('1', '2');
select count(marketing_automation.record_conversion(r.uuid, 1)), count(marketing_automation.block(r.uuid)) from marketing_automation.record r
join marketing_automation.scenario s on s.id = r.scenario_id and s.name in ('ann', 'bob') where r.key in ('1', '2');
select marketing_automation.unsubscribe('team 77', 'ann'), marketing_automation.unsubscribe('team 77', 'bob'), marketing_automation.unsubscribe('team 77');
insert into marketing_automation_internal.attempt_log (message_id, attempt, ended_at, state)
select m.id, 1, now(), 'failed' from marketing_automation.message m join marketing_automation.activity a on a.id = m.activity_id
join marketing_automation.scenario s on s.id = a.scenario_id and s.name in ('ann', 'bob');

-- Whose rows somebody sees, in each relation that a marketer reads and that has to do with scenarios.
create view shop.whose as
select s.id as scenario_id, s.name as team, a.id as activity_id from marketing_automation.scenario s
join marketing_automation.activity a on a.scenario_id = s.id where s.name in ('ann', 'bob');
create table shop.team as select distinct w.scenario_id::text as is, w.team, 'scenario_id' as by from shop.whose w
union all select distinct w.activity_id::text, w.team, 'activity_id' from shop.whose w
union all select r.id::text, w.team, 'record_id' from marketing_automation.record r join (select distinct team, scenario_id from shop.whose) w using (scenario_id)
union all select m.id::text, w.team, 'message_id' from marketing_automation.message m join shop.whose w using (activity_id)
union all select distinct w.team, w.team, 'scenario' from shop.whose w
union all select distinct w.scenario_id::text, w.team, 'id' from shop.whose w;
grant select on shop.team to public;
create function shop.sees(relation text) returns text language plpgsql as $$
declare
    way text := (
        select a.attname from pg_attribute a
        where a.attrelid = format('marketing_automation.%I', relation)::regclass and a.attname in (
            case when relation = 'scenario' then 'id' end, case when relation <> 'event' then 'scenario_id' end, 'activity_id', 'record_id', 'message_id', 'scenario')
        order by array_position(array['id', 'scenario_id', 'activity_id', 'record_id', 'message_id', 'scenario'], a.attname::text) limit 1);
    result text;
begin
    execute format($q$select string_agg(distinct coalesce(t.team, case when r.%I::text = '0' then 'all' end), ' ' order by coalesce(t.team, case when r.%1$I::text = '0' then 'all' end))
        from marketing_automation.%I r left join shop.team t on t.by = %1$L and t.is = r.%1$I::text$q$, way, relation) into result;
    return coalesce(result, '-');
exception when insufficient_privilege then
    return 'denied';
end $$;
create table shop.scoped as select distinct n.name from marketing_automation_internal.access_right() a cross join unnest(string_to_array(a.objects, ' ')) as n (name)
where a.privilege = 'select' and a.scope = 'own';
grant select on shop.scoped to public;
create function shop.look() returns table (relation text, sees text) language sql as $$
    select distinct n.name, shop.sees(n.name) from shop.scoped n order by 1
$$;
create table shop.seen (who text, relation text, sees text);
grant insert on shop.seen to public;
grant usage on schema shop to public;
set role regress_team_ann; insert into shop.seen select 'ann', * from shop.look();
set role regress_team_bob; insert into shop.seen select 'bob', * from shop.look();
set role regress_team_both; insert into shop.seen select 'both', * from shop.look();
set role regress_a_marketer; insert into shop.seen select 'nobody', * from shop.look();
-- Scenarios of others may be broken.
set client_min_messages = error;
set role regress_a_reader; insert into shop.seen select 'reader', * from shop.look();
set role regress_a_reports; insert into shop.seen select 'reports', * from shop.look();
set role regress_a_operator; insert into shop.seen select 'operator', * from shop.look();
set role regress_a_admin; insert into shop.seen select 'admin', * from shop.look();
reset role;
reset client_min_messages;
select s.relation, max(s.sees) filter (where who = 'ann') as ann, max(s.sees) filter (where who = 'bob') as bob, max(s.sees) filter (where who = 'both') as both,
    max(s.sees) filter (where who = 'nobody') as nobody, max(s.sees) filter (where who = 'reader') as reader, max(s.sees) filter (where who = 'reports') as reports,
    max(s.sees) filter (where who = 'operator') as operator, max(s.sees) filter (where who = 'admin') as admin
from shop.seen s group by 1 order by 1;
set role regress_team_ann;
select distinct e.url from marketing_automation.event e where e.kind = 'email_clicked';
-- A function of hers that is cheap enough to run first sees no row of his.
create function pg_temp.spy(text) returns boolean language plpgsql cost 0.0000001 as $$ begin raise notice 'saw %', $1; return true; end $$;
select count(*) from marketing_automation.record r where pg_temp.spy(r.key) and r.key = '1';
select r.scenario from marketing_automation.scenario_report r where pg_temp.spy(r.scenario);
select distinct r.scenario from marketing_automation.activity_report r where pg_temp.spy(r.scenario);
select r.scenario from marketing_automation.conversion_report r where pg_temp.spy(r.scenario);
reset role;

-- What each function does that has to do with scenarios, asked by her about his; then by him.
set marketing_automation.report_links = on;
set marketing_automation.automation_base = 'https://track.example';
select count(*) from marketing_automation.tracking_keys() \gset keys_
create table shop.call (function text, call text);
insert into shop.call values
    ('activity_count', 'from marketing_automation.activity_count(''bob'')'),
    ('uplift_report', 'from marketing_automation.uplift_report(''bob'')'),
    ('variant_report', 'from marketing_automation.variant_report(''bob'')'),
    ('record_count', 'from marketing_automation.record_count(''bob'')'),
    ('check', 'from marketing_automation.check(''bob'')'),
    ('scenario_report_by', 'from marketing_automation.scenario_report_by(''bob'')'),
    ('activity_report_by', 'from marketing_automation.activity_report_by(''bob'')'),
    ('link_report', 'from marketing_automation.link_report(''bob'')'),
    ('domain_report', 'from marketing_automation.domain_report(''bob'')'),
    ('timing_report', 'from marketing_automation.timing_report(''bob'')'),
    ('cohort_report', 'from marketing_automation.cohort_report(''bob'')'),
    ('mail_report', 'from marketing_automation.mail_report(''bob'')'),
    ('report', 'from marketing_automation.report(''bob'')'),
    ('report_link', 'from marketing_automation.report_link(''bob'')'),
    ('report_html', 'from marketing_automation.report_html(''bob'')'),
    ('check_scenario', 'from marketing_automation.check_scenario(''bob'')'),
    ('export_scenario', 'from marketing_automation.export_scenario(''bob'')'),
    ('import_scenario', 'from marketing_automation.import_scenario(''{"format": 1, "scenario": {"name": "bob", "model": "bob guests"}, "activities": []}'', dry_run => true)'),
    ('copy_scenario', 'from marketing_automation.copy_scenario(''bob'', ''copy of bob'')'),
    ('scenario_id', 'from marketing_automation.scenario_id(''bob'')'),
    ('tree', 'from marketing_automation.tree(''bob'')'),
    ('explain_record', 'from marketing_automation.explain_record(''bob'', ''1'')'),
    ('simulate', 'from marketing_automation.simulate(''bob'', ''3'')'),
    ('rehearse', 'from (select count(*) from marketing_automation.rehearse(''bob'', now() + interval ''2 days'')) r'),
    ('sees_rows', 'from marketing_automation.sees_rows(:scenario) s where s'),
    ('record_id', 'from marketing_automation.record_id('':uuid'')'),
    ('enroll', 'from marketing_automation.enroll(''bob'')'),
    ('enroll_record', 'from marketing_automation.enroll_record(''bob'', ''3'')'),
    ('enroll_records', 'from marketing_automation.enroll_records(''bob'', array[''3'', ''4''])'),
    ('enroll_next', 'from marketing_automation.enroll_next() e where e.scenario = ''bob'''),
    ('process_due', 'from marketing_automation.process_due(now => now() + interval ''2 days'') p where p > 0'),
    ('apply_events', 'from marketing_automation.apply_events()'),
    ('apply_exits', 'from marketing_automation.apply_exits(''bob'')'),
    ('apply_goals', 'from marketing_automation.apply_goals(''bob'')'),
    ('apply_dates', 'from marketing_automation.apply_dates(''bob'')'),
    ('apply_waits', 'from marketing_automation.apply_waits(''bob'')'),
    ('block', 'from marketing_automation.block('':uuid'')'),
    ('unblock', 'from marketing_automation.unblock('':uuid'')'),
    ('unsubscribe', 'from marketing_automation.unsubscribe(''78'', ''bob'')'),
    ('unsubscribe', 'from marketing_automation.unsubscribe(''78'')'),
    ('unsubscribe_address', 'from marketing_automation.unsubscribe_address(''team@78.example'', ''bob'')'),
    ('unsubscribe_address', 'from marketing_automation.unsubscribe_address(''team@78.example'')'),
    ('resubscribe_address', 'from marketing_automation.resubscribe_address(''team@78.example'', ''bob'')'),
    ('resubscribe_address', 'from marketing_automation.resubscribe_address(''team@78.example'')'),
    ('resubscribe', 'from marketing_automation.resubscribe(''78'', ''bob'')'),
    ('resubscribe', 'from marketing_automation.resubscribe(''team 77'')'),
    ('record_conversion', 'from marketing_automation.record_conversion('':uuid'')'),
    ('retry', 'from marketing_automation.retry(:message)'),
    ('retry', 'from marketing_automation.retry(row(:record, :bad, null, null, null, null, null, null, null, null, null)::marketing_automation.record_activity)'),
    ('cancel', 'from marketing_automation.cancel(:message)'),
    ('register_model', 'from marketing_automation.register_model(''bob guests'', ''shop.team_guest'', ''self.id'')'),
    ('unregister_model', 'from marketing_automation.unregister_model(''bob guests'')'),
    ('watch', 'from marketing_automation.watch(''bob guests'')'),
    ('unwatch', 'from marketing_automation.unwatch(''bob guests'')'),
    ('create_scenario', 'from marketing_automation.create_scenario(''bobs'', ''bob guests'')'),
    ('delete_scenario', 'from marketing_automation.delete_scenario(''bob'')'),
    ('delete_activity', 'from marketing_automation.delete_activity(''bob'', ''later'')'),
    ('delete_translation', 'from marketing_automation.delete_translation(''bob'', ''mail'', ''fr'')'),
    ('delete_snippet', 'from marketing_automation.delete_snippet(''bob_foot'')'),
    ('delete_send_window', 'from marketing_automation.delete_send_window(''bob_hours'')'),
    ('add_activity', 'from marketing_automation.add_activity(''bob'', ''more'', action => null)'),
    ('decide', 'from marketing_automation.decide(''bob'', ''later'', ''no variant'')'),
    ('run', 'from marketing_automation.run(''bob'')'),
    ('stop', 'from marketing_automation.stop(''bob'')'),
    ('draft', 'from marketing_automation.draft(''bob'')'),
    ('preview', 'from marketing_automation.preview(''bob'', ''mail'', ''3'')'),
    ('preview_attachments', 'from marketing_automation.preview_attachments(''bob'', ''mail'', ''3'')'),
    ('send_test', 'from marketing_automation.send_test(''bob'', ''mail'', ''3'', ''me@shop.example'')');
-- They commit, so they stand above.
insert into shop.call values ('enroll_all', null), ('process_all_due', null);
select n.name as without_a_decision from marketing_automation_internal.access_right() a cross join unnest(string_to_array(a.objects, ' ')) as n (name)
where a.privilege = 'execute' and a.scope = 'own' and n.name not in (select c.function from shop.call c);
update shop.call c set call = replace(replace(replace(replace(replace(c.call, ':scenario', r.scenario_id::text), ':uuid', r.uuid::text), ':record', r.id::text),
    ':bad', (select a.id::text from marketing_automation.activity a where a.scenario_id = r.scenario_id and a.name = 'bad')),
    ':message', (select m.id::text from marketing_automation.message m where m.record_id = r.id))
from marketing_automation.record r where r.key = '3' and r.scenario_id = marketing_automation.scenario_id('bob');
grant select on shop.call to public;
create function shop.try(call text) returns text language plpgsql as $$
declare
    result text;
begin
    begin
        execute 'select count(*) ' || call into result;
        raise exception using errcode = 'MA002', message = case result when '0' then 'nothing' else 'yes' end;
    exception when insufficient_privilege then
        return 'no';
    when sqlstate 'MA002' then
        return sqlerrm;
    when others then
        return left(sqlerrm, 46);
    end;
end $$;
create table shop.tried (who text, call text, result text);
grant insert on shop.tried to public;
set client_min_messages = error;
set role regress_team_ann; insert into shop.tried select 'ann', c.call, shop.try(c.call) from shop.call c where c.call is not null;
set role regress_team_bob; insert into shop.tried select 'bob', c.call, shop.try(c.call) from shop.call c where c.call is not null;
set role regress_a_reader; insert into shop.tried select 'reader', c.call, shop.try(c.call) from shop.call c where c.call is not null;
set role regress_a_reports; insert into shop.tried select 'reports', c.call, shop.try(c.call) from shop.call c where c.call is not null;
set role regress_a_operator; insert into shop.tried select 'operator', c.call, shop.try(c.call) from shop.call c where c.call is not null;
set role regress_a_admin; insert into shop.tried select 'admin', c.call, shop.try(c.call) from shop.call c where c.call is not null;
reset role;
reset client_min_messages;
select c.function || case when c.call ~ '\(''(team )?7[78]''\)' then ' from all' else '' end as function,
    max(t.result) filter (where t.who = 'ann') as ann, max(t.result) filter (where t.who = 'bob') as bob, max(t.result) filter (where t.who = 'reader') as reader,
    max(t.result) filter (where t.who = 'reports') as reports, max(t.result) filter (where t.who = 'operator') as operator, max(t.result) filter (where t.who = 'admin') as admin
from shop.call c join shop.tried t on t.call = c.call group by 1 order by 1;

-- Who writes the tables.
set role regress_team_ann;
update marketing_automation.scenario set domain = 'true' where name = 'bob';
delete from marketing_automation.scenario where name = 'bob';
select count(*) from marketing_automation.activity a where a.name = 'mail';
update marketing_automation.activity set subject = 'hers' where name = 'mail' and id not in (select a.id from marketing_automation.activity a
    where a.scenario_id = marketing_automation.scenario_id('ann'));
update marketing_automation.model set key = 'self.email' where name = 'bob guests';
select marketing_automation.stop('bob');
-- Nor does she lock rows of his, which would keep him waiting.
select name from marketing_automation.model where name in ('ann guests', 'bob guests') for update;
select name from marketing_automation.snippet where name in ('ann_foot', 'bob_foot') for share;
select name from marketing_automation.send_window where name in ('ann_hours', 'bob_hours') for key share;
select name from marketing_automation.send_window where name in ('ann_hours', 'bob_hours') order by 1;
reset role;
select max(w.scenario_id) as bob from shop.whose w where w.team = 'bob' \gset
set role regress_team_ann;
\set VERBOSITY sqlstate
insert into marketing_automation.activity (scenario_id, name, action) values (:bob, 'hers', null);
update marketing_automation.activity set scenario_id = :bob where name = 'later';
\set VERBOSITY default
reset role;
select count(*) from marketing_automation.activity a where a.scenario_id = :bob;

-- Who may do all: the marketer of old, to whom nothing has changed.
select count(*) from unnest(array['marketer', 'reader', 'operator', 'admin']) a cross join lateral marketing_automation.grant_access('regress_team_ann', a);
set role regress_team_ann;
select s.name from marketing_automation.scenario s where s.name in ('ann', 'bob') order by 1;
select marketing_automation.pause('by Ann'), marketing_automation.resume();
-- Seeing others' definitions is not locking them.
select s.name from marketing_automation.scenario s where s.name in ('ann', 'bob') order by 1 for update;
select s.name, a.name from marketing_automation.activity a join marketing_automation.scenario s on s.id = a.scenario_id
where s.name in ('ann', 'bob') order by 1, 2 for key share of a;
update marketing_automation.activity_translation t set subject = t.subject from marketing_automation.activity a, marketing_automation.scenario s
where a.id = t.activity_id and s.id = a.scenario_id and s.name = 'bob';
select marketing_automation.stop('bob');
reset role;

select marketing_automation.stop('ann'), marketing_automation.stop('bob');
select marketing_automation.resubscribe('team 77');
delete from marketing_automation.snippet where name in ('ann_foot', 'bob_foot');
delete from marketing_automation.send_window where name in ('ann_hours', 'bob_hours');
drop function shop.make_roles(), shop.campaign(text), shop.look(), shop.sees(text), shop.try(text), shop.may(regrole, oid, text);
drop view shop.object, shop.whose;
drop table shop.team, shop.seen, shop.call, shop.tried, shop.scoped, shop.team_guest;
