-- What a marketing-mailer asks of the database: the same as the worker, see mailer.sql, as a role that may call these functions and
-- nothing else. Each belongs to a session that has registered.

create function marketing_automation.mailer_settings() returns jsonb
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    reason text;
begin
    perform marketing_automation_internal.this_mailer(to_claim => true);
    reason := marketing_automation_internal.check_armed();
    return jsonb_build_object(
        'disarmed', reason,
        'session_settings', (
            select string_agg(s.setconfig::text, ' ' order by s.setdatabase, s.setrole) from pg_db_role_setting s
            where s.setdatabase in (0, (select d.oid from pg_database d where d.datname = current_database()))
              and s.setrole in (0, (select r.oid from pg_roles r where r.rolname = session_user))),
        'settings', (
            select jsonb_object_agg(n.name, nullif(btrim(marketing_automation_internal.setting(n.name)), ''))
            from unnest(array['smtp_url', 'smtp_password_file', 'automation_base', 'email_from', 'bounce_address',
                'unsubscribe_address', 'feedback_sender', 'staging_mailbox', 'provider_headers', 'dkim_domain', 'dkim_selector', 'dkim_key_file', 'dkim_keys', 'in_doubt']) as n (name)),
        'numbers', (
            select jsonb_object_agg(n.name, extract(epoch from marketing_automation_internal.setting(n.name)::interval))
            from unnest(array['smtp_timeout', 'retry_window', 'message_retention']) as n (name))
            || jsonb_build_object('batch_size', marketing_automation_internal.setting('batch_size')::integer,
                'smtp_connections', marketing_automation_internal.setting('smtp_connections')::integer),
        'hidden_link', marketing_automation_internal.setting('hidden_link')::boolean,
        'servers', (
            select coalesce(jsonb_agg(jsonb_build_object('name', s.name, 'url', s.url, 'password_file', s.password_file,
                'sender_domain', s.sender_domain, 'priority', s.priority, 'weight', s.weight, 'connections', s.connections,
                'limited', s.per_second is not null or s.warmup_started is not null) order by s.name), '[]')
            from marketing_automation.smtp_server s where s.enabled),
        'targets', (
            select coalesce(jsonb_agg(jsonb_build_object('origin', t.origin, 'secret_file', t.secret_file, 'is_private', t.is_private,
                'connections', t.connections, 'timeout', extract(epoch from t.timeout)) order by t.origin), '[]')
            from marketing_automation.webhook_target t where t.enabled),
        'bounce_rules', (
            select coalesce(jsonb_agg(jsonb_build_array(r.kind, r.pattern, r.meaning) order by r.kind, r.pattern), '[]')
            from marketing_automation.bounce_rule r where r.is_enabled),
        -- A copy that is not armed gets no secrets.
        'keys', (
            select coalesce(jsonb_agg(jsonb_build_array(k.id, encode(k.secret, 'hex')) order by k.ordinality), '[]')
            from marketing_automation.tracking_keys() with ordinality k where reason is null));
end $$;
comment on function marketing_automation.mailer_settings() is
    'API: mailer. Settings, SMTP servers, rules for bounces, tracking keys, and why this database may not send (disarmed; null: it may)';

create function marketing_automation.mailer_claim(batch_size integer, full_scan boolean)
returns table (id bigint, attempt integer, record_id bigint, record_uuid text, activity_id integer, activity_version integer,
    email text, recipient_name text, language text, time_zone text, context text, party text, age_seconds double precision,
    track_opens boolean, track_clicks boolean, channel text, snippets_version text, senders integer, place integer, closes_in double precision,
    template_id integer, target text, addresses text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    me integer := marketing_automation_internal.this_mailer(to_claim => true);
begin
    perform marketing_automation_internal.demand_input(batch_size between 1 and 10000 and full_scan is not null,
        'a claim is of 1 to 10000 mails');
    return query
        select c.id, c.attempt, c.record_id, c.record_uuid::text, c.activity_id, c.activity_version, c.email, c.recipient_name,
            coalesce(c.language, ''), coalesce(c.time_zone, ''), c.context::text, c.party, c.age_seconds, c.track_opens, c.track_clicks,
            c.channel, (select concat_ws(' ', count(*), sum(s.version)) from marketing_automation.snippet s), k.senders, k.place, c.closes_in,
            c.template_id, c.target, c.addresses::text
        from marketing_automation_internal.claim_messages(mailer_claim.batch_size, mailer_claim.full_scan, me) c,
            marketing_automation_internal.mailer_share(me) k;
end $$;
comment on function marketing_automation.mailer_claim(integer, boolean) is
    'API: mailer. Claims mails that are due for this mailer; senders, place: see mailer_share()';

create function marketing_automation.mailer_revoked(ids bigint[], attempts integer[]) returns setof bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    me integer := marketing_automation_internal.this_mailer();
begin
    return query
        select c.id from unnest(ids, attempts) as c (id, attempt)
        where exists (select from marketing_automation.sending_pause) or not exists (
            select from marketing_automation_internal.outbox o
            join marketing_automation.activity a on a.id = o.activity_id
            join marketing_automation.scenario s on s.id = a.scenario_id and (s.state = 'running' or o.record_id is null)
            join marketing_automation.message_class k on k.name = coalesce(a.message_class, s.message_class)
            left join marketing_automation_internal.record r on r.id = o.record_id
            where o.id = c.id and o.state = 'sending' and o.attempts = c.attempt and o.mailer = me
              and r.blocked_at is null and r.end_reason is null
              and (o.record_id is null or coalesce(a.send_window, s.send_window, k.send_window) is null or not exists (
                  select from marketing_automation_internal.its_windows(a) v
                  where not marketing_automation_internal.is_open(v,
                      marketing_automation_internal.window_zone(v, o.time_zone), clock_timestamp())))
              and not exists (select from marketing_automation.unsubscription u
                  where o.target is null and k.honors_unsubscribe and u.scenario_id in (0, s.id) and u.party = r.party)
              and not exists (select from marketing_automation_internal.unsubscribed_address u
                  where o.target is null and k.honors_unsubscribe and u.scenario_id in (0, s.id)
                    and u.address_hash = marketing_automation.address_hash(marketing_automation_internal.party_address(o.email, o.addresses))
                    and (u.spares_party and u.party = r.party) is not true and o.record_id is not null)
              and (s.topic is null or o.target is not null or not k.honors_unsubscribe or o.record_id is null or marketing_automation_internal.withheld(s.topic, r.party,
                  marketing_automation.address_hash(marketing_automation_internal.party_address(o.email, o.addresses))) is null)
              and not exists (select from marketing_automation.suppression x
                  where (o.target is null or x.reason = 'forgotten') and (
                      x.address_hash = marketing_automation.address_hash(o.email) or o.addresses is not null and x.address_hash in (
                          select marketing_automation.address_hash(c.address) from marketing_automation_internal.copies_of(o.addresses) c)))
              and not exists (select from marketing_automation_internal.barred_activity b where b.activity_id = a.id)
              and (o.target is null or marketing_automation_internal.webhook_objection(s.owner_id, o.target) is null));
end $$;
comment on function marketing_automation.mailer_revoked(bigint[], integer[]) is
    'API: mailer. Which of these claims must not be sent any more: what has been blocked, unsubscribed, suppressed, stopped, paused or '
    'taken back since, whose journey has ended, and whose window is shut by now';

create function marketing_automation.mailer_next_due(out seconds double precision, out pause text, out senders integer, out place integer)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    me integer := marketing_automation_internal.this_mailer();
begin
    -- One that has no connection claims nothing, and waits for those that may have died.
    perform marketing_automation_internal.rescue_orphans();
    select k.senders, k.place into senders, place from marketing_automation_internal.mailer_share(me) k;
    seconds := extract(epoch from marketing_automation_internal.next_due() - statement_timestamp());
    pause := marketing_automation_internal.pause_note();
end $$;
comment on function marketing_automation.mailer_next_due() is
    'API: mailer. In how many seconds the next mail is due, null: none is queued; who has paused sending; and its share of the '
    'connections, see mailer_share()';

create function marketing_automation.mailer_templates(activities integer[])
returns table (activity_id integer, version integer, activity text, scenario text, own_language text, language text, sender text,
    subject text, body text, message_class text, bulk_headers boolean, reply_to text,
    utm text, utm_hosts text, preheader text, text text, headers jsonb, inline_css boolean, url text, has_attachments boolean)
language sql security definer set search_path = pg_catalog, pg_temp as $$
    select t.* from (select marketing_automation_internal.this_mailer()) me,
        marketing_automation_internal.mail_templates(mailer_templates.activities) t
$$;
comment on function marketing_automation.mailer_templates(integer[]) is 'API: mailer. Templates of activities in all languages';

create function marketing_automation.mailer_snippets() returns table (name text, language text, body text)
language sql security definer set search_path = pg_catalog, pg_temp as $$
    select s.name, s.language, s.body from (select marketing_automation_internal.this_mailer()) me, marketing_automation.snippet s
$$;
comment on function marketing_automation.mailer_snippets() is 'API: mailer. The snippets that templates include';

create function marketing_automation_internal.claimed_by(me integer, ids bigint[]) returns bigint[]
language sql stable set search_path = pg_catalog, pg_temp as $$
    select array(select o.id from marketing_automation_internal.outbox o where o.id = any (ids) and o.state = 'sending' and o.mailer = me)
$$;
comment on function marketing_automation_internal.claimed_by(integer, bigint[]) is 'API: private. Those of these mails that a mailer has claimed';

create function marketing_automation.mailer_files(ids bigint[])
returns table (message_id bigint, name text, type text, cid text, size bigint, digest bytea)
language sql security definer rows 100 set search_path = pg_catalog, pg_temp as $$
    select f.* from (select marketing_automation_internal.this_mailer() as id) me,
        marketing_automation_internal.mail_files(marketing_automation_internal.claimed_by(me.id, mailer_files.ids)) f
$$;
comment on function marketing_automation.mailer_files(bigint[]) is 'API: mailer. The files of mails that this mailer has claimed';

create function marketing_automation.mailer_file_contents(ids bigint[], digests bytea[]) returns table (digest bytea, content bytea)
language sql security definer rows 100 set search_path = pg_catalog, pg_temp as $$
    select c.* from (select marketing_automation_internal.this_mailer() as id) me,
        marketing_automation_internal.file_contents(marketing_automation_internal.claimed_by(me.id, mailer_file_contents.ids),
            mailer_file_contents.digests) c
$$;
comment on function marketing_automation.mailer_file_contents(bigint[], bytea[]) is
    'API: mailer. Contents of files of mails that this mailer has claimed';

create function marketing_automation.mailer_link_ids(urls text[]) returns table (url text, id bigint)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform marketing_automation_internal.this_mailer();
    -- Readers are sent there.
    perform marketing_automation_internal.demand_input(
        not exists (select from unnest(urls) as u (url) where (u.url ~* '^https?://') is not true), 'links lead to http:// or https://');
    return query select l.url, l.id from marketing_automation_internal.link_ids(mailer_link_ids.urls) l;
end $$;
comment on function marketing_automation.mailer_link_ids(text[]) is 'API: mailer. Ids of web addresses, new ones stored';

create function marketing_automation.mailer_tokens(servers text[], in_hand integer[], wanted integer)
returns table (server text, tokens integer, is_exhausted boolean, wait_seconds double precision)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform marketing_automation_internal.this_mailer();
    perform marketing_automation_internal.demand_input(cardinality(servers) = cardinality(in_hand) and wanted between 0 and 10000
        and 0 <= all (in_hand), 'each server has the tokens in hand beside it, and 0 to 10000 are wanted');
    -- One may have been removed since this mailer has read the settings.
    return query
        select g.server, g.permits, g.is_spent, g.wait_seconds
        from (select array_agg(u.name) as names, array_agg(u.in_hand) as in_hand from unnest(servers, in_hand) as u (name, in_hand)
              join marketing_automation.smtp_server s on s.name = u.name) k,
            marketing_automation_internal.grant_send_tokens(k.names, k.in_hand, mailer_tokens.wanted) g;
end $$;
comment on function marketing_automation.mailer_tokens(text[], integer[], integer) is
    'API: mailer. Permits for servers with a limit, out of the bucket that all senders share';

create function marketing_automation_internal.resume_rescued(me integer, ids bigint[], attempts integer[]) returns void
language sql set search_path = pg_catalog, pg_temp as $$
    with resumed as (
        update marketing_automation_internal.outbox o set state = 'sending', smtp_reply = null
        from unnest(resume_rescued.ids, resume_rescued.attempts) as u (id, attempt)
        -- Of that attempt: nobody has claimed it since.
        where o.id = u.id and o.attempts = u.attempt and o.mailer = me and o.state <> 'sending'
          and o.smtp_reply = 'in flight when the mailer stopped'
        returning o.id, o.attempts
    )
    delete from marketing_automation_internal.attempt_log a using resumed r
    where a.message_id = r.id and a.attempt = r.attempts and a.state = 'in_doubt' and a.server is null
$$;
comment on function marketing_automation_internal.resume_rescued(integer, bigint[], integer[]) is
    'API: private. Gives back to a mailer what rescue_messages() took from it while it was cut off: it knows what became of these attempts';

create function marketing_automation.mailer_complete(ids bigint[], attempts integer[], states text[], replies text[],
    retry_seconds double precision[], results text[], codes integer[], statuses text[], servers text[],
    server_names text[] default null) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    me integer := marketing_automation_internal.this_mailer();
    mine bigint[];
    was_rescued boolean;
    failures bigint[];
    completed bigint;
begin
    perform marketing_automation_internal.demand_input(
        array_length(ids, 1) = all (array[array_length(attempts, 1), array_length(states, 1), array_length(replies, 1),
            array_length(retry_seconds, 1), array_length(results, 1), array_length(codes, 1), array_length(statuses, 1), array_length(servers, 1),
            coalesce(array_length(server_names, 1), array_length(servers, 1))])
        and array_position(ids, null) is null and array_position(attempts, null) is null
        and states <@ array['sent', 'failed', 'queued', 'released', 'in_doubt']
        and array_remove(results, null) <@ array['sent', 'failed', 'deferred', 'in_doubt']
        and 0 <= all (retry_seconds) and 'infinity' > all (retry_seconds),
        'a result has an id, an attempt, a state, and a pause in seconds; of each array there are as many');
    select array_agg(o.id), bool_or(o.state <> 'sending') into mine, was_rescued
    from marketing_automation_internal.outbox o where o.id = any (ids) and o.mailer = me;
    if was_rescued then
        perform marketing_automation_internal.resume_rescued(me, ids, attempts);
    end if;
    -- All are, unless this mailer was taken for dead.
    if cardinality(mine) is distinct from cardinality(ids) then
        select array_agg(u.id), array_agg(u.attempt), array_agg(u.state), array_agg(u.reply), array_agg(u.retry_after), array_agg(u.result),
            array_agg(u.code), array_agg(u.status), array_agg(u.server), array_agg(u.server_name)
        into ids, attempts, states, replies, retry_seconds, results, codes, statuses, servers, server_names
        from unnest(ids, attempts, states, replies, retry_seconds, results, codes, statuses, servers, server_names)
            as u (id, attempt, state, reply, retry_after, result, code, status, server, server_name)
        where u.id = any (mine);
    end if;
    completed := marketing_automation_internal.complete_messages(ids, attempts, states, replies, retry_seconds, results, codes, statuses,
        servers, server_names => server_names);
    select array_agg(u.id) into failures from unnest(ids, states) as u (id, state) where u.state = 'failed';
    if failures is not null then
        update marketing_automation_internal.mailer m set failed_mails = (failures || m.failed_mails)[:10000] where m.id = me;
    end if;
    return coalesce(completed, 0);
end $$;
comment on function marketing_automation.mailer_complete(bigint[], integer[], text[], text[], double precision[], text[], integer[],
    text[], text[], text[]) is
    'API: mailer. Records results of mails that this mailer has claimed, each for the attempt that it belongs to; the children of sent '
    'mails start';

create function marketing_automation.mailer_dead_mailboxes(ids bigint[]) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    me integer := marketing_automation_internal.this_mailer();
    mine bigint[];
begin
    select array(select u.id from unnest(ids) as u (id) intersect select f.id from unnest(m.failed_mails) as f (id)) into mine
    from marketing_automation_internal.mailer m where m.id = me;
    perform marketing_automation_internal.record_dead_mailboxes(mine);
    -- What it has not named by now it will not.
    update marketing_automation_internal.mailer m set failed_mails = '{}' where m.id = me and mine <> '{}';
end $$;
comment on function marketing_automation.mailer_dead_mailboxes(bigint[]) is
    'API: mailer. Suppresses the recipients of mails that failed for this mailer last, as a server refused them because their mailboxes do '
    'not exist';

create function marketing_automation.mailer_rescue() returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform marketing_automation_internal.rescue_messages(marketing_automation_internal.setting('in_doubt') = 'hold',
        starting => marketing_automation_internal.this_mailer(to_claim => true),
        spare_worker => marketing_automation_internal.worker_is_at_work());
end $$;
comment on function marketing_automation.mailer_rescue() is
    'API: mailer. Before the first claim: takes back what those had in flight that have ended, itself under its name included';

create function marketing_automation.mailer_purge(older_than double precision) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform marketing_automation_internal.this_mailer();
    perform marketing_automation_internal.demand_input(older_than >= 0 and older_than < 'infinity', 'mails are removed by their age in seconds');
    -- No sooner than the setting says, whatever the mailer knows of it.
    perform marketing_automation.purge_messages(make_interval(secs => greatest(older_than, extract(epoch from r.kept)::double precision)))
    from (select nullif(marketing_automation_internal.setting('message_retention')::interval, '0') as kept) r where r.kept is not null;
end $$;
comment on function marketing_automation.mailer_purge(double precision) is
    'API: mailer. Removes mails that ended longer ago than so many seconds, where marketing_automation.message_retention says so';

create function marketing_automation.mailer_report_server(name text, seconds double precision, error text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform marketing_automation_internal.this_mailer();
    perform marketing_automation_internal.demand_input(coalesce(seconds between 0 and 86400, true),
        'a server is left alone for a day at most');
    -- One may have been removed since this mailer has read the settings.
    if mailer_report_server.name = 'smtp_url' or exists (select from marketing_automation.smtp_server s where s.name = mailer_report_server.name)
        or exists (select from marketing_automation.webhook_target t where t.origin = mailer_report_server.name)
    then
        perform marketing_automation_internal.report_server(name, seconds, left(error, 1000));
    end if;
end $$;
comment on function marketing_automation.mailer_report_server(text, double precision, text) is
    'API: mailer. That a server is left alone for some seconds, and why, or answers again';

create function marketing_automation.mailer_report(state text, last_error text, sent bigint, failed bigint, retried bigint) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    me integer := marketing_automation_internal.this_mailer();
begin
    perform marketing_automation_internal.demand_input(mailer_report.state = any (array['not running', 'starting', 'idle', 'sending',
        'unconfigured', 'outdated', 'disarmed', 'paused']) and least(mailer_report.sent, mailer_report.failed, mailer_report.retried) >= 0
        and num_nulls(mailer_report.sent, mailer_report.failed, mailer_report.retried) = 0,
        'a mailer says a state of worker_status() and counts');
    update marketing_automation_internal.mailer m
    set (state, sent, failed, retried, seen_at)
        = (mailer_report.state, mailer_report.sent, mailer_report.failed, mailer_report.retried, statement_timestamp()),
        -- The others have its share of the connections until they see it.
        since = case when m.state = 'unconfigured' and mailer_report.state <> 'unconfigured' then statement_timestamp() else m.since end,
        last_error = left(mailer_report.last_error, 1000),
        last_error_at = case when m.last_error is not distinct from left(mailer_report.last_error, 1000) then m.last_error_at
            when mailer_report.last_error is not null then statement_timestamp() end
    where m.id = me;
end $$;
comment on function marketing_automation.mailer_report(text, text, bigint, bigint, bigint) is
    'API: mailer. How it is doing, for mailer_status(); counts since its process began';

create function marketing_automation.mailer_status()
returns table (name text, host text, version text, role name, state text, since timestamptz, seen_at timestamptz, sent bigint,
    failed bigint, retried bigint, last_error text, last_error_at timestamptz)
language sql security definer rows 5 set search_path = pg_catalog, pg_temp as $$
    select m.name, m.host, m.version, m.role,
        case when m.pid is null or marketing_automation_internal.has_ended(m.pid, m.backend_start)
             then case m.state when 'not running' then 'not running' else 'lost' end
             -- Its session will be ended by the next claim of anybody.
             when m.seen_at < statement_timestamp() - interval '1 minute' then 'lost'
             else m.state end,
        m.since, m.seen_at, m.sent, m.failed, m.retried, m.last_error, m.last_error_at
    from marketing_automation_internal.mailer m order by m.name
$$;
comment on function marketing_automation.mailer_status() is
    'API: public. Each marketing-mailer that has sent for this database within a week: state as in worker_status(), lost: its session '
    'has ended without a word, its claims are taken back; seen_at: when it last told, every ten seconds at least';
