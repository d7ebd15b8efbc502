-- Blocking and unsubscribing.

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
    select r.id is not null or s.id is not null,
           (select m.language from marketing_automation.message_log m where m.record_id = t.record_id and m.activity_id = t.activity_id limit 1),
           s.name, r.blocked_at is not null
    from (select 1) as one
    left join marketing_automation.verify_tokens(array['unsubscribed'], array[token]) t on true
    left join marketing_automation.record r on r.id = t.record_id
    -- The link of a test (record 0) shows the page too, and unsubscribes nobody.
    left join marketing_automation.activity a on t.record_id = 0 and a.id = t.activity_id
    left join marketing_automation.scenario s on s.id = coalesce(r.scenario_id, a.scenario_id)
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
