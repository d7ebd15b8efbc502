-- Who may change a definition: only members of the role with whose rights its expressions run. The triggers "guard" run as the
-- writer, who may call no function of this schema: they contain all that they need.

create function marketing_automation_internal.choose_owner() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    new.owner_id := coalesce((select r.oid from pg_roles r where r.rolname = new.owner), 0::oid);
    if new.owner_id = 0 and current_setting('is_superuser')::boolean and not current_setting('check_function_bodies')::boolean
        and current_query() ~* '^\s*(copy|insert\s+into)\s+"?marketing_automation' then
        -- A dump is loaded where the role is missing: all the rest is to be kept.
        raise warning 'role "%" does not exist, which owns % "%"', new.owner, replace(tg_table_name, '_', ' '), new.name
            using detail = 'What it owns is kept, and does not run.',
                  hint = format('Create it, and then: update marketing_automation.%I set owner = owner where owner = %L;', tg_table_name, new.owner);
    elsif new.owner_id = 0 then
        raise exception 'role "%" does not exist', new.owner using errcode = 'undefined_object', hint = 'See: select rolname from pg_roles;';
    end if;
    return new;
end $$;
comment on function marketing_automation_internal.choose_owner() is
    'API: private. Trigger: remembers which role the owner''s name means. A dump has names, and roles are dropped, renamed and made anew';

create function marketing_automation_internal.access_grant_role() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    new.role_id := (select r.oid from pg_roles r where r.rolname = new.role);
    if new.role_id is null and marketing_automation_internal.is_restoring() then
        raise warning 'role "%" does not exist, which has the access "%"', new.role, new.access
            using hint = format('Create it, and then: select marketing_automation.grant_access(%L, %L);', quote_ident(new.role), new.access);
    end if;
    return new;
end $$;
comment on function marketing_automation_internal.access_grant_role() is
    'API: private. Trigger: remembers which role the name means, also where a dump is restored, whose role_id is another server''s';

create trigger role before insert or update of role, role_id on marketing_automation_internal.access_grant
    for each row execute function marketing_automation_internal.access_grant_role();

create function marketing_automation_internal.only_renames_owner(old jsonb, new jsonb) returns boolean
language sql immutable set search_path = pg_catalog, pg_temp as $$
    -- A snippet gets a version with each change.
    select coalesce(old ->> 'owner' <> new ->> 'owner' and old - '{owner,version}'::text[] = new - '{owner,version}'::text[], false)
$$;
comment on function marketing_automation_internal.only_renames_owner(jsonb, jsonb) is
    'API: private. Whether a change of a definition says only what its owner is called by now: nothing else is to be checked, and what has '
    'come to be wrong meanwhile keeps no name';

create function marketing_automation_internal.follow_renamed_grants() returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    -- All leave their old names before they take the new ones, as names may have been exchanged. What stands under the new name already is
    -- the same role's, or that of one that is gone.
    if exists (select from marketing_automation_internal.access_grant g join pg_roles r on r.oid = g.role_id where r.rolname <> g.role) then
        with gone as (
            delete from marketing_automation_internal.access_grant g using pg_roles r where r.oid = g.role_id and r.rolname <> g.role
            returning r.rolname, g.access
        )
        insert into marketing_automation_internal.access_grant (role, access) select distinct g.rolname, g.access from gone g
        on conflict on constraint access_grant_pkey do update set role_id = excluded.role_id;
    end if;
    if exists (select from marketing_automation.sender_permission p join pg_roles r on r.oid = p.role_id where r.rolname <> p.role) then
        with gone as (
            delete from marketing_automation.sender_permission p using pg_roles r where r.oid = p.role_id and r.rolname <> p.role
            returning r.rolname, p.sender
        )
        insert into marketing_automation.sender_permission (role, sender) select distinct g.rolname, g.sender from gone g
        on conflict on constraint sender_permission_pkey do update set role_id = excluded.role_id;
    end if;
end $$;
comment on function marketing_automation_internal.follow_renamed_grants() is
    'API: private. Gives accesses and permissions to send the names that their roles have by now; none is lost';

create function marketing_automation_internal.follow_renamed_roles() returns void
language plpgsql set search_path = pg_catalog, pg_temp set lock_timeout = '1s' as $$
declare
    its_table text;
    renamed record;
begin
    if not exists (
            select from (
                select m.owner, m.owner_id from marketing_automation.model m
                union all select s.owner, s.owner_id from marketing_automation.scenario s
                union all select s.owner, s.owner_id from marketing_automation.snippet s
                union all select w.owner, w.owner_id from marketing_automation.send_window w
                union all select p.owner, p.owner_id from marketing_automation.page p
                union all select p.owner, p.owner_id from marketing_automation.page_text p
                union all select g.role, g.role_id from marketing_automation_internal.access_grant g
                union all select p.role, p.role_id from marketing_automation.sender_permission p) o
            join pg_roles r on r.oid = o.owner_id and r.rolname <> o.owner) then
        return;
    end if;
    begin
        perform marketing_automation_internal.follow_renamed_grants();
    exception when others then
        if marketing_automation_internal.is_for_the_caller(sqlstate) then
            raise;
        end if;
        raise warning 'accesses and permissions to send keep the names that their roles had: %', sqlerrm using errcode = sqlstate;
    end;
    foreach its_table in array array['model', 'scenario', 'snippet', 'send_window', 'page', 'page_text'] loop
        begin
            -- Who holds a row gets its owner's name at another time.
            for renamed in execute format($query$
                select o.ctid as at, o.name, n.rolname from marketing_automation.%I o join pg_roles n on n.oid = o.owner_id
                where n.rolname <> o.owner order by o.name for no key update of o skip locked$query$, its_table) loop
                -- One that is refused keeps no other.
                begin
                    execute format('update marketing_automation.%I t set owner = $1 where t.ctid = $2', its_table)
                        using renamed.rolname, renamed.at;
                exception when others then
                    if marketing_automation_internal.is_for_the_caller(sqlstate) then
                        raise;
                    end if;
                    raise warning 'owner of % "%" keeps the name that the role had: %', replace(its_table, '_', ' '), renamed.name, sqlerrm
                        using errcode = sqlstate;
                end;
            end loop;
        exception when others then
            if marketing_automation_internal.is_for_the_caller(sqlstate) then
                raise;
            end if;
            raise warning 'owners of % keep the names that their roles had: %', replace(its_table, '_', ' '), sqlerrm using errcode = sqlstate;
        end;
    end loop;
end $$;
comment on function marketing_automation_internal.follow_renamed_roles() is
    'API: private. Gives owners, accesses and permissions to send the names that their roles have by now. '
    'PostgreSQL tells nobody when a role is renamed, and a dump with the '
    'old name would give all to nobody, or to another role that has it';

create function marketing_automation_internal.guard() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    -- Found by name and language: who owns a name, owns it in all of them.
    has_languages boolean := tg_table_name in ('snippet', 'page', 'page_text');
    written record;
    owner oid;
    owner_name name;
begin
    if (pg_trigger_depth() > 1 or tg_op = 'DELETE') and current_user = (select pg_get_userbyid(c.relowner) from pg_class c where c.oid = tg_relid) then
        -- A trigger of the extension follows what its writer was allowed to do, and a function that deletes has asked; its owner may be
        -- no superuser any more.
        return case when tg_op = 'DELETE' then old else new end;
    end if;
    if has_languages and tg_op <> 'DELETE' then
        if tg_op = 'INSERT' or new.name <> old.name then
            execute format('select t.owner, t.owner_id from marketing_automation.%I t where t.name = $1 limit 1', tg_table_name)
                into owner_name, owner using new.name;
            if owner is not null then
                new.owner := owner_name;
                new.owner_id := owner;
            end if;
        end if;
    end if;
    -- What is changed, and what it becomes: both must be the writer's.
    for written in
        select o.row from (values (case when tg_op <> 'INSERT' then to_jsonb(old) end),
            (case when tg_op <> 'DELETE' then to_jsonb(new) end)) as o (row)
        where o.row is not null
    loop
        if has_languages or tg_table_name in ('model', 'scenario', 'send_window') then
            owner := written.row ->> 'owner_id';
            owner_name := written.row ->> 'owner';
        else
            select s.owner_id, s.owner into owner, owner_name from marketing_automation.scenario s
            where s.id = case tg_table_name
                when 'activity' then (written.row ->> 'scenario_id')::integer
                else (select a.scenario_id from marketing_automation.activity a
                    where a.id = (written.row ->> 'activity_id')::integer) end;
        end if;
        if owner is null then
            -- It is deleted together with what it belongs to: whoever may delete that, may delete it too. Otherwise what it belongs
            -- to may come later in the dump that a superuser loads, or in the same statement, whose rows this trigger does not see
            -- yet: a superuser goes on, and the foreign key decides.
            continue when tg_op = 'DELETE' or (select r.rolsuper from pg_roles r where r.rolname = current_user);
            raise exception '% of % does not exist',
                case tg_table_name when 'activity' then format('scenario %s', written.row ->> 'scenario_id')
                     else format('activity %s', written.row ->> 'activity_id') end,
                case tg_table_name when 'activity' then format('activity "%s"', written.row ->> 'name') else 'translation' end
                using errcode = 'foreign_key_violation';
        end if;
        if not pg_has_role(owner, 'MEMBER') then
            raise exception 'must be a member of role % to write %', owner_name,
                case tg_table_name when 'activity_translation' then format('translations of activity %s', written.row ->> 'activity_id')
                     else format('%s "%s"', replace(tg_table_name, '_', ' '), written.row ->> 'name') end
                using errcode = 'insufficient_privilege',
                      hint = case when has_languages then 'Take another name: who owns one owns it in all languages.'
                             when tg_table_name = 'send_window' then 'Make one of your own, under another name.'
                             else 'Expressions run with the rights of the owner, so only members of that role may change them.' end;
        end if;
    end loop;
    return case when tg_op = 'DELETE' then old else new end;
end $$;
comment on function marketing_automation_internal.guard() is
    'API: private. Trigger: only members of its owner change a model, scenario, window or snippet, and only members of its scenario''s owner '
    'an activity or a translation';

create function marketing_automation_internal.share_owner() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    execute format('update marketing_automation.%I t set owner = $1 where t.name = $2 and t.owner_id <> $3', tg_table_name)
        using new.owner, new.name, new.owner_id;
    return null;
end $$;
comment on function marketing_automation_internal.share_owner() is
    'API: private. Trigger: a snippet, page or text that gets another owner gets it in all languages';

create function marketing_automation_internal.lock_name() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    other name;
begin
    insert into marketing_automation_internal.name_lock as l (kind, name) values (tg_table_name, new.name)
    on conflict on constraint name_lock_pkey do update set name = excluded.name;
    if tg_op = 'INSERT' or new.name <> old.name then
        -- What another session has committed while this one waited.
        execute format('select t.owner from marketing_automation.%I t where t.name = $1 and t.owner_id <> $2 limit 1', tg_table_name)
            into other using new.name, new.owner_id;
        if other is not null then
            raise exception 'the name "%" has just been taken by role %', new.name, other
                using errcode = 'object_in_use', hint = 'Take another name: who owns one owns it in all languages.';
        end if;
    end if;
    return new;
end $$;
comment on function marketing_automation_internal.lock_name() is
    'API: private. Trigger: two sessions that write one name in two languages follow each other, so that it gets one owner';
