-- Is everything as it should be? One row a check, for people; numbers for monitoring: metric.sql. What costs more than some look-ups in
-- indexes does not belong here: it is asked again and again, while millions of rows wait. A hint can be typed as it is: what no statement does,
-- as restarting the server, stands in a comment of it.

create function marketing_automation_internal.job_health()
returns table (name text, status text, message text, hint text)
language plpgsql stable rows 5 set search_path = pg_catalog, pg_temp as $$
declare
    sees boolean := (select r.rolsuper from pg_roles r where r.rolname = current_user);
    is_needed boolean := exists (select from marketing_automation.scenario s where s.state = 'running');
    -- Not current_setting(), which raises where the owner of the extension is no superuser any more.
    home text := (select s.setting from pg_settings s where s.name = 'cron.database_name');
begin
    -- Its tables are those of the primary, which runs the jobs.
    if pg_is_in_recovery() then
        return query select 'jobs', 'ok', 'the server is a standby: jobs run on its primary', null;
        return;
    end if;
    if not exists (select from pg_extension e where e.extname = 'pg_cron') then
        return query select 'jobs', 'ok', case
                when not sees then 'whether pg_cron runs on this server is not for the owner of marketing_automation to see'
                when home is null then 'pg_cron does not run on this server'
                when home = current_database() then 'the extension pg_cron does not exist, though this is its database'
                else format('pg_cron lives in the database "%s"', home) end
            || ': due_activities says whether something else calls process_all_due()',
            case when home = current_database() then 'create extension pg_cron; select * from marketing_automation.schedule_jobs();' end;
        return;
    end if;
    if not sees then
        return query select 'jobs', 'warning', 'what pg_cron does is not for the owner of marketing_automation to see',
            format('alter role %I superuser;', current_user);
        return;
    end if;
    -- It does not come back when it was terminated, nor after a crash (pg_cron 1.4).
    return query
        select 'pg_cron', case when l.is_there then 'ok' when is_needed then 'error' else 'warning' end,
               case when l.is_there then 'its launcher runs' else 'its launcher does not run: no job is started' end,
               case when not l.is_there then '-- restart the server, with pg_cron in shared_preload_libraries' end
        from (select exists (select from pg_stat_activity a where a.backend_type = 'pg_cron launcher') as is_there) l;
    -- Dynamic, as the table may not exist.
    return query execute $query$
        select kind.what || '_job',
               case when job.jobid is null or not job.active then case when $1 then 'error' else 'ok' end
                    when run.status = 'failed' then 'error'
                    when $1 and late.is_late then 'warning'
                    else 'ok' end,
               case when job.jobid is null then format('no job of pg_cron calls %s()', kind.function)
                    when not job.active then format('the job %s is not active', job.jobid)
                    when run.start_time is null then format('the job %s has never run', job.jobid)
                    else format('the job %s last ran at %s: %s', job.jobid, date_trunc('second', run.start_time), run.status) end,
               case when job.jobid is null then 'select * from marketing_automation.schedule_jobs();'
                    when not job.active then format('update cron.job set active = true where jobid = %s;', job.jobid)
                    when run.status = 'failed'
                    then format('select * from cron.job_run_details where jobid = %s order by runid desc limit 10;', job.jobid)
                    when $1 and late.is_late then format('select * from cron.job where jobid = %s;', job.jobid) end
        from (values
            ('enroll', 'enroll_all', 'marketing\_automation.enroll%'),
            ('process', 'process_all_due', 'marketing\_automation.process%')) as kind (what, function, call)
        left join lateral (
            select j.jobid, j.active, j.schedule from cron.job j
            where j.database = current_database() and j.command like '%' || kind.call
            order by j.active desc, j.jobid limit 1) job on true
        left join lateral (
            -- There is no index by job: one that ran lately is near the end.
            select d.status, d.start_time
            from (select r.jobid, r.status, r.start_time from cron.job_run_details r order by r.runid desc limit 100000) d
            where d.jobid = job.jobid and d.status <> 'starting' limit 1) run on true
        cross join lateral (
            -- A schedule of once a minute or more often, or any other. A run that takes long is none that is late.
            select run.status is distinct from 'running' and coalesce(run.start_time < statement_timestamp() -
                case when job.schedule ~ '^(\* \* \* \* \*|\d+ seconds?)$' then interval '10 minutes' else interval '25 hours' end, true)
                as is_late) late
        $query$ using is_needed;
end $$;
comment on function marketing_automation_internal.job_health() is
    'API: private. Checks of health() about the jobs of pg_cron, where it is in this database';

create function marketing_automation_internal.preload_hint() returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    -- What is preloaded already must be named, too. Who is no superuser does not see it.
    select coalesce(
        (select format('alter system set shared_preload_libraries = %s; -- then restart the server', string_agg(quote_literal(n.name), ', ' order by n.at))
         from pg_settings s
         cross join lateral (
             select trim(both e' "' from x.name), x.at from unnest(string_to_array(s.setting, ',')) with ordinality as x (name, at)
             where trim(x.name) <> '' union all select 'marketing_automation', 1000000) as n (name, at)
         where s.name = 'shared_preload_libraries'),
        '-- add marketing_automation to shared_preload_libraries, then restart the server')
$$;
comment on function marketing_automation_internal.preload_hint() is
    'API: private. The statement by which the library is preloaded, beside what is preloaded now';

create function marketing_automation_internal.worker_health()
returns table (name text, status text, message text, hint text)
language sql stable rows 5 set search_path = pg_catalog, pg_temp as $$
    select 'worker',
           case when w.state in ('idle', 'sending') or w.state in ('not preloaded', 'not running') and (m.at_work > 0 or pg_is_in_recovery()) then 'ok'
                when w.state in ('starting', 'paused') then 'warning' else 'error' end,
           w.state || case when w.state in ('not preloaded', 'not running') and m.at_work > 0
               then format(': %s of marketing-mailer at work', m.at_work)
               else coalesce(': ' || case when w.state not in ('idle', 'sending', 'starting') then w.last_error end, '') end,
           case when w.state in ('not preloaded', 'not running') and (m.at_work > 0 or pg_is_in_recovery()) then null
               else case w.state
               when 'outdated' then 'alter extension marketing_automation update;'
               when 'disarmed' then 'select marketing_automation.arm();'
               when 'paused' then case when exists (select from marketing_automation.sending_pause)
                   then 'select marketing_automation.resume();'
                   when exists (select from marketing_automation.smtp_server)
                   then 'select * from marketing_automation.smtp_server_status;'
                   else 'show marketing_automation.smtp_url;' end
               when 'unconfigured' then 'select name, setting from pg_settings where name like ''marketing_automation.%'';'
               when 'not preloaded' then marketing_automation_internal.preload_hint()
               when 'not running' then case when w.last_error ~ 'max_worker_processes'
                   then format('alter system set max_worker_processes = %s; -- then restart the server',
                       current_setting('max_worker_processes')::integer + 8)
                   else '-- the server''s log says why the worker ended' end end
           end
    from marketing_automation.worker_status() w
    cross join (select count(*) filter (where s.state not in ('not running', 'lost')) as at_work from marketing_automation.mailer_status() s) m
    union all
    select 'mailers', case when count(*) filter (where s.state in ('unconfigured', 'disarmed', 'outdated')) > 0 then 'error'
                           when count(*) filter (where s.state in ('lost', 'paused') or s.is_silent) > 0 then 'warning' else 'ok' end,
           coalesce(string_agg(format('%s: %s', s.name, case when s.is_silent then 'silent' else s.state end), ', ' order by s.name)
               filter (where s.state in ('unconfigured', 'disarmed', 'outdated', 'lost', 'paused') or s.is_silent),
               format('%s at work', count(*) filter (where s.state <> 'not running'))),
           case when count(*) filter (where s.state in ('unconfigured', 'disarmed', 'outdated', 'lost', 'paused') or s.is_silent) > 0
               then 'select * from marketing_automation.mailer_status();' end
    from (
        select m.name, m.state, m.state not in ('not running', 'lost') and m.seen_at < statement_timestamp() - interval '30 seconds' as is_silent
        from marketing_automation.mailer_status() m
        -- Who died long ago is missed no more.
        where m.state <> 'lost' or m.seen_at > statement_timestamp() - interval '1 day') s
    having count(*) > 0
$$;
comment on function marketing_automation_internal.worker_health() is
    'API: private. Checks of health() about what sends: the worker, and each marketing-mailer where there is one';

create view marketing_automation_internal.queue_state as
-- One row an activity and domain queue with mails that wait, by the index: never a look at each mail.
select a.id as activity_id, s.state as scenario_state, x.activity_id is not null as is_barred, q.domain as domain_queue, b.ready_at,
    first.due_at, first.created_at, first.attempts, first.first_attempt_at,
    a.action is distinct from 'webhook' and coalesce(a.send_window, s.send_window, k.send_window) is not null as has_window
from marketing_automation.activity a
join marketing_automation.scenario s on s.id = a.scenario_id
join marketing_automation.message_class k on k.name = coalesce(a.message_class, s.message_class)
left join marketing_automation_internal.barred_activity x on x.activity_id = a.id
cross join (select '' as domain union all select d.domain from marketing_automation_internal.domain_queue d) q
left join marketing_automation_internal.domain_queue_budget b on b.domain_queue = q.domain
cross join lateral (
    select o.due_at, o.created_at, o.attempts, o.first_attempt_at from marketing_automation_internal.outbox o
    where o.activity_id = a.id and o.domain_queue = q.domain and o.state = 'queued' and o.due_at < 'infinity'
    order by o.due_at limit 1) first;
comment on view marketing_automation_internal.queue_state is
    'API: private. The oldest mail that waits, for each activity and domain queue, and until when the limit of its domain holds it';

create view marketing_automation_internal.backlog as
-- What waits, and since when: the oldest of each kind. A reason each, so that what waits by intention does not hide what does not.
select 'due_activities' as name, first.at as since, s.name as scenario
from marketing_automation.activity a
join marketing_automation.scenario s on s.id = a.scenario_id and s.state = 'running'
cross join lateral (
    select w.at from marketing_automation_internal.waiting_activity w
    where w.activity_id = a.id and w.at <= statement_timestamp() order by w.at limit 1) first
union all
select 'queued_mails_' || case
        when q.is_barred then 'barred'
        when q.scenario_state <> 'running' then 'stopped'
        when (select count(*) > 0 from marketing_automation.sending_pause) then 'paused'
        when q.due_at > statement_timestamp() then 'window'
        when q.ready_at > statement_timestamp() then 'limited'
        when (select w.state = 'paused' from marketing_automation.worker_status() w) then 'unreachable'
        else 'ready' end,
    case when q.due_at > statement_timestamp() then q.created_at
         -- With each probe of a server out of reach, a mail is claimed and given back, and due anew.
         when q.attempts = 0 then least(q.due_at, q.first_attempt_at)
         else q.due_at end, null
from marketing_automation_internal.queue_state q
where q.due_at <= statement_timestamp() or q.has_window and q.attempts = 0;
comment on view marketing_automation_internal.backlog is
    'API: private. What is due and has not been done, since when, by activity or queue and reason: due_activities, queued_mails_ready '
    '(nothing holds it), _window (it is shut), _limited, _paused, _unreachable (no server answers), _stopped, _barred';

create function marketing_automation_internal.version_health(out name text, out status text, out message text, out hint text)
language sql stable set search_path = pg_catalog, pg_temp as $$
    select 'versions', case when v.sql = v.library and v.installed = v.library then 'ok' else 'warning' end,
           case when v.sql = v.library and v.installed = v.library then format('SQL and library are of %s', v.library)
                else format('the SQL is of %s, the library in use of %s, the installed files are of %s', v.sql, v.library, v.installed) end,
           case when v.installed <> v.library then '-- restart the server' || case when v.sql <> v.installed
                    then E', then:\nalter extension marketing_automation update;' else '' end
                when v.sql <> v.library then 'alter extension marketing_automation update;' end
    from (
        select e.extversion as sql, marketing_automation_internal.library_version() as library, coalesce(a.default_version, 'none') as installed
        from pg_extension e left join pg_available_extensions a on a.name = e.extname
        where e.extname = 'marketing_automation') v
$$;
comment on function marketing_automation_internal.version_health() is
    'API: private. Check of health() about the versions of SQL, of the library that this session has loaded, and of the installed files';

create function marketing_automation_internal.partition_health(out name text, out status text, out message text, out hint text)
language sql stable set search_path = pg_catalog, pg_temp as $$
    -- By the sizes of files, which truncating makes 0. A day of grace: the mailer purges every hour.
    select 'partitions',
           case when cardinality(p.missing) > 0 then 'error' when p.overdue > 0 then 'warning' else 'ok' end,
           case when cardinality(p.missing) > 0
                then format('message_log lacks partitions: mails that end cannot be recorded (%s)', array_to_string(p.missing, ', '))
                when p.overdue > 0 then format('%s hold mails that are older than message_retention allows', p.overdue)
                else format('message_log has %s in %s of 40 partitions', pg_size_pretty(p.bytes), p.used) end,
           case when cardinality(p.missing) > 0 then (
                    select string_agg(format('alter table marketing_automation_internal.message_log attach partition '
                        'marketing_automation_internal.message_log_%s for values in (%s);', m, m), ' ') from unnest(p.missing) m)
                when p.overdue > 0 then format('select marketing_automation.purge_messages(%L);',
                    marketing_automation_internal.setting('message_retention')) end
    from (
        select array_agg(n.bucket order by n.bucket) filter (where f.bytes is null) as missing, sum(f.bytes) as bytes,
               count(*) filter (where f.bytes > 0) as used,
               count(*) filter (where f.bytes > 0 and n.until < statement_timestamp() - r.kept - interval '1 day') as overdue
        from (
            select marketing_automation_internal.log_bucket(statement_timestamp() - interval '720 hours' * n.age) as bucket,
                   to_timestamp((floor(extract(epoch from statement_timestamp()) / 2592000) - n.age + 1) * 2592000) as until
            from generate_series(0, 39) as n (age)) n
        cross join (select nullif(marketing_automation_internal.setting('message_retention')::interval, '0') as kept) r
        left join lateral (
            select pg_relation_size(c.oid) as bytes from pg_inherits i join pg_class c on c.oid = i.inhrelid
            where i.inhparent = 'marketing_automation_internal.message_log'::regclass
              and c.relname = format('message_log_%s', n.bucket)) f on true) p
$$;
comment on function marketing_automation_internal.partition_health() is
    'API: private. Check of health() about the partitions of message_log: all there, none with mails that should be purged';

create function marketing_automation.health() returns table (name text, status text, message text, hint text, seconds double precision)
language sql stable security definer rows 20 set search_path = pg_catalog, pg_temp
-- Its many small parts are estimated dear, and compiling them took 4 s where running them takes 10 ms.
set jit = off set datestyle = 'ISO' set intervalstyle = 'postgres' as $$
    select h.*, null::double precision from marketing_automation_internal.worker_health() h
    union all
    select h.*, null::double precision from marketing_automation_internal.version_health() h
    union all
    select h.*, null::double precision from marketing_automation_internal.job_health() h
    union all
    select 'pause', case when count(*) > 0 then 'warning' else 'ok' end,
           coalesce(min(marketing_automation_internal.pause_note()), 'sending is not paused'),
           case when count(*) > 0 then 'select marketing_automation.resume();' end, null
    from marketing_automation.sending_pause
    union all
    select 'staging', 'warning', format('all mails go to %s, and not to those whom they are for', s.mailbox),
           'alter system reset marketing_automation.staging_mailbox; select pg_reload_conf();', null
    from (select nullif(btrim(marketing_automation_internal.setting('staging_mailbox')), '') as mailbox) s where s.mailbox is not null
    union all
    select 'servers', case when count(*) filter (where s.state = 'out of reach') > 0 then
                        case when bool_and(s.state <> 'ready') then 'error' else 'warning' end else 'ok' end,
           coalesce(string_agg(s.name, ', ' order by s.name) filter (where s.state = 'out of reach') || ': out of reach',
               'no SMTP server is out of reach'),
           case when bool_or(s.state = 'out of reach') then 'select * from marketing_automation.smtp_server_status;' end, null
    from marketing_automation.smtp_server_status s where exists (select from marketing_automation.smtp_server n where n.name = s.name)
    union all
    select 'senders', case when bool_or(b.activity_id is not null) then 'warning' else 'ok' end,
           coalesce('mails wait, as their owner may not send as their sender: ' || string_agg(format('"%s" of "%s"', b.name, b.scenario), ', '
                   order by b.scenario, b.name) filter (where b.activity_id is not null),
               case when bool_or(p.is_ruled) then 'each running scenario may send as its senders'
                   else 'anybody may send as anybody: sender_permission has no row' end),
           case when bool_or(b.activity_id is not null) then 'select * from marketing_automation.sender_permission;' end, null
    from (select exists (select from marketing_automation.sender_permission) as is_ruled) p
    left join marketing_automation_internal.barred_activity b on b.state = 'running'
    union all
    select 'due_activities',
           case when late.since > interval '1 hour' then 'error' when late.since > interval '10 minutes' then 'warning' else 'ok' end,
           case when late.since is null then 'none is due'
                else format('the oldest has been due for %s, in scenario "%s"', date_trunc('second', late.since), late.scenario) end,
           case when late.since > interval '10 minutes' then 'call marketing_automation.process_all_due();' end,
           coalesce(extract(epoch from late.since), 0)
    from (select) one
    left join (
        select statement_timestamp() - b.since as since, b.scenario from marketing_automation_internal.backlog b
        where b.name = 'due_activities' order by b.since limit 1) late on true
    union all
    select 'queued_mails_' || r.reason,
           case when r.help is null then 'ok' when q.since > interval '1 hour' then 'error' when q.since > interval '10 minutes' then 'warning'
                else 'ok' end,
           case when q.since is null then 'none' else format(r.text, date_trunc('second', q.since)) end,
           case when q.since > interval '10 minutes' then r.help end, coalesce(extract(epoch from q.since), 0)
    from (values ('ready', 'the oldest could have left for %s', 'select * from marketing_automation.worker_status();'),
                 ('unreachable', 'the oldest has waited for %s, as no SMTP server answers',
                     'select state, last_error from marketing_automation.worker_status();'),
                 ('window', 'the oldest has waited for %s for its send window', null),
                 ('limited', 'the oldest has waited for %s for the limit of its domain', null),
                 ('paused', 'the oldest has waited for %s: sending is paused', null),
                 ('stopped', 'the oldest has waited for %s for its scenario to run again', null),
                 ('barred', 'the oldest has waited for %s: its scenario''s owner may not send as its sender', null))
        as r (reason, text, help)
    left join (
        select b.name, statement_timestamp() - min(b.since) as since from marketing_automation_internal.backlog b group by b.name) q
        on q.name = 'queued_mails_' || r.reason
    union all
    select 'mails_in_doubt', case when count(*) > 0 then 'warning' else 'ok' end,
           case when count(*) > 0 then format('%s%s are held: nobody knows whether the server took them',
               case when count(*) >= 1000 then 'at least ' end, count(*)) else 'none is held' end,
           case when count(*) > 0 then 'select id, email from marketing_automation.message where state = ''in_doubt'';' end, null
    from marketing_automation.activity a
    cross join (select '' as domain union all select d.domain from marketing_automation_internal.domain_queue d) q
    cross join lateral (
        select from marketing_automation_internal.outbox o
        where o.activity_id = a.id and o.domain_queue = q.domain and o.due_at = 'infinity' and o.state = 'in_doubt' limit 1000) held
    union all
    select 'events', case when e.failed > 0 or e.since < statement_timestamp() - interval '10 minutes' then 'warning' else 'ok' end,
           case when e.failed > 0 then format('%s opens and clicks could not be applied', e.failed)
                when e.since is not null then format('the oldest of those to be applied is of %s', e.since) else 'all are applied' end,
           case when e.failed > 0
                then 'select error, count(*) from marketing_automation_internal.event_inbox where error is not null group by error;'
                when e.since < statement_timestamp() - interval '10 minutes' then 'select marketing_automation.apply_events();' end,
           coalesce(extract(epoch from statement_timestamp() - e.since), 0)
    from (
        select count(i.error) as failed, min(i.occurred_at) filter (where i.error is null) as since
        -- Clicks that wait for the rules about robots wait by intention.
        from (select i.error, i.occurred_at from marketing_automation_internal.event_inbox i, marketing_automation_internal.click_window() w
              where (i.kind = 'email_clicked' and i.error is null and i.occurred_at > statement_timestamp() - w) is not true limit 1000) i) e
    union all
    -- Not the errors themselves: they may hold values of rows.
    select 'scenarios', case when count(*) > 0 then 'warning' else 'ok' end,
           coalesce(string_agg(format('"%s" failed at %s (%s)', s.name, t.last_error_at, t.last_error_code), ', '
               order by t.last_error_at desc), 'none has failed'),
           case when count(*) > 0 then 'select * from marketing_automation.scenario_status;' end, null
    from marketing_automation.scenario_status t
    join marketing_automation.scenario s on s.id = t.scenario_id and s.state = 'running'
    where t.last_error is not null
    union all
    select 'enrolling', case when count(*) > 0 then 'warning' else 'ok' end,
           coalesce('each run reads rows to find no new one: ' || string_agg(format('"%s" for %s', s.name, date_trunc('milliseconds', t.last_scan_took)), ', '
               order by t.last_scan_took desc), 'no run reads for long'),
           case when count(*) > 0 then (
               array_agg(format('select * from marketing_automation.check_scenario(%L);', s.name) order by t.last_scan_took desc))[1] end, null
    from marketing_automation.scenario_status t
    join marketing_automation.scenario s on s.id = t.scenario_id and s.state = 'running'
    where t.last_scan_took > interval '1 second'
    union all
    select h.*, null::double precision from marketing_automation_internal.watch_health() h
    union all
    select 'tracking_key', case when count(*) = 0 then 'error'
                                when bool_and(k.valid_until < statement_timestamp() + interval '7 days') then 'warning' else 'ok' end,
           case when count(*) = 0 then 'no key is valid: links of mails lead nowhere'
                when bool_and(k.valid_until is not null) then format('the last key ends at %s', max(k.valid_until))
                else format('%s valid', count(*)) end,
           case when count(*) = 0 or bool_and(k.valid_until < statement_timestamp() + interval '7 days')
                then 'select marketing_automation.rotate_tracking_key();' end, null
    from marketing_automation_internal.tracking_key k where k.valid_until is null or k.valid_until > statement_timestamp()
    union all
    select 'vacuum', case when count(*) > 0 then 'warning' else 'ok' end,
           coalesce(string_agg(format('%s has %s dead rows', v.relid::regclass, v.n_dead_tup), ', ' order by v.n_dead_tup desc),
               'no table has many dead rows'),
           string_agg(format('vacuum (analyze) %s;', v.relid::regclass), ' ' order by v.n_dead_tup desc), null
    from pg_stat_user_tables v
    where v.schemaname in ('marketing_automation', 'marketing_automation_internal')
      and v.n_dead_tup > 100000 and v.n_dead_tup > v.n_live_tup
    union all
    select 'wraparound',
           case when max(age(c.relfrozenxid)) > 1500000000 then 'error' when max(age(c.relfrozenxid)) > 500000000 then 'warning'
                else 'ok' end,
           format('the oldest transaction id is %s transactions old', max(age(c.relfrozenxid))),
           case when max(age(c.relfrozenxid)) > 500000000 then 'vacuum (freeze);' end, null
    from pg_class c
    where c.relkind = 'r' and c.relnamespace in ('marketing_automation'::regnamespace, 'marketing_automation_internal'::regnamespace)
    union all
    select h.*, null::double precision from marketing_automation_internal.partition_health() h
    union all
    select h.*, null::double precision from marketing_automation_internal.webhook_health() h
    union all
    select 'retention', case when r.days is null then 'warning' else 'ok' end,
           coalesce('mails are kept for ' || r.days, 'mails are kept for ever'),
           case when r.days is not null then null
                -- A library that is not preloaded has no settings that ALTER SYSTEM knows.
                when (select w.state = 'not preloaded' from marketing_automation.worker_status() w)
                then format('alter database %I set marketing_automation.message_retention = ''400d'';', current_database())
                else 'alter system set marketing_automation.message_retention = ''400d''; select pg_reload_conf();' end, null
    from (select nullif(marketing_automation_internal.setting('message_retention'), '0') as days) r
$$;
comment on function marketing_automation.health() is
    'API: public. One row a check: status is ok, warning or error; message says what was found, hint is the statement that helps; '
    'seconds, where something waits, for how long the oldest has, 0: nothing does. '
    'Holds nothing of rows or mails, and costs no more than a look at an index for each activity';
