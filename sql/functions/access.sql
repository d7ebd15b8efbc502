-- Who may do what. Nothing is granted to PUBLIC, and nothing in the schema marketing_automation_internal to anybody;
-- grant_access() gives a role what its job needs.

create function marketing_automation_internal.access_right() returns table (access text, scope text, privilege text, objects text)
language sql immutable set search_path = pg_catalog, pg_temp as $$
    select a.access, case when t.about = 'shared' then 'shared' when a.access = 'marketer' then 'own' else 'every' end, t.privilege,
        t.objects
    from (values
        -- What is of a scenario: a marketer's own ones, those of the other accesses are all. The markers say so, see teams.sql.
        ('reports reader', 'scenario', 'execute', 'counts_every_scenario'),
        ('reader', 'scenario', 'execute', 'reads_every_scenario'),
        ('operator', 'scenario', 'execute', 'operates_every_scenario'),
        ('enroller operator', 'scenario', 'execute', 'enters_every_scenario'),
        ('reports reader marketer', 'scenario', 'select', 'scenario_report activity_report conversion_report robot_hit'),
        ('reports reader marketer', 'scenario', 'execute',
         'activity_count record_count check scenario_report_by activity_report_by scenario_id link_report domain_report timing_report '
         'cohort_report uplift_report variant_report mail_report report_html report report_link'),
        ('reader marketer', 'scenario', 'select',
         'scenario scenario_status activity activity_translation conversion unsubscription record record_activity branch_decision definition_history message '
         'delivery_attempt event'),
        ('reader marketer', 'scenario', 'execute', 'tree explain_record simulate rehearse export_scenario sees_rows record_id'),
        ('operator marketer', 'scenario', 'execute',
         'enroll enroll_next enroll_all process_due process_all_due apply_events apply_exits apply_goals apply_dates apply_waits block unblock '
         'unsubscribe resubscribe '
         'unsubscribe_address resubscribe_address record_conversion retry cancel'),
        ('enroller operator marketer', 'scenario', 'execute', 'enroll_record enroll_records'),
        ('marketer', 'scenario', 'execute',
         'register_model unregister_model watch unwatch create_scenario add_activity run stop draft check_scenario import_scenario copy_scenario preview preview_attachments send_test decide'),
        ('marketer', 'scenario', 'execute', 'delete_scenario delete_activity delete_translation delete_snippet delete_send_window'),
        ('marketer', 'scenario', 'write', 'model scenario activity activity_translation snippet send_window'),
        ('monitor operator', 'scenario', 'select', 'metric'),
        ('monitor operator', 'scenario', 'execute', 'health'),
        -- What all scenarios share.
        ('reader marketer', 'shared', 'select',
         'model party sale snippet send_window holiday message_class frequency_cap topic topic_translation page page_text robot_rule bounce_rule '
         'domain_limit sending_pause smtp_server_status sender_permission webhook_target_status'),
        ('reader', 'shared', 'select', 'suppression'),
        ('reader admin', 'shared', 'select', 'subscription subscription_log subscription_request'),
        ('admin', 'shared', 'select', 'definition_history'),
        ('admin', 'shared', 'select',
         'party sale holiday message_class frequency_cap topic topic_translation page page_text robot_rule bounce_rule domain_limit sending_pause '
         'smtp_server_status suppression sender_permission webhook_target_status'),
        ('admin', 'shared', 'write', 'party sale holiday message_class frequency_cap topic topic_translation page page_text robot_rule sender_permission'),
        -- Who may delete from a table may lock it, and so stop everybody: not a team that is one of several.
        ('admin', 'shared', 'delete', 'party sale holiday message_class frequency_cap topic topic_translation page page_text robot_rule sender_permission'),
        ('admin operator', 'shared', 'execute', 'suppress unsuppress pause resume reclassify_events'),
        ('admin', 'shared', 'execute', 'unsubscribe resubscribe unsubscribe_address resubscribe_address'),
        ('admin operator', 'shared', 'execute', 'subscribe unsubscribe_from subscribe_address unsubscribe_address_from'),
        ('reader marketer admin operator', 'shared', 'execute', 'is_suppressed is_armed'),
        ('reader marketer admin operator monitor', 'shared', 'execute', 'worker_status mailer_status'),
        ('reader marketer admin', 'shared', 'execute', 'address_hash database_time_zone'),
        ('reader marketer reports', 'shared', 'execute', 'sparkline assumed_now anniversary'),
        ('operator', 'shared', 'execute', 'schedule_jobs unschedule_jobs require_pg_cron'),
        ('tracking', 'shared', 'execute',
         'tracking_keys record_events page_sources unsubscribe_page unsubscribe_origin unsubscribe_by_token resubscribe_by_token '
         'preferences choose_by_token undo_choice_by_token confirm_page confirm_by_token report_by_token mail_by_token'),
        ('mailer', 'shared', 'execute',
         'mailer_register mailer_unregister mailer_settings mailer_claim mailer_revoked mailer_next_due mailer_templates mailer_snippets mailer_link_ids mailer_files mailer_file_contents '
         'mailer_tokens mailer_complete mailer_dead_mailboxes mailer_rescue mailer_purge mailer_report_server mailer_report'),
        ('bounces', 'shared', 'execute', 'ingest_bounce')
    ) as t (accesses, about, privilege, objects)
    cross join lateral unnest(string_to_array(t.accesses, ' ')) as a (access)
$$;
comment on function marketing_automation_internal.access_right() is
    'API: private. What each access may do: a privilege on objects of the schema marketing_automation, by name. scope: whose rows it '
    'is about, own (of scenarios whose owner the role is a member of), every (of all scenarios), or shared (of none). docs/teams.md has '
    'the same table';

create function marketing_automation_internal.give_access(role name, access text, is_update boolean default false) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    role_id oid := (select r.oid from pg_roles r where r.rolname = role);
    -- What was there when an update began, noted by its script: objects, OID.NUMBER for a column, ACCESS.PRIVILEGE.NAME for a right.
    -- What an access included then, and names itself now, is in the second.
    known text[] := string_to_array(nullif(current_setting('marketing_automation_update.known', true), ''), ' ')
        || string_to_array(current_setting('marketing_automation_update.included', true), ' ');
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
            select r.privilege, coalesce('routine ' || p.oid::regprocedure, c.oid::regclass::text, quote_ident(o.name))
            where not k.is_known and r.privilege <> 'write'
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
        where r.access = give_access.access
        union
        -- What lay open before and lies in the other schema now is nobody's.
        select format('revoke all on %s from %I', c.oid::regclass, role)
        from pg_class c cross join lateral aclexplode(c.relacl) x
        where c.relnamespace = 'marketing_automation_internal'::regnamespace and x.grantee = role_id
        union
        -- Releases up to 0.1.0, and their dumps, gave marketers the right to delete from the tables that they write.
        select format('revoke delete on %s from %I', c.oid::regclass, role)
        from marketing_automation_internal.access_right() r
        cross join lateral unnest(string_to_array(r.objects, ' ')) as o (name)
        join pg_class c on c.relnamespace = 'marketing_automation'::regnamespace and c.relname = o.name
        cross join lateral aclexplode(c.relacl) x
        where r.access = give_access.access and r.scope = 'own' and r.privilege = 'write' and x.grantee = role_id
          and x.privilege_type = 'DELETE'
        union
        -- They showed the addresses of links to readers, too, in which may stand whose they are.
        select format('revoke select on %s from %I', c.oid::regclass, role)
        from pg_class c cross join lateral aclexplode(c.relacl) x
        where give_access.access = 'reader' and c.oid = 'marketing_automation.link'::regclass and x.grantee = role_id
          and x.privilege_type = 'SELECT'
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
        raise exception 'role must not be null' using errcode = 'null_value_not_allowed', hint = 'See: select rolname from pg_roles;';
    end if;
    if its_name is null then
        raise exception 'role with OID % does not exist', role::oid using errcode = 'undefined_object', hint = 'See: select rolname from pg_roles;';
    end if;
    if not exists (select from marketing_automation_internal.access_right() r where r.access = grant_access.access) then
        raise exception 'access "%" does not exist', access
            using errcode = 'invalid_parameter_value', hint = (select format('It is one of %s.', string_agg(distinct r.access, ', '))
                from marketing_automation_internal.access_right() r);
    end if;
    -- Who had this name, and has another one, keeps what it was given.
    perform marketing_automation_internal.follow_renamed_grants();
    perform marketing_automation_internal.give_access(its_name, access);
    insert into marketing_automation_internal.access_grant as g (role, access, role_id) values (its_name, grant_access.access, grant_access.role)
    on conflict on constraint access_grant_pkey do update set role_id = excluded.role_id;
end $$;
comment on function marketing_automation.grant_access(regrole, text) is
    'API: public. Grants a role what a job needs: marketer (defines, runs and reads campaigns of its own), reports (numbers of all), '
    'reader (contents of all), operator (runs all, as a pg_cron job), enroller (an application that enters rows), admin (what all '
    'share: suppressions, pause, pages, topics, robot rules), '
    'monitor (health() and metric), tracking (the proxy), mailer (marketing-mailer), bounces (what hands returned mails in). Updates of the extension give it '
    'what is new, too. docs/teams.md says who may do what';

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
where (
    -- Of those that another access of the role gives too, only if that holds for all.
    select coalesce(bool_or(own.is_held) filter (where not own.is_elsewhere), bool_or(own.is_held))
    from (
        select exists (select from aclexplode(p.proacl) a where a.grantee = g.oid) as is_held, exists (
                select from marketing_automation_internal.access_grant o
                where (o.role = g.role or o.role_id = g.oid) and o.access <> g.access
                  and concat_ws('.', o.access, 'execute', p.proname) = any (k.known)) as is_elsewhere
        from (select string_to_array(concat_ws(' ', current_setting('marketing_automation_update.known', true),
            current_setting('marketing_automation_update.included', true)), ' ') as known) k
        join pg_proc p on p.pronamespace = 'marketing_automation'::regnamespace
            and concat_ws('.', g.access, 'execute', p.proname) = any (k.known)) own);
