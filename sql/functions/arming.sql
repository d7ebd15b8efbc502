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

create function marketing_automation.arm() returns void
language sql set search_path = pg_catalog, pg_temp as $$
    delete from marketing_automation.origin;
    insert into marketing_automation.origin (system_identifier, database) select t.* from marketing_automation_internal.this_database() t;
    select marketing_automation_internal.write_armed();
    select marketing_automation_internal.notify_mailer();
$$;
comment on function marketing_automation.arm() is
    'API: public. Allows this database on this server to send mail. A fresh CREATE EXTENSION is armed; a restored dump, a copy made '
    'with TEMPLATE, and a copy of the whole server are not until this is called';

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
