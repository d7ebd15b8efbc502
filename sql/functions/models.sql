-- Models, and the shipped parties and sales: what is written is checked, and what depends on it follows. Definitions have three
-- triggers: "guard" runs as the writer (may they?), "validate" as the extension (does it make sense?), "cascade" afterwards.

create function marketing_automation_internal.model_fixed() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if (case when tg_op <> 'INSERT' then old.name end) in ('party', 'sale') or (case when tg_op <> 'DELETE' then new.name end)
        in ('party', 'sale') then
        raise exception 'models party and sale are shipped with the extension and cannot be changed'
            using errcode = 'object_not_in_prerequisite_state', hint = 'Register a model of another name with register_model().';
    end if;
    return case when tg_op = 'DELETE' then old else new end;
end $$;
comment on function marketing_automation_internal.model_fixed() is 'API: private. Nobody changes the shipped models';

create function marketing_automation_internal.model_parts(model marketing_automation.model)
returns table (part text, what text, expression text, is_condition boolean)
language sql immutable rows 10 set search_path = pg_catalog, pg_temp as $$
    select p.part, format('%s of model "%s"', p.part, model.name), p.expression, p.part like 'track\_%'
    from (values ('key', model.key), ('party', model.party), ('email', model.email), ('recipient_name', model.recipient_name),
                 ('language', model.language), ('time_zone', model.time_zone),
                 ('track_opens', model.track_opens), ('track_clicks', model.track_clicks)) as p (part, expression)
    where p.expression is not null
$$;
comment on function marketing_automation_internal.model_parts(marketing_automation.model) is
    'API: private. The expressions of a model, and what they are called in errors';

create function marketing_automation_internal.model_validate() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    part record;
    its_type regtype;
    users text;
    relation_class pg_class;
begin
    if tg_op = 'DELETE' then
        select string_agg(quote_ident(s.name), ', ' order by s.name) into users from marketing_automation.scenario s
            where s.model = old.name;
        if users is not null then
            raise exception 'model "%" is in use', old.name 
                using errcode = 'object_in_use', detail = format('Scenarios on it: %s.', users),
                      hint = 'Delete these before: those that have begun keep the log of their mails, and their model.';
        end if;
        if exists (select from marketing_automation_internal.watched_table w where w.model = old.name) then
            raise exception 'model "%" is watched', old.name
                using errcode = 'object_in_use', detail = 'Its table has triggers that would go on noting its keys.',
                      hint = format('select marketing_automation.unwatch(%L);', old.name);
        end if;
        return old;
    end if;
    if marketing_automation_internal.is_restoring() or marketing_automation_internal.only_renames_owner(to_jsonb(old), to_jsonb(new)) then
        return new;
    end if;
    if tg_op = 'UPDATE' and new.key is distinct from old.key then
        -- After an enrolling that is under way, whose records nobody else sees yet.
        perform marketing_automation_internal.lock_scenario_for_change(s.id) from marketing_automation.scenario s
            where s.model = old.name order by s.id;
    end if;
    if tg_op = 'UPDATE' and new.key is distinct from old.key
        and exists (select from marketing_automation_internal.record r join marketing_automation.scenario s on s.id = r.scenario_id
            where s.model = old.name) then
        begin
            perform marketing_automation_internal.check_expression(new.owner_id, new.relation, old.key, format('key of model "%s"', old.name));
            users := 'records have entered with it';
        exception when undefined_column or undefined_function or undefined_object then
            -- A column was renamed, say: no other way to find these records again than another expression.
            users := null;
        end;
        if users is not null then
            raise exception 'key of model "%" cannot change: %', old.name, users
                using errcode = 'object_in_use', hint = 'Register a new model with the other key.';
        end if;
    end if;
    if new.key is null then
        raise exception 'key of model "%" must not be null', new.name
            using errcode = 'null_value_not_allowed', hint = 'It is an expression over the row, self, by which it is found again, as in self.id.';
    end if;
    select c.* into relation_class from pg_class c where c.oid = new.relation;
    if relation_class.relkind not in ('r', 'p', 'v', 'm', 'f') then
        raise exception 'model "%" cannot be made of %, which holds no rows', new.name, new.relation
            using errcode = 'wrong_object_type', hint = 'Take a table, partitioned table, view, materialized view or foreign table.';
    end if;
    if relation_class.relpersistence = 't' then
        raise exception 'model "%" cannot be made of the temporary relation %', new.name, new.relation
            using errcode = 'wrong_object_type', detail = 'Other sessions cannot read it, and it goes when this one ends.';
    end if;
    for part in select p.* from marketing_automation_internal.model_parts(new) p loop
        if part.is_condition then
            perform marketing_automation_internal.check_condition(new.owner_id, new.relation, part.expression, part.what);
            continue;
        end if;
        its_type := marketing_automation_internal.check_expression(new.owner_id, new.relation, part.expression, part.what);
        if part.part = 'key' then
            new.key_type := its_type;
        end if;
    end loop;
    begin
        if (select t.typtype from pg_type t where t.oid = new.key_type) = 'p' then
            -- row(a, b): it plans, but a record without a type of its own is never read back from text.
            raise undefined_object;
        end if;
        perform marketing_automation_internal.plan_as_owner(new.owner_id, new.relation, marketing_automation_internal.key_query(new.relation, new.key,
            new.key_type, ''));
    exception when undefined_object or undefined_function then
        raise exception 'key of model "%" is of type %, by which rows cannot be found again', new.name, new.key_type
            using errcode = 'datatype_mismatch',
                hint = 'Use a type that has an equality operator and arrays, such as bigint, uuid or text; '
                'make several columns one text: self.a::text || ''/'' || self.b::text.';
    end;
    return new;
end $$;
comment on function marketing_automation_internal.model_validate() is
    'API: private. Checks that each expression of a model is one expression that plans against its relation; keeps models in use';

create function marketing_automation_internal.model_cascade() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if new.name <> old.name then
        update marketing_automation.scenario s set model = new.name where s.model = old.name;
        update marketing_automation_internal.watched_table w set model = new.name where w.model = old.name;
    end if;
    return null;
end $$;
comment on function marketing_automation_internal.model_cascade() is 'API: private. Scenarios, and what is watched, follow a renamed model';

create trigger fixed before insert or update or delete on marketing_automation.model
    for each row execute function marketing_automation_internal.model_fixed();

create trigger choose_owner before insert or update of owner, owner_id on marketing_automation.model
    for each row execute function marketing_automation_internal.choose_owner();

create trigger guard before insert or update or delete on marketing_automation.model
    for each row execute function marketing_automation_internal.guard();

create trigger validate before insert or update or delete on marketing_automation.model
    for each row execute function marketing_automation_internal.model_validate();

create trigger cascade after update on marketing_automation.model
    for each row execute function marketing_automation_internal.model_cascade();

create function marketing_automation.register_model(
    name text, relation regclass, key text, party text default null, email text default null,
    recipient_name text default null, language varchar default null, time_zone text default null,
    track_opens text default null, track_clicks text default null, replace boolean default true
) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    its_owner name := (select m.owner from marketing_automation.model m
        where m.name = register_model.name and not pg_has_role(m.owner_id, 'MEMBER'));
begin
    -- Row security would say the same, and not whose it is.
    if its_owner is not null then
        raise exception 'must be a member of role % to write model "%"', its_owner, name
            using errcode = 'insufficient_privilege',
                  hint = 'Expressions run with the rights of the owner, so only members of that role may change them.';
    end if;
    if replace is not true and exists (select from marketing_automation.model m where m.name = register_model.name) then
        raise exception 'model "%" exists', name
            using errcode = 'unique_violation',
                  hint = format('Redefine it: select marketing_automation.register_model(%L, %L, key => %L, replace => true);', name, relation,
                      key);
    end if;
    insert into marketing_automation.model as m
        (name, relation, key, key_type, party, email, recipient_name, language, time_zone, track_opens, track_clicks)
    values (name, relation, key, 'text', party, email, recipient_name, language, time_zone, track_opens, track_clicks)
    on conflict on constraint model_pkey do update
    set relation = excluded.relation, key = excluded.key, party = excluded.party, email = excluded.email,
        recipient_name = excluded.recipient_name, language = excluded.language, time_zone = excluded.time_zone,
        track_opens = excluded.track_opens, track_clicks = excluded.track_clicks;
end $$;
comment on function marketing_automation.register_model(text, regclass, text, text, text, text, varchar, text, text, text, boolean) is
    'API: public. Makes the rows of a relation a record type, or redefines it. All but name and relation are SQL expressions over '
    'the alias self; track_opens and track_clicks boolean ones, null: yes. replace: a model of that name becomes what these arguments say, '
    'defaults included, and keeps its owner; false: it is an error';

-- Dumps of 0.1.0 name this signature where they grant it. Its parameters have neither names nor defaults, so that calls by name, and
-- those that leave something away, mean the one above. That has varchar where this one has text, or a call of ten by place would fit both.
create function marketing_automation.register_model(text, regclass, text, text, text, text, text, text, text, text) returns void
language sql set search_path = pg_catalog, pg_temp as $$
    select marketing_automation.register_model($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, true)
$$;
comment on function marketing_automation.register_model(text, regclass, text, text, text, text, text, text, text, text) is
    'API: public. The signature of 0.1.0, for the grants in its dumps; call the one with replace';

-- Parties and sales
create function marketing_automation_internal.sale_validate() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform from marketing_automation.party p where p.id = new.party_id for key share;
    if not found and not marketing_automation_internal.is_restoring() then
        raise exception 'party % of sale does not exist', new.party_id using errcode = 'foreign_key_violation';
    end if;
    return new;
end $$;
comment on function marketing_automation_internal.sale_validate() is 'API: private. A sale''s party exists';

create function marketing_automation_internal.party_cascade() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    delete from marketing_automation.sale s where s.party_id = old.id;
    return null;
end $$;
comment on function marketing_automation_internal.party_cascade() is 'API: private. The sales of a deleted party go with it';

create trigger validate before insert or update of party_id on marketing_automation.sale
    for each row execute function marketing_automation_internal.sale_validate();

create trigger cascade after delete on marketing_automation.party
    for each row execute function marketing_automation_internal.party_cascade();
