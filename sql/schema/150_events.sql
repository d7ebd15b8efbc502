-- Events: what the tracking proxy reports. record_events() takes a batch and applies it set-based, holding the locks
-- that 140_process.sql lists.

create function marketing_automation.tracking_keys() returns table (id smallint, secret bytea)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if not exists (select from marketing_automation.tracking_key) then
        -- Two 122-bit random uuids hashed: 244 bits from the server's strong random source (PostgreSQL has no random bytes of its own).
        insert into marketing_automation.tracking_key (id, secret)
        values (0, sha256(convert_to(gen_random_uuid()::text || gen_random_uuid()::text, 'UTF8')))
        on conflict do nothing;
    end if;
    return query select k.id, k.secret from marketing_automation.tracking_key k order by k.id desc;
end $$;
comment on function marketing_automation.tracking_keys() is
    'API: proxy. Keys that sign and verify tracking tokens, the signing one first; the first call makes one';

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
    'known is false for a token that is malformed or forged, location is where a click leads. An id seen before is ignored';

create function marketing_automation.click_target(token text) returns table (known boolean, location text)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select l.id is not null, l.url
    from (select 1) as one
    left join marketing_automation.verify_tokens(array['email_clicked'], array[token]) t on true
    left join marketing_automation.link l on l.id = t.link_id
$$;
comment on function marketing_automation.click_target(text) is
    'API: proxy. Where a click would lead, for a HEAD request: records nothing';

create function marketing_automation.cancel_waiting(of_record bigint) returns void
language sql set search_path = pg_catalog, pg_temp as $$
    with cancelled as (
        delete from marketing_automation.waiting_activity w where w.record_id = of_record
        returning w.record_id, w.activity_id, w.at
    ), tallied as (
        insert into marketing_automation.activity_tally (activity_id, period, cancelled)
        select c.activity_id, marketing_automation.tally_period(statement_timestamp()), 1 from cancelled c
    )
    insert into marketing_automation.finished_activity (record_id, activity_id, state, outcome, at, finished_at)
    select c.record_id, c.activity_id, 'cancelled', 'blocked', c.at, statement_timestamp() from cancelled c;
$$;
comment on function marketing_automation.cancel_waiting(bigint) is 'API: private. Cancels all that waits for a blocked record';

create function marketing_automation.lock_record(of_record bigint) returns marketing_automation.record
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    result marketing_automation.record;
begin
    perform from marketing_automation.finished_activity f where f.record_id = of_record order by f.activity_id for no key update;
    select r.* into result from marketing_automation.record r where r.id = of_record for no key update;
    return result;
end $$;
comment on function marketing_automation.lock_record(bigint) is 'API: private. Locks a record and what hangs on it, in the order of 140_process.sql';

create function marketing_automation.block(record uuid) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    blocked marketing_automation.record := marketing_automation.lock_record(marketing_automation.record_id(record));
begin
    if blocked.id is null or blocked.uuid is distinct from record then
        raise exception 'record "%" does not exist', record
            using errcode = 'undefined_object', hint = 'See: select uuid from marketing_automation.record where key = …;';
    end if;
    if blocked.blocked_at is null then
        update marketing_automation.record r set blocked_at = statement_timestamp() where r.id = blocked.id;
        insert into marketing_automation.scenario_tally (scenario_id, period, blocked)
        values (blocked.scenario_id, marketing_automation.tally_period(blocked.entered_at), 1);
        insert into marketing_automation.event (id, occurred_at, kind, record_id)
        values (gen_random_uuid(), statement_timestamp(), 'blocked', blocked.id);
    end if;
    -- Also of a record that was blocked before the scenario became unsubscribable.
    insert into marketing_automation.unsubscription (party, scenario_id, created_at)
    select blocked.party, s.id, statement_timestamp() from marketing_automation.scenario s
    where s.id = blocked.scenario_id and s.unsubscribable and blocked.party is not null
    on conflict do nothing;
    perform marketing_automation.cancel_waiting(blocked.id);
end $$;
comment on function marketing_automation.block(uuid) is
    'API: public. Stops everything for a record: what waits is cancelled, queued mails are suppressed. If its scenario is unsubscribable, its party is unsubscribed from it';

create function marketing_automation.unsubscribe_page(token text)
returns table (known boolean, language text, scenario text, unsubscribed boolean)
language sql security definer set search_path = pg_catalog, pg_temp as $$
    select r.id is not null,
           (select m.language from marketing_automation.message_log m where m.record_id = t.record_id and m.activity_id = t.activity_id limit 1),
           s.name, r.blocked_at is not null
    from (select 1) as one
    left join marketing_automation.verify_tokens(array['unsubscribed'], array[token]) t on true
    left join marketing_automation.record r on r.id = t.record_id
    left join marketing_automation.scenario s on s.id = r.scenario_id
$$;
comment on function marketing_automation.unsubscribe_page(text) is
    'API: proxy. What the unsubscribe page shows; known is false for a token that is malformed, forged or unknown. Changes nothing';

create function marketing_automation.unsubscribe(token text, one_click boolean, user_agent text)
returns table (known boolean, language text, scenario text, location text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    verified record;
    leaving marketing_automation.record;
begin
    select t.* into verified from marketing_automation.verify_tokens(array['unsubscribed'], array[token]) t;
    leaving := marketing_automation.lock_record(verified.record_id);
    if leaving.id is not null then
        -- One id per record, so that repeating leaves one event.
        insert into marketing_automation.event (id, occurred_at, kind, record_id, activity_id, user_agent)
        values (md5('unsubscribed ' || leaving.uuid)::uuid, statement_timestamp(), 'unsubscribed', leaving.id, verified.activity_id, left(user_agent, 200))
        on conflict do nothing;
        perform marketing_automation.block(leaving.uuid);
    end if;
    return query
        select p.known, p.language, p.scenario,
               case when not one_click then (select l.url from marketing_automation.link l where l.id = verified.link_id) end
        from marketing_automation.unsubscribe_page(token) p;
end $$;
comment on function marketing_automation.unsubscribe(text, boolean, text) is
    'API: proxy. Blocks the record that the token names, and unsubscribes its party where the scenario is unsubscribable; repeating changes nothing. '
    'location: page that the mail''s author wants shown afterwards; never for one-click (RFC 8058)';
