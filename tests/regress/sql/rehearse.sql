\set SHOW_CONTEXT never
-- What whole campaigns would do, day by day. Nothing is changed, nobody is mailed.
set timezone = 'UTC';
set datestyle = 'ISO';
create table shop.actor (id int primary key, person text, email text, born date not null, divisor int not null default 1);
insert into shop.actor select i, 'person ' || (i + 1) / 2, case when i % 20 <> 0 then 'actor' || i || '@shop.example' end, date '1990-01-01' + i * 7, i - 3
from generate_series(1, 200) i;
select marketing_automation.register_model('actor', 'shop.actor', key => 'self.id', party => 'self.person', email => 'self.email');
insert into marketing_automation.send_window (name, days, opens, closes) values ('stage', '{1,2,3,4,5}', '09:00', '18:00'),
    ('stars', '{1,2,3,4,5,6,7}', '22:00', '02:00');
update marketing_automation.send_window set outside = 'skip' where name = 'stars';
select marketing_automation.create_scenario('premiere', 'actor', 'self.id <= 160', unsubscribable => true, send_window => 'stage') > 0 as created;
select count(marketing_automation.add_activity('premiere', name, parent, on_event, condition, delay, action, subject => 's', body => '<p>{{ record.email }}</p>')) as added
from (values ('hello', null, null, null, null, 'send_email'),
             ('tips', 'hello', 'email_opened', null, interval '1 day', 'send_email'),
             ('reminder', 'hello', 'email_not_opened', null, interval '2 days', 'send_email'),
             ('score', 'hello', null, '10 / self.divisor > 0', interval '1 hour', null)) a (name, parent, on_event, condition, delay, action);
-- On a Saturday, when the window is shut.
select day, activity, entered, mailed, busiest_hour, put_off, skipped, cancelled, failed, opened, clicked, reasons
from marketing_automation.rehearse('premiere', '2030-03-08 00:00+00', start => '2030-03-02 12:00+00');
-- The same each time.
select count(*) from (
    select * from marketing_automation.rehearse('premiere', '2030-03-08 00:00+00', start => '2030-03-02 12:00+00')
    except select * from marketing_automation.rehearse(array['premiere', 'premiere'], '2030-03-08 00:00+00', start => '2030-03-02 12:00+00')) d;
-- Nobody opens; all do; all click, which counts as an open.
select activity, sum(mailed) as mailed, sum(opened) as opened, sum(clicked) as clicked
from marketing_automation.rehearse('premiere', '2030-03-10 00:00+00', start => '2030-03-02 12:00+00', opens => 0, clicks => 0) group by 1 order by 1;
select activity, sum(mailed) as mailed, sum(opened) as opened, sum(clicked) as clicked
from marketing_automation.rehearse('premiere', '2030-03-10 00:00+00', start => '2030-03-02 12:00+00', opens => 1, clicks => 0) group by 1 order by 1;
select activity, sum(mailed) as mailed, sum(opened) as opened, sum(clicked) as clicked
from marketing_automation.rehearse('premiere', '2030-03-10 00:00+00', start => '2030-03-02 12:00+00', opens => 0, clicks => 1) group by 1 order by 1;

-- Who consents to nothing opens nothing that is known of; whoever left, and suppressed addresses, get nothing; a mail may expire and a skipping
-- window be shut.
update marketing_automation.model set track_opens = 'self.id % 2 = 0' where name = 'actor';
insert into marketing_automation.unsubscription (party, scenario_id, created_at)
select p, marketing_automation.scenario_id('premiere'), now() from unnest(array['person 1', 'person 2']) p;
select marketing_automation.suppress('actor5@shop.example');
select marketing_automation.add_activity('premiere', 'at night', subject => 's', body => '<p>b</p>', send_window => 'stars') > 0 as added;
select activity, sum(entered) as entered, sum(mailed) as mailed, sum(not_sent) as not_sent, sum(opened) as opened, jsonb_agg(reasons order by day) filter (where not_sent > 0) as reasons
from marketing_automation.rehearse('premiere', '2030-03-05 00:00+00', start => '2030-03-02 12:00+00', opens => 1) group by 1 order by 1;
update marketing_automation.model set track_opens = null where name = 'actor';
select marketing_automation.unsuppress('actor5@shop.example');

-- A year of birthdays, as expressions see the assumed time; two scenarios at once.
select marketing_automation.create_scenario('birthday', 'actor', $$to_char(self.born, 'MMDD') = to_char(marketing_automation.assumed_now(), 'MMDD')$$,
    goal => $$to_char(self.born + 1, 'MMDD') = to_char(marketing_automation.assumed_now(), 'MMDD')$$) > 0 as created;
select marketing_automation.add_activity('birthday', 'wish', subject => 's', body => '<p>b</p>', at_time => '08:00') > 0 as added;
select count(distinct day) as days, min(day) filter (where entered > 0) as first, max(day) filter (where entered > 0) as last, sum(entered) as entered, sum(mailed) as mailed, sum(converted) as converted
from marketing_automation.rehearse('birthday', '2030-01-31 00:00+00', start => '2030-01-01 00:00+00', opens => 0, clicks => 0);
select scenario, sum(entered) as entered, sum(mailed) as mailed
from marketing_automation.rehearse(array['birthday', 'premiere'], '2030-01-10 00:00+00', start => '2030-01-01 00:00+00') group by 1 order by 1;

-- Activities at dates of the row are played at these.
select marketing_automation.create_scenario('tour', 'actor', 'self.id <= 10') > 0 as created;
select marketing_automation.add_activity('tour', 'ahead', at => $$timestamptz '2030-03-20 09:00+00' + self.id * interval '1 day'$$, delay => '-3 days',
    subject => 's', body => '<p>b</p>') > 0 as added;
select min(day) filter (where mailed > 0) as first, max(day) as last, sum(entered) as entered, sum(mailed) as mailed
from marketing_automation.rehearse('tour', '2030-03-31 00:00+00', start => '2030-03-02 12:00+00', opens => 0, clicks => 0);

-- A sample plays the same people in all scenarios, and counts for all.
select scenario, activity, sum(entered) % 4 = 0 and sum(mailed) % 4 = 0 as is_scaled, sum(entered) between 100 and 220 as is_near
from marketing_automation.rehearse('premiere', '2030-03-05 00:00+00', sample => 25, start => '2030-03-02 12:00+00') where activity is null group by 1, 2;
select sum(entered), max(reasons::text) from marketing_automation.rehearse('premiere', '2030-03-05 00:00+00', sample => 0.01, start => '2030-03-02 12:00+00');

-- Mistakes.
create function shop.rehearse(arguments text) returns void language plpgsql as $$
begin execute 'select * from marketing_automation.rehearse(' || arguments || ')'; end $$;
create procedure shop.mistake(arguments text) language plpgsql as $$
declare detail text; hint text;
begin
    perform shop.rehearse(arguments);
    raise notice 'no error: %', arguments;
exception when others then
    get stacked diagnostics detail = pg_exception_detail, hint = pg_exception_hint;
    raise notice '% % | % | %', sqlstate, sqlerrm, detail, hint;
end $$;
call shop.mistake($$'premier', '2030-03-05', start => '2030-03-02'$$);
call shop.mistake($$'nothing like it', '2030-03-05', start => '2030-03-02'$$);
call shop.mistake($$null::text, '2030-03-05', start => '2030-03-02'$$);
call shop.mistake($$array[]::text[], '2030-03-05', start => '2030-03-02'$$);
call shop.mistake($$array['premiere', null], '2030-03-05', start => '2030-03-02'$$);
call shop.mistake($$'premiere', '2030-03-02', start => '2030-03-02'$$);
call shop.mistake($$'premiere', null, start => '2030-03-02'$$);
call shop.mistake($$'premiere', 'infinity', start => '2030-03-02'$$);
call shop.mistake($$'premiere', '2034-03-02', start => '2030-03-02'$$);
call shop.mistake($$'premiere', '2030-03-05', start => null$$);
call shop.mistake($$'premiere', '2030-03-05', start => '-infinity'$$);
call shop.mistake($$'premiere', '2030-03-05', start => '2030-03-02', sample => 0$$);
call shop.mistake($$'premiere', '2030-03-05', start => '2030-03-02', sample => 101$$);
call shop.mistake($$'premiere', '2030-03-05', start => '2030-03-02', sample => 'NaN'$$);
call shop.mistake($$'premiere', '2030-03-05', start => '2030-03-02', sample => null$$);
call shop.mistake($$'premiere', '2030-03-05', start => '2030-03-02', opens => 1.1$$);
call shop.mistake($$'premiere', '2030-03-05', start => '2030-03-02', clicks => -0.1$$);
call shop.mistake($$'premiere', '2030-03-05', start => '2030-03-02', clicks => null$$);
call shop.mistake($$'premiere', '2030-03-05', start => '2030-03-02', step => '0'$$);
call shop.mistake($$'premiere', '2030-03-05', start => '2030-03-02', step => '2 days'$$);
call shop.mistake($$'premiere', '2030-03-05', start => '2030-03-02', max_time => '-1 s'$$);
select marketing_automation.create_scenario('empty stage', 'actor') > 0 as created;
call shop.mistake($$array['premiere', 'empty stage'], '2030-03-05', start => '2030-03-02'$$);
select marketing_automation.delete_scenario('empty stage');
-- Too much: the hint says what would fit.
create function shop.percentage() returns text language plpgsql as $$
declare hint text;
begin
    perform shop.rehearse($q$'premiere', '2033-03-01', start => '2030-03-02', max_time => '1 ms', sample => 50$q$);
exception when program_limit_exceeded then
    get stacked diagnostics hint = pg_exception_hint;
    return sqlerrm || ': ' || regexp_replace(hint, '[\d.]+', 'some', 'g');
end $$;
select shop.percentage();
create view shop.crowd as select i as id, 'actor' || i || '@shop.example' as email from generate_series(1, 1500000) i;
select marketing_automation.register_model('crowd', 'shop.crowd', key => 'self.id', email => 'self.email');
select marketing_automation.create_scenario('crowd', 'crowd') > 0 as created;
select marketing_automation.add_activity('crowd', 'all', subject => 's', body => '<p>b</p>') > 0 as added;
call shop.mistake($$'crowd', '2030-03-05', start => '2030-03-02'$$);
-- An expression that asks for the present; one that fails for all; one that does not plan any more.
select marketing_automation.create_scenario('failing stage', 'actor', 'self.born < now() and 1 / (self.id - self.id) > 0') > 0 as created;
select marketing_automation.add_activity('failing stage', 'all', subject => 's', body => '<p>b</p>') > 0 as added;
call shop.mistake($$'failing stage', '2030-03-05', start => '2030-03-02'$$);
update marketing_automation.scenario set domain = 'true' where name = 'failing stage';
select marketing_automation.add_activity('failing stage', 'odd', 'all', condition => '10 / (self.id % 2) > 0', action => null) > 0 as added;
select activity, sum(mailed) as mailed, sum(skipped) as skipped, sum(failed) as failed, max(reasons::text) as reasons
from marketing_automation.rehearse('failing stage', '2030-03-05', start => '2030-03-02') group by 1 order by 1;
begin read only;
select * from marketing_automation.rehearse('premiere', '2030-03-05', start => '2030-03-02');
rollback;
drop function shop.percentage;

-- Numbers are for who may see the rows, and errors quote no row to who may not.
create role stagehand;
create role critic;
grant usage on schema shop to stagehand, critic;
grant execute on function shop.rehearse to stagehand, critic;
select marketing_automation.grant_access('stagehand', 'marketer');
select marketing_automation.grant_access('critic', 'reader');
set role stagehand;
call shop.mistake($$'premiere', '2030-03-05', start => '2030-03-02'$$);
call shop.mistake($$'premier', '2030-03-05', start => '2030-03-02'$$);
set role critic;
select sum(entered) as entered from marketing_automation.rehearse('premiere', '2030-03-05', start => '2030-03-02');
reset role;
update marketing_automation.scenario set domain = $$self.email::int > 0$$ where name = 'failing stage';
set role critic;
call shop.mistake($$'failing stage', '2030-03-05', start => '2030-03-02'$$);
reset role;
drop procedure shop.mistake;
drop function shop.rehearse;
select marketing_automation.delete_scenario('failing stage');
select marketing_automation.delete_scenario('crowd');

-- Those who are in a scenario go on from where they are, others enter; and nothing has changed, though all of it was played.
select marketing_automation.run('premiere');
select * from marketing_automation.enroll('premiere', '2030-03-04 12:00+00');
update marketing_automation.scenario set domain = 'self.id <= 180' where name = 'premiere';
create function shop.contents() returns table (name text, digest text) language plpgsql as $$
begin
    for name in
        select c.oid::regclass from pg_class c
        where c.relnamespace in ('marketing_automation'::regnamespace, 'marketing_automation_internal'::regnamespace) and c.relkind = 'r' order by 1
    loop
        execute format('select md5(string_agg(t::text, '','' order by t::text)) from %s t', name) into digest;
        return next;
    end loop;
end $$;
create temporary table before as select * from shop.contents();
select sum(entered) as entered, sum(mailed) filter (where activity = 'hello') as hello, sum(mailed) filter (where activity = 'reminder') as reminder,
    sum(skipped) as skipped, sum(failed) as failed, sum(converted) as converted
from marketing_automation.rehearse(array['premiere', 'birthday'], '2030-03-09 00:00+00', start => '2030-03-05 12:00+00', opens => 0, clicks => 0);
select name from (table before except select * from shop.contents()) changed;
select sum(mailed) as mailed from marketing_automation.rehearse('premiere', '2020-03-09 00:00+00', start => '2020-03-05 12:00+00');
select marketing_automation.stop('premiere');
drop table before;
drop function shop.contents;

-- The same as what happens: random trees, rehearsed and lived through.
create function shop.rehearsal_chance(variadic of_what text[]) returns float language sql immutable as
$$ select (hashtextextended(of_what::text, 0) & 2147483647) / 2147483648.0 $$;
create function shop.rehearsal_tree(scenario text) returns void language plpgsql as $$
declare
    parent marketing_automation.activity;
    event text;
begin
    perform marketing_automation.create_scenario(scenario, 'actor', 'self.id <= 60', unsubscribable => true, send_window => case when shop.rehearsal_chance(scenario, 'window') < 0.5 then 'stage' end);
    for i in 1 .. 8 loop
        parent := null;
        if i > 1 then
            select a.* into parent from marketing_automation.activity a join marketing_automation.scenario s on s.id = a.scenario_id
            where s.name = scenario order by shop.rehearsal_chance(scenario, i::text, a.name) limit 1;
        end if;
        event := case when parent.action = 'send_email' and shop.rehearsal_chance(scenario, i::text, 'event') < 0.8
                      then (array['email_opened', 'email_not_opened', 'email_clicked', 'email_not_clicked'])[1 + floor(shop.rehearsal_chance(scenario, i::text, 'kind') * 4)] end;
        perform marketing_automation.add_activity(scenario, 'a' || i, parent.name, event,
            condition => case when i = 1 or shop.rehearsal_chance(scenario, i::text, 'condition') < 0.6 then null
                              else (array['self.id % 2 = 0', 'self.id > 22', '10 / self.divisor > 0'])[1 + floor(shop.rehearsal_chance(scenario, i::text, 'which') * 3)] end,
            delay => case when event like '%not%' or shop.rehearsal_chance(scenario, i::text, 'delayed') < 0.7
                          then floor(shop.rehearsal_chance(scenario, i::text, 'delay') * 100) * interval '1 hour' end,
            action => case when i = 1 or shop.rehearsal_chance(scenario, i::text, 'action') < 0.6 then 'send_email' end, subject => 's', body => '<p>b</p>',
            at_time => case when shop.rehearsal_chance(scenario, i::text, 'at') < 0.2 then time '11:30' end);
    end loop;
end $$;
-- As it is run, but for the clock. Who opens and clicks, and when, is documented.
create procedure shop.rehearsal_life(its_scenario text, start timestamptz, until timestamptz) language plpgsql as $$
declare
    its_id integer;
    clock timestamptz := start;
    before timestamptz := '-infinity';
begin
    select s.id into its_id from marketing_automation.scenario s where s.name = its_scenario;
    perform marketing_automation.enroll(its_scenario, start);
    loop
        perform marketing_automation_internal.mark_events(array_agg(m.record_id), array_agg(m.activity_id), array_agg(m.kind), array_agg(m.at))
        from (select m.record_id, m.activity_id, k.kind, m.sent_at + case when h.haste < 0.5 then interval '1 hour' when h.haste < 0.75 then interval '6 hours'
                      when h.haste < 0.9 then interval '1 day' else interval '2 days' end as at
              from marketing_automation.message m
              join marketing_automation.activity a on a.id = m.activity_id and a.scenario_id = its_id
              join marketing_automation.record r on r.id = m.record_id
              cross join lateral (select (hashtextextended(r.key || '/' || a.name, 1) & 1048575) / 1048576.0 as interest,
                  (hashtextextended(r.key || '/' || a.name, 2) & 1048575) / 1048576.0 as haste) h
              cross join (values ('email_opened', 0.5), ('email_clicked', 0.2)) k (kind, share)
              where m.sent_at is not null and h.interest < k.share) m
        where m.at > before and m.at <= clock having count(*) > 0;
        while marketing_automation.process_due(now => clock) > 0 loop
            perform marketing_automation_internal.complete_messages(array_agg(c.id), array_agg(c.attempt), array_agg('sent'::text), array_agg('250 ok'::text), array_agg(0::float), now => clock)
            from marketing_automation_internal.claim_messages(1000, true, null, clock, array[its_id]) c having count(*) > 0;
        end loop;
        before := clock;
        select least((select min(w.at) from marketing_automation_internal.waiting_activity w join marketing_automation.activity a on a.id = w.activity_id and a.scenario_id = its_id),
            (select min(m.sent_at + k.haste) from marketing_automation.message m join marketing_automation.activity a on a.id = m.activity_id and a.scenario_id = its_id
             cross join unnest(array[interval '1 hour', '6 hours', '1 day', '2 days']) as k (haste) where m.sent_at + k.haste > clock)) into clock;
        clock := date_bin('1 minute', clock + interval '59.999999 s', '2000-01-01 00:00+00');
        exit when clock is null or clock > until;
    end loop;
end $$;
create table shop.rehearsed (scenario text, activity text, what text, day date, records bigint);
create table shop.lived (like shop.rehearsed);
do $$
declare its_scenario text;
begin
    for i in 1 .. 4 loop
        its_scenario := 'staged ' || i;
        perform shop.rehearsal_tree(its_scenario);
        insert into shop.rehearsed
        select r.scenario, r.activity, v.what, r.day, v.records
        from marketing_automation.rehearse(its_scenario, '2030-03-20 00:00+00', start => '2030-03-02 12:00+00', opens => 0.5, clicks => 0.2, step => '1 minute') r
        cross join lateral (values ('mailed', r.mailed), ('skipped', r.skipped), ('failed', r.failed), ('opened', r.opened), ('clicked', r.clicked), ('cancelled', r.cancelled)) v (what, records)
        where v.records > 0;
        perform marketing_automation.run(its_scenario);
        call shop.rehearsal_life(its_scenario, '2030-03-02 12:00+00', '2030-03-20 00:00+00');
        perform marketing_automation.stop(its_scenario);
        insert into shop.lived
        select its_scenario, a.name, v.what, v.at::date, count(*)
        from marketing_automation_internal.finished_activity f
        join marketing_automation.activity a on a.id = f.activity_id join marketing_automation.scenario s on s.id = a.scenario_id and s.name = its_scenario
        left join marketing_automation.message m on m.record_id = f.record_id and m.activity_id = f.activity_id
        -- On which day an event has cancelled something is kept as the present.
        cross join lateral (values ('mailed', m.sent_at), ('opened', f.opened_at), ('clicked', f.clicked_at),
            (case when f.outcome in ('condition_not_met', 'no_address', 'row_missing') then 'skipped' when f.state = 'failed' then 'failed' end, f.finished_at)) v (what, at)
        where v.what is not null and v.at is not null group by 1, 2, 3, 4;
        insert into shop.lived
        select its_scenario, a.name, 'cancelled', null, count(*)
        from marketing_automation_internal.finished_activity f
        join marketing_automation.activity a on a.id = f.activity_id join marketing_automation.scenario s on s.id = a.scenario_id and s.name = its_scenario
        where f.state = 'cancelled' group by 1, 2;
    end loop;
end $$;
select what, count(*) > 2 as is_tried from shop.rehearsed group by 1 order by 1;
select 'rehearsed' as where, d.* from (select * from shop.rehearsed where what <> 'cancelled' except select * from shop.lived) d
union all select 'lived', d.* from (select * from shop.lived where what <> 'cancelled' except select * from shop.rehearsed) d order by 1, 2, 3, 4, 5;
select d.* from (select scenario, activity, sum(records) from shop.rehearsed where what = 'cancelled' group by 1, 2
    except select scenario, activity, records from shop.lived where what = 'cancelled') d order by 1, 2;
drop table shop.rehearsed, shop.lived;
drop procedure shop.rehearsal_life;
drop function shop.rehearsal_tree, shop.rehearsal_chance;

-- An experiment is decided by those who open, the rest gets what has won; who waits until something is true goes on.
select marketing_automation.create_scenario('duel', 'actor', 'self.id <= 40') > 0 as created;
select marketing_automation.add_activity('duel', 'test', action => null, branch_by => 'share', metric => 'opens', decide_after => '2 days') > 0 as added;
select marketing_automation.add_activity('duel', 'red', parent => 'test', share => 25, subject => 's', body => '<p>b</p>') > 0 as added;
select marketing_automation.add_activity('duel', 'blue', parent => 'test', share => 25, subject => 's', body => '<p>b</p>') > 0 as added;
select sum(mailed) filter (where day < '2030-03-04') < 30 as few_at_first, sum(mailed) as mailed, count(distinct activity) filter (where day > '2030-03-03' and mailed > 0) as winners
from marketing_automation.rehearse('duel', '2030-03-20 00:00+00', start => '2030-03-02 12:00+00', opens => 0.6);
