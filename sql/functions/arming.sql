-- Sending is armed for one database on one server. Copies are found by what they cannot take along: a dump has no row of
-- armed but one of origin, a TEMPLATE copy has another OID, a physical copy another data directory.

create function marketing_automation_internal.this_database(out system_identifier bigint, out database oid)
language sql stable set search_path = pg_catalog, pg_temp as $$
    select c.system_identifier, d.oid from pg_control_system() c, pg_database d where d.datname = current_database()
$$;
comment on function marketing_automation_internal.this_database() is
    'API: private. What tells this database from its logical copies: the cluster''s system identifier and the OID in it';

create function marketing_automation_internal.write_armed() returns void
language sql set search_path = pg_catalog, pg_temp as $$
    insert into marketing_automation_internal.armed as a (system_identifier, database, data_directory, inode, born, machine)
    select t.system_identifier, t.database, d.path, d.inode, d.born,
           -- machine-id(5) asks to keep the id itself to oneself.
           sha256(convert_to('marketing_automation ' || d.machine_id, 'UTF8'))
    from marketing_automation_internal.this_database() t, marketing_automation_internal.this_data_directory() d
    on conflict on constraint armed_pkey do update
    set (system_identifier, database, data_directory, inode, born, machine, armed_at, armed_by)
      = (excluded.system_identifier, excluded.database, excluded.data_directory, excluded.inode, excluded.born, excluded.machine,
         excluded.armed_at, excluded.armed_by)
$$;
comment on function marketing_automation_internal.write_armed() is
    'API: private. Makes this database on this server the one that may send';

create function marketing_automation_internal.disarmed_because(on_any_server boolean default false) returns text
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select case
        when exists (select from marketing_automation.origin o where (o.system_identifier, o.database) <> (t.system_identifier, t.database))
            then 'the data were restored from a dump'
        when a.singleton is null then 'it was never armed'
        when a.system_identifier <> t.system_identifier then 'it was armed as part of another database cluster'
        when a.database <> t.database then 'it is a copy of another database'
        when on_any_server then null
        when d.started_as = 'restored' and a.armed_at < pg_postmaster_start_time() then 'the server was restored from a backup'
        when (a.inode, a.born) is distinct from (d.inode, d.born) then 'its data directory is a copy'
        when a.data_directory <> d.path then format('its data directory was moved here from %s', a.data_directory)
        when a.machine <> sha256(convert_to('marketing_automation ' || d.machine_id, 'UTF8')) then 'it runs on another machine'
    end
    from marketing_automation_internal.this_database() t
    cross join marketing_automation_internal.this_data_directory() d
    left join marketing_automation_internal.armed a on true
$$;
comment on function marketing_automation_internal.disarmed_because(boolean) is
    'API: private. Why this database may not send mail; null: it may. on_any_server: whichever server of its cluster it is on';

create function marketing_automation_internal.count_as_sent() returns bigint
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    ids bigint[];
    attempts integer[];
    counted bigint := 0;
begin
    -- What is due becomes mails first. Their children come after this, and are mails that nobody has sent.
    while marketing_automation_internal.process_due(quote_ident(current_user)::regrole, 10000, null) > 0 loop
    end loop;
    loop
        with taken as (
            update marketing_automation_internal.outbox o
            set state = 'sending', attempts = o.attempts + 1, first_attempt_at = coalesce(o.first_attempt_at, statement_timestamp())
            where o.id in (
                select w.id from marketing_automation_internal.outbox w
                left join marketing_automation_internal.record r on r.id = w.record_id
                join marketing_automation.activity a on a.id = w.activity_id
                join marketing_automation.scenario s on s.id = a.scenario_id
                join marketing_automation.message_class k on k.name = coalesce(a.message_class, s.message_class)
                -- What would not have been sent is left to the mailer, which says why.
                where r.blocked_at is null and (not k.honors_unsubscribe or not exists (
                        select from marketing_automation.unsubscription u where u.scenario_id in (0, a.scenario_id) and u.party = r.party)
                    and (s.topic is null or w.record_id is null or marketing_automation_internal.withheld(s.topic, r.party,
                        marketing_automation.address_hash(marketing_automation_internal.party_address(w.email, w.addresses))) is null))
                limit 10000)
            returning o.id, o.attempts
        )
        select array_agg(t.id), array_agg(t.attempts) into ids, attempts from taken t;
        exit when ids is null;
        counted := counted + marketing_automation_internal.complete_messages(ids, attempts, array_fill('sent'::text, array[cardinality(ids)]),
            array_fill('counts as sent before the data were restored: arm(resend => false)'::text, array[cardinality(ids)]),
            array_fill(null::double precision, array[cardinality(ids)]));
    end loop;
    return counted;
end $$;
comment on function marketing_automation_internal.count_as_sent() is
    'API: private. Mails that wait, and those of activities that are due, end as sent, and their children start; returns how many';

create function marketing_automation.arm(resend boolean default null) returns void
language plpgsql set search_path = pg_catalog, pg_temp set datestyle = 'ISO' as $$
declare
    mails bigint;
    mails_since timestamptz;
    due bigint;
    due_since timestamptz;
    last_at_work timestamptz;
    staging text := nullif(btrim(marketing_automation_internal.setting('staging_mailbox')), '');
begin
    if marketing_automation_internal.disarmed_because() is null then
        if not resend then
            raise exception 'this database is armed: what waits here was sent by no other'
                using errcode = 'object_not_in_prerequisite_state', hint = 'To stop sending: select marketing_automation.pause();';
        end if;
    elsif resend is null then
        select count(*), min(o.created_at) into mails, mails_since from marketing_automation_internal.outbox o;
        select count(*), min(w.at) into due, due_since
        from marketing_automation_internal.waiting_activity w
        join marketing_automation.activity a on a.id = w.activity_id and a.action = 'send_email'
        join marketing_automation.scenario s on s.id = a.scenario_id and s.state = 'running'
        where w.at <= statement_timestamp();
        if mails + due > 0 then
            last_at_work := greatest(
                (select o.created_at from marketing_automation_internal.outbox o order by o.id desc limit 1),
                (select l.finished_at from marketing_automation_internal.message_log l order by l.id desc limit 1));
            raise exception 'another server may have sent what waits here: mails: %, activities that are due: %', mails, due
                using errcode = 'object_not_in_prerequisite_state',
                      detail = concat_ws(' ',
                          format('It is disarmed, as %s.', marketing_automation_internal.disarmed_because()),
                          'The oldest mail has waited since ' || date_trunc('second', mails_since) || '.',
                          'The oldest activity has been due since ' || date_trunc('second', due_since) || '.',
                          'The newest mail that is known here is of ' || date_trunc('second', last_at_work) || ': what was sent after that is not.'),
                      hint = 'To send them, if nobody has: select marketing_automation.arm(resend => true); to count them as sent, so that '
                          'their journeys go on: select marketing_automation.arm(resend => false);';
        end if;
    elsif not resend then
        raise notice 'mails that count as sent: %', marketing_automation_internal.count_as_sent();
    end if;
    delete from marketing_automation.origin;
    insert into marketing_automation.origin (system_identifier, database) select t.* from marketing_automation_internal.this_database() t;
    perform marketing_automation_internal.write_armed();
    if staging is not null then
        raise notice 'all mails go to %, and not to those whom they are for', staging
            using hint = 'alter system reset marketing_automation.staging_mailbox; select pg_reload_conf();';
    end if;
    perform marketing_automation_internal.notify_mailer();
end $$;
comment on function marketing_automation.arm(boolean) is
    'API: public. Allows this database on this server to send mail. A fresh CREATE EXTENSION is armed; a restored dump, a copy made '
    'with TEMPLATE, and a copy of the whole server are not until this is called. resend: whether mails that wait in such a copy, and those '
    'of activities that are due, are sent, or count as sent; null: an error says how many there are, if any. Says so if all mails go to '
    'marketing_automation.staging_mailbox';

create function marketing_automation.is_armed() returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select marketing_automation_internal.disarmed_because() is null
$$;
comment on function marketing_automation.is_armed() is 'API: public. Whether this database may send mail';

create function marketing_automation_internal.check_armed() returns text
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    reason text := marketing_automation_internal.disarmed_because();
begin
    -- A standby that was promoted: the row is of this database, and of the server that was its primary.
    if reason is not null and marketing_automation_internal.disarmed_because(on_any_server => true) is null
       and (select d.started_as from marketing_automation_internal.this_data_directory() d) = 'standby'
       and marketing_automation_internal.setting('arm_after_failover')::boolean
    then
        perform marketing_automation_internal.write_armed();
        raise log 'marketing_automation: database "%" sends from here after a failover: %', current_database(), reason;
        return null;
    end if;
    return reason;
end $$;
comment on function marketing_automation_internal.check_armed() is
    'API: private. Asked by the mailer: why this database may not send mail; null: it may. After a failover it may, if '
    'marketing_automation.arm_after_failover says so';
