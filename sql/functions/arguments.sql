-- Addresses, parties and keys that callers give: what can be nobody's is refused, as what was asked for would silently concern nobody. Look-ups
-- and undoing take whatever may once have been stored. And where a call cannot be answered: in a transaction that may not write.

create function marketing_automation_internal.demand_some_address(address text) returns void
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    if address is null or trim(address) = '' then
        raise exception 'address must not be empty' using errcode = 'invalid_parameter_value',
            hint = 'Write an e-mail address: ''ann@shop.example''.';
    end if;
end $$;
comment on function marketing_automation_internal.demand_some_address(text) is 'API: private. Raises for an address that is null or blank';

create function marketing_automation_internal.demand_address(address text) returns void
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare
    message text;
begin
    perform marketing_automation_internal.demand_some_address(address);
    -- Addresses are compared without the dot of the DNS root.
    perform marketing_automation_internal.check_address(rtrim(trim(address), '.'));
exception when invalid_parameter_value then
    get stacked diagnostics message = message_text;
    if message not like 'recipient %' then
        raise;
    end if;
    raise exception using errcode = 'invalid_parameter_value', message = left(substr(message, length('recipient ') + 1), 1000),
        detail = 'No mail can go to it.', hint = 'Write an e-mail address alone, without a name: ''ann@shop.example''.';
end $$;
comment on function marketing_automation_internal.demand_address(text) is
    'API: private. Raises, with what to write instead, unless a mail can go to an address; null, blanks: neither';

create function marketing_automation_internal.demand_party(party text) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    if party is null then
        raise exception 'party must not be null'
            using errcode = 'null_value_not_allowed', hint = 'It is what the party expression of the model gives for the person, as text.';
    end if;
    -- What a model has given for some row is a party, whatever it is.
    if (trim(party) = '' or octet_length(party) > 1000) and not exists (
            select from marketing_automation_internal.record r where r.party = demand_party.party) then
        raise exception 'party must not %', case when trim(party) = '' then 'be blank' else 'have more than 1,000 bytes' end
            using errcode = 'invalid_parameter_value', detail = 'No record has this party.',
                hint = 'It is what the party expression of the model gives for the person, as text.';
    end if;
end $$;
comment on function marketing_automation_internal.demand_party(text) is
    'API: private. Raises for a party that is null, or that is blank or too long and of no record';

create function marketing_automation_internal.demand_some_key(key text) returns void
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    if key is null then
        raise exception 'key must not be null' using errcode = 'null_value_not_allowed',
            hint = 'It is the value of the model''s key of a row, as text.';
    end if;
end $$;
comment on function marketing_automation_internal.demand_some_key(text) is 'API: private. Raises for a key that is null';

create function marketing_automation_internal.demand_writing(what text) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    if current_setting('transaction_read_only') <> 'on' then
        return;
    end if;
    raise exception '% writes what it rolls back, which %', what,
            case when pg_is_in_recovery() then 'a standby cannot' else 'this transaction may not' end
        using errcode = 'read_only_sql_transaction',
            detail = 'The machine itself runs, for what would happen, and nothing of it stays.',
            hint = case when pg_is_in_recovery() then 'select sender_host, sender_port from pg_stat_wal_receiver; -- call it there, on the primary'
                when current_setting('default_transaction_read_only') = 'on' then 'set default_transaction_read_only = off; -- then call it again'
                else 'begin read write; -- then call it again' end;
end $$;
comment on function marketing_automation_internal.demand_writing(text) is
    'API: private. Raises on a standby, and in a transaction that may not write, for what plays and rolls back: simulate(), rehearse()';
