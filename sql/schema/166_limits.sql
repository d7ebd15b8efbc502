-- How fast mail goes: limits of domains, and the pause. What they hold back, claim_messages() does not claim.

create function marketing_automation.domain_limit_validate() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if marketing_automation.is_restoring() then
        return new;
    end if;
    if marketing_automation.address_domain('@' || new.domain) is null then
        raise exception 'domain "%" of domain_limit is none', new.domain
            using errcode = 'check_violation', hint = 'Write what stands after the @ of addresses, such as gmail.com.';
    end if;
    new.domain := marketing_automation.address_domain('@' || new.domain);
    insert into marketing_automation.domain_bucket (domain, tokens, refilled_at)
    values (new.domain, 'infinity', statement_timestamp())
    on conflict do nothing;
    return new;
end $$;
comment on function marketing_automation.domain_limit_validate() is
    'API: private. Spells the domain as addresses are compared, and makes its lane before any mail can be in it';

create trigger validate before insert or update on marketing_automation.domain_limit
    for each row execute function marketing_automation.domain_limit_validate();

create function marketing_automation.pause(reason text default null) returns void
language sql security definer set search_path = pg_catalog, pg_temp as $$
    insert into marketing_automation.sending_pause (reason) values (reason) on conflict do nothing;
    select marketing_automation.notify_mailer();
$$;
comment on function marketing_automation.pause(text) is
    'API: public. From its commit on, no mail leaves until resume(), but for those on their way to the server. Enrolling and processing go on';

create function marketing_automation.resume() returns void
language sql security definer set search_path = pg_catalog, pg_temp as $$
    delete from marketing_automation.sending_pause;
    select marketing_automation.notify_mailer();
$$;
comment on function marketing_automation.resume() is 'API: public. Ends a pause()';

create function marketing_automation.pause_note() returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select concat_ws(': ', format('sending is paused since %s by %s', to_char(p.since, 'YYYY-MM-DD HH24:MI:SS OF'), p.paused_by), p.reason)
    from marketing_automation.sending_pause p
$$;
comment on function marketing_automation.pause_note() is 'API: private. What worker_status() says during a pause; null: there is none';
