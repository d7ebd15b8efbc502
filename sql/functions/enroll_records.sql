-- Entering rows at once, by their keys, inside the transaction of whoever has written them: an order, a registration.
--
-- Unlike enroll() this shares the lock of the scenario, with enroll() too, and two sessions meet only at the same key, by the unique
-- constraint. What an expression raises is raised or warned of, and not kept in scenario_status: others would wait for that row.

create function marketing_automation_internal.entering_keys_query(
    scenario marketing_automation.scenario, model marketing_automation.model
) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    -- The keys stand outside, where they find the rows, and inside, where they keep the domain, which may raise, from others. In order,
    -- as two sessions may enter the same ones.
    select format('select %s, %s, %s from %s as self where %s and %s order by 1',
        marketing_automation_internal.as_key(model.key, model.key_type), marketing_automation_internal.as_text(model.party),
        marketing_automation_internal.as_text(model.time_zone), model.relation, k.condition,
        marketing_automation_internal.guarded(format(E'(%s\n)', scenario.domain), k.condition))
    from marketing_automation_internal.key_condition(model.relation, model.key, model.key_type) k (condition)
$$;
comment on function marketing_automation_internal.entering_keys_query(marketing_automation.scenario, marketing_automation.model) is
    'API: private. As entering_query(), of the rows whose keys are in $1';

create function marketing_automation_internal.enter_keys(
    scenario marketing_automation.scenario, model marketing_automation.model, source text, keys text[], now timestamptz,
    out entered bigint, out refused bigint, out error text, out code text
)
language plpgsql set search_path = pg_catalog, pg_temp set jit = off as $$
declare
    half integer := cardinality(keys) / 2;
    others record;
    detail text;
    broken text;
begin
    refused := 0;
    begin
        entered := marketing_automation_internal.enter_after_others(scenario, model, source, keys, null, null, now);
        return;
    exception when others then
        get stacked diagnostics error = message_text, code = returned_sqlstate, detail = pg_exception_detail, broken = constraint_name;
        if marketing_automation_internal.is_passing_error(code) then
            raise;
        end if;
        error := marketing_automation_internal.entering_error(scenario, error, code, broken, detail);
    end;
    if half > 0 and not marketing_automation_internal.is_broken_definition(code) then
        select e.entered, e.refused, e.error, e.code into entered, refused, error, code
        from marketing_automation_internal.enter_keys(scenario, model, source, keys[:half], now) e;
        -- The first thousand are enough to know that it is not the fault of single rows.
        if refused < 1000 then
            select e.* into others from marketing_automation_internal.enter_keys(scenario, model, source, keys[half + 1:], now) e;
            entered := entered + others.entered;
            refused := refused + others.refused;
            error := coalesce(error, others.error);
            code := coalesce(code, others.code);
        end if;
        return;
    end if;
    if half = 0 and broken = '' then
        begin
            -- If it is the condition of a root, the row enters, and fails when that runs.
            entered := marketing_automation_internal.enter_after_others(scenario, model, source, keys, null, keys, now);
            error := null;
            code := null;
            return;
        exception when others then
            if marketing_automation_internal.is_passing_error(sqlstate) then
                raise;
            end if;
        end;
    end if;
    entered := 0;
    refused := cardinality(keys);
end $$;
comment on function marketing_automation_internal.enter_keys(marketing_automation.scenario, marketing_automation.model, text, text[],
    timestamptz, out bigint, out bigint, out text, out text) is
    'API: private. Enters rows by their keys; how many entered, how many keys are those of rows for which an expression raises (found by '
    'halving), and the first error';

create function marketing_automation_internal.enter_records(caller regrole, scenario_name text, keys text[], now timestamptz,
    out entered bigint, out refused bigint, out error text, out code text, out sees boolean)
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    chosen marketing_automation.scenario := marketing_automation_internal.scenario_for(caller, scenario_name, 'enter');
    model marketing_automation.model;
    at timestamptz := marketing_automation_internal.time_or_now(caller, now, scenario_name);
begin
    perform marketing_automation_internal.demand_running(chosen);
    if keys is null or array_position(keys, null) is not null then
        raise exception 'a key of scenario "%" is null', chosen.name
            using errcode = 'null_value_not_allowed', hint = 'Give the value of the model''s key of the row that is to enter.';
    end if;
    entered := 0;
    refused := 0;
    sees := marketing_automation_internal.sees_rows(caller, chosen.id);
    -- Changes of the tree wait for this, and this for them; enroll() does not.
    perform from marketing_automation.scenario_status s where s.scenario_id = chosen.id for key share;
    if not found then
        insert into marketing_automation.scenario_status (scenario_id) values (chosen.id) on conflict do nothing;
        perform from marketing_automation.scenario_status s where s.scenario_id = chosen.id for key share;
    end if;
    model := marketing_automation_internal.enterable_model(chosen);
    if model.name is null then
        raise warning 'scenario "%" has no activity that a row could start: nobody enters', chosen.name
            using hint = 'The next enroll() enters these rows, when it has one.';
        return;
    end if;
    perform marketing_automation_internal.assume_time(now);
    if now is not null then
        perform marketing_automation_internal.warn_of_present('domain', chosen.name, chosen.domain);
    end if;
    select e.* into entered, refused, error, code
    from marketing_automation_internal.enter_keys(chosen, model,
        marketing_automation_internal.entering_keys_query(chosen, model), keys, at) e;
    perform marketing_automation_internal.assume_time(null);
    if entered > 0 then
        insert into marketing_automation_internal.scenario_counter (scenario_id, period, records)
        values (chosen.id, marketing_automation_internal.counter_period(at), entered);
    end if;
exception when others then
    -- What does not fit its relation any more is named, as in scenario_status.
    get stacked diagnostics error = message_text, code = returned_sqlstate;
    if not marketing_automation_internal.is_broken_definition(code) or marketing_automation_internal.definition_error(chosen) is null then
        raise;
    end if;
    raise exception 'scenario "%": %', chosen.name, marketing_automation_internal.definition_error(chosen) using errcode = code;
end $$;
comment on function marketing_automation_internal.enter_records(regrole, text, text[], timestamptz, out bigint, out bigint, out text,
    out text, out boolean) is
    'API: private. Enters rows of a running scenario by their keys. sees: whether the caller may be told an error that quotes a row';

create function marketing_automation_internal.enroll_record(caller regrole, scenario text, key text, now timestamptz) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    result record;
begin
    select e.* into result from marketing_automation_internal.enter_records(caller, scenario, array[key], now) e;
    if result.refused > 0 then
        raise exception 'row "%" cannot enter scenario "%": %', key, scenario, case when result.sees then result.error
                else marketing_automation_internal.public_error(result.error, result.code) end
            using errcode = result.code;
    end if;
    return result.entered > 0;
end $$;
comment on function marketing_automation_internal.enroll_record(regrole, text, text, timestamptz) is 'API: private. Behind enroll_record()';

create function marketing_automation.enroll_record(scenario text, key text, now timestamptz default null) returns boolean
language c volatile as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.enroll_record(text, text, timestamptz) is
    'API: public. Enters one row of a running scenario''s model, at once and within your transaction: whether it has entered by this. Not '
    'if the domain is not true for it, if it is in already, if its party has unsubscribed, or if there is no such row; what an '
    'expression raises is raised. Waits for nobody but who enters the same row. now: as that of enroll()';

create function marketing_automation_internal.enroll_records(caller regrole, scenario text, keys text[], now timestamptz) returns bigint
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    result record;
begin
    select e.* into result from marketing_automation_internal.enter_records(caller, scenario, keys, now) e;
    if result.refused > 0 and result.refused >= least(1000, cardinality(keys)) then
        raise exception 'rows cannot enter scenario "%": %', scenario, case when result.sees then result.error
                else marketing_automation_internal.public_error(result.error, result.code) end
            using errcode = result.code;
    end if;
    if result.refused > 0 then
        -- Neither keys nor values: the log is not for them.
        raise warning 'scenario "%": % not enter, as an expression raises', scenario,
            case result.refused when 1 then '1 row does' else result.refused || ' rows do' end
            using errcode = result.code, hint = 'The next enroll() names them in scenario_status, if they match the domain.';
    end if;
    return result.entered;
end $$;
comment on function marketing_automation_internal.enroll_records(regrole, text, text[], timestamptz) is
    'API: private. Behind enroll_records()';

create function marketing_automation.enroll_records(scenario text, keys text[], now timestamptz default null) returns bigint
language c volatile as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.enroll_records(text, text[], timestamptz) is
    'API: public. As enroll_record(), for many rows in one statement; returns how many have entered. Rows for which an expression raises '
    'are left out with a warning; it is an error if that are all of them, or a thousand';
