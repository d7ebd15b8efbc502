-- A scenario's report as a page: what the reports say, gathered as one value, from which Rust makes HTML.

create function marketing_automation_internal.report_mails(caller regrole, scenario marketing_automation.scenario, from_date date,
    to_date date) returns jsonb
language sql stable set search_path = pg_catalog, pg_temp as $$
    with span as materialized (
        select * from marketing_automation_internal.demand_dates(report_mails.from_date, report_mails.to_date)
    ), counted as (
        select t.activity_id, sum(t.done) as done, sum(t.skipped) as skipped, sum(t.cancelled) as cancelled, sum(t.failed) as failed,
               sum(t.mailed) as mailed, sum(t.not_sent) as not_sent, sum(t.opened) as opened, sum(t.clicked) as clicked
        from marketing_automation.activity a
        join marketing_automation_internal.activity_counter t on t.activity_id = a.id
        cross join span d
        where a.scenario_id = (report_mails.scenario).id
          and case when d.first is null and d.last is null then not t.rolled_up or t.period = '-infinity'
                   else isfinite(t.period) and t.period >= coalesce(d.first, '-infinity') and t.period < coalesce(d.last, 'infinity') end
        group by 1
    )
    select coalesce(jsonb_agg(jsonb_build_object('name', a.name, 'parent', p.name, 'depth', length(t.prefix) / 3, 'on_event', a.on_event,
               'delay', a.delay::text, 'sends', a.action is not distinct from 'send_email', 'done', coalesce(c.done, 0),
               'skipped', coalesce(c.skipped, 0),
               -- Who waits does so now, not on some days.
               'waiting', case when d.first is null and d.last is null then (
                   select count(*) from marketing_automation_internal.waiting_activity w where w.activity_id = a.id) end,
               'cancelled', coalesce(c.cancelled, 0), 'failed', coalesce(c.failed, 0), 'sent', coalesce(m.sent, 0),
               'under_way', greatest(coalesce(c.mailed - c.not_sent - m.sent, 0), 0), 'not_sent', coalesce(c.not_sent, 0),
               'opened', coalesce(c.opened, 0), 'clicked', coalesce(c.clicked, 0), 'returned', coalesce(m.bounced, 0),
               'unsubscribed', coalesce(m.unsubscribed, 0), 'complaints', coalesce(m.complaints, 0),
               'conversions', coalesce(m.conversions, 0), 'value', m.value::text) order by t.ordinal), '[]')
    from span d
    cross join marketing_automation_internal.activity_tree((report_mails.scenario).id) t
    join marketing_automation.activity a on a.id = t.activity_id
    left join marketing_automation.activity p on p.id = a.parent_id
    left join counted c on c.activity_id = a.id
    left join marketing_automation_internal.mail_report(caller, (report_mails.scenario).name, report_mails.from_date,
        report_mails.to_date) m on m.activity = a.name
$$;
comment on function marketing_automation_internal.report_mails(regrole, marketing_automation.scenario, date, date) is
    'API: private. The activities of a scenario with their numbers, for report_data()';

create function marketing_automation_internal.report_domains(caller regrole, scenario text, from_date date, to_date date, most integer)
    returns jsonb
language sql stable set search_path = pg_catalog, pg_temp as $$
    with report as materialized (
        select * from marketing_automation_internal.domain_report(caller, report_domains.scenario, report_domains.from_date,
            report_domains.to_date)
    ), unit as materialized (
        -- Not more columns than can be told apart.
        select min(r.day) as first, max(r.day) as last,
               case when max(r.day) - min(r.day) < 62 then 'day' when max(r.day) - min(r.day) < 430 then 'week' else 'month' end as unit
        from report r
    ), period as materialized (
        select p::date as start, p::date + 1 as after, row_number() over (order by p) as n
        from unit u cross join lateral generate_series(date_trunc(u.unit, u.first::timestamp), u.last, ('1 ' || u.unit)::interval) p
        where u.first is not null
    ), ranked as (
        select r.domain, row_number() over (order by sum(r.sent + r.failed) desc, r.domain) as rank from report r group by 1
    ), row as materialized (
        select r.*, date_trunc(u.unit, r.day::timestamp)::date as start, least(k.rank, most) as rank, k.rank >= most and (
                select count(*) from ranked) > most as others
        from report r cross join unit u join ranked k on k.domain is not distinct from r.domain
    ), cell as (
        select w.rank, w.start, sum(w.sent) as taken, sum(w.failed + w.hard_bounces + w.soft_bounces) as lost from row w group by 1, 2
    ), line as (
        select w.rank, case when not bool_or(w.others) then min(w.domain) end as domain, bool_or(w.others) as others, sum(w.sent) as sent,
               sum(w.opened) as opened, sum(w.failed) as failed, sum(w.hard_bounces + w.soft_bounces) as returned,
               sum(w.complaints) as complaints, sum(w.deferrals) as deferrals
        from row w group by 1
    )
    select jsonb_build_object('unit', (select u.unit from unit u),
        'starts', (select coalesce(jsonb_agg(p.start order by p.n), '[]') from period p),
        'rows', (
            select coalesce(jsonb_agg(to_jsonb(l) - 'rank' || (
                select jsonb_build_object('taken', jsonb_agg(coalesce(c.taken, 0) order by p.n), 'lost', jsonb_agg(coalesce(c.lost, 0)
                    order by p.n))
                from period p left join cell c on c.start = p.start and c.rank = l.rank) order by l.rank), '[]')
            from line l))
$$;
comment on function marketing_automation_internal.report_domains(regrole, text, date, date, integer) is
    'API: private. The recipient domains with most mails, the last row being the sum of all others, over days, weeks or months, for '
    'report_data()';

create function marketing_automation_internal.report_comparisons(caller regrole, scenario text) returns jsonb
language sql stable set search_path = pg_catalog, pg_temp as $$
    -- Of the whole time: people are drawn by lot once, and an experiment is judged as a whole.
    with variant as materialized (
        select v.*, case v.metric_used when 'conversions' then v.records else v.mailed end as people,
            case v.metric_used when 'conversions' then v.conversions when 'opens' then v.opened else v.clicked end as reached,
            count(v.variant) over (partition by v.experiment) as variants,
            row_number() over (partition by v.experiment order by v.rate desc nulls last, v.variant nulls last) as place
        from marketing_automation_internal.variant_report(caller, report_comparisons.scenario, null) v
    ), comparison as (
        select 1 as place, null as about, jsonb_build_object('about', null, 'metric', 'conversions', 'groups', jsonb_build_array(
                jsonb_build_object('kind', 'mailed', 'people', u.mailed, 'reached', u.mailed_conversions),
                jsonb_build_object('kind', 'held_out', 'people', u.held_out, 'reached', u.held_out_conversions)),
            'effects', case when u.uplift is null then '[]' else jsonb_build_array(
                jsonb_build_object('difference', u.uplift, 'low', u.uplift_low, 'high', u.uplift_high)) end) as shown
        from marketing_automation_internal.uplift_report(caller, report_comparisons.scenario) u where u.held_out > 0
        union all
        select 2, v.experiment, jsonb_build_object('about', v.experiment, 'metric', min(v.metric_used),
            'groups', jsonb_agg(jsonb_build_object('name', v.variant, 'kind', case when v.variant is null then 'rest' end,
                'people', coalesce(v.people, v.records), 'reached', v.reached, 'winner', coalesce(v.winner, false))
                order by v.variant nulls last),
            -- Of two the difference is told once, of the one that is ahead.
            'effects', coalesce(jsonb_agg(jsonb_build_object('name', v.variant, 'difference', v.difference, 'low', v.difference_low,
                'high', v.difference_high) order by v.place)
                filter (where v.difference is not null and (v.variants > 2 or v.place = 1)), '[]'))
        from variant v group by v.experiment having sum(v.records) > 0
    )
    select coalesce(jsonb_agg(c.shown order by c.place, c.about), '[]') from comparison c
$$;
comment on function marketing_automation_internal.report_comparisons(regrole, text) is
    'API: private. Groups that were drawn by lot: mailed and held out, and the variants of each activity that has some, for report_data()';

create function marketing_automation_internal.report_data(caller regrole, scenario text, from_date date, to_date date,
    for_everybody boolean default false) returns jsonb
language plpgsql stable set search_path = pg_catalog, pg_temp set datestyle = 'ISO' set intervalstyle = 'postgres' as $$
declare
    chosen marketing_automation.scenario := marketing_automation_internal.scenario_for(caller, report_data.scenario, 'count');
    -- A page, not a list of all there is.
    most_links constant integer := 20;
    most_domains constant integer := 8;
    most_weeks constant integer := 26;
    first timestamptz;
    last timestamptz;
    result jsonb;
begin
    select d.first, d.last into first, last from marketing_automation_internal.demand_dates(report_data.from_date, report_data.to_date) d;
    if not isfinite(report_data.from_date) or not isfinite(report_data.to_date) then
        raise exception 'a report needs finite dates, not from % to %', report_data.from_date, report_data.to_date
            using errcode = 'invalid_parameter_value', hint = 'Leave one of them away for what there is on its side.';
    end if;
    -- Records that entered, also of a draft: what its domain matches would be asked anew by each reader.
    select jsonb_build_object('name', chosen.name, 'title', chosen.title, 'state', chosen.state, 'from', report_data.from_date,
               'to', report_data.to_date, 'now', to_char(statement_timestamp(), 'YYYY-MM-DD"T"HH24:MI:SS'),
               'records', coalesce(sum(t.records), 0), 'blocked', coalesce(sum(t.blocked), 0))
    into result
    from marketing_automation_internal.scenario_counter t
    where t.scenario_id = chosen.id
      and case when first is null and last is null then not t.rolled_up or t.period = '-infinity'
               else isfinite(t.period) and t.period >= coalesce(first, '-infinity') and t.period < coalesce(last, 'infinity') end;
    result := result || (
        select jsonb_build_object('held_out', count(*)) from marketing_automation_internal.record r
        where r.scenario_id = chosen.id and r.held_out and (first is null or r.entered_at >= first)
          and (last is null or r.entered_at < last));
    result := result || (
        select jsonb_build_object('conversions', count(*), 'value', sum(c.value)::text) from marketing_automation.conversion c
        where c.scenario_id = chosen.id and (first is null or c.at >= first) and (last is null or c.at < last));
    result := result || jsonb_build_object(
        'mails', marketing_automation_internal.report_mails(caller, chosen, report_data.from_date, report_data.to_date),
        'domains', marketing_automation_internal.report_domains(caller, chosen.name, report_data.from_date, report_data.to_date,
            most_domains));
    result := result || (
        select jsonb_build_object('links_left', greatest(count(*) - most_links, 0), 'links', coalesce(jsonb_agg(jsonb_build_object(
            'mail', l.activity, 'label', l.label, 'link', l.link, 'people', l.people, 'clicks', l.clicks, 'share', l.share, 'robots', l.robot_clicks)
            order by l.n) filter (where l.n <= most_links), '[]'))
        from (select r.*, row_number() over (order by r.clicks desc, r.robot_clicks desc, r.ordinality) as n
              from marketing_automation_internal.link_report_for(caller, chosen.name, null, report_data.from_date, report_data.to_date,
                  not for_everybody and marketing_automation_internal.has_right(caller, chosen.owner_id, 'read'),
                  not for_everybody and marketing_automation_internal.sees_rows(caller, chosen.id)) with ordinality r) l);
    result := result || (
        select jsonb_build_object('hours', coalesce(jsonb_agg(jsonb_build_array(h.hours, h.opened, h.clicked) order by h.hours), '[]'))
        from marketing_automation_internal.timing_report(caller, chosen.name, null, report_data.from_date, report_data.to_date) h);
    result := result || (
        select jsonb_build_object('cohorts_left', greatest(count(*) - most_weeks, 0), 'cohorts', coalesce(jsonb_agg(jsonb_build_object(
            'week', c.week, 'entered', c.entered, 'mailed', c.mailed, 'in_1', c.converted_in_1_day, 'in_7', c.converted_in_7_days,
            'in_30', c.converted_in_30_days, 'value', c.value_in_30_days::text) order by c.week) filter (where c.n <= most_weeks), '[]'))
        from (select r.*, row_number() over (order by r.week desc) as n
              from marketing_automation_internal.cohort_report(caller, chosen.name, report_data.from_date, report_data.to_date) r) c);
    return result || jsonb_build_object('comparisons', marketing_automation_internal.report_comparisons(caller, chosen.name));
end $$;
comment on function marketing_automation_internal.report_data(regrole, text, date, date, boolean) is
    'API: private. What report_html() shows, as numbers; see src/report/data.rs. for_everybody: as for somebody who may see numbers only';

create function marketing_automation_internal.report_html(caller regrole, scenario text, from_date date, to_date date, language text)
    returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select marketing_automation_internal.render_report(
        marketing_automation_internal.report_data(caller, report_html.scenario, report_html.from_date, report_html.to_date),
        coalesce(report_html.language, 'en'))
$$;
comment on function marketing_automation_internal.report_html(regrole, text, date, date, text) is 'API: private. Behind report_html()';

create function marketing_automation.report_html(scenario text, from_date date default null, to_date date default null,
    language text default 'en') returns text
language c stable as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.report_html(text, date, date, text) is
    'API: public. The report of a scenario as one HTML page, with pictures and without scripts: its mails, links, recipient domains, hours '
    'until reading, weeks of entry, the effect where records are held out, and variants. from_date, to_date: as for the reports that it is made of '
    '(null: no limit); language: BCP 47 or POSIX, one of the pages'' languages, else English. Times are in the time zone of the session';

create function marketing_automation_internal.report_link(caller regrole, scenario text, valid_for interval) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    chosen marketing_automation.scenario := marketing_automation_internal.scenario_for(caller, report_link.scenario, 'count');
    base text := rtrim(marketing_automation_internal.setting('automation_base'), '/');
    token text;
begin
    if marketing_automation_internal.setting('report_links') <> 'on' then
        raise exception 'links to reports are turned off'
            using errcode = 'object_not_in_prerequisite_state', detail = 'Whoever has such a link sees the numbers of its scenario.',
                  hint = 'alter system set marketing_automation.report_links = on; select pg_reload_conf();';
    end if;
    if coalesce(base, '') = '' then
        raise exception 'marketing_automation.automation_base is not set'
            using errcode = 'object_not_in_prerequisite_state', hint = 'It is where the proxy is reached, https://host.';
    end if;
    if valid_for is null or valid_for < interval '1 second' or valid_for > interval '1 year' then
        raise exception 'valid_for must be between a second and a year, but is %', coalesce(valid_for::text, 'null')
            using errcode = 'invalid_parameter_value', hint = format('select marketing_automation.report_link(%L, ''7 days'');', chosen.name);
    end if;
    -- Where nothing was signed yet, the proxy makes the first key when it starts.
    token := marketing_automation_internal.sign_token('report', floor(extract(epoch from statement_timestamp() + valid_for))::bigint,
        chosen.id);
    if token is null then
        raise exception 'there is no key to sign the link with'
            using errcode = 'object_not_in_prerequisite_state', hint = 'select marketing_automation.rotate_tracking_key();';
    end if;
    return base || '/r/' || token;
end $$;
comment on function marketing_automation_internal.report_link(regrole, text, interval) is 'API: private. Behind report_link()';

create function marketing_automation.report_link(scenario text, valid_for interval default '7 days') returns text
language c stable as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.report_link(text, interval) is
    'API: public. A link under which the proxy shows the report of a scenario to whoever has it, for valid_for (a second to a year). An error '
    'unless marketing_automation.report_links is on';

create function marketing_automation.report_by_token(token text, language text) returns text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
    scenario text;
begin
    select s.name into scenario
    from marketing_automation_internal.verify_token('report', report_by_token.token) t
    join marketing_automation.scenario s on s.id = t.activity_id
    where t.record_id > extract(epoch from statement_timestamp())
      and marketing_automation_internal.setting('report_links') = 'on';
    if scenario is null then
        return null;
    end if;
    -- Whoever has the link is nobody who may see more than numbers.
    return marketing_automation_internal.render_report(
        marketing_automation_internal.report_data(current_user::regrole, scenario, null, null, for_everybody => true),
        coalesce(report_by_token.language, 'en'));
end $$;
comment on function marketing_automation.report_by_token(text, text) is
    'API: proxy. The report of the scenario that a token names, as report_html(); null: the token is malformed, forged or has expired, the '
    'scenario is gone, or marketing_automation.report_links is off';
