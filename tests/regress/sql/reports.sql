\set SHOW_CONTEXT never
-- A campaign over the turn of a year: 4 enter on 30 December, none on the 31st, 6 on 1 January at 04:30 UTC.
create table shop.reader (id int primary key, email text, country text not null default 'FR');
select marketing_automation.register_model('reader', 'shop.reader', key => 'self.id', email => 'self.email');
select marketing_automation.create_scenario('reports', 'reader') > 0 as created;
select marketing_automation.add_activity('reports', 'hello', subject => 's', body => 'b') > 0 as added;
select marketing_automation.add_activity('reports', 'branch', parent => 'hello', on_event => 'email_opened', delay => '1 hour', action => null) > 0 as added;
select marketing_automation.run('reports');
create function shop.play(first int, last int, at timestamptz) returns void language sql as $$
    insert into shop.reader select i, 'reader' || i || '@shop.example' from generate_series(first, last) i;
    select marketing_automation.enroll('reports', at);
    select marketing_automation.process_due(now => at);
    -- The last one's mail fails.
    select marketing_automation_internal.complete_messages(array_agg(c.id order by c.id), array_agg(c.attempt), array_agg(case when c.n = c.of then 'failed' else 'sent' end), array_agg('reply'::text), array_agg(0::float))
    from (select c.*, row_number() over (order by c.id) as n, count(*) over () as of from marketing_automation_internal.claim_messages(100) c) c;
$$;
create function shop.read(kind text, keys text[], method text default 'GET') returns bigint language sql as $$
    -- As in the test "events": the rows before anything is recorded of them.
    with mail as materialized (
        select r.id as record, a.id as activity from marketing_automation.record r
        join marketing_automation.scenario s on s.id = r.scenario_id and s.name = 'reports'
        join marketing_automation.activity a on a.scenario_id = s.id and a.name = 'hello'
        where r.key = any (keys))
    select count(e.known) from mail m cross join lateral marketing_automation.record_events(array[gen_random_uuid()], array[kind],
        array[marketing_automation_internal.sign_token(kind, m.record, m.activity, case when kind = 'email_clicked' then 1 end)], array[now()], array[method], array[null::inet], array[null::text]) e
$$;
select shop.play(1, 4, '2025-12-30 10:00+00');
select shop.play(5, 10, '2026-01-01 04:30+00');
select shop.read('email_opened', '{1,5,6,7}'), shop.read('email_clicked', '{5}');
-- What robots do is apart.
select shop.read('email_opened', '{1,2,5}', 'HEAD'), shop.read('email_opened', '{2}', 'HEAD'), shop.read('email_clicked', '{6}', 'PREFETCH');
select public.events_applied() as applied;
select marketing_automation.block(r.uuid) from marketing_automation.record r join marketing_automation.scenario s on s.id = r.scenario_id and s.name = 'reports' where r.key in ('4', '9');

-- By day, month and year; gaps are zero rows, a rate of nothing is null. What became of a mail counts where its activity ran.
set timezone = 'UTC';
select * from marketing_automation.scenario_report_by('reports', 'day', '2025-12-29', '2026-01-02');
select * from marketing_automation.scenario_report_by('reports', 'month', to_date => '2026-02-10');
select * from marketing_automation.scenario_report_by('reports', 'year', '2024-06-01', '2026-02-10');
select name, starts_on, done, sent, not_sent, opened, clicked, robot_opens, robot_clicks, open_rate, click_rate, click_through_rate
from marketing_automation.activity_report_by('reports', 'hello', 'day', '2025-12-29', '2026-01-02');
select name, starts_on, done, done_trend, open_rate_trend, click_rate_trend, click_through_rate_trend
from marketing_automation.activity_report_by('reports', period => 'month', from_date => '2025-12-31', to_date => '2026-01-01');

-- Days are those of the session's time zone.
set timezone = 'America/New_York';
select starts_on, records from marketing_automation.scenario_report_by('reports', 'day', '2025-12-30', '2026-01-01');
set timezone = 'Asia/Kathmandu';
select starts_on, records from marketing_automation.scenario_report_by('reports', 'day', '2025-12-30', '2026-01-01');
set timezone = 'UTC';

-- The trend holds the ten periods that end with the row.
select starts_on, records_trend from marketing_automation.scenario_report_by('reports', 'day', '2026-01-08', '2026-01-11');
select marketing_automation.sparkline('{0,1,2,3,4,5,6,7}'), marketing_automation.sparkline('{0,0.001,null,100,-1}'), marketing_automation.sparkline('{0,0}'),
       marketing_automation.sparkline('{}') is null as of_nothing;

-- Totals. A mail under way is neither sent nor not sent.
insert into shop.reader values (11, 'reader11@shop.example');
select enrolled from marketing_automation.enroll('reports', now());
select marketing_automation.process_due(100, now());
select scenario, state, records, blocked, block_rate, records_trend, block_rate_trend from marketing_automation.scenario_report where scenario = 'reports';
select activity, waiting, done, cancelled, failed, under_way, sent, not_sent, opened, clicked from marketing_automation.activity_report where scenario = 'reports';
select activity, open_rate, click_rate, click_through_rate, done_trend from marketing_automation.activity_report where scenario = 'reports';
select * from marketing_automation.tree('reports');

-- A draft: what its domain matches now; null and a warning where it does not run, and the others are reported.
select marketing_automation.create_scenario('reported draft', 'reader', 'self.country = ''FR''') > 0 as created;
select marketing_automation.create_scenario('reported wreck', 'reader', '1 / (self.id - 3) >= 0') > 0 as created;
select scenario, state, records, blocked, block_rate from marketing_automation.scenario_report where scenario like 'report%';
select marketing_automation.record_count('reported wreck');
select * from marketing_automation.scenario_report_by('reported draft', 'year', '2026-01-01', '2026-01-01');
select count(*) from marketing_automation.activity_report_by('reported draft', period => 'year');
delete from marketing_automation.scenario where name like 'reported %';

-- A reader may see them.
create role shop_reader;
select marketing_automation.grant_access('shop_reader', 'reader');
set role shop_reader;
select records, records_trend is not null as has_trend from marketing_automation.scenario_report where scenario = 'reports';
select count(*) from marketing_automation.activity_report where scenario = 'reports';
select count(*) from marketing_automation.scenario_report_by('reports', 'day', '2025-12-30', '2026-01-01');
select count(*) from marketing_automation.tree('reports');
select count(*) from marketing_automation_internal.activity_counter;
reset role;
drop owned by shop_reader;
drop role shop_reader;

-- Arguments.
select * from marketing_automation.scenario_report_by('nothing', 'day');
select * from marketing_automation.scenario_report_by('reports', 'week');
select * from marketing_automation.scenario_report_by('reports', null);
select * from marketing_automation.scenario_report_by('reports', 'day', '2026-01-02', '2026-01-01');
select * from marketing_automation.scenario_report_by('reports', 'day', '-infinity', '2026-01-01');
select * from marketing_automation.scenario_report_by('reports', 'day', '0001-01-01', '2026-01-01');
select * from marketing_automation.activity_report_by('reports', 'helo');
select * from marketing_automation.activity_report_by('reports', 'something else');
reset timezone;
select marketing_automation.stop('reports');
drop function shop.play, shop.read;
