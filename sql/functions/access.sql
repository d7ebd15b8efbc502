-- Who may do what. Nothing is granted to PUBLIC, and nothing in the schema marketing_automation_internal to anybody;
-- grant_access() gives a role what its job needs.

create function marketing_automation_internal.access_right() returns table (access text, privilege text, objects text)
language sql immutable set search_path = pg_catalog, pg_temp as $$
    values
    ('tracking', 'execute', 'tracking_keys record_events page_sources unsubscribe_page unsubscribe_by_token resubscribe_by_token'),
    ('bounces', 'execute', 'ingest_bounce'),
    ('reader', 'select',
     'model party sale scenario scenario_status scenario_report activity_report activity activity_translation snippet page page_text robot_rule '
     'robot_hit conversion conversion_report record record_activity unsubscription suppression message delivery_attempt link event '
     'domain_limit sending_pause smtp_server_status'),
    ('reader', 'execute',
     'tree explain_record simulate activity_count record_count scenario_report_by activity_report_by sparkline scenario_id worker_status '
     'is_armed record_id is_suppressed address_hash'),
    ('operator', 'execute',
     'enroll process_due process_all_due apply_events worker_status is_armed schedule_jobs unschedule_jobs require_pg_cron block unblock '
     'unsubscribe resubscribe reclassify_events record_conversion retry cancel suppress unsuppress is_suppressed pause resume'),
    ('marketer', 'execute',
     'register_model unregister_model create_scenario add_activity run stop draft preview send_test'),
    ('marketer', 'write',
     'model party sale scenario activity activity_translation snippet page page_text robot_rule')
$$;
comment on function marketing_automation_internal.access_right() is
    'API: private. What each access may do: a privilege on objects of the schema marketing_automation, by name. marketer includes '
    'reader and operator';

create function marketing_automation_internal.give_access(role name, access text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    statement text;
begin
    execute format('grant usage on schema marketing_automation to %I', role);
    for statement in
        select case r.privilege
            when 'execute' then format('grant execute on routine %s to %I', p.oid::regprocedure, role)
            when 'select' then format('grant select on marketing_automation.%I to %I', o.name, role)
            -- Not identity columns: an id that somebody has chosen may belong to another row later, or mean all.
            when 'write' then format('grant delete, insert (%1$s), update (%1$s) on marketing_automation.%2$I to %3$I',
                (select string_agg(quote_ident(a.attname), ', ' order by a.attnum) from pg_attribute a
                 where a.attrelid = format('marketing_automation.%I', o.name)::regclass and a.attnum > 0
                   and not a.attisdropped and a.attidentity = ''), o.name, role)
            end
        from marketing_automation_internal.access_right() r
        cross join lateral unnest(string_to_array(r.objects, ' ')) as o (name)
        left join pg_proc p on r.privilege = 'execute' and p.pronamespace = 'marketing_automation'::regnamespace and p.proname = o.name
        where r.access = give_access.access or give_access.access = 'marketer' and r.access in ('reader', 'operator')
    loop
        execute statement;
    end loop;
end $$;
comment on function marketing_automation_internal.give_access(name, text) is 'API: private. Grants what an access may do';

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
            using errcode = 'invalid_parameter_value', hint = 'It is tracking, bounces, reader, operator or marketer.';
    end if;
    perform marketing_automation_internal.give_access(its_name, access);
    insert into marketing_automation_internal.access_grant (role, access) values (its_name, grant_access.access) on conflict do nothing;
end $$;
comment on function marketing_automation.grant_access(regrole, text) is
    'API: public. Grants a role what a job needs: tracking (the proxy), bounces (what hands returned mails in), reader (reports), '
    'operator (pg_cron job), marketer (defines and runs campaigns, reads and operates). Updates of the extension give it what is '
    'new, too';

-- Only where PUBLIC may do something, as with functions that an update has made. What is revoked or granted while an extension's
-- script runs makes all privileges of the object its initial ones, those of roles too, and pg_dump leaves initial ones out.
do $$
declare
    statement text;
begin
    for statement in
        select format('revoke all on %s %s from public', o.kind, o.name)
        from (
            select 'schema', n.oid, n.oid::regnamespace::text, coalesce(n.nspacl, acldefault('n', n.nspowner)) from pg_namespace n
            union all
            select case c.relkind when 'S' then 'sequence' else 'table' end, c.relnamespace, c.oid::regclass::text, c.relacl from pg_class c
            union all
            select 'routine', p.pronamespace, p.oid::regprocedure::text, coalesce(p.proacl, acldefault('f', p.proowner)) from pg_proc p
        ) as o (kind, schema, name, acl)
        where o.schema in ('marketing_automation'::regnamespace, 'marketing_automation_internal'::regnamespace)
          and exists (select from aclexplode(o.acl) a where a.grantee = 0)
    loop
        execute statement;
    end loop;
end $$;

-- A new version may have brought what an access needs. Only to roles that still have what it was: somebody may have revoked it
-- since, or have dropped the role and made another one of that name.
select marketing_automation_internal.give_access_again(g.role::text, g.access)
from marketing_automation_internal.access_grant g
where exists (select from pg_roles r where r.rolname = g.role)
  and exists (
    select from marketing_automation_internal.access_right() r
    cross join lateral unnest(string_to_array(r.objects, ' ')) as o (name)
    join pg_proc p on p.pronamespace = 'marketing_automation'::regnamespace and p.proname = o.name
    cross join lateral aclexplode(p.proacl) a
    where r.access = g.access and r.privilege = 'execute' and a.grantee = (select x.oid from pg_roles x where x.rolname = g.role));
