-- What delivery asks of the database: short transactions around the network, see src/delivery/store.rs. The claim itself and results are
-- in claim.sql and complete.sql.

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

create function marketing_automation_internal.mail_templates(activities integer[])
returns table (activity_id integer, version integer, activity text, scenario text, own_language text, language text, sender text,
    subject text, body text, message_class text, bulk_headers boolean, reply_to text,
    utm text, utm_hosts text, preheader text, text text, headers jsonb, inline_css boolean, url text, has_attachments boolean)
language sql stable rows 5 set search_path = pg_catalog, pg_temp as $$
    select u.id, marketing_automation_internal.template_version(u.id), a.name, s.name, s.language, t.language, t.sender, t.subject, t.body,
        k.name, k.bulk_headers, t.reply_to, s.utm, s.utm_hosts, t.preheader, t.text, t.headers, s.inline_css, u.url, a.attachments is not null
    from marketing_automation.activity u
    join marketing_automation.activity a on a.id = marketing_automation_internal.sending_activity(u)
    join marketing_automation.scenario s on s.id = a.scenario_id
    join marketing_automation.message_class k on k.name = coalesce(a.message_class, s.message_class)
    cross join lateral marketing_automation_internal.template_texts(u.id) t
    where u.id = any (activities)
$$;
comment on function marketing_automation_internal.mail_templates(integer[]) is
    'API: private. Templates of activities and variants, language empty for the own ones, then translations';

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
