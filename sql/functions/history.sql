-- The history of definitions. The trigger "archive" comes before "cascade", by which what belongs to a deleted definition goes with it: so
-- that is told by what it belonged to.

create function marketing_automation_internal.definition_of(relation name, of_row jsonb) returns jsonb
language sql stable set search_path = pg_catalog, pg_temp as $$
    -- Without what follows from a change, and is none.
    select of_row - array['id', 'scenario_id', 'activity_id', 'parent_id', 'version', 'key_type', 'owner_id', 'role_id', 'created_at', 'is_shipped']
        || case when relation = 'activity' then jsonb_build_object('parent', (
            select a.name from marketing_automation.activity a where a.id = (of_row ->> 'parent_id')::integer)) else '{}' end
$$;
comment on function marketing_automation_internal.definition_of(name, jsonb) is
    'API: private. What a row of a table of definitions says, as its history keeps it';

create function marketing_automation_internal.parts_of(relation name, its_id integer) returns jsonb
language sql stable set search_path = pg_catalog, pg_temp as $$
    select jsonb_build_object('activities', jsonb_agg(marketing_automation_internal.definition_of('activity', to_jsonb(a))
            || coalesce(marketing_automation_internal.parts_of('activity', a.id), '{}') order by a.id))
    from marketing_automation.activity a where relation = 'scenario' and a.scenario_id = its_id having count(*) > 0
    union all
    select jsonb_build_object('translations', jsonb_agg(to_jsonb(t) - 'activity_id' order by t.language))
    from marketing_automation.activity_translation t where relation = 'activity' and t.activity_id = its_id having count(*) > 0
$$;
comment on function marketing_automation_internal.parts_of(name, integer) is
    'API: private. What goes with a scenario or an activity when it is deleted; null: nothing';

create function marketing_automation_internal.keep_history() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp set intervalstyle = 'postgres' as $$
declare
    written jsonb := to_jsonb(case when tg_op = 'DELETE' then old else new end);
    was jsonb := case when tg_op <> 'INSERT' then marketing_automation_internal.definition_of(tg_table_name, to_jsonb(old)) end;
    becomes jsonb := case when tg_op <> 'DELETE' then marketing_automation_internal.definition_of(tg_table_name, to_jsonb(new)) end;
    its_name text := written ->> 'name';
    its_scenario marketing_automation.scenario;
begin
    if marketing_automation_internal.is_restoring() then
        return null;
    end if;
    if tg_table_name in ('activity', 'activity_translation') then
        select s.* into its_scenario from marketing_automation.scenario s
        where s.id = case tg_table_name when 'activity' then (written ->> 'scenario_id')::integer else (
            select a.scenario_id from marketing_automation.activity a where a.id = (written ->> 'activity_id')::integer) end;
        if its_scenario.id is null then
            return null;
        end if;
    end if;
    if tg_op = 'DELETE' and tg_table_name in ('scenario', 'activity') then
        was := was || coalesce(marketing_automation_internal.parts_of(tg_table_name, (written ->> 'id')::integer), '{}');
    end if;
    case
    when tg_table_name = 'activity_translation' then
        its_name := (select a.name from marketing_automation.activity a where a.id = (written ->> 'activity_id')::integer)
            || ' ' || (written ->> 'language');
    when tg_table_name in ('snippet', 'page', 'page_text') then
        its_name := concat_ws(' ', its_name, nullif(written ->> 'language', ''));
    when tg_table_name = 'holiday' then
        its_name := concat_ws(' ', written ->> 'calendar', written ->> 'day');
    when tg_table_name = 'frequency_cap' then
        its_name := concat_ws(' ', written ->> 'message_class', written ->> 'per');
    when tg_table_name = 'topic_translation' then
        its_name := concat_ws(' ', written ->> 'topic', written ->> 'language');
    when tg_table_name = 'sender_permission' then
        its_name := concat_ws(' ', written ->> 'role', written ->> 'sender');
    else
    end case;
    if tg_op = 'UPDATE' then
        select jsonb_object_agg(b.key, w.value), jsonb_object_agg(b.key, b.value) into was, becomes
        from jsonb_each(becomes) b join jsonb_each(was) w on w.key = b.key and w.value <> b.value;
        if becomes is null then
            return null;
        end if;
    end if;
    insert into marketing_automation.definition_history (at, role, kind, name, scenario, change, before, after, owner)
    values (clock_timestamp(),
        -- Not current_user, which is the owner of this function, nor session_user, which stays the login role under "set role".
        case current_setting('role') when 'none' then session_user else current_setting('role') end,
        tg_table_name, its_name, case tg_table_name when 'scenario' then its_name else its_scenario.name end,
        case tg_op when 'INSERT' then 'create' when 'UPDATE' then 'change' else 'delete' end, was, becomes,
        coalesce(its_scenario.owner, written ->> 'owner'));
    return null;
end $$;
comment on function marketing_automation_internal.keep_history() is
    'API: private. Trigger: writes who has changed which definition, and what';

create function marketing_automation_internal.definition_history_owner() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    -- Also where a dump is restored, whose ids are another server's: a role that is not there sees nothing, nor does one that has its id.
    new.owner_id := case when new.owner is not null then coalesce((select r.oid from pg_roles r where r.rolname = new.owner), 0::oid) end;
    return new;
end $$;
comment on function marketing_automation_internal.definition_history_owner() is
    'API: private. Trigger: remembers which role the name of an owner means';

create trigger owner before insert on marketing_automation.definition_history
    for each row execute function marketing_automation_internal.definition_history_owner();

create function marketing_automation.purge_definition_history(older_than interval) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    purged bigint;
begin
    if older_than is null or older_than < interval '0' then
        raise exception 'older_than must not be negative, nor null'
            using errcode = 'invalid_parameter_value', hint = 'purge_definition_history(''2 years'') removes what is older.';
    end if;
    delete from marketing_automation.definition_history h where h.at < statement_timestamp() - older_than;
    get diagnostics purged = row_count;
    return purged;
end $$;
comment on function marketing_automation.purge_definition_history(interval) is
    'API: public. Removes changes of definitions that are older than that; returns how many. A superuser''s to call';

create trigger archive after insert or update or delete on marketing_automation.model
    for each row execute function marketing_automation_internal.keep_history();

create trigger archive after insert or update or delete on marketing_automation.scenario
    for each row execute function marketing_automation_internal.keep_history();

create trigger archive after insert or update or delete on marketing_automation.activity
    for each row execute function marketing_automation_internal.keep_history();

create trigger archive after insert or update or delete on marketing_automation.activity_translation
    for each row execute function marketing_automation_internal.keep_history();

create trigger archive after insert or update or delete on marketing_automation.snippet
    for each row execute function marketing_automation_internal.keep_history();

create trigger archive after insert or update or delete on marketing_automation.page
    for each row execute function marketing_automation_internal.keep_history();

create trigger archive after insert or update or delete on marketing_automation.page_text
    for each row execute function marketing_automation_internal.keep_history();

create trigger archive after insert or update or delete on marketing_automation.send_window
    for each row execute function marketing_automation_internal.keep_history();

create trigger archive after insert or update or delete on marketing_automation.holiday
    for each row execute function marketing_automation_internal.keep_history();

create trigger archive after insert or update or delete on marketing_automation.topic
    for each row execute function marketing_automation_internal.keep_history();

create trigger archive after insert or update or delete on marketing_automation.topic_translation
    for each row execute function marketing_automation_internal.keep_history();

create trigger archive after insert or update or delete on marketing_automation.robot_rule
    for each row execute function marketing_automation_internal.keep_history();

create trigger archive after insert or update or delete on marketing_automation.sender_permission
    for each row execute function marketing_automation_internal.keep_history();

create trigger archive after insert or update or delete on marketing_automation.message_class
    for each row execute function marketing_automation_internal.keep_history();

create trigger archive after insert or update or delete on marketing_automation.frequency_cap
    for each row execute function marketing_automation_internal.keep_history();
