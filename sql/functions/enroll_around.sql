-- Entering all rows but those that another session enters in a transaction that stays open.

create function marketing_automation_internal.held_keys(scenario_id integer, keys text[]) returns text[]
language plpgsql set search_path = pg_catalog, pg_temp set lock_timeout = '200ms' as $$
declare
    part marketing_automation_internal.search := marketing_automation_internal.start_search(cardinality(keys));
    is_held boolean;
    held text[] := '{}';
begin
    -- Somebody who holds more has his transaction waited for, at the next turn.
    while part.first is not null and cardinality(held) < 100 loop
        begin
            insert into marketing_automation_internal.record (id, scenario_id, key, uuid, entered_at, run)
            select nextval('marketing_automation.record_id_seq'), held_keys.scenario_id, u.key, gen_random_uuid(), statement_timestamp(),
                1 + coalesce((select max(r.run) from marketing_automation_internal.record r
                    where r.scenario_id = held_keys.scenario_id and r.key = u.key collate "C"), 0)
            from unnest(keys[part.first:part.last]) as u (key)
            on conflict do nothing;
            raise exception 'tried' using errcode = 'MA001';
        exception
            when sqlstate 'MA001' then
                is_held := false;
            when lock_not_available or deadlock_detected then
                is_held := true;
        end;
        if is_held and part.first = part.last then
            held := held || keys[part.first];
        end if;
        part := marketing_automation_internal.next_part(part, is_held);
    end loop;
    return held;
end $$;
comment on function marketing_automation_internal.held_keys(integer, text[]) is
    'API: private. Of these keys, those that another session enters in a transaction that is open, found by trying: nobody sees them';

create function marketing_automation_internal.enter_around(
    scenario marketing_automation.scenario, model marketing_automation.model, source text, now timestamptz
) returns bigint
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    held text[];
begin
    begin
        return marketing_automation_internal.enter_after_others(scenario, model, source, null, null, null, now);
    exception when lock_not_available then
        null;
    end;
    -- What the other session enters may be undone.
    perform marketing_automation_internal.forget_scan(scenario.id);
    held := marketing_automation_internal.held_keys(scenario.id, marketing_automation_internal.new_keys(scenario, model, source, now));
    return marketing_automation_internal.enter_after_others(scenario, model, source, null, held, null, now);
end $$;
comment on function marketing_automation_internal.enter_around(marketing_automation.scenario, marketing_automation.model, text,
    timestamptz) is
    'API: private. As enter_rows() of all rows, without those that another session enters by enroll_records() in a transaction that '
    'stays open: nobody else waits for it. The caller sets lock_timeout';
