-- Is everything as it should be? One row a check, for people, and the same as numbers, for monitoring.

create function marketing_automation_internal.job_health()
returns table (name text, status text, message text, hint text)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    is_needed boolean := exists (select from marketing_automation.scenario s where s.state = 'running');
    home text := current_setting('cron.database_name', true);
begin
    if not exists (select from pg_extension e where e.extname = 'pg_cron') then
        return query select 'jobs', 'ok', case when home is null then 'pg_cron is not installed'
            else format('pg_cron lives in the database "%s"', home) end
            || ': due_activities says whether something else calls process_all_due()',
            null;
        return;
    end if;
    -- Dynamic, as the table may not exist.
    return query execute $query$
        select kind.what || '_job',
               case when job.jobid is null or not job.active then case when $1 then 'error' else 'ok' end
                    when run.status = 'failed' then 'error'
                    when run.start_time < statement_timestamp() - interval '1 day' or run.start_time is null and $1 then 'warning'
                    else 'ok' end,
               case when job.jobid is null then format('no job of pg_cron calls %s()', kind.function)
                    when not job.active then format('the job %s is not active', job.jobid)
                    when run.start_time is null then format('the job %s has never run', job.jobid)
                    else format('the job %s last ran at %s: %s', job.jobid, run.start_time, run.status) end,
               case when job.jobid is null then 'select * from marketing_automation.schedule_jobs();'
                    when not job.active then format('update cron.job set active = true where jobid = %s;', job.jobid)
                    when run.status = 'failed'
                    then format('select * from cron.job_run_details where jobid = %s order by runid desc limit 10;', job.jobid) end
        from (values
            ('enroll', 'enroll', 'marketing\_automation.enroll%'),
            ('process', 'process_all_due', 'marketing\_automation.process%')) as kind (what, function, call)
        left join lateral (
            select j.jobid, j.active from cron.job j
            where j.database = current_database() and j.command like '%' || kind.call
            order by j.active desc, j.jobid limit 1) job on true
        left join lateral (
            select d.status, d.start_time from cron.job_run_details d
            where d.jobid = job.jobid and d.status <> 'starting' order by d.runid desc limit 1) run on true
        $query$ using is_needed;
end $$;
comment on function marketing_automation_internal.job_health() is
    'API: private. Checks of health() about the jobs of pg_cron, where it is in this database';

create function marketing_automation_internal.worker_health(out name text, out status text, out message text, out hint text)
language sql stable set search_path = pg_catalog, pg_temp as $$
    select 'worker',
           case when w.state in ('idle', 'sending') then 'ok' when w.state in ('starting', 'paused') then 'warning' else 'error' end,
           w.state || coalesce(': ' || case when w.state not in ('idle', 'sending', 'starting') then w.last_error end, ''),
           case w.state
               when 'outdated' then 'alter extension marketing_automation update;'
               when 'disarmed' then 'select marketing_automation.arm();'
               when 'paused' then case when exists (select from marketing_automation.sending_pause)
                   then 'select marketing_automation.resume();'
                   else 'select * from marketing_automation.smtp_server_status;' end
               when 'unconfigured' then 'select name, setting from pg_settings where name like ''marketing_automation.%'';'
               when 'not preloaded' then 'alter system set shared_preload_libraries = …, marketing_automation; then restart the server'
               when 'not running' then 'the server''s log says why the worker ended'
           end
    from marketing_automation.worker_status() w
$$;
comment on function marketing_automation_internal.worker_health() is 'API: private. Check of health() about the worker that sends';

create view marketing_automation_internal.queue_state as
-- One row an activity and domain queue with mails that wait, by the index: never a look at each mail.
select a.id as activity_id, s.state as scenario_state, x.activity_id is not null as is_barred, q.domain as domain_queue, b.ready_at,
    first.due_at
from marketing_automation.activity a
join marketing_automation.scenario s on s.id = a.scenario_id
left join marketing_automation_internal.barred_activity x on x.activity_id = a.id
cross join (select '' as domain union all select d.domain from marketing_automation_internal.domain_queue d) q
left join marketing_automation_internal.domain_queue_budget b on b.domain_queue = q.domain
cross join lateral (
    select o.due_at from marketing_automation_internal.outbox o
    where o.activity_id = a.id and o.domain_queue = q.domain and o.state = 'queued' and o.due_at < 'infinity'
    order by o.due_at limit 1) first;
comment on view marketing_automation_internal.queue_state is
    'API: private. The oldest mail that waits, for each activity and domain queue, and until when the limit of its domain holds it';

create function marketing_automation.health() returns table (name text, status text, message text, hint text)
language sql stable security definer set search_path = pg_catalog, pg_temp
-- Its many small parts are estimated dear, and compiling them took 4 s where running them takes 10 ms.
set jit = off set datestyle = 'ISO' set intervalstyle = 'postgres' as $$
    select * from marketing_automation_internal.worker_health()
    union all
    select * from marketing_automation_internal.job_health()
    union all
    select 'pause', case when count(*) > 0 then 'warning' else 'ok' end,
           coalesce(min(marketing_automation_internal.pause_note()), 'sending is not paused'),
           case when count(*) > 0 then 'select marketing_automation.resume();' end
    from marketing_automation.sending_pause
    union all
    select 'servers', case when count(*) filter (where s.state = 'out of reach') > 0 then
                        case when bool_and(s.state <> 'ready') then 'error' else 'warning' end else 'ok' end,
           coalesce(string_agg(s.name, ', ' order by s.name) filter (where s.state = 'out of reach') || ': out of reach',
               'no SMTP server is out of reach'),
           case when bool_or(s.state = 'out of reach') then 'select * from marketing_automation.smtp_server_status;' end
    from marketing_automation.smtp_server_status s
    union all
    select 'senders', case when bool_or(b.activity_id is not null) then 'warning' else 'ok' end,
           coalesce('mails wait, as their owner may not send as their sender: ' || string_agg(format('"%s" of "%s"', b.name, b.scenario), ', '
                   order by b.scenario, b.name) filter (where b.activity_id is not null),
               case when bool_or(p.is_ruled) then 'each running scenario may send as its senders'
                   else 'anybody may send as anybody: sender_permission has no row' end),
           case when bool_or(b.activity_id is not null) then 'select * from marketing_automation.sender_permission;' end
    from (select exists (select from marketing_automation.sender_permission) as is_ruled) p
    left join marketing_automation_internal.barred_activity b on b.state = 'running'
    union all
    select 'due_activities',
           case when late.since > interval '1 hour' then 'error' when late.since > interval '10 minutes' then 'warning' else 'ok' end,
           case when late.since is null then 'none is due'
                else format('the oldest has been due for %s, in scenario "%s"', date_trunc('second', late.since), late.scenario) end,
           case when late.since > interval '10 minutes' then 'call marketing_automation.process_all_due();' end
    from (select) one
    left join lateral (
        select statement_timestamp() - first.at as since, s.name as scenario
        from marketing_automation.activity a
        join marketing_automation.scenario s on s.id = a.scenario_id and s.state = 'running'
        cross join lateral (
            select w.at from marketing_automation_internal.waiting_activity w
            where w.activity_id = a.id and w.at <= statement_timestamp() order by w.at limit 1) first
        order by first.at limit 1) late on true
    union all
    -- A reason each, so that what waits by intention does not hide what does not.
    select 'queued_mails_' || r.reason,
           case when r.reason <> 'ready' then 'ok' when q.since > interval '1 hour' then 'error'
                when q.since > interval '10 minutes' then 'warning' else 'ok' end,
           case when q.since is null then 'none' else format(r.text, date_trunc('second', q.since)) end,
           case when r.reason = 'ready' and q.since > interval '10 minutes' then 'select * from marketing_automation.worker_status();' end
    from (values ('ready', 'the oldest could have left for %s'),
                 ('limited', 'the oldest has waited for %s for the limit of its domain'),
                 ('stopped', 'the oldest has waited for %s for its scenario to run again'),
                 ('barred', 'the oldest has waited for %s: its scenario''s owner may not send as its sender')) as r (reason, text)
    left join (
        select case when q.is_barred then 'barred' when q.scenario_state <> 'running' then 'stopped'
                    when q.ready_at > statement_timestamp() then 'limited' else 'ready' end as reason,
               statement_timestamp() - min(q.due_at) as since
        from marketing_automation_internal.queue_state q where q.due_at <= statement_timestamp() group by 1) q on q.reason = r.reason
    union all
    select 'mails_in_doubt', case when count(*) > 0 then 'warning' else 'ok' end,
           case when count(*) > 0 then format('%s are held: nobody knows whether the server took them', count(*)) else 'none is held' end,
           case when count(*) > 0 then 'select id, email from marketing_automation.message where state = ''in_doubt'';' end
    from marketing_automation.activity a
    cross join lateral (
        select from marketing_automation_internal.outbox o
        where o.activity_id = a.id and o.due_at = 'infinity' and o.state = 'in_doubt') held
    union all
    select 'events', case when count(e.error) > 0 then 'warning' when min(e.occurred_at) filter (where e.error is null)
                        < statement_timestamp() - interval '10 minutes' then 'warning' else 'ok' end,
           case when count(e.error) > 0 then format('%s opens and clicks could not be applied', count(e.error))
                when count(*) > 0 then format('the oldest of those to be applied is of %s', min(e.occurred_at)) else 'all are applied' end,
           case when count(*) > 0 then 'select * from marketing_automation.apply_events();' end
    from (select i.error, i.occurred_at from marketing_automation_internal.event_inbox i limit 10000) e
    union all
    -- Not the errors themselves: they may hold values of rows.
    select 'scenarios', case when count(*) > 0 then 'warning' else 'ok' end,
           coalesce(string_agg(format('"%s" failed at %s (%s)', s.name, t.last_error_at, t.last_error_code), ', '
               order by t.last_error_at desc), 'none has failed'),
           case when count(*) > 0 then 'select * from marketing_automation.scenario_status;' end
    from marketing_automation.scenario_status t
    join marketing_automation.scenario s on s.id = t.scenario_id and s.state = 'running'
    where t.last_error is not null
    union all
    select 'tracking_key', case when count(*) = 0 then 'error'
                                when bool_and(k.valid_until < statement_timestamp() + interval '7 days') then 'warning' else 'ok' end,
           case when count(*) = 0 then 'no key is valid: links of mails lead nowhere'
                when bool_and(k.valid_until is not null) then format('the last key ends at %s', max(k.valid_until))
                else format('%s valid', count(*)) end,
           case when count(*) = 0 or bool_and(k.valid_until < statement_timestamp() + interval '7 days')
                then 'select marketing_automation.rotate_tracking_key();' end
    from marketing_automation_internal.tracking_key k where k.valid_until is null or k.valid_until > statement_timestamp()
    union all
    select 'vacuum', case when count(*) > 0 then 'warning' else 'ok' end,
           coalesce(string_agg(format('%s has %s dead rows', v.relid::regclass, v.n_dead_tup), ', ' order by v.n_dead_tup desc),
               'no table has many dead rows'),
           string_agg(format('vacuum (analyze) %s;', v.relid::regclass), ' ' order by v.n_dead_tup desc)
    from pg_stat_user_tables v
    where v.schemaname in ('marketing_automation', 'marketing_automation_internal')
      and v.n_dead_tup > 100000 and v.n_dead_tup > v.n_live_tup
    union all
    select 'wraparound',
           case when max(age(c.relfrozenxid)) > 1500000000 then 'error' when max(age(c.relfrozenxid)) > 500000000 then 'warning'
                else 'ok' end,
           format('the oldest transaction id is %s transactions old', max(age(c.relfrozenxid))),
           case when max(age(c.relfrozenxid)) > 500000000 then 'vacuum (freeze);' end
    from pg_class c
    where c.relkind = 'r' and c.relnamespace in ('marketing_automation'::regnamespace, 'marketing_automation_internal'::regnamespace)
    union all
    select 'retention', case when r.days is null then 'warning' else 'ok' end,
           coalesce('mails are kept for ' || r.days, 'mails are kept for ever'),
           case when r.days is null then 'alter system set marketing_automation.message_retention = ''400d''; select pg_reload_conf();' end
    from (select nullif(marketing_automation_internal.setting('message_retention'), '0') as days) r
$$;
comment on function marketing_automation.health() is
    'API: public. One row a check: status is ok, warning or error; message says what was found, hint is the statement that helps. '
    'Holds nothing of rows or mails, and costs no more than a look at an index for each activity';

create view marketing_automation.metric as
select 'marketing_automation_' || m.name as name, m.scenario, m.label, m.value
from (
    select 'health' as name, null as scenario, h.name as label,
           case h.status when 'ok' then 0 when 'warning' then 1 else 2 end::double precision as value
    from marketing_automation.health() h
    union all
    select 'records_total', s.name, null, coalesce(c.records, 0)
    from marketing_automation.scenario s
    cross join lateral (
        select sum(n.records) as records from marketing_automation_internal.scenario_counter n
        where n.scenario_id = s.id and (not n.rolled_up or n.period = '-infinity')) c
    where s.state <> 'draft'
    union all
    select x.name, s.name, a.name, x.value
    from marketing_automation.scenario s
    join marketing_automation.activity a on a.scenario_id = s.id
    cross join lateral (
        select sum(n.sent) as sent, sum(n.not_sent) as not_sent, sum(n.opened) as opened, sum(n.clicked) as clicked, sum(n.failed) as failed
        from marketing_automation_internal.activity_counter n
        where n.activity_id = a.id and (not n.rolled_up or n.period = '-infinity')) c
    cross join lateral (values ('mails_sent_total', c.sent), ('mails_not_sent_total', c.not_sent), ('mails_opened_total', c.opened),
        ('mails_clicked_total', c.clicked), ('activities_failed_total', c.failed)) as x (name, value)
    where s.state <> 'draft' and x.value is not null
    union all
    select x.name, null, null, x.value
    from marketing_automation.worker_status() w
    cross join lateral (values ('worker_sent_total', w.sent), ('worker_failed_total', w.failed), ('worker_retried_total', w.retried))
        as x (name, value)
) m;
comment on view marketing_automation.metric is
    'API: public. Numbers for monitoring, in long form: name as of a Prometheus metric; scenario; label: which check of health() or which '
    'activity. health: 0 ok, 1 warning, 2 error; worker_…: since the server started';
