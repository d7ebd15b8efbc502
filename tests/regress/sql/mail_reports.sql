\set SHOW_CONTEXT never
-- What was clicked, where mail does not arrive, when people read, what each mail and each week's newcomers brought.
create schema weekly;
create table weekly.subscriber (id integer primary key, email text, joined timestamptz);
insert into weekly.subscriber select n, 'reader' || n || case when n % 4 = 0 then '@Far.weekly.example' else '@near.weekly.example' end,
    '2026-01-05 12:00+00'::timestamptz + n / 7 * interval '7 days' from generate_series(1, 20) n;
select marketing_automation.register_model('subscriber', 'weekly.subscriber', key => 'self.id', email => 'self.email');
select marketing_automation.create_scenario('weekly', 'subscriber') > 0 as created;
select marketing_automation.add_activity('weekly', 'letter', subject => 's', body => '<a href="https://weekly.example/basket/{{ record.id }}?who={{ record.id }}">Your
    basket</a> <a href="https://weekly.example/sale">Sale</a> <a href="https://weekly.example/shoes?utm_source=mail"><img alt="Shoes" src="https://weekly.example/s.png"></a>') > 0 as added;
select marketing_automation.add_activity('weekly', 'second', parent => 'letter', delay => '1 day', subject => 's', body => 'b') > 0 as added;
select marketing_automation.add_activity('weekly', 'nothing', parent => 'letter', delay => '9 years', action => null) > 0 as added;
set timezone = 'UTC';

-- A link of which each recipient has an own address adds up; nobody is named.
select u, marketing_automation_internal.link_pattern(u) from unnest(array['https://weekly.example/', 'https://weekly.example/shoes/red?utm_source=mail&utm_campaign=may#top',
    'https://weekly.example/order/4711/pay?token=abc&id=7', 'https://weekly.example/u/7f3c9c1e-7b9b-4f62-9c50-1d1c3b4f5a6b', 'https://weekly.example/leave/ann@weekly.example?ann@weekly.example',
    'https://weekly.example/leave/ann%40weekly.example/?a&b=1&utm_medium', 'https://weekly.example:8443/a/12/34#x?y=1', 'https://weekly.example/?utm_content=ann@weekly.example&utm_term=x%40y&utm_source=mail', 'https://weekly.example?x=1?y=2']) u;

select marketing_automation.run('weekly');
begin;
select enrolled from marketing_automation.enroll('weekly', '2026-01-05 12:00+00');
update marketing_automation_internal.record r set entered_at = s.joined from weekly.subscriber s
where r.key = s.id::text and r.scenario_id = marketing_automation.scenario_id('weekly');
update marketing_automation_internal.waiting_activity w set at = r.entered_at from marketing_automation_internal.record r
where r.id = w.record_id and r.scenario_id = marketing_automation.scenario_id('weekly');
create procedure weekly.send(until timestamptz) language sql as $$
    select marketing_automation.process_due(now => until);
    -- 19's is refused, 20's stays under way; each is taken ten minutes after it was due.
    with claimed as (
        update marketing_automation_internal.outbox o set state = 'sending', attempts = 1
        from marketing_automation.activity a where a.id = o.activity_id and a.scenario_id = marketing_automation.scenario_id('weekly')
            and o.state = 'queued' and o.key <> '20' returning o.id, o.attempts, o.key, o.record_id)
    select marketing_automation_internal.complete_messages(array_agg(c.id), array_agg(c.attempts), array_agg(case when c.key = '19' then 'failed' else 'sent' end),
        array_agg(case when c.key = '19' then '550 5.1.1 unknown' else '250 ok' end), array_agg(0::double precision), now => until + interval '10 minutes') from claimed c;
$$;
call weekly.send('2026-01-26 12:00+00');
-- As if each had been sent in its week.
update marketing_automation_internal.message_log l set sent_at = r.entered_at + interval '10 minutes', finished_at = r.entered_at + interval '10 minutes'
from marketing_automation_internal.record r where r.id = l.record_id and r.scenario_id = marketing_automation.scenario_id('weekly') and l.state = 'sent';
update marketing_automation_internal.finished_activity f set finished_at = r.entered_at from marketing_automation_internal.record r
where r.id = f.record_id and r.scenario_id = marketing_automation.scenario_id('weekly');
create function weekly.of(wanted integer) returns table (record_id bigint, activity_id integer, uuid uuid, entered_at timestamptz) language sql as $$
    select r.id, a.id, r.uuid, r.entered_at from marketing_automation_internal.record r
    join marketing_automation.activity a on a.scenario_id = r.scenario_id and a.name = 'letter'
    where r.scenario_id = marketing_automation.scenario_id('weekly') and r.key = wanted::text $$;
create procedure weekly.click(reader integer, url text, after interval, robot text default null) language sql as $$
    insert into marketing_automation_internal.event (id, occurred_at, kind, record_id, activity_id, link_id, method, robot)
    select gen_random_uuid(), w.entered_at + interval '10 minutes' + after, 'email_clicked', w.record_id, w.activity_id, l.id, 'GET', robot
    from weekly.of(reader) w, marketing_automation_internal.link_ids(array[url]) l;
    update marketing_automation_internal.finished_activity f set opened_at = least(f.opened_at, w.entered_at + interval '10 minutes' + after),
        clicked_at = least(f.clicked_at, w.entered_at + interval '10 minutes' + after)
    from weekly.of(reader) w where w.record_id = f.record_id and w.activity_id = f.activity_id and robot is null $$;
do $$ begin for n in 1..6 loop call weekly.click(n, 'https://weekly.example/basket/' || n || '?who=' || n, n * interval '30 minutes'); end loop; end $$;
call weekly.click(1, 'https://weekly.example/basket/1?who=1', '5 days');
call weekly.click(7, 'https://weekly.example/shoes?utm_source=mail', '100 days');
call weekly.click(8, 'https://weekly.example/shoes?utm_source=mail', '1 second', 'burst');
-- Who opens without a click has clicked in no hour.
update marketing_automation_internal.finished_activity f set opened_at = w.entered_at + interval '4 hours 20 minutes'
from weekly.of(9) w where (w.record_id, w.activity_id) = (f.record_id, f.activity_id);
insert into marketing_automation_internal.event (id, occurred_at, kind, record_id, activity_id)
select gen_random_uuid(), '2026-01-06', k, w.record_id, w.activity_id from weekly.of(9) w, unnest(array['unsubscribed', 'complained']) k;
-- Three sales: within a day, within a week, and after a year; and one before anything was sent.
select count(marketing_automation.record_conversion(w.uuid, v, w.entered_at + a)) as reported
from (values (2, 10.50, interval '2 hours'), (8, 20, interval '3 days'), (9, 40, interval '1 year'), (10, 5, interval '-1 day')) c (reader, v, a)
cross join lateral weekly.of(c.reader) w;
commit;

select * from marketing_automation.link_report('weekly');
select * from marketing_automation.link_report('weekly', 'second');
select * from marketing_automation.domain_report('weekly');
select day, domain, sent from marketing_automation.domain_report('weekly', '2026-01-06', '2026-01-12');
select * from marketing_automation.timing_report('weekly', 'letter') where opened > 0 or hours in (10, 72);
select count(*), sum(opened), sum(clicked), max(opened_until) from marketing_automation.timing_report('weekly');
select * from marketing_automation.cohort_report('weekly');
select * from marketing_automation.mail_report('weekly');
-- Of some days: clicks, mails that were sent, records that entered; what came back and was bought then.
select link, people, clicks, robot_clicks from marketing_automation.link_report('weekly', null, '2026-01-06', '2026-01-31');
select sum(opened) as opened, sum(clicked) as clicked from marketing_automation.timing_report('weekly', 'letter', '2026-01-12', '2026-01-12');
select week, entered, mailed, converted_in_7_days from marketing_automation.cohort_report('weekly', to_date => '2026-01-12');
select activity, unsubscribed, complaints, conversions, value from marketing_automation.mail_report('weekly', '2026-01-06', '2026-12-31');
select activity, sent, conversions from marketing_automation.mail_report('weekly', to_date => '2025-12-31');
select (select sum(sent) from marketing_automation.mail_report('weekly', '2000-01-01')) = (select sum(sent) from marketing_automation.mail_report('weekly')) as same;
-- All have the same sums as the log, counted one by one.
select (select sum(clicks) from marketing_automation.link_report('weekly')) = count(*) filter (where e.robot is null) as clicks,
       (select sum(robot_clicks) from marketing_automation.link_report('weekly')) = count(*) filter (where e.robot is not null) as robots
from marketing_automation.event e join marketing_automation.record r on r.id = e.record_id and r.scenario_id = marketing_automation.scenario_id('weekly')
where e.kind = 'email_clicked';
select (select sum(sent + failed + suppressed + under_way) from marketing_automation.domain_report('weekly')) = count(*) as mails
from marketing_automation.message m join marketing_automation.record r on r.id = m.record_id and r.scenario_id = marketing_automation.scenario_id('weekly');
-- In another time zone days and weeks begin at another moment.
set timezone = 'Pacific/Kiritimati';
select day, domain, sent from marketing_automation.domain_report('weekly', '2026-01-06', '2026-01-06');
set timezone = 'UTC';

-- Who sees numbers sees these, of all scenarios or of own ones.
create role regress_weekly_reports;
create role regress_weekly_marketer;
select marketing_automation.grant_access('regress_weekly_reports', 'reports'), marketing_automation.grant_access('regress_weekly_marketer', 'marketer');
set role regress_weekly_reports;
-- What the mail says is not a number.
select position, label, people from marketing_automation.link_report('weekly');
select url from marketing_automation.link limit 1;
set role regress_weekly_marketer;
select * from marketing_automation.link_report('weekly');
select * from marketing_automation.cohort_report('weekly');
reset role;
select marketing_automation.revoke_access('regress_weekly_reports', 'reports'), marketing_automation.revoke_access('regress_weekly_marketer', 'marketer');
drop role regress_weekly_reports, regress_weekly_marketer;
-- Bad input.
select * from marketing_automation.link_report('weekli');
select * from marketing_automation.timing_report('weekly', 'leter');
select * from marketing_automation.domain_report('weekly', '2026-01-06', '2026-01-05');
select * from marketing_automation.link_report('weekly', null, '2026-01-06', '2026-01-05');
select * from marketing_automation.timing_report('weekly', null, '2026-01-06', '2026-01-05');
select * from marketing_automation.cohort_report('weekly', '2026-01-06', '2026-01-05');
select * from marketing_automation.mail_report('weekly', '2026-01-06', '2026-01-05');
select marketing_automation.stop('weekly');
reset timezone;
drop schema weekly cascade;
