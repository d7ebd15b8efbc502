-- Verbs to define campaigns with. The tables may be written directly too: the same rules hold.

create function marketing_automation.create_scenario(
    name text, model text, domain text default 'true', unsubscribable boolean default false, language varchar default 'en',
    goal text default null, goal_ends_journey boolean default false,
    track_opens boolean default true, track_clicks boolean default true, title text default null,
    exit_condition text default null, goal_window interval default '30 days', goal_at text default null, goal_value text default null,
    send_window text default null, holdout numeric default 0, topic text default null, message_class text default 'marketing',
    reenter_after interval default null, occasion text default null, priority integer default 0, replace boolean default false,
    utm text default null, utm_hosts text default null, inline_css boolean default false
) returns integer
language plpgsql set search_path = pg_catalog, pg_temp set intervalstyle = 'postgres' as $$
declare
    its_id integer;
begin
    if replace then
        begin
            its_id := marketing_automation.scenario_id(name);
        exception when undefined_object then
            null;
        end;
    end if;
    if its_id is not null then
        -- Who sees only its numbers does not see its row.
        if not exists (select from marketing_automation.scenario s where s.id = its_id) then
            raise exception 'must be a member of the owner of scenario "%"', name using errcode = 'insufficient_privilege';
        end if;
        perform from marketing_automation.import_scenario(jsonb_build_object('format', 1, 'activities', '[]'::jsonb, 'scenario',
            jsonb_build_object('name', name, 'title', title, 'model', model, 'domain', domain, 'unsubscribable', unsubscribable,
                'language', language, 'goal', goal, 'goal_ends_journey', goal_ends_journey, 'track_opens', track_opens,
                'track_clicks', track_clicks, 'exit_condition', exit_condition, 'goal_window', goal_window, 'goal_at', goal_at,
                'goal_value', goal_value, 'send_window', send_window, 'holdout', holdout, 'topic', topic, 'message_class', message_class,
                'reenter_after', reenter_after, 'occasion', occasion, 'priority', priority,
                'utm', utm, 'utm_hosts', utm_hosts, 'inline_css', inline_css)));
        return its_id;
    end if;
    insert into marketing_automation.scenario as s
        (name, title, model, domain, unsubscribable, language, goal, goal_ends_journey, track_opens, track_clicks, exit_condition,
        goal_window, goal_at, goal_value, send_window, holdout, topic, message_class, reenter_after, occasion, priority,
        utm, utm_hosts, inline_css)
    values (create_scenario.name, create_scenario.title, create_scenario.model, create_scenario.domain, create_scenario.unsubscribable,
        create_scenario.language, create_scenario.goal, create_scenario.goal_ends_journey, create_scenario.track_opens,
        create_scenario.track_clicks, create_scenario.exit_condition, create_scenario.goal_window, create_scenario.goal_at,
        create_scenario.goal_value, create_scenario.send_window, create_scenario.holdout, create_scenario.topic,
        create_scenario.message_class, create_scenario.reenter_after, create_scenario.occasion, create_scenario.priority,
        create_scenario.utm, create_scenario.utm_hosts, create_scenario.inline_css)
    on conflict on constraint scenario_name_key do nothing
    returning s.id into its_id;
    if its_id is null then
        raise exception 'scenario "%" exists', name
            using errcode = 'unique_violation',
                  detail = coalesce((select format('It is %s, of model "%s", and belongs to %s.', s.state, s.model, s.owner)
                      from marketing_automation.scenario s where s.name = create_scenario.name), 'It is of another team.'),
                  hint = format('With replace => true it becomes what this says. To change it: '
                      'update marketing_automation.scenario set domain = %L where name = %L;', domain, name);
    end if;
    return its_id;
end $$;
comment on function marketing_automation.create_scenario(text, text, text, boolean, varchar, text, boolean, boolean, boolean, text, text,
    interval, text, text, text, numeric, text, text, interval, text, integer, boolean, text, text, boolean) is
    'API: public. Creates a draft scenario owned by the current user and returns its id. domain, goal, exit_condition: SQL boolean expressions '
    'over self; goal_at, goal_value: when the goal was reached, and what that is worth, within goal_window of entering; language: the one that its '
    'activities are written in; track_opens, track_clicks: whether they are recorded; title: what recipients know its mails as, on the page '
    'where they unsubscribe; send_window: when its mails may leave; holdout: per cent of the people who enter and get no mail, to compare with; '
    'topic: what its mails are about, which people choose; message_class: what kind they are; reenter_after: how long after its journey has ended a '
    'row enters again; occasion: SQL expression over self for what it enters, once for each; priority: from -1000, last, to 1000: which of the '
    'scenarios goes first; replace: one of that name becomes what these '
    'arguments say, defaults included, and keeps its state, owner and activities; what its records forbid to change is an error; '
    'utm: template of the parameters that links to utm_hosts, and to hosts below them, get: utm_source=shop&utm_campaign={{ scenario.name }}; '
    'inline_css: whether what <style> says is written into the elements of its mails';

-- As that of register_model().
create function marketing_automation.create_scenario(text, text, text, boolean, text, text, boolean, boolean, boolean) returns integer
language sql set search_path = pg_catalog, pg_temp as $$
    select marketing_automation.create_scenario($1, $2, $3, $4, $5, $6, $7, $8, $9, null)
$$;
comment on function marketing_automation.create_scenario(text, text, text, boolean, text, text, boolean, boolean, boolean) is
    'API: public. The signature of 0.1.0, for the grants in its dumps; call the one with more';

create function marketing_automation_internal.scenario_named(name text) returns marketing_automation.scenario
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    result marketing_automation.scenario;
begin
    select s.* into result from marketing_automation.scenario s where s.name = scenario_named.name;
    if not found then
        raise exception 'scenario "%" does not exist', name
            using errcode = 'undefined_object', hint = 'See: select name from marketing_automation.scenario;';
    end if;
    return result;
end $$;
comment on function marketing_automation_internal.scenario_named(text) is 'API: private. The scenario of that name, or an error';

create function marketing_automation_internal.scenario_id(caller regrole, name text)
    returns integer
language sql stable set search_path = pg_catalog, pg_temp as $$
    select (marketing_automation_internal.scenario_for(caller, scenario_id.name, 'count')).id
$$;
comment on function marketing_automation_internal.scenario_id(regrole, text) is 'API: private. Behind scenario_id()';

create function marketing_automation.scenario_id(name text)
    returns integer
language c stable as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.scenario_id(text) is 'API: public. The id of the scenario of that name, or an error';

create function marketing_automation_internal.usable_model(scenario marketing_automation.scenario) returns marketing_automation.model
language plpgsql stable set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan as $$
declare
    result marketing_automation.model;
begin
    select m.* into result from marketing_automation.model m where m.name = scenario.model;
    if not found then
        raise exception 'model "%" of scenario "%" does not exist', scenario.model, scenario.name
            using errcode = 'undefined_object',
                  detail = (select 'Models are ' || string_agg(quote_ident(m.name), ', ' order by m.name) || '.'
                      from marketing_automation.model m),
                  hint = 'Register a table or view with marketing_automation.register_model().';
    end if;
    if not exists (select from pg_class c where c.oid = result.relation) then
        raise exception 'relation of model "%" does not exist any more', result.name
            using errcode = 'undefined_table', hint = 'Register the model again with register_model(), on another relation.';
    end if;
    -- Its expressions run with the rights of the scenario's owner, so whoever writes them must have those rights already.
    if not exists (select from pg_roles r where r.oid = scenario.owner_id) then
        raise exception 'role "%", the owner of scenario "%", does not exist', scenario.owner, scenario.name
            using errcode = 'undefined_object', detail = 'A role that was made since is another one, whatever its name.',
                  hint = format('update marketing_automation.scenario set owner = ''role'' where name = %L;', scenario.name);
    end if;
    if not exists (select from pg_roles r where r.oid = result.owner_id) then
        raise exception 'role "%", the owner of model "%", does not exist', result.owner, result.name
            using errcode = 'undefined_object', detail = 'A role that was made since is another one, whatever its name.',
                  hint = format('update marketing_automation.model set owner = ''role'' where name = %L;', result.name);
    end if;
    if not pg_has_role(result.owner_id, scenario.owner_id, 'MEMBER') then
        raise exception 'model "%" belongs to %, who is no member of %, the owner of scenario "%"', result.name, result.owner,
            scenario.owner, scenario.name
            using errcode = 'insufficient_privilege',
                  hint = 'Let the owner of the scenario, or a superuser, register a model of its own.';
    end if;
    return result;
end $$;
comment on function marketing_automation_internal.usable_model(marketing_automation.scenario) is
    'API: private. The model of a scenario, or an error if it does not exist, its relation was dropped, or its owner may not write '
    'expressions that run as the scenario''s owner';

create function marketing_automation_internal.check_goal_parts(scenario marketing_automation.scenario, model marketing_automation.model)
    returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    its_type regtype;
begin
    if scenario.goal_at is not null then
        its_type := marketing_automation_internal.check_expression(scenario.owner_id, model.relation, scenario.goal_at,
            format('goal_at of scenario "%s"', scenario.name));
        if its_type not in ('timestamptz'::regtype, 'timestamp'::regtype, 'date'::regtype) then
            raise exception 'goal_at of scenario "%" is %, not a time', scenario.name, its_type
                using errcode = 'datatype_mismatch', hint = 'Write an expression of type timestamptz.';
        end if;
    end if;
    if scenario.goal_value is not null then
        its_type := marketing_automation_internal.check_expression(scenario.owner_id, model.relation, scenario.goal_value,
            format('goal_value of scenario "%s"', scenario.name));
        if (select t.typcategory from pg_type t where t.oid = its_type) <> 'N' or its_type in ('oid'::regtype, 'regclass'::regtype) then
            raise exception 'goal_value of scenario "%" is %, not a number', scenario.name, its_type
                using errcode = 'datatype_mismatch', hint = 'Write an expression of type numeric.';
        end if;
    end if;
end $$;
comment on function marketing_automation_internal.check_goal_parts(marketing_automation.scenario, marketing_automation.model) is
    'API: private. Raises unless goal_at and goal_value of a scenario plan, and are a time and a number';

create function marketing_automation_internal.check_occasion(scenario marketing_automation.scenario, model marketing_automation.model)
    returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    its_type regtype;
begin
    if scenario.occasion is null then
        return;
    end if;
    its_type := marketing_automation_internal.check_expression(scenario.owner_id, model.relation, scenario.occasion,
        format('occasion of scenario "%s"', scenario.name));
    if its_type = 'timestamptz'::regtype then
        raise exception 'occasion of scenario "%" is timestamp with time zone, whose text depends on the time zone of the database', scenario.name
            using errcode = 'datatype_mismatch', detail = 'Another time zone would make other occasions of all, and rows would enter again.',
                  hint = format('Write timezone(''UTC'', %s), or the date or year that is meant.', scenario.occasion);
    end if;
end $$;
comment on function marketing_automation_internal.check_occasion(marketing_automation.scenario, marketing_automation.model) is
    'API: private. Raises unless the occasion of a scenario plans, and is the same text whatever the settings of the database';

create function marketing_automation_internal.check_definition(scenario marketing_automation.scenario, only_of integer default null)
    returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    model marketing_automation.model := marketing_automation_internal.usable_model(scenario);
begin
    perform marketing_automation_internal.check_expression(scenario.owner_id, model.relation, p.expression, p.what)
    from marketing_automation_internal.model_parts(model) p where not p.is_condition;
    perform marketing_automation_internal.check_condition(scenario.owner_id, model.relation, p.expression, p.what)
    from marketing_automation_internal.model_parts(model) p where p.is_condition;
    if only_of is null then
        perform marketing_automation_internal.check_condition(scenario.owner_id, model.relation, scenario.domain,
            format('domain of scenario "%s"', scenario.name));
    end if;
    if scenario.goal is not null then
        perform marketing_automation_internal.check_condition(scenario.owner_id, model.relation, scenario.goal,
            format('goal of scenario "%s"', scenario.name));
    end if;
    perform marketing_automation_internal.check_goal_parts(scenario, model);
    perform marketing_automation_internal.check_occasion(scenario, model);
    if scenario.exit_condition is not null then
        perform marketing_automation_internal.check_condition(scenario.owner_id, model.relation, scenario.exit_condition,
            format('exit condition of scenario "%s"', scenario.name));
    end if;
    perform marketing_automation_internal.check_later_condition(scenario, model, a, a.condition, 'condition')
    from (select a.* from marketing_automation.activity a
          where a.scenario_id = scenario.id and a.condition is not null
              -- What is asked of its children when it branches, it needs too.
              and (only_of is null or a.id = only_of or a.on_event is null and a.parent_id = (
                  select p.id from marketing_automation.activity p where p.id = only_of and p.branch_by is not null))
          order by a.parent_id nulls first, a.id) a;
    perform marketing_automation_internal.check_date(scenario, model, a)
    from (select a.* from marketing_automation.activity a
          where a.scenario_id = scenario.id and a.at is not null
              and a.id = coalesce(only_of, a.id) order by a.parent_id nulls first, a.id) a;
    perform marketing_automation_internal.check_later_condition(scenario, model, a, a.wait_until, 'wait_until')
    from (select a.* from marketing_automation.activity a
          where a.scenario_id = scenario.id and a.wait_until is not null and a.id = coalesce(only_of, a.id) order by a.id) a;
    perform marketing_automation_internal.check_call(scenario, model, a)
    from (select a.* from marketing_automation.activity a
          where a.scenario_id = scenario.id and a.call is not null and a.id = coalesce(only_of, a.id) order by a.id) a;
    perform marketing_automation_internal.check_addresses(scenario, model, a, null)
    from (select a.* from marketing_automation.activity a
          where a.scenario_id = scenario.id and a.id = coalesce(only_of, a.id) order by a.id) a;
    perform marketing_automation_internal.check_mail_columns(scenario, a.id)
    from (select a.* from marketing_automation.activity a
          where a.scenario_id = scenario.id and a.action in ('send_email', 'webhook')
              and a.id = coalesce(only_of, a.id) order by a.parent_id nulls first, a.id) a;
    perform marketing_automation_internal.check_webhook(format('activity "%s"', a.name), a.url, a.body, scenario.language,
        marketing_automation_internal.template_columns(model.relation, scenario.id))
    from (select a.* from marketing_automation.activity a
          where a.scenario_id = scenario.id and a.action = 'webhook' and a.id = coalesce(only_of, a.id) order by a.id) a;
end $$;
comment on function marketing_automation_internal.check_definition(marketing_automation.scenario, integer) is
    'API: private. Raises what is wrong with any expression of a scenario, or with those that one activity needs, with its name as '
    'context';

create function marketing_automation_internal.definition_error(scenario marketing_automation.scenario, only_of integer default null)
    returns text
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    message text;
    what text;
begin
    perform marketing_automation_internal.check_definition(scenario, only_of);
    return null;
exception when others then
    if marketing_automation_internal.is_for_the_caller(sqlstate) then
        raise;
    end if;
    get stacked diagnostics message = message_text, what = pg_exception_context;
    what := split_part(what, E'\n', 1);
    return case when what ~ '^(\w+ )+of (model|scenario|activity) "' then what || ': ' || message else message end;
end $$;
comment on function marketing_automation_internal.definition_error(marketing_automation.scenario, integer) is
    'API: private. What is wrong with the first broken expression of a scenario, or of those that one activity needs, by name; null: '
    'all of them plan';

create function marketing_automation_internal.named_error(scenario marketing_automation.scenario, code text, message text,
    only_of integer default null) returns text
language sql set search_path = pg_catalog, pg_temp as $$
    select coalesce(case when marketing_automation_internal.is_broken_definition(code)
        then marketing_automation_internal.definition_error(scenario, only_of) end, message)
$$;
comment on function marketing_automation_internal.named_error(marketing_automation.scenario, text, text, integer) is
    'API: private. The error that an expression of a scenario has met, or, where it does not fit its relation any more, what is wrong with '
    'which: see definition_error()';

create function marketing_automation.add_activity(
    scenario text, name text, parent text default null, on_event text default null, condition text default null,
    delay interval default null, action varchar default 'send_email', sender text default null, subject text default null,
        body text default null,
    expires_after interval default null, at_time time default null, send_window text default null, message_class text default null,
    branch_by text default null, share numeric default null, at text default null,
    metric text default null, decide_after interval default null, wait_until text default null, replace boolean default false,
    call text default null, reply_to text default null, preheader text default null, text text default null,
    headers jsonb default null, url text default null, attachments text default null, recipient text default null, cc text default null,
    bcc text default null
) returns integer
language plpgsql set search_path = pg_catalog, pg_temp set intervalstyle = 'postgres' as $$
declare
    its_scenario integer := marketing_automation.scenario_id(scenario);
    its_parent integer;
    its_id integer;
begin
    if parent is not null then
        select a.id into its_parent from marketing_automation.activity a where a.scenario_id = its_scenario and a.name = parent;
        if not found then
            raise exception 'activity "%" does not exist in scenario "%"', parent, scenario
                using errcode = 'undefined_object', hint = 'Add the parent first.';
        end if;
    end if;
    if on_event = 'variant' then
        -- The default is meant for what runs.
        action := null;
    end if;
    if replace and exists (select from marketing_automation.activity a where a.scenario_id = its_scenario and a.name = add_activity.name) then
        perform from marketing_automation.import_scenario(jsonb_build_object('format', 1, 'scenario', (
                select jsonb_build_object('name', s.name, 'model', s.model) from marketing_automation.scenario s where s.id = its_scenario),
            'activities', jsonb_build_array(jsonb_build_object('name', name, 'parent', parent, 'on_event', on_event, 'condition', condition,
                'delay', delay, 'action', action, 'sender', sender, 'subject', subject, 'body', body, 'expires_after', expires_after,
                'at_time', at_time, 'send_window', send_window, 'message_class', message_class,
                'branch_by', branch_by, 'share', share, 'at', at,
                'metric', metric, 'decide_after', decide_after, 'wait_until', wait_until, 'call', call,
                'reply_to', reply_to, 'preheader', preheader, 'text', text, 'headers', headers, 'url', url, 'attachments', attachments,
                'recipient', recipient, 'cc', cc, 'bcc', bcc))));
        return (select a.id from marketing_automation.activity a where a.scenario_id = its_scenario and a.name = add_activity.name);
    end if;
    insert into marketing_automation.activity (scenario_id, name, parent_id, on_event, condition, delay, action, sender, subject, body,
        expires_after, at_time, send_window, message_class, branch_by, share, at, metric, decide_after,
        wait_until, call, reply_to, preheader, text, headers, url, attachments, recipient, cc, bcc)
    values (its_scenario, add_activity.name, its_parent, add_activity.on_event, add_activity.condition, add_activity.delay,
            add_activity.action, add_activity.sender, add_activity.subject, add_activity.body,
            add_activity.expires_after, add_activity.at_time, add_activity.send_window, add_activity.message_class,
            add_activity.branch_by, add_activity.share, add_activity.at,
            add_activity.metric, add_activity.decide_after, add_activity.wait_until, add_activity.call,
            add_activity.reply_to, add_activity.preheader, add_activity.text, add_activity.headers, add_activity.url,
            add_activity.attachments, add_activity.recipient, add_activity.cc, add_activity.bcc)
    on conflict on constraint activity_scenario_id_name_key do nothing
    returning id into its_id;
    if its_id is null then
        raise exception 'activity "%" exists in scenario "%"', name, scenario
            using errcode = 'unique_violation',
                  hint = format('With replace => true it becomes what this says. To change it: '
                      'update marketing_automation.activity set %s where name = %L '
                      'and scenario_id = marketing_automation.scenario_id(%L);',
                      case when subject is null then format('condition = %L', condition) else format('subject = %L', subject) end,
                      name, scenario);
    end if;
    return its_id;
end $$;
comment on function marketing_automation.add_activity(text, text, text, text, text, interval, varchar, text, text, text, interval, time,
    text, text, text, numeric, text, text, interval, text,
    boolean, text, text, text, text, jsonb, text, text, text, text, text) is
    'API: public. Adds an activity to a scenario''s tree and returns its id. parent: name of the activity that it follows; at_time: the time '
    'of day at which it runs; send_window, message_class: when its mails may leave, and their class, null: as those of the scenario; '
    'branch_by: of its children each record takes one, by condition or by share; share: its per cent, after one that branches by share; '
    'at: SQL expression over self, timestamptz, the date from which delay counts; metric: it is an experiment, decided by opens, clicks or '
    'conversions, decide_after the first record has come to it; on_event => ''variant'': another text for the mail of its parent, for its share; '
    'wait_until: it runs when that is true, and waits for it for its delay at most; replace: one of '
    'that name becomes what these arguments say, defaults included, and keeps its translations; what its records forbid to change is an '
    'error; call: SQL expression over self that it runs with the right to write, with action => call; reply_to: template '
    'of the mailboxes that replies to its mail go to, commas between several, null: to the sender; preheader: template of what mail programs '
    'show beside the subject; text: that of the plain-text alternative, null: it is made from the body; '
    'headers: names and templates of headers to add; url: with action => webhook, '
    'template of the address that gets a POST, whose body is JSON: what body makes, or the row; see webhook_target; attachments: SQL query over '
    'self that gives the files of a mail: name, type, content (bytea), and cid of what its HTML shows; recipient: SQL expression over self, the mailbox '
    'that gets its mail instead of the row''s address; cc, bcc: SQL expressions over self, mailboxes that get copies, commas between several: of classes of '
    'which nobody unsubscribes, and whose opens and clicks are not tracked then';

-- As that of register_model().
create function marketing_automation.add_activity(text, text, text, text, text, interval, text, text, text, text, interval) returns integer
language sql set search_path = pg_catalog, pg_temp as $$
    select marketing_automation.add_activity($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, null)
$$;
comment on function marketing_automation.add_activity(text, text, text, text, text, interval, text, text, text, text, interval) is
    'API: public. The signature of 0.1.0, for the grants in its dumps; call the one with a time of day';

create function marketing_automation.run(scenario text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    its_id integer := marketing_automation.scenario_id(scenario);
begin
    update marketing_automation.scenario s set state = 'running' where s.id = its_id;
    -- Who sees only its numbers does not see its row.
    if not found then
        raise exception 'must be a member of the owner of scenario "%"', scenario using errcode = 'insufficient_privilege';
    end if;
end $$;
comment on function marketing_automation.run(text) is 'API: public. Starts a draft scenario: from now on it enrolls, processes and mails';

create function marketing_automation.stop(scenario text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    its_id integer := marketing_automation.scenario_id(scenario);
begin
    update marketing_automation.scenario s set state = 'stopped' where s.id = its_id;
    -- Who sees only its numbers does not see its row.
    if not found then
        raise exception 'must be a member of the owner of scenario "%"', scenario using errcode = 'insufficient_privilege';
    end if;
end $$;
comment on function marketing_automation.stop(text) is
    'API: public. Stops a running scenario: nobody enters, its waiting activities and queued mails are kept and do not run';

create function marketing_automation.draft(scenario text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    its_id integer := marketing_automation.scenario_id(scenario);
begin
    update marketing_automation.scenario s set state = 'draft' where s.id = its_id;
    -- Who sees only its numbers does not see its row.
    if not found then
        raise exception 'must be a member of the owner of scenario "%"', scenario using errcode = 'insufficient_privilege';
    end if;
end $$;
comment on function marketing_automation.draft(text) is 'API: public. Takes a stopped scenario back to draft';
