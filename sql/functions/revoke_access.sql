create function marketing_automation.revoke_access(role regrole, access text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    its_name name := (select r.rolname from pg_roles r where r.oid = role);
    statement text;
begin
    if role is null then
        raise exception 'role must not be null' using errcode = 'null_value_not_allowed', hint = 'See: select rolname from pg_roles;';
    end if;
    if its_name is null then
        raise exception 'role with OID % does not exist', role::oid using errcode = 'undefined_object', hint = 'See: select rolname from pg_roles;';
    end if;
    perform marketing_automation_internal.follow_renamed_grants();
    delete from marketing_automation_internal.access_grant g where g.role = its_name and g.access = revoke_access.access;
    if not found then
        raise exception 'role "%" has no access "%"', its_name, access
            using errcode = 'undefined_object',
                  detail = coalesce((select 'It has ' || string_agg(g.access, ', ' order by g.access) || '.'
                      from marketing_automation_internal.access_grant g where g.role = its_name), 'It has none that grant_access() gave.'),
                  hint = 'Rights that somebody granted by hand are taken away by REVOKE.';
    end if;
    for statement in
        with had as (
            select r.privilege, o.name from marketing_automation_internal.access_right() r
            cross join lateral unnest(string_to_array(r.objects, ' ')) as o (name)
            where r.access = revoke_access.access
        ), keeps as (
            select r.privilege, o.name
            from marketing_automation_internal.access_grant g
            join marketing_automation_internal.access_right() r on r.access = g.access
            cross join lateral unnest(string_to_array(r.objects, ' ')) as o (name)
            where g.role = its_name
        ), lost as (
            select * from had except select * from keeps
        )
        select format(case l.privilege when 'execute' then 'revoke execute on routine %s from %I'
                          when 'select' then 'revoke select on %s from %I'
                          when 'delete' then 'revoke delete on %s from %I'
                          else 'revoke insert, update, delete on %s from %I' end,
                      coalesce(p.oid::regprocedure::text, c.oid::regclass::text), its_name)
        from lost l
        left join pg_proc p on l.privilege = 'execute' and p.pronamespace = 'marketing_automation'::regnamespace and p.proname = l.name
        left join pg_class c on l.privilege <> 'execute' and c.relnamespace = 'marketing_automation'::regnamespace and c.relname = l.name
        where coalesce(p.oid, c.oid) is not null
    loop
        execute statement;
    end loop;
    if not exists (select from marketing_automation_internal.access_grant g where g.role = its_name) then
        execute format('revoke usage on schema marketing_automation from %I', its_name);
    end if;
end $$;
comment on function marketing_automation.revoke_access(regrole, text) is
    'API: public. Takes back what grant_access() gave, but for what another access of the role gives too. What is owned stays: see '
    'REASSIGN OWNED';
