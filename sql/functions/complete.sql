-- What became of mails that were claimed: results of a mailer, recorded in batches, see src/delivery/store.rs.

create function marketing_automation_internal.end_messages(
    ids bigint[], attempts integer[], states text[], replies text[], retry_seconds double precision[],
    results text[], codes integer[], statuses text[], servers text[], result_at timestamptz,
    out finished bigint, out records bigint[], out activities integer[], out refused bigint[], out refused_of integer[]
)
language plpgsql set search_path = pg_catalog, pg_temp
-- A row at a time through indexes is right whatever the sizes are, and such a plan is kept: making one takes as long as sixty mails. What is
-- kept must not rest on a table being empty now, so nothing reads all of one.
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
set enable_material = off set jit = off set random_page_cost = 1 as $$
#variable_conflict use_column
declare
    -- Once, as the default of the column would be computed for each mail.
    bucket_now constant smallint := marketing_automation_internal.log_bucket(statement_timestamp());
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
        where r.state in ('sent', 'failed') and o.id = r.id and o.attempts = r.attempt and o.state = 'sending'
        returning o.*, r.state as ending, r.result, r.reply, r.code, r.status, r.server
    ), logged as (
        insert into marketing_automation_internal.message_log
            (id, record_id, activity_id, key, party, email, recipient_name, language, time_zone, context, track_opens, track_clicks,
                created_at,
             state, attempts, finished_at, sent_at, smtp_reply, server, target, bucket, addresses)
        -- Only retry() needs what the row was, and of what has failed: it is the larger half of a row. And its browser_url, which few have.
        select e.id, e.record_id, e.activity_id, e.key, e.party, e.email, e.recipient_name, e.language, e.time_zone,
            case e.ending when 'failed' then e.context else '{}' end, e.track_opens, e.track_clicks, e.created_at,
               e.ending, e.attempts, result_at, case e.ending when 'sent' then result_at end, e.reply,
               case e.ending when 'sent' then e.server end, e.target, bucket_now, e.addresses
        from ended e
    ), shown as (
        insert into marketing_automation_internal.browser_mail (message_id, bucket, sent_at, context)
        select e.id, bucket_now, result_at, e.context from ended e
        where e.ending = 'sent' and exists (
            select from marketing_automation_internal.browser_activity b where b.activity_id = e.activity_id)
        on conflict do nothing
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
    select count(*), array_agg(e.record_id) filter (where e.has_children), array_agg(e.activity_id) filter (where e.has_children),
        array_agg(e.record_id) filter (where e.is_refused), array_agg(e.activity_id) filter (where e.is_refused)
    into finished, records, activities, refused, refused_of
    from (select e.record_id, e.activity_id,
              e.ending <> 'sent' and e.target is not null and e.record_id is not null as is_refused, e.ending = 'sent' and e.record_id is not null and exists (
              select from marketing_automation.activity c where c.parent_id = e.activity_id) as has_children from ended e) e;
end $$;
comment on function marketing_automation_internal.end_messages(bigint[], integer[], text[], text[], double precision[], text[], integer[],
    text[], text[], timestamptz) is
    'API: private. Of complete_messages(): writes what became of these mails and counts it. finished: how many have ended; records, '
    'activities: those of which children may start; refused, refused_of: webhooks that have failed';

create function marketing_automation_internal.complete_messages(
    ids bigint[], attempts integer[], states text[], replies text[], retry_seconds double precision[],
    results text[] default null, codes integer[] default null, statuses text[] default null, servers text[] default null,
    now timestamptz default null, server_names text[] default null
) returns bigint
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set jit = off set random_page_cost = 1 as $$
#variable_conflict use_column
declare
    finished bigint;
    records bigint[];
    activities integer[];
    refused bigint[];
    refused_of integer[];
    result_at timestamptz := coalesce(now, statement_timestamp());
begin
    select m.* into finished, records, activities, refused, refused_of
    from marketing_automation_internal.end_messages(ids, attempts, states, replies, retry_seconds, results, codes, statuses, servers,
        result_at) m;
    if records is not null then
        perform marketing_automation_internal.start_or_note_children(records, activities, result_at);
    end if;
    if refused is not null then
        perform marketing_automation_internal.start_after_refusal(refused, refused_of, result_at);
        perform marketing_automation_internal.disable_targets(array_agg(r.name))
        from unnest(server_names, codes, states) as r (name, code, state) where r.code = 410 and r.state = 'failed' having count(*) > 0;
    end if;
    if exists (select from marketing_automation_internal.outbox_file) then
        perform marketing_automation_internal.drop_files(ids);
    end if;
    if exists (select from marketing_automation_internal.capped_mail) then
        perform marketing_automation_internal.settle_capped(ids, attempts, states, results, result_at);
    end if;
    -- What a server has taken, for smtp_server_status: by its name, as several may be at one address. Its limits count tokens.
    insert into marketing_automation_internal.smtp_usage as u (server, sent_until, sent)
    select s.name, date_trunc('day', statement_timestamp(), d.zone) + interval '1 day', s.mails
    from (select r.name, count(*) as mails from unnest(server_names, states) as r (name, state) where r.state = 'sent' group by r.name) s
    cross join (select marketing_automation_internal.database_time_zone() as zone) d
    where s.name = 'smtp_url' or exists (select from marketing_automation.smtp_server n where n.name = s.name)
        or exists (select from marketing_automation.webhook_target t where t.origin = s.name)
    order by s.name
    on conflict on constraint smtp_usage_pkey do update
    set sent = case when u.sent_until > statement_timestamp() then u.sent else 0 end + excluded.sent,
        sent_until = case when u.sent_until > statement_timestamp() then u.sent_until else excluded.sent_until end;
    -- A server that refuses at once may be quicker than we are: see ingest_bounce(), which waits for some seconds only.
    if exists (select from marketing_automation.bounce b where b.message_id = any (ids) and b.kind in ('hard', 'soft')) then
        -- Of a mail with copies, only what is about its recipient.
        perform marketing_automation_internal.mark_bounced(array_agg(b.message_id))
        from marketing_automation.bounce b join marketing_automation_internal.message_log l on l.id = b.message_id
        where b.message_id = any (ids) and b.kind in ('hard', 'soft')
          and (l.addresses is null or b.address_hash = marketing_automation.address_hash(l.email)) having count(*) > 0;
    end if;
    return finished;
end $$;
comment on function marketing_automation_internal.complete_messages(bigint[], integer[], text[], text[], double precision[], text[],
    integer[], text[], text[], timestamptz, text[]) is
    'API: private. Records a batch of delivery results, each only for the attempt that it belongs to. states, what becomes of the '
    'mail: sent or failed end it, queued tries again after retry_seconds, released gives an untried claim back, in_doubt holds it. '
    'results, how the attempt ended where the state does not say it: sent, deferred, failed or in_doubt; codes, statuses: SMTP reply '
    'codes and enhanced status codes (RFC 3463); servers, server_names: where they are, and what '
    'smtp_server calls them. A mail that a server left in doubt for the third time is held, whatever its state says. '
    'The children of sent mails start. now: assumed time of the result, for simulations';
