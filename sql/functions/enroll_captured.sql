-- At once: the mailer of the database, which the commit of a writer wakes, enters captured keys and runs what they start.
--
-- It does no more than what is quick: where all rows are to be read, or an expression raises, or is slow, the scenario is left to the next
-- enroll_all(); what is not processed here, to process_all_due(). A mailer has one thread for this and for what it sends.

create function marketing_automation_internal.next_captured(tried integer[]) returns marketing_automation.scenario
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    return (
        select s
        from (select distinct c.watch_id, c.xid from marketing_automation_internal.captured_keys c) k
        join marketing_automation_internal.watched_table w on w.id = k.watch_id
        join marketing_automation.scenario s on s.model = w.model and s.state = 'running' and s.id <> all (tried)
        join marketing_automation_internal.watched_scan z on z.scenario_id = s.id and not pg_visible_in_snapshot(k.xid, z.seen)
        order by s.id limit 1);
end $$;
comment on function marketing_automation_internal.next_captured(integer[]) is
    'API: private. A running scenario that has not seen all captured keys, and has not been tried';

create function marketing_automation_internal.enter_written(chosen marketing_automation.scenario, at timestamptz) returns bigint
language plpgsql set search_path = pg_catalog, pg_temp set jit = off as $$
declare
    model marketing_automation.model;
    captured record;
    entered bigint;
begin
    select s.* into chosen from marketing_automation.scenario s where s.id = chosen.id and s.state = 'running';
    if not found then
        return 0;
    end if;
    model := marketing_automation_internal.enterable_model(chosen);
    if model.name is null then
        return null;
    end if;
    select c.* into captured
    from marketing_automation_internal.take_captured(chosen, model, marketing_automation_internal.entering_query(chosen, model), true) c;
    if not captured.is_known then
        return null;
    end if;
    entered := marketing_automation_internal.enter_captured(chosen, model, captured.keys, at);
    perform marketing_automation_internal.count_entered(chosen.id, at, entered);
    return entered;
end $$;
comment on function marketing_automation_internal.enter_written(marketing_automation.scenario, timestamptz) is
    'API: private. Enters the new rows with captured keys into a scenario, which the caller has locked; how many. Null: that is for a '
    'run of enrolling that reads all rows, and what was done here is to be undone';

create function marketing_automation_internal.enroll_captured(
    tried integer[], out scenario_id integer, out outcome text, out entered bigint
)
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    chosen marketing_automation.scenario := marketing_automation_internal.next_captured(tried);
    at constant timestamptz := clock_timestamp();
begin
    if chosen.id is null then
        perform marketing_automation_internal.forget_captured_keys();
        return;
    end if;
    scenario_id := chosen.id;
    if marketing_automation_internal.skip_scenario(chosen.id) is not null then
        outcome := 'held';
        return;
    end if;
    perform marketing_automation_internal.begin_turn();
    begin
        entered := marketing_automation_internal.enter_written(chosen, at);
        if entered is null then
            raise exception 'left to enroll_all()' using errcode = 'MA001';
        end if;
        outcome := 'entered';
    exception when others then
        if marketing_automation_internal.is_for_the_caller(sqlstate) then
            raise;
        end if;
        -- enroll_all() meets it again, and tells it.
        outcome := 'left';
        entered := 0;
    end;
    perform marketing_automation_internal.end_turn();
    if entered > 0 then
        update marketing_automation.scenario_status s set last_enrolled_at = at where s.scenario_id = chosen.id;
    end if;
end $$;
comment on function marketing_automation_internal.enroll_captured(integer[], out integer, out text, out bigint) is
    'API: private. Enters rows with captured keys into one scenario that is not among tried, and has not seen them all; how many. '
    'outcome: entered, held by another session, or left to enroll_all(). scenario_id null: there is no such scenario';

create function marketing_automation_internal.process_entered(of_scenario integer, batch_size integer) returns integer
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    due record;
    processed integer;
begin
    for due in
        select a as activity
        from marketing_automation.activity a
        join marketing_automation.scenario s on s.id = a.scenario_id and s.state = 'running'
        where s.id = of_scenario
          -- What a call does, it does with the rights of its owner, for as long as it takes: not in here.
          and a.action is distinct from 'call'
          and exists (select from marketing_automation_internal.waiting_activity w where w.activity_id = a.id and w.at <= clock_timestamp())
          and not exists (
                select from marketing_automation_internal.failed_turn t
                where t.scenario_id = s.id and t.work = 'process' and t.activity_id = a.id)
        order by a.id
    loop
        perform from marketing_automation.activity a where a.id = (due.activity).id for key share skip locked;
        continue when not found;
        processed := marketing_automation_internal.process_activity(due.activity, batch_size, clock_timestamp());
        if processed > 0 then
            return processed;
        end if;
    end loop;
    return 0;
end $$;
comment on function marketing_automation_internal.process_entered(integer, integer) is
    'API: private. Runs a batch of a due activity of a scenario, but of none that calls, nor of one that has failed; how many records';
