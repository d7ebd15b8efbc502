-- Turns: scenarios and activities take turns, and whoever failed goes to the end of the line, so that the slowest one does not
-- keep all others from theirs.

create function marketing_automation_internal.is_slow(code text) returns boolean
language sql immutable
return code in ('53400', '55P03');
comment on function marketing_automation_internal.is_slow(text) is
    'API: private. Whether an SQLSTATE means that expressions took too long (expression_timeout), or waited too long for a lock '
    '(expression_lock_timeout)';

create function marketing_automation_internal.turn_failed(scenario_id integer, work text, activity_id integer, code text,
    batch_size integer default null, searched_to text default null)
    returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    -- One session at a time: a second would wait for the row that the first has not committed. What is missed so fails again.
    if work = 'process' then
        perform from marketing_automation.activity a where a.id = turn_failed.activity_id for no key update skip locked;
    else
        perform from marketing_automation.scenario_status s where s.scenario_id = turn_failed.scenario_id for no key update skip locked;
    end if;
    if not found then
        return;
    end if;
    insert into marketing_automation_internal.failed_turn as t (scenario_id, work, activity_id, failed_at, slow, batch_size, searched_to)
    values (turn_failed.scenario_id, turn_failed.work, turn_failed.activity_id, clock_timestamp(),
        marketing_automation_internal.is_slow(code), turn_failed.batch_size, turn_failed.searched_to)
    on conflict on constraint failed_turn_pkey do update
    set failed_at = excluded.failed_at, slow = excluded.slow, batch_size = coalesce(excluded.batch_size, t.batch_size),
        searched_to = excluded.searched_to;
end $$;
comment on function marketing_automation_internal.turn_failed(integer, text, integer, text, integer, text) is
    'API: private. Sends enrolling (work enroll), an activity (process), asking for consent (consent) or whether mails may leave '
    '(leave) to the end of the line; of a sweep (exit, goal, date, wait) it keeps that enrolling does not forget its error. '
    'batch_size: so many records at most next time, null: as many as before; searched_to: where the '
    'search for rows that raise goes on';

create function marketing_automation_internal.next_batch(code text, tried integer, done integer) returns integer
language sql immutable
-- So that a batch of slow rows gets done some time.
return case when code = '53400' then case when done > 0 then done else greatest(tried / 8, 1) end end;
comment on function marketing_automation_internal.next_batch(text, integer, integer) is
    'API: private. How many records to try after a batch of which so many were done before its error; null: as many as before';

create function marketing_automation_internal.turn_ended(scenario_id integer, work text, activity_id integer) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    -- As of any expressions that take too long: its turn comes last, or after a minute.
    code constant text := '53400';
    its_batch integer;
begin
    if not exists (select from marketing_automation.scenario s where s.id = turn_ended.scenario_id) then
        return;
    end if;
    if work in ('exit', 'goal', 'date', 'wait') then
        perform marketing_automation_internal.turn_failed(turn_ended.scenario_id, turn_ended.work, 0, code);
        -- Its first slice may have been undone.
        perform marketing_automation_internal.lock_sweep(turn_ended.scenario_id, turn_ended.work, false);
        update marketing_automation_internal.sweep s
        set began_at = null, rests_until = clock_timestamp() + interval '1 minute',
            batch_size = marketing_automation_internal.next_batch(code, coalesce(s.batch_size, 1000), 0)
        where s.ctid = any (array(
            select w.ctid from marketing_automation_internal.sweep w
            where w.scenario_id = turn_ended.scenario_id and w.what = turn_ended.work for update skip locked));
        perform marketing_automation_internal.pass_activity(turn_ended.scenario_id, turn_ended.work);
    else
        select t.batch_size into its_batch from marketing_automation_internal.failed_turn t
        where t.scenario_id = turn_ended.scenario_id and t.work = turn_ended.work and t.activity_id = turn_ended.activity_id;
        perform marketing_automation_internal.turn_failed(turn_ended.scenario_id, turn_ended.work, turn_ended.activity_id, code,
            case when turn_ended.work <> 'enroll' then
                marketing_automation_internal.next_batch(code, coalesce(its_batch, 1000), 0) end);
    end if;
    perform marketing_automation_internal.note_error(turn_ended.scenario_id, nullif(turn_ended.activity_id, 0), format(
        '%s: expressions took too long, and did not end before their connection',
        case turn_ended.work
            when 'enroll' then 'enrolling'
            when 'process' then format('activity "%s"', (select a.name from marketing_automation.activity a where a.id = turn_ended.activity_id))
            when 'consent' then 'events wait, nobody knows who consents'
            when 'leave' then 'mails wait, exit condition or goal'
            when 'exit' then 'exit condition'
            when 'date' then 'dates of activities'
            when 'wait' then 'what activities wait for'
            else turn_ended.work end), code);
end $$;
comment on function marketing_automation_internal.turn_ended(integer, text, integer) is
    'API: private. Called while a connection ends, which expressions of a scenario have ended since they took no cancel, or a person '
    'who saw no other way: keeps that as an error of the scenario, and sends it to the end of the line. work: enroll, process, '
    'consent, leave, exit, goal, date, wait. Waits for no row';

create function marketing_automation_internal.is_quick(took interval) returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
    select s.max_time = interval '0' or took < s.max_time / 4
    from (select marketing_automation_internal.setting('expression_timeout')::interval as max_time) s
$$;
comment on function marketing_automation_internal.is_quick(interval) is
    'API: private. Whether expressions that took so long leave room for more within expression_timeout';

create function marketing_automation_internal.turn_succeeded(scenario_id integer, work text, activity_id integer, took interval) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    is_quick boolean := marketing_automation_internal.is_quick(took);
begin
    if not exists (select from marketing_automation_internal.failed_turn) then
        return;
    end if;
    -- Not waiting for a session that notes the same.
    perform from marketing_automation_internal.failed_turn t
    where t.scenario_id = turn_succeeded.scenario_id and t.work = turn_succeeded.work and t.activity_id = turn_succeeded.activity_id
    for update skip locked;
    if not found then
        return;
    end if;
    delete from marketing_automation_internal.failed_turn t
    where t.scenario_id = turn_succeeded.scenario_id and t.work = turn_succeeded.work and t.activity_id = turn_succeeded.activity_id
      and coalesce(t.batch_size, 1000) >= 1000;
    update marketing_automation_internal.failed_turn t
    set failed_at = null, slow = false, searched_to = null, batch_size = case when is_quick then t.batch_size * 2 else t.batch_size end
    where t.scenario_id = turn_succeeded.scenario_id and t.work = turn_succeeded.work and t.activity_id = turn_succeeded.activity_id;
end $$;
comment on function marketing_automation_internal.turn_succeeded(integer, text, integer, interval) is
    'API: private. Takes it back to its place in the line; of what had been too slow, batches grow again as long as they are quick';

create function marketing_automation_internal.has_just_failed(of_scenario integer, works text[]) returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
    select exists (
        select from marketing_automation_internal.failed_turn t
        where t.scenario_id = of_scenario and t.work = any (works) and t.failed_at > clock_timestamp() - interval '10 minutes')
$$;
comment on function marketing_automation_internal.has_just_failed(integer, text[]) is
    'API: private. Whether one of these works of a scenario has failed within ten minutes and not succeeded since: its error is not to be forgotten';

create function marketing_automation_internal.reach_definitions() returns void
language plpgsql set search_path = pg_catalog, pg_temp set lock_timeout = '1s' as $$
begin
    lock table marketing_automation.model, marketing_automation.scenario, marketing_automation.activity in row share mode;
exception when lock_not_available then
    raise exception 'another session has locked the definitions of all scenarios for more than a second' using
        errcode = 'lock_not_available',
        detail = coalesce('It holds a lock on the whole table: ' || (
            select string_agg(format('process %s, role %s', a.pid, a.usename), '; ' order by a.pid) from pg_stat_activity a
            where a.pid in (
                select l.pid from pg_locks l
                where l.granted and l.mode in ('ExclusiveLock', 'AccessExclusiveLock') and l.relation in (
                    'marketing_automation.model'::regclass, 'marketing_automation.scenario'::regclass, 'marketing_automation.activity'::regclass))),
            'It has just ended.'),
        hint = 'A superuser may lock the table, and whoever was given the right to delete from it. select pg_terminate_backend(the process) ends it.';
end $$;
comment on function marketing_automation_internal.reach_definitions() is
    'API: private. Takes the locks by which the definitions are read, and raises if somebody who locked the whole table does not let go '
    'within a second: what works for all waits for nobody. Nothing later in the transaction waits for these tables then';
