-- What delivery asks of the database: short transactions around the network, see src/delivery/store.rs.

create function marketing_automation_internal.rescue_messages(hold boolean, starting integer default null,
    spare_worker boolean default false) returns bigint
language sql set search_path = pg_catalog, pg_temp as $$
    with living as materialized (
        select m.id from marketing_automation_internal.mailer m
        where m.pid is not null and m.id is distinct from starting
          and not marketing_automation_internal.has_ended(m.pid, m.backend_start)
    ), dead as materialized (
        select o.id, o.attempts from marketing_automation_internal.outbox o
        where o.state = 'sending' and case when o.mailer is null then not spare_worker else o.mailer not in (select l.id from living l) end
    ), rescued as (
        update marketing_automation_internal.outbox o
        set state = case when hold then 'in_doubt' else 'queued' end,
            due_at = case when hold then 'infinity' else o.due_at end,
            smtp_reply = 'in flight when the mailer stopped'
        from dead d
        -- Of that attempt: somebody may have taken it back and claimed it again meanwhile.
        where o.id = d.id and o.attempts = d.attempts and o.state = 'sending'
        returning o.id, o.attempts, o.smtp_reply
    ), counted as (
        -- It may have been taken.
        update marketing_automation_internal.capped_mail m set at = statement_timestamp()
        from rescued r where m.message_id = r.id and m.attempt = r.attempts
    ), attempt as (
        insert into marketing_automation_internal.attempt_log (message_id, attempt, ended_at, state, reply)
        select r.id, r.attempts, statement_timestamp(), 'in_doubt', r.smtp_reply from rescued r
        on conflict do nothing
    )
    select count(*) from rescued;
$$;
comment on function marketing_automation_internal.rescue_messages(boolean, integer, boolean) is
    'API: private. What a sender had in flight that is at work no more is sent again under the same Message-ID, or held as in_doubt. '
    'starting: the mailer that begins, and has nothing in flight yet; spare_worker: the worker is at work';

create function marketing_automation_internal.claim_messages(batch_size integer, full_scan boolean default true, claimer integer default null,
    assumed timestamptz default null, only_of integer[] default null)
returns table (id bigint, attempt integer, record_id bigint, record_uuid uuid, activity_id integer, activity_version integer,
               email text, recipient_name text, language text, time_zone text, context jsonb, party text, age_seconds double precision,
               track_opens boolean, track_clicks boolean, channel text, closes_in double precision)
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set random_page_cost = 1
-- A bitmap has to be made of all that is due, when a batch is wanted.
set enable_bitmapscan = off
set jit = off
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
        where s.state = 'running' and (s.exit_condition is not null or s.goal_ends_journey) limit 1);
    unasked integer[] := '{}';
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
    looked_at integer;
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
            select a.id, a.version, a.scenario_id, a.expires_after, coalesce(a.send_window, s.send_window) as send_window,
                   k.send_window as class_window,
                   case when k.honors_unsubscribe then s.topic end as topic, k.honors_unsubscribe,
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
            select l.id, min(l.objection) as objection, max(l.waits_until) as waits_until
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
                   greatest(w.opens_at, v.opens_at, e.waits_until) as not_before, least(w.closes_at, v.closes_at) as closes_at,
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
                            where d.honors_unsubscribe and u.address_hash = h.address_hash and u.scenario_id in (0, d.scenario_id)
                              and (u.spares_party and u.party = r.party) is not true and o.record_id is not null)
                        then 'address unsubscribed'
                        when d.topic is not null and marketing_automation_internal.topic_objection(d.topic, k.opt_in, p.state, n.state) is not null
                        then marketing_automation_internal.topic_objection(d.topic, k.opt_in, p.state, n.state)
                        when (w.skips or v.skips) and coalesce(x.reason, e.objection) is null
                        then format('outside send window "%s"', case when w.skips then w.name else v.name end)
                        else coalesce('address suppressed: ' || x.reason, e.objection) end as objection,
                   case when limited and d.domain_queue = '' then (
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
            left join marketing_automation.topic k on k.name = d.topic
            left join marketing_automation.subscription p on p.topic = d.topic and p.party = r.party and p.address_hash is null
            left join marketing_automation.subscription n on n.topic = d.topic and n.address_hash = h.address_hash
            cross join lateral (select (select s.reason from marketing_automation.suppression s where s.address_hash = h.address_hash) offset 0)
                as x (reason)
        ), over_cap as materialized (
            select m.id, m.waits_until, case when m.skips then m.reason end as objection
            from marketing_automation_internal.capped_mails(case when capped then array(
                select x.id from examined x where x.objection is null and x.not_before is null and x.other_lane is null) end,
                moment) m
        ), checked as materialized (
            select x.id, x.version, x.uuid, x.domain_queue, coalesce(x.not_before, m.waits_until) as not_before, x.closes_at,
                coalesce(x.objection, m.objection) as objection, x.other_lane
            from examined x left join over_cap m on m.id = x.id
        ), suppressed as (
            delete from marketing_automation_internal.outbox o using checked c where c.objection is not null and o.id = c.id
                returning o.*, c.objection
        ), logged as (
            insert into marketing_automation_internal.message_log
                (id, record_id, activity_id, key, party, email, recipient_name, language, time_zone, context, track_opens, track_clicks,
                    created_at, state, attempts, finished_at, smtp_reply)
            -- forget() did not see what was made in that moment, or has been made again since.
            select s.id, s.record_id, s.activity_id, case when f.is_its_address then '' else s.key end,
                case when not f.is_its_party then s.party end, case when f.is_forgotten then '' else s.email end,
                case when not f.is_forgotten then s.recipient_name end, case when not f.is_forgotten then s.language end,
                case when not f.is_forgotten then s.time_zone end, case when f.is_forgotten then '{}' else s.context end,
                s.track_opens, s.track_clicks, s.created_at,
                   'suppressed', s.attempts, moment, s.objection
            from suppressed s
            cross join lateral (
                select o.is_forgotten, o.is_forgotten and lower(s.key) = lower(s.email) as is_its_address,
                    o.is_forgotten and coalesce(lower(s.party) = lower(s.email), false) as is_its_party
                from (select s.objection = 'address suppressed: forgotten' as is_forgotten) o) f
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
            array_agg(c.uuid) filter (where f.is_free), array_agg(c.closes_at) filter (where f.is_free), count(*)
        into ids, versions, uuids, closings, looked_at
        from checked c cross join lateral (select c.objection is null and c.other_lane is null and c.not_before is null as is_free) f;
        if capped then
            perform marketing_automation_internal.count_capped(ids, moment);
        end if;
        return query
            update marketing_automation_internal.outbox o
            set state = 'sending', mailer = claimer, attempts = o.attempts + 1, first_attempt_at = coalesce(o.first_attempt_at, moment)
            from unnest(ids, versions, uuids, closings) as c (id, version, uuid, closes_at)
            where o.id = c.id
            returning o.id, o.attempts, o.record_id, c.uuid, o.activity_id, c.version, o.email, o.recipient_name, o.language, o.time_zone,
                o.context,
                      o.party, extract(epoch from moment - o.first_attempt_at)::double precision, o.track_opens,
                          o.track_clicks, o.channel, extract(epoch from c.closes_at - moment)::double precision;
        -- Asking whether they may leave takes time, too.
        exit when found or looked_at = 0 and ranked is not true
            or only_of is null and may_leave and clock_timestamp() > statement_timestamp() + interval '1 second';
        -- Somebody else may hold what goes before: then it leaves already.
        ranked := ranked and looked_at > 0;
    end loop;
end $$;
comment on function marketing_automation_internal.claim_messages(integer, boolean, integer, timestamptz, integer[]) is
    'API: private. Claims at most batch_size due mails of running scenarios, by the priority of their classes and scenarios, oldest first within an activity, '
    'shared fairly between activities, no more to a domain than its limit; those of blocked records, unsubscribed parties and addresses, '
    'topics that are not wanted, suppressed addresses, of ended journeys, and what has expired, end as suppressed; what finds its window '
    'shut waits for its opening, what is over a frequency cap until there is room, and that of which it is not known whether it may leave, '
    'for a moment or a minute. None during a pause. '
    'full_scan: looks for due mails from the beginning, not from where it '
    'found some last: see queue_cursor(). claimer: the mailer that claims, null: the worker. closes_in: seconds until its window closes, '
    'null: it has none. assumed, only_of: for rehearse(), the time to assume and the only scenarios; pauses and limits of domains do not count, '
    'then, and nobody''s rows are locked but theirs';

create function marketing_automation_internal.mail_templates(activities integer[])
returns table (activity_id integer, version integer, activity text, scenario text, own_language text, language text, sender text,
    subject text, body text, message_class text, bulk_headers boolean)
language sql stable set search_path = pg_catalog, pg_temp as $$
    select a.id, a.version, a.name, s.name, s.language, t.language, t.sender, t.subject, t.body, k.name, k.bulk_headers
    from marketing_automation.activity a
    join marketing_automation.scenario s on s.id = a.scenario_id
    join marketing_automation.message_class k on k.name = coalesce(a.message_class, s.message_class)
    cross join lateral (
        select '' as language, a.sender, a.subject, a.body
        union all
        select o.language, o.sender, o.subject, o.body from marketing_automation.activity_translation o where o.activity_id = a.id) t
    where a.id = any (activities)
$$;
comment on function marketing_automation_internal.mail_templates(integer[]) is
    'API: private. Templates of activities, language empty for the activity''s own, then translations';

create function marketing_automation_internal.link_ids(urls text[]) returns table (url text, id bigint)
language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
    insert into marketing_automation.link (digest, url)
    select distinct sha256(convert_to(u.url, 'UTF8')), u.url from unnest(urls) as u (url)
    where not exists (select from marketing_automation.link l where l.digest = sha256(convert_to(u.url, 'UTF8')))
    on conflict do nothing;
    return query
        select l.url, l.id from unnest(urls) as u (url)
        join marketing_automation.link l on l.digest = sha256(convert_to(u.url, 'UTF8'));
end $$;
comment on function marketing_automation_internal.link_ids(text[]) is 'API: private. Ids of web addresses, new ones stored';

create function marketing_automation_internal.complete_messages(
    ids bigint[], attempts integer[], states text[], replies text[], retry_seconds double precision[],
    results text[] default null, codes integer[] default null, statuses text[] default null, servers text[] default null,
    now timestamptz default null
) returns bigint
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set jit = off set random_page_cost = 1 as $$
#variable_conflict use_column
declare
    finished bigint;
    records bigint[];
    activities integer[];
    result_at timestamptz := coalesce(now, statement_timestamp());
begin
    with result as materialized (
        select u.id, u.attempt, case when u.state = 'queued' and u.result = 'in_doubt' and (
                   -- A server that takes every mail and never says so would else get it again for days. Deaths of our own do not count.
                   select count(*) from marketing_automation_internal.attempt_log a
                   where a.message_id = u.id and a.state = 'in_doubt' and a.server is not null) >= 2
               then 'in_doubt' else u.state end as state, u.reply, u.retry_after,
               coalesce(u.result, case u.state when 'queued' then 'deferred' else u.state end) as result, u.code, u.status, u.server
        from unnest(ids, attempts, states, replies, retry_seconds, results, codes, statuses, servers)
            as u (id, attempt, state, reply, retry_after, result, code, status, server)
    ), retried as (
        update marketing_automation_internal.outbox o
        set state = case r.state when 'in_doubt' then 'in_doubt' else 'queued' end,
            due_at = case r.state when 'in_doubt' then 'infinity' else statement_timestamp() + make_interval(secs => r.retry_after) end,
            -- A claim that was given back untried is no attempt.
            attempts = case r.state when 'released' then o.attempts - 1 else o.attempts end,
            smtp_reply = coalesce(r.reply, o.smtp_reply)
        from result r
        where r.state in ('queued', 'released', 'in_doubt') and o.id = r.id and o.attempts = r.attempt and o.state = 'sending'
        returning r.*
    ), ended as (
        delete from marketing_automation_internal.outbox o using result r
        where r.state in ('sent', 'failed') and o.id = r.id and o.attempts = r.attempt
          -- That it was sent counts also where rescue_messages() took it back meanwhile: it is in doubt no more.
          and (o.state = 'sending' or r.state = 'sent' and o.smtp_reply = 'in flight when the mailer stopped')
        returning o.*, r.state as ending, r.result, r.reply, r.code, r.status, r.server
    ), logged as (
        insert into marketing_automation_internal.message_log
            (id, record_id, activity_id, key, party, email, recipient_name, language, time_zone, context, track_opens, track_clicks,
                created_at,
             state, attempts, finished_at, sent_at, smtp_reply, server)
        select e.id, e.record_id, e.activity_id, e.key, e.party, e.email, e.recipient_name, e.language, e.time_zone, e.context,
            e.track_opens, e.track_clicks, e.created_at,
               e.ending, e.attempts, result_at, case e.ending when 'sent' then result_at end, e.reply,
               case e.ending when 'sent' then e.server end
        from ended e
    ), counters as (
        insert into marketing_automation_internal.activity_counter (activity_id, period, sent, not_sent)
        select e.activity_id, marketing_automation_internal.counter_period(e.created_at),
               count(*) filter (where e.ending = 'sent'), count(*) filter (where e.ending <> 'sent')
        from ended e where e.record_id is not null group by 1, 2
    ), attempt as (
        insert into marketing_automation_internal.attempt_log (message_id, attempt, ended_at, state, code, status, reply, server)
        select e.id, e.attempts, statement_timestamp(), e.result, e.code, e.status, e.reply, e.server
        from ended e where e.result <> 'sent' or e.attempts > 1
        union all
        select t.id, t.attempt, statement_timestamp(), t.result, t.code, t.status, t.reply, t.server
        from retried t where t.state <> 'released'
        on conflict do nothing
    )
    select count(*), array_agg(e.record_id) filter (where e.has_children), array_agg(e.activity_id) filter (where e.has_children)
    into finished, records, activities
    from (select e.record_id, e.activity_id, e.ending = 'sent' and e.record_id is not null and exists (
              select from marketing_automation.activity c where c.parent_id = e.activity_id) as has_children from ended e) e;
    if records is not null then
        perform marketing_automation_internal.start_or_note_children(records, activities, result_at);
    end if;
    if exists (select from marketing_automation_internal.capped_mail) then
        perform marketing_automation_internal.settle_capped(ids, attempts, states, results, result_at);
    end if;
    -- Servers with limits were counted when they were asked for permits.
    insert into marketing_automation_internal.smtp_usage as u (server, day, taken)
    select s.server, current_date, count(*)
    from unnest(servers, states) as s (server, state)
    join marketing_automation_internal.smtp_allowance a on a.server = s.server and a.per_second is null and a.daily is null
    where s.state = 'sent'
    group by s.server order by s.server
    on conflict on constraint smtp_usage_pkey do update
    set taken = case when u.day = excluded.day then u.taken else 0 end + excluded.taken, day = excluded.day;
    -- A server that refuses at once may be quicker than we are: see ingest_bounce(), which waits for some seconds only.
    perform marketing_automation_internal.mark_bounced(array_agg(b.message_id)) from marketing_automation.bounce b
        where b.message_id = any (ids) and b.kind in ('hard', 'soft') having count(*) > 0;
    return finished;
end $$;
comment on function marketing_automation_internal.complete_messages(bigint[], integer[], text[], text[], double precision[], text[],
    integer[], text[], text[], timestamptz) is
    'API: private. Records a batch of delivery results, each only for the attempt that it belongs to. states, what becomes of the '
    'mail: sent or failed end it, queued tries again after retry_seconds, released gives an untried claim back, in_doubt holds it. '
    'results, how the attempt ended where the state does not say it: sent, deferred, failed or in_doubt; codes, statuses: SMTP reply '
    'codes and enhanced status codes (RFC 3463). A mail that a server left in doubt for the third time is held, whatever its state '
    'says. The children of sent mails start. now: assumed time of the result, for simulations';

create function marketing_automation_internal.next_due() returns timestamptz
language sql stable set search_path = pg_catalog, pg_temp as $$
    select nullif(least(
        -- Also when whoever could not be asked is asked again: see unasked_scenarios().
        (select min(greatest(o.due_at, l.ready_at, t.failed_at + interval '1 minute'))
         from marketing_automation.activity a
         join marketing_automation.scenario s on s.id = a.scenario_id and s.state = 'running'
             and a.id not in (select x.activity_id from marketing_automation_internal.barred_activity x)
         left join marketing_automation_internal.failed_turn t on t.scenario_id = s.id and t.work = 'leave'
         cross join (select '' as domain_queue, null as ready_at union all select b.domain_queue, b.ready_at
             from marketing_automation_internal.domain_queue_budget b) l
         cross join lateral (
             select o.due_at from marketing_automation_internal.outbox o
             where o.activity_id = a.id and o.domain_queue = l.domain_queue and o.state = 'queued'
                 and o.record_id is not null order by o.due_at limit 1) o),
        (select min(greatest(o.due_at, b.ready_at)) from marketing_automation_internal.outbox o
         left join marketing_automation_internal.domain_queue_budget b on b.domain_queue = o.domain_queue
         where o.record_id is null and o.state = 'queued'
             and o.activity_id not in (select x.activity_id from marketing_automation_internal.barred_activity x))), 'infinity')
    where not exists (select from marketing_automation.sending_pause)
$$;
comment on function marketing_automation_internal.next_due() is
    'API: private. When the next test, or the next queued mail of a running scenario, is due and its domain''s limit leaves room for '
    'it; null: none is queued, or sending is paused';

create function marketing_automation_internal.retry(caller regrole, message bigint)
    returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    its_state text;
    its_activity integer;
begin
    select m.state, m.activity_id into its_state, its_activity from marketing_automation.message m where m.id = retry.message;
    perform marketing_automation_internal.demand_activity(caller, its_activity);
    if its_state in ('queued', 'deferred', 'in_doubt') then
        update marketing_automation_internal.outbox o
        set state = 'queued', due_at = clock_timestamp(), first_attempt_at = case o.state when 'queued' then o.first_attempt_at end
        where o.id = retry.message and o.state in ('queued', 'in_doubt');
    elsif its_state = 'failed' then
        with failed as (
            delete from marketing_automation_internal.message_log l where l.id = retry.message and l.state = 'failed' returning l.*
        ), counters as (
            insert into marketing_automation_internal.activity_counter (activity_id, period, not_sent)
            select f.activity_id, marketing_automation_internal.counter_period(f.created_at), -1 from failed f where f.record_id is not null
        )
        insert into marketing_automation_internal.outbox
            (id, record_id, activity_id, key, party, email, recipient_name, language, time_zone, context, track_opens, track_clicks,
                created_at, attempts, due_at, smtp_reply)
        select f.id, f.record_id, f.activity_id, f.key, f.party, f.email, f.recipient_name, f.language, f.time_zone, f.context,
            f.track_opens, f.track_clicks, f.created_at,
               f.attempts, clock_timestamp(), f.smtp_reply
        from failed f;
        -- Its templates may have been changed so that it does not fail again.
        perform marketing_automation_internal.complete_contexts(array(
            select m.activity_id from marketing_automation.message m where m.id = retry.message));
    elsif its_state is null then
        raise exception 'message % does not exist', message
            using errcode = 'undefined_object', hint = 'See: select id, state from marketing_automation.message where email = …;';
    else
        raise exception 'message % is %, nothing is to be tried again', message, its_state
            using errcode = 'object_not_in_prerequisite_state', hint = 'Mails that failed or are in doubt are.';
    end if;
    perform marketing_automation_internal.notify_mailer();
end $$;
comment on function marketing_automation_internal.retry(regrole, bigint) is 'API: private. Behind retry()';

create function marketing_automation.retry(message bigint)
    returns void
language c volatile as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.retry(bigint) is
    'API: public. Sends a mail that waits now, and one that failed or is in doubt once more, its retry_window begun anew; under the '
    'same Message-ID';

create function marketing_automation_internal.cancel(caller regrole, message bigint) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    perform marketing_automation_internal.demand_activity(caller, (select m.activity_id from marketing_automation.message m
        where m.id = cancel.message));
    with cancelled as (
        delete from marketing_automation_internal.outbox o where o.id = cancel.message and o.state in ('queued', 'in_doubt') returning o.*
    ), counters as (
        insert into marketing_automation_internal.activity_counter (activity_id, period, not_sent)
        select c.activity_id, marketing_automation_internal.counter_period(c.created_at), 1 from cancelled c where c.record_id is not null
    )
    insert into marketing_automation_internal.message_log
        (id, record_id, activity_id, key, party, email, recipient_name, language, time_zone, context, track_opens, track_clicks,
            created_at, state, attempts, finished_at, smtp_reply)
    select c.id, c.record_id, c.activity_id, c.key, c.party, c.email, c.recipient_name, c.language, c.time_zone, c.context, c.track_opens,
        c.track_clicks, c.created_at,
           'suppressed', c.attempts, clock_timestamp(), format('cancelled by %s', caller)
    from cancelled c;
    if not found then
        raise exception 'message % is not waiting to be sent', message
            using errcode = 'object_not_in_prerequisite_state',
                  detail = coalesce((select format('It is %s.', m.state) from marketing_automation.message m where m.id = cancel.message),
                      'It does not exist.'),
                  hint = 'See: select id from marketing_automation.message where state in (''queued'', ''in_doubt'');';
    end if;
end $$;
comment on function marketing_automation_internal.cancel(regrole, bigint) is 'API: private. Behind cancel()';

create function marketing_automation.cancel(message bigint) returns void
language c volatile as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.cancel(bigint) is
    'API: public. Ends a mail that is queued, deferred or in doubt: it is not sent (again), and starts no children';
