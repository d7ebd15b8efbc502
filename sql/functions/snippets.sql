-- Snippets: what is written is checked together with what uses it.

create function marketing_automation_internal.names_within(type oid) returns jsonb
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    it pg_type := (select t from pg_type t where t.oid = names_within.type);
begin
    return case
        when it.typtype = 'c' then (
            select jsonb_object_agg(a.attname, marketing_automation_internal.names_within(a.atttypid)) from pg_attribute a
            where a.attrelid = it.typrelid and a.attnum > 0 and not a.attisdropped)
        when it.typtype = 'd' then marketing_automation_internal.names_within(it.typbasetype)
        -- Types of extensions may have a cast to JSON, and are what that makes of them.
        when it.typcategory = 'E' or it.typcategory in ('S', 'N', 'B', 'D', 'T', 'I', 'V') and it.oid < 16384 then '{}'::jsonb
    end;
end $$;
comment on function marketing_automation_internal.names_within(oid) is
    'API: private. The names that templates find in values of a type: of a composite one its attributes, and what is in those; of a text, a '
    'number or a time none; null: unknown, as of JSON';

create function marketing_automation_internal.template_columns(relation regclass, of_scenario integer) returns jsonb
language sql stable set search_path = pg_catalog, pg_temp as $$
    select jsonb_object_agg(a.attname, marketing_automation_internal.names_within(a.atttypid))
        || coalesce((
            select jsonb_build_object('', jsonb_object_agg(c.name, null))
            from marketing_automation.activity c where c.scenario_id = of_scenario and c.action = 'call' having count(*) > 0), '{}')
    from pg_attribute a
    where a.attrelid = relation and a.attnum > 0 and not a.attisdropped
$$;
comment on function marketing_automation_internal.template_columns(regclass, integer) is
    'API: private. The names that templates of a scenario find in a row of the relation: its columns, and what is within those; '
    'under an empty name the activities that call, if any does; null when the relation does not exist';

create function marketing_automation_internal.further_parts(reply_to text, preheader text, text text) returns jsonb
language sql immutable set search_path = pg_catalog, pg_temp as $$
    select jsonb_strip_nulls(jsonb_build_object('reply_to', reply_to, 'preheader', preheader, 'text', text))
$$;
comment on function marketing_automation_internal.further_parts(text, text, text) is
    'API: private. The templates of a mail that few mails have, by the names of their columns';

create function marketing_automation_internal.check_parts(what text, parts jsonb, known jsonb, language text, columns jsonb) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    perform marketing_automation_internal.check_part(what, p.key, p.value, language, columns)
    from jsonb_each_text(parts) p where p.value is distinct from known ->> p.key;
end $$;
comment on function marketing_automation_internal.check_parts(text, jsonb, jsonb, text, jsonb) is
    'API: private. check_part() for each of further_parts() that is not as it is known to be';

create function marketing_automation_internal.template_user() returns table (
    activity_id integer, what text, language text, sender text, subject text, body text, relation regclass, scenario_id integer,
    parts jsonb, texts text[])
language sql stable rows 5 set search_path = pg_catalog, pg_temp as $$
    select a.id, format('activity "%s" of scenario "%s"', a.name, s.name), s.language, a.sender, a.subject, a.body, m.relation, s.id,
        marketing_automation_internal.further_parts(a.reply_to, a.preheader, a.text),
        array[a.sender, a.subject, a.body, a.reply_to, a.preheader, a.text]
    from marketing_automation.activity a
    join marketing_automation.scenario s on s.id = a.scenario_id
    left join marketing_automation.model m on m.name = s.model
    union all
    select a.id, format('translation of activity "%s" of scenario "%s" to %s', a.name, s.name, t.language), t.language, t.sender, t.subject,
        t.body, m.relation, s.id, marketing_automation_internal.further_parts(t.reply_to, t.preheader, t.text),
        array[t.sender, t.subject, t.body, t.reply_to, t.preheader, t.text]
    from marketing_automation.activity_translation t
    join marketing_automation.activity a on a.id = t.activity_id
    join marketing_automation.scenario s on s.id = a.scenario_id
    left join marketing_automation.model m on m.name = s.model
$$;
comment on function marketing_automation_internal.template_user() is 'API: private. All that may use snippets';

create function marketing_automation_internal.snippet_number() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if not marketing_automation_internal.is_restoring() then
        new.version := nextval('marketing_automation.snippet_version_seq');
    end if;
    return new;
end $$;
comment on function marketing_automation_internal.snippet_number() is 'API: private. Gives each change of a snippet a number of its own';

create function marketing_automation_internal.snippet_validate() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    names text[] := array_remove(array[case when tg_op <> 'INSERT' then old.name end, case when tg_op <> 'DELETE' then new.name end], null);
    users integer[];
    faults text;
begin
    if marketing_automation_internal.is_restoring() or marketing_automation_internal.only_renames_owner(to_jsonb(old), to_jsonb(new)) then
        return null;
    end if;
    if tg_op <> 'DELETE' then
        perform marketing_automation_internal.check_snippet(new.name, new.language);
    end if;
    -- After the change, so that what is seen is what will be used.
    select string_agg(format('%s: %s', u.what, u.fault), E'\n' order by u.what) into faults
    from (
        select t.what, coalesce(marketing_automation_internal.snippet_fault(t.sender, t.subject, t.body, t.language, c.columns),
            (select min(f.fault) from jsonb_each_text(t.parts) p
                cross join lateral marketing_automation_internal.part_fault(p.key, p.value, t.language, c.columns) f (fault))) as fault
        from marketing_automation_internal.template_user() t
        cross join lateral (select marketing_automation_internal.template_columns(t.relation, t.scenario_id) as columns offset 0) c
        where marketing_automation_internal.snippets_of_templates(t.texts) && names
        union all
        select distinct format('snippet "%s"', s.name), marketing_automation_internal.snippet_fault(null, null, s.body, s.language, null)
        from marketing_automation.snippet s
        where marketing_automation_internal.used_snippets(null, null, s.body) && names) u
    where u.fault is not null;
    if faults is not null and tg_op = 'INSERT' then
        raise exception 'snippet "%" does not fit what uses it', new.name using errcode = 'object_in_use', detail = faults;
    elsif faults is not null then
        raise exception 'snippet "%" is in use', old.name
            using errcode = 'object_in_use', detail = faults, hint = 'Change the templates that use it first.';
    end if;
    users := array(
        select distinct t.activity_id from marketing_automation_internal.template_user() t
        where marketing_automation_internal.snippets_of_templates(t.texts) && names);
    perform marketing_automation_internal.complete_contexts(users);
    perform marketing_automation_internal.note_browser_use(users);
    return null;
end $$;
comment on function marketing_automation_internal.snippet_validate() is
    'API: private. A snippet compiles, uses what exists and not itself, and what uses it still works';

create trigger choose_owner before insert or update of owner, owner_id on marketing_automation.snippet
    for each row execute function marketing_automation_internal.choose_owner();

create trigger guard before insert or update or delete on marketing_automation.snippet
    for each row execute function marketing_automation_internal.guard();

create trigger lock_name before insert or update of name, owner on marketing_automation.snippet
    for each row execute function marketing_automation_internal.lock_name();

create trigger share_owner after update of owner on marketing_automation.snippet
    for each row execute function marketing_automation_internal.share_owner();

create trigger number before insert or update on marketing_automation.snippet
    for each row execute function marketing_automation_internal.snippet_number();

create trigger validate after insert or update or delete on marketing_automation.snippet
    for each row execute function marketing_automation_internal.snippet_validate();
