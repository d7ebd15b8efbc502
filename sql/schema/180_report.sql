-- Looking at a campaign.

create function marketing_automation.percentage(part bigint, whole bigint) returns text
language sql immutable
return case when whole > 0 then format('%s %%', round(100.0 * part / whole)) else '-' end;
comment on function marketing_automation.percentage(bigint, bigint) is 'API: private. "17 %", or "-" of nothing';

create function marketing_automation.activity_count(scenario text)
returns table (activity_id integer, waiting bigint, done bigint, cancelled bigint, failed bigint,
               mailed bigint, opened bigint, clicked bigint, under_way bigint, sent bigint, not_sent bigint)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    with chosen as (
        select a.id from marketing_automation.activity a where a.scenario_id = (marketing_automation.scenario_named(scenario)).id
    ), waiting as (
        select w.activity_id, count(*) as n from marketing_automation.waiting_activity w
        where w.activity_id in (select c.id from chosen c) group by 1
    ), finished as (
        select f.activity_id, count(*) filter (where f.state = 'done') as done, count(*) filter (where f.state = 'cancelled') as cancelled,
               count(*) filter (where f.state = 'failed') as failed, count(*) filter (where f.outcome = 'mailed') as mailed,
               count(f.opened_at) as opened, count(f.clicked_at) as clicked
        from marketing_automation.finished_activity f
        where f.activity_id in (select c.id from chosen c) group by 1
    ), mail as (
        select m.activity_id, count(*) filter (where m.state in ('queued', 'sending', 'deferred', 'in_doubt')) as under_way,
               count(m.sent_at) as sent, count(*) filter (where m.state in ('failed', 'suppressed')) as not_sent
        from marketing_automation.message m
        where m.activity_id in (select c.id from chosen c) and m.record_id is not null group by 1
    )
    select c.id, coalesce(w.n, 0), coalesce(f.done, 0), coalesce(f.cancelled, 0), coalesce(f.failed, 0), coalesce(f.mailed, 0),
           coalesce(f.opened, 0), coalesce(f.clicked, 0), coalesce(m.under_way, 0), coalesce(m.sent, 0), coalesce(m.not_sent, 0)
    from chosen c
    left join waiting w on w.activity_id = c.id
    left join finished f on f.activity_id = c.id
    left join mail m on m.activity_id = c.id
$$;
comment on function marketing_automation.activity_count(text) is
    'API: public. Per activity of a scenario: its records by state, and its mails: under way, sent, not sent (failed or suppressed), opened, clicked';

create function marketing_automation.record_count(scenario text, out records bigint, out blocked bigint)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
    chosen marketing_automation.scenario := marketing_automation.scenario_named(scenario);
    model marketing_automation.model;
begin
    if chosen.state = 'draft' then
        model := marketing_automation.usable_model(chosen);
        select q.n, 0 into records, blocked
        from marketing_automation.query_as_owner(chosen.owner,
            format('select count(*) from %s as self where %s', model.relation, marketing_automation.as_condition(chosen.domain)), null) as q (n bigint);
    else
        select count(*), count(r.blocked_at) into records, blocked
        from marketing_automation.record r where r.scenario_id = chosen.id;
    end if;
end $$;
comment on function marketing_automation.record_count(text) is
    'API: public. Records of a scenario and how many are blocked; of a draft: rows that its domain matches now';

create function marketing_automation.tree(scenario text) returns setof text
language sql stable set search_path = pg_catalog, pg_temp as $$
    with recursive node as (
        select a.*, coalesce(a.parent_id, 0) as above,
               row_number() over siblings as position,
               row_number() over (partition by a.parent_id order by a.id desc) = 1 as is_last
        from marketing_automation.activity a
        where a.scenario_id = (marketing_automation.scenario_named(scenario)).id
        window siblings as (partition by a.parent_id order by a.id)
    ), line as (
        select n.id, array[n.position] as path, case when n.is_last then '└─ ' else '├─ ' end as prefix,
               case when n.is_last then '   ' else '│  ' end as indent
        from node n where n.parent_id is null
        union all
        select n.id, l.path || n.position, l.indent || case when n.is_last then '└─ ' else '├─ ' end,
               l.indent || case when n.is_last then '   ' else '│  ' end
        from node n join line l on l.id = n.above
    ), printed as (
        select array[]::bigint[] as path,
               format('%s (%s): %s record%s, %s blocked', s.name, s.state, c.records, case when c.records = 1 then '' else 's' end, c.blocked) as text
        from marketing_automation.scenario_named(scenario) s, marketing_automation.record_count(scenario) c
        union all
        select l.path,
               l.prefix || n.name
               || coalesce(' [' || nullif(concat_ws(', ', replace(n.on_event, 'email_', ''), n.delay::text, 'if ' || n.condition), '') || ']', '')
               || ': ' || concat_ws(', ',
                   format('%s done', c.done),
                   case when c.waiting > 0 then format('%s waiting', c.waiting) end,
                   case when c.cancelled > 0 then format('%s cancelled', c.cancelled) end,
                   case when c.failed > 0 then format('%s failed', c.failed) end,
                   case when n.action = 'send_email' then format('%s sent', c.sent) end,
                   case when c.under_way > 0 then format('%s under way', c.under_way) end,
                   case when c.not_sent > 0 then format('%s not sent', c.not_sent) end,
                   case when n.action = 'send_email' then format('opened %s (%s)', c.opened, marketing_automation.percentage(c.opened, c.sent)) end,
                   case when n.action = 'send_email' then format('clicked %s (%s)', c.clicked, marketing_automation.percentage(c.clicked, c.sent)) end)
        from line l join node n on n.id = l.id join marketing_automation.activity_count(scenario) c on c.activity_id = n.id
    )
    select p.text from printed p order by p.path
$$;
comment on function marketing_automation.tree(text) is 'API: public. The scenario''s tree of activities with its counts, a line each, for psql';
