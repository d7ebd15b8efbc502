-- Exits: the journey of a record ends when the exit condition of its scenario is true. It is asked in the query of each activity that is
-- due (process_records), before a mail leaves (claim_messages), and here, of all who wait: slice by slice, so that a transaction is short
-- however many they are.

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

create function marketing_automation_internal.exit_slice(scenario marketing_automation.scenario, its marketing_automation_internal.sweep,
    batch_size integer, now timestamptz) returns integer
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    slice record;
    answer record;
begin
    select w.* into slice from marketing_automation_internal.waiting_slice(scenario.id, its.activity_id, its.reached_at, batch_size) w;
    if slice.records is null then
        return 0;
    end if;
    update marketing_automation_internal.sweep s set activity_id = slice.of_activity, reached_at = slice.reached
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
comment on function marketing_automation_internal.exit_slice(marketing_automation.scenario, marketing_automation_internal.sweep, integer,
    timestamptz) is
    'API: private. Asks the exit condition of a scenario of the next records that wait, about batch_size of them, and ends the journeys of '
    'those for whom it is true; how many were asked, 0: none is left';

create function marketing_automation_internal.apply_exits(caller regrole, scenario text, batch_size integer, now timestamptz) returns bigint
language sql set search_path = pg_catalog, pg_temp as $$
    select marketing_automation_internal.run_sweep(caller, 'exit', scenario, batch_size, now)
$$;
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
        select r.scenario_id, c.reason, c.name, c.condition, array_agg(o.id) as mails, array_agg(distinct r.id) as records
        from marketing_automation_internal.outbox o
        join marketing_automation_internal.record r on r.id = o.record_id
        join marketing_automation.scenario s on s.id = r.scenario_id
        cross join lateral (values ('exited', 'exit condition', s.exit_condition),
            ('goal_reached', 'goal', case when s.goal_ends_journey then s.goal end)) as c (reason, name, condition)
        where o.id = any (leaving_mails.mails) and r.blocked_at is null and r.end_reason is null and c.condition is not null
        group by r.scenario_id, c.reason, c.name, c.condition order by r.scenario_id, c.reason
    loop
        select s.* into strict chosen from marketing_automation.scenario s where s.id = its.scenario_id;
        begin
            select a.* into answer from marketing_automation_internal.records_for_whom(chosen, its.condition, its.records) a;
            its_code := answer.code;
            message := answer.error;
        exception when others then
            if marketing_automation_internal.is_for_the_caller(sqlstate) then
                raise;
            end if;
            get stacked diagnostics message = message_text, its_code = returned_sqlstate;
        end;
        if its_code is not null then
            -- Nobody knows: they wait for a minute, with the error of the scenario, and leave room for others.
            perform marketing_automation_internal.note_error(chosen.id, null, coalesce(case
                when marketing_automation_internal.is_broken_definition(its_code)
                then marketing_automation_internal.definition_error(chosen) end, format('%s: %s', its.name, message)), its_code);
            update marketing_automation_internal.outbox o set due_at = clock_timestamp() + interval '1 minute' where o.id = any (its.mails);
            return query select u.id, null::text from unnest(its.mails) as u (id);
            continue;
        end if;
        -- Who is held by another session is found again when the next activity is due.
        perform marketing_automation_internal.end_journeys(array(
            select r.id from marketing_automation_internal.record r
            where r.id = any (answer.holds) and r.end_reason is null order by r.id for no key update skip locked),
            its.reason, statement_timestamp())
        where answer.holds <> '{}';
        return query
            select o.id, case when o.record_id = any (answer.holds) then marketing_automation_internal.end_objection(its.reason)
                else its.name || ' raises an error' end
            from marketing_automation_internal.outbox o
            where o.id = any (its.mails) and (o.record_id = any (answer.holds)
                -- Of a goal it was known when its activity ran.
                or its.reason = 'exited' and o.record_id = any (answer.raises));
    end loop;
end $$;
comment on function marketing_automation_internal.leaving_mails(bigint[]) is
    'API: private. Of these mails, which the caller has locked, those that must not leave by the exit condition of their scenario, or by a '
    'goal that ends journeys, and why; objection null: not now, as it could not be asked. Null: none is asked of';
