-- The keys that sign what mails carry.

create view marketing_automation_internal.valid_tracking_key as
select k.id, k.secret, row_number() over (order by k.created_at desc) as position
from marketing_automation_internal.tracking_key k
where k.valid_until is null or k.valid_until > statement_timestamp();
comment on view marketing_automation_internal.valid_tracking_key is 'API: private. The keys that verify; position 1 signs';

create function marketing_automation.rotate_tracking_key(valid_for interval default null) returns smallint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    new_id smallint;
begin
    if valid_for < interval '0' then
        raise exception 'valid_for must not be negative, but is %', valid_for
            using errcode = 'invalid_parameter_value', hint = 'Write how long links of mails that were sent go on working: ''2 years''.';
    end if;
    -- Two at once would take the same id.
    lock table marketing_automation_internal.tracking_key in share row exclusive mode;
    delete from marketing_automation_internal.tracking_key k where k.valid_until <= clock_timestamp();
    update marketing_automation_internal.tracking_key k
    set valid_until = least(k.valid_until, clock_timestamp() + valid_for)
    where valid_for is not null;
    select i.id into new_id
    from generate_series(0, 255) as i (id)
    where not exists (select from marketing_automation_internal.tracking_key k where k.id = i.id)
    -- Not one that was in use just now, of which proxies may still have the old secret.
    order by i.id < coalesce((select k.id from marketing_automation_internal.tracking_key k order by k.created_at desc limit 1), 0), i.id
    limit 1;
    if not found then
        raise exception 'all 256 tracking keys are in use' using errcode = 'configuration_limit_exceeded',
            hint = 'Set valid_until of old ones in marketing_automation_internal.tracking_key; those that have ended make room.';
    end if;
    insert into marketing_automation_internal.tracking_key (id, secret, created_at)
    values (new_id,
            -- Two random uuids hashed: 244 bits from the server's strong random source (PostgreSQL has no random bytes of its own).
            sha256(convert_to(gen_random_uuid()::text || gen_random_uuid()::text, 'UTF8')),
            -- The newest signs, even if the clock was set back.
            greatest(clock_timestamp(), (select max(k.created_at) + interval '1 microsecond'
                from marketing_automation_internal.tracking_key k)));
    return new_id;
end $$;
comment on function marketing_automation.rotate_tracking_key(interval) is
    'API: public. Makes a new key, with which the links of mails are signed from then on (the mailer notices within a minute), and '
    'returns its id. Links signed with the old keys work for valid_for more; null: for ever. 0 ends them at once, as is needed only '
    'when a secret has leaked';

create function marketing_automation_internal.restore_tracking_key() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    -- Between CREATE EXTENSION and the rows of a dump a mailer may have made a key of its own, with which nothing was signed. Without
    -- those of the dump, the links of all mails that were ever sent would be dead.
    if marketing_automation_internal.is_restoring() then
        delete from marketing_automation_internal.tracking_key k where k.id = new.id;
    end if;
    return new;
end $$;
comment on function marketing_automation_internal.restore_tracking_key() is
    'API: private. Trigger: a key of a dump takes the place of one that the new database has made';

create trigger restore before insert on marketing_automation_internal.tracking_key
    for each row execute function marketing_automation_internal.restore_tracking_key();

create function marketing_automation.tracking_keys() returns table (id smallint, secret bytea)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if not exists (select from marketing_automation_internal.valid_tracking_key) then
        -- Two at once: the second waits here, and then has a second key, which does no harm.
        perform marketing_automation.rotate_tracking_key();
    end if;
    return query select k.id, k.secret from marketing_automation_internal.valid_tracking_key k order by k.position;
end $$;
comment on function marketing_automation.tracking_keys() is
    'API: proxy. Keys that sign and verify tracking tokens, the signing one first; makes one where there is none, or all have ended';
