-- Exits: the journey of a record ends when the exit condition of its scenario is true. It is asked in the query of each activity that is
-- due (process_records), before a mail leaves (claim_messages), and here, of all who wait: slice by slice, so that a transaction is short
-- however many they are.

create function marketing_automation_internal.waiting_slice(of_scenario integer, inout of_activity integer, inout reached timestamptz,
    inout reached_record bigint, batch_size integer, out records bigint[], dated boolean default false,
    only_until_true boolean default false)
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
        select a.id from marketing_automation.activity a
        where a.scenario_id = of_scenario and a.id >= began_with and (a.at is not null or not dated)
            and (a.wait_until is not null or not only_until_true) order by a.id
    loop
        if of_activity <> began_with then
            reached := '-infinity';
            reached_record := 0;
        end if;
        -- Many may wait until the same moment.
        select array_agg(w.record_id order by w.at, w.record_id), coalesce(max(w.at), reached) into records, reached
        from (select w.record_id, w.at from marketing_automation_internal.waiting_activity w
              where w.activity_id = of_activity and w.at >= reached and (w.at > reached or w.record_id > reached_record)
              order by w.at, w.record_id limit batch_size) w;
        if records is not null then
            reached_record := records[cardinality(records)];
            exit;
        end if;
    end loop;
end $$;
comment on function marketing_automation_internal.waiting_slice(integer, integer, timestamptz, bigint, integer, out bigint[], boolean,
    boolean) is
    'API: private. Records that wait for an activity of a scenario after reached and, until the same moment, after reached_record, '
    'batch_size of them at most; if there are none, of the next activity, and so on. Null: there are none any more. '
    'dated: only of activities that have a date; '
    'only_until_true: of those that wait until a condition is true';

create function marketing_automation_internal.exit_slice(scenario marketing_automation.scenario, its marketing_automation_internal.sweep,
    batch_size integer, now timestamptz, out asked integer, out code text)
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    slice record;
    answer record;
begin
    select w.* into slice
    from marketing_automation_internal.waiting_slice(scenario.id, its.activity_id, its.reached_at, its.reached_record, batch_size) w;
    asked := coalesce(cardinality(slice.records), 0);
    if asked = 0 then
        return;
    end if;
    select a.* into answer
    from marketing_automation_internal.ask_slice(scenario, 'exit', 'exit condition', scenario.exit_condition, slice.records) a;
    code := answer.code;
    if code is not null then
        return;
    end if;
    update marketing_automation_internal.sweep s
    set activity_id = slice.of_activity, reached_at = slice.reached, reached_record = slice.reached_record
    where s.scenario_id = scenario.id and s.what = 'exit';
    -- Rows that raise fail when their activity runs.
    if answer.holds <> '{}' then
        perform marketing_automation_internal.end_journeys(array(
            select r.id from marketing_automation_internal.record r
            where r.id = any (answer.holds) and r.end_reason is null and r.entered_at <= now order by r.id for no key update skip locked),
            'exited', now);
    end if;
end $$;
comment on function marketing_automation_internal.exit_slice(marketing_automation.scenario, marketing_automation_internal.sweep, integer,
    timestamptz, out integer, out text) is
    'API: private. Asks the exit condition of a scenario of the next records that wait, batch_size of them at most, and ends the journeys of '
    'those for whom it is true; how many were asked, 0: none is left. code: of an error that passes; the next slice is the same then';

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

create function marketing_automation_internal.leaving_mails(mails bigint[], assumed timestamptz default null)
returns table (id bigint, objection text, waits_until timestamptz, moved_to timestamptz)
language plpgsql rows 100 set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set jit = off set random_page_cost = 1 as $$
declare
    now timestamptz := coalesce(assumed, clock_timestamp());
    chosen marketing_automation.scenario;
    its record;
    answer record;
    asked bigint[];
    holds bigint[];
    locked bigint[];
    limit_of_time text := marketing_automation_internal.setting('expression_timeout');
    began timestamptz;
    time_left double precision;
    failed integer;
    message text;
    its_code text;
begin
    if mails is null then
        return;
    end if;
    -- Everybody waits for it.
    if limit_of_time::interval not between interval '1 millisecond' and interval '1 second' then
        perform set_config('marketing_automation.expression_timeout', '1s', true);
    end if;
    perform marketing_automation_internal.begin_turn();
    for its in
        select r.scenario_id, c.activity_id, c.reason, c.name, c.condition, min(t.batch_size) as batch_size, array_agg(o.id) as mails,
            array_agg(distinct r.id) as records
        from marketing_automation_internal.outbox o
        join marketing_automation_internal.record r on r.id = o.record_id
        join marketing_automation.scenario s on s.id = r.scenario_id
        join marketing_automation.activity a on a.id = o.activity_id
        left join marketing_automation_internal.failed_turn t on t.scenario_id = s.id and t.work = 'leave'
        cross join lateral (values ('exited', 'exit condition', s.exit_condition, null),
            ('goal_reached', 'goal', case when s.goal_ends_journey then s.goal end, null),
            ('moved', format('at of activity "%s"', a.name), a.at, a.id)) as c (reason, name, condition, activity_id)
        where o.id = any (leaving_mails.mails) and r.blocked_at is null and r.end_reason is null and c.condition is not null
        group by r.scenario_id, c.activity_id, c.reason, c.name, c.condition
        -- Another scenario is first each time, as the last may find no time left. Its goal before its exit, as when an activity is due.
        order by md5(concat(r.scenario_id, now)), r.scenario_id, c.activity_id nulls first, c.reason desc
    loop
        time_left := marketing_automation_internal.turn_left();
        if its.scenario_id = failed or time_left = 0 then
            return query select u.id, null::text, now + interval '1 second', null::timestamptz from unnest(its.mails) as u (id);
            continue;
        end if;
        select s.* into strict chosen from marketing_automation.scenario s where s.id = its.scenario_id;
        if its.reason = 'moved' then
            chosen := marketing_automation_internal.with_date_as_goal(chosen, its.condition);
            its.condition := chosen.goal;
        end if;
        asked := case when its.batch_size is null then its.records else its.records[:its.batch_size] end;
        began := clock_timestamp();
        perform marketing_automation_internal.turn_asks(chosen.id, 'leave');
        begin
            select a.* into answer from marketing_automation_internal.records_for_whom(chosen, its.condition, asked) a;
            its_code := answer.code;
            message := answer.error;
            if its_code is null and its.reason <> 'moved' then
                -- A goal whose time is to come is not reached yet.
                holds := array(
                    select u.id from unnest(answer.holds, answer.times) as u (id, at)
                    where its.reason = 'exited' or coalesce(u.at, now) <= now);
                locked := array(
                    select r.id from marketing_automation_internal.record r
                    where r.id = any (holds) and r.end_reason is null order by r.id for no key update skip locked);
                -- Whatever is wrong with what this one tells of its goal concerns its own mails only.
                if its.reason = 'goal_reached' then
                    perform marketing_automation_internal.close_goals(chosen.id, array_agg(u.id), array_agg(u.at), array_agg(u.amount), now)
                    from unnest(answer.holds, answer.times, answer.amounts) as u (id, at, amount) where u.id = any (locked)
                    having count(*) > 0;
                end if;
                perform marketing_automation_internal.end_journeys(locked, its.reason, now) where locked <> '{}';
            end if;
        exception when others then
            if marketing_automation_internal.is_for_the_caller(sqlstate) then
                raise;
            end if;
            get stacked diagnostics message = message_text, its_code = returned_sqlstate;
        end;
        if its_code is not null then
            failed := its.scenario_id;
            -- Nobody knows: they wait, with the error of the scenario, and leave room for others. Who had to do with what others left of
            -- the time is not to blame.
            if time_left > 0.5 or not marketing_automation_internal.is_slow(its_code) then
                perform marketing_automation_internal.note_error(chosen.id, its.activity_id, marketing_automation_internal.named_error(s,
                    its_code, format('%s: %s', its.name, message), its.activity_id), its_code)
                from marketing_automation.scenario s where s.id = chosen.id;
                perform marketing_automation_internal.turn_failed(chosen.id, 'leave', 0, its_code,
                    marketing_automation_internal.next_batch(its_code, cardinality(asked), 0));
                return query select u.id, null::text, now + interval '1 minute', null::timestamptz from unnest(its.mails) as u (id);
            else
                return query select u.id, null::text, now + interval '1 second', null::timestamptz from unnest(its.mails) as u (id);
            end if;
            continue;
        end if;
        perform marketing_automation_internal.turn_succeeded(chosen.id, 'leave', 0, clock_timestamp() - began);
        if its.reason = 'moved' then
            return query
                select f.id, f.objection, case when f.is_asked then f.moved_to else now + interval '1 second' end, f.moved_to
                from (
                    select o.id, k.is_asked, case
                            when o.record_id = any (answer.raises) then its.name || ' raises an error'
                            when k.is_asked and d.at is null then 'its date is gone'
                            when a.expires_after is not null
                                and marketing_automation_internal.after_delay(d.at, a.expires_after, r.time_zone) <= d.moment then 'expired'
                            end as objection, case when d.at > d.moment then d.at end as moved_to
                    from marketing_automation_internal.outbox o
                    join marketing_automation_internal.record r on r.id = o.record_id
                    join marketing_automation.activity a on a.id = its.activity_id
                    cross join lateral (select o.record_id = any (asked) as is_asked) k
                    left join unnest(answer.holds, answer.times) as u (id, day) on u.id = o.record_id
                    -- What was made at an assumed time to come was due then.
                    cross join lateral (select marketing_automation_internal.due_date(u.day, a.delay, r.time_zone) as at,
                        greatest(now, o.created_at) as moment offset 0) d
                    where o.id = any (its.mails)) f
                where f.objection is not null or f.moved_to is not null or not f.is_asked;
            continue;
        end if;
        return query
            select o.id,
                case when o.record_id = any (locked) then marketing_automation_internal.end_objection(its.reason)
                    -- Of a goal it was known when its activity ran.
                    when its.reason = 'exited' and o.record_id = any (answer.raises) then its.name || ' raises an error' end,
                -- Who is held by another session may be something else when that has ended.
                case when o.record_id = any (holds) then now + interval '5 seconds'
                    when o.record_id <> all (asked) then now + interval '1 second' end, null::timestamptz
            from marketing_automation_internal.outbox o
            where o.id = any (its.mails) and (o.record_id = any (holds) or o.record_id <> all (asked)
                or its.reason = 'exited' and o.record_id = any (answer.raises));
    end loop;
    perform marketing_automation_internal.end_turn();
    perform set_config('marketing_automation.expression_timeout', limit_of_time, true);
end $$;
comment on function marketing_automation_internal.leaving_mails(bigint[], timestamptz) is
    'API: private. Of these mails, which the caller has locked, those that must not leave by the exit condition of their scenario, by a goal '
    'that ends journeys, or by the date of their activity, and why; moved_to: the date is that by now; '
    'objection null: not before waits_until, as it could not be asked, or another session holds the '
    'record. All of it takes a second at most; who is too slow is not asked for a minute. Null: none is asked of. assumed: the time to assume';
