-- Limits of recipient domains, and the pause of everything.

create function marketing_automation_internal.seconds_of_refill(refilled_at timestamptz) returns double precision
language sql stable set search_path = pg_catalog, pg_temp as $$
    select case
        -- More than what statements wait for each other's locks: the clock was set back. The bucket is full, or it would stay empty
        -- until the clock is there again.
        when refilled_at > statement_timestamp() + interval '1 minute' then 86400
        else greatest(extract(epoch from statement_timestamp() - refilled_at)::double precision, 0) end
$$;
comment on function marketing_automation_internal.seconds_of_refill(timestamptz) is
    'API: private. For how long a token bucket has been filling since it was last taken from; a day, if that is in the future';

create view marketing_automation_internal.domain_queue_budget as
select b.domain as domain_queue,
       case when l.domain is not null
            then least(f.burst, b.tokens + l.per_second * r.seconds) end as tokens,
       case when l.per_second = 0 then 'infinity'
            when b.tokens + l.per_second * r.seconds < f.worthwhile
                then b.refilled_at + make_interval(secs => (f.worthwhile - b.tokens) / l.per_second) end as ready_at
from marketing_automation_internal.domain_queue b
left join marketing_automation.domain_limit l on l.domain = b.domain
cross join lateral (select case l.per_second when 0 then 0 else coalesce(l.burst, ceil(l.per_second)) end as burst) d
-- The mailer need not wake up for each mail: those of a tenth of a second are worth a claim.
cross join lateral (select d.burst, least(d.burst, greatest(l.per_second / 10, 1)) as worthwhile) f
cross join lateral (select marketing_automation_internal.seconds_of_refill(b.refilled_at) as seconds) r;
comment on view marketing_automation_internal.domain_queue_budget is
    'API: private. Mails that may be claimed now in each domain_queue, null without a limit, and from when a claim is worthwhile, '
    'null: now';

-- How fast mail goes: limits of domains, and the pause. What they hold back, claim_messages() does not claim.
create function marketing_automation_internal.domain_limit_validate() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if marketing_automation_internal.is_restoring() then
        return new;
    end if;
    if marketing_automation_internal.address_domain('@' || new.domain) is null then
        raise exception 'domain "%" of domain_limit is none', new.domain
            using errcode = 'check_violation', hint = 'Write what stands after the @ of addresses, such as gmail.com.';
    end if;
    new.domain := marketing_automation_internal.address_domain('@' || new.domain);
    insert into marketing_automation_internal.domain_queue (domain, tokens, refilled_at)
    values (new.domain, 'infinity', statement_timestamp())
    on conflict do nothing;
    return new;
end $$;
comment on function marketing_automation_internal.domain_limit_validate() is
    'API: private. Spells the domain as addresses are compared, and makes its domain_queue before any mail can be in it';

create trigger validate before insert or update on marketing_automation.domain_limit
    for each row execute function marketing_automation_internal.domain_limit_validate();

create function marketing_automation_internal.pause(caller regrole, reason text) returns void
language sql set search_path = pg_catalog, pg_temp as $$
    insert into marketing_automation.sending_pause (reason, paused_by) values (reason, caller) on conflict do nothing;
    select marketing_automation_internal.notify_mailer();
$$;
comment on function marketing_automation_internal.pause(regrole, text) is 'API: private. Behind pause()';

create function marketing_automation.pause(reason text default null) returns void
language c volatile as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.pause(text) is
    'API: public. From its commit on, no mail leaves until resume(), but for those on their way to the server. Enrolling and '
    'processing go on';

create function marketing_automation.resume() returns void
language sql security definer set search_path = pg_catalog, pg_temp as $$
    delete from marketing_automation.sending_pause;
    select marketing_automation_internal.notify_mailer();
$$;
comment on function marketing_automation.resume() is 'API: public. Ends a pause()';

create function marketing_automation_internal.pause_note() returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select concat_ws(': ', format('sending is paused since %s by %s', to_char(p.since, 'YYYY-MM-DD HH24:MI:SS OF'), p.paused_by), p.reason)
    from marketing_automation.sending_pause p
$$;
comment on function marketing_automation_internal.pause_note() is
    'API: private. What worker_status() says during a pause; null: there is none';
