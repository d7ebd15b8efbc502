-- Reports: views for the totals, functions for days, months and years. They read the counters only.

create function marketing_automation_internal.rate(part bigint, whole bigint) returns numeric
language sql immutable parallel safe
-- More were opened than sent where mails are held, as nobody knows whether they were taken.
return case when whole > 0 then round(part::numeric / greatest(whole, part), 4) end;
comment on function marketing_automation_internal.rate(bigint, bigint) is
    'API: private. Part of the whole, between 0 and 1; null: of nothing';

create function marketing_automation.sparkline("values" numeric[]) returns text
language sql immutable parallel safe
-- From zero, not from the least value: a bar half as high is half as much.
return (
    select string_agg(
        case when v.value is null or v.value = 'NaN' then ' '
             when v.value <= 0 then '▁'
             when v.value = 'Infinity' then '█'
             else substr('▁▂▃▄▅▆▇█', 1 + ceil(7 * v.value / (select max(m) from unnest("values") m where m < 'Infinity'))::integer, 1)
        end, '' order by v.n)
    from unnest("values") with ordinality as v (value, n));
comment on function marketing_automation.sparkline(numeric[]) is
    'API: public. A bar for each value, ▁ for zero and less to █ for the highest, a space for null and NaN';

create function marketing_automation_internal.report_periods(period text, from_date date, to_date date)
returns table (starts_on date, is_shown boolean)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    step interval;
    first timestamp;
begin
    if period is null or period not in ('day', 'month', 'year') then
        raise exception 'a report by % is not available', coalesce(quote_literal(period), 'null')
            using errcode = 'invalid_parameter_value', hint = 'The period is ''day'', ''month'' or ''year''.';
    end if;
    if not isfinite(from_date) or not isfinite(to_date) then
        raise exception 'a report needs finite dates, not from % to %', from_date, to_date
            using errcode = 'invalid_parameter_value', hint = 'Leave one of them away for what there is on its side.';
    end if;
    if from_date > to_date then
        raise exception 'from_date % is after to_date %', from_date, to_date
            using errcode = 'invalid_parameter_value', hint = 'Exchange the two, or leave one of them away.';
    end if;
    step := ('1 ' || period)::interval;
    if from_date + 10000 * step < to_date then
        raise exception 'a report from % to % by % has more than 10,000 rows', from_date, to_date, period
            using errcode = 'program_limit_exceeded', hint = 'Ask for longer periods or fewer.';
    end if;
    first := date_trunc(period, from_date::timestamp);
    return query
        select p::date, p >= first
        -- The trend of the first period shows those before it too.
        from generate_series(first - 9 * step, to_date::timestamp, step) p;
end $$;
comment on function marketing_automation_internal.report_periods(text, date, date) is
    'API: private. The days, months or years in which from_date to to_date lie, and nine before, which are not shown. Raises if they '
    'make no report';

create function marketing_automation_internal.scenario_report_by(caller regrole, scenario text, period text, from_date date, to_date date)
    returns table (starts_on date, records bigint, blocked bigint, block_rate numeric, records_trend text, block_rate_trend text)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    chosen marketing_automation.scenario := marketing_automation_internal.scenario_for(caller, scenario_report_by.scenario,
        'count');
    last date := coalesce(to_date, current_date);
    first date := coalesce(from_date, least(last, (
        select min(t.period)::date from marketing_automation_internal.scenario_counter t where t.scenario_id = chosen.id
            and t.period > '-infinity')));
begin
    return query
    with span as materialized (
        select * from marketing_automation_internal.report_periods(scenario_report_by.period, first, last)
    ), counted as (
        -- In the time zone of the session, as all conversions between timestamptz and date are.
        select date_trunc(scenario_report_by.period, t.period::timestamp)::date as starts_on, sum(t.records) as records,
            sum(t.blocked) as blocked
        from marketing_automation_internal.scenario_counter t
        where t.scenario_id = chosen.id and t.period >= (select min(s.starts_on) from span s)::timestamptz
        group by 1
    ), filled as (
        select s.starts_on, s.is_shown, coalesce(c.records, 0) as records, coalesce(c.blocked, 0) as blocked,
               marketing_automation_internal.rate(c.blocked, c.records) as block_rate
        from span s left join counted c on c.starts_on = s.starts_on
    ), trended as (
        select f.*, marketing_automation.sparkline(array_agg(f.records::numeric) over last_ten) as records_trend,
               marketing_automation.sparkline(array_agg(f.block_rate) over last_ten) as block_rate_trend
        from filled f window last_ten as (order by f.starts_on rows 9 preceding)
    )
    select t.starts_on, t.records, t.blocked, t.block_rate, t.records_trend, t.block_rate_trend
    from trended t where t.is_shown order by t.starts_on;
end $$;
comment on function marketing_automation_internal.scenario_report_by(regrole, text, text, date, date) is
    'API: private. Behind scenario_report_by()';

create function marketing_automation.scenario_report_by(
    scenario text, period text default 'month', from_date date default null, to_date date default null
)
    returns table (starts_on date, records bigint, blocked bigint, block_rate numeric, records_trend text, block_rate_trend text)
language c stable rows 20 as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.scenario_report_by(text, text, date, date) is
    'API: public. A row for each day, month or year in which from_date (null: the first record) to to_date (null: today) lie, in the '
    'time zone of the session: records that entered, how many of them are blocked now, their share between 0 and 1, and trends of '
    'the ten periods that end with the row';

create function marketing_automation_internal.activity_report_by(caller regrole, scenario text, activity text, period text,
    from_date date, to_date date)
    returns table (name text, starts_on date, done bigint, skipped bigint, cancelled bigint, failed bigint, sent bigint, not_sent bigint,
        opened bigint, clicked bigint, robot_opens bigint, robot_clicks bigint, open_rate numeric, click_rate numeric,
        click_through_rate numeric, done_trend text, open_rate_trend text, click_rate_trend text, click_through_rate_trend text)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    its_scenario marketing_automation.scenario := marketing_automation_internal.scenario_for(caller,
        activity_report_by.scenario, 'count');
    chosen integer[] := case
        when activity_report_by.activity is null then array(select t.activity_id
            from marketing_automation_internal.activity_tree(its_scenario.id) t)
        else array[marketing_automation_internal.activity_named(its_scenario, activity_report_by.activity)] end;
    last date := coalesce(to_date, current_date);
    first date := coalesce(from_date, least(last, (
        select min(t.period)::date from marketing_automation_internal.activity_counter t where t.activity_id = any (chosen)
            and t.period > '-infinity')));
begin
    return query
    with span as materialized (
        select * from marketing_automation_internal.report_periods(activity_report_by.period, first, last)
    ), counted as (
        select t.activity_id, date_trunc(activity_report_by.period, t.period::timestamp)::date as starts_on,
               sum(t.done) as done, sum(t.skipped) as skipped, sum(t.cancelled) as cancelled, sum(t.failed) as failed, sum(t.sent) as sent,
                   sum(t.not_sent) as not_sent,
               sum(t.opened) as opened, sum(t.clicked) as clicked, sum(t.robot_opens) as robot_opens, sum(t.robot_clicks) as robot_clicks
        from marketing_automation_internal.activity_counter t
        where t.activity_id = any (chosen) and t.period >= (select min(s.starts_on) from span s)::timestamptz
        group by 1, 2
    ), filled as (
        select a.id, a.name, s.starts_on, s.is_shown, coalesce(c.done, 0) as done, coalesce(c.skipped, 0) as skipped,
               coalesce(c.cancelled, 0) as cancelled,
            coalesce(c.failed, 0) as failed,
               coalesce(c.sent, 0) as sent, coalesce(c.not_sent, 0) as not_sent, coalesce(c.opened, 0) as opened,
                   coalesce(c.clicked, 0) as clicked,
               coalesce(c.robot_opens, 0) as robot_opens, coalesce(c.robot_clicks, 0) as robot_clicks,
               marketing_automation_internal.rate(c.opened, c.sent) as open_rate, marketing_automation_internal.rate(c.clicked,
                   c.sent) as click_rate,
               marketing_automation_internal.rate(c.clicked, c.opened) as click_through_rate
        from marketing_automation.activity a cross join span s
        left join counted c on c.activity_id = a.id and c.starts_on = s.starts_on
        where a.id = any (chosen)
    ), trended as (
        select f.*, marketing_automation.sparkline(array_agg(f.done::numeric) over last_ten) as done_trend,
               marketing_automation.sparkline(array_agg(f.open_rate) over last_ten) as open_rate_trend,
               marketing_automation.sparkline(array_agg(f.click_rate) over last_ten) as click_rate_trend,
               marketing_automation.sparkline(array_agg(f.click_through_rate) over last_ten) as click_through_rate_trend
        from filled f window last_ten as (partition by f.id order by f.starts_on rows 9 preceding)
    )
    select t.name, t.starts_on, t.done, t.skipped, t.cancelled, t.failed, t.sent, t.not_sent, t.opened, t.clicked, t.robot_opens, t.robot_clicks,
        t.open_rate, t.click_rate, t.click_through_rate,
           t.done_trend, t.open_rate_trend, t.click_rate_trend, t.click_through_rate_trend
    from trended t where t.is_shown order by array_position(chosen, t.id), t.starts_on;
end $$;
comment on function marketing_automation_internal.activity_report_by(regrole, text, text, text, date, date) is
    'API: private. Behind activity_report_by()';

create function marketing_automation.activity_report_by(
    scenario text, activity text default null, period text default 'month', from_date date default null, to_date date default null
)
    returns table (name text, starts_on date, done bigint, skipped bigint, cancelled bigint, failed bigint, sent bigint, not_sent bigint,
        opened bigint, clicked bigint, robot_opens bigint, robot_clicks bigint, open_rate numeric, click_rate numeric,
        click_through_rate numeric, done_trend text, open_rate_trend text, click_rate_trend text, click_through_rate_trend text)
language c stable rows 20 as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.activity_report_by(text, text, text, date, date) is
    'API: public. As scenario_report_by, for one activity of a scenario (null: each of them, in the order of the tree). What became '
    'of a mail counts in the period in which its activity ran, what robots did with it too. Rates are between 0 and 1: open_rate and '
    'click_rate of the sent, click_through_rate of the opened';

-- The views run functions with the rights of who reads them: they call public ones only, and divide by themselves.

-- countable_scenario is a barrier already, and no other name is in it: whatever somebody asks for is chosen before the rest is counted.
create view marketing_automation.scenario_report as
select s.name as scenario, s.state, c.records, c.blocked, round(c.blocked::numeric / nullif(c.records, 0), 4) as block_rate,
    t.records_trend, t.block_rate_trend,
       v.conversions, v.value as conversion_value
from marketing_automation_internal.countable_scenario s
cross join lateral marketing_automation.record_count(s.name, strict => false) c
cross join lateral marketing_automation.scenario_report_by(s.name, 'day', current_date, current_date) t
cross join lateral (select count(*) as conversions, sum(c.value) as value from marketing_automation.conversion c
    where c.scenario_id = s.id) v
order by s.name;
comment on view marketing_automation.scenario_report is
    'API: public. Each scenario''s records (of a draft: the rows that its domain matches now), how many are blocked, their share '
    'between 0 and 1; trends of the last ten days; its conversions, how many and their value';

create view marketing_automation.activity_report with (security_barrier) as
select s.name as scenario, a.name as activity, c.waiting, c.done, c.skipped, c.cancelled, c.failed, c.under_way, c.sent, c.not_sent, c.opened,
    c.clicked, c.robot_opens, c.robot_clicks,
       round(c.opened::numeric / nullif(greatest(c.sent, case when c.sent > 0 then c.opened end), 0), 4) as open_rate,
       round(c.clicked::numeric / nullif(greatest(c.sent, case when c.sent > 0 then c.clicked end), 0), 4) as click_rate,
       round(c.clicked::numeric / nullif(greatest(c.opened, case when c.opened > 0 then c.clicked end), 0), 4) as click_through_rate,
       t.done_trend, t.open_rate_trend, t.click_rate_trend, t.click_through_rate_trend
from marketing_automation_internal.countable_scenario s
cross join lateral marketing_automation.activity_count(s.name) with ordinality c
join marketing_automation.activity a on a.id = c.activity_id
cross join lateral marketing_automation.activity_report_by(s.name, a.name, 'day', current_date, current_date) t
order by s.name, c.ordinality;
comment on view marketing_automation.activity_report is
    'API: public. Each activity''s records by state, its mails (under way, sent, not sent, opened, clicked), the opens and clicks, '
    'each of them, that were a robot''s, rates between 0 and 1 (opened and clicked of the sent, clicked of the opened); trends of '
    'the last ten days';
