-- Robots: rules tell opens and clicks of programs from those of people.

create function marketing_automation_internal.may_take_long(pattern text) returns boolean
language sql immutable
-- Without these two PostgreSQL reads a text once, from the left to the right; with them 200 letters can take hours. What is escaped is
-- left out first.
return regexp_replace(pattern, '\\[^1-9]', '', 'g') ~ '\\[1-9]|\(\?[=!<]';
comment on function marketing_automation_internal.may_take_long(text) is
    'API: private. Whether a regular expression has a back-reference or looks around, by which matching it may take any time';

create function marketing_automation_internal.robot_rule_validate() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform marketing_automation_internal.check_value(new.kind, array['method', 'user_agent', 'network', 'burst', 'speed', 'hidden_link'],
        'kind', format('robot rule "%s"', new.name));
    if new.kind = 'user_agent' then
        -- An invalid expression is its author's error, and not that of every hit.
        begin
            perform '' ~* new.pattern;
        exception when invalid_regular_expression then
            raise exception 'pattern of robot rule "%" is no regular expression', new.name
                using errcode = 'invalid_regular_expression', detail = sqlerrm || '.',
                      hint = 'Write a backslash before a bracket, dot, * or + that is meant as such.';
        end;
        if marketing_automation_internal.may_take_long(new.pattern) then
            if not marketing_automation_internal.is_restoring() then
                raise exception 'pattern of robot rule "%" has a back-reference or looks around', new.name
                    using errcode = 'invalid_regular_expression',
                          detail = 'Matching it may take any time, and the events of all wait for it.',
                          hint = 'Write it without \1, (?=, (?!, (?<= and (?<!, as several rules for instance.';
            end if;
            new.is_enabled := false;
        end if;
    elsif new.kind = 'network'
        and masklen(new.pattern::cidr) > masklen(marketing_automation_internal.address_prefix(new.pattern::inet)) then
        -- As of an address that is all that is known: see address_prefix().
        raise exception 'network % is narrower than what is kept of an address', new.pattern
            using errcode = 'invalid_parameter_value', hint = 'It must be at least a /24 of IPv4 or a /48 of IPv6.';
    elsif new.kind = 'method' and new.pattern not in ('GET', 'HEAD', 'POST', 'PREFETCH') then
        raise exception 'method % does not exist', new.pattern
            using errcode = 'invalid_parameter_value', hint = 'It is GET, HEAD, POST or PREFETCH.';
    end if;
    new.is_shipped := new.is_shipped and tg_op = 'INSERT' and marketing_automation_internal.is_extension_script();
    if tg_op = 'INSERT' then
        -- A dump has the rules that were changed; CREATE EXTENSION has just made them as they are shipped.
        delete from marketing_automation.robot_rule r where r.name = new.name and r.is_shipped;
    end if;
    return new;
end $$;
comment on function marketing_automation_internal.robot_rule_validate() is
    'API: private. Patterns are valid; a changed rule is no shipped one, and takes its place when a dump is restored';

create trigger validate before insert or update on marketing_automation.robot_rule
    for each row execute function marketing_automation_internal.robot_rule_validate();

-- Robots: which opens and clicks are not a person's. robot_by_look() judges a hit by itself,
-- classify_events() by what else was done with its mail; when hits are applied, and again by reclassify_events().
create function marketing_automation_internal.robot_by_look(method text, user_agent text, address inet) returns text
language sql stable
return (
    select min(r.name) from marketing_automation.robot_rule r
    where r.is_enabled and case r.kind
        when 'method' then robot_by_look.method = r.pattern
        when 'user_agent' then robot_by_look.user_agent ~* r.pattern
        when 'network' then robot_by_look.address <<= r.pattern::inet end);
comment on function marketing_automation_internal.robot_by_look(text, text, inet) is
    'API: private. The rule by which a single hit is a robot''s, of those that look at nothing but the hit; null: none';

create function marketing_automation_internal.count_robots(records bigint[], activities integer[], kinds text[], changes integer[])
    returns void
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set jit = off as $$
begin
    if records is null then
        return;
    end if;
    insert into marketing_automation_internal.activity_counter (activity_id, period, robot_opens, robot_clicks)
    select u.activity_id, marketing_automation_internal.counter_period(f.finished_at),
           coalesce(sum(u.change) filter (where u.kind = 'email_opened'), 0),
               coalesce(sum(u.change) filter (where u.kind = 'email_clicked'), 0)
    from unnest(records, activities, kinds, changes) as u (record_id, activity_id, kind, change)
    join marketing_automation_internal.finished_activity f on f.record_id = u.record_id and f.activity_id = u.activity_id
    group by 1, 2;
end $$;
comment on function marketing_automation_internal.count_robots(bigint[], integer[], text[], integer[]) is
    'API: private. Counts opens and clicks that are a robot''s (change 1), or not any more (-1), with their mails. Null: none. The '
    'caller holds the rows of the mails in finished_activity';

create function marketing_automation_internal.classify_events(hits tid[]) returns uuid[]
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set jit = off set random_page_cost = 1 as $$
declare
    burst marketing_automation.robot_rule;
    speed marketing_automation.robot_rule;
    trap marketing_automation.robot_rule;
    buckets smallint[];
    records bigint[];
    activities integer[];
    kinds text[];
    changes integer[];
    people uuid[];
    reach interval;
begin
    select r.* into burst from marketing_automation.robot_rule r where r.kind = 'burst' and r.is_enabled order by r.name limit 1;
    select r.* into speed from marketing_automation.robot_rule r where r.kind = 'speed' and r.is_enabled order by r.name limit 1;
    select r.* into trap from marketing_automation.robot_rule r where r.kind = 'hidden_link' and r.is_enabled order by r.name limit 1;
    -- How far apart clicks can be that decide about each other; null: none do.
    reach := greatest(burst.within, trap.within);
    if speed.name is not null then
        -- Where mails are that were sent a moment before. A day more, as the clock of a proxy may run behind.
        buckets := array(
            select distinct marketing_automation_internal.log_bucket(e.occurred_at + d)
            from marketing_automation_internal.event e cross join unnest(array[- speed.within, interval '0', interval '1 day']) d
                where e.ctid = any (hits));
    end if;
    with fresh as materialized (
        select e.ctid as place, e.* from marketing_automation_internal.event e where e.ctid = any (hits) and e.kind
            in ('email_opened', 'email_clicked')
    ), mail as (
        select f.record_id, f.activity_id, min(f.occurred_at) - reach as since, max(f.occurred_at) + reach as until
        from fresh f where f.kind = 'email_clicked' and reach is not null
        group by f.record_id, f.activity_id
    ), hit as materialized (
        select f.*, true as is_judged from fresh f where f.kind = 'email_opened' or reach is null
        union all
        -- All clicks in the same mails: only together are they a burst, or follow the hidden link. What came long before or after
        -- has nothing to do with these, however much of it there is. offset: mail by mail, however few clicks there were when
        -- the log was last analyzed.
        select c.*, c.occurred_at between m.since and m.until from mail m cross join lateral (
            select e.ctid, e.* from marketing_automation_internal.event e
            where e.record_id = m.record_id and e.activity_id = m.activity_id and e.kind = 'email_clicked'
              -- And what decides about the outermost of them.
              and e.occurred_at between m.since - reach and m.until + reach offset 0) c
        union all
        -- Clicks that wait for others in turn: they tell about these, and are judged later. Their time is asked outside, as the index on
        -- the time would find those of all mails.
        select null::tid, c.id, c.occurred_at, c.kind, c.record_id, c.activity_id, c.link_id, c.method, c.address, c.user_agent, null::text,
            null::text, null::integer, false
        from mail m cross join lateral (
            select i.* from marketing_automation_internal.event_inbox i
            where i.record_id = m.record_id and i.activity_id = m.activity_id and i.kind = 'email_clicked' and i.error is null offset 0) c
        where c.occurred_at between m.since - reach and m.until + reach
    ), near as materialized (
        -- How far from a click on the hidden link, before and after; in one pass, since both may be many.
        select h.place, h.record_id, h.activity_id, h.kind, h.link_id, h.occurred_at, h.robot, h.is_judged,
            count(*) over (partition by h.record_id, h.activity_id, h.kind) as clicks,
            h.occurred_at - max(h.occurred_at) filter (where h.link_id = 0) over (
                partition by h.record_id, h.activity_id, h.kind order by h.occurred_at) as since_trap,
            min(h.occurred_at) filter (where h.link_id = 0) over (
                partition by h.record_id, h.activity_id, h.kind order by h.occurred_at desc) - h.occurred_at as until_trap
        from hit h
    ), click as materialized (
        select h.* from near h where h.kind = 'email_clicked' and h.clicks >= burst.links
    ), reached as (
        -- From when to when a link is followed within the time of the rule, from then on. What overlaps is one stretch, so that
        -- stretches that hold a moment are as many as links. No join and no list of what is near: both are quadratic, and
        -- a single mail could be clicked often enough to hold up all others.
        select c.record_id, c.activity_id, min(c.occurred_at) - burst.within as since, max(c.occurred_at) as until
        from (select c.*, count(*) filter (where c.starts) over (partition by c.record_id, c.activity_id,
            c.link_id order by c.occurred_at) as stretch
              from (select c.*, coalesce(c.occurred_at - lag(c.occurred_at) over (
                        partition by c.record_id, c.activity_id, c.link_id order by c.occurred_at) > burst.within, true) as starts
                    from click c) c) c
        group by c.record_id, c.activity_id, c.link_id, c.stretch
    ), weighed as (
        -- Each with whether it is of a burst: of one that begins with it, or with a click before it. Carried along and not joined: how
        -- many there are is not known when this is planned.
        select m.place, m.record_id, m.activity_id, m.kind, m.link_id, m.occurred_at, m.robot, m.is_judged, m.since_trap, m.until_trap,
            coalesce(m.occurred_at - max(m.occurred_at) filter (where m.links >= burst.links) over (
                partition by m.record_id, m.activity_id order by m.occurred_at) <= burst.within, false) as bursts
        from (select w.*
              from (select m.*, sum(m.step) over (partition by m.record_id, m.activity_id order by m.occurred_at, m.turn) as links
              from (select null::tid as place, r.record_id, r.activity_id, null as kind, null::bigint as link_id, r.since as occurred_at,
                        null as robot, false as is_judged, null::interval as since_trap, null::interval as until_trap, 1 as turn, 1 as step
                    from reached r
                    union all
                    select c.place, c.record_id, c.activity_id, c.kind, c.link_id, c.occurred_at, c.robot, c.is_judged, c.since_trap,
                        c.until_trap, 2, 0
                    from click c
                    union all
                    select null, r.record_id, r.activity_id, null, null, r.until, null, false, null, null, 3, -1 from reached r) m) w
            where w.turn = 2) m
        union all
        select h.place, h.record_id, h.activity_id, h.kind, h.link_id, h.occurred_at, h.robot, h.is_judged, h.since_trap, h.until_trap, false
        from near h where (h.kind = 'email_clicked' and h.clicks >= burst.links) is not true
    ), verdict as materialized (
        select h.place, h.robot as before, coalesce(
            (select r.name from marketing_automation.robot_rule r where r.name = h.robot and r.is_enabled and r.kind
                in ('method', 'user_agent', 'network')),
            case when h.link_id = 0 then coalesce(trap.name, 'hidden_link') end,
            case when least(h.since_trap, h.until_trap) <= trap.within then trap.name
                when h.kind = 'email_opened' and trap.name is not null and exists (
                    select from marketing_automation_internal.event o
                    where o.record_id = h.record_id and o.activity_id = h.activity_id and o.link_id = 0
                      and o.occurred_at between h.occurred_at - trap.within and h.occurred_at + trap.within) then trap.name end,
            case when h.bursts then burst.name end,
            case when speed.name is not null and exists (
                select from marketing_automation_internal.message_log m
                where m.bucket = any (buckets) and m.record_id = h.record_id and m.activity_id = h.activity_id
                  and h.occurred_at < m.sent_at + speed.within) then speed.name end) as robot
        from weighed h where h.is_judged
    ), judged as (
        update marketing_automation_internal.event e set robot = v.robot
        from verdict v where e.ctid = v.place and v.robot is distinct from v.before
        returning e.id, e.record_id, e.activity_id, e.kind, (v.robot is not null)::integer - (v.before is not null)::integer as change
    )
    select array_agg(j.record_id), array_agg(j.activity_id), array_agg(j.kind), array_agg(j.change),
        coalesce(array_agg(j.id) filter (where j.change < 0), '{}')
    into records, activities, kinds, changes, people from judged j where j.change <> 0;
    perform marketing_automation_internal.count_robots(records, activities, kinds, changes);
    return people;
end $$;
comment on function marketing_automation_internal.classify_events(tid[]) is
    'API: private. Judges opens and clicks at these places in the log, whose look has been judged, by when they came, and with a '
    'click the other clicks in its mail, those that wait in the inbox too. Returns what was a robot''s until rules have changed, and has '
    'no effect yet. The caller holds '
    'the rows of their mails in finished_activity';

create function marketing_automation.reclassify_events(since timestamptz) returns table (robots bigint, people bigint)
language plpgsql security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set jit = off as $$
#variable_conflict use_column
declare
    ids uuid[];
    were_robots uuid[];
    no_opens bigint[];
    no_clicks bigint[];
    records bigint[];
    activities integer[];
    kinds text[];
    changes integer[];
begin
    select array_agg(e.id), coalesce(array_agg(e.id) filter (where e.robot is not null), '{}') into ids, were_robots
    from marketing_automation_internal.event e where e.occurred_at >= since and e.kind in ('email_opened', 'email_clicked');
    perform from marketing_automation_internal.finished_activity f
    join (select distinct e.record_id, e.activity_id from marketing_automation_internal.event e where e.id = any (ids)) h
        on h.record_id = f.record_id and h.activity_id = f.activity_id
    order by f.record_id, f.activity_id for no key update of f;
    with look as (
        select marketing_automation_internal.robot_by_look(e.method, e.user_agent, e.address) as robot, e.robot is not null as was_robot,
            array_agg(e.id) as ids
        from marketing_automation_internal.event e where e.id = any (ids)
        group by e.method, e.user_agent, e.address, e.robot is not null
    ), seen as materialized (
        -- Without the ids of the whole group, of which a join would carry a copy with each of them.
        select u.id, l.robot, l.was_robot from look l cross join lateral unnest(l.ids) u (id)
    ), judged as (
        update marketing_automation_internal.event e set robot = l.robot
        from seen l
        where e.id = l.id and e.robot is distinct from l.robot
          -- A verdict by what hit_details has not kept stands for as long as its rule does.
          and (l.robot is not null or exists (
              select from marketing_automation.robot_rule r
              where r.name = e.robot and case r.kind when 'method' then true when 'user_agent' then e.user_agent is not null
                  when 'network' then e.address is not null end))
        returning e.record_id, e.activity_id, e.kind, (l.robot is not null)::integer - l.was_robot::integer as change
    )
    select array_agg(j.record_id), array_agg(j.activity_id), array_agg(j.kind), array_agg(j.change)
    into records, activities, kinds, changes from judged j where j.change <> 0;
    perform marketing_automation_internal.count_robots(records, activities, kinds, changes);
    perform marketing_automation_internal.classify_events(array(
        select e.ctid from marketing_automation_internal.event e where e.id = any (ids)));
    -- What turns out to be a person's has the effect that it should have had.
    select c.no_opens, c.no_clicks into no_opens, no_clicks
    from marketing_automation_internal.withheld_consent(array(
        select distinct e.record_id from marketing_automation_internal.event e where e.id = any (were_robots) and e.robot is null)) c;
    perform marketing_automation_internal.mark_events(array_agg(e.record_id), array_agg(e.activity_id), array_agg(e.kind),
        array_agg(e.occurred_at), no_opens)
    from marketing_automation_internal.event e
    where e.id = any (were_robots) and e.robot is null and case e.kind when 'email_opened' then e.record_id <> all (no_opens)
        else e.record_id <> all (no_clicks) end
    having count(*) > 0;
    return query
        select count(*) filter (where e.robot is not null and e.id <> all (were_robots)),
               count(*) filter (where e.robot is null and e.id = any (were_robots))
        from marketing_automation_internal.event e where e.id = any (ids);
end $$;
comment on function marketing_automation.reclassify_events(timestamptz) is
    'API: public. Judges opens and clicks since then again, after robot_rule has changed, by what hit_details has kept of them; '
    'returns how many turned out to be robots'' and how many people''s. The latter have their effect now; what the former have '
    'started is not taken back';

create view marketing_automation.robot_hit with (security_barrier) as
select e.activity_id, e.robot, count(*) filter (where e.kind = 'email_opened') as opened,
    count(*) filter (where e.kind = 'email_clicked') as clicked
from marketing_automation_internal.event e
where e.robot is not null and ((select v.counts_every from marketing_automation_internal.reader v) or e.activity_id in (
    select a.id from marketing_automation.activity a
    where a.scenario_id in (select s.id from marketing_automation_internal.countable_scenario s)))
group by e.activity_id, e.robot;
comment on view marketing_automation.robot_hit is
    'API: public. Opens and clicks that are not counted, by activity and by the rule that said so';
