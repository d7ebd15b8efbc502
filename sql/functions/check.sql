-- Whether the counts that reports add up are those of the history: see tables/counters.sql.

create function marketing_automation_internal.recount(scenarios integer[])
returns table (scenario_id integer, activity_id integer, period timestamptz, what text, kept bigint, counted bigint)
-- One statement, so that what is booked and what it is booked for are of the same moment, whoever works meanwhile.
language sql stable set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set jit = off as $$
    with chosen as materialized (
        select a.id, a.scenario_id from marketing_automation.activity a where a.scenario_id = any (scenarios)
    ), finished as (
        select f.activity_id, marketing_automation_internal.counter_period(f.finished_at) as period, f.record_id, f.state, f.opened_at, f.clicked_at,
               f.outcome in ('condition_not_met', 'row_missing', 'no_address', 'expired') is true as is_skipped,
               f.outcome = 'mailed' as is_mailed
        from marketing_automation_internal.finished_activity f where f.activity_id in (select c.id from chosen c)
    ), mail as (
        select m.activity_id, m.created_at, m.ending, m.finished_at
        from (
            select o.activity_id, o.created_at, null as ending, null::timestamptz as finished_at, o.record_id
            from marketing_automation_internal.outbox o
            union all
            select l.activity_id, l.created_at, case when l.sent_at is not null then 'sent' else 'not_sent' end, l.finished_at, l.record_id
            from marketing_automation_internal.message_log l) m
        where m.record_id is not null and m.activity_id in (select c.id from chosen c)
    ), known as (
        -- purge_messages() removes the oldest mails and leaves the counts: what was queued since the oldest that is there is complete.
        select coalesce(min(m.finished_at), 'infinity') as since from mail m
    ), history as (
        select f.activity_id, f.period, count(*) filter (where f.state = 'done' and not f.is_skipped) as done,
               count(*) filter (where f.is_skipped) as skipped, count(*) filter (where f.state = 'cancelled') as cancelled,
               count(*) filter (where f.state = 'failed') as failed, count(*) filter (where f.is_mailed) as mailed,
               0::bigint as sent, 0::bigint as not_sent, count(f.opened_at) as opened, count(f.clicked_at) as clicked,
               0::bigint as robot_opens, 0::bigint as robot_clicks
        from finished f group by 1, 2
        union all
        select m.activity_id, marketing_automation_internal.counter_period(m.created_at), 0, 0, 0, 0, 0,
               count(*) filter (where m.ending = 'sent'), count(*) filter (where m.ending = 'not_sent'), 0, 0, 0, 0
        from mail m group by 1, 2
        union all
        select f.activity_id, f.period, 0, 0, 0, 0, 0, 0, 0, 0, 0,
               count(*) filter (where e.kind = 'email_opened'), count(*) filter (where e.kind = 'email_clicked')
        from marketing_automation_internal.event e
        join finished f on f.record_id = e.record_id and f.activity_id = e.activity_id
        where e.robot is not null group by 1, 2
    ), compared as (
        select h.*, false as is_kept from history h
        union all
        -- Rolled up, a period is in the total, too: as kept there, as counted here.
        select t.activity_id, p.period, t.done, t.skipped, t.cancelled, t.failed, t.mailed, t.sent, t.not_sent, t.opened, t.clicked,
               t.robot_opens, t.robot_clicks, p.is_kept
        from marketing_automation_internal.activity_counter t
        cross join lateral (
            select t.period, true as is_kept
            union all select '-infinity', false where t.rolled_up and t.period > '-infinity') p
        where t.activity_id in (select c.id from chosen c)
    ), summed as (
        select c.activity_id, c.period, w.what, coalesce(sum(w.n) filter (where c.is_kept), 0)::bigint as kept,
               coalesce(sum(w.n) filter (where not c.is_kept), 0)::bigint as counted
        from compared c
        cross join lateral (values ('done', c.done), ('skipped', c.skipped), ('cancelled', c.cancelled), ('failed', c.failed),
            ('mailed', c.mailed), ('sent', c.sent), ('not_sent', c.not_sent), ('opened', c.opened), ('clicked', c.clicked),
            ('robot_opens', c.robot_opens), ('robot_clicks', c.robot_clicks)) w (what, n)
        group by 1, 2, 3
    ), records as (
        select r.scenario_id, marketing_automation_internal.counter_period(r.entered_at) as period, false as is_kept,
               count(*) as records, count(r.blocked_at) as blocked
        from marketing_automation_internal.record r where r.scenario_id = any (scenarios) group by 1, 2
        union all
        select t.scenario_id, p.period, p.is_kept, t.records, t.blocked
        from marketing_automation_internal.scenario_counter t
        cross join lateral (
            select t.period, true as is_kept
            union all select '-infinity', false where t.rolled_up and t.period > '-infinity') p
        where t.scenario_id = any (scenarios)
    ), summed_records as (
        select r.scenario_id, r.period, w.what, coalesce(sum(w.n) filter (where r.is_kept), 0)::bigint as kept,
               coalesce(sum(w.n) filter (where not r.is_kept), 0)::bigint as counted
        from records r cross join lateral (values ('records', r.records), ('blocked', r.blocked)) w (what, n)
        group by 1, 2, 3
    )
    select c.scenario_id, s.activity_id, s.period, s.what, s.kept, s.counted
    from summed s join chosen c on c.id = s.activity_id
    where s.kept <> s.counted
      and (s.what not in ('sent', 'not_sent') or s.kept < s.counted or s.period = '-infinity'
           -- Later ones are of times that somebody has assumed: such a mail was made after it was sent.
           or s.period between (select k.since from known k) and statement_timestamp() + interval '1 day')
    union all
    select r.scenario_id, null, r.period, r.what, r.kept, r.counted from summed_records r where r.kept <> r.counted
$$;
comment on function marketing_automation_internal.recount(integer[]) is
    'API: private. Counts of these scenarios that are not those of their history; period -infinity: a total that is not the sum of its periods';

create function marketing_automation_internal.check(caller regrole, scenario text)
returns table (scenario text, activity text, period timestamptz, what text, kept bigint, counted bigint)
language sql stable rows 10 set search_path = pg_catalog, pg_temp as $$
    select s.name, a.name, nullif(r.period, '-infinity'), r.what, r.kept, r.counted
    from marketing_automation_internal.recount(case
        when "check".scenario is not null then array[(marketing_automation_internal.scenario_for(caller, "check".scenario, 'count')).id]
        else array(select c.id from marketing_automation.scenario c where marketing_automation_internal.has_right(caller, c.owner_id, 'count'))
        end) r
    join marketing_automation.scenario s on s.id = r.scenario_id
    left join marketing_automation.activity a on a.id = r.activity_id
    order by s.name, r.activity_id nulls first, r.what, r.period
$$;
comment on function marketing_automation_internal.check(regrole, text) is 'API: private. Behind check()';

create function marketing_automation.check(scenario text default null)
returns table (scenario text, activity text, period timestamptz, what text, kept bigint, counted bigint)
language c stable rows 10 as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.check(text) is
    'API: public. Counts again, from the history, what reports add up, of one scenario or of all that the caller may count, and returns what differs: '
    'nothing, if all is right. Reads the whole history of these scenarios, in one statement, and locks nothing; beside old mails that '
    'were purged, sent and not_sent cannot be counted again. activity null: of the scenario itself; period null: a total that is not the '
    'sum of its quarters of an hour';
