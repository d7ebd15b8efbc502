-- Activities that wait until a condition of theirs is true, or until their time is over. That they are due says that it is over: they ask
-- once more then, as any condition is asked (process_records). Before, those that wait are asked slice by slice, here.

create function marketing_automation_internal.check_wait(activity marketing_automation.activity) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if activity.wait_until is null then
        return;
    end if;
    if activity.delay is null then
        raise exception 'activity "%" waits until a condition is true, but has no delay', activity.name using errcode = 'check_violation',
            hint = 'The delay says how long to wait for it at most.';
    end if;
    if activity.at_time is not null then
        raise exception 'activity "%" waits until a condition is true, and has a time of day', activity.name using errcode = 'check_violation',
            hint = 'Let an activity with action => null wait, and give the one after it at_time.';
    end if;
    if activity.at is not null then
        raise exception 'activity "%" waits until a condition is true, and for a date', activity.name using errcode = 'check_violation',
            hint = 'Let an activity with action => null wait for one, and the next for the other.';
    end if;
    if activity.on_event like 'email\_not\_%' then
        raise exception 'activity "%" waits until a condition is true, and for %', activity.name, activity.on_event using errcode = 'check_violation',
            hint = 'Its delay cannot be the time of both: let an activity with action => null wait for one, and the next for the other.';
    end if;
end $$;
comment on function marketing_automation_internal.check_wait(marketing_automation.activity) is
    'API: private. Raises unless an activity that waits until a condition is true says how long at most, and waits for nothing else';

create function marketing_automation_internal.wait_slice(scenario marketing_automation.scenario, its marketing_automation_internal.sweep,
    batch_size integer, now timestamptz, out asked integer, out code text)
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set jit = off set random_page_cost = 1 as $$
declare
    slice record;
    answer record;
    activity marketing_automation.activity;
    send_window marketing_automation.send_window;
    ready bigint[];
    error text;
    processed record;
begin
    select w.* into slice
    from marketing_automation_internal.waiting_slice(scenario.id, its.activity_id, its.reached_at, its.reached_record, batch_size,
        only_until_true => true) w;
    asked := coalesce(cardinality(slice.records), 0);
    if asked = 0 then
        return;
    end if;
    -- As processing does: one that is being deleted waits.
    select a.* into activity from marketing_automation.activity a where a.id = slice.of_activity for key share skip locked;
    if found then
        perform marketing_automation_internal.begin_turn();
        perform marketing_automation_internal.turn_asks(scenario.id, 'wait');
        select a.* into answer from marketing_automation_internal.records_for_whom(scenario, activity.wait_until, slice.records) a;
        code := answer.code;
        error := answer.error;
        if code is null and answer.holds <> '{}' then
            send_window := marketing_automation_internal.its_window(activity);
            -- While its window is shut an activity waits, and is asked again.
            ready := array(
                select r.id from marketing_automation_internal.record r
                where r.id = any (answer.holds) and r.entered_at <= now and (send_window.name is null or send_window.outside <> 'wait'
                    or marketing_automation_internal.is_open(send_window, marketing_automation_internal.window_zone(send_window, r.time_zone), now)));
            ready := array(
                select d from unnest(marketing_automation_internal.due_records(activity, cardinality(ready), slice.reached,
                    case its.activity_id when activity.id then its.reached_at else '-infinity' end, ready)) d order by d);
            -- What was true just now is not asked again.
            select p.* into processed from marketing_automation_internal.process_or_fail(activity, ready, now,
                marketing_automation_internal.record_query(activity.id, true), true) p where ready <> '{}';
            code := processed.code;
            error := processed.error;
        end if;
        perform marketing_automation_internal.end_turn();
        if code is not null then
            perform marketing_automation_internal.note_error(scenario.id, activity.id,
                format('wait_until of activity "%s": %s', activity.name, error), code);
            return;
        end if;
    end if;
    update marketing_automation_internal.sweep s
    set activity_id = slice.of_activity, reached_at = slice.reached, reached_record = slice.reached_record
    where s.scenario_id = scenario.id and s.what = 'wait';
end $$;
comment on function marketing_automation_internal.wait_slice(marketing_automation.scenario, marketing_automation_internal.sweep, integer,
    timestamptz, out integer, out text) is
    'API: private. Asks the next records that wait until a condition is true, batch_size of them at most, and runs their activity for those '
    'for whom it is; how many were asked, 0: none is left. code: of an error that passes; the next slice is the same then';

create function marketing_automation_internal.apply_waits(caller regrole, scenario text, batch_size integer, now timestamptz) returns bigint
language sql set search_path = pg_catalog, pg_temp as $$
    select marketing_automation_internal.run_sweep(caller, 'wait', scenario, batch_size, now)
$$;
comment on function marketing_automation_internal.apply_waits(regrole, text, integer, timestamptz) is 'API: private. Behind apply_waits()';

create function marketing_automation.apply_waits(scenario text default null, batch_size integer default 10000, now timestamptz default null)
    returns bigint
language c volatile as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.apply_waits(text, integer, timestamptz) is
    'API: public. Asks activities that wait until a condition is true, and runs them for the records for which it is: of one running scenario, '
    'all of them; or the next batch_size (1 to 100000) of the scenario whose turn it is, each once a minute at most. Returns how many were '
    'asked, 0: none is left for now. process_all_due() does this. now: as that of enroll()';
