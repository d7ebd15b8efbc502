-- Scenarios: what is written is checked, and what depends on it follows. Who may write them: guard.sql.

create function marketing_automation_internal.scenario_validate() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    model marketing_automation.model;
    starts boolean;
    defined boolean;
begin
    if tg_op = 'DELETE' then
        -- In the order of who deletes an activity.
        perform from marketing_automation.activity a where a.scenario_id = old.id order by a.id for update;
        perform marketing_automation_internal.lock_scenario_for_change(old.id);
        if exists (select from marketing_automation_internal.record r where r.scenario_id = old.id) then
            raise exception 'scenario "%" has records and cannot be deleted', old.name
                using errcode = 'object_in_use', detail = 'Its mails would lose their log, and unsubscribing in them would stop working.',
                      hint = format('Stop it: select marketing_automation.stop(%L);', old.name);
        end if;
        return old;
    end if;
    if tg_op = 'UPDATE' and new.id <> old.id then
        raise exception 'id of scenario "%" cannot change', old.name using errcode = 'feature_not_supported';
    end if;
    perform marketing_automation_internal.check_value(new.state, array['draft', 'running', 'stopped'], 'state',
        format('scenario "%s"', new.name));
    perform marketing_automation_internal.check_language(new.language, format('scenario "%s"', new.name));
    if tg_op = 'UPDATE' and new.state <> old.state
        and (old.state, new.state) not in (('draft', 'running'), ('running', 'stopped'), ('stopped', 'draft')) then
        raise exception 'scenario "%" cannot go from % to %', old.name, old.state, new.state
            using errcode = 'object_not_in_prerequisite_state', detail = 'The order is draft, running, stopped, and back to draft.',
                  hint = format(case
                      when old.state = 'stopped' and new.state = 'running' then
                          'select marketing_automation.draft(%1$L), marketing_automation.run(%1$L);'
                      when old.state = 'draft' then 'select marketing_automation.run(%1$L), marketing_automation.stop(%1$L);'
                      else 'select marketing_automation.stop(%1$L), marketing_automation.draft(%1$L);' end, old.name);
    end if;
    if tg_op = 'UPDATE' and new.model <> old.model then
        perform marketing_automation_internal.lock_scenario_for_change(old.id);
    end if;
    if tg_op = 'UPDATE' and new.model <> old.model
        and exists (select from marketing_automation_internal.record r where r.scenario_id = old.id)
        and exists (select from marketing_automation.model m where m.name = old.model) then
        raise exception 'model of scenario "%" cannot change: records have entered it', old.name
            using errcode = 'object_in_use', hint = 'Create another scenario on the other model.';
    end if;
    if new.holdout not between 0 and 100 then
        raise exception 'holdout of scenario "%" is %', new.name, new.holdout
            using errcode = 'check_violation', hint = 'It is per cent of the people who enter, from 0 to 100, who get no mail.';
    end if;
    if new.goal is null and (new.holdout > 0 or new.goal_ends_journey or new.goal_at is not null or new.goal_value is not null) then
        raise exception 'scenario "%" has no goal, but %', new.name, case when new.holdout > 0 then 'holds people out'
                when new.goal_ends_journey then 'lets it end journeys' when new.goal_at is not null then 'goal_at' else 'goal_value' end
            using errcode = 'check_violation',
                  hint = 'goal is a condition over self, such as exists (select from shop.orders o where o.customer_id = self.id).';
    end if;
    if num_nonnulls(new.utm, new.utm_hosts) = 1 then
        raise exception 'scenario "%" has %', new.name, case when new.utm is null then 'utm_hosts, but no utm' else 'utm, but no utm_hosts' end
            using errcode = 'check_violation', hint = 'utm => ''utm_source=shop&utm_campaign={{ scenario.name }}'', and utm_hosts => '
                '''shop.example'': links to these hosts, and those below them, get it.';
    end if;
    if tg_op = 'INSERT' or (new.utm, new.utm_hosts, new.language) is distinct from (old.utm, old.utm_hosts, old.language) then
        perform marketing_automation_internal.check_campaign(format('scenario "%s"', new.name), new.utm, new.utm_hosts, new.language);
    end if;
    if new.goal_window <= interval '0' or new.goal_window > interval '10 years' then
        raise exception 'goal_window of scenario "%" is %', new.name,
                case when new.goal_window > interval '0' then 'longer than 10 years' else 'not positive' end
            using errcode = 'check_violation', hint = 'It counts from entering: how long after it the goal is a conversion; leave it away for 30 days.';
    end if;
    if tg_op = 'UPDATE' and new.holdout <> old.holdout then
        perform marketing_automation_internal.lock_scenario_for_change(old.id);
        if exists (select from marketing_automation_internal.record r where r.scenario_id = old.id) then
            raise exception 'holdout of scenario "%" cannot change: records have entered it', old.name
                using errcode = 'object_in_use', detail = 'Who is held out was decided by it, and would get mail as another row.',
                      hint = 'Create another scenario.';
        end if;
    end if;
    if new.reenter_after < interval '0' or new.reenter_after > interval '10 years' then
        raise exception 'reenter_after of scenario "%" is %', new.name,
                case when new.reenter_after < interval '0' then 'negative' else 'longer than 10 years' end
            using errcode = 'check_violation', hint = 'It counts from the end of the last journey of a row; leave it null if rows enter once, ever.';
    end if;
    if tg_op = 'UPDATE' and new.occasion is distinct from old.occasion then
        perform marketing_automation_internal.lock_scenario_for_change(old.id);
        if exists (select from marketing_automation_internal.record r where r.scenario_id = old.id) then
            raise exception 'occasion of scenario "%" cannot change: records have entered it', old.name
                using errcode = 'object_in_use', detail = 'They entered for what it was, and all of their rows would enter for what it is.',
                      hint = format('select marketing_automation.copy_scenario(%L, ''…''), and change that.', old.name);
        end if;
        update marketing_automation.scenario_status s set without_occasion = 0 where s.scenario_id = old.id and s.without_occasion <> 0;
    end if;
    if marketing_automation_internal.is_restoring() then
        return new;
    end if;
    if tg_op = 'UPDATE' and (new.goal is null) <> (old.goal is null) then
        -- Who enters meanwhile does so with this goal, or is seen by scenario_regoal().
        perform marketing_automation_internal.lock_scenario_for_change(old.id);
    end if;
    if tg_op = 'INSERT' or new.send_window is distinct from old.send_window then
        perform marketing_automation_internal.check_send_window(new.send_window, format('scenario "%s"', new.name));
    end if;
    if tg_op = 'INSERT' or new.topic is distinct from old.topic then
        perform marketing_automation_internal.check_topic(new.topic, format('scenario "%s"', new.name));
    end if;
    if new.priority not between -1000 and 1000 then
        raise exception 'priority of scenario "%" is %', new.name, new.priority
            using errcode = 'check_violation', hint = 'It is a number from -1000, last, to 1000, first.';
    end if;
    if tg_op = 'INSERT' or new.message_class is distinct from old.message_class then
        if new.message_class is null then
            raise exception 'message_class of scenario "%" must not be null', new.name
                using errcode = 'null_value_not_allowed', hint = 'Leave it away for marketing; that of an activity may be null.';
        end if;
        perform marketing_automation_internal.check_message_class(new.message_class, format('scenario "%s"', new.name));
    end if;
    -- All that is asked of its expressions now.
    perform marketing_automation_internal.begin_turn();
    starts := new.state = 'running' and (tg_op = 'INSERT' or old.state <> 'running');
    defined := tg_op = 'INSERT' or (new.model, new.owner_id) is distinct from (old.model, old.owner_id);
    if starts or defined or (new.domain, new.goal, new.exit_condition, new.goal_at, new.goal_value, new.occasion) is distinct from (
            old.domain, old.goal, old.exit_condition, old.goal_at, old.goal_value, old.occasion) then
        perform from marketing_automation.model m where m.name = new.model for key share;
    end if;
    if starts or defined and new.state = 'running' then
        perform marketing_automation_internal.check_definition(new);
    elsif defined or (new.domain, new.goal, new.exit_condition, new.goal_at, new.goal_value, new.occasion) is distinct from (
            old.domain, old.goal, old.exit_condition, old.goal_at, old.goal_value, old.occasion) then
        -- Not the conditions: they are written one by one.
        model := marketing_automation_internal.usable_model(new);
        perform marketing_automation_internal.check_condition(new.owner_id, model.relation, c.condition,
            format('%s of scenario "%s"', c.what, new.name))
        from (values ('domain', new.domain), ('goal', new.goal), ('exit condition', new.exit_condition)) c (what, condition) where c.condition is not null;
        perform marketing_automation_internal.check_goal_parts(new, model);
        perform marketing_automation_internal.check_occasion(new, model);
    end if;
    if starts and not exists (select from marketing_automation.activity a where a.scenario_id = new.id and a.parent_id is null) then
        raise warning 'scenario "%" has no activity yet: nobody enters before it has one', new.name;
    end if;
    if starts then
        perform marketing_automation_internal.try_mails(new);
        perform marketing_automation_internal.warn_of_no_way_out(new);
        -- Its mails may have waited since it was stopped.
        perform marketing_automation_internal.notify_mailer();
    end if;
    perform marketing_automation_internal.end_turn();
    return new;
end $$;
comment on function marketing_automation_internal.scenario_validate() is
    'API: private. Order of states, existing model, a domain, a goal and an exit condition that are each one boolean expression, an occasion that is '
    'one expression; all that it consists of when it starts; keeps scenarios that have records';

create function marketing_automation_internal.scenario_cascade() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    delete from marketing_automation.activity a where a.scenario_id = old.id;
    delete from marketing_automation.unsubscription u where u.scenario_id = old.id;
    delete from marketing_automation_internal.unsubscribed_address u where u.scenario_id = old.id;
    delete from marketing_automation.scenario_status s where s.scenario_id = old.id;
    delete from marketing_automation_internal.scenario_counter t where t.scenario_id = old.id;
    delete from marketing_automation_internal.failed_turn t where t.scenario_id = old.id;
    delete from marketing_automation_internal.poisonous_row p where p.scenario_id = old.id;
    delete from marketing_automation_internal.sweep w where w.scenario_id = old.id;
    delete from marketing_automation_internal.watched_scan w where w.scenario_id = old.id;
    return null;
end $$;
comment on function marketing_automation_internal.scenario_cascade() is 'API: private. What belongs to a deleted scenario goes with it';

create trigger choose_owner before insert or update of owner, owner_id on marketing_automation.scenario
    for each row execute function marketing_automation_internal.choose_owner();

create trigger guard before insert or update or delete on marketing_automation.scenario
    for each row execute function marketing_automation_internal.guard();

create trigger validate before insert or update or delete on marketing_automation.scenario
    for each row execute function marketing_automation_internal.scenario_validate();

create trigger cascade after delete on marketing_automation.scenario
    for each row execute function marketing_automation_internal.scenario_cascade();

create function marketing_automation_internal.scenario_begin() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if not marketing_automation_internal.is_restoring() then
        insert into marketing_automation.scenario_status (scenario_id) values (new.id) on conflict do nothing;
    end if;
    return null;
end $$;
comment on function marketing_automation_internal.scenario_begin() is
    'API: private. The row by which a scenario is locked is there from the beginning: who waits for one that another session inserts '
    'cannot skip it';

create trigger begin after insert on marketing_automation.scenario
    for each row execute function marketing_automation_internal.scenario_begin();

create function marketing_automation_internal.scenario_retitle() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    update marketing_automation.activity a set version = a.version + 1
    where a.scenario_id = new.id and (new.name, new.language, new.utm, new.utm_hosts, new.inline_css)
        is distinct from (old.name, old.language, old.utm, old.utm_hosts, old.inline_css);
    return null;
end $$;
comment on function marketing_automation_internal.scenario_retitle() is
    'API: private. Templates see the name of their scenario and are written in its language, and mails get its utm and inline_css: compiled ones are cached by the '
    'activity''s version';

create trigger retitle after update of name, language, utm, utm_hosts, inline_css on marketing_automation.scenario
    for each row execute function marketing_automation_internal.scenario_retitle();

create function marketing_automation_internal.scenario_regoal() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if new.goal is null then
        delete from marketing_automation_internal.open_goal g where g.scenario_id = new.id;
    else
        -- Whom a sweep or a batch has now, it decides about by the old one.
        update marketing_automation_internal.open_goal g set is_late = true
        where g.ctid = any (array(
            select o.ctid from marketing_automation_internal.open_goal o where o.scenario_id = new.id and not o.is_late for update skip locked));
        insert into marketing_automation_internal.open_goal (scenario_id, record_id, until, is_late)
        select new.id, r.id, marketing_automation_internal.after_delay(r.entered_at, new.goal_window, r.time_zone), true
        from marketing_automation_internal.record r
        where r.scenario_id = new.id and not r.goal_before
          and not exists (select from marketing_automation.conversion c where c.record_id = r.id and c.source = 'goal')
        on conflict do nothing;
        -- The sooner they are asked, the fewer have reached it since.
        update marketing_automation_internal.sweep w set began_at = null, reached_record = 0, rests_until = '-infinity'
        where w.ctid = any (array(
            select o.ctid from marketing_automation_internal.sweep o
            where o.scenario_id = new.id and o.what = 'goal' for update skip locked));
    end if;
    return null;
end $$;
comment on function marketing_automation_internal.scenario_regoal() is
    'API: private. A goal that a scenario gets while records are in it may be reached by them, too, but not by those who had before; one '
    'that it loses by nobody any more';

create trigger regoal after update of goal on marketing_automation.scenario
    for each row when (new.goal is distinct from old.goal) execute function marketing_automation_internal.scenario_regoal();

create trigger reclass after update of message_class on marketing_automation.scenario
    for each row when (new.message_class <> old.message_class) execute function marketing_automation_internal.scenario_class_changed();
