\set SHOW_CONTEXT never
-- The counts of the reports are those of the history, whatever happened: after all that the other tests did, and after a
-- random campaign of processing, sending, failing, opening, clicking, blocking, forgetting, cancelling, retrying and rolling back.
create view shop.recount as
with counted as (
    select activity_id, marketing_automation_internal.counter_period(finished_at) as period,
           (state = 'done' and outcome not in ('condition_not_met', 'row_missing', 'no_address', 'expired'))::int as done,
           (outcome in ('condition_not_met', 'row_missing', 'no_address', 'expired'))::int as skipped, (state = 'cancelled')::int as cancelled, (state = 'failed')::int as failed,
           (outcome = 'mailed')::int as mailed, 0 as sent, 0 as not_sent, (opened_at is not null)::int as opened, (clicked_at is not null)::int as clicked,
           0 as robot_opens, 0 as robot_clicks
    from marketing_automation_internal.finished_activity
    union all
    select activity_id, marketing_automation_internal.counter_period(created_at), 0, 0, 0, 0, 0,
           (sent_at is not null)::int, (state in ('failed', 'suppressed'))::int, 0, 0, 0, 0
    from marketing_automation.message where record_id is not null
    union all
    select e.activity_id, marketing_automation_internal.counter_period(f.finished_at), 0, 0, 0, 0, 0, 0, 0, 0, 0, (e.kind = 'email_opened')::int, (e.kind = 'email_clicked')::int
    from marketing_automation.event e
    join marketing_automation_internal.finished_activity f on f.record_id = e.record_id and f.activity_id = e.activity_id where e.robot is not null
    union all
    select activity_id, period, -done, -skipped, -cancelled, -failed, -mailed, -sent, -not_sent, -opened, -clicked, -robot_opens, -robot_clicks from marketing_automation_internal.activity_counter where period > '-infinity'
    union all
    -- Totals are the same, rolled_up or not.
    select activity_id, '-infinity', done, skipped, cancelled, failed, mailed, sent, not_sent, opened, clicked, robot_opens, robot_clicks from marketing_automation_internal.activity_counter where rolled_up and period > '-infinity'
    union all
    select activity_id, '-infinity', -done, -skipped, -cancelled, -failed, -mailed, -sent, -not_sent, -opened, -clicked, -robot_opens, -robot_clicks from marketing_automation_internal.activity_counter where period = '-infinity'
)
select activity_id, period, sum(done) as done, sum(skipped) as skipped, sum(cancelled) as cancelled, sum(failed) as failed, sum(mailed) as mailed, sum(sent) as sent,
       sum(not_sent) as not_sent, sum(opened) as opened, sum(clicked) as clicked, sum(robot_opens) as robot_opens, sum(robot_clicks) as robot_clicks
from counted group by activity_id, period;
create view shop.recount_records as
select scenario_id, period, sum(records) as records, sum(blocked) as blocked
from (select scenario_id, marketing_automation_internal.counter_period(entered_at) as period, 1 as records, (blocked_at is not null)::int as blocked
      from marketing_automation.record
      union all
      select scenario_id, period, -records, -blocked from marketing_automation_internal.scenario_counter where period > '-infinity'
      union all
      select scenario_id, '-infinity', case when period = '-infinity' then -records else records end, case when period = '-infinity' then -blocked else blocked end
      from marketing_automation_internal.scenario_counter where rolled_up) c
group by scenario_id, period;
create view shop.difference as
select s.name, a.name as activity, done, skipped, cancelled, failed, mailed, sent, not_sent, opened, clicked, robot_opens, robot_clicks
from shop.recount r join marketing_automation.activity a on a.id = r.activity_id join marketing_automation.scenario s on s.id = a.scenario_id
where (done, skipped, cancelled, failed, mailed, sent, not_sent, opened, clicked, robot_opens, robot_clicks) <> (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
union all
select s.name, null, records, blocked, 0, 0, 0, 0, 0, 0, 0, 0, 0
from shop.recount_records r join marketing_automation.scenario s on s.id = r.scenario_id
where (records, blocked) <> (0, 0);

select * from shop.difference;

create table shop.guest (id int primary key, email text, divisor int not null default 1, has_booked boolean not null default false);
insert into shop.guest select i, case when i % 7 > 0 then 'guest' || i || '@shop.example' end, (i % 11)::int from generate_series(1, 400) i;
select marketing_automation.register_model('guest', 'shop.guest', key => 'self.id', party => 'self.id', email => 'self.email');
select marketing_automation.create_scenario('counted', 'guest', unsubscribable => true, goal => 'self.has_booked', goal_ends_journey => true,
    goal_window => '10 years') > 0 as created;
select count(marketing_automation.add_activity('counted', name, parent, on_event, condition, delay, action, subject => 's', body => 'b')) as added
from (values ('mail', null, null, null, null, 'send_email'),
             ('branch', null, null, '1 / self.divisor > 0', interval '10 minutes', null),
             ('opened', 'mail', 'email_opened', null, null, 'send_email'),
             ('silent', 'mail', 'email_not_opened', null, interval '30 minutes', 'send_email'),
             ('clicked', 'mail', 'email_clicked', 'self.id % 3 > 0', interval '20 minutes', null),
             ('idle', 'mail', 'email_not_clicked', null, interval '50 minutes', null),
             ('after', 'branch', null, '10 / self.divisor > 1', interval '20 minutes', 'send_email')) a (name, parent, on_event, condition, delay, action);
select marketing_automation.run('counted');
-- Parts of it fail: a condition that divides by zero would keep the whole scenario from enrolling.
update shop.guest set divisor = 1 where divisor = 0;

create table shop.judged (robots bigint, people bigint);
create procedure shop.random_step(clock timestamptz) language plpgsql as $$
declare
    dice int := floor(random() * 15);
    scenario int := (select s.id from marketing_automation.scenario s where s.name = 'counted');
begin
    case
    when dice = 0 then
        perform marketing_automation.enroll('counted', clock);
    when dice <= 5 then
        perform marketing_automation.process_due(40, clock);
    when dice <= 7 then
        perform marketing_automation_internal.complete_messages(array_agg(c.id), array_agg(c.attempt),
            array_agg((array['sent', 'sent', 'sent', 'sent', 'failed', 'queued', 'released'])[1 + floor(random() * 7)]), array_agg('reply'::text), array_agg(0::float))
        from marketing_automation_internal.claim_messages(60) c having count(*) > 0;
        -- The mailer works at the time of the clock on the wall; the campaign at its own.
        update marketing_automation_internal.waiting_activity w set at = clock + interval '30 minutes' where w.at > clock + interval '1 day';
    when dice <= 10 then
        perform marketing_automation.record_events(array_agg(gen_random_uuid()), array_agg(h.kind),
            array_agg(marketing_automation_internal.sign_token(h.kind, h.record_id, h.activity_id, case when h.kind = 'email_clicked' then h.link end)),
            array_agg(clock), array_agg(h.method), array_agg(null::inet), array_agg(null::text))
        from (select m.record_id, m.activity_id, case when random() < 0.6 then 'email_opened' else 'email_clicked' end as kind,
                     -- A robot tells by its method, or by a third link in the same mail.
                     case when random() < 0.2 then 'HEAD' else 'GET' end as method, 1 + floor(random() * 4)::bigint as link
              from marketing_automation.message m join marketing_automation.record r on r.id = m.record_id and r.scenario_id = scenario
              where m.state = 'sent' and random() < 0.2) h
        having count(*) > 0;
    when dice = 11 then
        perform marketing_automation.block(r.uuid) from marketing_automation.record r where r.scenario_id = scenario and random() < 0.01;
        perform marketing_automation.forget(g.email) from shop.guest g where g.email is not null and random() < 0.005;
    when dice = 12 then
        update marketing_automation.robot_rule set is_enabled = not is_enabled where name in ('head', 'all_links') and random() < 0.5;
        insert into shop.judged select * from marketing_automation.reclassify_events(clock - interval '20 minutes');
    when dice = 13 then
        perform case m.state when 'failed' then marketing_automation.retry(m.id) else marketing_automation.cancel(m.id) end
        from marketing_automation.message m join marketing_automation.record r on r.id = m.record_id and r.scenario_id = scenario
        where m.state in ('failed', 'queued') and random() < 0.1;
        perform marketing_automation.retry(ra) from marketing_automation.record_activity ra join marketing_automation.record r on r.id = ra.record_id and r.scenario_id = scenario
        where ra.state = 'failed' and random() < 0.03;
    else
        update shop.guest set divisor = floor(random() * 4) where random() < 0.1;
        update shop.guest set has_booked = true where random() < 0.005;
        delete from shop.guest where random() < 0.005;
        perform marketing_automation_internal.roll_up_counters(floor(random() * 20)::int + 1);
    end case;
    if random() < 0.15 then
        raise exception 'rolled back';
    end if;
end $$;
create procedure shop.random_campaign(steps int) language plpgsql as $$
declare
    clock timestamptz := '2026-03-01 12:00+00';
begin
    for i in 1 .. steps loop
        clock := clock + random() * interval '4 minutes';
        begin
            call shop.random_step(clock);
        exception when raise_exception then
            null;
        end;
    end loop;
end $$;
select marketing_automation.enroll('counted', '2026-03-01 12:00+00');
update shop.guest set divisor = 0 where id % 13 = 0;
-- Who books later does so by chance, mostly when nothing of theirs waits any more.
update shop.guest set has_booked = true where id % 29 = 0;
select setseed(0.5);
set client_min_messages = error;
call shop.random_campaign(400);
reset client_min_messages;
select public.events_applied() as applied;
select * from shop.difference;
-- check() finds the same, of one scenario and of all.
select * from marketing_automation.check('counted');
select * from marketing_automation.check();

-- It was a campaign in which everything occurred.
select max(t.done) > 0 as done, max(t.skipped) > 0 as skipped, max(t.cancelled) > 0 as cancelled, max(t.failed) > 0 as failed, max(t.mailed) > 0 as mailed, max(t.sent) > 0 as sent,
       max(t.not_sent) > 0 as not_sent, max(t.opened) > 0 as opened, max(t.clicked) > 0 as clicked,
       max(t.robot_opens) > 0 as robot_opens, max(t.robot_clicks) > 0 as robot_clicks, count(distinct t.period) > 10 as periods
from marketing_automation_internal.activity_counter t join marketing_automation.activity a on a.id = t.activity_id
join marketing_automation.scenario s on s.id = a.scenario_id and s.name = 'counted';

select max(robots) > 0 as became_robots, max(people) > 0 as became_people from shop.judged;

-- Whoever has reached the goal has one conversion, and nothing has run since.
select count(distinct f.record_id) > 0 as arrived, count(*) filter (where c.id is null) as without_conversion
from marketing_automation_internal.finished_activity f join marketing_automation.activity a on a.id = f.activity_id
join marketing_automation.scenario s on s.id = a.scenario_id and s.name = 'counted'
left join marketing_automation.conversion c on c.record_id = f.record_id and c.source = 'goal' where f.outcome = 'goal_reached';
select count(*) from marketing_automation.conversion c
join marketing_automation_internal.finished_activity f on f.record_id = c.record_id and f.finished_at > c.at
where c.source = 'goal' and c.scenario_id = (select s.id from marketing_automation.scenario s where s.name = 'counted')
  and f.outcome not in ('goal_reached', 'blocked', 'event_arrived', 'error');

-- Merging leaves one row for each count and period, and the sums as they were; below the threshold it does nothing.
select marketing_automation_internal.roll_up_counters(1);
select * from shop.difference;
select count(*) from marketing_automation_internal.activity_counter t where not t.rolled_up;
select count(*) = count(distinct t.activity_id) as one_total_each from marketing_automation_internal.activity_counter t where t.period = '-infinity';
select count(*) from (select from marketing_automation_internal.activity_counter t group by t.activity_id, t.period having count(*) > 1) twice;
select * from marketing_automation.check('counted');
-- What was lost, booked twice or added up wrongly, check() finds, each where it is.
begin;
insert into marketing_automation_internal.activity_counter (activity_id, period, done, robot_opens)
select a.id, '2026-03-01 12:15+00', 2, -1 from marketing_automation.activity a join marketing_automation.scenario s on s.id = a.scenario_id
where s.name = 'counted' and a.name = 'opened';
update marketing_automation_internal.activity_counter t set not_sent = not_sent + 5 from marketing_automation.activity a
join marketing_automation.scenario s on s.id = a.scenario_id and s.name = 'counted'
where a.name = 'mail' and t.activity_id = a.id and t.period = '-infinity';
insert into marketing_automation_internal.activity_counter (activity_id, period, sent)
select a.id, marketing_automation_internal.counter_period(now()) + interval '15 minutes', 3 from marketing_automation.activity a
join marketing_automation.scenario s on s.id = a.scenario_id where s.name = 'counted' and a.name = 'after';
insert into marketing_automation_internal.scenario_counter (scenario_id, period, records)
select s.id, '2026-03-01 12:00+00', 4 from marketing_automation.scenario s where s.name = 'counted';
select c.scenario, c.activity, case when c.period < '2026-03-02' then to_char(c.period at time zone 'UTC', 'HH24:MI') when c.period > now() then 'next' end as period,
    c.what, c.kept - c.counted as too_many
from marketing_automation.check('counted') c;
select scenario, count(*) from marketing_automation.check() group by 1;
rollback;
select * from marketing_automation.check('countes');
insert into marketing_automation_internal.activity_counter (activity_id, period) values (0, '2026-03-01 12:00+00');
select marketing_automation_internal.roll_up_counters(2);
select rolled_up from marketing_automation_internal.activity_counter where activity_id = 0;
delete from marketing_automation_internal.activity_counter where activity_id = 0;
delete from marketing_automation.suppression where reason = 'forgotten';
update marketing_automation.robot_rule set is_enabled = true where name in ('head', 'all_links');
drop table shop.judged;
select marketing_automation.stop('counted');
drop view shop.difference, shop.recount, shop.recount_records;
drop procedure shop.random_campaign, shop.random_step;
