-- Activities and their translations: the rules of the tree, and what follows a change. Who may write them: guard.sql.

create function marketing_automation_internal.activity_validate() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    parent marketing_automation.activity;
    scenario marketing_automation.scenario;
    model marketing_automation.model;
begin
    if tg_op = 'DELETE' then
        -- Whoever writes rows that wait for it holds it, and this deletion comes after them; what comes after the deletion meets
        -- activity_gone().
        if exists (select from marketing_automation_internal.record r where r.scenario_id = old.scenario_id)
            and (exists (select from marketing_automation_internal.waiting_activity w where w.activity_id = old.id)
                 or exists (select from marketing_automation_internal.finished_activity f where f.activity_id = old.id)) then
            raise exception 'activity "%" waits or has run for records and cannot be deleted', old.name
                using errcode = 'object_in_use', detail = 'What waits for it would be lost, and its mails would lose their log.',
                      hint = 'Set its condition to false to skip it from now on.';
        end if;
        perform marketing_automation_internal.check_branching(old, null);
        return old;
    end if;
    if marketing_automation_internal.is_restoring() then
        return new;
    end if;
    if tg_op = 'INSERT' then
        new.version := 1;
    end if;
    if tg_op = 'UPDATE' then
        if (new.id, new.scenario_id) <> (old.id, old.scenario_id) then
            raise exception 'activity "%" cannot move to another scenario', old.name using errcode = 'feature_not_supported';
        end if;
        -- One more at most, whoever writes it: the last number there is would keep everybody from changing the activity.
        new.version := case when new.version > old.version then old.version + 1 else old.version end
            + ((new.action, new.sender, new.subject, new.body, new.message_class, new.reply_to, new.preheader, new.text,
                new.headers, new.url, new.attachments is not null) is distinct from (old.action, old.sender, old.subject, old.body, old.message_class, old.reply_to, old.preheader,
                old.text, old.headers, old.url, old.attachments is not null))::integer;
        -- Raised because of something else, which must not fail because the model of this one is gone.
        if to_jsonb(new) - 'version' = to_jsonb(old) - 'version' then
            return new;
        end if;
    end if;
    perform marketing_automation_internal.check_value(new.on_event, array['email_opened', 'email_not_opened', 'email_clicked',
        'email_not_clicked', 'email_bounced', 'email_not_bounced', 'condition_not_met', 'call_failed',
        'webhook_delivered', 'webhook_failed', 'variant'], 'event', format('activity "%s"', new.name),
        'null: it simply follows its parent');
    perform marketing_automation_internal.check_value(new.action, array['send_email', 'call', 'webhook'], 'action', format('activity "%s"', new.name),
        'null: it only branches');
    if new.delay < interval '0' and (new.at is null or new.delay < interval '-10 years') or new.delay > interval '10 years' then
        raise exception 'delay of activity "%" is %', new.name, case when new.delay < interval '0' and new.at is null then 'negative'
            else 'longer than 10 years' end
            using errcode = 'check_violation', hint = 'A delay counts from the start of the activity; leave it null to run at once.';
    end if;
    if new.expires_after <= interval '0' or new.expires_after > interval '10 years' then
        raise exception 'expires_after of activity "%" is %', new.name,
                case when new.expires_after > interval '0' then 'longer than 10 years' else 'not positive' end
            using errcode = 'check_violation', hint = 'It counts from when the activity runs; leave it null if its mail is never too late.';
    end if;
    if new.on_event like 'email\_not\_%' and new.delay is null then
        raise exception 'activity "%" on % needs a delay', new.name, new.on_event
            using errcode = 'check_violation',
                hint = 'The delay says how long to wait for the event before concluding that it did not happen.';
    end if;
    if new.on_event is not null and new.parent_id is null then
        raise exception 'activity "%" waits for % but has no parent that could emit it', new.name, new.on_event
            using errcode = 'check_violation', hint = case new.on_event when 'condition_not_met' then 'Give it a parent that has a condition.'
                when 'variant' then 'Give it the activity whose mail it varies as its parent.'
                when 'call_failed' then 'Give it a parent that calls.'
                when 'webhook_delivered' then 'Give it a parent that is a webhook.' when 'webhook_failed' then 'Give it a parent that is a webhook.'
                else 'Give it a parent that sends an e-mail, or no event.' end;
    end if;
    if new.action = 'send_email' and (new.subject is null or new.body is null) then
        raise exception 'activity "%" sends an e-mail but has no %', new.name, case when new.subject is null then 'subject' else 'body' end
            using errcode = 'check_violation', hint = 'Give it one; action => null is for what only branches.';
    end if;
    if tg_op = 'INSERT' or new.send_window is distinct from old.send_window then
        perform marketing_automation_internal.check_send_window(new.send_window, format('activity "%s"', new.name));
    end if;
    if tg_op = 'INSERT' or new.message_class is distinct from old.message_class then
        perform marketing_automation_internal.check_message_class(new.message_class, format('activity "%s"', new.name));
    end if;
    select s.* into scenario from marketing_automation.scenario s where s.id = new.scenario_id for key share;
    if not found then
        raise exception 'scenario % of activity "%" does not exist', new.scenario_id, new.name using errcode = 'foreign_key_violation';
    end if;
    if tg_op = 'UPDATE' and (new.parent_id, new.on_event, new.action) is distinct from (old.parent_id, old.on_event, old.action) then
        -- Nobody enters meanwhile; and two at once could close a circle that neither sees.
        perform marketing_automation_internal.lock_scenario_for_change(new.scenario_id);
        if exists (select from marketing_automation_internal.record r where r.scenario_id = new.scenario_id) then
            raise exception '% of activity "%" cannot change: records have entered scenario "%"',
                case when new.parent_id is distinct from old.parent_id then 'parent'
                     when new.on_event is distinct from old.on_event then 'event' else 'action' end, old.name, scenario.name
                using errcode = 'object_in_use', detail = 'Some may wait for it by the old rules, and would run by the new ones.',
                      hint = 'Add another activity, and delete this one or, if it waits or has run for records, set its condition to false.';
        end if;
    end if;
    if new.parent_id is not null then
        select a.* into parent from marketing_automation.activity a where a.id = new.parent_id for key share;
        if not found then
            raise exception 'parent % of activity "%" does not exist', new.parent_id, new.name using errcode = 'foreign_key_violation';
        end if;
        if parent.scenario_id <> new.scenario_id then
            -- Whose activity that is, is not for everybody.
            raise exception 'the parent of activity "%" belongs to another scenario', new.name
                using errcode = 'check_violation';
        end if;
        if marketing_automation_internal.emitting_action(new.on_event) <> coalesce(parent.action, '') then
            raise exception 'activity "%" waits for %, which its parent "%" cannot emit', new.name, new.on_event, parent.name
                using errcode = 'check_violation', hint = format('Only a parent whose action is %s emits that event.',
                    marketing_automation_internal.emitting_action(new.on_event));
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
    if tg_op = 'UPDATE' and exists (
        select from marketing_automation.activity c where c.parent_id = new.id
            and marketing_automation_internal.emitting_action(c.on_event) <> coalesce(new.action, '')) then
        raise exception 'activity "%" must %: children wait for its events', new.name,
            case old.action when 'call' then 'call' when 'webhook' then 'be a webhook' else 'send an e-mail' end using errcode = 'check_violation';
    end if;
    perform marketing_automation_internal.check_variant(new, parent);
    perform marketing_automation_internal.check_call_rules(new);
    perform marketing_automation_internal.check_webhook_rules(new);
    perform marketing_automation_internal.check_branch(new, parent,
        tg_op = 'INSERT' or (new.parent_id, new.on_event) is distinct from (old.parent_id, old.on_event));
    perform marketing_automation_internal.check_experiment(new, parent);
    perform marketing_automation_internal.check_wait(new);
    if tg_op = 'UPDATE' or parent.branch_by is not null or new.on_event = 'variant' then
        perform marketing_automation_internal.check_branching(case when tg_op = 'UPDATE' then old end, new);
    end if;
    model := marketing_automation_internal.usable_model(scenario);
    perform marketing_automation_internal.check_date(scenario, model, new);
    perform marketing_automation_internal.check_later_condition(scenario, model, new, new.condition, 'condition');
    perform marketing_automation_internal.check_later_condition(scenario, model, new, new.wait_until, 'wait_until');
    perform marketing_automation_internal.check_call(scenario, model, new);
    -- Templates that have not changed may have lost a column since: their mails say so.
    if tg_op = 'INSERT' or (new.action, new.url, new.body) is distinct from (old.action, old.url, old.body) then
        perform marketing_automation_internal.check_webhook_of(scenario, model, new);
    end if;
    if new.action is distinct from 'webhook'
        and (tg_op = 'INSERT' or (new.sender, new.subject, new.body) is distinct from (old.sender, old.subject, old.body)) then
        perform marketing_automation_internal.check_templates(format('activity "%s"', new.name), new.sender, new.subject, new.body,
                                                     scenario.language, marketing_automation_internal.template_columns(model.relation, scenario.id));
    end if;
    if coalesce(new.reply_to, new.preheader, new.text) is not null then
        perform marketing_automation_internal.check_parts(format('activity "%s"', new.name),
            marketing_automation_internal.further_parts(new.reply_to, new.preheader, new.text),
            case when tg_op = 'UPDATE' then marketing_automation_internal.further_parts(old.reply_to, old.preheader, old.text) end,
            scenario.language, marketing_automation_internal.template_columns(model.relation, scenario.id));
    end if;
    if new.attachments is not null and new.action is distinct from 'send_email' then
        raise exception 'activity "%" has attachments, but sends no mail', new.name using errcode = 'check_violation',
            detail = 'What takes files along is a mail; a variant takes those of its mail.', hint = 'Leave them out, or write action => ''send_email''.';
    end if;
    if new.attachments is not null and (tg_op = 'INSERT' or new.attachments is distinct from old.attachments) then
        perform marketing_automation_internal.check_attachments(scenario.owner_id, model.relation, new.attachments,
            format('attachments of activity "%s"', new.name), marketing_automation_internal.mentions_results(new.attachments));
    end if;
    perform marketing_automation_internal.check_addresses(scenario, model, new, case when tg_op = 'UPDATE' then old end);
    if new.headers is not null and (tg_op = 'INSERT' or new.headers is distinct from old.headers) then
        perform marketing_automation_internal.check_headers(format('activity "%s"', new.name), new.headers, scenario.language,
            marketing_automation_internal.template_columns(model.relation, scenario.id));
    end if;
    if tg_op = 'INSERT' or new.sender is distinct from old.sender then
        perform marketing_automation_internal.check_sender(scenario, new.sender, format('activity "%s"', new.name));
    end if;
    return new;
end $$;
comment on function marketing_automation_internal.activity_validate() is
    'API: private. The rules of the tree, conditions that are one boolean expression, templates that compile; keeps activities that '
    'have run';

create function marketing_automation_internal.activity_cascade() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    delete from marketing_automation.activity a where a.parent_id = old.id;
    delete from marketing_automation.activity_translation t where t.activity_id = old.id;
    delete from marketing_automation_internal.activity_counter t where t.activity_id = old.id;
    delete from marketing_automation_internal.experiment e where e.activity_id = old.id;
    delete from marketing_automation_internal.outbox o where o.record_id is null and o.activity_id = old.id;
    return null;
end $$;
comment on function marketing_automation_internal.activity_cascade() is
    'API: private. Children, translations and queued tests of a deleted activity go with it';

create function marketing_automation_internal.activity_gone() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    -- After those who write rows for it while it was being deleted: see lock_children(). No records, no such row.
    perform from marketing_automation.scenario_status s where s.scenario_id = old.scenario_id for update;
    delete from marketing_automation_internal.waiting_activity w where w.activity_id = old.id;
    delete from marketing_automation_internal.activity_counter t where t.activity_id = old.id;
    if found then
        -- Some of them were cancelled meanwhile.
        delete from marketing_automation_internal.finished_activity f where f.activity_id = old.id;
    end if;
    return null;
end $$;
comment on function marketing_automation_internal.activity_gone() is
    'API: private. When a deletion commits: what began to wait for the activity after it was deleted goes with it';

create trigger guard before insert or update or delete on marketing_automation.activity
    for each row execute function marketing_automation_internal.guard();

create trigger validate before insert or update or delete on marketing_automation.activity
    for each row execute function marketing_automation_internal.activity_validate();

create trigger cascade after delete on marketing_automation.activity
    for each row execute function marketing_automation_internal.activity_cascade();

create trigger reclass after update of message_class on marketing_automation.activity
    for each row when (new.message_class is distinct from old.message_class)
    execute function marketing_automation_internal.activity_class_changed();

create function marketing_automation_internal.activity_translation_validate() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    its_name text;
begin
    if marketing_automation_internal.is_restoring() then
        return case when tg_op = 'DELETE' then old else new end;
    end if;
    if tg_op <> 'DELETE' then
        if new.language is null then
            raise exception 'a translation has no language' using errcode = 'not_null_violation',
                hint = 'language is a tag such as de or pt-BR.';
        end if;
        select a.name into its_name from marketing_automation.activity a where a.id = new.activity_id for key share;
        if not found then
            raise exception 'activity % of translation does not exist', new.activity_id using errcode = 'foreign_key_violation';
        end if;
        if exists (select from marketing_automation.activity a where a.id = new.activity_id and a.action = 'webhook') then
            raise exception 'activity "%" is a webhook, which has no translations', its_name using errcode = 'check_violation',
                hint = 'Its body may have party.language in it.';
        end if;
        perform marketing_automation_internal.check_language(new.language, format('translation of activity "%s"', its_name));
        perform marketing_automation_internal.check_templates(format('translation of activity "%s" to %s', a.name, new.language),
            new.sender, new.subject, new.body,
                                                     new.language, marketing_automation_internal.template_columns(m.relation, s.id))
        from marketing_automation.activity a
        join marketing_automation.scenario s on s.id = a.scenario_id
        left join marketing_automation.model m on m.name = s.model
        where a.id = new.activity_id;
        perform marketing_automation_internal.check_parts(format('translation of activity "%s" to %s', a.name, new.language),
            marketing_automation_internal.further_parts(new.reply_to, new.preheader, new.text), null, new.language,
            marketing_automation_internal.template_columns(m.relation, s.id))
        from marketing_automation.activity a
        join marketing_automation.scenario s on s.id = a.scenario_id
        left join marketing_automation.model m on m.name = s.model
        where a.id = new.activity_id and coalesce(new.reply_to, new.preheader, new.text) is not null;
        perform marketing_automation_internal.check_sender(s, new.sender, format('translation of activity "%s" to %s', a.name, new.language))
        from marketing_automation.activity a join marketing_automation.scenario s on s.id = a.scenario_id
        where a.id = new.activity_id and (tg_op = 'INSERT' or new.sender is distinct from old.sender);
    end if;
    -- The mailer caches compiled templates by the activity's version.
    update marketing_automation.activity a set version = a.version + 1
    where a.id in (case when tg_op <> 'DELETE' then new.activity_id end, case when tg_op <> 'INSERT' then old.activity_id end);
    return case when tg_op = 'DELETE' then old else new end;
end $$;
comment on function marketing_automation_internal.activity_translation_validate() is
    'API: private. Templates of a translation compile; raises the activity''s version';

create trigger guard before insert or update or delete on marketing_automation.activity_translation
    for each row execute function marketing_automation_internal.guard();

create trigger validate before insert or update or delete on marketing_automation.activity_translation
    for each row execute function marketing_automation_internal.activity_translation_validate();
