-- Events: what the tracking proxy reports. record_events() takes a batch and applies it set-based, holding the locks
-- that 140_process.sql lists.

create function marketing_automation.apply_events(records bigint[], activities integer[], kinds text[], times timestamptz[]) returns void
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan as $$
begin
    perform from marketing_automation.finished_activity f
    join (select distinct u.record_id, u.activity_id from unnest(records, activities) as u (record_id, activity_id)) h
        on h.record_id = f.record_id and h.activity_id = f.activity_id
    order by f.record_id, f.activity_id for no key update of f;

    with mark as materialized (
        -- The first of each kind that is not marked yet.
        select u.record_id, u.activity_id, k.kind, min(u.occurred_at) as occurred_at
        from unnest(records, activities, kinds, times) as u (record_id, activity_id, kind, occurred_at)
        cross join lateral unnest(case
            when u.kind = 'email_clicked' and current_setting('marketing_automation.click_implies_open')::boolean
            then array['email_clicked', 'email_opened'] else array[u.kind] end) as k (kind)
        join marketing_automation.finished_activity f on f.record_id = u.record_id and f.activity_id = u.activity_id
        where f.outcome = 'mailed'
          and case k.kind when 'email_opened' then f.opened_at is null else f.clicked_at is null end
        group by u.record_id, u.activity_id, k.kind
    ), marked as (
        update marketing_automation.finished_activity f
        set opened_at = coalesce(f.opened_at, m.opened_at), clicked_at = coalesce(f.clicked_at, m.clicked_at)
        from (select k.record_id, k.activity_id,
                     min(k.occurred_at) filter (where k.kind = 'email_opened') as opened_at,
                     min(k.occurred_at) filter (where k.kind = 'email_clicked') as clicked_at
              from mark k group by k.record_id, k.activity_id) m
        where f.record_id = m.record_id and f.activity_id = m.activity_id
        returning f.activity_id, f.finished_at, m.opened_at, m.clicked_at
    ), opposite as (
        delete from marketing_automation.waiting_activity w
        using mark m join marketing_automation.activity o
            on o.parent_id = m.activity_id and o.on_event = marketing_automation.opposite_event(m.kind)
        where w.record_id = m.record_id and w.activity_id = o.id
        returning w.record_id, w.activity_id, w.at
    ), cancelled as (
        insert into marketing_automation.finished_activity (record_id, activity_id, state, outcome, at, finished_at)
        select o.record_id, o.activity_id, 'cancelled', 'event_arrived', o.at, statement_timestamp() from opposite o
    ), tallied as (
        insert into marketing_automation.activity_tally (activity_id, period, opened, clicked, cancelled)
        select m.activity_id, marketing_automation.tally_period(m.finished_at), count(m.opened_at), count(m.clicked_at), 0 from marked m group by 1, 2
        union all
        select o.activity_id, marketing_automation.tally_period(statement_timestamp()), 0, 0, count(*) from opposite o group by 1, 2
    )
    insert into marketing_automation.waiting_activity (record_id, activity_id, at)
    select m.record_id, c.id, m.occurred_at + coalesce(c.delay, interval '0')
    from mark m
    join marketing_automation.record r on r.id = m.record_id and r.blocked_at is null
    join marketing_automation.activity c on c.parent_id = m.activity_id and c.on_event = m.kind
    where not exists (
            select from marketing_automation.finished_activity f where f.record_id = m.record_id and f.activity_id = c.id)
      and not exists (
            -- A negative side that has run closes the positive one.
            select from marketing_automation.activity o
            join marketing_automation.finished_activity f on f.activity_id = o.id and f.record_id = m.record_id and f.state = 'done'
            where o.parent_id = m.activity_id and o.on_event = marketing_automation.opposite_event(m.kind))
    on conflict do nothing;
end $$;
comment on function marketing_automation.apply_events(bigint[], integer[], text[], timestamptz[]) is
    'API: private. Marks activities as opened or clicked, starts their positive children, cancels the waiting opposite ones; repeating changes nothing';

create function marketing_automation.record_events(
    ids uuid[], kinds text[], tokens text[], occurred_at timestamptz[], user_agents text[]
) returns table (n integer, known boolean, location text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    fresh_records bigint[];
    fresh_activities integer[];
    fresh_kinds text[];
    fresh_times timestamptz[];
    verified integer[];
    links bigint[];
begin
    if exists (select from unnest(array[cardinality(kinds), cardinality(tokens), cardinality(occurred_at), cardinality(user_agents)]) as c (length)
               where c.length is distinct from cardinality(ids)) then
        raise exception 'arrays of record_events() differ in length' using errcode = 'array_subscript_error';
    end if;
    if exists (select from unnest(kinds) as k (kind) where k.kind is null or k.kind not in ('email_opened', 'email_clicked')) then
        raise exception 'kinds of record_events() must be email_opened or email_clicked' using errcode = 'invalid_parameter_value';
    end if;
    with hit as materialized (
        select u.n::integer, u.id, u.kind, least(u.occurred_at, statement_timestamp()) as occurred_at, left(u.user_agent, 200) as user_agent,
               t.record_id, t.activity_id, t.link_id
        from unnest(ids, kinds, occurred_at, user_agents) with ordinality as u (id, kind, occurred_at, user_agent, n)
        join marketing_automation.verify_tokens(kinds, tokens) t on t.n = u.n
    ), fresh as (
        insert into marketing_automation.event (id, occurred_at, kind, record_id, activity_id, link_id, user_agent)
        select h.id, h.occurred_at, h.kind, h.record_id, h.activity_id, h.link_id, h.user_agent
        from hit h
        -- A test's links work, and tell nothing.
        where h.record_id <> 0
        on conflict do nothing
        returning event.record_id, event.activity_id, event.kind, event.occurred_at
    )
    select array_agg(f.record_id), array_agg(f.activity_id), array_agg(f.kind), array_agg(f.occurred_at),
           (select array_agg(h.n order by h.n) from hit h), (select array_agg(h.link_id order by h.n) from hit h)
    into fresh_records, fresh_activities, fresh_kinds, fresh_times, verified, links
    from fresh f;
    if fresh_records is not null then
        perform marketing_automation.apply_events(fresh_records, fresh_activities, fresh_kinds, fresh_times);
    end if;
    return query
        select u.n::integer, v.n is not null, l.url
        from unnest(ids) with ordinality as u (id, n)
        left join unnest(verified, links) v (n, link_id) on v.n = u.n
        left join marketing_automation.link l on l.id = v.link_id
        order by u.n;
end $$;
comment on function marketing_automation.record_events(uuid[], text[], text[], timestamptz[], text[]) is
    'API: proxy. Records a batch of opens and clicks, all arrays alike in length, and applies them. One row per hit, n from 1: '
    'known is false for a token that is malformed or forged, location is where a click leads. An id seen before is ignored, as are hits of tests (record 0)';

create function marketing_automation.click_target(token text) returns table (known boolean, location text)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select l.id is not null, l.url
    from (select 1) as one
    left join marketing_automation.verify_tokens(array['email_clicked'], array[token]) t on true
    left join marketing_automation.link l on l.id = t.link_id
$$;
comment on function marketing_automation.click_target(text) is
    'API: proxy. Where a click would lead, for a HEAD request: records nothing';
