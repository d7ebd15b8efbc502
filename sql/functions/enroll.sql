-- Enrolling: rows of the model that the domain matches become records, their root activities wait. One statement per scenario.

create function marketing_automation_internal.time_or_now(caller regrole, at timestamptz, scenario_name text) returns timestamptz
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    if not isfinite(at) then
        raise exception 'now must be finite, not %', at using errcode = 'invalid_parameter_value', hint = 'Leave it away for the present.';
    end if;
    -- What is written at that time is added to by whatever works for all, and must not be the last time there is.
    if at not between '0001-01-01 00:00+00' and '9999-12-31 23:59:59+00' then
        raise exception 'now must be from year 1 to year 9999, not %', at
            using errcode = 'invalid_parameter_value', hint = 'Leave it away for the present.';
    end if;
    if at is not null
        and not (select r.rolsuper from pg_roles r where r.oid = caller)
        and not exists (
            select from marketing_automation.scenario s
            where (scenario_name is null or s.name = scenario_name) and pg_has_role(caller, s.owner_id, 'MEMBER')) then
        raise exception 'only members of its owner may choose the time of %', case when scenario_name is null then 'a scenario' else
            format('scenario "%s"', scenario_name) end
            using errcode = 'insufficient_privilege', hint = 'Leave "now" null.';
    end if;
    -- Not statement_timestamp(): that stands still while a procedure runs for an hour.
    return coalesce(at, clock_timestamp());
end $$;
comment on function marketing_automation_internal.time_or_now(regrole, timestamptz, text) is
    'API: private. The time that a run of one scenario, or of all, assumes: the given one for those who may choose it for any of '
    'them, else now';

create function marketing_automation_internal.note_error(scenario_id integer, activity_id integer, message text, code text) returns boolean
language sql set search_path = pg_catalog, pg_temp as $$
    -- Not waiting: a run has noted errors of other scenarios before. What is missed so is met again by the next run.
    update marketing_automation.scenario_status s
    set last_error = message, last_error_code = code, last_error_at = statement_timestamp(), last_error_activity_id = $2
    where s.scenario_id = (
            select t.scenario_id from marketing_automation.scenario_status t
            where t.scenario_id = $1 and (t.last_error, t.last_error_code) is distinct from (message, code)
            for no key update skip locked)
    returning true;
$$;
comment on function marketing_automation_internal.note_error(integer, integer, text, text) is
    'API: private. Keeps why a scenario does not enroll (activity_id null), or one of its activities does not run; null if that was '
    'known before';

create function marketing_automation_internal.forget_error(scenario_id integer, activity_id integer, now timestamptz) returns void
language sql set search_path = pg_catalog, pg_temp as $$
    update marketing_automation.scenario_status s
    set last_error = null, last_error_code = null, last_error_at = null, last_error_activity_id = null
    where s.scenario_id = (
            select t.scenario_id from marketing_automation.scenario_status t
            where t.scenario_id = $1 and t.last_error is not null for no key update skip locked)
      -- What enrolling has nothing to say about.
      and not ($2 is null and s.last_error like 'events wait,%' and exists (
            select from marketing_automation_internal.failed_turn t where t.scenario_id = $1 and t.work = 'consent'))
      and not ($2 is null and marketing_automation_internal.has_just_failed($1, '{leave,exit,goal,date,wait}'))
      and (s.last_error_activity_id is not distinct from $2
           -- What could not run is not there any more.
           or $2 is null and not exists (
                select from marketing_automation_internal.waiting_activity w where w.activity_id = s.last_error_activity_id
                    and w.at <= $3));
$$;
comment on function marketing_automation_internal.forget_error(integer, integer, timestamptz) is
    'API: private. After a run without error: forgets that of enrolling (activity_id null), or of that activity';

create function marketing_automation_internal.lock_scenario(scenario_id integer) returns void
language sql set search_path = pg_catalog, pg_temp as $$
    -- A row of ours, not an advisory lock: that any role could take, and keep everybody from working.
    insert into marketing_automation.scenario_status (scenario_id) values (scenario_id) on conflict do nothing;
    -- Those who write rows that wait for an activity which is being deleted share it: see lock_children().
    select from marketing_automation.scenario_status s where s.scenario_id = $1 for no key update;
$$;
comment on function marketing_automation_internal.lock_scenario(integer) is
    'API: private. Makes enrolling into a scenario and changes of its tree wait for each other, until the transaction ends';

create function marketing_automation_internal.lock_scenario_for_change(scenario_id integer) returns void
language sql set search_path = pg_catalog, pg_temp as $$
    select marketing_automation_internal.lock_scenario($1);
    -- Those who enter single rows share it, and with whoever enrolls all.
    select from marketing_automation.scenario_status s where s.scenario_id = $1 for update;
$$;
comment on function marketing_automation_internal.lock_scenario_for_change(integer) is
    'API: private. As lock_scenario(), for changes of the tree: nobody enters meanwhile, by enroll_records() neither';

create function marketing_automation_internal.lock_scenario_soon(scenario_id integer) returns text
language plpgsql set search_path = pg_catalog, pg_temp set lock_timeout = '1s' as $$
begin
    perform marketing_automation_internal.lock_scenario(scenario_id);
    return null;
exception when lock_not_available then
    return 'another session has been enrolling it for more than a second';
end $$;
comment on function marketing_automation_internal.lock_scenario_soon(integer) is
    'API: private. As lock_scenario(), but gives up after a second; null, or why not';

create function marketing_automation_internal.skip_scenario(scenario_id integer) returns text
language plpgsql set search_path = pg_catalog, pg_temp set lock_timeout = '1s' as $$
begin
    -- Of a scenario that an earlier release made.
    insert into marketing_automation.scenario_status (scenario_id)
    select $1 where not exists (select from marketing_automation.scenario_status s where s.scenario_id = $1)
    on conflict do nothing;
    perform from marketing_automation.scenario_status s where s.scenario_id = $1 for no key update skip locked;
    return case when not found then 'another session is enrolling it' end;
exception when lock_not_available then
    return 'another session is enrolling it';
end $$;
comment on function marketing_automation_internal.skip_scenario(integer) is
    'API: private. Locks a scenario as lock_scenario(), but waits for nobody; null, or why not: what another session holds, it enrolls '
    'itself, or changes';

create function marketing_automation_internal.next_to_enroll(caller regrole, tried integer[]) returns marketing_automation.scenario
language sql stable set search_path = pg_catalog, pg_temp as $$
    select s.*
    from marketing_automation.scenario s
    left join marketing_automation_internal.failed_turn t on t.scenario_id = s.id and t.work = 'enroll'
    where s.state = 'running' and s.id <> all (tried)
      and (caller is null or pg_has_role(caller, s.owner_id, 'MEMBER'))
      -- Of those at the end of the line, one that is slow again is enough for a run: the next is for the others.
      and not (coalesce(t.slow, false) and exists (
            select from marketing_automation_internal.failed_turn o where o.work = 'enroll' and o.slow and o.scenario_id = any (tried)))
    order by t.failed_at nulls first, s.id
    limit 1
$$;
comment on function marketing_automation_internal.next_to_enroll(regrole, integer[]) is
    'API: private. The running scenario whose turn it is, of those that have not been tried: who failed comes last. caller: only '
    'scenarios of whose owner this role is a member, null: any';

create function marketing_automation_internal.entering_error(scenario marketing_automation.scenario, message text, code text, broken text,
    detail text) returns text
language sql set search_path = pg_catalog, pg_temp as $$
    select case broken
        when 'record_enters_once' then format('key %s is not unique: %s', m.model, (marketing_automation_internal.run_in_detail(detail)).key)
        when 'record_pkey' then format('key %s is not unique', m.model)
        when 'waiting_activity_pkey' then format('key %s is not unique', m.model)
        when 'open_goal_pkey' then format('key %s is not unique', m.model)
        when 'record_has_key' then format('key %s is null in some row', m.model)
        when 'record_key_is_short' then format('key %s has more than 1,000 bytes in some row', m.model)
        when 'record_party_is_short' then format('party %s has more than 1,000 bytes in some row', m.model)
        when 'record_occasion_is_short' then format('occasion of scenario "%s" has more than 1,000 bytes in some row', scenario.name)
        else marketing_automation_internal.named_error(scenario, code, message) end
    from (select format('of model "%s"', scenario.model) as model) m
$$;
comment on function marketing_automation_internal.entering_error(marketing_automation.scenario, text, text, text, text) is
    'API: private. What an error of entering rows means, told by its message, SQLSTATE, constraint and detail';

create function marketing_automation_internal.enroll_in_turn(chosen marketing_automation.scenario, at timestamptz, sees boolean,
    may_skip boolean, out enrolled bigint, out error text)
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    code text;
    detail text;
    broken text;
    searched_to text;
    skipped boolean;
    began constant timestamptz := clock_timestamp();
begin
    perform marketing_automation_internal.begin_turn();
    perform marketing_automation_internal.turn_asks(chosen.id, 'enroll');
    perform marketing_automation_internal.show_step(format('enroll scenario "%s"', chosen.name));
    begin
        select e.entered, e.error, e.code, e.searched_to, e.skipped into enrolled, error, code, searched_to, skipped
        from marketing_automation_internal.enroll_one(chosen, at, may_skip) e;
    exception when others then
        if marketing_automation_internal.is_for_the_caller(sqlstate) then
            raise;
        end if;
        get stacked diagnostics error = message_text, code = returned_sqlstate, detail = pg_exception_detail, broken = constraint_name;
        enrolled := 0;
    end;
    perform marketing_automation_internal.end_turn();
    perform marketing_automation_internal.show_step(null);
    if code is not null then
        error := marketing_automation_internal.entering_error(chosen, error, code, broken, detail);
        perform marketing_automation_internal.turn_failed(chosen.id, 'enroll', 0, code, searched_to => searched_to);
        perform marketing_automation_internal.forget_scan(chosen.id);
        perform marketing_automation_internal.note_error(chosen.id, null, error, code);
        if not sees then
            error := marketing_automation_internal.public_error(error, code);
        end if;
        -- Keys and other values may be addresses, and the log is not theirs.
        raise warning 'scenario "%" did not enroll: %', chosen.name, case
            when code = '23505' then format('key of model "%s" is not unique', chosen.model)
            when left(code, 2) = '23' or not marketing_automation_internal.may_quote(error, code) then error
            else regexp_replace(error, '"[^"]*"', '"…"', 'g') end using errcode = code;
        return;
    end if;
    update marketing_automation.scenario_status s
    set last_enrolled_at = at, last_scanned_at = case when skipped then s.last_scanned_at else at end,
        -- Not of the hourly one, nor of one that had much to enter.
        last_scan_took = case when skipped or s.last_scanned_at <> s.last_enrolled_at then null when enrolled > 0 then s.last_scan_took
            else clock_timestamp() - began end
    where s.scenario_id = chosen.id;
    perform marketing_automation_internal.turn_succeeded(chosen.id, 'enroll', 0, null);
    select p.message, p.code into error, code from marketing_automation_internal.poisonous_summary(chosen.id, true) p;
    if error is null then
        perform marketing_automation_internal.forget_error(chosen.id, null, at);
    elsif marketing_automation_internal.note_error(chosen.id, null, error, code) then
        raise warning 'scenario "%": %', chosen.name, (marketing_automation_internal.poisonous_summary(chosen.id, false)).message
            using errcode = code, hint = 'See: select * from marketing_automation.scenario_status;';
    end if;
end $$;
comment on function marketing_automation_internal.enroll_in_turn(marketing_automation.scenario, timestamptz, boolean, boolean, out bigint,
    out text) is
    'API: private. Enrolls one scenario, which the caller has locked; an error of its expressions is returned and kept. '
    'sees: whether what is returned may quote a row; may_skip: as that of enroll_one()';

create function marketing_automation_internal.demand_running(scenario marketing_automation.scenario) returns void
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    if scenario.state <> 'running' then
        raise exception 'scenario "%" is %, only a running one enrolls', scenario.name, scenario.state
            using errcode = 'object_not_in_prerequisite_state', hint =
                format(case scenario.state when 'stopped' then 'select marketing_automation.draft(%1$L), marketing_automation.run(%1$L);'
                                           else 'select marketing_automation.run(%1$L);' end, scenario.name);
    end if;
end $$;
comment on function marketing_automation_internal.demand_running(marketing_automation.scenario) is
    'API: private. Raises unless rows may enter a scenario: it is running';

create function marketing_automation_internal.enroll_each(caller regrole, scenario_name text, now timestamptz)
returns table (scenario text, enrolled bigint, error text)
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    chosen marketing_automation.scenario;
    at timestamptz;
    tried integer[] := '{}';
    only_of regrole := case when now is not null or not marketing_automation_internal.has_right(caller, null, 'operate') then caller end;
begin
    if scenario_name is not null then
        chosen := marketing_automation_internal.scenario_for(caller, scenario_name, 'operate');
        perform marketing_automation_internal.demand_running(chosen);
    end if;
    at := marketing_automation_internal.time_or_now(caller, now, scenario_name);
    perform marketing_automation_internal.assume_time(now);
    loop
        if scenario_name is null then
            chosen := marketing_automation_internal.next_to_enroll(only_of, tried);
        end if;
        exit when chosen.id is null;
        tried := tried || chosen.id;
        scenario := chosen.name;
        if now is not null then
            perform marketing_automation_internal.warn_of_present('domain', chosen.name, chosen.domain);
            perform marketing_automation_internal.warn_of_present('occasion', chosen.name, chosen.occasion);
        end if;
        enrolled := 0;
        -- Only who asks for this one scenario waits.
        error := case when scenario_name is null then marketing_automation_internal.skip_scenario(chosen.id)
            else marketing_automation_internal.lock_scenario_soon(chosen.id) end;
        if error is null then
            select e.enrolled, e.error into enrolled, error from marketing_automation_internal.enroll_in_turn(chosen, at,
                marketing_automation_internal.sees_rows(caller, chosen.id), may_skip => false) e;
        end if;
        return next;
        exit when scenario_name is not null;
    end loop;
    perform marketing_automation_internal.assume_time(null);
end $$;
comment on function marketing_automation_internal.enroll_each(regrole, text, timestamptz) is
    'API: private. What enroll() does once it has reached the definitions';

create function marketing_automation_internal.enroll(caller regrole, scenario_name text, now timestamptz)
returns table (scenario text, enrolled bigint, error text)
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    perform marketing_automation_internal.reach_definitions();
    -- A function of its own: one that has a variable of a table's type waits for the table before its first statement.
    return query select e.scenario, e.enrolled, e.error from marketing_automation_internal.enroll_each(caller, scenario_name, now) e;
end $$;
comment on function marketing_automation_internal.enroll(regrole, text, timestamptz) is 'API: private. Behind enroll()';

create function marketing_automation.enroll(scenario_name text default null, now timestamptz default null)
returns table (scenario text, enrolled bigint, error text)
language c volatile as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.enroll(text, timestamptz) is
    'API: public. Enters every row that a running scenario''s domain matches and that is not in it yet (all running scenarios but '
    'those that another session is enrolling, or one by name); without the access operator only scenarios of whose owner the caller '
    'is a member. An error in one is returned and kept in scenario_status, and the '
    'others still run; those that failed run last, and only one that was too slow is tried again in a run. now: time to assume instead of '
    'the present (tests, simulations); only scenarios of whose owner the caller is a member run then';

create function marketing_automation_internal.enroll_one_of(caller regrole, tried text[])
    returns table (scenario text, enrolled bigint, error text)
language plpgsql rows 10 set search_path = pg_catalog, pg_temp as $$
declare
    chosen marketing_automation.scenario;
    only_of regrole := case when not marketing_automation_internal.has_right(caller, null, 'operate') then caller end;
begin
    -- One look for all.
    if coalesce(cardinality(tried), 0) = 0 then
        return query
        select i.scenario, 0::bigint, null::text from marketing_automation_internal.pass_over(only_of, only_written => false) i;
        if found then
            return;
        end if;
    end if;
    chosen := marketing_automation_internal.next_to_enroll(only_of,
        array(select s.id from marketing_automation.scenario s where s.name = any (coalesce(tried, '{}'))));
    if chosen.id is null then
        perform marketing_automation_internal.forget_captured_keys();
        return;
    end if;
    scenario := chosen.name;
    enrolled := 0;
    error := marketing_automation_internal.skip_scenario(chosen.id);
    if error is null then
        select e.enrolled, e.error into enrolled, error from marketing_automation_internal.enroll_in_turn(chosen, clock_timestamp(),
            marketing_automation_internal.sees_rows(caller, chosen.id), may_skip => true) e;
    end if;
    return next;
end $$;
comment on function marketing_automation_internal.enroll_one_of(regrole, text[]) is
    'API: private. What enroll_next() does once it has reached the definitions';

create function marketing_automation_internal.enroll_next(caller regrole, tried text[])
    returns table (scenario text, enrolled bigint, error text)
language plpgsql rows 10 set search_path = pg_catalog, pg_temp as $$
begin
    perform marketing_automation_internal.reach_definitions();
    return query select e.scenario, e.enrolled, e.error from marketing_automation_internal.enroll_one_of(caller, tried) e;
end $$;
comment on function marketing_automation_internal.enroll_next(regrole, text[]) is 'API: private. Behind enroll_next()';

create function marketing_automation.enroll_next(tried text[] default '{}') returns table (scenario text, enrolled bigint, error text)
language c volatile rows 10 as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.enroll_next(text[]) is
    'API: public. Like enroll(), for the one running scenario whose turn it is, of those that are not among tried; no row when all '
    'have had theirs. For those who commit between scenarios, as enroll_all() does. Where nothing was written since, it need not read '
    'the rows of the model again: what has been committed for ten seconds it finds. Scenarios of watched models for which there is '
    'nothing to do come first, all in one call, that without tried';

create procedure marketing_automation.enroll_all()
-- Where there are commits no search_path can be pinned: types are qualified, too.
language plpgsql as $$
declare
    tried pg_catalog.text[] := '{}';
    names pg_catalog.text[];
begin
    loop
        select pg_catalog.array_agg(e.scenario) into names from marketing_automation.enroll_next(tried) e;
        commit;
        exit when names is null;
        tried := pg_catalog.array_cat(tried, names);
    end loop;
end $$;
comment on procedure marketing_automation.enroll_all() is
    'API: public. Like enroll(), committing scenario by scenario, so that what one has entered stays, and waits for no other. Reads no row '
    'of a model where nothing was written since: what has been committed for ten seconds it finds. Not inside a transaction block. '
    'Errors are in scenario_status';
