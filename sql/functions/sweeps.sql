-- Sweeps: records of a scenario are asked, slice by slice, so that a transaction is short however many they are, whether something holds
-- for them that nobody tells: exits.sql, goals.sql, waits.sql.

create function marketing_automation_internal.records_for_whom(scenario marketing_automation.scenario, condition text, records bigint[],
    out holds bigint[], out times timestamptz[], out amounts numeric[], out raises bigint[], out error text, out code text)
-- Its caller may have forbidden the planner what is right for the expressions of others.
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set jit = off set random_page_cost = 1
set enable_bitmapscan = on as $$
declare
    model marketing_automation.model;
    query text;
    part marketing_automation_internal.search := marketing_automation_internal.start_search(cardinality(records));
    failed boolean;
    found_now record;
begin
    holds := '{}';
    times := '{}';
    amounts := '{}';
    raises := '{}';
    if part.first is null then
        return;
    end if;
    model := marketing_automation_internal.usable_model(scenario);
    query := marketing_automation_internal.key_query(model.relation, model.key, model.key_type, concat_ws(', ',
        marketing_automation_internal.as_key(model.key, model.key_type),
        marketing_automation_internal.as_later_condition(condition, model.key, model.key_type),
        marketing_automation_internal.as_goal_parts(scenario)));
    -- Whatever is wrong with the expression by itself is raised by here.
    perform marketing_automation_internal.plan_as_owner(scenario.owner_id, model.relation, query);
    while part.first is not null loop
        begin
            with its as materialized (
                select r.id, r.key from marketing_automation_internal.record r where r.id = any (records[part.first:part.last])
            )
            select coalesce(array_agg(i.id), '{}') as ids, coalesce(array_agg(q.goal_at), '{}') as times,
                coalesce(array_agg(q.goal_value), '{}') as amounts
            into found_now
            from marketing_automation_internal.query_with_results(scenario.owner_id, model.relation, query, array(select i.key from its i),
                    case when marketing_automation_internal.mentions_results(condition)
                        then marketing_automation_internal.results_by_key(records[part.first:part.last]) end)
                as q (key text, holds boolean, goal_at timestamptz, goal_value numeric)
            join its i on i.key = q.key
            where q.holds;
            holds := holds || found_now.ids;
            times := times || found_now.times;
            amounts := amounts || found_now.amounts;
            failed := false;
        exception when others then
            get stacked diagnostics error = message_text, code = returned_sqlstate;
            if marketing_automation_internal.is_passing_error(code) then
                if marketing_automation_internal.is_for_the_caller(code) then
                    raise;
                end if;
                return;
            end if;
            failed := true;
            if part.first = part.last then
                raises := raises || records[part.first];
            end if;
        end;
        part := marketing_automation_internal.next_part(part, failed);
    end loop;
    code := null;
end $$;
comment on function marketing_automation_internal.records_for_whom(marketing_automation.scenario, text, bigint[], out bigint[],
    out timestamptz[], out numeric[], out bigint[], out text, out text) is
    'API: private. Of these records of a scenario, those for whose rows a condition holds, asked as the scenario''s owner, with what '
    'goal_at and goal_value give, and those for which it raises, with the last error. code: of an error that passes, which '
    'ended it; an error of the condition itself is raised. Its caller has begun a turn';

create function marketing_automation_internal.ask_slice(scenario marketing_automation.scenario, work text, subject text, condition text,
    records bigint[], of_activity integer default null, out holds bigint[], out times timestamptz[], out amounts numeric[],
    out raises bigint[], out error text, out code text)
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    perform marketing_automation_internal.begin_turn();
    perform marketing_automation_internal.turn_asks(scenario.id, work);
    select a.holds, a.times, a.amounts, a.raises, a.error, a.code into holds, times, amounts, raises, error, code
    from marketing_automation_internal.records_for_whom(scenario, condition, records) a;
    perform marketing_automation_internal.end_turn();
    if code is not null then
        perform marketing_automation_internal.note_error(scenario.id, of_activity, format('%s: %s', subject, error), code);
    end if;
end $$;
comment on function marketing_automation_internal.ask_slice(marketing_automation.scenario, text, text, text, bigint[], integer, out bigint[],
    out timestamptz[], out numeric[], out bigint[], out text, out text) is
    'API: private. What records_for_whom() says of a slice, in a turn of its own; an error that passes is noted, under the name of what '
    'raised it (subject), and at of_activity. work: as in turn_asks()';

create function marketing_automation_internal.end_objection(reason text) returns text
language sql immutable
return 'journey ended: ' || case reason when 'exited' then 'exit condition' when 'goal_reached' then 'goal reached'
    when 'entered_again' then 'entered again' end;
comment on function marketing_automation_internal.end_objection(text) is 'API: private. Why a mail does not leave after the journey has ended';

create function marketing_automation_internal.end_journeys(records bigint[], reason text, at timestamptz) returns bigint
language sql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set jit = off set random_page_cost = 1 as $$
    with ended as (
        update marketing_automation_internal.record r set ended_at = end_journeys.at, end_reason = reason
        where r.id = any (records) and r.end_reason is null
        returning r.id
    ), taken as (
        -- What others hold ends so when it is due. That of an event belongs to who holds its parent's row.
        delete from marketing_automation_internal.waiting_activity w
        where w.ctid = any (array(
            select o.ctid from marketing_automation_internal.waiting_activity o
            join marketing_automation.activity a on a.id = o.activity_id
            left join lateral (
                select f.record_id from marketing_automation_internal.finished_activity f
                where a.on_event is not null and f.record_id = o.record_id and f.activity_id = a.parent_id
                for no key update skip locked) parent on true
            where o.record_id = any (records) and (a.on_event is null or parent.record_id is not null)
            for update of o skip locked))
        returning w.record_id, w.activity_id, w.at
    ), cancelled as (
        insert into marketing_automation_internal.finished_activity (record_id, activity_id, state, outcome, at, finished_at)
        select t.record_id, t.activity_id, 'cancelled', reason, t.at, end_journeys.at from taken t
    ), counters as (
        insert into marketing_automation_internal.activity_counter (activity_id, period, cancelled)
        select t.activity_id, marketing_automation_internal.counter_period(end_journeys.at), count(*) from taken t group by 1
    )
    select count(*) from ended
$$;
comment on function marketing_automation_internal.end_journeys(bigint[], text, timestamptz) is
    'API: private. Ends the journeys of records, which the caller has locked, and cancels what waits for them; how many had '
    'not ended. Their queued mails are suppressed by the next claim, those claimed already revoked';

create function marketing_automation_internal.lock_sweep(of_scenario integer, of_what text, waits boolean,
    out its marketing_automation_internal.sweep)
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if waits then
        insert into marketing_automation_internal.sweep (scenario_id, what) values (of_scenario, of_what) on conflict do nothing;
        select s.* into its from marketing_automation_internal.sweep s where s.scenario_id = of_scenario and s.what = of_what for update;
        return;
    end if;
    if not exists (select from marketing_automation_internal.sweep s where s.scenario_id = of_scenario and s.what = of_what) then
        -- One session at a time: a second would wait for the row that the first has not committed.
        perform from marketing_automation.scenario_status s where s.scenario_id = of_scenario for no key update skip locked;
        if not found then
            return;
        end if;
        insert into marketing_automation_internal.sweep (scenario_id, what) values (of_scenario, of_what) on conflict do nothing;
    end if;
    select s.* into its from marketing_automation_internal.sweep s
    where s.scenario_id = of_scenario and s.what = of_what for update skip locked;
end $$;
comment on function marketing_automation_internal.lock_sweep(integer, text, boolean) is
    'API: private. Where a sweep of a scenario has come, locked, and made if it is the first. Null: another session is at it, unless waits';

create function marketing_automation_internal.lock_sweep_soon(scenario marketing_automation.scenario, what text) returns void
language plpgsql set search_path = pg_catalog, pg_temp set lock_timeout = '1s' as $$
begin
    perform marketing_automation_internal.lock_sweep(scenario.id, what, true);
exception when lock_not_available then
    raise exception 'another session has been asking the records of scenario "%" for more than a second', scenario.name
        using errcode = 'lock_not_available', hint = 'Try again when its transaction has ended; process_all_due() does not wait for it.';
end $$;
comment on function marketing_automation_internal.lock_sweep_soon(marketing_automation.scenario, text) is
    'API: private. As lock_sweep() that waits, but raises after a second';

create function marketing_automation_internal.pass_activity(of_scenario integer, of_what text) returns void
language sql set search_path = pg_catalog, pg_temp as $$
    update marketing_automation_internal.sweep s set activity_id = n.of_activity + 1, reached_at = '-infinity', reached_record = 0
    from marketing_automation_internal.sweep i
    cross join lateral marketing_automation_internal.waiting_slice(i.scenario_id, i.activity_id, i.reached_at, i.reached_record, 1,
        dated => of_what = 'date', only_until_true => of_what = 'wait') n
    where i.scenario_id = of_scenario and i.what = of_what and of_what in ('date', 'wait') and n.of_activity is not null
      and s.ctid = any (array(
        select o.ctid from marketing_automation_internal.sweep o where o.scenario_id = of_scenario and o.what = of_what for update skip locked))
$$;
comment on function marketing_automation_internal.pass_activity(integer, text) is
    'API: private. Lets a sweep that asks an expression of each activity go on with the next one: what is wrong with one keeps no other from its '
    'turn. Waits for no row';

create function marketing_automation_internal.sweep_slice(scenario marketing_automation.scenario, of_what text, batch_size integer,
    now timestamptz, waits boolean) returns integer
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    its marketing_automation_internal.sweep := marketing_automation_internal.lock_sweep(scenario.id, of_what, waits);
    -- After waiting: a record that another session has entered meanwhile is not later than this.
    at timestamptz := coalesce(now, clock_timestamp());
    began timestamptz := clock_timestamp();
    size integer := least(batch_size, its.batch_size);
    next_size integer;
    slice record;
begin
    if its.scenario_id is null then
        return 0;
    end if;
    if its.began_at is null then
        update marketing_automation_internal.sweep s set began_at = began where s.scenario_id = scenario.id and s.what = of_what;
    end if;
    if of_what = 'date' then
        select d.asked, d.code into slice from marketing_automation_internal.date_slice(scenario, its, size, at) d;
    elsif of_what = 'wait' then
        select w.asked, w.code into slice from marketing_automation_internal.wait_slice(scenario, its, size, at) w;
    elsif of_what = 'exit' then
        select e.asked, e.code into slice from marketing_automation_internal.exit_slice(scenario, its, size, at) e;
    else
        select g.asked, g.code into slice from marketing_automation_internal.goal_slice(scenario, its, size, at) g;
    end if;
    if slice.code is not null then
        -- The round is over, and the next goes on from here.
        update marketing_automation_internal.sweep s
        set began_at = null, rests_until = clock_timestamp() + interval '1 minute',
            batch_size = coalesce(marketing_automation_internal.next_batch(slice.code, slice.asked, 0), s.batch_size)
        where s.scenario_id = scenario.id and s.what = of_what;
        perform marketing_automation_internal.turn_failed(scenario.id, of_what, 0, slice.code);
        -- Too many at once are tried again, and fewer of them.
        if slice.code <> '53400' or size = 1 then
            perform marketing_automation_internal.pass_activity(scenario.id, of_what);
        end if;
        return 0;
    end if;
    if slice.asked = 0 then
        -- The round took some time; ten times that is for others.
        update marketing_automation_internal.sweep s
        set began_at = null, activity_id = 0, reached_at = '-infinity', reached_record = 0,
            rests_until = clock_timestamp() + greatest(interval '1 minute', least(10 * (clock_timestamp() - s.began_at), interval '1 hour'))
        where s.scenario_id = scenario.id and s.what = of_what;
        -- Of several activities, the one that failed may have been passed.
        perform marketing_automation_internal.turn_succeeded(scenario.id, of_what, 0, null)
        where of_what in ('exit', 'goal') or not marketing_automation_internal.has_just_failed(scenario.id, array[of_what]);
    elsif its.batch_size is not null and marketing_automation_internal.is_quick(clock_timestamp() - began) then
        next_size := case when its.batch_size < batch_size then its.batch_size * 2 end;
        update marketing_automation_internal.sweep s set batch_size = next_size where s.scenario_id = scenario.id and s.what = of_what;
    end if;
    if slice.asked > 0 then
        -- Its next turn is after that of others.
        update marketing_automation_internal.sweep s set rests_until = clock_timestamp() where s.scenario_id = scenario.id and s.what = of_what;
    end if;
    return slice.asked;
end $$;
comment on function marketing_automation_internal.sweep_slice(marketing_automation.scenario, text, integer, timestamptz, boolean) is
    'API: private. Asks the next records of a scenario for their exit, their goal, their dates or what they wait for, '
    'fewer than batch_size where more were too slow; how '
    'many. 0: the round is over, as all were asked, or as an error has ended it; or another session is at it, unless waits';

create function marketing_automation_internal.sweep_batch(caller regrole, what text, scenario text, batch_size integer, now timestamptz)
    returns bigint
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    chosen marketing_automation.scenario;
    asked bigint := 0;
    slice integer;
    message text;
    code text;
begin
    if batch_size is null or batch_size not between 1 and 100000 then
        raise exception 'batch_size must be between 1 and 100000, not %', batch_size
            using errcode = 'invalid_parameter_value', hint = 'Leave it away for 10000.';
    end if;
    if scenario is not null then
        chosen := marketing_automation_internal.scenario_for(caller, scenario, 'operate');
        perform marketing_automation_internal.time_or_now(caller, now, scenario);
        perform marketing_automation_internal.assume_time(now);
        -- A round of its own, from the beginning, after that of whoever is at it.
        perform marketing_automation_internal.lock_sweep_soon(chosen, what);
        update marketing_automation_internal.sweep s set began_at = null, activity_id = 0, reached_at = '-infinity', reached_record = 0
        where s.scenario_id = chosen.id and s.what = sweep_batch.what;
        while case what when 'exit' then chosen.exit_condition is not null when 'goal' then chosen.goal is not null when 'wait' then chosen.state = 'running'
                else marketing_automation_internal.has_dates(chosen.id) end loop
            slice := marketing_automation_internal.sweep_slice(chosen, what, batch_size, now, true);
            exit when slice = 0;
            asked := asked + slice;
        end loop;
        perform marketing_automation_internal.assume_time(null);
        return asked;
    end if;
    perform marketing_automation_internal.time_or_now(caller, now, null);
    perform marketing_automation_internal.assume_time(now);
    for chosen in
        select s.* from marketing_automation.scenario s
        left join marketing_automation_internal.sweep w on w.scenario_id = s.id and w.what = sweep_batch.what
        where case sweep_batch.what
                when 'wait' then s.state = 'running' and exists (
                    select from marketing_automation.activity a where a.scenario_id = s.id and a.wait_until is not null)
                when 'exit' then s.exit_condition is not null and s.state = 'running'
                when 'date' then s.state = 'running' and marketing_automation_internal.has_dates(s.id)
                else s.goal is not null and exists (
                    select from marketing_automation_internal.open_goal g where g.scenario_id = s.id) end
          and (now is null and marketing_automation_internal.has_right(caller, null, 'operate') or pg_has_role(caller, s.owner_id, 'MEMBER'))
          and (w.rests_until is null or w.rests_until <= clock_timestamp())
        order by w.rests_until nulls first, s.id
    loop
        begin
            slice := marketing_automation_internal.sweep_slice(chosen, what, batch_size, now, false);
        exception when others then
            if marketing_automation_internal.is_for_the_caller(sqlstate) then
                raise;
            end if;
            get stacked diagnostics message = message_text, code = returned_sqlstate;
            slice := 0;
            if marketing_automation_internal.note_error(chosen.id, null, marketing_automation_internal.named_error(chosen, code,
                    format('%s: %s', what, message)), code) then
                raise warning 'scenario "%" cannot be asked for its %: %', chosen.name,
                    case what when 'wait' then 'wait_until' else what end,
                    marketing_automation_internal.public_error(message, code) using errcode = code;
            end if;
            perform marketing_automation_internal.turn_failed(chosen.id, what, 0, code);
            perform marketing_automation_internal.lock_sweep(chosen.id, what, false);
            update marketing_automation_internal.sweep s set rests_until = clock_timestamp() + interval '1 minute'
            where s.ctid = any (array(
                select w.ctid from marketing_automation_internal.sweep w
                where w.scenario_id = chosen.id and w.what = sweep_batch.what for update skip locked));
            perform marketing_automation_internal.pass_activity(chosen.id, what);
        end;
        exit when slice > 0;
    end loop;
    perform marketing_automation_internal.assume_time(null);
    return coalesce(slice, 0);
end $$;
comment on function marketing_automation_internal.sweep_batch(regrole, text, text, integer, timestamptz) is
    'API: private. What run_sweep() does once it has reached the definitions';

create function marketing_automation_internal.run_sweep(caller regrole, what text, scenario text, batch_size integer, now timestamptz)
    returns bigint
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    perform marketing_automation_internal.reach_definitions();
    return marketing_automation_internal.sweep_batch(caller, what, scenario, batch_size, now);
end $$;
comment on function marketing_automation_internal.run_sweep(regrole, text, text, integer, timestamptz) is
    'API: private. Behind apply_exits(), apply_goals(), apply_dates() and apply_waits(); what: exit, goal, date or wait';
