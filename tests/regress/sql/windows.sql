\set SHOW_CONTEXT never
-- Mails leave within a window of the day and week, by the recipient's clock, and activities run at their time of day.
set timezone = 'UTC';
set datestyle = 'ISO';
create table shop.sleeper (id integer primary key, zone text, email text);
insert into shop.sleeper select n, z.zone, 'sleeper' || n || '@shop.example'
from unnest(array[null, 'Europe/Paris', 'America/New_York', 'Mars/Phobos']) with ordinality as z (zone, n);
select marketing_automation.register_model('sleeper', 'shop.sleeper', key => 'self.id', email => 'self.email', time_zone => 'self.zone');

-- What is written opens some time, in a zone and by a calendar that exist.
insert into marketing_automation.send_window (name, days) values ('office', '{0}');
insert into marketing_automation.send_window (name, opens, closes) values ('office', '09:00', '09:00');
insert into marketing_automation.send_window (name, opens, closes) values ('office', '09:00', '09:00:30');
insert into marketing_automation.send_window (name, time_zone) values ('office', 'Europe/Pairs');
insert into marketing_automation.send_window (name, calendar) values ('office', 'de');
insert into marketing_automation.send_window (name, outside) values ('office', 'skipp');
insert into marketing_automation.send_window (name, days) values ('office', '{}');
insert into marketing_automation.send_window (name, days) values ('office', null);
insert into marketing_automation.send_window (name, days) values ('office', '{1,1}');
insert into marketing_automation.send_window (name, days) values ('office', '{{1,2},{3,4}}');
insert into marketing_automation.send_window (name, days) select 'office', array_fill(1, array[1000000]);
insert into marketing_automation.send_window (name, opens) values ('office', null);
insert into marketing_automation.send_window (name, closes) values ('office', null);
insert into marketing_automation.holiday values ('de', 'infinity');
insert into marketing_automation.holiday values ('de', '2030-12-25'), ('de', '2030-12-26');
insert into marketing_automation.send_window (name, calendar) values ('office', 'dee');
insert into marketing_automation.send_window (name, days, opens, closes, calendar, time_zone)
values ('office', '{1,2,3,4,5}', '09:00', '18:00', 'de', 'Asia/Tokyo'),
       ('night', '{5}', '22:00', '02:30', null, 'UTC'), ('skip', '{1,2,3,4,5}', '09:00', '18:00', null, 'UTC');
update marketing_automation.send_window set outside = 'skip' where name = 'skip';
begin;
insert into marketing_automation.holiday select 'de', current_date - 5 + n from generate_series(0, 450) n;
rollback;
select marketing_automation.create_scenario('asleep', 'sleeper', send_window => 'ofice');
select marketing_automation.create_scenario('asleep', 'sleeper', send_window => 'office') > 0 as created;
select marketing_automation.add_activity('asleep', 'mail', subject => 's', body => '<p>b</p>', send_window => 'daytime');
select marketing_automation.add_activity('asleep', 'mail', subject => 's', body => '<p>b</p>') > 0 as added;
select marketing_automation.add_activity('asleep', 'branch', action => null, at_time => '07:30', delay => '1 day') > 0 as added;
select marketing_automation.add_activity('asleep', 'late', parent => 'branch', subject => 's', body => '<p>b</p>', at_time => '20:00', send_window => 'night') > 0 as added;
delete from marketing_automation.send_window where name = 'office';
select marketing_automation.delete_send_window('office');
update marketing_automation.send_window set name = 'bureau' where name = 'office';
delete from marketing_automation.holiday where calendar = 'de';
update marketing_automation.holiday set calendar = 'at' where calendar = 'de';
-- Only what leaves within a window that has changed is claimed anew; and one that never opens, as a dump may have it, forbids nothing else.
begin;
create or replace function marketing_automation_internal.revoke_claims_of(kind text, key text) returns void language plpgsql as $$
begin
    raise notice 'revoked: % %', kind, (select a.name from marketing_automation.activity a where a.id::text = key);
end $$;
set local check_function_bodies = off;
insert into marketing_automation.send_window (name, days, calendar) values ('never', '{}', 'at');
set local check_function_bodies = on;
update marketing_automation.send_window set days = days where false;
update marketing_automation.send_window set days = days where name <> 'never';
insert into marketing_automation.holiday values ('fr', '2030-07-14');
update marketing_automation.holiday set day = day;
update marketing_automation.send_window set closes = '17:00' where name = 'office';
update marketing_automation.send_window set closes = '02:00' where name = 'night';
update marketing_automation.send_window set closes = '17:00' where name = 'skip';
delete from marketing_automation.holiday where calendar = 'de' and day = '2030-12-26';
select marketing_automation.delete_send_window('skip');
select marketing_automation.delete_send_window('skip');
rollback;
delete from marketing_automation.send_window where name = 'night';
select marketing_automation.run('asleep');
select * from marketing_automation.tree('asleep');

-- When something is due, it waits: for its time of day, and until its window opens. 2030-12-24 is a Tuesday.
create view shop.dream as
    select a.name, r.key, ra.state, ra.at from marketing_automation.record_activity ra
    join marketing_automation.record r on r.id = ra.record_id
    join marketing_automation.activity a on a.id = ra.activity_id
    join marketing_automation.scenario s on s.id = a.scenario_id and s.name = 'asleep';
select enrolled, error from marketing_automation.enroll('asleep', '2030-12-24 20:00+00');
call marketing_automation.process_all_due(now => '2030-12-24 20:00+00');
select * from shop.dream order by 1, 2;
call marketing_automation.process_all_due(now => '2030-12-27 00:00+00');
select * from shop.dream order by 1, 2;
select about, replace(fact, '  ', ' ') as fact from marketing_automation.explain_record('asleep', '2') where about like '%late' or about like '%mail';
call marketing_automation.process_all_due(now => '2030-12-28 12:00+00');
select * from shop.dream where name in ('late', 'mail') order by 1, 2;

-- simulate() waits likewise, and skips.
select at at time zone 'UTC' as at, activity, outcome, detail from marketing_automation.simulate('asleep', '3', start => '2030-12-24 23:30+00');
update marketing_automation.activity set send_window = 'skip' where name = 'mail' and scenario_id = marketing_automation.scenario_id('asleep');
select at at time zone 'UTC' as at, activity, outcome, detail from marketing_automation.simulate('asleep', '1', start => '2030-12-22 10:00+00') where activity = 'mail';

-- The claim looks once more: what has been held meanwhile goes to the next opening, or is skipped.
create function shop.set_days(its_window text, days integer[]) returns void language sql as $$
    update marketing_automation.send_window set days = set_days.days where name = its_window $$;
-- Open on the day after tomorrow, whatever time it is: shut now.
select array[extract(isodow from now() + interval '2 days')]::integer[] as day_after \gset
update marketing_automation.send_window set opens = '00:00', closes = '24:00' where name in ('office', 'skip');
begin;
select marketing_automation.create_scenario('drowsy', 'sleeper', 'self.id <= 2', send_window => 'office') > 0 as created;
select marketing_automation.add_activity('drowsy', 'waits', subject => 's', body => '<p>b</p>') > 0 as added;
select marketing_automation.add_activity('drowsy', 'is skipped', subject => 's', body => '<p>b</p>', send_window => 'skip') > 0 as added;
select marketing_automation.add_activity('drowsy', 'follows', parent => 'is skipped', action => null) > 0 as added;
select marketing_automation.run('drowsy');
select shop.set_days('office', '{1,2,3,4,5,6,7}'), shop.set_days('skip', '{1,2,3,4,5,6,7}');
select enrolled from marketing_automation.enroll('drowsy');
select sum(marketing_automation.process_due()) >= 4 as ran from generate_series(1, 5);
select shop.set_days('office', :'day_after'), shop.set_days('skip', :'day_after');
select count(*) from marketing_automation_internal.claim_messages(100) c where c.email ~ '^sleeper';
select a.name, m.state, m.smtp_reply, m.next_attempt_at > now() + interval '12 hours' as later from marketing_automation.message m
join marketing_automation.activity a on a.id = m.activity_id join marketing_automation.scenario s on s.id = a.scenario_id and s.name = 'drowsy' order by 1, m.id;
select regexp_replace(fact, '20\d\d-[-:+ 0-9]+', '…', 'g') as fact from marketing_automation.explain_record('drowsy', '1') where about ~ 'waits|skipped|follows';
select name, status, message, seconds >= 0 as waits from marketing_automation.health() where name = 'queued_mails_window';
select count(*) from marketing_automation_internal.claim_messages(100) c where c.email ~ '^sleeper';
-- The window opens earlier: so do they leave, and not before who has been refused for a while.
update marketing_automation_internal.outbox o set attempts = 1, due_at = now() + interval '1 hour' where o.email = 'sleeper2@shop.example';
savepoint taken_away;
select shop.set_days('office', '{1,2,3,4,5,6,7}');
select c.email, c.closes_in between 0 and 90000 as closes from marketing_automation_internal.claim_messages(100) c where c.email ~ '^sleeper' order by 1;
-- Or the scenario, or the activity, has no window any more, or another one.
rollback to taken_away;
update marketing_automation.scenario set send_window = null where name = 'drowsy';
select c.email, c.closes_in from marketing_automation_internal.claim_messages(100) c where c.email ~ '^sleeper' order by 1;
rollback to taken_away;
insert into marketing_automation.send_window (name, days, opens, closes) values ('always', '{1,2,3,4,5,6,7}', '00:00', '24:00');
update marketing_automation.activity set send_window = 'always' where name = 'waits';
select c.email, c.closes_in between 0 and 90000 as closes from marketing_automation_internal.claim_messages(100) c where c.email ~ '^sleeper' order by 1;
rollback;
begin;
-- What has failed and is tried again does not wait for its time of day once more.
select marketing_automation.create_scenario('mended', 'sleeper', 'self.id <= 2') > 0 as created;
select marketing_automation.add_activity('mended', 'daily', action => null, condition => '1 / (self.id - 1) >= 0',
    at_time => (timezone('UTC', now()) - interval '1 hour')::time) > 0 as added;
select marketing_automation.run('mended');
select enrolled from marketing_automation.enroll('mended', now() - interval '1 day');
update marketing_automation_internal.waiting_activity w set at = now() - interval '3 hours' from marketing_automation.activity a where a.id = w.activity_id and a.name = 'daily';
update marketing_automation_internal.record r set time_zone = 'UTC' where r.scenario_id = marketing_automation.scenario_id('mended');
select marketing_automation.process_due();
select r.key, ra.state from marketing_automation.record_activity ra join marketing_automation.record r on r.id = ra.record_id
where r.scenario_id = marketing_automation.scenario_id('mended') order by 1;
update marketing_automation.activity set condition = 'true' where name = 'daily';
select marketing_automation.retry(ra) from marketing_automation.record_activity ra join marketing_automation.record r on r.id = ra.record_id
where r.scenario_id = marketing_automation.scenario_id('mended') and ra.state = 'failed';
select marketing_automation.process_due();
select r.key, ra.state from marketing_automation.record_activity ra join marketing_automation.record r on r.id = ra.record_id
where r.scenario_id = marketing_automation.scenario_id('mended') order by 1;
rollback;
begin;
-- A test waits for no window; nor does a mail that has none.
select shop.set_days('office', :'day_after'), shop.set_days('skip', :'day_after');
select marketing_automation.send_test('asleep', 'mail', '1', 'sleeper9@shop.example') > 0 as queued;
select c.email, c.closes_in from marketing_automation_internal.claim_messages(100) c where c.email = 'sleeper9@shop.example';
rollback;

-- Clock changes. Paris: on 2026-03-29 there is no 02:30, on 2026-10-25 there are two.
create function shop.opening(opens time, closes time, zone text, start timestamptz) returns timestamptz language sql as $$
    select marketing_automation_internal.next_opening(row ('w', '{1,2,3,4,5,6,7}', opens, closes, null, null, 'wait', 'postgres', 10)::marketing_automation.send_window, zone, start) $$;
select o.what, shop.opening(o.opens, o.closes, 'Europe/Paris', o.start) at time zone 'Europe/Paris' as opens, shop.opening(o.opens, o.closes, 'Europe/Paris', o.start) as utc
from (values (1, 'opens in the hour that is left out', '02:30'::time, '06:00'::time, '2026-03-28 21:00+00'::timestamptz),
             (2, 'is within the hour that is left out', '02:15', '02:45', '2026-03-28 21:00+00'),
             (3, 'opens in the repeated hour', '02:30', '06:00', '2026-10-24 21:00+00'),
             (4, 'closes in the repeated hour', '01:00', '02:30', '2026-10-25 00:45+00'),
             (5, 'is the repeated hour again', '01:00', '02:30', '2026-10-25 01:10+00'),
             (6, 'over midnight', '22:00', '02:30', '2026-10-25 00:10+00'),
             (7, 'over midnight, shut', '22:00', '02:30', '2026-10-25 02:10+00')) as o (n, what, opens, closes, start) order by o.n;
-- In the minute before a clock change nothing leaves.
select w.at, s.opens_at, s.closes_at from (values ('2026-10-25 00:58:30+00'::timestamptz), ('2026-10-25 00:59:30+00'), ('2026-10-25 01:00:00+00')) as w (at)
cross join marketing_automation_internal.window_state(row ('w', '{1,2,3,4,5,6,7}', '00:00', '24:00', null, null, 'wait', 'postgres', 10)::marketing_automation.send_window, 'Europe/Paris', w.at) s order by w.at;

-- In every time zone, around every clock change of two years: what is claimed as open is inside by the clock, and stays so until it closes;
-- and an opening is no later than it need be.
create table shop.clock_change as
with zone as (select distinct on (utc.offsets) n.name from pg_timezone_names n
    -- One of those that are alike.
    cross join lateral (select array_agg(timezone(n.name, d) order by d) as offsets
        from generate_series('2026-01-01 00:00+00'::timestamptz, '2027-12-31 00:00+00', '7 days') d) utc order by utc.offsets, n.name)
select z.name as zone, d as day from zone z
cross join lateral (select d from generate_series('2026-01-01 12:00+00'::timestamptz, '2027-12-31 12:00+00', '1 day') d
    where timezone(z.name, d + interval '1 day') - timezone(z.name, d) <> interval '1 day') c (d)
union all
select z.name, '2026-07-01 12:00+00' from zone z;
create function shop.inside(w marketing_automation.send_window, local timestamp) returns boolean language sql as $$
    select case when w.opens < w.closes then local::time >= w.opens and local::time < w.closes and extract(isodow from local) = any (w.days)
        else local::time >= w.opens and extract(isodow from local) = any (w.days)
            or local::time < w.closes and extract(isodow from local - interval '1 day') = any (w.days) end $$;
create table shop.judged as
select c.zone, w, t.at, s.opens_at, s.closes_at from shop.clock_change c
cross join (values (row ('w', '{1,2,3,4,5,6,7}', '02:30', '03:15', null, null, 'wait', 'postgres', 10)::marketing_automation.send_window),
                   (row ('w', '{6,7}', '23:30', '02:30', null, null, 'wait', 'postgres', 10)::marketing_automation.send_window),
                   (row ('w', '{7}', '00:00', '24:00', null, null, 'wait', 'postgres', 10)::marketing_automation.send_window)) as x (w)
cross join lateral (select c.day + n * interval '47 minutes 13 seconds' as at from generate_series(0, 30) n) t
cross join lateral marketing_automation_internal.window_state(x.w, c.zone, t.at) s;
select count(*) > 5000 as many, count(distinct zone) > 50 as zones, count(opens_at) > 1000 as shut, count(closes_at) > 1000 as open from shop.judged;
select count(*) as sent_outside from shop.judged j cross join unnest(array[j.at, least(j.closes_at, j.at + interval '61 seconds') - interval '1 microsecond']) as m (at)
where j.closes_at is not null and not shop.inside(j.w, timezone(j.zone, m.at));
select count(*) as opens_outside from shop.judged j where j.opens_at is not null and (j.opens_at <= j.at or not shop.inside(j.w, timezone(j.zone, j.opens_at)));
-- The minute before has been outside, by the clock, unless that was changed within the day.
select count(*) as late from shop.judged j where j.opens_at - interval '1 minute' > j.at and shop.inside(j.w, timezone(j.zone, j.opens_at - interval '1 minute'))
    and timezone(j.zone, j.opens_at) - timezone(j.zone, j.opens_at - interval '1 day') = interval '1 day';
select count(*) as never_within_days from shop.judged j where j.opens_at > j.at + interval '8 days';

select marketing_automation.stop('asleep');
drop table shop.judged, shop.clock_change;
drop view shop.dream;
drop function shop.opening(time, time, text, timestamptz), shop.inside(marketing_automation.send_window, timestamp), shop.set_days(text, integer[]);
update marketing_automation.scenario set send_window = null where send_window is not null;
update marketing_automation.activity set send_window = null where send_window is not null;
delete from marketing_automation.send_window;
delete from marketing_automation.holiday;
