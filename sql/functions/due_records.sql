-- What process_due() takes next of an activity, locked. It passes over what others hold, so that a transaction that stays open
-- (block(), another process_due()) keeps nobody else from what is not its own.

create function marketing_automation_internal.due_records(activity marketing_automation.activity, batch_size integer, now timestamptz,
    since timestamptz default null, of_records bigint[] default null) returns bigint[]
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set random_page_cost = 1
-- Row by row in the order of the index on (activity_id, at), whatever is known of the table: another plan locks all that is due.
set enable_sort = off
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
as $$
declare
    first timestamptz := coalesce(since, marketing_automation_internal.queue_cursor('waiting', activity.id, ''));
    may_end boolean := (select s.goal is not null or s.exit_condition is not null from marketing_automation.scenario s where s.id = activity.scenario_id);
begin
    return array(
        select w.record_id
        from marketing_automation_internal.waiting_activity w
        -- Whoever decides about children that wait for an event holds the parent's row.
        left join lateral (
            select f.record_id from marketing_automation_internal.finished_activity f
            where activity.on_event is not null and f.record_id = w.record_id and f.activity_id = activity.parent_id
            for no key update skip locked) parent on true
        -- Whoever writes the conversion by the goal, or that it has ended, holds the record: another batch would wait otherwise.
        left join lateral (
            select r.id from marketing_automation_internal.record r
                where may_end and r.id = w.record_id for no key update skip locked) its on true
        where w.activity_id = activity.id and w.at between first and now
          and (of_records is null or w.record_id = any (of_records))
          and (activity.on_event is null or parent.record_id is not null) and (not may_end or its.id is not null)
        order by w.at limit batch_size for update of w skip locked);
end $$;
comment on function marketing_automation_internal.due_records(marketing_automation.activity, integer, timestamptz, timestamptz, bigint[]) is
    'API: private. Records for which an activity is due, first those that have been due longest, at most batch_size and none that '
    'another session works on. Locks their waiting rows; of an activity on an event the parents'' rows before, where the scenario '
    'has a goal or an exit condition the records. since: from when on, null: from where others were found last; of_records: only of these';
