\set SHOW_CONTEXT never
-- Watched tables: one look passes over all scenarios for which there is nothing to do, and over no other.
create schema idl;
create table idl.person (id integer primary key, mail text, points integer default 0, born date default '2000-01-01');
insert into idl.person (id, mail) select i, 'p' || i || '@idl.example' from generate_series(1, 3) i;
select marketing_automation.register_model('idl_person', 'idl.person', key => 'self.id', party => 'self.mail', email => 'self.mail') \gset
create function idl.create(name text, domain text, model text default 'idl_person') returns void language sql as $$
    select marketing_automation.create_scenario(name, model, domain), marketing_automation.add_activity(name, 'a', action => null),
        marketing_automation.run(name);
$$;
select idl.create('idl_many', 'self.points > 10'), idl.create('idl_few', 'self.points > 20'), idl.create('idl_gone', 'self.points > 30') \gset
select * from marketing_automation.watch('idl_person');
-- A turn of each: the first one reads all rows, the second one, seconds later, finds that the query is the same.
create procedure idl.turns() language plpgsql as $$
declare
    its record;
begin
    for turn in 1..2 loop
        for its in select s.id, s.name from marketing_automation.scenario s where s.name like 'idl\_%' and s.state = 'running' loop
            perform marketing_automation.enroll_next(array(select s.name from marketing_automation.scenario s where s.id <> its.id));
            update marketing_automation_internal.watched_scan z set scanned_at = z.scanned_at - interval '3 seconds'
            where z.scenario_id = its.id and z.scanned_at > now() - interval '2 seconds';
        end loop;
        commit;
    end loop;
end $$;
-- What a look finds: = unchanged, * rows were written, - for a turn.
create function idl.found(out scenario text, out state text) returns setof record language sql as $$
    select s.name, case when u.id is null then '-' when u.is_written then '*' else '=' end
    from marketing_automation.scenario s
    left join marketing_automation_internal.unchanged_scenarios(null) u on u.id = s.id
    where s.name like 'idl\_%' and s.state = 'running' order by s.name
$$;
create function idl.look() returns text language sql as $$
    select string_agg(f.scenario || ' ' || f.state, ', ' order by f.scenario) from idl.found() f
$$;
-- What a run passes over.
create function idl.passed() returns text language sql as $$
    select string_agg(p.scenario, ', ' order by p.scenario) from marketing_automation_internal.pass_over(null, false) p where p.scenario like 'idl\_%'
$$;
select idl.look();
call idl.turns();
select idl.look();
select idl.passed();
select s.name, t.last_scanned_at = t.last_enrolled_at as read_all from marketing_automation.scenario_status t
join marketing_automation.scenario s on s.id = t.scenario_id where s.name like 'idl\_%' order by s.name;
-- For all at once.
select e.* from marketing_automation.enroll_next() e where e.scenario like 'idl\_%';

-- Rows that were written, and enter nowhere.
update idl.person set mail = mail where id = 1;
select idl.look();
select idl.passed(), idl.look();
-- Who matches goes on to a turn, of those scenarios that it enters.
update idl.person set points = 25 where id = 2;
select idl.passed();
select idl.look();
call idl.turns();
select idl.look();
select s.name, r.key from marketing_automation.record r join marketing_automation.scenario s on s.id = r.scenario_id
where s.name like 'idl\_%' order by 1, 2;
-- Who is in already enters nowhere.
update idl.person set points = 26 where id = 2;
select idl.passed(), idl.look();
-- "Any row" is for a turn, which reads all.
insert into marketing_automation_internal.captured_keys (watch_id, xid)
select w.id, pg_current_xact_id() from marketing_automation_internal.watched_table w where w.model = 'idl_person';
select idl.passed(), idl.look();
call idl.turns();
select idl.look();

-- A domain that raises: a turn of each tells whose it is.
update marketing_automation.scenario set domain = '100 / self.points > 50' where name = 'idl_gone';
update idl.person set points = 1 where points = 0;
call idl.turns();
select idl.look();
update idl.person set points = 0 where id = 3;
select idl.passed();
call idl.turns();
select idl.look();
update idl.person set points = 1 where id = 3;
call idl.turns();
call idl.turns();
select idl.look();

-- Whatever may change who enters, is for a turn.
create procedure idl.after(what text) language plpgsql as $$
begin
    execute what;
    raise notice '%: %', what, idl.look();
    call idl.turns();
    if idl.look() not in ('idl_few =, idl_gone =, idl_many =', 'idl_few =, idl_gone =, idl_many =, idl_seen =') then
        raise notice 'and after two turns: %', idl.look();
    end if;
end $$;
call idl.after('update marketing_automation.scenario set domain = ''self.points > 21'' where name = ''idl_few''');
call idl.after('update marketing_automation.model set language = ''self.mail'' where name = ''idl_person''');
call idl.after('alter table idl.person add more text');
call idl.after('alter table idl.person rename more to less');
call idl.after('alter table idl.person drop less');
call idl.after('truncate idl.person');
call idl.after('alter table idl.person disable trigger all');
call idl.after('alter table idl.person enable trigger all');
call idl.after('select * from marketing_automation.watch(''idl_person'')');
call idl.after('grant select on idl.person to pg_monitor');
call idl.after('grant usage on schema idl to pg_monitor');
call idl.after('insert into marketing_automation_internal.poisonous_row (scenario_id, digest, place, raises_key, error, error_code)
    select marketing_automation.scenario_id(''idl_few''), ''1'', ''(0,1)'', false, ''e'', ''22012''');
call idl.after('update marketing_automation.scenario_status set last_error = ''e'', last_error_code = ''22012'', last_error_at = now() where scenario_id = marketing_automation.scenario_id(''idl_few'')');
call idl.after('update marketing_automation_internal.watched_scan set scanned_at = scanned_at - interval ''1 hour'' where scenario_id = marketing_automation.scenario_id(''idl_few'')');
-- Of a view, its query and its tables.
create view idl.seen as select p.id, p.points from idl.person p;
select marketing_automation.register_model('idl_seen', 'idl.seen', key => 'self.id') \gset
select idl.create('idl_seen', 'self.points > 10', 'idl_seen') \gset
select * from marketing_automation.watch('idl_seen', tables => '{"idl.person": "id"}');
call idl.turns();
select idl.look();
insert into idl.person values (7, 'p7@idl.example', 5);
select idl.passed();
call idl.after('create or replace view idl.seen as select p.id, p.points * 10 as points from idl.person p');
select r.key from marketing_automation.record r where r.scenario_id = marketing_automation.scenario_id('idl_seen');
-- A policy may be for whom it was not for yesterday: with row security the query is analysed each time.
alter table idl.person enable row level security;
call idl.turns();
select idl.look();
alter table idl.person disable row level security;
call idl.turns();
select idl.look();
-- Somebody who is enrolling is passed by; an owner who may not use the model any more is told of by a turn.
create role idl_team;
grant usage on schema idl to idl_team;
grant select on idl.person to idl_team;
update marketing_automation.model set owner = 'idl_team' where name = 'idl_person';
select idl.look();
update marketing_automation.model set owner = session_user where name = 'idl_person';
call idl.turns();
select idl.look();

-- A time that PostgreSQL computes as it reads the query makes it another one each time; a date, each day.
select idl.create('idl_now', 'self.born < timestamptz ''now'''), idl.create('idl_today', 'self.born < date ''today''') \gset
select * from marketing_automation.watch('idl_person') where scenario in ('idl_now', 'idl_today');
call idl.turns();
call idl.turns();
select idl.look();

select count(marketing_automation.stop(s.name)) from marketing_automation.scenario s where s.name like 'idl\_%' and s.state = 'running';
select marketing_automation.unwatch('idl_person'), marketing_automation.unwatch('idl_seen');
