-- Applying events: what record_events() left in the inbox goes into the log and starts and cancels activities.
--
-- Whoever applies an event locks the rows of finished_activity that it is about, and only then deletes it from the inbox. So what is
-- in the inbox has not been applied by anybody else who holds these locks: processing looks there before it runs a negative side,
-- and an event that was committed before always counts. Nobody waits for these locks: what happened to mails that another session
-- holds stays in the inbox for the next look.

create function marketing_automation_internal.mark_events(
    records bigint[], activities integer[], kinds text[], times timestamptz[], no_opens bigint[] default '{}'
) returns void
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set jit = off set random_page_cost = 1 as $$
declare
    implies_open boolean := marketing_automation_internal.setting('click_implies_open');
    children integer[] := marketing_automation_internal.lock_children(activities);
    its_records bigint[];
    its_children integer[];
    its_times timestamptz[];
begin
    with mark as materialized (
        -- The first of each kind that is not marked yet.
        select u.record_id, u.activity_id, k.kind, min(u.occurred_at) as occurred_at
        from unnest(records, activities, kinds, times) as u (record_id, activity_id, kind, occurred_at)
        cross join lateral unnest(case
            when u.kind = 'email_clicked' and u.record_id <> all (no_opens) and implies_open
            then array['email_clicked', 'email_opened'] else array[u.kind] end) as k (kind)
        join marketing_automation_internal.finished_activity f on f.record_id = u.record_id and f.activity_id = u.activity_id
        where f.outcome = 'mailed'
          and marketing_automation_internal.event_time(f, k.kind) is null
        group by u.record_id, u.activity_id, k.kind
    ), marked as (
        update marketing_automation_internal.finished_activity f
        set opened_at = coalesce(f.opened_at, m.opened_at), clicked_at = coalesce(f.clicked_at, m.clicked_at),
            bounced_at = coalesce(f.bounced_at, m.bounced_at)
        from (select k.record_id, k.activity_id,
                     min(k.occurred_at) filter (where k.kind = 'email_opened') as opened_at,
                     min(k.occurred_at) filter (where k.kind = 'email_clicked') as clicked_at,
                     min(k.occurred_at) filter (where k.kind = 'email_bounced') as bounced_at
              from mark k group by k.record_id, k.activity_id) m
        where f.record_id = m.record_id and f.activity_id = m.activity_id
        returning f.activity_id, f.finished_at, m.opened_at, m.clicked_at
    ), opposite as (
        delete from marketing_automation_internal.waiting_activity w
        using mark m join marketing_automation.activity o
            on o.parent_id = m.activity_id and o.on_event = marketing_automation_internal.opposite_event(m.kind)
        where w.record_id = m.record_id and w.activity_id = o.id
        returning w.record_id, w.activity_id, w.at
    ), cancelled as (
        insert into marketing_automation_internal.finished_activity (record_id, activity_id, state, outcome, at, finished_at)
        select o.record_id, o.activity_id, 'cancelled', 'event_arrived', o.at, statement_timestamp() from opposite o
    ), counters as (
        insert into marketing_automation_internal.activity_counter (activity_id, period, opened, clicked, cancelled)
        select m.activity_id, marketing_automation_internal.counter_period(m.finished_at), count(m.opened_at), count(m.clicked_at),
            0 from marked m group by 1, 2
        union all
        select o.activity_id, marketing_automation_internal.counter_period(statement_timestamp()), 0, 0, count(*)
            from opposite o group by 1, 2
    )
    select array_agg(m.record_id), array_agg(c.id), array_agg(m.occurred_at)
    into its_records, its_children, its_times
    from mark m
    join marketing_automation.activity c on c.parent_id = m.activity_id and c.on_event = m.kind and c.id = any (children)
    where not exists (
            -- A negative side that has run closes the positive one.
            select from marketing_automation.activity o
            join marketing_automation_internal.finished_activity f on f.activity_id = o.id and f.record_id = m.record_id
                and f.state = 'done'
            where o.parent_id = m.activity_id and o.on_event = marketing_automation_internal.opposite_event(m.kind));
    if its_records is not null then
        perform marketing_automation_internal.write_children(its_records, its_children, its_times);
    end if;
end $$;
comment on function marketing_automation_internal.mark_events(bigint[], integer[], text[], timestamptz[], bigint[]) is
    'API: private. Marks activities as opened, clicked or bounced, starts their positive children, cancels the waiting opposite '
    'ones; repeating changes nothing. no_opens: records of which a click implies no open. The caller holds their rows';

create function marketing_automation_internal.apply_results(results tid[]) returns void
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set jit = off set random_page_cost = 1 as $$
declare
    result record;
begin
    for result in
        with taken as (
            delete from marketing_automation_internal.event_inbox i where i.ctid = any (results) returning i.*
        ), bounced as (
            insert into marketing_automation_internal.event (id, occurred_at, kind, record_id, activity_id)
            select t.id, t.occurred_at, t.kind, t.record_id, t.activity_id from taken t where t.kind = 'email_bounced'
            on conflict do nothing
            returning event.id
        )
        select t.kind, array_agg(t.record_id) as records, array_agg(t.activity_id) as activities, array_agg(t.kind) as kinds,
            array_agg(t.occurred_at) as times
        from taken t where t.kind = 'email_sent' or t.id in (select b.id from bounced b) group by t.kind
    loop
        if result.kind = 'email_sent' then
            perform marketing_automation_internal.start_children(result.records, result.activities, result.times);
        else
            perform marketing_automation_internal.mark_events(result.records, result.activities, result.kinds, result.times);
        end if;
    end loop;
end $$;
comment on function marketing_automation_internal.apply_results(tid[]) is
    'API: private. Applies that mails were sent or bounced which another session held when that was recorded. The caller holds their '
    'rows';

create function marketing_automation_internal.apply_hits(hits tid[], are_known boolean default true) returns void
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set jit = off set random_page_cost = 1 as $$
declare
    records bigint[];
    activities integer[];
    kinds text[];
    fresh tid[];
    people uuid[];
    no_opens bigint[];
    no_clicks bigint[];
    unknown bigint[];
    changes integer[];
    details text := marketing_automation_internal.setting('hit_details');
    results tid[] := array(
        select i.ctid from marketing_automation_internal.event_inbox i
        where i.ctid = any (hits) and i.kind in ('email_sent', 'email_bounced'));
begin
    if results <> '{}' then
        perform marketing_automation_internal.apply_results(results);
    end if;
    select c.no_opens, c.no_clicks, c.unknown into no_opens, no_clicks, unknown
    from marketing_automation_internal.withheld_consent(array(select distinct i.record_id from marketing_automation_internal.event_inbox i
        where i.ctid = any (hits))) c;
    if unknown <> '{}' then
        hits := array(select i.ctid from marketing_automation_internal.event_inbox i where i.ctid = any (hits)
            and i.record_id <> all (unknown));
    end if;

    with hit as (
        delete from marketing_automation_internal.event_inbox i where i.ctid = any (hits) returning i.method, i.user_agent, i.address,
            i as inbox
    ), look as (
        -- Judged by all that came, before hit_details leaves less of it.
        select marketing_automation_internal.robot_by_look(h.method, h.user_agent, h.address) as robot,
               marketing_automation_internal.kept_user_agent(h.user_agent) as user_agent,
               case when details = 'full' then h.address end as address,
               array_agg(h.inbox) as hits
        from hit h group by h.method, h.user_agent, h.address
    ), inserted as (
        insert into marketing_automation_internal.event
            (id, occurred_at, kind, record_id, activity_id, link_id, method, address, user_agent, robot)
        select h.id, h.occurred_at, h.kind, h.record_id, h.activity_id, h.link_id, h.method, l.address, l.user_agent, l.robot
        from look l cross join lateral unnest(l.hits) h
        where case h.kind when 'email_opened' then h.record_id <> all (no_opens) else h.record_id <> all (no_clicks) end
        on conflict do nothing
        returning event.ctid, event.record_id, event.activity_id, event.kind, event.robot
    )
    select array_agg(i.ctid), array_agg(i.record_id) filter (where i.robot is not null),
        array_agg(i.activity_id) filter (where i.robot is not null),
           array_agg(i.kind) filter (where i.robot is not null), array_agg(1) filter (where i.robot is not null)
    into fresh, records, activities, kinds, changes from inserted i;
    perform marketing_automation_internal.count_robots(records, activities, kinds, changes);
    people := marketing_automation_internal.classify_events(fresh);
    -- What has become a robot's is not there any more: an update moves a row. With the clicks of a mail its earlier ones are judged
    -- again, by rules that may have changed.
    perform marketing_automation_internal.mark_events(array_agg(e.record_id), array_agg(e.activity_id), array_agg(e.kind),
        array_agg(e.occurred_at), no_opens)
    from marketing_automation_internal.event e
    where are_known and (e.ctid = any (fresh) and e.robot is null or e.id = any (people) and e.record_id <> all (no_clicks))
    having count(*) > 0;
end $$;
comment on function marketing_automation_internal.apply_hits(tid[], boolean) is
    'API: private. Moves rows of the inbox into the log and applies those whose id is new there; what somebody does not consent to '
    'goes without a trace; what nobody can be asked about now stays in the inbox. The caller holds the rows of their mails; '
    'those of mails that are not known are kept in the log only, as one that appears meanwhile is not locked';

create function marketing_automation_internal.apply_or_fail(hits tid[], are_known boolean default true) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    part marketing_automation_internal.search := marketing_automation_internal.start_search(cardinality(hits));
    failed boolean;
    message text;
    code text;
begin
    while part.first is not null loop
        begin
            perform marketing_automation_internal.apply_hits(hits[part.first:part.last], are_known);
            failed := false;
        exception when others then
            get stacked diagnostics message = message_text, code = returned_sqlstate;
            if marketing_automation_internal.is_passing_error(code) then
                raise;
            end if;
            failed := true;
        end;
        if failed and part.first = part.last then
            update marketing_automation_internal.event_inbox i set error = message, error_code = code where i.ctid = hits[part.first];
        end if;
        part := marketing_automation_internal.next_part(part, failed);
    end loop;
end $$;
comment on function marketing_automation_internal.apply_or_fail(tid[], boolean) is
    'API: private. Like apply_hits(), but an event that cannot be applied stays in the inbox alone, with its error';

create function marketing_automation_internal.free_hits(hits tid[], out known tid[], out unknown tid[])
language sql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set jit = off set random_page_cost = 1 as $$
    with hit as materialized (
        select i.ctid, i.record_id, i.activity_id from marketing_automation_internal.event_inbox i where i.ctid = any (hits)
    ), mail as materialized (
        select h.record_id, h.activity_id from hit h group by h.record_id, h.activity_id
    ), locked as materialized (
        select f.record_id, f.activity_id from mail m
        join marketing_automation_internal.finished_activity f on f.record_id = m.record_id and f.activity_id = m.activity_id
        for no key update of f skip locked
    ), unknown as materialized (
        select m.record_id, m.activity_id from mail m
        where not exists (
            select from marketing_automation_internal.finished_activity f where f.record_id = m.record_id and f.activity_id = m.activity_id)
    )
    -- In order of record, for whoever has to halve them.
    select coalesce(array_agg(h.ctid order by h.record_id, h.activity_id) filter (where m.is_known), '{}'),
           coalesce(array_agg(h.ctid order by h.record_id, h.activity_id) filter (where not m.is_known), '{}')
    from hit h
    join (select l.record_id, l.activity_id, true as is_known from locked l
          union all select u.record_id, u.activity_id, false from unknown u) m
        on m.record_id = h.record_id and m.activity_id = h.activity_id
$$;
comment on function marketing_automation_internal.free_hits(tid[], out tid[], out tid[]) is
    'API: private. Of these rows of the inbox, those of mails that no other session holds, whose rows in finished_activity are locked '
    'now; and those of no mail that we know, which only who holds event_application may apply';

create function marketing_automation_internal.apply_batch(batch_size integer, full_scan boolean default true) returns integer
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set jit = off set random_page_cost = 1 as $$
declare
    -- Until when clicks came that are to be judged; null: none waits.
    ripe timestamptz := statement_timestamp() - marketing_automation_internal.click_window();
    since timestamptz := case when full_scan then '-infinity' else marketing_automation_internal.queue_cursor('click', 0, '') end;
    clicks record;
    looked_at integer := 0;
    position tid;
    reached tid;
    hits tid[];
    free record;
    batch tid[] := '{}';
    strays tid[] := '{}';
    is_ours boolean;
    has_begun_anew boolean := false;
    held boolean := false;
    wanted integer;
    unasked integer[] := marketing_automation_internal.unasked_scenarios('consent');
begin
    select a.position into position from marketing_automation_internal.event_application a for update skip locked;
    is_ours := found;
    if not is_ours then
        -- Somebody applies events too, or has done so in a transaction that is still open: what they hold is passed over.
        select a.position into strict position from marketing_automation_internal.event_application a;
    end if;
    reached := position;
    -- Half of the batch are clicks that have waited long enough; more, if there is not so much of the rest.
    if ripe is not null then
        select c.* into clicks
        from marketing_automation_internal.free_clicks(since, ripe, batch_size / 2, unasked, is_ours, 0, false) c;
        batch := clicks.known;
        strays := clicks.strays;
        held := clicks.held;
        looked_at := clicks.skipped;
    end if;
    -- From there to the end, and from the beginning to there. Much that others hold is not to keep us for long.
    for round in 1..20 loop
        wanted := batch_size - cardinality(batch) - cardinality(strays);
        exit when wanted <= 0;
        select array_agg(h.ctid), coalesce(max(h.ctid), reached) into hits, reached
        from (select i.ctid from marketing_automation_internal.event_inbox i
              where i.ctid > reached and (not has_begun_anew or i.ctid <= position) and i.error is null
                and (ripe is null or i.kind <> 'email_clicked')
                and (unasked = '{}' or i.kind not in ('email_opened', 'email_clicked') or not exists (
                    select from marketing_automation_internal.record r where r.id = i.record_id and r.scenario_id = any (unasked)))
              limit wanted) h;
        if hits is not null then
            select f.* into free from marketing_automation_internal.free_hits(hits) f;
            batch := batch || free.known;
            if is_ours then
                strays := strays || free.unknown;
            end if;
            held := held or cardinality(free.known) + case when is_ours then cardinality(free.unknown) else 0 end < cardinality(hits);
            exit when cardinality(batch) + cardinality(strays) >= batch_size;
        end if;
        if hits is null or cardinality(hits) < wanted then
            reached := '(0,0)';
            exit when has_begun_anew or position = '(0,0)';
            has_begun_anew := true;
        end if;
    end loop;
    wanted := batch_size - cardinality(batch) - cardinality(strays);
    if ripe is not null and wanted > 0 and looked_at >= batch_size / 2 then
        select c.* into clicks
        from marketing_automation_internal.free_clicks(since, ripe, wanted, unasked, is_ours, looked_at, held) c;
        batch := batch || clicks.known;
        strays := strays || clicks.strays;
        held := clicks.held;
    end if;
    -- At once, as the clicks of a mail are judged together.
    if batch <> '{}' then
        perform marketing_automation_internal.apply_or_fail(batch);
    end if;
    if strays <> '{}' then
        perform marketing_automation_internal.apply_or_fail(strays, are_known => false);
    end if;
    if is_ours and reached <> position then
        update marketing_automation_internal.event_application a set position = reached;
    end if;
    return case when batch || strays <> '{}' or not held then cardinality(batch || strays) end;
end $$;
comment on function marketing_automation_internal.apply_batch(integer, boolean) is
    'API: private. Applies at most batch_size events of the inbox and returns how many; null when other sessions hold all that is '
    'there. Clicks wait for click_window(). full_scan: looks for clicks from the beginning, not from where it found some last: see '
    'queue_cursor()';

create function marketing_automation_internal.wait_for_event_application() returns void
language plpgsql set search_path = pg_catalog, pg_temp set lock_timeout = '1s' as $$
begin
    perform from marketing_automation_internal.event_application a for update;
exception when lock_not_available then
    null;
end $$;
comment on function marketing_automation_internal.wait_for_event_application() is
    'API: private. Waits for who applies events, but not longer than a second: their transaction may stay open';

create function marketing_automation.apply_events(batch_size integer default 5000) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if batch_size is null or batch_size not between 1 and 100000 then
        raise exception 'batch_size must be between 1 and 100000, not %', batch_size
            using errcode = 'invalid_parameter_value', hint = 'Leave it away for 5000.';
    end if;
    perform marketing_automation_internal.wait_for_event_application();
    return coalesce(marketing_automation_internal.apply_batch(batch_size), 0);
end $$;
comment on function marketing_automation.apply_events(integer) is
    'API: public. Applies recorded opens and clicks, at most batch_size (1 to 100000), to activities and the log; returns how many, '
    '0 when nothing is left but what other sessions hold, and clicks that wait for the rules about robots. The '
    'mailer does this within a moment, and process_due() for its own records; for databases without a mailer, or to be sure that it is done';

create function marketing_automation_internal.apply_events_of(activity_id integer, records bigint[]) returns bigint[]
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set jit = off set random_page_cost = 1 as $$
declare
    ripe timestamptz := statement_timestamp() - marketing_automation_internal.click_window();
    hits tid[];
    unripe bigint[];
begin
    select coalesce(array_agg(i.ctid order by i.record_id) filter (where not w.waits), '{}'),
        coalesce(array_agg(i.record_id) filter (where w.waits), '{}')
    into hits, unripe
    from marketing_automation_internal.event_inbox i
    cross join lateral (select coalesce(i.kind = 'email_clicked' and i.occurred_at > ripe, false) as waits) w
    where i.activity_id = apply_events_of.activity_id and i.record_id = any (records) and i.error is null;
    if hits <> '{}' then
        perform marketing_automation_internal.apply_or_fail(hits);
    end if;
    if hits <> '{}' or unripe <> '{}' then
        return array(
            select u.id from unnest(records) as u (id)
            where u.id <> all (unripe) and not exists (
                select from marketing_automation_internal.event_inbox i
                where i.ctid = any (hits) and i.record_id = u.id and i.activity_id = apply_events_of.activity_id and i.error is null)
            order by u.id);
    end if;
    return records;
end $$;
comment on function marketing_automation_internal.apply_events_of(integer, bigint[]) is
    'API: private. Applies what the inbox holds about an activity of these records, whose rows in finished_activity the caller has '
    'locked, but for clicks that wait for the rules about robots. Returns the records of which nothing is left there';
