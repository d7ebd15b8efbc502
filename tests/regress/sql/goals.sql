\set SHOW_CONTEXT never
set datestyle = 'ISO';
set timezone = 'UTC';
-- Goals that are true: asked when a row enters, within a window, also when nothing is due, at the time and with the value that the row
-- tells; credited to a mail; and what is queued for who has reached an ending goal does not leave.
create schema aim;
create table aim.guest (id integer primary key, email text, bought_at timestamptz, amount numeric, poison integer not null default 1);
insert into aim.guest select i, 'guest' || i || '@aim.example' from generate_series(1, 9) i;
select count(marketing_automation.register_model('aim guest', 'aim.guest', key => 'self.id', party => 'self.id', email => 'self.email')) as registered;
\set VERBOSITY terse
select marketing_automation.create_scenario('aim', 'aim guest', goal_at => 'self.bought_at');
select marketing_automation.create_scenario('aim', 'aim guest', goal => 'self.bought_at is not null', goal_at => 'self.email');
select marketing_automation.create_scenario('aim', 'aim guest', goal => 'self.bought_at is not null', goal_value => 'self.bought_at');
select marketing_automation.create_scenario('aim', 'aim guest', goal => 'self.bought_at is not null', goal_window => '-1 day');
\set VERBOSITY default
create function aim.campaign(name text, ends boolean, goal text, goal_at text, goal_value text, goal_window interval) returns void language sql as $$
    select marketing_automation.create_scenario(name, 'aim guest', goal => goal, goal_ends_journey => ends, goal_at => goal_at,
        goal_value => goal_value, goal_window => goal_window);
    select marketing_automation.add_activity(name, 'hello', subject => 's', body => 'b');
    select marketing_automation.add_activity(name, 'again', 'hello', delay => '1 day', subject => 's', body => 'b');
    select marketing_automation.add_activity(name, 'month', delay => '40 days', action => null);
    select marketing_automation.run(name);
$$;
create view aim.conversion as
    select s.name as scenario, r.key, c.at, c.value, a.name as credited, r.entered_at, r.end_reason
    from marketing_automation.conversion c join marketing_automation_internal.record r on r.id = c.record_id
    join marketing_automation.scenario s on s.id = c.scenario_id and s.model = 'aim guest'
    left join marketing_automation.activity a on a.id = c.activity_id;
create procedure aim.send(sent_at timestamptz) language plpgsql as $$ begin
    perform marketing_automation_internal.complete_messages(array_agg(c.id), array_agg(c.attempt), array_agg('sent'::text), array_agg('250 ok'::text),
        array_agg(0::double precision), now => sent_at) from marketing_automation_internal.claim_messages(1000) c;
end $$;
create procedure aim.work(at timestamptz) language plpgsql as $$ begin
    while marketing_automation.process_due(1000, at) > 0 loop end loop;
end $$;

-- Who has bought before is in, and never a conversion; who buys later is one, at that time and with that value, though nothing is due.
select aim.campaign('aim', false, 'self.bought_at is not null and 1 / self.poison > 0', 'self.bought_at', 'self.amount', '30 days');
update aim.guest set bought_at = '2026-02-01 12:00', amount = 5 where id in (1, 2);
begin;
select enrolled from marketing_automation.enroll('aim', '2026-03-01 12:00+00');
call aim.work('2026-03-01 12:00+00');
call aim.send('2026-03-01 12:30+00');
commit;
select key, goal_before from marketing_automation.record r where r.scenario_id = marketing_automation.scenario_id('aim') and goal_before order by key;
update aim.guest set bought_at = '2026-03-03 09:00', amount = 20 + id where id in (3, 4);
update aim.guest set bought_at = '2026-05-01 09:00', amount = 99 where id = 5; -- after the window
update aim.guest set bought_at = '2026-02-11 09:00', amount = 99 where id = 6; -- before entering, told late
update aim.guest set bought_at = '2026-03-04 09:00', amount = 'NaN' where id = 7;
update aim.guest set bought_at = '2026-03-05 09:00', poison = 0 where id = 8;
select marketing_automation_internal.mark_events(array[r.id], array[a.id], array['email_clicked'], array['2026-03-02 10:00+00'::timestamptz]) is not null as clicked
from marketing_automation.record r join marketing_automation.activity a on a.scenario_id = r.scenario_id and a.name = 'hello'
where r.scenario_id = marketing_automation.scenario_id('aim') and r.key = '3';
begin;
call aim.work('2026-03-02 13:00+00');
call aim.send('2026-03-02 13:30+00');
commit;
select marketing_automation.apply_goals('aim', 2, now => '2026-03-02 20:00+00') as looked_at;
select key, at, value, credited from aim.conversion where scenario = 'aim' order by key;
select marketing_automation.apply_goals('aim', 2, now => '2026-03-10 12:00+00') as looked_at;
select key, at, value, credited from aim.conversion where scenario = 'aim' order by key;
-- Once: what the row is later changes nothing. Whose window is over is asked no more.
update aim.guest set bought_at = null where id = 3;
update aim.guest set bought_at = '2026-03-30 09:00', amount = 30 where id = 9;
update aim.guest set poison = 1;
select marketing_automation.apply_goals('aim', now => '2026-06-01 12:00+00') as looked_at;
select marketing_automation.apply_goals('aim', now => '2026-06-01 12:00+00') as looked_at;
select key, at, value, credited from aim.conversion where scenario = 'aim' order by key;
select activity, conversions, value from marketing_automation.mail_report('aim');
select * from marketing_automation.tree('aim') limit 3;
select fact from marketing_automation.explain_record('aim', '1') where about = 'record' and fact not like 'entered%';
select fact from marketing_automation.explain_record('aim', '3') where about = 'record' and fact not like 'entered%';

-- An ending goal: what waits goes, and what is queued does not leave, whether the sweep has found it or the claim does.
update aim.guest set bought_at = null;
select aim.campaign('aim end', true, 'self.bought_at is not null', null, null, '30 days');
begin;
select enrolled from marketing_automation.enroll('aim end', now() - interval '1 hour');
call aim.work(now() - interval '1 hour');
update aim.guest set bought_at = now() where id in (1, 2);
select marketing_automation.apply_goals('aim end') as looked_at;
update aim.guest set bought_at = now() where id = 3;
call aim.send(now());
select m.state, m.smtp_reply, string_agg(m.key, ',' order by m.key) as keys
from marketing_automation.message m join marketing_automation.activity a on a.id = m.activity_id and a.scenario_id = marketing_automation.scenario_id('aim end')
group by 1, 2 order by 1, 2;
select a.name, f.state, f.outcome, string_agg(r.key, ',' order by r.key) as keys
from marketing_automation.record_activity f join marketing_automation.record r on r.id = f.record_id
join marketing_automation.activity a on a.id = f.activity_id and a.scenario_id = marketing_automation.scenario_id('aim end')
group by 1, 2, 3 order by 1, 2, 3;
commit;
select marketing_automation.apply_goals('aim end') as looked_at;
select key, end_reason from aim.conversion where scenario = 'aim end' order by key;

-- A goal whose time is to come is reached when that has come, whoever asks.
begin;
update aim.guest set bought_at = null;
select aim.campaign('aim soon', true, 'self.bought_at is not null', 'self.bought_at', null, '30 days');
select enrolled from marketing_automation.enroll('aim soon', now());
update aim.guest set bought_at = now() + interval '2 days' where id <= 2;
call aim.work(now());
update aim.guest set bought_at = now() + interval '2 days' where id = 3;
call aim.send(now());
select marketing_automation.apply_goals('aim soon', now => now() + interval '1 day') as looked_at;
select m.state, count(*) from marketing_automation.message m join marketing_automation.activity a on a.id = m.activity_id
    and a.scenario_id = marketing_automation.scenario_id('aim soon') group by 1;
select count(*) as conversions from aim.conversion where scenario = 'aim soon';
select marketing_automation.apply_goals('aim soon', now => now() + interval '3 days') as looked_at;
select key, at = now() + interval '2 days' as at, end_reason from aim.conversion where scenario = 'aim soon' order by key;
-- Who enters later than the time that a sweep assumes is not asked yet.
insert into aim.guest values (10, 'guest10@aim.example');
select enrolled from marketing_automation.enroll('aim soon', now() + interval '10 days');
update aim.guest set bought_at = now() + interval '2 days' where id = 10;
select marketing_automation.apply_goals('aim soon', now => now() + interval '9 days') as looked_at;
update aim.guest set bought_at = now() + interval '11 days' where id = 10;
select marketing_automation.apply_goals('aim soon', now => now() + interval '12 days') as looked_at;
select key, end_reason from aim.conversion where scenario = 'aim soon' and key = '10';
rollback;

-- A goal that comes later may be reached by who is in; one that is taken away by nobody.
select marketing_automation.create_scenario('aim later', 'aim guest') > 0 as created;
select marketing_automation.add_activity('aim later', 'month', delay => '40 days', action => null) > 0 as added;
select marketing_automation.run('aim later') is not null as runs;
select enrolled from marketing_automation.enroll('aim later');
update marketing_automation.scenario set goal = 'self.bought_at is not null' where name = 'aim later';
-- Not by who had reached it before it was the goal: when is not known.
select marketing_automation.apply_goals('aim later') as looked_at;
select string_agg(key, ',' order by key) as keys from aim.conversion where scenario = 'aim later';
select string_agg(r.key, ',' order by r.key) as before from marketing_automation.record r where r.scenario_id = marketing_automation.scenario_id('aim later') and r.goal_before;
update aim.guest set bought_at = now() where id in (4, 5);
select marketing_automation.apply_goals('aim later') as looked_at;
select string_agg(key, ',' order by key) as keys from aim.conversion where scenario = 'aim later';
-- So with one that is another by now; and a time that the row tells counts.
update marketing_automation.scenario set goal = 'self.amount = 7', goal_at = null where name = 'aim later';
update aim.guest set amount = 7 where id in (6, 7);
update marketing_automation.scenario set goal = 'self.amount = 8' where name = 'aim later';
update aim.guest set amount = 8, bought_at = now() where id = 8;
update aim.guest set amount = 8 where id = 6;
update marketing_automation.scenario set goal = 'self.amount >= 8 and self.id in (6, 8)', goal_at = 'case self.id when 8 then self.bought_at end' where name = 'aim later';
select marketing_automation.apply_goals('aim later') as looked_at;
select string_agg(key, ',' order by key) as keys from aim.conversion where scenario = 'aim later';
select string_agg(r.key, ',' order by r.key) as before from marketing_automation.record r where r.scenario_id = marketing_automation.scenario_id('aim later') and r.goal_before;
-- A goal that ends journeys is not reached by a batch first, which would not know.
update marketing_automation.scenario set goal = 'self.amount = 9', goal_at = null where name = 'aim later';
update aim.guest set amount = 9 where id = 9;
call aim.work(now() + interval '41 days');
select marketing_automation.apply_goals('aim later') as looked_at;
select string_agg(key, ',' order by key) as keys from aim.conversion where scenario = 'aim later';
update marketing_automation.scenario set goal = null where name = 'aim later';
select count(*) from marketing_automation_internal.open_goal g where g.scenario_id = marketing_automation.scenario_id('aim later');

-- A date is the whole day: on that of entering, too, whoever asks. A time before entering is none.
begin;
update aim.guest set bought_at = null, poison = 1;
select aim.campaign('aim day', false, 'self.bought_at is not null', '(self.bought_at at time zone ''UTC'')::date', null, '30 days');
select aim.campaign('aim hour', false, 'self.bought_at is not null', 'self.bought_at', null, '30 days');
select scenario, enrolled from marketing_automation.enroll(null, '2026-03-01 12:00+00') where scenario in ('aim day', 'aim hour') order by 1;
update aim.guest set bought_at = '2026-03-01 09:00+00' where id in (1, 2);
update aim.guest set bought_at = '2026-02-28 23:00+00' where id = 3;
update aim.guest set bought_at = '2026-03-02 23:00+00' where id = 4;
select marketing_automation.apply_goals(s, now => '2026-03-02 23:30+00') as looked_at from unnest(array['aim day', 'aim hour']) s order by s;
select scenario, key, at from aim.conversion where scenario in ('aim day', 'aim hour') order by 1, 2;
rollback;

-- Whatever people do, and however often it is asked: one conversion a record, none before entering, none after the window, and the same
-- ones. Times are random, about the time of entering and the end of the window.
select setseed(0.14) is not null as seeded;
create table aim.wanderer (id integer primary key, bought_at timestamptz, told_at timestamptz);
insert into aim.wanderer
-- Some are told late, but not later than the window.
select i, t, least(t + case when random() < 0.1 then random() * interval '3 days' else interval '0' end,
    greatest(t, '2026-03-21 00:00+00'))
from (select i, case when random() < 0.8 then '2026-03-01 00:00+00'::timestamptz + (random() * 60 - 20) * interval '1 day' end as t
      from generate_series(1, 400) i) w;
create function aim.known(timestamptz) returns boolean language sql stable as $$ select $1 <= marketing_automation.assumed_now() $$;
grant usage on schema aim to public;
select count(marketing_automation.register_model('aim wanderer', 'aim.wanderer', key => 'self.id')) as registered;
select count(marketing_automation.create_scenario('aim ' || n, 'aim wanderer', goal => 'aim.known(self.told_at)', goal_at => 'self.bought_at', goal_window => '20 days')),
    count(marketing_automation.add_activity('aim ' || n, 'step', delay => '7 days', action => null)), count(marketing_automation.run('aim ' || n))
from unnest(array['often', 'once']) n;
select n, (select enrolled from marketing_automation.enroll('aim ' || n, '2026-03-01 00:00+00')) from unnest(array['often', 'once']) n order by 1;
do $$ begin
    for day in 0..40 loop
        perform marketing_automation.apply_goals('aim often', 50, '2026-03-01 00:00+00'::timestamptz + day * interval '1 day' + random() * interval '1 day');
        call aim.work('2026-03-01 00:00+00'::timestamptz + day * interval '1 day');
    end loop;
    perform marketing_automation.apply_goals('aim once', now => '2026-05-01 00:00+00');
    perform marketing_automation.apply_goals('aim often', now => '2026-05-01 00:00+00');
end $$;
create view aim.wandered as
    select s.name as scenario, r.key::integer as id, c.at, r.entered_at, r.goal_before from marketing_automation.conversion c
    join marketing_automation_internal.record r on r.id = c.record_id join marketing_automation.scenario s on s.id = r.scenario_id and s.model = 'aim wanderer';
select count(*) > 50 as many, count(*) = count(distinct (scenario, id)) as one_each, count(*) filter (where at < entered_at or at > entered_at + interval '20 days') as wrong,
    count(*) filter (where goal_before) as before from aim.wandered;
select count(*) as different from (
    (select id, at from aim.wandered where scenario = 'aim often' except select id, at from aim.wandered where scenario = 'aim once')
    union all (select id, at from aim.wandered where scenario = 'aim once' except select id, at from aim.wandered where scenario = 'aim often')) d;
select count(*) as different from (
    (select id, bought_at from aim.wanderer where told_at > '2026-03-01 00:00+00' and bought_at between '2026-03-01 00:00+00' and '2026-03-21 00:00+00'
     except select id, at from aim.wandered where scenario = 'aim once')
    union all (select id, at from aim.wandered where scenario = 'aim once' except select w.id, w.bought_at from aim.wanderer w)) d;
select count(*) as open from marketing_automation_internal.open_goal g join marketing_automation.scenario s on s.id = g.scenario_id and s.model = 'aim wanderer';
select count(marketing_automation.stop(s.name)) as stopped from marketing_automation.scenario s where s.model like 'aim %' and s.state = 'running';
update marketing_automation.scenario set goal_ends_journey = false where model like 'aim %';
update marketing_automation.scenario set goal = null, goal_at = null, goal_value = null where model like 'aim %';
\set VERBOSITY terse
drop schema aim cascade;
