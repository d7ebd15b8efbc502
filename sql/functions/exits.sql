-- Exits: the journey of a record ends when the exit condition of its scenario is true. It is asked in the query of each activity that is
-- due (process_records), before a mail leaves (claim_messages), and here, of all who wait: slice by slice, so that a transaction is short
-- however many they are.

create function marketing_automation_internal.records_for_whom(scenario marketing_automation.scenario, condition text, records bigint[],
    out holds bigint[], out raises bigint[], out error text, out code text)
-- Its caller may have forbidden the planner what is right for the expressions of others.
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set random_page_cost = 1
set enable_bitmapscan = on as $$
declare
    model marketing_automation.model;
    query text;
    part marketing_automation_internal.search := marketing_automation_internal.start_search(cardinality(records));
    failed boolean;
    found_now bigint[];
begin
    holds := '{}';
    raises := '{}';
    if part.first is null then
        return;
    end if;
    perform marketing_automation_internal.begin_turn();
    model := marketing_automation_internal.usable_model(scenario);
    query := marketing_automation_internal.key_query(model.relation, model.key, model.key_type, concat_ws(', ',
        marketing_automation_internal.as_key(model.key, model.key_type), marketing_automation_internal.as_condition(condition)));
    -- Whatever is wrong with the expression by itself is raised by here.
    perform marketing_automation_internal.plan_as_owner(scenario.owner_id, model.relation, query);
    while part.first is not null loop
        begin
            with its as materialized (
                select r.id, r.key from marketing_automation_internal.record r where r.id = any (records[part.first:part.last])
            )
            select coalesce(array_agg(i.id), '{}') into found_now
            from marketing_automation_internal.query_as_owner(scenario.owner_id, model.relation, query, array(select i.key from its i))
                as q (key text, holds boolean)
            join its i on i.key = q.key
            where q.holds;
            holds := holds || found_now;
            failed := false;
        exception when others then
            get stacked diagnostics error = message_text, code = returned_sqlstate;
            if marketing_automation_internal.is_passing_error(code) then
                if marketing_automation_internal.is_for_the_caller(code) then
                    raise;
                end if;
                perform marketing_automation_internal.end_turn();
                return;
            end if;
            failed := true;
            if part.first = part.last then
                raises := raises || records[part.first];
            end if;
        end;
        part := marketing_automation_internal.next_part(part, failed);
    end loop;
    perform marketing_automation_internal.end_turn();
    code := null;
end $$;
comment on function marketing_automation_internal.records_for_whom(marketing_automation.scenario, text, bigint[], out bigint[],
    out bigint[], out text, out text) is
    'API: private. Of these records of a scenario, those for whose rows a condition holds, asked as the scenario''s owner, and those for '
    'which it raises, with the last error. code: of an error that passes, which ended it; an error of the condition itself is raised';

create function marketing_automation_internal.end_journeys(records bigint[], reason text, at timestamptz) returns bigint
language sql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set random_page_cost = 1 as $$
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

create function marketing_automation_internal.waiting_slice(of_scenario integer, inout of_activity integer, inout reached timestamptz,
    batch_size integer, out records bigint[])
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set random_page_cost = 1
-- In the order of the index on (activity_id, at), whatever is known of the table.
set enable_sort = off
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
as $$
declare
    began_with integer := of_activity;
begin
    for of_activity in
        select a.id from marketing_automation.activity a where a.scenario_id = of_scenario and a.id >= began_with order by a.id
    loop
        if of_activity <> began_with then
            reached := '-infinity';
        end if;
        -- With all that wait until the same moment, as the next slice begins after it.
        select array_agg(distinct w.record_id), coalesce(max(w.at), reached) into records, reached
        from (select w.record_id, w.at from marketing_automation_internal.waiting_activity w
              where w.activity_id = of_activity and w.at > reached order by w.at fetch first batch_size rows with ties) w;
        exit when records is not null;
    end loop;
end $$;
comment on function marketing_automation_internal.waiting_slice(integer, integer, timestamptz, integer, out bigint[]) is
    'API: private. Records that wait for an activity of a scenario until later than reached, about batch_size of them; if there are none, '
    'of the next activity, and so on. Null: there are none any more';

create function marketing_automation_internal.exit_slice(scenario marketing_automation.scenario, batch_size integer, now timestamptz)
    returns integer
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    its marketing_automation_internal.sweep;
    began timestamptz;
    slice record;
    answer record;
begin
    insert into marketing_automation_internal.sweep (scenario_id, what) values (scenario.id, 'exit') on conflict do nothing;
    select s.* into its from marketing_automation_internal.sweep s
    where s.scenario_id = scenario.id and s.what = 'exit' for update skip locked;
    -- Another session is at it.
    if not found then
        return 0;
    end if;
    began := coalesce(its.began_at, clock_timestamp());
    select w.* into slice from marketing_automation_internal.waiting_slice(scenario.id, its.activity_id, its.reached_at, batch_size) w;
    if slice.records is null then
        -- The round took some time; ten times that is for others.
        update marketing_automation_internal.sweep s
        set began_at = null, activity_id = 0, reached_at = '-infinity',
            rests_until = clock_timestamp() + greatest(interval '1 minute', least(10 * (clock_timestamp() - began), interval '1 hour'))
        where s.scenario_id = scenario.id and s.what = 'exit';
        return 0;
    end if;
    update marketing_automation_internal.sweep s set began_at = began, activity_id = slice.of_activity, reached_at = slice.reached
    where s.scenario_id = scenario.id and s.what = 'exit';
    select a.* into answer from marketing_automation_internal.records_for_whom(scenario, scenario.exit_condition, slice.records) a;
    -- Rows that raise fail when their activity runs.
    if answer.code is not null then
        perform marketing_automation_internal.note_error(scenario.id, null, format('exit condition: %s', answer.error), answer.code);
    end if;
    if answer.holds <> '{}' then
        perform marketing_automation_internal.end_journeys(array(
            select r.id from marketing_automation_internal.record r
            where r.id = any (answer.holds) and r.end_reason is null order by r.id for no key update skip locked),
            'exited', now);
    end if;
    return cardinality(slice.records);
end $$;
comment on function marketing_automation_internal.exit_slice(marketing_automation.scenario, integer, timestamptz) is
    'API: private. Asks the exit condition of a scenario of the next records that wait, about batch_size of them, and ends the journeys of '
    'those for whom it is true; how many were asked. 0: the round is over, or another session is at it';

create function marketing_automation_internal.apply_exits(caller regrole, scenario text, batch_size integer, now timestamptz) returns bigint
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    chosen marketing_automation.scenario;
    at timestamptz;
    asked bigint := 0;
    slice integer;
    message text;
    code text;
begin
    if batch_size is null or batch_size not between 1 and 100000 then
        raise exception 'batch_size must be between 1 and 100000, not %', batch_size using errcode = 'invalid_parameter_value';
    end if;
    if scenario is not null then
        chosen := marketing_automation_internal.scenario_for(caller, scenario, 'operate');
        at := marketing_automation_internal.time_or_now(caller, now, scenario);
        perform marketing_automation_internal.assume_time(now);
        -- A round of its own, from the beginning.
        update marketing_automation_internal.sweep s set began_at = null, activity_id = 0, reached_at = '-infinity'
        where s.scenario_id = chosen.id and s.what = 'exit';
        while chosen.exit_condition is not null loop
            slice := marketing_automation_internal.exit_slice(chosen, batch_size, at);
            exit when slice = 0;
            asked := asked + slice;
        end loop;
        perform marketing_automation_internal.assume_time(null);
        return asked;
    end if;
    at := marketing_automation_internal.time_or_now(caller, now, null);
    perform marketing_automation_internal.assume_time(now);
    for chosen in
        select s.* from marketing_automation.scenario s
        left join marketing_automation_internal.sweep w on w.scenario_id = s.id and w.what = 'exit'
        where s.exit_condition is not null and s.state = 'running'
          and (now is null and marketing_automation_internal.has_right(caller, null, 'operate') or pg_has_role(caller, s.owner_id, 'MEMBER'))
          and (w.rests_until is null or w.rests_until <= clock_timestamp())
        order by w.rests_until nulls first, s.id
    loop
        begin
            slice := marketing_automation_internal.exit_slice(chosen, batch_size, at);
        exception when others then
            if marketing_automation_internal.is_for_the_caller(sqlstate) then
                raise;
            end if;
            get stacked diagnostics message = message_text, code = returned_sqlstate;
            slice := 0;
            if marketing_automation_internal.note_error(chosen.id, null, coalesce(case
                    when marketing_automation_internal.is_broken_definition(code)
                    then marketing_automation_internal.definition_error(chosen) end, format('exit condition: %s', message)), code) then
                raise warning 'scenario "%" does not know who exits: %', chosen.name,
                    marketing_automation_internal.public_error(message, code) using errcode = code;
            end if;
            insert into marketing_automation_internal.sweep as s (scenario_id, what, rests_until)
            values (chosen.id, 'exit', clock_timestamp() + interval '1 minute')
            on conflict on constraint sweep_pkey do update set rests_until = excluded.rests_until;
        end;
        exit when slice > 0;
    end loop;
    perform marketing_automation_internal.assume_time(null);
    return coalesce(slice, 0);
end $$;
comment on function marketing_automation_internal.apply_exits(regrole, text, integer, timestamptz) is 'API: private. Behind apply_exits()';

create function marketing_automation.apply_exits(scenario text default null, batch_size integer default 10000, now timestamptz default null)
    returns bigint
language c volatile as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.apply_exits(text, integer, timestamptz) is
    'API: public. Asks exit conditions of records that wait, and ends the journeys of those for whom it is true: of one scenario, all of '
    'them; or the next batch_size (1 to 100000) of the running scenario whose turn it is, each once a minute at most. Returns how many '
    'were asked, 0: none is left for now. process_all_due() does this. now: as that of enroll()';

create function marketing_automation_internal.leaving_mails(mails bigint[]) returns table (id bigint, objection text)
language plpgsql strict set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set random_page_cost = 1 as $$
declare
    chosen marketing_automation.scenario;
    its record;
    answer record;
    message text;
    its_code text;
begin
    for its in
        select r.scenario_id, array_agg(o.id) as mails, array_agg(distinct r.id) as records
        from marketing_automation_internal.outbox o
        join marketing_automation_internal.record r on r.id = o.record_id
        join marketing_automation.scenario s on s.id = r.scenario_id and s.exit_condition is not null
        where o.id = any (leaving_mails.mails) and r.blocked_at is null and r.end_reason is null
        group by r.scenario_id order by r.scenario_id
    loop
        select s.* into strict chosen from marketing_automation.scenario s where s.id = its.scenario_id;
        begin
            select a.* into answer
            from marketing_automation_internal.records_for_whom(chosen, chosen.exit_condition, its.records) a;
            its_code := answer.code;
            message := answer.error;
        exception when others then
            if marketing_automation_internal.is_for_the_caller(sqlstate) then
                raise;
            end if;
            get stacked diagnostics message = message_text, its_code = returned_sqlstate;
        end;
        if its_code is not null then
            -- Nobody knows: they wait for a minute, as the scenario's error, and leave room for others.
            perform marketing_automation_internal.note_error(chosen.id, null, coalesce(case
                when marketing_automation_internal.is_broken_definition(its_code)
                then marketing_automation_internal.definition_error(chosen) end, format('exit condition: %s', message)), its_code);
            update marketing_automation_internal.outbox o set due_at = clock_timestamp() + interval '1 minute' where o.id = any (its.mails);
            return query select u.id, null::text from unnest(its.mails) as u (id);
            continue;
        end if;
        -- Who is held by another session is found again when the next activity is due.
        perform marketing_automation_internal.end_journeys(array(
            select r.id from marketing_automation_internal.record r
            where r.id = any (answer.holds) and r.end_reason is null order by r.id for no key update skip locked),
            'exited', statement_timestamp())
        where answer.holds <> '{}';
        return query
            select o.id, case when o.record_id = any (answer.holds) then 'journey ended: exit condition'
                else 'exit condition raises an error' end
            from marketing_automation_internal.outbox o
            where o.id = any (its.mails) and o.record_id = any (answer.holds || answer.raises);
    end loop;
end $$;
comment on function marketing_automation_internal.leaving_mails(bigint[]) is
    'API: private. Of these mails, which the caller has locked, those that must not leave by the exit condition of their scenario, and '
    'why; objection null: not now, as it could not be asked. Null: none is asked of';
