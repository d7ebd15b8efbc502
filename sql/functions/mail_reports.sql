-- Reports that read the history itself, where sums by quarter of an hour do not tell: what was clicked, where mail does not arrive, when
-- people read, what a week's newcomers became. They cost what the scenario's history is long, and are asked for now and then.

create function marketing_automation_internal.link_pattern(url text) returns text
language sql immutable strict parallel safe
-- What stands behind ? are values, but for those of a campaign; in the path numbers, ids and addresses.
return regexp_replace(regexp_replace(url, '[?#].*$', ''),
        '/([0-9]+|[0-9a-fA-F-]{16,}|[A-Za-z0-9_-]{24,}|[^/]*(@|%40)[^/]*)(?=/|$)', '/…', 'g')
    || coalesce('?' || regexp_replace(regexp_replace(substring(url from '^[^#?]*\?([^#]+)'), '(^|&)[^=&]+(?=&|$)', '\1…', 'g'),
        '(^|&)((?!utm_)[^=&]*|[^=&]*(?==[^&]*(@|%40)))=[^&]*', '\1\2=…', 'g'), '');
comment on function marketing_automation_internal.link_pattern(text) is
    'API: private. A web address without what may differ between recipients: numbers, ids and addresses in the path, values behind ? '
    'but for utm_…, and all behind #. So the addresses of one personalised link have one pattern, which names nobody';

create function marketing_automation_internal.tagged_pattern(pattern text) returns text
language sql immutable strict parallel safe
return regexp_replace(pattern, '#.*$', '')
    || case when pattern ~ '^[^#]*\?([^#]*&)?(#|$)' then '' when pattern ~ '^[^#]*\?' then '&' else '?' end || 'utm\_%'
    || coalesce(substring(pattern from '#.*$'), '');
comment on function marketing_automation_internal.tagged_pattern(text) is
    'API: private. The pattern of LIKE for addresses of a link in a template with what scenario.utm has given them, of the pattern without';

create function marketing_automation_internal.written_link(url text, patterns text[], tagged text[]) returns text
language sql immutable strict parallel safe set search_path = pg_catalog, pg_temp as $$
    select coalesce((
            select marketing_automation_internal.link_pattern(replace(replace(replace(replace(replace(replace(
                p.pattern, '\\', U&'\E000'), '\%', U&'\E001'), '\_', '_'), '%', '…'), U&'\E001', '%'), U&'\E000', '\'))
            from unnest(patterns, tagged) as p (pattern, tagged)
            where (url like p.pattern or url like p.tagged) and p.pattern !~ '^%'
            order by length(replace(p.pattern, '%', '')) desc, p.pattern limit 1),
        substring(url from '^[^/?#]*//[^/?#]*') || '/…')
$$;
comment on function marketing_automation_internal.written_link(text, text[], text[]) is
    'API: private. What everybody may see of a web address to which somebody was sent: what is written out in a template (patterns of LIKE, and '
    'those with what scenario.utm has added), with … for what that takes from the row; of others the host';

create function marketing_automation_internal.reported_activities(caller regrole, scenario text, activity text)
    returns table (id integer, name text, ordinal bigint)
language sql stable rows 20 set search_path = pg_catalog, pg_temp as $$
    select a.id, a.name, t.ordinal
    from marketing_automation_internal.scenario_for(caller, scenario, 'count') s
    cross join lateral marketing_automation_internal.activity_tree(s.id) t
    join marketing_automation.activity a on a.id = t.activity_id
    where reported_activities.activity is null
       or a.id = marketing_automation_internal.activity_named(s, reported_activities.activity)
$$;
comment on function marketing_automation_internal.reported_activities(regrole, text, text) is
    'API: private. An activity of a scenario that a role may count, or each of them (null), in the order of the tree';

create function marketing_automation_internal.demand_dates(from_date date, to_date date, out first timestamptz, out last timestamptz)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    if demand_dates.from_date > demand_dates.to_date then
        raise exception 'from_date % is after to_date %', demand_dates.from_date, demand_dates.to_date
            using errcode = 'invalid_parameter_value', hint = 'Leave one of the two away for all that there is on its side.';
    end if;
    -- In the time zone of the session, as all conversions between timestamptz and date are.
    first := demand_dates.from_date;
    last := demand_dates.to_date + 1;
end $$;
comment on function marketing_automation_internal.demand_dates(date, date, out timestamptz, out timestamptz) is
    'API: private. From when, and until before when, the days from from_date to to_date last; null: no limit. Raises if they are in the '
    'wrong order';

create function marketing_automation_internal.link_report_for(caller regrole, scenario text, activity text, from_date date, to_date date,
    reads boolean, sees boolean)
    returns table (activity text, "position" integer, label text, link text, people bigint, clicks bigint, share numeric,
        robot_clicks bigint)
language sql stable set search_path = pg_catalog, pg_temp set jit = off as $$
    with chosen as materialized (
        select * from marketing_automation_internal.reported_activities(caller, scenario, link_report_for.activity)
    ), hits as materialized (
        select e.activity_id, e.link_id, e.record_id, count(*) filter (where e.robot is null) as clicks,
               count(*) filter (where e.robot is not null) as robots
        from marketing_automation_internal.event e
        cross join marketing_automation_internal.demand_dates(link_report_for.from_date, link_report_for.to_date) d
        where e.kind = 'email_clicked' and e.activity_id in (select c.id from chosen c)
          and e.occurred_at >= coalesce(d.first, '-infinity') and e.occurred_at < coalesce(d.last, 'infinity')
        group by 1, 2, 3
    ), placed as materialized (
        -- As the body is written now. What it says is for who may read it.
        select a.id as activity_id, b.n::integer as "position", b.pattern,
            marketing_automation_internal.tagged_pattern(b.pattern) as tagged, case when reads then nullif(b.label, '') end as label
        from marketing_automation.activity a
        cross join lateral marketing_automation_internal.body_links(a.body) with ordinality as b (pattern, label, n)
        where a.id in (select h.activity_id from hits h)
    ), written as materialized (
        select c.id as activity_id, array(
            select p.pattern from placed p where p.activity_id = c.id
            union
            select b.pattern from marketing_automation.activity_translation t cross join marketing_automation_internal.body_links(t.body) b
            where t.activity_id = c.id
            union
            select b.pattern from marketing_automation.snippet n cross join marketing_automation_internal.body_links(n.body) b) as patterns
        from chosen c where not sees
    ), tagged as materialized (
        select w.activity_id, array(select marketing_automation_internal.tagged_pattern(u.pattern) from unnest(w.patterns) with ordinality u (pattern, n)
            order by u.n) as patterns
        from written w
    ), links as materialized (
        -- An address may hold anything of the row.
        select h.activity_id, l.id, l.url, case when sees then marketing_automation_internal.link_pattern(l.url)
            else marketing_automation_internal.written_link(l.url, w.patterns, t.patterns) end as pattern
        from (select distinct h.activity_id, h.link_id from hits h) h
        join marketing_automation.link l on l.id = h.link_id
        left join written w on w.activity_id = h.activity_id
        left join tagged t on t.activity_id = h.activity_id
    ), counted as (
        select h.activity_id, l.pattern, count(distinct h.record_id) filter (where h.clicks > 0) as people,
               sum(h.clicks)::bigint as clicks, sum(h.robots)::bigint as robots, min(l.url) as url
        from hits h join links l on l.id = h.link_id and l.activity_id = h.activity_id group by 1, 2
    )
    select a.name, p.position, p.label, c.pattern, c.people, c.clicks,
           marketing_automation_internal.rate(c.clicks, (sum(c.clicks) over (partition by c.activity_id))::bigint), c.robots
    from counted c join chosen a on a.id = c.activity_id
    left join lateral (
        -- The one of which most is written out; of several with one address the first.
        select p.position, p.label from placed p where p.activity_id = c.activity_id and (c.url like p.pattern or c.url like p.tagged)
        order by length(replace(p.pattern, '%', '')) desc, p.position limit 1) p on true
    order by a.ordinal, c.clicks desc, c.robots desc, c.pattern
$$;
comment on function marketing_automation_internal.link_report_for(regrole, text, text, date, date, boolean, boolean) is
    'API: private. What link_report() gives to who may read the scenario (reads), and may see contents of its rows (sees), or not';

create function marketing_automation_internal.link_report(caller regrole, scenario text, activity text, from_date date, to_date date)
    returns table (activity text, "position" integer, label text, link text, people bigint, clicks bigint, share numeric,
        robot_clicks bigint)
language sql stable set search_path = pg_catalog, pg_temp as $$
    select r.* from (select 1) as one
    left join marketing_automation.scenario s on s.name = link_report.scenario
    cross join lateral marketing_automation_internal.link_report_for(caller, link_report.scenario, link_report.activity,
        link_report.from_date, link_report.to_date, marketing_automation_internal.has_right(caller, s.owner_id, 'read'),
        marketing_automation_internal.sees_rows(caller, s.id)) r
$$;
comment on function marketing_automation_internal.link_report(regrole, text, text, date, date) is 'API: private. Behind link_report()';

create function marketing_automation.link_report(scenario text, activity text default null, from_date date default null,
    to_date date default null)
    returns table (activity text, "position" integer, label text, link text, people bigint, clicks bigint, share numeric,
        robot_clicks bigint)
language c stable as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.link_report(text, text, date, date) is
    'API: public. What was clicked in the mails of an activity (null: of each), the most clicked first: its place among the tracked links '
    'of the body and its text, as the body is written now (null: it is not there, or in a translation; the text also for who may not '
    'read the scenario, or where an image has none); link, with … for what may differ '
    'between recipients, so that personalised links add up, and for who may not see contents (sees_rows()) for all that no template writes '
    'out; people who clicked it, their clicks, their share of the clicks in that '
    'mail (0 to 1), and clicks of robots; what was clicked from from_date to to_date (null: at any time)';

create function marketing_automation_internal.domain_report(caller regrole, scenario text, from_date date, to_date date)
    returns table (day date, domain text, sent bigint, opened bigint, failed bigint, suppressed bigint, under_way bigint,
        deferrals bigint, hard_bounces bigint, soft_bounces bigint, complaints bigint)
-- The planner, which knows nothing of hosts, thinks of many more groups than there are: it would sort all mails, and compile for a second.
language plpgsql stable set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set hash_mem_multiplier = 8
set jit = off as $$
#variable_conflict use_column
declare
    chosen integer[] := array(select r.id
        from marketing_automation_internal.reported_activities(caller, domain_report.scenario, null) r);
    first timestamptz;
    last timestamptz;
begin
    select d.first, d.last into first, last
    from marketing_automation_internal.demand_dates(domain_report.from_date, domain_report.to_date) d;
    return query
    -- The domain of each address is read in two steps, as the second one costs more and has to be done once for each host alone.
    with mail as not materialized (
        select l.id, l.record_id, l.activity_id, case when l.email like '%@%' then split_part(l.email, '@', -1) end as host, l.state,
               coalesce(l.sent_at, l.finished_at) as at, case when l.addresses is not null then l.email end as email
        from marketing_automation_internal.message_log l
        where l.activity_id = any (chosen) and l.record_id is not null and l.target is null
          and (first is null or coalesce(l.sent_at, l.finished_at) >= first) and (last is null or coalesce(l.sent_at, l.finished_at) < last)
        union all
        select o.id, o.record_id, o.activity_id, case when o.email like '%@%' then split_part(o.email, '@', -1) end, 'under_way',
               o.created_at, case when o.addresses is not null then o.email end
        from marketing_automation_internal.outbox o
        where o.activity_id = any (chosen) and o.record_id is not null and o.target is null
          and (first is null or o.created_at >= first) and (last is null or o.created_at < last)
    ), counted as (
        select g.day, g.host, case when g.state in ('sent', 'bounced') then g.n else 0 end as sent,
               case when g.state in ('sent', 'bounced') and g.opened then g.n else 0 end as opened,
               case g.state when 'failed' then g.n else 0 end as failed, case g.state when 'suppressed' then g.n else 0 end as suppressed,
               case g.state when 'under_way' then g.n else 0 end as under_way, 0::bigint as deferrals, 0::bigint as hard,
               0::bigint as soft, 0::bigint as complained
        from (
            select m.at::date as day, m.host, m.state, f.record_id is not null as opened, count(*) as n
            from mail m
            left join marketing_automation_internal.finished_activity f
                on f.record_id = m.record_id and f.activity_id = m.activity_id and f.opened_at is not null
            group by 1, 2, 3, 4) g
        union all
        select m.at::date, m.host, 0, 0, 0, 0, 0, count(*), 0, 0, 0
        from marketing_automation_internal.attempt_log t join mail m on m.id = t.message_id where t.state = 'deferred' group by 1, 2
        union all
        select m.at::date, m.host, 0, 0, 0, 0, 0, 0, count(distinct m.id) filter (where b.kind = 'hard'),
               count(distinct m.id) filter (where b.kind = 'soft'), count(distinct m.id) filter (where b.kind = 'complaint')
        from marketing_automation.bounce b join mail m on m.id = b.message_id
        -- Not what came back from one of those who got a copy.
        where m.email is null or b.address_hash is not distinct from marketing_automation.address_hash(m.email) group by 1, 2
    ), named as materialized (
        select h.host, marketing_automation_internal.address_domain('@' || h.host) as domain from (select distinct c.host from counted c) h
    )
    select c.day, n.domain, sum(c.sent)::bigint, sum(c.opened)::bigint, sum(c.failed)::bigint, sum(c.suppressed)::bigint,
           sum(c.under_way)::bigint, sum(c.deferrals)::bigint, sum(c.hard)::bigint, sum(c.soft)::bigint, sum(c.complained)::bigint
    from counted c left join named n on n.host = c.host
    group by 1, 2 order by 1 desc, 3 desc, 2;
end $$;
comment on function marketing_automation_internal.domain_report(regrole, text, date, date) is 'API: private. Behind domain_report()';

create function marketing_automation.domain_report(scenario text, from_date date default null, to_date date default null)
    returns table (day date, domain text, sent bigint, opened bigint, failed bigint, suppressed bigint, under_way bigint,
        deferrals bigint, hard_bounces bigint, soft_bounces bigint, complaints bigint)
language c stable as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.domain_report(text, date, date) is
    'API: public. How a scenario''s mails fared with each recipient domain, by the day on which they were sent, or given up, or queued, '
    'in the time zone of the session; from_date, to_date: null: all that is kept. deferrals: refusals after which they were tried '
    'again; bounces and complaints: mails for which something came back. domain null: the address was erased';

create function marketing_automation_internal.hours_until(read_at timestamptz, sent_at timestamptz) returns integer
language sql immutable
-- Clocks of other hosts may be behind; what comes after three days is one row. Who has not read has no hour: greatest() leaves out nulls.
return case when read_at is not null then least(greatest(floor(date_part('epoch', read_at - sent_at) / 3600), 0), 72)::integer end;
comment on function marketing_automation_internal.hours_until(timestamptz, timestamptz) is
    'API: private. Whole hours from sending a mail to reading it, for timing_report(), 72 for later; null: it was not read';

create function marketing_automation_internal.timing_report(caller regrole, scenario text, activity text, from_date date, to_date date)
    returns table (hours integer, opened bigint, clicked bigint, opened_until numeric, clicked_until numeric)
-- All mails that were read are hashed: on disk with the default, which took a fifth longer for 150,000.
language plpgsql stable rows 50 set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set hash_mem_multiplier = 8
set jit = off as $$
#variable_conflict use_column
declare
    chosen integer[] := array(select r.id
        from marketing_automation_internal.reported_activities(caller, timing_report.scenario, timing_report.activity) r);
    first timestamptz;
    last timestamptz;
begin
    select d.first, d.last into first, last
    from marketing_automation_internal.demand_dates(timing_report.from_date, timing_report.to_date) d;
    return query
    with mail as materialized (
        select marketing_automation_internal.hours_until(f.opened_at, l.sent_at) as opened,
               marketing_automation_internal.hours_until(f.clicked_at, l.sent_at) as clicked, count(*) as n
        from marketing_automation_internal.finished_activity f
        join marketing_automation_internal.message_log l on l.record_id = f.record_id and l.activity_id = f.activity_id
        where f.activity_id = any (chosen) and l.activity_id = any (chosen) and l.sent_at is not null
          and (first is null or l.sent_at >= first) and (last is null or l.sent_at < last)
          and (f.opened_at is not null or f.clicked_at is not null)
        group by 1, 2
    ), counted as (
        select h.hours, coalesce(o.n, 0)::bigint as opened, coalesce(c.n, 0)::bigint as clicked
        from generate_series(0, 72) h (hours)
        left join (select m.opened, sum(m.n) from mail m group by 1) o (hours, n) on o.hours = h.hours
        left join (select m.clicked, sum(m.n) from mail m group by 1) c (hours, n) on c.hours = h.hours
    )
    select c.hours, c.opened, c.clicked,
           marketing_automation_internal.rate((sum(c.opened) over so_far)::bigint, (sum(c.opened) over ())::bigint),
           marketing_automation_internal.rate((sum(c.clicked) over so_far)::bigint, (sum(c.clicked) over ())::bigint)
    from counted c where chosen <> '{}'
    window so_far as (order by c.hours) order by c.hours;
end $$;
comment on function marketing_automation_internal.timing_report(regrole, text, text, date, date) is 'API: private. Behind timing_report()';

create function marketing_automation.timing_report(scenario text, activity text default null, from_date date default null,
    to_date date default null)
    returns table (hours integer, opened bigint, clicked bigint, opened_until numeric, clicked_until numeric)
language c stable rows 50 as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.timing_report(text, text, date, date) is
    'API: public. How many whole hours after it was sent a mail of an activity (null: of all) was first opened and first clicked; the '
    'row of 72 holds all that came later. opened_until, clicked_until: which share of them had come by the end of that hour, 0 to 1; '
    'null: there was none. Of mails that are kept in the log, and were sent from from_date to to_date (null: at any time)';

create function marketing_automation_internal.cohort_report(caller regrole, scenario text, from_date date, to_date date)
    returns table (week date, entered bigint, mailed bigint, converted_in_1_day bigint, converted_in_7_days bigint,
        converted_in_30_days bigint, value_in_30_days numeric)
-- As all records are here.
language plpgsql stable rows 50 set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set hash_mem_multiplier = 8
set jit = off as $$
#variable_conflict use_column
declare
    its_id integer := (marketing_automation_internal.scenario_for(caller, cohort_report.scenario, 'count')).id;
    activities integer[] := array(select a.id from marketing_automation.activity a where a.scenario_id = its_id);
    first timestamptz;
    last timestamptz;
begin
    select d.first, d.last into first, last
    from marketing_automation_internal.demand_dates(cohort_report.from_date, cohort_report.to_date) d;
    return query
    with chosen as not materialized (
        -- By the quarter of an hour first: reading a date in a time zone for each record takes longer than all else.
        select r.id, r.entered_at, marketing_automation_internal.counter_period(r.entered_at) as period
        from marketing_automation_internal.record r
        where r.scenario_id = its_id and (first is null or r.entered_at >= first) and (last is null or r.entered_at < last)
    ), entered as (
        select r.period, count(*) as entered, 0::bigint as mailed from chosen r group by 1
        union all
        select r.period, 0, count(*) from chosen r
        where exists (select from marketing_automation_internal.finished_activity f
                      where f.record_id = r.id and f.activity_id = any (activities) and f.outcome = 'mailed')
        group by 1
    ), converted as (
        select date_trunc('week', r.entered_at)::date as week, r.id, bool_or(c.at < r.entered_at + interval '1 day') as in_1,
               bool_or(c.at < r.entered_at + interval '7 days') as in_7, sum(c.value) as value
        from marketing_automation.conversion c
        join chosen r on r.id = c.record_id
        where c.scenario_id = its_id and c.at >= r.entered_at and c.at < r.entered_at + interval '30 days'
        group by 1, 2
    )
    select e.week, e.entered, e.mailed, coalesce(c.in_1, 0), coalesce(c.in_7, 0), coalesce(c.in_30, 0), c.value
    from (select date_trunc('week', e.period)::date as week, sum(e.entered)::bigint as entered, sum(e.mailed)::bigint as mailed
          from entered e group by 1) e
    left join (select c.week, count(*) filter (where c.in_1) as in_1, count(*) filter (where c.in_7) as in_7, count(*) as in_30,
                      sum(c.value) as value from converted c group by 1) c on c.week = e.week
    order by 1;
end $$;
comment on function marketing_automation_internal.cohort_report(regrole, text, date, date) is 'API: private. Behind cohort_report()';

create function marketing_automation.cohort_report(scenario text, from_date date default null, to_date date default null)
    returns table (week date, entered bigint, mailed bigint, converted_in_1_day bigint, converted_in_7_days bigint,
        converted_in_30_days bigint, value_in_30_days numeric)
language c stable as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.cohort_report(text, date, date) is
    'API: public. What became of those who entered a scenario in the same week (of its Monday, in the time zone of the session): how many '
    'they are, how many got a mail, how many had converted within 1, 7 and 30 days of their entry, and what that is worth. Of those who '
    'entered from from_date to to_date (null: at any time)';

create function marketing_automation_internal.mail_report(caller regrole, scenario text, from_date date, to_date date)
    returns table (activity text, sent bigint, bounced bigint, unsubscribed bigint, complaints bigint, conversions bigint, value numeric,
        value_per_thousand numeric)
language sql stable set search_path = pg_catalog, pg_temp as $$
    with chosen as materialized (
        select * from marketing_automation_internal.reported_activities(caller, scenario, null)
    ), span as materialized (
        select * from marketing_automation_internal.demand_dates(mail_report.from_date, mail_report.to_date)
    ), mail as (
        select c.activity_id, sum(c.sent)::bigint as sent from marketing_automation_internal.activity_counter c cross join span d
        where c.activity_id in (select a.id from chosen a)
          and case when d.first is null and d.last is null then not c.rolled_up or c.period = '-infinity'
                   else isfinite(c.period) and c.period >= coalesce(d.first, '-infinity') and c.period < coalesce(d.last, 'infinity') end
        group by 1
    ), said as (
        select e.activity_id, count(distinct e.record_id) filter (where e.kind = 'email_bounced') as bounced,
               count(distinct e.record_id) filter (where e.kind = 'unsubscribed') as unsubscribed,
               count(distinct e.record_id) filter (where e.kind = 'complained') as complaints
        from marketing_automation_internal.event e cross join span d
        where e.activity_id in (select a.id from chosen a) and e.kind in ('email_bounced', 'unsubscribed', 'complained')
          and e.occurred_at >= coalesce(d.first, '-infinity') and e.occurred_at < coalesce(d.last, 'infinity')
        group by 1
    ), credited as (
        -- One that was written by an earlier release says none: the mail that was clicked last before it, else the one that was sent last.
        select coalesce(c.activity_id, m.activity_id) as activity_id, count(*) as conversions, sum(c.value) as value
        from marketing_automation_internal.scenario_for(caller, scenario, 'count') s
        cross join span d
        join marketing_automation.conversion c on c.scenario_id = s.id and c.at >= coalesce(d.first, '-infinity')
            and c.at < coalesce(d.last, 'infinity')
        left join lateral (
            select f.activity_id from marketing_automation_internal.finished_activity f
            where c.activity_id is null and f.record_id = c.record_id and f.outcome = 'mailed' and f.finished_at <= c.at
            order by case when f.clicked_at <= c.at then f.clicked_at end desc nulls last, f.finished_at desc, f.activity_id desc limit 1) m on true
        group by 1
    )
    select a.name, coalesce(m.sent, 0), coalesce(s.bounced, 0), coalesce(s.unsubscribed, 0), coalesce(s.complaints, 0),
           coalesce(c.conversions, 0), c.value, round(1000 * c.value / nullif(m.sent, 0), 2)
    from chosen a
    join marketing_automation.activity definition on definition.id = a.id and definition.action = 'send_email'
    left join mail m on m.activity_id = a.id
    left join said s on s.activity_id = a.id
    left join credited c on c.activity_id = a.id
    order by a.ordinal
$$;
comment on function marketing_automation_internal.mail_report(regrole, text, date, date) is 'API: private. Behind mail_report()';

create function marketing_automation.mail_report(scenario text, from_date date default null, to_date date default null)
    returns table (activity text, sent bigint, bounced bigint, unsubscribed bigint, complaints bigint, conversions bigint, value numeric,
        value_per_thousand numeric)
language c stable as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.mail_report(text, date, date) is
    'API: public. What each mail of a scenario brought, in the order of the tree: sent; how many came back; recipients who left by a link '
    'in it, or marked it as spam; conversions, each credited to the mail that its record clicked last before it, else to the one that '
    'was sent last; their value, and that per thousand mails. From from_date to to_date (null: at any time): mails whose activity ran '
    'then, and what came back and was bought then';

create function marketing_automation_internal.report(caller regrole, scenario text)
    returns table (activity text, waiting bigint, done bigint, sent bigint, opened text, clicked text, conversions bigint, value numeric)
language sql stable rows 20 set search_path = pg_catalog, pg_temp as $$
    select t.prefix || a.name, c.waiting, c.done, m.sent,
           case when m.sent is not null then marketing_automation_internal.percentage(c.opened, c.sent) end,
           case when m.sent is not null then marketing_automation_internal.percentage(c.clicked, c.sent) end, m.conversions, m.value
    from marketing_automation_internal.scenario_for(caller, report.scenario, 'count') s
    cross join lateral marketing_automation_internal.activity_tree(s.id) t
    join marketing_automation.activity a on a.id = t.activity_id
    join marketing_automation_internal.activity_count(caller, report.scenario) c on c.activity_id = a.id
    left join marketing_automation_internal.mail_report(caller, report.scenario, null, null) m on m.activity = a.name
    order by t.ordinal
$$;
comment on function marketing_automation_internal.report(regrole, text) is 'API: private. Behind report()';

create function marketing_automation.report(scenario text)
    returns table (activity text, waiting bigint, done bigint, sent bigint, opened text, clicked text, conversions bigint, value numeric)
language c stable rows 20 as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.report(text) is
    'API: public. A scenario at a glance, as wide as a terminal: the tree of its activities, records that wait and for which something was '
    'done, mails that were sent and how many of them were opened and clicked, conversions credited to each and their value; null: it '
    'sends no mail';
