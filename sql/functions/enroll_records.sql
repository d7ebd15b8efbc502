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
    select format('select %s, %s, %s, %s, %s from %s as self where %s and %s order by 1',
        marketing_automation_internal.as_key(model.key, model.key_type), marketing_automation_internal.as_text(model.party),
        marketing_automation_internal.as_text(model.time_zone), marketing_automation_internal.entering_address(scenario, model),
        marketing_automation_internal.as_occasion(scenario.occasion),
        model.relation, k.condition,
        marketing_automation_internal.guarded(format(E'(%s\n)', scenario.domain), k.condition))
    from marketing_automation_internal.key_condition(model.relation, model.key, model.key_type) k (condition)
$$;
comment on function marketing_automation_internal.entering_keys_query(marketing_automation.scenario, marketing_automation.model) is
    'API: private. As entering_query(), of the rows whose keys are in $1';

create function marketing_automation_internal.enter_keys(
    scenario marketing_automation.scenario, model marketing_automation.model, source text, keys text[], now timestamptz,
    out entered bigint, out poisoned bigint, out refused bigint, out unfit bigint, out stopped boolean, out error text, out code text,
    out hint text
)
language plpgsql set search_path = pg_catalog, pg_temp set jit = off as $$
declare
    part marketing_automation_internal.search := marketing_automation_internal.start_search(cardinality(keys));
    failed boolean;
    poison text[];
    first_error text;
    first_code text;
    detail text;
    broken text;
    fault record;
begin
    entered := 0;
    poisoned := 0;
    refused := 0;
    unfit := 0;
    stopped := false;
    -- The first thousand are enough to know that it is not the fault of single rows.
    while part.first is not null and poisoned + refused < 1000 loop
        begin
            entered := entered + marketing_automation_internal.enter_after_others(scenario, model, source, keys[part.first:part.last], null,
                poison, now);
            poisoned := poisoned + coalesce(cardinality(poison), 0);
            failed := false;
        exception when others then
            get stacked diagnostics error = message_text, code = returned_sqlstate, detail = pg_exception_detail, broken = constraint_name;
            if marketing_automation_internal.is_for_the_caller(code) then
                raise;
            end if;
            failed := true;
        end;
        if failed and marketing_automation_internal.is_passing_error(code) then
            stopped := true;
            return;
        end if;
        if failed and part.first = part.last then
            fault := marketing_automation_internal.key_fault(scenario, keys[part.first]);
            if refused = 0 then
                first_error := coalesce(fault.message, marketing_automation_internal.entering_error(scenario, error, code, broken, detail));
                first_code := code;
                hint := fault.hint;
            end if;
            if fault.message is not null then
                unfit := unfit + 1;
            end if;
            if fault.message is null and poison is null and broken = '' then
                -- If it is the condition of a root, the row enters, and fails when that runs.
                poison := keys[part.first:part.last];
                continue;
            end if;
            refused := refused + 1;
        end if;
        poison := null;
        part := marketing_automation_internal.next_part(part, failed);
    end loop;
    error := first_error;
    code := first_code;
end $$;
comment on function marketing_automation_internal.enter_keys(marketing_automation.scenario, marketing_automation.model, text, text[],
    timestamptz, out bigint, out bigint, out bigint, out bigint, out boolean, out text, out text, out text) is
    'API: private. Enters rows by their keys: how many have entered, how many of them for which the condition of a root raises '
    '(poisoned), how many have not, as another expression raises (refused), or, of these, as the key is no value of its type (unfit), and the '
    'first error with its hint. stopped: an error that passes ended it';

create function marketing_automation_internal.share_scenario_soon(scenario marketing_automation.scenario) returns void
language plpgsql set search_path = pg_catalog, pg_temp set lock_timeout = '1s' as $$
begin
    perform from marketing_automation.scenario_status s where s.scenario_id = scenario.id for key share;
    if not found then
        insert into marketing_automation.scenario_status (scenario_id) values (scenario.id) on conflict do nothing;
        perform from marketing_automation.scenario_status s where s.scenario_id = scenario.id for key share;
    end if;
exception when lock_not_available then
    raise exception 'another session has been changing scenario "%" for more than a second', scenario.name
        using errcode = 'lock_not_available', hint = 'Try again when its transaction has ended; the next enroll() enters the row, too.';
end $$;
comment on function marketing_automation_internal.share_scenario_soon(marketing_automation.scenario) is
    'API: private. Makes entering rows by their keys and changes of a scenario''s tree wait for each other, until the transaction ends; '
    'raises after a second. enroll() and others who enter do not wait';

create function marketing_automation_internal.enter_records(caller regrole, scenario_name text, keys text[], now timestamptz,
    out entered bigint, out refused bigint, out unfit bigint, out error text, out code text, out hint text)
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    chosen marketing_automation.scenario := marketing_automation_internal.scenario_for(caller, scenario_name, 'enter');
    model marketing_automation.model;
    at timestamptz := marketing_automation_internal.time_or_now(caller, now, scenario_name);
    its record;
begin
    perform marketing_automation_internal.demand_running(chosen);
    if array_ndims(keys) > 1 then
        raise exception 'keys of scenario "%" are an array of % dimensions', chosen.name, array_ndims(keys)
            using errcode = 'array_subscript_error', hint = 'Give one key an element: array[''1'', ''2''].';
    end if;
    if keys is null or array_position(keys, null) is not null then
        raise exception 'a key of scenario "%" is null', chosen.name
            using errcode = 'null_value_not_allowed', hint = 'Give the value of the model''s key of the row that is to enter.';
    end if;
    entered := 0;
    refused := 0;
    unfit := 0;
    perform marketing_automation_internal.share_scenario_soon(chosen);
    perform marketing_automation_internal.begin_turn();
    model := marketing_automation_internal.enterable_model(chosen);
    if model.name is null then
        perform marketing_automation_internal.end_turn();
        raise warning 'scenario "%" has no activity that a row could start: nobody enters', chosen.name
            using hint = 'The next enroll() enters these rows, when it has one.';
        return;
    end if;
    perform marketing_automation_internal.assume_time(now);
    if now is not null then
        perform marketing_automation_internal.warn_of_present('domain', chosen.name, chosen.domain);
        perform marketing_automation_internal.warn_of_present('occasion', chosen.name, chosen.occasion);
    end if;
    select e.* into its
    from marketing_automation_internal.enter_keys(chosen, model,
        marketing_automation_internal.entering_keys_query(chosen, model), keys, at) e;
    perform marketing_automation_internal.end_turn();
    perform marketing_automation_internal.assume_time(null);
    if its.stopped then
        raise exception using message = its.error, errcode = its.code;
    end if;
    entered := its.entered;
    refused := its.refused;
    unfit := its.unfit;
    -- What is wrong with a row that has entered is told when its activity fails.
    if refused > 0 then
        code := its.code;
        hint := its.hint;
        -- A key is the caller's own.
        error := case when hint is not null or marketing_automation_internal.sees_rows(caller, chosen.id) then its.error
            else marketing_automation_internal.public_error(its.error, code) end;
    end if;
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
comment on function marketing_automation_internal.enter_records(regrole, text, text[], timestamptz, out bigint, out bigint, out bigint,
    out text, out text, out text) is
    'API: private. Enters rows of a running scenario by their keys; refused, unfit, error, code and hint: as those of enter_keys(), the error '
    'as its caller may be told it';

create function marketing_automation_internal.refuse_rows(what text, scenario text, error text, code text, hint text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    -- An empty hint would be shown, and a null one is an error.
    if hint is null then
        raise exception '% cannot enter scenario "%": %', what, scenario, error using errcode = code;
    end if;
    raise exception '% cannot enter scenario "%": %', what, scenario, error using errcode = code, hint = hint;
end $$;
comment on function marketing_automation_internal.refuse_rows(text, text, text, text, text) is
    'API: private. Raises that rows (what) have not entered a scenario, and why';

create function marketing_automation_internal.enroll_record(caller regrole, scenario text, key text, now timestamptz) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    result record;
begin
    perform marketing_automation_internal.reach_definitions();
    select e.* into result from marketing_automation_internal.enter_records(caller, scenario, array[key], now) e;
    if result.refused > 0 then
        perform marketing_automation_internal.refuse_rows(format('row "%s"', key), scenario, result.error, result.code, result.hint);
    end if;
    return result.entered > 0;
end $$;
comment on function marketing_automation_internal.enroll_record(regrole, text, text, timestamptz) is 'API: private. Behind enroll_record()';

create function marketing_automation.enroll_record(scenario text, key text, now timestamptz default null) returns boolean
language c volatile as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.enroll_record(text, text, timestamptz) is
    'API: public. Enters one row of a running scenario''s model, at once and within your transaction: whether it has entered by this. Not '
    'if the domain is not true for it, if it is in already (where rows enter again: if it may not yet), if its party has unsubscribed or its '
    'topic is not wanted, or if there is no such row; what an '
    'expression raises is raised. Waits for nobody but who enters the same row and, for a second, who changes the scenario. now: as that of '
    'enroll()';

create function marketing_automation_internal.enroll_records(caller regrole, scenario text, keys text[], now timestamptz) returns bigint
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    result record;
begin
    perform marketing_automation_internal.reach_definitions();
    select e.* into result from marketing_automation_internal.enter_records(caller, scenario, keys, now) e;
    if result.refused > 0 and result.refused >= least(1000, cardinality(keys)) then
        perform marketing_automation_internal.refuse_rows('rows', scenario, result.error, result.code, result.hint);
    end if;
    -- Neither keys nor values: the log is not for them.
    if result.unfit > 0 then
        raise warning 'scenario "%": % no value of the type of the model''s key', scenario,
            case result.unfit when 1 then '1 key is' else result.unfit || ' keys are' end
            using errcode = 'invalid_text_representation', hint = 'Give each key as the row has it; the other rows have been looked at.';
    end if;
    if result.refused > result.unfit then
        raise warning 'scenario "%": % not enter, as an expression raises', scenario,
            case result.refused - result.unfit when 1 then '1 row does' else result.refused - result.unfit || ' rows do' end
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
