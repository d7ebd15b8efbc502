-- Blocking records, and taking it back.

create function marketing_automation_internal.cancel_waiting(of_record bigint) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    loop
        with cancelled as (
            delete from marketing_automation_internal.waiting_activity w where w.record_id = of_record
            returning w.record_id, w.activity_id, w.at
        ), counters as (
            insert into marketing_automation_internal.activity_counter (activity_id, period, cancelled)
            select c.activity_id, marketing_automation_internal.counter_period(statement_timestamp()), 1 from cancelled c
        )
        insert into marketing_automation_internal.finished_activity (record_id, activity_id, state, outcome, at, finished_at)
        select c.record_id, c.activity_id, 'cancelled', 'blocked', c.at, statement_timestamp() from cancelled c;
        -- Once more: a batch that this has waited for may have started children, which its snapshot does not have.
        exit when not exists (select from marketing_automation_internal.waiting_activity w where w.record_id = of_record);
    end loop;
end $$;
comment on function marketing_automation_internal.cancel_waiting(bigint) is 'API: private. Cancels all that waits for a blocked record';

create function marketing_automation_internal.lock_records(records bigint[]) returns void
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set jit = off as $$
begin
    perform from marketing_automation_internal.finished_activity f where f.record_id = any (records)
    order by f.record_id, f.activity_id for no key update;
    perform from marketing_automation_internal.record r where r.id = any (records) order by r.id for no key update;
end $$;
comment on function marketing_automation_internal.lock_records(bigint[]) is
    'API: private. Locks what records have finished, in order of record and activity, and then the records';

create function marketing_automation_internal.records_of_same_rows(records bigint[]) returns bigint[]
language sql stable set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set jit = off set random_page_cost = 1 as $$
    select array(
        select distinct o.id from marketing_automation_internal.record r
        join marketing_automation_internal.record o on o.scenario_id = r.scenario_id and o.key = r.key
        where r.id = any (records) order by o.id)
$$;
comment on function marketing_automation_internal.records_of_same_rows(bigint[]) is
    'API: private. These records and all others that their rows have in the same scenario, as it lets them enter again';

create function marketing_automation_internal.lock_record(of_record bigint) returns marketing_automation_internal.record
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    result marketing_automation_internal.record;
    locked bigint[];
    found_now bigint[];
begin
    loop
        found_now := marketing_automation_internal.records_of_same_rows(array[of_record]);
        -- Who enters the row again holds its last record meanwhile: after this lock the new one is seen.
        exit when found_now <@ locked;
        perform marketing_automation_internal.lock_records(found_now);
        locked := found_now;
    end loop;
    select r.* into result from marketing_automation_internal.record r where r.id = of_record;
    return result;
end $$;
comment on function marketing_automation_internal.lock_record(bigint) is
    'API: private. Locks what a record, and the others of its row in the scenario, have finished, in order of activity, and then the records';

create function marketing_automation_internal.block_record(blocked marketing_automation_internal.record) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    is_news boolean := blocked.blocked_at is null;
    later marketing_automation_internal.record;
begin
    if is_news then
        update marketing_automation_internal.record r set blocked_at = statement_timestamp() where r.id = blocked.id;
        insert into marketing_automation_internal.scenario_counter (scenario_id, period, blocked)
        values (blocked.scenario_id, marketing_automation_internal.counter_period(blocked.entered_at), 1);
        insert into marketing_automation_internal.event (id, occurred_at, kind, record_id)
        values (gen_random_uuid(), statement_timestamp(), 'blocked', blocked.id);
    end if;
    -- Also of a record that was blocked before the scenario became unsubscribable.
    insert into marketing_automation.unsubscription (party, scenario_id, created_at)
    select blocked.party, s.id, statement_timestamp() from marketing_automation.scenario s
    where s.id = blocked.scenario_id and s.unsubscribable and blocked.party is not null
    on conflict do nothing;
    is_news := is_news or found;
    perform marketing_automation_internal.cancel_waiting(blocked.id);
    -- By whichever mail somebody leaves: it is the last record that mails.
    select r.* into later from marketing_automation_internal.record r
    where r.scenario_id = blocked.scenario_id and r.key = blocked.key and r.run > blocked.run order by r.run desc limit 1;
    if found then
        is_news := marketing_automation_internal.block_record(later) or is_news;
    end if;
    return is_news;
end $$;
comment on function marketing_automation_internal.block_record(marketing_automation_internal.record) is
    'API: private. Blocks a record that lock_record() has locked, and the last one of its row; whether that changed anything';

create function marketing_automation_internal.existing_record(caller regrole, record uuid) returns marketing_automation_internal.record
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    result marketing_automation_internal.record;
begin
    -- Asked before anything is locked, so that who may not do this holds up no batch.
    perform marketing_automation_internal.demand_record(caller, record);
    result := marketing_automation_internal.lock_record(marketing_automation.record_id(record));
    if result.id is null or result.uuid is distinct from record then
        raise exception 'record "%" does not exist', record
            using errcode = 'undefined_object', hint = 'See: select uuid from marketing_automation.record where key = …;';
    end if;
    return result;
end $$;
comment on function marketing_automation_internal.existing_record(regrole, uuid) is
    'API: private. The record of that public id, locked, for a role that may operate its scenario; else an error';

create function marketing_automation_internal.block(caller regrole, record uuid)
    returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    blocked marketing_automation_internal.record := marketing_automation_internal.existing_record(caller, record);
begin
    perform marketing_automation_internal.block_record(blocked);
    perform marketing_automation_internal.leave_address(marketing_automation_internal.mailed_address(blocked.id, null), array[s.id], blocked.id,
        blocked.party, false)
    from marketing_automation.scenario s where s.id = blocked.scenario_id and s.unsubscribable;
end $$;
comment on function marketing_automation_internal.block(regrole, uuid) is 'API: private. Behind block()';

create function marketing_automation.block(record uuid)
    returns void
language c volatile as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.block(uuid) is
    'API: public. Stops everything for a record, and its row does not enter again: what waits is cancelled, queued mails are suppressed. If '
    'its scenario is unsubscribable, its party is unsubscribed from it, and the address to which its mails went';

create function marketing_automation_internal.restart_cancelled(records bigint[], of_activity integer default null) returns void
language sql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set jit = off as $$
    with taken_back as (
        delete from marketing_automation_internal.finished_activity f
        using marketing_automation.activity a
        where f.record_id = any (records) and f.outcome = 'blocked' and a.id = f.activity_id and a.id = coalesce(of_activity, a.id)
          -- "Not opened" is decided when the mail has been opened meanwhile.
          and not (a.on_event like 'email\_not\_%' and exists (
                select from marketing_automation_internal.finished_activity p
                where p.record_id = f.record_id and p.activity_id = a.parent_id
                  and marketing_automation_internal.event_time(p, a.on_event) is not null))
        returning f.record_id, f.activity_id, f.at, f.finished_at
    ), counted_back as (
        insert into marketing_automation_internal.activity_counter (activity_id, period, cancelled)
        select t.activity_id, marketing_automation_internal.counter_period(t.finished_at), -1 from taken_back t
    )
    insert into marketing_automation_internal.waiting_activity (record_id, activity_id, at)
    -- What waited for the winner of an experiment asks at once whether there is one by now.
    select t.record_id, t.activity_id, case when isfinite(t.at) then t.at else statement_timestamp() end from taken_back t
$$;
comment on function marketing_automation_internal.restart_cancelled(bigint[], integer) is
    'API: private. What was cancelled because a record was blocked, or its party had left, waits again, for the time that it had; of '
    'one activity, or of all (null)';

create function marketing_automation_internal.keep_returned(of_activity integer, records bigint[]) returns bigint
language sql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set jit = off as $$
    -- A party may have come back while the statement ran that has cancelled this, or be about to. Who comes back deletes the
    -- unsubscription, or chooses the topic again, waits for us if it is still there, and finds what was cancelled by unsubscribed_at.
    with away as materialized (
        select u.party, u.scenario_id from marketing_automation.unsubscription u
        where (u.party, u.scenario_id) in (
            select r.party, s.id from marketing_automation_internal.record r cross join lateral (values (0), (r.scenario_id)) s (id)
            where r.id = any (records))
        for key share skip locked
    ), away_from_topic as materialized (
        select u.party, u.topic from marketing_automation.subscription u
        where (u.party, u.topic) in (
            select r.party, s.topic from marketing_automation_internal.record r join marketing_automation.scenario s on s.id = r.scenario_id
            where r.id = any (records))
          and u.address_hash is null and u.state <> 'subscribed'
        for share skip locked
    ), returned as (
        select r.id from marketing_automation_internal.record r
        where r.id = any (records) and r.blocked_at is null
          and (r.unsubscribed_at is null
               or not exists (select from away a where a.party = r.party and a.scenario_id in (0, r.scenario_id))
                  and not exists (
                      select from away_from_topic a join marketing_automation.scenario s on s.topic = a.topic
                      where a.party = r.party and s.id = r.scenario_id))
    ), restarted as (
        select marketing_automation_internal.restart_cancelled(array_agg(r.id), of_activity) from returned r having count(*) > 0
    )
    select count(*) from returned, restarted
$$;
comment on function marketing_automation_internal.keep_returned(integer, bigint[]) is
    'API: private. Of these records, for which an activity has just been cancelled as their party had left, those wait again whose party is '
    'back by now, or is held by another session, which may bring it back: the next batch decides. Returns how many';

create function marketing_automation_internal.unblock_records(records bigint[]) returns bigint
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set jit = off as $$
declare
    unblocked bigint;
    returned bigint[];
begin
    -- One that stays blocked would keep the row from entering again.
    records := records || array(
        select r.id from marketing_automation_internal.record r
        where r.id = any (marketing_automation_internal.records_of_same_rows(records)) and r.id <> all (records)
          and (r.blocked_at is not null or r.unsubscribed_at is not null));
    perform marketing_automation_internal.lock_records(records);
    with returning_one as (
        update marketing_automation_internal.record r set blocked_at = null, unsubscribed_at = null
        from marketing_automation_internal.record b
        where r.id = any (records) and (r.blocked_at is not null or r.unsubscribed_at is not null) and b.id = r.id
        returning r.id, r.scenario_id, r.entered_at, b.blocked_at
    ), unblocked as (
        select o.id, o.scenario_id, o.entered_at from returning_one o where o.blocked_at is not null
    ), counters as (
        insert into marketing_automation_internal.scenario_counter (scenario_id, period, blocked)
        select u.scenario_id, marketing_automation_internal.counter_period(u.entered_at), -1 from unblocked u
    ), logged as (
        insert into marketing_automation_internal.event (id, occurred_at, kind, record_id)
        select gen_random_uuid(), statement_timestamp(), 'unblocked', u.id from unblocked u
    )
    select (select count(*) from unblocked), array(select o.id from returning_one o) into unblocked, returned;
    perform marketing_automation_internal.restart_cancelled(returned);
    return unblocked;
end $$;
comment on function marketing_automation_internal.unblock_records(bigint[]) is
    'API: private. Takes blocking back, also of other records of the same rows, and what was cancelled because a party had left: it waits '
    'again, for the time that it had; returns how many records were blocked';

create function marketing_automation_internal.unblock(caller regrole, record uuid)
    returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    perform marketing_automation_internal.unblock_records(array[(marketing_automation_internal.existing_record(caller, record)).id]);
end $$;
comment on function marketing_automation_internal.unblock(regrole, uuid) is 'API: private. Behind unblock()';

create function marketing_automation.unblock(record uuid)
    returns void
language c volatile as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.unblock(uuid) is
    'API: public. Takes block() back: what it cancelled waits again, for the time that it had. Its party stays unsubscribed if it '
    'is: see resubscribe()';
