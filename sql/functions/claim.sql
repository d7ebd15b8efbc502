-- The claim: the last look before a mail leaves, see src/delivery/store.rs.

create function marketing_automation_internal.mails_are_due(moment timestamptz, full_scan boolean, only_of integer[])
    returns boolean
language plpgsql volatile set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off
-- A row at a time through indexes, so that the plan is right whatever the sizes are, and kept.
set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off set enable_material = off
as $$
begin
    return exists (
        select from marketing_automation.scenario s
        join marketing_automation.activity a on a.scenario_id = s.id
            and a.id not in (select x.activity_id from marketing_automation_internal.barred_activity x)
        cross join (select '' as name union all select q.domain from marketing_automation_internal.domain_queue q) l
        cross join lateral (select case when full_scan then '-infinity'
            else marketing_automation_internal.queue_cursor('outbox', a.id, l.name) end as at) begin
        cross join lateral (
            select from marketing_automation_internal.outbox o
            where o.activity_id = a.id and o.domain_queue = l.name and o.due_at between begin.at and moment
              and o.state = 'queued' and o.record_id is not null
            order by o.due_at limit 1) first
        where s.state = 'running' and (only_of is null or s.id = any (only_of)))
      or only_of is null and exists (
        select from marketing_automation_internal.outbox o
        where o.record_id is null and o.due_at <= moment and o.state = 'queued'
          and o.activity_id not in (select x.activity_id from marketing_automation_internal.barred_activity x));
end $$;
comment on function marketing_automation_internal.mails_are_due(timestamptz, boolean, integer[]) is
    'API: private. Whether claim_messages() would look at any mail: of all that it looks at, whatever it decides then. full_scan, only_of: as '
    'of claim_messages()';

create function marketing_automation_internal.claim_due_messages(batch_size integer, full_scan boolean, claimer integer, assumed timestamptz,
    only_of integer[])
returns table (id bigint, attempt integer, record_id bigint, record_uuid uuid, activity_id integer, activity_version integer,
               email text, recipient_name text, language text, time_zone text, context jsonb, party text, age_seconds double precision,
               track_opens boolean, track_clicks boolean, channel text, closes_in double precision, template_id integer, target text, addresses jsonb)
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set random_page_cost = 1
-- A bitmap has to be made of all that is due, when a batch is wanted.
set enable_bitmapscan = off
set jit = off
-- What is switched off below must be named here, or it would last as long as the transaction.
set enable_seqscan = on set enable_hashjoin = on set enable_mergejoin = on set enable_material = on
as $$
#variable_conflict use_column
declare
    moment timestamptz := coalesce(assumed, statement_timestamp());
    limited boolean := exists (select from marketing_automation_internal.domain_queue);
    capped boolean := exists (select from marketing_automation.frequency_cap);
    barred integer[] := array(select b.activity_id from marketing_automation_internal.barred_activity b);
    -- Null: no scenario asks before its mails leave.
    may_leave boolean := (
        select true from marketing_automation.scenario s
        where s.state = 'running' and (s.exit_condition is not null or s.goal_ends_journey
            or marketing_automation_internal.has_dates(s.id)) limit 1);
    unasked integer[] := '{}';
    varied integer[] := array(
        select unnest(array[v.parent_id, v.id]) from marketing_automation.activity v where v.on_event = 'variant');
    -- Whether some mails go before others.
    ranked boolean := (
        select min(marketing_automation_internal.precedence(k, s)) <> max(marketing_automation_internal.precedence(k, s)) from marketing_automation.activity a
        join marketing_automation.scenario s on s.id = a.scenario_id and s.state = 'running'
        join marketing_automation.message_class k on k.name = coalesce(a.message_class, s.message_class)
        where a.action = 'send_email');
    queues text[];
    tokens double precision[];
    ids bigint[];
    versions integer[];
    uuids uuid[];
    closings timestamptz[];
    moved bigint[];
    moved_to timestamptz[];
    looked_at integer;
    refused bigint[];
    refused_of integer[];
begin
    if capped and only_of is null then
        -- Whoever claims next counts what is claimed now. A rehearsal, which lasts, lets others claim.
        perform from marketing_automation_internal.capped_claim c for update;
    end if;
    if limited and only_of is not null then
        -- Limits are what leaves in real time.
        select array_agg(b.domain), array_agg(null::double precision) into queues, tokens from marketing_automation_internal.domain_queue b;
    elsif limited then
        perform from marketing_automation_internal.domain_queue b order by b.domain for update;
        select array_agg(b.domain_queue), array_agg(b.tokens) into queues, tokens
        from marketing_automation_internal.domain_queue_budget b where b.tokens >= 1 or b.tokens is null;
    end if;
    if only_of is null and not (limited or capped or may_leave is not null or exists (select from marketing_automation.send_window)) then
        -- Then a row at a time through indexes is right whatever the sizes are, and such a plan is kept: making one takes as long as a
        -- hundred mails. What is kept must not rest on a table being empty now, so nothing reads all of one.
        perform set_config(k.name, k.setting, true)
        from (values ('plan_cache_mode', 'force_generic_plan'), ('enable_seqscan', 'off'), ('enable_hashjoin', 'off'),
            ('enable_mergejoin', 'off'), ('enable_material', 'off')) as k (name, setting);
    end if;
    -- A batch of which nothing may leave is followed by the next, within bounds.
    for round in 1..20 loop
        if may_leave then
            unasked := marketing_automation_internal.unasked_scenarios('leave');
        end if;
        with domain_queue as (
            select '' as name, batch_size as quota, null::double precision as tokens
            union all
            select l.name, coalesce(floor(l.tokens)::integer, batch_size), l.tokens from unnest(queues, tokens) as l (name, tokens)
        ), queued as materialized (
            select a.id, a.version, a.scenario_id, a.expires_after,
                   -- What goes to machines has no windows, topics and ways to leave.
                   case when m.is_mail then coalesce(a.send_window, s.send_window) end as send_window,
                   case when m.is_mail then k.send_window end as class_window,
                   case when m.is_mail and k.honors_unsubscribe then s.topic end as topic, m.is_mail and k.honors_unsubscribe as honors_unsubscribe,
                   marketing_automation_internal.precedence(k, s) as precedence,
                   l.name as domain_queue, l.quota,
                   case when ranked then (
                       select count(*) from (
                           select from marketing_automation_internal.outbox o
                           where o.activity_id = a.id and o.domain_queue = l.name and o.due_at between first.due_at and moment
                             and o.state = 'queued' and o.record_id is not null
                           limit least(batch_size, l.quota)) o) end as due_mails,
                   marketing_automation_internal.set_queue_cursor('outbox', a.id, l.name, first.due_at) as first_due_at
            from marketing_automation.activity a
            join marketing_automation.scenario s on s.id = a.scenario_id and s.state = 'running' and a.id <> all (barred)
                and s.id <> all (unasked) and (only_of is null or s.id = any (only_of))
            join marketing_automation.message_class k on k.name = coalesce(a.message_class, s.message_class)
            cross join lateral (select a.action is distinct from 'webhook' as is_mail) m
            cross join domain_queue l
            cross join lateral (select case when full_scan then '-infinity' else marketing_automation_internal.queue_cursor('outbox',
                a.id, l.name) end as at) begin
            -- Not exists(): the planner may make it a join with all that is due.
            cross join lateral (
                select o.due_at from marketing_automation_internal.outbox o
                where o.activity_id = a.id and o.domain_queue = l.name and o.due_at between begin.at and moment
                  and o.state = 'queued' and o.record_id is not null
                order by o.due_at limit 1) first
        ), active as materialized (
            -- Activities with due mails share what those that go before them leave of the batch, so that a large campaign does not hold up
            -- a small one; so do queues.
            select q.*, case when q.room > 0 and q.room_in_queue > 0 then greatest(least(
                q.room / count(*) over (partition by q.precedence),
                q.room_in_queue / count(*) over (partition by q.domain_queue, q.precedence)), 1) else 0 end as share
            from (
                select q.*, batch_size - coalesce(sum(q.due_mails) over before, 0) as room,
                    q.quota - coalesce(sum(q.due_mails) over before_in_queue, 0) as room_in_queue
                from queued q
                window before as (order by q.precedence desc range between unbounded preceding and current row exclude group),
                    before_in_queue as (partition by q.domain_queue order by q.precedence desc
                        range between unbounded preceding and current row exclude group)) q
        ), due as materialized (
            select o.id, a.version, a.scenario_id, a.expires_after, a.send_window, a.class_window, a.topic, a.honors_unsubscribe, o.time_zone,
                a.domain_queue, a.quota,
                row_number() over (partition by a.domain_queue order by a.precedence desc) as place
            from active a
            cross join lateral (
                select o.id, o.time_zone from marketing_automation_internal.outbox o
                where o.activity_id = a.id and o.domain_queue = a.domain_queue and o.due_at between a.first_due_at and moment
                  and o.state = 'queued' and o.record_id is not null
                order by o.due_at limit a.share for update skip locked) o
            order by a.precedence desc limit batch_size
        ), test as materialized (
            -- Also of scenarios that do not run. Before the others, as somebody waits for them, and within the same limits.
            select o.*, row_number() over (partition by o.domain_queue order by o.due_at, o.id) as place
            from (select o.id, a.version, a.scenario_id, a.expires_after, l.name as domain_queue, l.quota, o.due_at
                  from marketing_automation_internal.outbox o
                  join marketing_automation.activity a on a.id = o.activity_id
                  join domain_queue l on l.name = o.domain_queue
                  where only_of is null and o.record_id is null and o.due_at <= moment and o.state = 'queued' and o.activity_id <> all (barred)
                  order by o.due_at limit batch_size for update of o skip locked) o
        ), leaving as materialized (
            select l.id, min(l.objection) as objection, max(l.waits_until) as waits_until, max(l.moved_to) as moved_to
            from marketing_automation_internal.leaving_mails(
                case when may_leave then array(select d.id from due d) end, assumed) l group by l.id
        ), send_window as materialized (
            -- Once for each window and zone. Tests wait for none.
            select d.send_window as name, d.time_zone, t.opens_at, t.closes_at,
                   -- In the minute before a clock change an open one makes mails wait, too.
                   w.outside = 'skip' and not marketing_automation_internal.is_open(w,
                       marketing_automation_internal.window_zone(w, d.time_zone), moment) as skips
            from (select distinct n.name as send_window, u.time_zone from due u cross join lateral (values (u.send_window), (u.class_window)) n (name)
                  where n.name is not null) d
            join marketing_automation.send_window w on w.name = d.send_window
            cross join lateral marketing_automation_internal.window_state(w, marketing_automation_internal.window_zone(w, d.time_zone),
                moment) t
        ), examined as materialized (
            select d.id, d.version, coalesce(r.uuid, md5(format('test %s %s', o.id, extract(epoch from o.created_at)))::uuid) as uuid,
                d.domain_queue,
                   greatest(w.opens_at, v.opens_at, e.waits_until) as not_before, least(w.closes_at, v.closes_at) as closes_at, e.moved_to,
                   -- First, as what was made while forget() ran is erased here, whatever else forbids it.
                   case when x.reason = 'forgotten' then 'address suppressed: forgotten'
                        when r.blocked_at is not null or exists (
                            select from marketing_automation.unsubscription u
                            where d.honors_unsubscribe and u.scenario_id in (0, d.scenario_id) and u.party = r.party)
                        then 'record blocked or party unsubscribed'
                        when r.end_reason is not null then marketing_automation_internal.end_objection(r.end_reason)
                        when d.expires_after is not null
                            and marketing_automation_internal.after_delay(o.created_at, d.expires_after, o.time_zone) <= moment
                            then 'expired'
                        when exists (
                            select from marketing_automation_internal.unsubscribed_address u
                            where d.honors_unsubscribe and u.address_hash = g.address_hash and u.scenario_id in (0, d.scenario_id)
                              and (u.spares_party and u.party = r.party) is not true and o.record_id is not null)
                        then 'address unsubscribed'
                        when d.topic is not null and marketing_automation_internal.topic_objection(d.topic, k.opt_in, p.state, n.state) is not null
                        then marketing_automation_internal.topic_objection(d.topic, k.opt_in, p.state, n.state)
                        when o.target is not null then coalesce(e.objection, marketing_automation_internal.webhook_objection((
                            select s.owner_id from marketing_automation.scenario s where s.id = d.scenario_id), o.target))
                        when (w.skips or v.skips) and coalesce(x.reason, e.objection) is null
                        then format('outside send window "%s"', case when w.skips then w.name else v.name end)
                        else coalesce('address suppressed: ' || x.reason, e.objection) end as objection,
                   o.target, case when limited and d.domain_queue = '' and o.target is null then (
                       select l.domain from marketing_automation.domain_limit l
                           where l.domain = marketing_automation_internal.address_domain(o.email)) end as other_lane
            from (select d.id, d.version, d.scenario_id, d.expires_after, d.domain_queue, d.send_window, d.class_window, d.topic, d.time_zone,
                      d.honors_unsubscribe
                  from due d
                  where d.place + (select count(*) from test t where t.domain_queue = d.domain_queue) <= d.quota
                  union all
                  select t.id, t.version, t.scenario_id, t.expires_after, t.domain_queue, null, null, null, null, false from test t
                  where t.place <= t.quota) d
            left join send_window w on w.name = d.send_window and w.time_zone is not distinct from d.time_zone
            left join send_window v on v.name = d.class_window and v.time_zone is not distinct from d.time_zone
            join marketing_automation_internal.outbox o on o.id = d.id
            left join marketing_automation_internal.record r on r.id = o.record_id
            left join leaving e on e.id = d.id
            -- Once for all lists.
            cross join lateral (select marketing_automation.address_hash(o.email) offset 0) as h (address_hash)
            -- What has been left is left by the party, not by who gets its mail instead.
            cross join lateral (select case when o.addresses ? 'party' then marketing_automation.address_hash(o.addresses #>> '{party,email}')
                else h.address_hash end offset 0) as g (address_hash)
            left join marketing_automation.topic k on k.name = d.topic
            left join marketing_automation.subscription p on p.topic = d.topic and p.party = r.party and p.address_hash is null
            left join marketing_automation.subscription n on n.topic = d.topic and n.address_hash = g.address_hash
            cross join lateral (select coalesce((select s.reason from marketing_automation.suppression s where s.address_hash = h.address_hash),
                -- What is about a person who is forgotten goes to nobody.
                case when o.addresses ? 'party' then (select s.reason from marketing_automation.suppression s
                    where s.address_hash = g.address_hash and s.reason = 'forgotten') end) offset 0) as x (reason)
        ), over_cap as materialized (
            select m.id, m.waits_until, case when m.skips then m.reason end as objection
            from marketing_automation_internal.capped_mails(case when capped then array(
                select x.id from examined x where x.objection is null and x.not_before is null and x.other_lane is null and x.target is null) end,
                moment) m
        ), checked as materialized (
            select x.id, x.version, x.uuid, x.domain_queue, coalesce(x.not_before, m.waits_until) as not_before, x.closes_at,
                coalesce(x.objection, m.objection) as objection, x.other_lane, x.moved_to
            from examined x left join over_cap m on m.id = x.id
        ), suppressed as (
            delete from marketing_automation_internal.outbox o using checked c where c.objection is not null and o.id = c.id
                returning o.*, c.objection
        ), logged as (
            insert into marketing_automation_internal.message_log
                (id, record_id, activity_id, key, party, email, recipient_name, language, time_zone, context, track_opens, track_clicks,
                    created_at, state, attempts, finished_at, smtp_reply, target, addresses)
            -- forget() did not see what was made in that moment, or has been made again since. What the row was, nobody needs any more.
            select s.id, s.record_id, s.activity_id, case when f.is_its_address then '' else s.key end,
                case when not f.is_its_party then s.party end, case when f.is_forgotten then '' else s.email end,
                case when not f.is_forgotten then s.recipient_name end, case when not f.is_forgotten then s.language end,
                case when not f.is_forgotten then s.time_zone end, '{}',
                s.track_opens, s.track_clicks, s.created_at,
                   'suppressed', s.attempts, moment, s.objection, s.target, case when not f.is_forgotten then s.addresses end
            from suppressed s
            cross join lateral (
                select o.is_forgotten, o.is_forgotten and marketing_automation_internal.lower_case(s.key) = o.address as is_its_address,
                    o.is_forgotten and coalesce(marketing_automation_internal.lower_case(s.party) = o.address, false) as is_its_party
                from (
                    select s.objection = 'address suppressed: forgotten' as is_forgotten, marketing_automation_internal.lower_case(coalesce(
                        marketing_automation_internal.party_address(s.email, s.addresses), s.email)) as address) o) f
        ), counters as (
            insert into marketing_automation_internal.activity_counter (activity_id, period, not_sent)
            select s.activity_id, marketing_automation_internal.counter_period(s.created_at), count(*) from suppressed s
            where s.record_id is not null group by 1, 2
        ), moved as (
            update marketing_automation_internal.outbox o
            set domain_queue = coalesce(c.other_lane, o.domain_queue), due_at = coalesce(c.not_before, o.due_at)
            from checked c where c.objection is null and coalesce(c.other_lane, c.not_before::text) is not null and o.id = c.id
        ), spent as (
            update marketing_automation_internal.domain_queue b set tokens = l.tokens - c.mails, refilled_at = moment
            from domain_queue l
            join (select c.domain_queue, count(*) as mails from checked c where c.objection is null and c.not_before is null
                and c.domain_queue <> '' group by c.domain_queue) c on c.domain_queue = l.name
            where l.tokens is not null and b.domain = l.name
        )
        select array_agg(c.id) filter (where f.is_free), array_agg(c.version) filter (where f.is_free),
            array_agg(c.uuid) filter (where f.is_free), array_agg(c.closes_at) filter (where f.is_free),
            array_agg(c.id) filter (where f.has_moved), array_agg(c.moved_to) filter (where f.has_moved), count(*),
            (select array_agg(s.record_id) from suppressed s where s.target is not null and s.objection ~ '^(webhook target|expired)'),
            (select array_agg(s.activity_id) from suppressed s where s.target is not null and s.objection ~ '^(webhook target|expired)')
        into ids, versions, uuids, closings, moved, moved_to, looked_at, refused, refused_of
        from checked c cross join lateral (select c.objection is null and c.other_lane is null and c.not_before is null as is_free,
            c.objection is null and c.moved_to is not null as has_moved) f;
        perform marketing_automation_internal.wait_again(moved, moved_to, moment) where moved is not null;
        perform marketing_automation_internal.start_after_refusal(refused, refused_of, moment) where refused is not null;
        if capped then
            perform marketing_automation_internal.count_capped(array(
                select o.id from marketing_automation_internal.outbox o where o.id = any (ids) and o.target is null), moment);
        end if;
        return query
            update marketing_automation_internal.outbox o
            set state = 'sending', mailer = claimer, attempts = o.attempts + 1, first_attempt_at = coalesce(o.first_attempt_at, moment)
            from unnest(ids, versions, uuids, closings) as c (id, version, uuid, closes_at)
            where o.id = c.id
            returning o.id, o.attempts, o.record_id, c.uuid, o.activity_id,
                case when o.activity_id = any (varied) then marketing_automation_internal.template_version(
                    marketing_automation_internal.template_of(o.record_id, o.activity_id)) else c.version end, o.email, o.recipient_name, o.language,
                o.time_zone,
                o.context,
                      o.party, extract(epoch from moment - o.first_attempt_at)::double precision, o.track_opens,
                          o.track_clicks, o.channel, extract(epoch from c.closes_at - moment)::double precision,
                      case when o.activity_id = any (varied) then marketing_automation_internal.template_of(o.record_id, o.activity_id)
                          else o.activity_id end, o.target,
                      case when o.addresses is not null then marketing_automation_internal.sendable_addresses(o.addresses) end;
        -- Asking whether they may leave takes time, too.
        exit when found or looked_at = 0 and ranked is not true
            or only_of is null and may_leave and clock_timestamp() > statement_timestamp() + interval '1 second';
        -- Somebody else may hold what goes before: then it leaves already.
        ranked := ranked and looked_at > 0;
    end loop;
end $$;
comment on function marketing_automation_internal.claim_due_messages(integer, boolean, integer, timestamptz, integer[]) is
    'API: private. The part of claim_messages() that looks at the mails that are due';

create function marketing_automation_internal.claim_messages(batch_size integer, full_scan boolean default true, claimer integer default null,
    assumed timestamptz default null, only_of integer[] default null)
returns table (id bigint, attempt integer, record_id bigint, record_uuid uuid, activity_id integer, activity_version integer,
               email text, recipient_name text, language text, time_zone text, context jsonb, party text, age_seconds double precision,
               track_opens boolean, track_clicks boolean, channel text, closes_in double precision, template_id integer, target text, addresses jsonb)
-- Its own statements are small, and asked every time: their plans are kept.
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan as $$
begin
    if only_of is null then
        perform marketing_automation_internal.rescue_orphans();
    end if;
    -- Rows of a dump, or of a publication, may have come since the mailer last asked whether it is armed.
    if only_of is null and (exists (select from marketing_automation.sending_pause) or exists (
        select from marketing_automation.origin o
        join marketing_automation_internal.armed a on (o.system_identifier, o.database) <> (a.system_identifier, a.database)))
    then
        return;
    end if;
    if only_of is null and full_scan then
        perform marketing_automation_internal.drop_browser_mails();
        perform marketing_automation_internal.sweep_files();
    end if;
    -- Mostly nothing is due, and planning the claim takes longer than finding that.
    if marketing_automation_internal.mails_are_due(coalesce(assumed, statement_timestamp()), full_scan, only_of) then
        return query select c.* from marketing_automation_internal.claim_due_messages(batch_size, full_scan, claimer, assumed, only_of) c;
    end if;
end $$;
comment on function marketing_automation_internal.claim_messages(integer, boolean, integer, timestamptz, integer[]) is
    'API: private. Claims at most batch_size due mails of running scenarios, by the priority of their classes and scenarios, oldest first within an activity, '
    'shared fairly between activities, no more to a domain than its limit; those of blocked records, unsubscribed parties and addresses, '
    'topics that are not wanted, suppressed addresses, of ended journeys, and what has expired, end as suppressed; what finds its window '
    'shut waits for its opening, that whose date has moved for that, what is over a frequency cap until there is room, and that of which it is '
    'not known whether it may leave, for a moment or a minute. None during a pause. '
    'full_scan: looks for due mails from the beginning, not from where it '
    'found some last: see queue_cursor(). claimer: the mailer that claims, null: the worker. closes_in: seconds until its window closes, '
    'null: it has none. template_id: the activity, or the variant, whose texts it has; target: of a webhook, its origin; addresses: see outbox, without '
    'suppressed copies, which stand in left_out. assumed, only_of: for rehearse(), the time to '
    'assume and the only scenarios; pauses and limits of domains do not count, then, and nobody''s rows are locked but theirs';
