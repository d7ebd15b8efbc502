-- SMTP servers: who may define them, what they may take, how they are doing.

create function marketing_automation_internal.smtp_server_validate() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    -- Whoever writes here has files read and their first line sent to a host of their choice.
    if not (select r.rolsuper from pg_roles r where r.rolname = current_user) then
        raise exception 'must be superuser to write marketing_automation.smtp_server' using errcode = 'insufficient_privilege';
    end if;
    if marketing_automation_internal.is_restoring() then
        return new;
    end if;
    perform marketing_automation_internal.check_smtp_url(new.url);
    if new.password_file !~ '^/' then
        raise exception 'password_file of server "%" must be an absolute path', new.name using errcode = 'check_violation';
    end if;
    if new.sender_domain is not null then
        if marketing_automation_internal.address_domain('@' || new.sender_domain) is null then
            raise exception 'sender_domain "%" of server "%" is no domain', new.sender_domain, new.name using errcode = 'check_violation';
        end if;
        new.sender_domain := marketing_automation_internal.address_domain('@' || new.sender_domain);
    end if;
    return new;
end $$;
comment on function marketing_automation_internal.smtp_server_validate() is
    'API: private. Only superusers define servers; the URL can be used, the domain is spelled as addresses are compared';

create trigger validate before insert or update on marketing_automation.smtp_server
    for each row execute function marketing_automation_internal.smtp_server_validate();

create view marketing_automation_internal.smtp_allowance as
select s.name as server, s.per_second, ceil(s.per_second) as burst, s.warmup_started, d.today,
       case when u.day = d.today then u.taken else 0 end as taken_today,
       case when s.warmup_started > d.today then 0
            when exists (select from marketing_automation.smtp_warmup w where w.server = s.name and w.day >= d.day)
            then coalesce((select w.mails from marketing_automation.smtp_warmup w where w.server = s.name
                and w.day <= d.day order by w.day desc limit 1), 0)
            end as daily,
       u.tokens + s.per_second * marketing_automation_internal.seconds_of_refill(u.refilled_at) as tokens
from marketing_automation.smtp_server s
left join marketing_automation_internal.smtp_usage u on u.server = s.name
cross join lateral (select z.today, z.today - s.warmup_started + 1 as day
    from (select timezone(marketing_automation.database_time_zone(), statement_timestamp())::date as today) z) d;
comment on view marketing_automation_internal.smtp_allowance is
    'API: private. What each server may take: a token bucket of one second''s mails, null if it was never used, and the mails of the '
    'day, null without a limit; taken_today: tokens handed out, for mails that are taken, refused or still to come; today: in the time '
    'zone of the database, whoever asks';

create function marketing_automation_internal.grant_send_tokens(servers text[], in_hand integer[], wanted integer)
returns table (server text, permits integer, is_spent boolean, wait_seconds double precision)
language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
    insert into marketing_automation_internal.smtp_usage (server) select s.name from unnest(servers) as s (name)
    where not exists (select from marketing_automation_internal.smtp_usage u where u.server = s.name)
    on conflict do nothing;
    perform from marketing_automation_internal.smtp_usage u where u.server = any (servers) order by u.server for update;
    return query
        with asked as materialized (
            select a.server, i.in_hand, a.per_second, a.daily, a.today, a.taken_today,
                   -- Permits in hand have left the bucket, and still count for the burst.
                   least(a.burst, coalesce(a.tokens, a.burst) + i.in_hand) as tokens,
                   coalesce(a.tokens, a.burst) + i.in_hand > a.burst as is_full,
                   a.daily - a.taken_today + i.in_hand as left_today
            from unnest(servers, in_hand) as i (server, in_hand)
            join marketing_automation_internal.smtp_allowance a on a.server = i.server
        ), granted as materialized (
            select a.*, greatest(floor(least(wanted, a.tokens, a.left_today))::integer - a.in_hand, 0) as permits
            from asked a
        ), spent as (
            update marketing_automation_internal.smtp_usage u
            set tokens = g.tokens - g.in_hand - g.permits, refilled_at = statement_timestamp(), day = g.today,
                taken = g.taken_today + g.permits
            from granted g
            -- What would flow over while permits are in hand is gone: else a mailer that has waited with a burst in hand would have another.
            where u.server = g.server and (g.permits > 0 or g.is_full)
        )
        select g.server, g.permits, coalesce(g.left_today <= g.in_hand + g.permits, false),
               case when g.left_today <= g.in_hand + g.permits
                   then extract(epoch from timezone(marketing_automation.database_time_zone(), (g.today + 1)::timestamp)
                       - statement_timestamp())::double precision
                    -- Those of a tenth of a second are worth a claim.
                    when g.per_second is not null then greatest(1, g.per_second / 10) / g.per_second
                    else 0 end
        from granted g;
end $$;
comment on function marketing_automation_internal.grant_send_tokens(text[], integer[], integer) is
    'API: private. Permits for limited servers, so that each has wanted in hand as far as its limits allow; is_spent: the warm-up '
    'allows no more than these today; wait_seconds: how long until there is more. A restart of the mailer loses permits in hand, and '
    'wins none';

create function marketing_automation_internal.report_server(name text, seconds double precision, error text) returns void
language sql set search_path = pg_catalog, pg_temp as $$
    insert into marketing_automation_internal.smtp_usage as u (server, paused_until, last_error, last_error_at)
    values (name, statement_timestamp() + make_interval(secs => seconds), error, case when error is not null then statement_timestamp() end)
    on conflict on constraint smtp_usage_pkey do update
    set paused_until = excluded.paused_until, last_error = coalesce(excluded.last_error, u.last_error),
        last_error_at = coalesce(excluded.last_error_at, u.last_error_at);
$$;
comment on function marketing_automation_internal.report_server(text, double precision, text) is
    'API: private. A server is left alone for some seconds, and why; nulls: it answers again';

create view marketing_automation.smtp_server_status as
select s.name, case when not s.enabled then 'disabled' when u.paused_until is not null then 'out of reach' else 'ready' end as state,
       u.paused_until, u.last_error, u.last_error_at,
       case when u.sent_until > statement_timestamp() then u.sent else 0 end as taken_today, a.daily as allowed_today
from marketing_automation.smtp_server s
join marketing_automation_internal.smtp_allowance a on a.server = s.name
left join marketing_automation_internal.smtp_usage u on u.server = s.name
union all
select u.server, case when u.paused_until is not null then 'out of reach' else 'ready' end, u.paused_until, u.last_error, u.last_error_at,
       case when u.sent_until > statement_timestamp() then u.sent else 0 end, null
from marketing_automation_internal.smtp_usage u
where u.server = 'smtp_url' and not exists (select from marketing_automation.smtp_server s where s.enabled or s.name = u.server);
comment on view marketing_automation.smtp_server_status is
    'API: public. How each server is doing, that of the settings as smtp_url once it is used and where no other is enabled: ready, out of '
    'reach (probed again at paused_until, its mails go elsewhere meanwhile) or disabled; its last error; mails it has taken today, and '
    'how many the warm-up allows, null: any number: both on the day of database_time_zone()';
