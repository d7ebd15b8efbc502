-- Definitions are validated when they are written, whoever writes them and how.
-- Each table has two triggers: "guard" runs as the writer (may they?), "validate" as the extension (does it make sense?).
-- Expressions and templates are not compiled while check_function_bodies is off, as pg_restore sets it: a restore must
-- not fail because a function that a domain calls comes later.

create function marketing_automation.require_membership(owner regrole, object text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if not pg_has_role(owner::oid, 'MEMBER') then
        raise exception 'must be a member of role % to write %', owner, object
            using errcode = 'insufficient_privilege',
                  hint = 'Expressions run with the rights of the owner, so only members of that role may change them.';
    end if;
end $$;
comment on function marketing_automation.require_membership(regrole, text) is
    'API: private. Raises insufficient_privilege unless the current user is a member of owner';

create function marketing_automation.model_guard() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if tg_op <> 'INSERT' then
        if old.builtin then
            raise exception 'model "%" is shipped with the extension and cannot be changed', old.name
                using errcode = 'object_not_in_prerequisite_state', hint = 'Register a model of another name with register_model().';
        end if;
        perform marketing_automation.require_membership(old.owner, format('model "%s"', old.name));
    end if;
    if tg_op = 'DELETE' then
        return old;
    end if;
    perform marketing_automation.require_membership(new.owner, format('model "%s"', new.name));
    return new;
end $$;
comment on function marketing_automation.model_guard() is 'API: private. Only members of its owner change a model';

create function marketing_automation.model_validate() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    part record;
begin
    if tg_op = 'UPDATE' and new.key is distinct from old.key
        and exists (select from marketing_automation.record r join marketing_automation.scenario s on s.id = r.scenario_id where s.model = old.name) then
        raise exception 'key of model "%" cannot change: records have entered with it', old.name
            using errcode = 'object_in_use', hint = 'Register a new model with the other key.';
    end if;
    if not current_setting('check_function_bodies')::boolean then
        new.key_type := coalesce(new.key_type, 'text');
        return new;
    end if;
    new.key_type := marketing_automation.check_expression(new.owner, new.relation, new.key, format('key of model "%s"', new.name));
    for part in
        select * from (values ('party', new.party), ('email', new.email), ('recipient_name', new.recipient_name),
                              ('language', new.language), ('time_zone', new.time_zone)) as p (name, expression)
        where p.expression is not null
    loop
        perform marketing_automation.check_expression(new.owner, new.relation, part.expression, format('%s of model "%s"', part.name, new.name));
    end loop;
    return new;
end $$;
comment on function marketing_automation.model_validate() is 'API: private. Checks that each expression of a model is one expression that plans against its relation';

create trigger guard before insert or update or delete on marketing_automation.model
    for each row execute function marketing_automation.model_guard();
create trigger validate before insert or update on marketing_automation.model
    for each row execute function marketing_automation.model_validate();

create function marketing_automation.scenario_guard() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if tg_op <> 'INSERT' then
        perform marketing_automation.require_membership(old.owner, format('scenario "%s"', old.name));
    end if;
    if tg_op = 'DELETE' then
        return old;
    end if;
    perform marketing_automation.require_membership(new.owner, format('scenario "%s"', new.name));
    return new;
end $$;
comment on function marketing_automation.scenario_guard() is 'API: private. Only members of its owner change a scenario';

create function marketing_automation.scenario_validate() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    model marketing_automation.model;
begin
    if tg_op = 'DELETE' then
        if exists (select from marketing_automation.record r where r.scenario_id = old.id) then
            raise exception 'scenario "%" has records and cannot be deleted', old.name
                using errcode = 'object_in_use', detail = 'Its mails would lose their log, and unsubscribing in them would stop working.',
                      hint = format('Stop it: select marketing_automation.stop(%L);', old.name);
        end if;
        return old;
    end if;
    if tg_op = 'UPDATE' and new.state <> old.state
        and (old.state, new.state) not in (('draft', 'running'), ('running', 'stopped'), ('stopped', 'draft')) then
        raise exception 'scenario "%" cannot go from % to %', old.name, old.state, new.state
            using errcode = 'object_not_in_prerequisite_state', hint = 'The order is draft, running, stopped, and back to draft.';
    end if;
    if tg_op = 'UPDATE' and new.model <> old.model
        and exists (select from marketing_automation.record r where r.scenario_id = old.id)
        and exists (select from marketing_automation.model m where m.name = old.model) then
        raise exception 'model of scenario "%" cannot change: records have entered it', old.name
            using errcode = 'object_in_use', hint = 'Create another scenario on the other model.';
    end if;
    select m.* into model from marketing_automation.model m where m.name = new.model;
    if not found then
        raise exception 'model "%" of scenario "%" does not exist', new.model, new.name
            using errcode = 'undefined_object',
                  detail = (select 'Models are ' || string_agg(quote_ident(m.name), ', ' order by m.name) || '.' from marketing_automation.model m),
                  hint = 'Register a table or view with marketing_automation.register_model().';
    end if;
    if current_setting('check_function_bodies')::boolean
        and (tg_op = 'INSERT' or (new.domain, new.model, new.owner) is distinct from (old.domain, old.model, old.owner)) then
        perform marketing_automation.check_condition(new.owner, model.relation, new.domain, format('domain of scenario "%s"', new.name));
    end if;
    return new;
end $$;
comment on function marketing_automation.scenario_validate() is
    'API: private. Order of states, existing model, a domain that is one boolean expression; keeps scenarios that have records';

create trigger guard before insert or update or delete on marketing_automation.scenario
    for each row execute function marketing_automation.scenario_guard();
create trigger validate before insert or update or delete on marketing_automation.scenario
    for each row execute function marketing_automation.scenario_validate();

create function marketing_automation.activity_guard() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if tg_op <> 'INSERT' then
        perform marketing_automation.require_membership(s.owner, format('activity "%s"', old.name))
        from marketing_automation.scenario s where s.id = old.scenario_id;
    end if;
    if tg_op = 'DELETE' then
        return old;
    end if;
    perform marketing_automation.require_membership(s.owner, format('activity "%s"', new.name))
    from marketing_automation.scenario s where s.id = new.scenario_id;
    return new;
end $$;
comment on function marketing_automation.activity_guard() is 'API: private. Only members of its scenario''s owner change an activity';

create function marketing_automation.activity_validate() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    parent marketing_automation.activity;
    template record;
begin
    if tg_op = 'DELETE' then
        if exists (select from marketing_automation.record r where r.scenario_id = old.scenario_id)
            and (exists (select from marketing_automation.waiting_activity w where w.activity_id = old.id)
                 or exists (select from marketing_automation.finished_activity f where f.activity_id = old.id)) then
            raise exception 'activity "%" waits or has run for records and cannot be deleted', old.name
                using errcode = 'object_in_use', detail = 'Its mails would lose their log.',
                      hint = 'Set its condition to false to skip it from now on.';
        end if;
        return old;
    end if;
    if new.delay < interval '0' then
        raise exception 'delay of activity "%" is negative: %', new.name, new.delay
            using errcode = 'check_violation', hint = 'A delay counts from the start of the activity; leave it null to run at once.';
    end if;
    if new.on_event like '%\_not\_%' and new.delay is null then
        raise exception 'activity "%" on % needs a delay', new.name, new.on_event
            using errcode = 'check_violation', hint = 'The delay says how long to wait for the event before concluding that it did not happen.';
    end if;
    if new.on_event is not null and new.parent_id is null then
        raise exception 'activity "%" waits for % but has no parent that could emit it', new.name, new.on_event
            using errcode = 'check_violation', hint = 'Give it a parent that sends an e-mail, or no event.';
    end if;
    if new.action = 'send_email' and (new.subject is null or new.body is null) then
        raise exception 'activity "%" sends an e-mail but has no %', new.name, case when new.subject is null then 'subject' else 'body' end
            using errcode = 'check_violation';
    end if;
    if tg_op = 'UPDATE' and new.scenario_id <> old.scenario_id then
        raise exception 'activity "%" cannot move to another scenario', old.name using errcode = 'feature_not_supported';
    end if;
    if new.parent_id is not null then
        select a.* into parent from marketing_automation.activity a where a.id = new.parent_id;
        -- In a COPY (pg_restore) the parent may come later; the foreign key checks it at the end of the statement.
        if found then
            if parent.scenario_id <> new.scenario_id then
                raise exception 'parent "%" of activity "%" belongs to another scenario', parent.name, new.name using errcode = 'check_violation';
            end if;
            if new.on_event is not null and parent.action is distinct from 'send_email' then
                raise exception 'activity "%" waits for %, which its parent "%" cannot emit', new.name, new.on_event, parent.name
                    using errcode = 'check_violation', hint = 'Only a parent whose action is send_email emits that event.';
            end if;
        end if;
        if tg_op = 'UPDATE' and exists (
            with recursive ancestor as (
                select new.parent_id as id
                union
                select a.parent_id from marketing_automation.activity a join ancestor using (id) where a.parent_id is not null
            )
            select from ancestor where ancestor.id = new.id) then
            raise exception 'activity "%" cannot follow "%", which follows it: a tree has no cycles', new.name, parent.name
                using errcode = 'check_violation';
        end if;
    end if;
    if tg_op = 'UPDATE' and new.action is distinct from 'send_email' and exists (
        select from marketing_automation.activity c where c.parent_id = new.id and c.on_event is not null) then
        raise exception 'activity "%" must send an e-mail: children wait for its events', new.name using errcode = 'check_violation';
    end if;
    if tg_op = 'UPDATE' and (new.action, new.sender, new.subject, new.body) is distinct from (old.action, old.sender, old.subject, old.body) then
        new.version := greatest(new.version, old.version + 1);
    end if;
    if current_setting('check_function_bodies')::boolean then
        if new.condition is not null then
            perform marketing_automation.check_condition(s.owner, m.relation, new.condition, format('condition of activity "%s"', new.name))
            from marketing_automation.scenario s join marketing_automation.model m on m.name = s.model where s.id = new.scenario_id;
        end if;
        perform marketing_automation.check_templates(format('activity "%s"', new.name), new.sender, new.subject, new.body);
    end if;
    return new;
end $$;
comment on function marketing_automation.activity_validate() is
    'API: private. The rules of the tree, conditions that are one boolean expression, templates that compile; keeps activities that have run';

create trigger guard before insert or update or delete on marketing_automation.activity
    for each row execute function marketing_automation.activity_guard();
create trigger validate before insert or update or delete on marketing_automation.activity
    for each row execute function marketing_automation.activity_validate();

create function marketing_automation.activity_translation_guard() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    changed integer := case when tg_op = 'DELETE' then old.activity_id else new.activity_id end;
begin
    perform marketing_automation.require_membership(s.owner, format('translations of activity "%s"', a.name))
    from marketing_automation.activity a join marketing_automation.scenario s on s.id = a.scenario_id
    where a.id in (changed, case when tg_op = 'UPDATE' then old.activity_id end);
    return case when tg_op = 'DELETE' then old else new end;
end $$;
comment on function marketing_automation.activity_translation_guard() is 'API: private. Only members of its scenario''s owner translate an activity';

create function marketing_automation.activity_translation_validate() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if tg_op <> 'DELETE' and current_setting('check_function_bodies')::boolean then
        perform marketing_automation.check_templates(format('translation of activity "%s" to %s', a.name, new.language), new.sender, new.subject, new.body)
        from marketing_automation.activity a where a.id = new.activity_id;
    end if;
    -- The mailer caches compiled templates by the activity's version. A restore brings versions of its own.
    if current_setting('check_function_bodies')::boolean then
        update marketing_automation.activity a set version = a.version + 1
        where a.id in (case when tg_op <> 'DELETE' then new.activity_id end, case when tg_op <> 'INSERT' then old.activity_id end);
    end if;
    return case when tg_op = 'DELETE' then old else new end;
end $$;
comment on function marketing_automation.activity_translation_validate() is 'API: private. Templates of a translation compile; raises the activity''s version';

create trigger guard before insert or update or delete on marketing_automation.activity_translation
    for each row execute function marketing_automation.activity_translation_guard();
create trigger validate before insert or update or delete on marketing_automation.activity_translation
    for each row execute function marketing_automation.activity_translation_validate();
