\set SHOW_CONTEXT never
-- Days and months of a delay are those of the recipient's time zone, else of the database's, whoever calls.
select format('alter database %I set timezone = ''Europe/Paris''', current_database()) \gexec
create table shop.nomad (id integer primary key, zone text, email text, at timestamptz default '2026-07-01 12:00+00');
insert into shop.nomad (id, zone, email) values (1, null, 'a@shop.example'), (2, 'America/New_York', 'b@shop.example'), (3, 'Mars/Phobos', 'c@shop.example'), (4, '', 'd@shop.example');
select marketing_automation.register_model('nomad', 'shop.nomad', key => 'self.id', email => 'self.email', time_zone => 'self.zone');
select marketing_automation.create_scenario('zone', 'nomad') > 0 as created;
select marketing_automation.add_activity('zone', 'day', delay => '1 day', action => null) > 0 as added;
select marketing_automation.add_activity('zone', 'hours', delay => '24 hours', action => null) > 0 as added;
select marketing_automation.add_activity('zone', 'month', parent => 'day', delay => '1 month 2 hours', subject => '{{ record.at | format_datetime }}', body => 'b') > 0 as added;
select marketing_automation.run('zone');
\c -
\set SHOW_CONTEXT never
set timezone = 'UTC';
update marketing_automation.scenario set domain = 'self.id in (1, 2)' where name = 'zone';
select enrolled, error from marketing_automation.enroll('zone', '2026-03-28 12:00+00');
set timezone = 'Asia/Tokyo';
update marketing_automation.scenario set domain = 'current_setting(''timezone'') = ''Europe/Paris''' where name = 'zone';
select enrolled, error from marketing_automation.enroll('zone', '2026-03-28 12:00+00');
create view shop.itinerary as
    select r.key, a.name, ra.state, ra.at at time zone 'UTC' as at from marketing_automation.record_activity ra
    join marketing_automation.record r on r.id = ra.record_id
    join marketing_automation.activity a on a.id = ra.activity_id
    join marketing_automation.scenario s on s.id = a.scenario_id and s.name = 'zone';
select * from shop.itinerary order by 1, 2;
call marketing_automation.process_all_due(now => '2026-03-29 12:00+00');
select * from shop.itinerary where name = 'month' order by 1;
call marketing_automation.process_all_due(now => '2026-05-01 12:00+00');
-- A zone that does not exist is told, and fails no mail.
select email, state, time_zone from marketing_automation.message m where email ~ '^[a-d]@shop.example$' order by 1;
select fact from marketing_automation.explain_record('zone', '3') where fact like '%time zone%';
select subject from marketing_automation.preview('zone', 'month', '3');
select at at time zone 'UTC' as at, activity, outcome from marketing_automation.simulate('zone', '2', start => '2026-10-31 12:00+00');
-- Keys depend on no time zone.
create table shop.moment (at timestamptz primary key);
insert into shop.moment values ('2026-01-01 00:00+00'), ('infinity');
select marketing_automation.register_model('moment', 'shop.moment', key => 'self.at');
select marketing_automation.create_scenario('moment', 'moment') > 0 as created;
select marketing_automation.add_activity('moment', 'only', action => null) > 0 as added;
select marketing_automation.run('moment');
select enrolled from marketing_automation.enroll('moment');
select format('alter database %I set timezone = ''America/New_York''', current_database()) \gexec
\c -
\set SHOW_CONTEXT never
select enrolled from marketing_automation.enroll('moment');
select r.key from marketing_automation.record r join marketing_automation.scenario s on s.id = r.scenario_id where s.name = 'moment' order by 1;
select count(*) > 0 as ran from marketing_automation.process_due();
select marketing_automation.stop('zone'), marketing_automation.stop('moment');
select format('alter database %I reset timezone', current_database()) \gexec
\c -
\set SHOW_CONTEXT never

-- Expressions may ask for the time that a run assumes; of those that ask for the present it warns.
create table shop.celebrant (id integer primary key, born date);
insert into shop.celebrant values (1, '1990-05-06'), (2, '1980-12-24');
select marketing_automation.register_model('celebrant', 'shop.celebrant', key => 'self.id');
select marketing_automation.create_scenario('celebration', 'celebrant', 'to_char(self.born, ''MM-DD'') = to_char(marketing_automation.assumed_now(), ''MM-DD'')') > 0 as created;
select marketing_automation.add_activity('celebration', 'cake', condition => 'marketing_automation.assumed_now() >= ''2030-05-06 10:00+00''', delay => '1 hour', action => null) > 0 as added;
select marketing_automation.run('celebration');
select enrolled, error from marketing_automation.enroll('celebration', '2030-05-06 10:00+00');
select enrolled, error from marketing_automation.enroll('celebration', '2030-12-23 10:00+00');
select marketing_automation.process_due(now => '2030-05-06 11:00+00');
select ra.outcome from marketing_automation.record_activity ra join marketing_automation.activity a on a.id = ra.activity_id and a.name = 'cake';
select at at time zone 'UTC' as at, activity, outcome from marketing_automation.simulate('celebration', '2', start => '2031-12-24 12:00+00');
select outcome from marketing_automation.simulate('celebration', '2', start => '2031-12-25 12:00+00');
begin;
select enrolled from marketing_automation.enroll('celebration', '2030-05-06 10:00+00');
select marketing_automation.assumed_now() = now() as afterwards;
commit;
update marketing_automation.scenario set domain = 'to_char(self.born, ''MM-DD'') = to_char(now(), ''MM-DD'')' where name = 'celebration';
update marketing_automation.activity set condition = 'current_date > ''2000-01-01''' where name = 'cake';
select enrolled, error from marketing_automation.enroll('celebration', '2030-05-07 10:00+00');
select outcome from marketing_automation.simulate('celebration', '2', start => '2031-12-25 12:00+00');
update marketing_automation.activity set at = 'now()' where name = 'cake';
select count(*) > 0 as told from marketing_automation.simulate('celebration', '2', start => '2031-12-25 12:00+00');
update marketing_automation.activity set at = null where name = 'cake';
select e, marketing_automation_internal.asks_present(e) from unnest(array['now() > self.at', 'self.a = ''now() or never''', 'self.at < ''today''::date',
    'LOCALTIMESTAMP > self.at', 'self.nowhere', 'self.current_date_of', 'clock_timestamp () > self.at', 'extract(year from age(self.born)) >= 18',
    'age(coalesce(self.born, date(self.a, (1)))) > self.b', 'age(self.born, self.at) > self.b', 'age(date_trunc(''day'', self.a), self.b) > self.c',
    'self.age > 3', 'page(self.a)', 'self.at < '' tomorrow 10:00''::timestamp', 'self.a = ''today or never''']) e;
select marketing_automation.stop('celebration');
