-- Who may do what. Nothing is granted to PUBLIC, and nothing in the schema marketing_automation_internal to anybody;
-- grant_access() gives a role what its job needs.

create function marketing_automation_internal.access_right() returns table (access text, privilege text, objects text)
language sql immutable set search_path = pg_catalog, pg_temp as $$
    values
    ('tracking', 'execute', 'tracking_keys record_events page_sources unsubscribe_page unsubscribe_by_token resubscribe_by_token'),
    ('bounces', 'execute', 'ingest_bounce'),
    ('enroller', 'execute', 'enroll_record enroll_records'),
    ('monitor', 'execute', 'health worker_status'),
    ('monitor', 'select', 'metric'),
    ('reader', 'select',
     'model party sale scenario scenario_status scenario_report activity_report activity activity_translation snippet page page_text robot_rule '
     'robot_hit conversion conversion_report record record_activity unsubscription suppression message delivery_attempt link event '
     'domain_limit sending_pause smtp_server_status bounce_rule'),
    ('reader', 'execute',
     'tree explain_record simulate sees_rows activity_count record_count scenario_report_by activity_report_by sparkline scenario_id '
     'worker_status is_armed record_id is_suppressed address_hash assumed_now'),
    ('operator', 'select', 'metric'),
    ('operator', 'execute',
     'health enroll enroll_next enroll_all process_due process_all_due apply_events worker_status is_armed schedule_jobs unschedule_jobs '
     'require_pg_cron block unblock unsubscribe resubscribe reclassify_events record_conversion retry cancel suppress unsuppress '
     'is_suppressed pause resume'),
    ('marketer', 'execute',
     'register_model unregister_model create_scenario add_activity run stop draft preview send_test'),
    ('marketer', 'write',
     'model party sale scenario activity activity_translation snippet page page_text robot_rule')
$$;
comment on function marketing_automation_internal.access_right() is
    'API: private. What each access may do: a privilege on objects of the schema marketing_automation, by name. marketer includes '
    'reader, operator and enroller';

create function marketing_automation_internal.give_access(role name, access text, is_update boolean default false) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    role_id oid := (select r.oid from pg_roles r where r.rolname = role);
    -- What was there when an update began, noted by its script: objects, OID.NUMBER for a column, ACCESS.PRIVILEGE.NAME for a right.
    known text[] := string_to_array(nullif(current_setting('marketing_automation_update.known', true), ''), ' ');
    statement text;
begin
    if not is_update then
        known := '{}';
        execute format('grant usage on schema marketing_automation to %I', role);
    elsif known is null then
        raise exception 'no update of the extension runs'
            using errcode = 'object_not_in_prerequisite_state', detail = 'Only the script of an update says what is new.',
                  hint = format('select marketing_automation.grant_access(%L, %L);', quote_ident(role), access);
    end if;
    for statement in
        select format('grant %s on %s to %I', g.privileges, g.object, role)
        from marketing_automation_internal.access_right() r
        cross join lateral unnest(string_to_array(r.objects, ' ')) as o (name)
        left join pg_proc p on r.privilege = 'execute' and p.pronamespace = 'marketing_automation'::regnamespace and p.proname = o.name
        left join pg_class c on r.privilege <> 'execute' and c.relnamespace = 'marketing_automation'::regnamespace and c.relname = o.name
        cross join lateral (
            select coalesce(coalesce(p.oid, c.oid)::text = any (known) and concat_ws('.', r.access, r.privilege, o.name) = any (known), false)
        ) as k (is_known)
        cross join lateral (
            select case r.privilege when 'write' then 'delete' else r.privilege end,
                   coalesce('routine ' || p.oid::regprocedure, c.oid::regclass::text, quote_ident(o.name))
            where not k.is_known
            union all
            -- Columns. Ids are the database's to choose, but for party and sale, which people fill as they like: a chosen id could be
            -- given to another row later, and 0 means every scenario. A known table may have new columns: they are for a role that
            -- may still write others.
            select format('%s (%s)', w.privilege, string_agg(quote_ident(a.attname), ', ' order by a.attnum)), c.oid::regclass::text
            from unnest(array['insert', 'update']) as w (privilege)
            join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
            where r.privilege = 'write' and (a.attidentity = '' or o.name in ('party', 'sale'))
              and (not k.is_known or concat_ws('.', a.attrelid, a.attnum) <> all (known) and exists (
                    select from pg_attribute other cross join lateral aclexplode(other.attacl) x
                    where other.attrelid = c.oid and x.grantee = role_id and x.privilege_type = upper(w.privilege)))
            group by w.privilege
        ) as g (privileges, object)
        where r.access = give_access.access or give_access.access = 'marketer' and r.access in ('reader', 'operator', 'enroller')
    loop
        execute statement;
    end loop;
end $$;
comment on function marketing_automation_internal.give_access(name, text, boolean) is
    'API: private. Grants what an access may do. is_update: what was not there before, so that nothing comes back that was revoked';

create function marketing_automation.grant_access(role regrole, access text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    its_name name := (select r.rolname from pg_roles r where r.oid = role);
begin
    if role is null then
        raise exception 'role must not be null' using errcode = 'null_value_not_allowed';
    end if;
    if its_name is null then
        raise exception 'role with OID % does not exist', role::oid using errcode = 'undefined_object';
    end if;
    if not exists (select from marketing_automation_internal.access_right() r where r.access = grant_access.access) then
        raise exception 'access "%" does not exist', access
            using errcode = 'invalid_parameter_value', hint = 'It is tracking, bounces, enroller, monitor, reader, operator or marketer.';
    end if;
    perform marketing_automation_internal.give_access(its_name, access);
    insert into marketing_automation_internal.access_grant as g (role, access, role_id) values (its_name, grant_access.access, grant_access.role)
    on conflict on constraint access_grant_pkey do update set role_id = excluded.role_id;
end $$;
comment on function marketing_automation.grant_access(regrole, text) is
    'API: public. Grants a role what a job needs: tracking (the proxy), bounces (what hands returned mails in), enroller (an application '
    'that enters rows), reader (reports), monitor (health() and metric), operator (pg_cron job), marketer (defines and runs campaigns, '
    'reads and operates). Updates of the extension give it what is new, too';

-- Nobody may do anything with a new object, whatever the default privileges of the database are. Nothing is revoked
-- where the object was there before: what is revoked or granted while an extension's script runs makes all privileges
-- of the object its initial ones, those of roles too, and pg_dump leaves initial ones out.
do $$
declare
    known text[] := string_to_array(current_setting('marketing_automation_update.known', true), ' ');
    statement text;
begin
    for statement in
        select format('revoke all on %s %s from %s', o.kind, o.name, case g.grantee when 0 then 'public' else quote_ident(r.rolname) end)
        from (
            select 'schema', n.oid, n.oid, n.oid::regnamespace::text, coalesce(n.nspacl, acldefault('n', n.nspowner)), n.nspowner
            from pg_namespace n
            union all
            select case c.relkind when 'S' then 'sequence' else 'table' end, c.relnamespace, c.oid, c.oid::regclass::text, c.relacl, c.relowner
            from pg_class c
            union all
            select 'routine', p.pronamespace, p.oid, p.oid::regprocedure::text, coalesce(p.proacl, acldefault('f', p.proowner)), p.proowner
            from pg_proc p
        ) as o (kind, schema, id, name, acl, owner)
        cross join lateral (select distinct a.grantee from aclexplode(o.acl) a) g
        left join pg_roles r on r.oid = g.grantee
        where o.schema in ('marketing_automation'::regnamespace, 'marketing_automation_internal'::regnamespace)
          and g.grantee <> o.owner and (g.grantee = 0 or r.oid is not null) and o.id::text <> all (coalesce(known, '{}'))
    loop
        execute statement;
    end loop;
end $$;

-- A new version may have brought what an access needs. A role may have another name by now, and in a restored database other roles have
-- the ids of those that were there before: so it is found by either, and must still have what no other access gives. It has not if that
-- was revoked, or if the role was dropped and another one made with its name.
select marketing_automation_internal.give_access_again(g.role, g.access)
from (
    select distinct r.rolname::text as role, r.oid, g.access
    from marketing_automation_internal.access_grant g join pg_roles r on r.rolname = g.role or r.oid = g.role_id
) as g
where exists (
    select from marketing_automation_internal.access_right() own
    cross join lateral unnest(string_to_array(own.objects, ' ')) as o (name)
    join pg_proc p on p.pronamespace = 'marketing_automation'::regnamespace and p.proname = o.name
    cross join lateral aclexplode(p.proacl) a
    where own.access = g.access and own.privilege = 'execute' and a.grantee = g.oid
      and not exists (
        select from marketing_automation_internal.access_right() other
        where other.access <> own.access and other.privilege = 'execute' and o.name = any (string_to_array(other.objects, ' '))));
