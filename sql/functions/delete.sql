-- Deleting definitions. By functions, as the right to delete from a table is the right to lock it: LOCK TABLE of one session would keep
-- all scenarios, everybody who wants to unsubscribe, and the mailer waiting.

create function marketing_automation_internal.demand_owner(caller regrole, owner_id oid, owner name, what text) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    if not coalesce(pg_has_role(caller, owner_id, 'MEMBER'), false) and not (select r.rolsuper from pg_roles r where r.oid = caller) then
        raise exception 'must be a member of role % to delete %', owner, what using errcode = 'insufficient_privilege',
            hint = 'Expressions run with the rights of the owner, so only members of that role may change them.';
    end if;
end $$;
comment on function marketing_automation_internal.demand_owner(regrole, oid, name, text) is
    'API: private. Raises unless a role is a member of the owner of a definition; an owner that was dropped has no members but superusers';

create function marketing_automation_internal.unregister_model(caller regrole, name text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    perform marketing_automation_internal.demand_owner(caller, m.owner_id, m.owner, format('model "%s"', m.name))
    from marketing_automation.model m where m.name = unregister_model.name;
    delete from marketing_automation.model m where m.name = unregister_model.name;
    if not found then
        raise exception 'model "%" does not exist', name
            using errcode = 'undefined_object', hint = 'See: select name from marketing_automation.model;';
    end if;
end $$;
comment on function marketing_automation_internal.unregister_model(regrole, text) is 'API: private. Behind unregister_model()';

create function marketing_automation.unregister_model(name text) returns void
language c volatile as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.unregister_model(text) is 'API: public. Forgets a record type; an error while scenarios use it';

create function marketing_automation_internal.delete_scenario(caller regrole, scenario text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    chosen marketing_automation.scenario := marketing_automation_internal.scenario_named(scenario);
begin
    perform marketing_automation_internal.demand_owner(caller, chosen.owner_id, chosen.owner, format('scenario "%s"', chosen.name));
    delete from marketing_automation.scenario s where s.id = chosen.id;
end $$;
comment on function marketing_automation_internal.delete_scenario(regrole, text) is 'API: private. Behind delete_scenario()';

create function marketing_automation.delete_scenario(scenario text) returns void
language c volatile as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.delete_scenario(text) is
    'API: public. Deletes a scenario with its activities; an error once it has records: stop it. For members of its owner';

create function marketing_automation_internal.delete_activity(caller regrole, scenario text, activity text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    chosen marketing_automation.scenario := marketing_automation_internal.scenario_named(scenario);
    its_id integer;
begin
    perform marketing_automation_internal.demand_owner(caller, chosen.owner_id, chosen.owner,
        format('activities of scenario "%s"', chosen.name));
    its_id := marketing_automation_internal.activity_named(chosen, activity);
    delete from marketing_automation.activity a where a.id = its_id;
end $$;
comment on function marketing_automation_internal.delete_activity(regrole, text, text) is 'API: private. Behind delete_activity()';

create function marketing_automation.delete_activity(scenario text, activity text) returns void
language c volatile as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.delete_activity(text, text) is
    'API: public. Deletes an activity with its children and translations; an error once it waits or has run for a record: set its '
    'condition to false. For members of its scenario''s owner';

create function marketing_automation_internal.delete_translation(caller regrole, scenario text, activity text, language text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    chosen marketing_automation.scenario := marketing_automation_internal.scenario_named(scenario);
    its_id integer;
begin
    perform marketing_automation_internal.demand_owner(caller, chosen.owner_id, chosen.owner,
        format('translations of scenario "%s"', chosen.name));
    its_id := marketing_automation_internal.activity_named(chosen, activity);
    delete from marketing_automation.activity_translation t where t.activity_id = its_id and t.language = delete_translation.language;
    if not found then
        raise exception 'activity "%" has no translation "%"', activity, language using errcode = 'undefined_object',
            detail = coalesce((select 'It has ' || string_agg(t.language, ', ' order by t.language) || '.'
                from marketing_automation.activity_translation t where t.activity_id = its_id), 'It has none.');
    end if;
end $$;
comment on function marketing_automation_internal.delete_translation(regrole, text, text, text) is
    'API: private. Behind delete_translation()';

create function marketing_automation.delete_translation(scenario text, activity text, language text) returns void
language c volatile as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.delete_translation(text, text, text) is
    'API: public. Deletes what an activity says in a language. For members of its scenario''s owner';

create function marketing_automation_internal.delete_snippet(caller regrole, name text, language text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    perform marketing_automation_internal.demand_owner(caller, s.owner_id, s.owner, format('snippet "%s"', s.name))
    from marketing_automation.snippet s where s.name = delete_snippet.name;
    delete from marketing_automation.snippet s
    where s.name = delete_snippet.name and s.language = coalesce(delete_snippet.language, s.language);
    if not found then
        raise exception 'snippet "%" does not exist%', name, case when language <> '' then format(' in language "%s"', language) else '' end
            using errcode = 'undefined_object', hint = 'See: select name, language from marketing_automation.snippet;';
    end if;
end $$;
comment on function marketing_automation_internal.delete_snippet(regrole, text, text) is 'API: private. Behind delete_snippet()';

create function marketing_automation.delete_snippet(name text, language text default null) returns void
language c volatile as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.delete_snippet(text, text) is
    'API: public. Deletes a snippet in one language, null: in all, empty: the one for the other languages; an error while templates use it. '
    'For members of its owner';

create function marketing_automation_internal.delete_send_window(caller regrole, name text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    perform marketing_automation_internal.demand_owner(caller, w.owner_id, w.owner, format('send window "%s"', w.name))
    from marketing_automation.send_window w where w.name = delete_send_window.name;
    delete from marketing_automation.send_window w where w.name = delete_send_window.name;
    if not found then
        raise exception 'send window "%" does not exist', name
            using errcode = 'undefined_object', hint = 'See: select name from marketing_automation.send_window;';
    end if;
end $$;
comment on function marketing_automation_internal.delete_send_window(regrole, text) is 'API: private. Behind delete_send_window()';

create function marketing_automation.delete_send_window(name text) returns void
language c volatile as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.delete_send_window(text) is
    'API: public. Deletes a send window; an error while scenarios or activities use it. For members of its owner';
