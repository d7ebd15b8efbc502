-- Addresses that get no mail: see marketing_automation.suppression, which claim_messages() asks.

create function marketing_automation_internal.suppress_address(address text, reason text, detail text default null) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    -- A later reason replaces an earlier one that weighs less: who clears out hard bounces must not set a complainer free.
    weights constant text[] := array['hard_bounce', 'manual', 'complaint', 'forgotten'];
begin
    if reason is null or reason <> all (weights) then
        raise exception 'reason "%" does not exist', reason
            using errcode = 'invalid_parameter_value', hint = format('It is %s.', array_to_string(weights, ', '));
    end if;
    insert into marketing_automation.suppression as s (address_hash, reason, since, detail)
    values (marketing_automation.address_hash(address), reason, statement_timestamp(),
            -- Replies quote the address; the table must not.
            regexp_replace(detail, '\S+@\S+', '…', 'g'))
    on conflict on constraint suppression_pkey do update
    set reason = excluded.reason, since = excluded.since, detail = excluded.detail
    where array_position(weights, excluded.reason) > array_position(weights, s.reason);
    return found;
end $$;
comment on function marketing_automation_internal.suppress_address(text, text, text) is
    'API: private. As suppress(), for what a mail or a record may have as its address, whatever that is, but blank';

create function marketing_automation.suppress(address text, reason text default 'manual', detail text default null) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform marketing_automation_internal.demand_address(address);
    return marketing_automation_internal.suppress_address(address, reason, detail);
end $$;
comment on function marketing_automation.suppress(text, text, text) is
    'API: public. From its commit on nothing leaves to this address that is not with the SMTP server already. reason: hard_bounce, '
    'manual, complaint or forgotten; detail '
    'is kept without mail addresses. Whether this is news: false when the address is suppressed for that reason or one that weighs '
    'more. An address to which no mail can go is an error';

create function marketing_automation.unsuppress(address text) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    delete from marketing_automation.suppression s where s.address_hash = marketing_automation.address_hash(address);
    return found;
end $$;
comment on function marketing_automation.unsuppress(text) is
    'API: public. The address gets mail again, from now on; whether it was suppressed';

create function marketing_automation.is_suppressed(address text) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select exists (select from marketing_automation.suppression s where s.address_hash = marketing_automation.address_hash(address))
$$;
comment on function marketing_automation.is_suppressed(text) is 'API: public. Whether the address gets no mail';
