-- Looking at a campaign.

create function marketing_automation_internal.percentage(part bigint, whole bigint) returns text
language sql immutable
-- A mail that is held, as nobody knows whether it was taken, may be read: it was.
return case when whole > 0 then format('%s %%', trim_scale(round(100.0 * part / greatest(whole, part), 1))) else '-' end;
comment on function marketing_automation_internal.percentage(bigint, bigint) is 'API: private. "17 %", "3.2 %", or "-" of nothing';

create function marketing_automation_internal.activity_tree(scenario_id integer)
returns table (activity_id integer, ordinal bigint, prefix text)
language sql stable rows 20 set search_path = pg_catalog, pg_temp as $$
    with recursive node as (
        select a.id, a.parent_id,
               row_number() over (partition by a.parent_id order by a.id) as position,
               row_number() over (partition by a.parent_id order by a.id desc) = 1 as is_last
        from marketing_automation.activity a where a.scenario_id = activity_tree.scenario_id
    ), line as (
        select n.id, array[n.position] as path, case when n.is_last then '└─ ' else '├─ ' end as prefix,
               case when n.is_last then '   ' else '│  ' end as indent
        from node n where n.parent_id is null
        union all
        select n.id, l.path || n.position, l.indent || case when n.is_last then '└─ ' else '├─ ' end,
               l.indent || case when n.is_last then '   ' else '│  ' end
        from node n join line l on l.id = n.parent_id
    )
    select l.id, row_number() over (order by l.path), l.prefix from line l order by l.path
$$;
comment on function marketing_automation_internal.activity_tree(integer) is
    'API: private. The activities of a scenario, parents before their children, and the branches to draw before their names';

create function marketing_automation_internal.activity_named(scenario marketing_automation.scenario, name text) returns integer
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    result integer := (select a.id from marketing_automation.activity a where a.scenario_id = scenario.id and a.name = activity_named.name);
    names text[];
begin
    if result is null then
        names := array(select a.name from marketing_automation_internal.activity_tree(scenario.id) t
                       join marketing_automation.activity a on a.id = t.activity_id order by t.ordinal);
        raise exception 'scenario "%" has no activity "%"', scenario.name, name
            using errcode = 'undefined_object',
                  hint = marketing_automation_internal.name_hint(name, names, case when names = '{}'
                      then format('It has none yet: select marketing_automation.add_activity(%L, …);', scenario.name)
                      else format('Its activities are: %s.', array_to_string(names, ', ')) end);
    end if;
    return result;
end $$;
comment on function marketing_automation_internal.activity_named(marketing_automation.scenario, text) is
    'API: private. The id of a scenario''s activity of that name, or an error that hints at the nearest name';

create function marketing_automation_internal.activity_count(caller regrole, scenario text)
    returns table (activity_id integer, waiting bigint, done bigint, skipped bigint, cancelled bigint, failed bigint,
        mailed bigint, opened bigint, clicked bigint, under_way bigint, sent bigint, not_sent bigint, robot_opens bigint,
        robot_clicks bigint)
language sql stable rows 20 set search_path = pg_catalog, pg_temp as $$
    with chosen as (
        select t.activity_id as id, t.ordinal
        from marketing_automation_internal.scenario_for(caller, scenario, 'count') s
        cross join lateral marketing_automation_internal.activity_tree(s.id) t
    ), counters as (
        select t.activity_id, sum(t.done) as done, sum(t.skipped) as skipped, sum(t.cancelled) as cancelled, sum(t.failed) as failed, sum(t.mailed) as mailed,
               sum(t.opened) as opened, sum(t.clicked) as clicked, sum(t.sent) as sent, sum(t.not_sent) as not_sent,
               sum(t.robot_opens) as robot_opens, sum(t.robot_clicks) as robot_clicks
        from marketing_automation_internal.activity_counter t
        where t.activity_id in (select c.id from chosen c) and (not t.rolled_up or t.period = '-infinity') group by 1
    )
    select c.id, (select count(*) from marketing_automation_internal.waiting_activity w where w.activity_id = c.id), coalesce(t.done, 0),
        coalesce(t.skipped, 0), coalesce(t.cancelled, 0), coalesce(t.failed, 0), coalesce(t.mailed, 0),
           coalesce(t.opened, 0), coalesce(t.clicked, 0), coalesce(t.mailed - t.sent - t.not_sent, 0), coalesce(t.sent, 0),
               coalesce(t.not_sent, 0),
           coalesce(t.robot_opens, 0), coalesce(t.robot_clicks, 0)
    from chosen c
    left join counters t on t.activity_id = c.id
    order by c.ordinal
$$;
comment on function marketing_automation_internal.activity_count(regrole, text) is 'API: private. Behind activity_count()';

create function marketing_automation.activity_count(scenario text)
    returns table (activity_id integer, waiting bigint, done bigint, skipped bigint, cancelled bigint, failed bigint,
        mailed bigint, opened bigint, clicked bigint, under_way bigint, sent bigint, not_sent bigint, robot_opens bigint,
        robot_clicks bigint)
language c stable rows 20 as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.activity_count(text) is
    'API: public. Per activity of a scenario, in the order of the tree: its records by state, skipped those '
    'for which nothing was done (the condition was not true, the row was gone or had no address), and its mails: under way, sent, not '
    'sent (failed or suppressed), opened, clicked; and the opens and clicks, each of them, that were a robot''s';

create function marketing_automation_internal.record_count(caller regrole, scenario text, strict boolean,
    out records bigint, out blocked bigint)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    chosen marketing_automation.scenario := marketing_automation_internal.scenario_for(caller, scenario, 'count');
    model marketing_automation.model;
    sees boolean;
    message text;
begin
    if chosen.state <> 'draft' then
        select coalesce(sum(t.records), 0), coalesce(sum(t.blocked), 0) into records, blocked
        from marketing_automation_internal.scenario_counter t where t.scenario_id = chosen.id
            and (not t.rolled_up or t.period = '-infinity');
        return;
    end if;
    -- A report counts many drafts in one statement.
    perform marketing_automation_internal.begin_statement_turn();
    model := marketing_automation_internal.usable_model(chosen);
    select q.n, 0 into records, blocked
    from marketing_automation_internal.query_as_owner(chosen.owner_id, model.relation,
        format('select count(*) from %s as self where %s', model.relation, format(E'(%s\n)', chosen.domain)),
            null) as q (n bigint);
    perform marketing_automation_internal.end_turn();
exception when others then
    if marketing_automation_internal.is_for_the_caller(sqlstate) then
        raise;
    end if;
    sees := marketing_automation_internal.sees_rows(caller, chosen.id);
    if strict and sees then
        raise;
    end if;
    -- The text may quote a row.
    message := case when sees then sqlerrm else marketing_automation_internal.public_error(sqlerrm, sqlstate) end;
    if strict then
        raise exception 'scenario "%" cannot be counted: %', scenario, message using errcode = sqlstate;
    end if;
    raise warning 'scenario "%" cannot be counted: %', scenario, message using errcode = sqlstate;
end $$;
comment on function marketing_automation_internal.record_count(regrole, text, boolean) is 'API: private. Behind record_count()';

create function marketing_automation.record_count(scenario text, strict boolean default true, out records bigint, out blocked bigint)
language c stable as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.record_count(text, boolean) is
    'API: public. Records of a scenario and how many are blocked; of a draft: rows that its domain matches now. strict: a domain '
    'that does not run is an error; else a warning, and the counts are null';

create function marketing_automation_internal.shortened(expression text, most integer) returns text
language sql immutable strict parallel safe
return (select case when length(o.line) > most then left(o.line, most - 1) || '…' else o.line end
        from (select btrim(regexp_replace(expression, '\s+', ' ', 'g')) as line) o);
comment on function marketing_automation_internal.shortened(text, integer) is
    'API: private. An expression on one line, of so many characters at most';

create function marketing_automation_internal.tree(caller regrole, scenario text)
    returns setof text
language sql stable rows 20 set search_path = pg_catalog, pg_temp as $$
    with chosen as materialized (
        select s.* from marketing_automation_internal.scenario_for(caller, scenario, 'read') s
    ), printed as (
        select 0 as ordinal,
               format('%s (%s): %s record%s, %s blocked', s.name, s.state, c.records, case when c.records = 1 then '' else 's' end,
                   c.blocked)
               || coalesce(', topic ' || s.topic, '') || coalesce(', window ' || s.send_window, '')
               || coalesce(', class ' || nullif(s.message_class, 'marketing'), '') || coalesce(', priority ' || nullif(s.priority, 0), '')
               || coalesce(', again after ' || s.reenter_after, '')
               || coalesce(', once for each ' || s.occasion, '')
               || (select case when count(*) > 0 then format(', %s conversion%s', count(*), case when count(*) = 1 then '' else 's' end)
                   else '' end
                          || coalesce(' worth ' || sum(v.value), '')
                   from marketing_automation.conversion v where v.scenario_id = s.id)
               || (select case when count(*) > 0 then format(', %s exited', count(*)) else '' end
                   from marketing_automation_internal.record r where r.scenario_id = s.id and r.end_reason = 'exited')
               || (select case when count(*) > 0 then format(', %s held out', count(*)) else '' end
                   from marketing_automation_internal.record r where r.scenario_id = s.id and r.held_out)
               || (select case when count(*) > 0 then format(', %s entered again', count(*)) else '' end
                   from marketing_automation_internal.record r
                   where marketing_automation_internal.may_enter_again(s) and r.scenario_id = s.id and r.run > 1)
               || coalesce((select format(', %s without an occasion', t.without_occasion)
                   from marketing_automation.scenario_status t where t.scenario_id = s.id and t.without_occasion > 0), '') as text
        from chosen s, marketing_automation_internal.record_count(caller, scenario, true) c
        union all
        select l.ordinal,
               l.prefix || n.name
               || coalesce(' [' || nullif(concat_ws(', ', replace(n.on_event, 'email_', ''), n.delay::text,
                   'date ' || marketing_automation_internal.shortened(n.at, 60),
                   'at ' || n.at_time, 'window ' || n.send_window, 'class ' || n.message_class, trim_scale(n.share) || ' %',
                   'until ' || marketing_automation_internal.shortened(n.wait_until, 60),
                   'if ' || marketing_automation_internal.shortened(n.condition, 60),
                   case when p.branch_by is not null and coalesce(n.on_event, n.condition, n.share::text) is null then 'otherwise' end,
                   'calls ' || marketing_automation_internal.shortened(n.call, 60),
                   'posts to ' || marketing_automation_internal.shortened(n.url, 60),
                   'to ' || marketing_automation_internal.shortened(n.recipient, 60), 'cc ' || marketing_automation_internal.shortened(n.cc, 60),
                   'bcc ' || marketing_automation_internal.shortened(n.bcc, 60),
                   'attaches ' || marketing_automation_internal.shortened(n.attachments, 60),
                   'branches by ' || n.branch_by, 'experiment by ' || n.metric || coalesce(', decided after ' || n.decide_after, '')), '')
                   || ']', '')
               || ': ' || case when n.on_event = 'variant' then (
                   select format('%s mail%s', count(*), case when count(*) = 1 then '' else 's' end)
                   from marketing_automation_internal.branch_decision d where d.parent_id = n.parent_id and d.activity_id = n.id)
               else concat_ws(', ',
                   format('%s done', c.done),
                   case when c.skipped > 0 then format('%s skipped', c.skipped) end,
                   case when c.waiting > 0 then format('%s waiting', c.waiting) end,
                   case when c.cancelled > 0 then format('%s cancelled', c.cancelled) end,
                   case when c.failed > 0 then format('%s failed', c.failed) end,
                   case when n.action = 'send_email' then format('%s sent', c.sent) end,
                   case when n.action = 'webhook' then format('%s delivered', c.sent) end,
                   case when c.under_way > 0 then format('%s under way', c.under_way) end,
                   case when c.not_sent > 0 then format(case n.action when 'webhook' then '%s not delivered' else '%s not sent' end, c.not_sent) end,
                   case when n.action = 'send_email' then format('opened %s (%s)', c.opened,
                       marketing_automation_internal.percentage(c.opened, c.sent)) end,
                   case when n.action = 'send_email' then format('clicked %s (%s)', c.clicked,
                       marketing_automation_internal.percentage(c.clicked, c.sent)) end,
                   case when c.robot_opens + c.robot_clicks > 0 then format('%s by robots', c.robot_opens + c.robot_clicks) end,
                   (select format('%s conversion%s', count(*), case when count(*) = 1 then '' else 's' end)
                    from marketing_automation.conversion v where v.scenario_id = s.id and v.activity_id = n.id having count(*) > 0),
                   case when n.metric is not null then (
                       select format('%s at it', count(*)) from marketing_automation_internal.branch_decision d
                       where d.parent_id = n.id and d.activity_id is null having count(*) > 0) end,
                   (select format('winner "%s"', w.name) from marketing_automation_internal.experiment e
                    join marketing_automation.activity w on w.id = e.winner_id where e.activity_id = n.id)) end
        from chosen s
        cross join lateral marketing_automation_internal.activity_tree(s.id) l
        join marketing_automation.activity n on n.id = l.activity_id
        left join marketing_automation.activity p on p.id = n.parent_id
        join marketing_automation_internal.activity_count(caller, scenario) c on c.activity_id = n.id
    )
    select p.text from printed p order by p.ordinal
$$;
comment on function marketing_automation_internal.tree(regrole, text) is 'API: private. Behind tree()';

create function marketing_automation.tree(scenario text)
    returns setof text
language c stable rows 20 as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.tree(text) is
    'API: public. The scenario''s tree of activities with its counts, a line each, for psql; conditions are cut after 60 characters';
