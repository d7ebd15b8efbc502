-- Processing: due activities run, batch by batch of one activity, each batch a fixed number of statements.
--
-- Locks of a batch, none of which it waits for (docs/architecture.md has the order of all locks):
-- 1. the row of the table activity, for key share: it is not deleted meanwhile, and other sessions may run it too;
-- 2. what due_records() locks: the parents' rows in finished_activity, as whoever decides about children that wait for an event
--    holds them, so that an event and the opposite side exclude each other; the rows of waiting_activity.
--
-- What works on batches plans anew each time (plan_cache_mode): the hot tables swing between empty and millions, and a
-- plan made for the one is quadratic for the other. random_page_cost = 1, as what is read has been written lately and is
-- in memory: with the default the planner reads 100,000 waiting rows in full to find 1,000.
-- jit = off: the costs of such plans are estimated far too high, and compiling one takes longer than running it a thousand times.

create function marketing_automation_internal.process_activity(activity marketing_automation.activity, batch_size integer,
    now timestamptz) returns integer
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    scenario marketing_automation.scenario;
    model marketing_automation.model;
    began timestamptz := clock_timestamp();
    query text;
    records bigint[];
    due integer;
    processed integer;
    message text;
    code text;
begin
    select s.* into strict scenario from marketing_automation.scenario s where s.id = activity.scenario_id;
    begin
        -- A definition that no longer plans (a column was dropped, rights were revoked) and errors that pass are not the
        -- fault of the records: they keep waiting, the scenario says why, and other activities go on.
        perform marketing_automation_internal.begin_turn();
        perform marketing_automation_internal.turn_asks(activity.scenario_id, 'process', activity.id);
        model := marketing_automation_internal.usable_model(scenario);
        query := marketing_automation_internal.record_query(activity.id);
        perform marketing_automation_internal.plan_as_owner(scenario.owner_id, model.relation, query);
        perform marketing_automation_internal.plan_as_owner(scenario.owner_id, model.relation,
            marketing_automation_internal.date_query(activity, model)) where activity.at is not null;
        records := array(select d from unnest(marketing_automation_internal.due_records(activity, batch_size, now)) d order by d);
        due := cardinality(records);
        records := marketing_automation_internal.put_off(activity, records, now);
        select p.processed + due - cardinality(records), p.error, p.code into processed, message, code
        from marketing_automation_internal.process_or_fail(activity, records, now, query) p;
        perform marketing_automation_internal.end_turn();
        if code is null then
            perform marketing_automation_internal.forget_error(activity.scenario_id, activity.id, now);
            perform marketing_automation_internal.turn_succeeded(activity.scenario_id, 'process', activity.id, clock_timestamp() - began);
            return processed;
        end if;
    exception when others then
        if marketing_automation_internal.is_for_the_caller(sqlstate) then
            raise;
        end if;
        get stacked diagnostics message = message_text, code = returned_sqlstate;
        processed := 0;
    end;
    if code = '42883' and marketing_automation_internal.refresh_key_type(scenario) then
        return marketing_automation_internal.process_activity(activity, batch_size, now);
    end if;
    message := marketing_automation_internal.named_error(scenario, code, format('activity "%s": %s', activity.name, message), activity.id);
    perform marketing_automation_internal.turn_failed(activity.scenario_id, 'process', activity.id, code,
        marketing_automation_internal.next_batch(code, cardinality(records), processed));
    -- Once: this is called batch by batch, and finds the same each time.
    if marketing_automation_internal.note_error(activity.scenario_id, activity.id, message, code) then
        raise warning 'scenario "%" did not process: %', scenario.name, marketing_automation_internal.public_error(message, code)
            using errcode = code;
    end if;
    return processed;
end $$;
comment on function marketing_automation_internal.process_activity(marketing_automation.activity, integer, timestamptz) is
    'API: private. Runs one batch of the due records of one activity, which the caller has locked; returns how many, those included that '
    'wait for their window from now on. An error that ended it is kept';

create function marketing_automation_internal.process_batch(caller regrole, batch_size integer, now timestamptz) returns integer
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    due record;
    assumed timestamptz := marketing_automation_internal.time_or_now(caller, now, null);
    every boolean := now is null and marketing_automation_internal.has_right(caller, null, 'operate');
    full_scan boolean;
    tried integer[] := '{}';
    processed integer;
begin
    if batch_size is null or batch_size not between 1 and 100000 then
        raise exception 'batch_size must be between 1 and 100000, not %', batch_size
            using errcode = 'invalid_parameter_value', hint = 'Leave it away for 1000.';
    end if;
    -- Positive events start activities that may be due at once. Where a mailer runs, it has mostly done so.
    -- What applies holds its mails until this transaction ends, so not beside somebody who is at it.
    if exists (select from marketing_automation_internal.event_inbox i where i.error is null) then
        perform from marketing_automation_internal.event_application a for update skip locked;
        if found then
            perform marketing_automation_internal.apply_batch(5000);
        end if;
    end if;
    perform marketing_automation_internal.assume_time(now);
    processed := marketing_automation_internal.run_experiments(caller, every, batch_size, assumed);
    if processed > 0 then
        perform marketing_automation_internal.assume_time(null);
        return processed;
    end if;
    -- First from where this session has found due records last, then from the beginning: see queue_cursor().
    <<line>>
    foreach full_scan in array array[false, true] loop
        for due in
            select a as activity, least(process_batch.batch_size, t.batch_size) as batch_size, t.failed_at is not null as failed_before
            from marketing_automation.activity a
            join marketing_automation.scenario s on s.id = a.scenario_id and s.state = 'running'
                and (every or pg_has_role(caller, s.owner_id, 'MEMBER'))
            cross join lateral (select case when full_scan then '-infinity' else marketing_automation_internal.queue_cursor('waiting',
                a.id, '') end as at) begin
            cross join lateral (
                select w.at from marketing_automation_internal.waiting_activity w
                where w.activity_id = a.id and w.at between begin.at and assumed order by w.at limit 1) as first
            join marketing_automation.message_class k on k.name = coalesce(a.message_class, s.message_class)
            left join marketing_automation_internal.failed_turn t on t.scenario_id = s.id and t.work = 'process' and t.activity_id = a.id
            where a.id <> all (tried)
            order by t.failed_at nulls first, marketing_automation_internal.precedence(k, s) desc,
                marketing_automation_internal.set_queue_cursor('waiting', a.id, '', first.at), a.id
        loop
            tried := tried || (due.activity).id;
            -- Several sessions may run one activity, each for other records. One that is being deleted waits.
            perform from marketing_automation.activity a where a.id = (due.activity).id for key share skip locked;
            if found then
                perform marketing_automation_internal.show_step(format('process activity "%s" of scenario "%s"', (due.activity).name, (
                    select s.name from marketing_automation.scenario s where s.id = (due.activity).scenario_id)));
                processed := marketing_automation_internal.process_activity(due.activity, due.batch_size, assumed);
                perform marketing_automation_internal.show_step(null);
                if processed > 0 then
                    perform marketing_automation_internal.assume_time(null);
                    -- Once, with the last batch.
                    if now is not null and processed < due.batch_size then
                        perform marketing_automation_internal.warn_of_present('condition', (due.activity).name, (due.activity).condition);
                        perform marketing_automation_internal.warn_of_present('at', (due.activity).name, (due.activity).at);
                        perform marketing_automation_internal.warn_of_present('wait_until', (due.activity).name,
                            (due.activity).wait_until);
                    end if;
                    return processed;
                end if;
                -- Of those at the end of the line, one that is slow again is enough for a run: the next is for the others.
                exit line when due.failed_before and exists (
                    select from marketing_automation_internal.failed_turn t
                    where t.work = 'process' and t.activity_id = (due.activity).id and t.slow);
            end if;
        end loop;
    end loop;
    perform marketing_automation_internal.assume_time(null);
    perform marketing_automation_internal.roll_up_counters();
    perform marketing_automation_internal.follow_renamed_roles();
    perform marketing_automation_internal.forget_captured_keys();
    return 0;
end $$;
comment on function marketing_automation_internal.process_batch(regrole, integer, timestamptz) is
    'API: private. What process_due() does once it has reached the definitions';

create function marketing_automation_internal.process_due(caller regrole, batch_size integer, now timestamptz) returns integer
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    perform marketing_automation_internal.reach_definitions();
    return marketing_automation_internal.process_batch(caller, batch_size, now);
end $$;
comment on function marketing_automation_internal.process_due(regrole, integer, timestamptz) is 'API: private. Behind process_due()';

create function marketing_automation.process_due(batch_size integer default 1000, now timestamptz default null) returns integer
language c volatile as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.process_due(integer, timestamptz) is
    'API: public. Runs one batch, at most batch_size records (1 to 100000) of the activity that has been due longest, of those whose class '
    'and scenario have the highest priority, and that no other session is processing; returns how many, those that are put off to their window, '
    'or take the winner of an experiment, included, 0 when nothing is left but what had '
    'failed before and was too slow again: whoever fails goes to the end of the line. now: time to assume instead of the present (tests, '
    'simulations); only scenarios of whose owner the caller is a member run then, and their mails leave at once';

create procedure marketing_automation.process_all_due(batch_size integer default 1000, now timestamptz default null)
-- Where there are commits no search_path can be pinned: integer is a word of SQL and always that of pg_catalog, as not all types are.
language plpgsql as $$
declare
    processed integer;
    applied integer;
    asked pg_catalog.int8;
    began pg_catalog.timestamptz := pg_catalog.clock_timestamp();
    -- One with many records and a slow expression leaves time for what is due: it goes on with the next call.
    max_time constant pg_catalog.interval := '10 seconds';
begin
    -- What is due earlier than it was.
    loop
        asked := marketing_automation.apply_dates(now => now);
        commit;
        exit when asked operator(pg_catalog.=) 0
            or now is null and pg_catalog.clock_timestamp() operator(pg_catalog.-) began operator(pg_catalog.>) max_time;
    end loop;
    -- First, so that what follows runs with the rest.
    began := pg_catalog.clock_timestamp();
    loop
        asked := marketing_automation.apply_waits(now => now);
        commit;
        exit when asked operator(pg_catalog.=) 0
            or now is null and pg_catalog.clock_timestamp() operator(pg_catalog.-) began operator(pg_catalog.>) max_time;
    end loop;
    loop
        processed := marketing_automation.process_due(batch_size, now);
        -- Also when nothing was done: it may hold rows that whoever applies events wants in another order.
        commit;
        continue when processed operator(pg_catalog.>) 0;
        applied := marketing_automation.apply_events(5000);
        commit;
        -- A full batch of events says that there are more; a steady stream of new ones does not keep this from ending.
        exit when applied operator(pg_catalog.<) 5000;
    end loop;
    -- What ends of those who are not due.
    began := pg_catalog.clock_timestamp();
    loop
        asked := marketing_automation.apply_exits(now => now);
        commit;
        exit when asked operator(pg_catalog.=) 0
            or now is null and pg_catalog.clock_timestamp() operator(pg_catalog.-) began operator(pg_catalog.>) max_time;
    end loop;
    began := pg_catalog.clock_timestamp();
    loop
        asked := marketing_automation.apply_goals(now => now);
        commit;
        exit when asked operator(pg_catalog.=) 0
            or now is null and pg_catalog.clock_timestamp() operator(pg_catalog.-) began operator(pg_catalog.>) max_time;
    end loop;
end $$;
comment on procedure marketing_automation.process_all_due(integer, timestamptz) is
    'API: public. Runs everything that is due, committing batch by batch. Not inside a transaction block. Arguments as those of '
    'process_due()';

create function marketing_automation_internal.retry(caller regrole, failed marketing_automation.record_activity)
    returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    activity marketing_automation.activity;
    failure marketing_automation_internal.finished_activity;
    its_state text;
    obsolete text;
    at timestamptz := clock_timestamp();
begin
    perform marketing_automation_internal.demand_activity(caller, failed.activity_id);
    select a.* into activity from marketing_automation.activity a where a.id = failed.activity_id;
    -- Whoever decides about the opposite side holds the parent's row.
    perform from marketing_automation_internal.finished_activity f
    where f.record_id = failed.record_id and f.activity_id in (failed.activity_id, activity.parent_id)
    order by f.activity_id for no key update;
    select f.* into failure from marketing_automation_internal.finished_activity f
    where f.record_id = failed.record_id and f.activity_id = failed.activity_id and f.state = 'failed';
    if not found then
        select ra.state into its_state from marketing_automation.record_activity ra
        where ra.record_id = failed.record_id and ra.activity_id = failed.activity_id;
        if its_state is null then
            raise exception 'record % has no activity %', failed.record_id, failed.activity_id using errcode = 'undefined_object';
        end if;
        raise exception 'activity "%" of key "%" is %, only a failed one is run again',
            activity.name, (select r.key from marketing_automation_internal.record r where r.id = failed.record_id), its_state
            using errcode = 'object_not_in_prerequisite_state',
                  hint = 'Say which: select marketing_automation.retry(a) from marketing_automation.record_activity a where a.state = ''failed'';';
    end if;
    -- What would have cancelled it, had it waited meanwhile.
    select case
            when r.blocked_at is not null then 'blocked'
            when r.end_reason is not null then r.end_reason
            when activity.on_event like 'email\_not\_%' and marketing_automation_internal.event_time(p, activity.on_event) is not null
            then 'event_arrived'
        end
    into obsolete
    from marketing_automation_internal.record r
    left join marketing_automation_internal.finished_activity p on p.record_id = r.id and p.activity_id = activity.parent_id
    where r.id = failure.record_id;
    if obsolete is null then
        delete from marketing_automation_internal.finished_activity f where f.record_id = failure.record_id
            and f.activity_id = failure.activity_id;
        -- Those that wait because it had failed begin again if it fails again.
        delete from marketing_automation_internal.waiting_activity w using marketing_automation.activity c
        where c.parent_id = failure.activity_id and c.on_event = 'call_failed' and w.record_id = failure.record_id and w.activity_id = c.id;
        insert into marketing_automation_internal.waiting_activity (record_id, activity_id, at)
            -- With its old time it is past its time of day, which would be tomorrow's again otherwise.
            values (failure.record_id, failure.activity_id, case when activity.at_time is null then at else least(failure.at, at) end);
    else
        update marketing_automation_internal.finished_activity f set state = 'cancelled', outcome = obsolete, error = null,
            error_code = null
        where f.record_id = failure.record_id and f.activity_id = failure.activity_id;
    end if;
    insert into marketing_automation_internal.activity_counter (activity_id, period, failed, cancelled)
    values (failure.activity_id, marketing_automation_internal.counter_period(failure.finished_at), -1, (obsolete is not null)::integer);
end $$;
comment on function marketing_automation_internal.retry(regrole, marketing_automation.record_activity) is 'API: private. Behind retry()';

create function marketing_automation.retry(failed marketing_automation.record_activity)
    returns void
language c volatile as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.retry(marketing_automation.record_activity) is
    'API: public. Runs a failed activity of a record again: it waits and is due now. Cancelled instead, if meanwhile its record was '
    'blocked, its journey has ended, or the event that it waits to miss has arrived';
