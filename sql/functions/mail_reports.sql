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

create function marketing_automation_internal.reported_activities(caller regrole, scenario text, activity text)
    returns table (id integer, name text, ordinal bigint)
language sql stable set search_path = pg_catalog, pg_temp as $$
    select a.id, a.name, t.ordinal
    from marketing_automation_internal.scenario_for(caller, scenario, 'count') s
    cross join lateral marketing_automation_internal.activity_tree(s.id) t
    join marketing_automation.activity a on a.id = t.activity_id
    where reported_activities.activity is null
       or a.id = marketing_automation_internal.activity_named(s, reported_activities.activity)
$$;
comment on function marketing_automation_internal.reported_activities(regrole, text, text) is
    'API: private. An activity of a scenario that a role may count, or each of them (null), in the order of the tree';

create function marketing_automation_internal.link_report(caller regrole, scenario text, activity text)
    returns table (activity text, link text, people bigint, clicks bigint, share numeric, robot_clicks bigint)
language sql stable set search_path = pg_catalog, pg_temp as $$
    with chosen as materialized (
        select * from marketing_automation_internal.reported_activities(caller, scenario, link_report.activity)
    ), hits as materialized (
        select e.activity_id, e.link_id, e.record_id, count(*) filter (where e.robot is null) as clicks,
               count(*) filter (where e.robot is not null) as robots
        from marketing_automation_internal.event e
        where e.kind = 'email_clicked' and e.activity_id in (select c.id from chosen c) group by 1, 2, 3
    ), links as materialized (
        select l.id, marketing_automation_internal.link_pattern(l.url) as pattern
        from marketing_automation.link l where l.id in (select h.link_id from hits h)
    ), counted as (
        select h.activity_id, l.pattern, count(distinct h.record_id) filter (where h.clicks > 0) as people,
               sum(h.clicks)::bigint as clicks, sum(h.robots)::bigint as robots
        from hits h join links l on l.id = h.link_id group by 1, 2
    )
    select a.name, c.pattern, c.people, c.clicks,
           marketing_automation_internal.rate(c.clicks, (sum(c.clicks) over (partition by c.activity_id))::bigint), c.robots
    from counted c join chosen a on a.id = c.activity_id
    order by a.ordinal, c.clicks desc, c.robots desc, c.pattern
$$;
comment on function marketing_automation_internal.link_report(regrole, text, text) is 'API: private. Behind link_report()';

create function marketing_automation.link_report(scenario text, activity text default null)
    returns table (activity text, link text, people bigint, clicks bigint, share numeric, robot_clicks bigint)
language c stable as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.link_report(text, text) is
    'API: public. What was clicked in the mails of an activity (null: of each), the most clicked first: link, with … for what may differ '
    'between recipients, so that personalised links add up; people who clicked it, their clicks, their share of the clicks in that '
    'mail (0 to 1), and clicks of robots';

create function marketing_automation_internal.domain_report(caller regrole, scenario text, from_date date, to_date date)
    returns table (day date, domain text, sent bigint, opened bigint, failed bigint, suppressed bigint, under_way bigint,
        deferrals bigint, hard_bounces bigint, soft_bounces bigint, complaints bigint)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    chosen integer[] := array(select r.id
        from marketing_automation_internal.reported_activities(caller, domain_report.scenario, null) r);
    first timestamptz := coalesce(domain_report.from_date, '-infinity');
    -- In the time zone of the session, as all conversions between timestamptz and date are.
    last timestamptz := domain_report.to_date + 1;
begin
    if domain_report.from_date > domain_report.to_date then
        raise exception 'from_date % is after to_date %', domain_report.from_date, domain_report.to_date
            using errcode = 'invalid_parameter_value', hint = 'Leave one of the two away for all that there is on its side.';
    end if;
    return query
    with mail as materialized (
        select l.id, l.record_id, l.activity_id, l.email, l.state, coalesce(l.sent_at, l.finished_at) as at
        from marketing_automation_internal.message_log l
        where l.activity_id = any (chosen) and l.record_id is not null
          and coalesce(l.sent_at, l.finished_at) >= first and (last is null or coalesce(l.sent_at, l.finished_at) < last)
        union all
        select o.id, o.record_id, o.activity_id, o.email, 'under_way', o.created_at
        from marketing_automation_internal.outbox o
        where o.activity_id = any (chosen) and o.record_id is not null
          and o.created_at >= first and (last is null or o.created_at < last)
    ), opened as (
        select f.record_id, f.activity_id from marketing_automation_internal.finished_activity f
        where f.activity_id = any (chosen) and f.opened_at is not null
    ), deferred as (
        select t.message_id, count(*) as deferrals from marketing_automation_internal.attempt_log t
        where t.state = 'deferred' and t.message_id in (select m.id from mail m) group by 1
    ), returned as (
        select b.message_id, bool_or(b.kind = 'hard') as hard, bool_or(b.kind = 'soft') as soft, bool_or(b.kind = 'complaint') as complained
        from marketing_automation.bounce b where b.message_id in (select m.id from mail m) group by 1
    )
    select m.at::date, marketing_automation_internal.address_domain(m.email), count(*) filter (where m.state in ('sent', 'bounced')),
           count(*) filter (where m.state in ('sent', 'bounced') and o.record_id is not null), count(*) filter (where m.state = 'failed'),
           count(*) filter (where m.state = 'suppressed'), count(*) filter (where m.state = 'under_way'),
           coalesce(sum(d.deferrals), 0)::bigint, count(*) filter (where r.hard), count(*) filter (where r.soft),
           count(*) filter (where r.complained)
    from mail m
    left join opened o on o.record_id = m.record_id and o.activity_id = m.activity_id
    left join deferred d on d.message_id = m.id
    left join returned r on r.message_id = m.id
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

create function marketing_automation_internal.timing_report(caller regrole, scenario text, activity text)
    returns table (hours integer, opened bigint, clicked bigint, opened_until numeric, clicked_until numeric)
language sql stable set search_path = pg_catalog, pg_temp as $$
    with chosen as materialized (
        select * from marketing_automation_internal.reported_activities(caller, scenario, timing_report.activity)
    ), mail as (
        -- Clocks of other hosts may be behind; what comes after three days is one row.
        select least(greatest(floor(extract(epoch from f.opened_at - l.sent_at) / 3600), 0), 72)::integer as opened,
               least(greatest(floor(extract(epoch from f.clicked_at - l.sent_at) / 3600), 0), 72)::integer as clicked
        from marketing_automation_internal.finished_activity f
        join marketing_automation_internal.message_log l on l.record_id = f.record_id and l.activity_id = f.activity_id
        where f.activity_id in (select c.id from chosen c) and l.sent_at is not null
          and (f.opened_at is not null or f.clicked_at is not null)
    ), counted as (
        select h.hours, coalesce(o.n, 0) as opened, coalesce(c.n, 0) as clicked
        from generate_series(0, 72) h (hours)
        left join (select m.opened, count(*) from mail m group by 1) o (hours, n) on o.hours = h.hours
        left join (select m.clicked, count(*) from mail m group by 1) c (hours, n) on c.hours = h.hours
    )
    select c.hours, c.opened, c.clicked,
           marketing_automation_internal.rate((sum(c.opened) over so_far)::bigint, (sum(c.opened) over ())::bigint),
           marketing_automation_internal.rate((sum(c.clicked) over so_far)::bigint, (sum(c.clicked) over ())::bigint)
    from counted c where exists (select from chosen)
    window so_far as (order by c.hours) order by c.hours
$$;
comment on function marketing_automation_internal.timing_report(regrole, text, text) is 'API: private. Behind timing_report()';

create function marketing_automation.timing_report(scenario text, activity text default null)
    returns table (hours integer, opened bigint, clicked bigint, opened_until numeric, clicked_until numeric)
language c stable as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.timing_report(text, text) is
    'API: public. How many whole hours after it was sent a mail of an activity (null: of all) was first opened and first clicked; the '
    'row of 72 holds all that came later. opened_until, clicked_until: which share of them had come by the end of that hour, 0 to 1; '
    'null: there was none. Of mails that are kept in the log';

create function marketing_automation_internal.cohort_report(caller regrole, scenario text)
    returns table (week date, entered bigint, mailed bigint, converted_in_1_day bigint, converted_in_7_days bigint,
        converted_in_30_days bigint, value_in_30_days numeric)
language sql stable set search_path = pg_catalog, pg_temp as $$
    with entered as (
        select r.id, date_trunc('week', r.entered_at)::date as week, r.entered_at
        from marketing_automation_internal.scenario_for(caller, scenario, 'count') s
        join marketing_automation_internal.record r on r.scenario_id = s.id
    ), mailed as (
        select distinct f.record_id
        from marketing_automation_internal.reported_activities(caller, scenario, null) a
        join marketing_automation_internal.finished_activity f on f.activity_id = a.id and f.outcome = 'mailed'
    ), converted as (
        select e.id, bool_or(c.at < e.entered_at + interval '1 day') as in_1, bool_or(c.at < e.entered_at + interval '7 days') as in_7,
               sum(c.value) as value
        from entered e join marketing_automation.conversion c
            on c.record_id = e.id and c.at >= e.entered_at and c.at < e.entered_at + interval '30 days'
        group by 1
    )
    select e.week, count(*), count(m.record_id), count(*) filter (where c.in_1), count(*) filter (where c.in_7), count(c.id), sum(c.value)
    from entered e
    left join mailed m on m.record_id = e.id
    left join converted c on c.id = e.id
    group by 1 order by 1
$$;
comment on function marketing_automation_internal.cohort_report(regrole, text) is 'API: private. Behind cohort_report()';

create function marketing_automation.cohort_report(scenario text)
    returns table (week date, entered bigint, mailed bigint, converted_in_1_day bigint, converted_in_7_days bigint,
        converted_in_30_days bigint, value_in_30_days numeric)
language c stable as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.cohort_report(text) is
    'API: public. What became of those who entered a scenario in the same week (of its Monday, in the time zone of the session): how many '
    'they are, how many got a mail, how many had converted within 1, 7 and 30 days of their entry, and what that is worth';

create function marketing_automation_internal.mail_report(caller regrole, scenario text)
    returns table (activity text, sent bigint, bounced bigint, unsubscribed bigint, complaints bigint, conversions bigint, value numeric,
        value_per_thousand numeric)
language sql stable set search_path = pg_catalog, pg_temp as $$
    with chosen as materialized (
        select * from marketing_automation_internal.reported_activities(caller, scenario, null)
    ), mail as (
        select c.activity_id, sum(c.sent)::bigint as sent from marketing_automation_internal.activity_counter c
        where c.activity_id in (select a.id from chosen a) and (not c.rolled_up or c.period = '-infinity') group by 1
    ), said as (
        select e.activity_id, count(distinct e.record_id) filter (where e.kind = 'email_bounced') as bounced,
               count(distinct e.record_id) filter (where e.kind = 'unsubscribed') as unsubscribed,
               count(distinct e.record_id) filter (where e.kind = 'complained') as complaints
        from marketing_automation_internal.event e
        where e.activity_id in (select a.id from chosen a) and e.kind in ('email_bounced', 'unsubscribed', 'complained') group by 1
    ), credited as (
        -- One that was written by an earlier release says none: the mail that was clicked last before it, else the one that was sent last.
        select coalesce(c.activity_id, m.activity_id) as activity_id, count(*) as conversions, sum(c.value) as value
        from marketing_automation_internal.scenario_for(caller, scenario, 'count') s
        join marketing_automation.conversion c on c.scenario_id = s.id
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
comment on function marketing_automation_internal.mail_report(regrole, text) is 'API: private. Behind mail_report()';

create function marketing_automation.mail_report(scenario text)
    returns table (activity text, sent bigint, bounced bigint, unsubscribed bigint, complaints bigint, conversions bigint, value numeric,
        value_per_thousand numeric)
language c stable as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.mail_report(text) is
    'API: public. What each mail of a scenario brought, in the order of the tree: sent; how many came back; recipients who left by a link '
    'in it, or marked it as spam; conversions, each credited to the mail that its record clicked last before it, else to the one that '
    'was sent last; their value, and that per thousand mails';
