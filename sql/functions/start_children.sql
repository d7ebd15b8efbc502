-- Starting children: where a waiting row is written for an activity that may be deleted in the same moment.
--
-- Three places write them: enrolling for roots, processing for the children of what sends no mail, start_children() and mark_events()
-- for those of mails. Each holds the activities that it writes rows for (for key share) until it commits, and deleting one waits for
-- that, sees the rows, and refuses. The other way round nobody waits for a deletion that is open: what is being deleted gets its rows
-- all the same, under a share of the lock of its scenario, which the deletion takes when it commits, to remove them:
-- see activity_gone().

create function marketing_automation_internal.lock_children(parents integer[]) returns integer[]
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    locked integer[] := array(
        select a.id from marketing_automation.activity a where a.parent_id = any (parents) order by a.id for key share skip locked);
    children integer[] := array(select a.id from marketing_automation.activity a where a.parent_id = any (parents));
begin
    if children <@ locked then
        return children;
    end if;
    perform from marketing_automation.scenario_status s
    where s.scenario_id in (select a.scenario_id from marketing_automation.activity a where a.id = any (parents))
    order by s.scenario_id for key share;
    return array(select a.id from marketing_automation.activity a where a.parent_id = any (parents));
end $$;
comment on function marketing_automation_internal.lock_children(integer[]) is
    'API: private. The children of activities, of which none goes before this transaction ends without what waits for it: only for '
    'these may it write waiting rows';

create function marketing_automation_internal.event_time(mail marketing_automation_internal.finished_activity, event text)
    returns timestamptz
language sql immutable
return case
    when event in ('email_opened', 'email_not_opened') then (mail).opened_at
    when event in ('email_clicked', 'email_not_clicked') then (mail).clicked_at
    when event in ('email_bounced', 'email_not_bounced') then (mail).bounced_at end;
comment on function marketing_automation_internal.event_time(marketing_automation_internal.finished_activity, text) is
    'API: private. When an event, or the one that a negative event waits to miss, happened to a mail; null: not yet';

create function marketing_automation_internal.write_children(records bigint[], activities integer[], times timestamptz[]) returns void
language sql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set jit = off set random_page_cost = 1 as $$
    with child as materialized (
        select u.record_id, u.activity_id, marketing_automation_internal.after_delay(u.at, case when a.at is null then a.delay end, r.time_zone) as at,
            case when r.blocked_at is not null then 'blocked' else r.end_reason end as obstacle
        from unnest(records, activities, times) as u (record_id, activity_id, at)
        join marketing_automation_internal.record r on r.id = u.record_id
        join marketing_automation.activity a on a.id = u.activity_id
        where not exists (
            select from marketing_automation_internal.finished_activity f
            where f.record_id = u.record_id and f.activity_id = u.activity_id)
    ), waiting as (
        insert into marketing_automation_internal.waiting_activity (record_id, activity_id, at)
        select c.record_id, c.activity_id, c.at from child c where c.obstacle is null
        on conflict do nothing
    ), cancelled as (
        insert into marketing_automation_internal.finished_activity (record_id, activity_id, state, outcome, at, finished_at)
        select c.record_id, c.activity_id, 'cancelled', c.obstacle, c.at, statement_timestamp() from child c where c.obstacle is not null
        on conflict do nothing
        returning activity_id
    )
    insert into marketing_automation_internal.activity_counter (activity_id, period, cancelled)
    select c.activity_id, marketing_automation_internal.counter_period(statement_timestamp()), count(*) from cancelled c group by 1;
$$;
comment on function marketing_automation_internal.write_children(bigint[], integer[], timestamptz[]) is
    'API: private. Lets activities wait for records until their delay is over, from these times on; for a blocked record they end as what block() cancels, and '
    'unblocking takes that back; for one whose journey has ended they end as that did';

create function marketing_automation_internal.start_children(records bigint[], activities integer[], times timestamptz[]) returns void
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set jit = off set random_page_cost = 1 as $$
declare
    children integer[] := marketing_automation_internal.lock_children(activities);
begin
    if children = '{}' then
        return;
    end if;
    perform marketing_automation_internal.write_children(array_agg(u.record_id), array_agg(c.id),
        array_agg(u.at))
    from unnest(records, activities, times) as u (record_id, activity_id, at)
    join marketing_automation_internal.finished_activity p on p.record_id = u.record_id and p.activity_id = u.activity_id
    join marketing_automation.activity a on a.id = u.activity_id
    join marketing_automation.activity c on c.parent_id = u.activity_id and c.id = any (children)
    where c.on_event is null and (a.branch_by is null or exists (
            select from marketing_automation_internal.branch_decision d
            where d.record_id = u.record_id and d.parent_id = u.activity_id and d.activity_id = c.id))
       or c.on_event = 'webhook_delivered'
       or c.on_event like 'email\_not\_%' and marketing_automation_internal.event_time(p, c.on_event) is null
    having count(*) > 0;
end $$;
comment on function marketing_automation_internal.start_children(bigint[], integer[], timestamptz[]) is
    'API: private. Starts what follows mails that were sent then: children without an event, of alternatives the one that was '
    'decided on, and those that wait to miss an event. The caller holds the rows of the mails in finished_activity';

create function marketing_automation_internal.lock_mails(records bigint[], activities integer[], out held_records bigint[],
    out held_activities integer[], out other_records bigint[], out other_activities integer[])
language sql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set jit = off set random_page_cost = 1 as $$
    with mail as materialized (
        select u.record_id, u.activity_id from unnest(records, activities) as u (record_id, activity_id)
        group by u.record_id, u.activity_id
    ), locked as materialized (
        select f.record_id, f.activity_id from mail m
        join marketing_automation_internal.finished_activity f on f.record_id = m.record_id and f.activity_id = m.activity_id
        for no key update of f skip locked
    )
    select coalesce(array_agg(m.record_id) filter (where l.record_id is not null), '{}'),
           coalesce(array_agg(m.activity_id) filter (where l.record_id is not null), '{}'),
           coalesce(array_agg(m.record_id) filter (where l.record_id is null), '{}'),
           coalesce(array_agg(m.activity_id) filter (where l.record_id is null), '{}')
    from mail m left join locked l on l.record_id = m.record_id and l.activity_id = m.activity_id
$$;
comment on function marketing_automation_internal.lock_mails(bigint[], integer[], out bigint[], out integer[], out bigint[],
    out integer[]) is
    'API: private. Locks the rows of mails in finished_activity, and says which another session holds';

create function marketing_automation_internal.start_or_note_children(records bigint[], activities integer[], at timestamptz) returns void
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set jit = off as $$
declare
    mails record;
begin
    select l.* into mails from marketing_automation_internal.lock_mails(records, activities) l;
    perform marketing_automation_internal.start_children(mails.held_records, mails.held_activities,
        array_fill(at, array[cardinality(mails.held_records)]));
    -- The result of a mail waits for nobody; what follows is started by whoever applies events, when its row is free.
    insert into marketing_automation_internal.event_inbox (id, occurred_at, kind, record_id, activity_id)
    select gen_random_uuid(), at, 'email_sent', u.record_id, u.activity_id
    from unnest(mails.other_records, mails.other_activities) as u (record_id, activity_id);
end $$;
comment on function marketing_automation_internal.start_or_note_children(bigint[], integer[], timestamptz) is
    'API: private. Starts the children of mails that were sent, or leaves that to who applies events where another session holds the '
    'mail';
