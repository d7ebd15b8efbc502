-- Addresses that have left: whoever leaves through a mail does so with the address that it went to, whichever other rows have that
-- address. claim_messages() asks, as it does of suppressed ones.

create function marketing_automation_internal.mailed_address(of_record bigint, of_activity integer) returns bytea
language sql stable set search_path = pg_catalog, pg_temp as $$
    select marketing_automation.address_hash(coalesce((
            select m.email from marketing_automation_internal.message_log m
            -- Not whose who gets mails of it instead.
            where m.record_id = of_record and m.email <> '' and m.target is null and not coalesce(m.addresses ? 'party', false)
            order by (m.activity_id = of_activity) is true desc, m.created_at desc limit 1), (
            -- Who has a mail that is not in the log: nobody knows whether it was taken.
            select o.email from marketing_automation_internal.outbox o
            where o.activity_id = of_activity and o.record_id = of_record and o.attempts > 0 and o.target is null
                and not coalesce(o.addresses ? 'party', false) limit 1)))
$$;
comment on function marketing_automation_internal.mailed_address(bigint, integer) is
    'API: private. The digest of the address to which the mail of this activity went, or else another mail of the record; null: nothing '
    'that is kept says it';

create function marketing_automation_internal.leave_address(its_hash bytea, scenarios integer[], of_record bigint, its_party text,
    spares_party boolean) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    insert into marketing_automation_internal.unsubscribed_address as u
        (address_hash, scenario_id, created_at, record_id, party, spares_party)
    select its_hash, s.id, statement_timestamp(), of_record, its_party, leave_address.spares_party and s.id <> 0
    from unnest(scenarios) as s (id) where its_hash is not null order by s.id
    on conflict on constraint unsubscribed_address_pkey do update
    set record_id = excluded.record_id, party = excluded.party,
        -- Of two parties with one address that have both left there is none to go on with.
        spares_party = u.spares_party and excluded.spares_party and u.party = excluded.party
    where u.spares_party and not (excluded.spares_party and u.party = excluded.party);
    return found;
end $$;
comment on function marketing_automation_internal.leave_address(bytea, integer[], bigint, text, boolean) is
    'API: private. Has an address leave these scenarios, 0 being all; whether that is news. Null: none is known';

create function marketing_automation_internal.return_address(its_hash bytea, scenario_id integer, of_record bigint, its_party text)
    returns bigint
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    returned bigint;
begin
    perform from marketing_automation_internal.unsubscribed_address u
    where u.address_hash = its_hash or u.record_id = of_record or u.party = its_party
    order by u.address_hash, u.scenario_id for update;
    delete from marketing_automation_internal.unsubscribed_address u
    where (u.address_hash = its_hash or u.record_id = of_record or u.party = its_party)
      and (return_address.scenario_id is null or u.scenario_id in (0, return_address.scenario_id));
    get diagnostics returned = row_count;
    return returned;
end $$;
comment on function marketing_automation_internal.return_address(bytea, integer, bigint, text) is
    'API: private. Takes back what an address, or the addresses of a record or a party, have left: one scenario and everything, or all '
    'that they have (null); how many that were';

create function marketing_automation_internal.has_left(its_hash bytea, of_scenario integer, its_party text) returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
    select exists (
        select from marketing_automation_internal.unsubscribed_address u
        where u.address_hash = its_hash and u.scenario_id in (0, of_scenario) and (u.spares_party and u.party = its_party) is not true)
$$;
comment on function marketing_automation_internal.has_left(bytea, integer, text) is
    'API: private. Whether an address has left a scenario, or everything, for records of this party; 0: everything only';

create function marketing_automation_internal.left_address(address text) returns bytea
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    perform marketing_automation_internal.demand_address(address);
    return marketing_automation.address_hash(address);
end $$;
comment on function marketing_automation_internal.left_address(text) is 'API: private. The digest of an address to which a mail can go; raises for others';

create function marketing_automation_internal.unsubscribe_address(caller regrole, address text, scenario text) returns boolean
language sql set search_path = pg_catalog, pg_temp as $$
    select marketing_automation_internal.leave_address(marketing_automation_internal.left_address(address),
        array[marketing_automation_internal.scenario_left(caller, scenario)], null, null, false)
$$;
comment on function marketing_automation_internal.unsubscribe_address(regrole, text, text) is 'API: private. Behind unsubscribe_address()';

create function marketing_automation.unsubscribe_address(address text, scenario text default null) returns boolean
language c volatile as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.unsubscribe_address(text, text) is
    'API: public. Unsubscribes an address from a scenario, or from every one (null), also those to come, whichever rows have it: mails to '
    'it are suppressed from the commit on. Only its digest is kept. Whether this is news';

create function marketing_automation_internal.resubscribe_address(caller regrole, address text, scenario text) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    hash bytea := marketing_automation.address_hash(address);
    its_scenario integer := nullif(marketing_automation_internal.scenario_left(caller, scenario), 0);
begin
    perform marketing_automation_internal.demand_some_address(address);
    if its_scenario is not null and marketing_automation_internal.has_left(hash, 0, null) then
        raise exception 'the address is unsubscribed from everything'
            using errcode = 'object_not_in_prerequisite_state',
                  hint = 'Resubscribe it to everything first: call resubscribe_address() without a scenario.';
    end if;
    return marketing_automation_internal.return_address(hash, its_scenario, null, null) > 0;
end $$;
comment on function marketing_automation_internal.resubscribe_address(regrole, text, text) is 'API: private. Behind resubscribe_address()';

create function marketing_automation.resubscribe_address(address text, scenario text default null) returns boolean
language c volatile as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.resubscribe_address(text, text) is
    'API: public. Takes back every unsubscription of an address, or that from one scenario. Its parties and records stay as they are: see '
    'resubscribe() and unblock(). Whether there was one';
