\set SHOW_CONTEXT never
-- Experiments: variants are tried with few, the rest waits, and takes the one that wins. Decided once.
set timezone = 'UTC';
set datestyle = 'ISO';
create schema contest;
create table contest.client (id integer primary key, email text, has_bought boolean not null default false);
insert into contest.client select i, 'c' || i || '@contest.example' from generate_series(1, 1000) i;
select count(marketing_automation.register_model('contest client', 'contest.client', key => 'self.id', party => 'self.id', email => 'self.email')) as registered;
create function contest.send_all() returns void language sql as $$
    select marketing_automation_internal.complete_messages(array_agg(c.id), array_agg(c.attempt), array_agg('sent'::text), array_agg('250 ok'::text),
        array_agg(0::double precision)) from marketing_automation_internal.claim_messages(100000) c having count(*) > 0
$$;
create function contest.play(until timestamptz) returns void language plpgsql as $$
begin
    while marketing_automation.process_due(300, until) > 0 loop end loop;
end $$;
create function contest.open_some(scenario text, variant text, share double precision) returns bigint language sql as $$
    with mail as (
        select f.record_id, f.activity_id, row_number() over (order by f.record_id) as n, count(*) over () as mails
        from marketing_automation.record_activity f join marketing_automation.activity a on a.id = f.activity_id
        where a.name = variant and a.scenario_id = marketing_automation.scenario_id(scenario) and f.outcome = 'mailed'
    ), marked as (
        select marketing_automation_internal.mark_events(array_agg(m.record_id), array_agg(m.activity_id), array_agg('email_opened'::text), array_agg(now()))
        from mail m where m.n <= m.mails * share
    )
    select count(*) from marked
$$;
create view contest.taken as
    select s.name as scenario, a.name as variant, d.by_winner, d.record_id, d.decided_at
    from marketing_automation.branch_decision d join marketing_automation.activity p on p.id = d.parent_id
    join marketing_automation.scenario s on s.id = p.scenario_id left join marketing_automation.activity a on a.id = d.activity_id;

select marketing_automation.create_scenario('contest', 'contest client', domain => 'self.id <= 900') > 0 as created;
select marketing_automation.add_activity('contest', 'try', action => null, branch_by => 'share', metric => 'opens', decide_after => '1 day') > 0 as try,
    marketing_automation.add_activity('contest', 'plain', 'try', share => 20, subject => 's', body => 'b') > 0 as plain,
    marketing_automation.add_activity('contest', 'witty', 'try', share => 20, subject => 's!', body => 'b') > 0 as witty,
    marketing_automation.add_activity('contest', 'after witty', 'witty', action => null) > 0 as after;
select severity, activity, message, hint from marketing_automation.check_scenario('contest') where message !~ 'unsubscribe|recorded|no mail was tried';
select marketing_automation.run('contest') is not null as runs;
begin;
select enrolled from marketing_automation.enroll('contest');
-- Not before its time, nor before all variants have been tried.
select contest.play(now() + interval '1 minute');
select count(*) filter (where variant is null) > 0 as wait, count(*) filter (where by_winner) as won from contest.taken where scenario = 'contest';
select contest.send_all();
select contest.open_some('contest', 'plain', 0.1), contest.open_some('contest', 'witty', 0.5);
select contest.play(now() + interval '23 hours');
select count(*) filter (where by_winner) as won from contest.taken where scenario = 'contest';
select regexp_replace(tree, '\d+ (done|waiting|sent|at it)|opened \d+ \([0-9.]+ %\)', '… \1', 'g') as tree from marketing_automation.tree('contest');
select about, regexp_replace(fact, '\d{4}-[-0-9 :+]+', '… ', 'g') as fact from marketing_automation.explain_record('contest', (
    select r.key from contest.taken t join marketing_automation.record r on r.id = t.record_id where t.scenario = 'contest' and t.variant is null order by r.id limit 1));
select activity, outcome, detail from marketing_automation.simulate('contest', (
    select r.key from contest.taken t join marketing_automation.record r on r.id = t.record_id where t.scenario = 'contest' and t.variant is null order by r.id limit 1));
-- Who is blocked while he waits takes it, and gets nothing.
select marketing_automation.block(r.uuid) is not null as blocked from contest.taken t join marketing_automation.record r on r.id = t.record_id
where t.scenario = 'contest' and t.variant is null order by r.id limit 1;
select contest.play(now() + interval '25 hours');
select variant, by_winner, count(*) = count(distinct record_id) as once from contest.taken where scenario = 'contest' group by 1, 2 order by 1, 2;
select count(*) as one_mail_each_but_the_blocked from (
    select m.record_id from marketing_automation.message m join marketing_automation.record r on r.id = m.record_id
    where r.scenario_id = marketing_automation.scenario_id('contest') group by m.record_id having count(*) = 1) m;
select a.name, ra.state, ra.outcome from marketing_automation.record_activity ra join marketing_automation.record r on r.id = ra.record_id
join marketing_automation.activity a on a.id = ra.activity_id where r.blocked_at is not null and a.scenario_id = marketing_automation.scenario_id('contest') order by a.id;
-- For ever: whatever is opened later, who comes later, and whoever decides.
select contest.send_all();
select contest.open_some('contest', 'plain', 1);
update marketing_automation.scenario set domain = 'true' where name = 'contest';
select enrolled from marketing_automation.enroll('contest');
select contest.play(now() + interval '30 days');
commit;
select variant, by_winner, count(*) >= 100 as many from contest.taken where scenario = 'contest' group by 1, 2 order by 1, 2;
\set VERBOSITY default
do $$ begin
    perform marketing_automation.decide('contest', 'try', 'plain');
exception when object_not_in_prerequisite_state then
    raise notice '%', regexp_replace(sqlerrm, '\d{4}-[-0-9 :+]+$', '…');
end $$;
select experiment, variant, share, records > 0 as some, metric_used, rate > 0.4 as high, difference > 0 as ahead, difference_low > 0 as surely, difference_high < 1 as bounded, winner
from marketing_automation.variant_report('contest');
select variant, metric_used, rate from marketing_automation.variant_report('contest', 'conversions');
select marketing_automation.variant_report('contest', 'money');
-- The page has the same.
select c ->> 'about' as about, c ->> 'metric' as metric, g ->> 'name' as name, g ->> 'kind' as kind, g ->> 'winner' as winner,
    v.variant is not null or (g ->> 'kind' = 'rest' and (g ->> 'people')::bigint > 0) as as_reported,
    jsonb_array_length(c -> 'effects') as effects, (c #>> '{effects,0,low}')::numeric > 0 as surely
from jsonb_array_elements(marketing_automation_internal.report_comparisons(current_user::regrole, 'contest')) with ordinality c (c, n)
cross join lateral jsonb_array_elements(c.c -> 'groups') with ordinality g (g, n)
left join marketing_automation.variant_report('contest') v
    on (v.experiment, v.variant, v.mailed, v.opened) = (c.c ->> 'about', g.g ->> 'name', (g.g ->> 'people')::bigint, (g.g ->> 'reached')::bigint)
order by c.n, g.n;

-- By hand, and by conversions: of records, whether they got a mail or not.
select marketing_automation.create_scenario('by hand', 'contest client', goal => 'self.has_bought') > 0 as created;
select marketing_automation.add_activity('by hand', 'begin', action => null, delay => '1 hour') > 0 as begin,
    marketing_automation.add_activity('by hand', 'try', 'begin', action => null, branch_by => 'share', metric => 'conversions') > 0 as try,
    marketing_automation.add_activity('by hand', 'call', 'try', share => 30, action => null) > 0 as call;
select severity, activity, message, hint from marketing_automation.check_scenario('by hand') where message !~ 'unsubscribe|recorded|no mail was tried';
select marketing_automation.add_activity('by hand', 'wait', 'try', share => 30, action => null, delay => '3 days') > 0 as wait;
select marketing_automation.run('by hand') is not null as runs;
begin;
select enrolled from marketing_automation.enroll('by hand', now => now());
select contest.play(now() + interval '2 hours');
update contest.client c set has_bought = true from contest.taken t join marketing_automation.record r on r.id = t.record_id
where t.scenario = 'by hand' and t.variant = 'call' and c.id::text = r.key and c.id % 2 = 0;
select marketing_automation.apply_goals('by hand', now => now() + interval '3 hours') > 0 as asked;
select contest.play(now() + interval '90 days');
select count(*) filter (where by_winner) as won from contest.taken where scenario = 'by hand';
select experiment, variant, records > 0 as some, mailed, conversions > 0 as converts, metric_used, rate > 0.3 as high, difference_low > 0 as surely, winner from marketing_automation.variant_report('by hand');
select marketing_automation.decide('by hand', 'try', 'wait');
select contest.play(now() + interval '91 days');
select variant, by_winner, count(*) > 100 as many from contest.taken where scenario = 'by hand' group by 1, 2 order by 1, 2;
select count(*) as twice from (select ra.record_id from marketing_automation.record_activity ra join marketing_automation.activity a on a.id = ra.activity_id
    where a.name in ('call', 'wait') and a.scenario_id = marketing_automation.scenario_id('by hand') group by 1 having count(*) <> 1) r;
commit;
select winner, variant from marketing_automation.variant_report('by hand') order by 2;

-- Files have no winner: a copy begins anew.
select marketing_automation.copy_scenario('contest', 'contest again') > 0 as copied;
select a ->> 'name' as name, a ->> 'metric' as metric, a ->> 'decide_after' as decide_after, a ->> 'share' as share
from marketing_automation.export_scenario('contest again') e cross join lateral jsonb_array_elements(e -> 'activities') a;
select experiment, variant, records, winner from marketing_automation.variant_report('contest again');

-- What cannot be.
select marketing_automation.add_activity('contest again', 'rest', 'try', subject => 's', body => 'b');
select marketing_automation.add_activity('contest again', 'all', 'try', share => 60, subject => 's', body => 'b');
select marketing_automation.add_activity('contest again', 'call', 'try', share => 10, action => null);
select marketing_automation.add_activity('contest again', 'x', action => null, metric => 'opens');
select marketing_automation.add_activity('contest again', 'x', action => null, branch_by => 'share', metric => 'open');
select marketing_automation.add_activity('contest again', 'x', subject => 's', body => 'b', branch_by => 'share', metric => 'opens');
select marketing_automation.add_activity('contest again', 'x', action => null, branch_by => 'share', decide_after => '1 day');
select marketing_automation.add_activity('contest again', 'x', action => null, branch_by => 'share', metric => 'opens', decide_after => '-1 day');
update marketing_automation.activity set metric = null, decide_after = null where name = 'try' and scenario_id = marketing_automation.scenario_id('contest again');
update marketing_automation.activity set metric = 'clicks' where name = 'try' and scenario_id = marketing_automation.scenario_id('contest again');
select marketing_automation.decide('contest again', 'plain', 'witty');
select marketing_automation.decide('contest again', 'try', 'wity');
select marketing_automation.decide('contest again', 'try', 'after witty');
-- Before anybody has come to it, too.
select marketing_automation.decide('contest again', 'try', 'plain');
select marketing_automation.run('contest again') is not null as runs;
begin;
select enrolled from marketing_automation.enroll('contest again');
select contest.play(now() + interval '1 minute');
commit;
select variant, by_winner, count(*) from contest.taken where scenario = 'contest again' group by 1, 2;
select count(marketing_automation.stop(s)) as stopped from unnest(array['contest', 'by hand', 'contest again']) s;
delete from marketing_automation_internal.open_goal g where g.scenario_id = marketing_automation.scenario_id('by hand');
\set VERBOSITY terse
drop schema contest cascade;
