-- Trying a mail out before it goes to customers: for members of the scenario's owner, who may read its rows anyway.

create function marketing_automation_internal.demand_member(caller regrole, scenario marketing_automation.scenario, purpose text)
    returns void
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    if not pg_has_role(caller, scenario.owner_id, 'MEMBER') then
        raise exception 'must be a member of role % to % scenario "%"', scenario.owner, purpose, scenario.name
            using errcode = 'insufficient_privilege', hint = 'Its rows are read with the rights of that role.';
    end if;
end $$;
comment on function marketing_automation_internal.demand_member(regrole, marketing_automation.scenario, text) is
    'API: private. Raises unless a role is a member of a scenario''s owner, and so may read its rows anyway';

create function marketing_automation_internal.mailed_activity(caller regrole, scenario text, activity text)
    returns marketing_automation.activity
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    its_scenario marketing_automation.scenario := marketing_automation_internal.scenario_named(scenario);
    result marketing_automation.activity;
begin
    select a.* into strict result from marketing_automation.activity a
        where a.id = marketing_automation_internal.activity_named(its_scenario, activity);
    if result.action is distinct from 'send_email' and result.action is distinct from 'webhook' and result.on_event is distinct from 'variant' then
        raise exception 'activity "%" sends no e-mail', activity
            using errcode = 'object_not_in_prerequisite_state',
                hint = format('Name one that does. See: select * from marketing_automation.tree(%L);', scenario);
    end if;
    perform marketing_automation_internal.demand_member(caller, its_scenario, 'see mails of');
    return result;
end $$;
comment on function marketing_automation_internal.mailed_activity(regrole, text, text) is
    'API: private. The activity of that name that sends an e-mail, for members of its scenario''s owner; else an error';

create function marketing_automation_internal.mail_row(activity marketing_automation.activity, key text)
returns table (row_key text, context jsonb, party text, email text, recipient_name text, language text, time_zone text,
    track_opens boolean, track_clicks boolean, addresses jsonb)
language plpgsql stable rows 1 set search_path = pg_catalog, pg_temp as $$
declare
    scenario marketing_automation.scenario;
    model marketing_automation.model;
    takes_results boolean := marketing_automation_internal.mail_uses_results(activity.id);
    sending marketing_automation.activity;
    given text[];
begin
    select a.* into strict sending from marketing_automation.activity a where a.id = marketing_automation_internal.sending_activity(activity);
    select s.* into strict scenario from marketing_automation.scenario s where s.id = activity.scenario_id;
    model := marketing_automation_internal.usable_model(scenario);
    for row_key, context, party, email, recipient_name, language, time_zone, track_opens, track_clicks, given in
        select q.row_key, q.context, q.party, q.email, q.recipient_name, q.language,
               case when q.time_zone is not null then marketing_automation_internal.usable_time_zone(q.time_zone) end,
               q.track_opens and scenario.track_opens, q.track_clicks and scenario.track_clicks, q.addresses
        from marketing_automation_internal.query_as_owner(scenario.owner_id, model.relation,
            marketing_automation_internal.key_query(model.relation, model.key, model.key_type, concat_ws(', ',
                marketing_automation_internal.as_key(model.key, model.key_type),
                marketing_automation_internal.as_record(model.relation, marketing_automation_internal.mail_columns(activity.id)),
                marketing_automation_internal.as_text(model.party),
                marketing_automation_internal.as_text(model.email), marketing_automation_internal.as_text(model.recipient_name),
                marketing_automation_internal.as_text(model.language), marketing_automation_internal.as_text(model.time_zone),
                marketing_automation_internal.as_condition(model.track_opens),
                    marketing_automation_internal.as_condition(model.track_clicks), marketing_automation_internal.addresses_expression(sending))),
            array[key]) as q (row_key text, context jsonb, party text, email text, recipient_name text, language text, time_zone text,
                              track_opens boolean, track_clicks boolean, addresses text[])
    loop
        if jsonb_typeof(context) = 'string' then
            raise exception '%', context #>> '{}' using errcode = 'program_limit_exceeded',
                hint = 'Use a shorter column in the templates, or one of a view that shows a part of it.';
        end if;
        if given is not null then
            addresses := marketing_automation_internal.mail_addresses(sending.recipient is not null, given[1], given[2], given[3], trim(email),
                recipient_name);
            if jsonb_typeof(addresses) = 'string' then
                raise exception 'mail of activity "%" cannot be sent', activity.name using errcode = 'invalid_parameter_value',
                    detail = addresses #>> '{}',
                    hint = format('update marketing_automation.activity set %s = … where name = %L;',
                        case when addresses #>> '{}' like 'recipient%' then 'recipient' when addresses #>> '{}' like 'bcc%' then 'bcc' else 'cc' end,
                        sending.name);
            end if;
        end if;
        if takes_results then
            context := context || jsonb_build_object('', marketing_automation_internal.results_of_key(scenario.id, row_key));
        end if;
        return next;
    end loop;
    if not found then
        raise exception 'model "%" has no row with the key "%"', model.name, key
            using errcode = 'no_data_found', hint = format('The key is %s of %s.', model.key, model.relation);
    end if;
end $$;
comment on function marketing_automation_internal.mail_row(marketing_automation.activity, text) is
    'API: private. What an activity''s templates need of one row, read as its scenario''s owner; an error if there is none';

create function marketing_automation_internal.try_mails(scenario marketing_automation.scenario) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    model marketing_automation.model := marketing_automation_internal.usable_model(scenario);
    activity marketing_automation.activity;
    its_key text;
    its_row record;
    message text;
    detail text;
begin
    begin
        select q.key into its_key from marketing_automation_internal.query_as_owner(scenario.owner_id, model.relation,
            format('select %s from %s as self where trim(%s) <> %L limit 1', marketing_automation_internal.as_text(model.key),
                model.relation, marketing_automation_internal.as_text(model.email), ''), null) as q (key text);
    exception when others then
        if marketing_automation_internal.is_for_the_caller(sqlstate) then
            raise;
        end if;
        -- The fault of a row, which its activity will tell.
        return;
    end;
    for activity in
        select a.* from marketing_automation.activity a
        where a.scenario_id = scenario.id and (a.action in ('send_email', 'webhook') or a.on_event = 'variant') and its_key is not null order by a.id
    loop
        begin
            select r.* into its_row from marketing_automation_internal.mail_row(activity, its_key) r;
        exception when others then
            if marketing_automation_internal.is_for_the_caller(sqlstate) then
                raise;
            end if;
            return;
        end;
        continue when marketing_automation_internal.lacks_results(activity, its_key);
        begin
            perform from marketing_automation_internal.preview_mail(activity.id, its_row.context, its_row.party,
                nullif(trim(its_row.email), ''), its_row.recipient_name, its_row.language, its_row.time_zone, its_row.track_opens,
                its_row.addresses) p
                cross join lateral (select marketing_automation_internal.demand_attachable(activity, its_key, p.html) offset 0) c;
        exception when others then
            if marketing_automation_internal.is_for_the_caller(sqlstate) then
                raise;
            end if;
            get stacked diagnostics message = message_text, detail = pg_exception_detail;
            if not marketing_automation_internal.is_passing_error(sqlstate) then
                message := coalesce(nullif(detail, ''), message);
            end if;
            -- It is logged, too, and the log has no addresses: not in what was rendered, nor as a key.
            raise warning 'mails of activity "%" may fail: %', activity.name, regexp_replace(message, '"[^"]*@[^"]*"', '"…"', 'g')
                using detail = case when its_key !~ '@' then format('That of the row with the key "%s" would.', its_key)
                          else 'That of the first row with an address would.' end,
                      hint = case when its_key !~ '@'
                          then format('select * from marketing_automation.preview(%L, %L, %L);', scenario.name, activity.name, its_key)
                          else format('select * from marketing_automation.check_scenario(%L);', scenario.name) end;
        end;
    end loop;
end $$;
comment on function marketing_automation_internal.try_mails(marketing_automation.scenario) is
    'API: private. Renders the mails of a scenario for one row that has an address, and warns of what fails';

create function marketing_automation_internal.mail_bodies(scenario_id integer)
    returns table (id integer, language text, mail text, body text)
language sql rows 5 set search_path = pg_catalog, pg_temp as $$
    with recursive part as (
        select a.id, '' as language, a.name as mail, a.body
        from marketing_automation.activity a
        where a.scenario_id = mail_bodies.scenario_id and (a.action = 'send_email' or a.on_event = 'variant' and a.body is not null)
        union
        select a.id, t.language, format('%s (%s)', a.name, t.language), t.body
        from marketing_automation.activity_translation t
        join marketing_automation.activity a on a.id = t.activity_id and a.scenario_id = mail_bodies.scenario_id
            and (a.action = 'send_email' or a.on_event = 'variant')
        where t.body is not null
        union
        select p.id, p.language, p.mail, s.body
        from part p cross join unnest(marketing_automation_internal.used_snippets(null, null, p.body)) as u (name)
        join marketing_automation.snippet s on s.name = u.name
    )
    select p.id, p.language, p.mail, p.body from part p
$$;
comment on function marketing_automation_internal.mail_bodies(integer) is
    'API: private. The bodies of the mails of a scenario, by activity and language (empty: its own), and, as rows of the same mail, those of '
    'the snippets that they use';

create function marketing_automation_internal.mail_plain_texts(scenario_id integer)
    returns table (id integer, language text, mail text, has_way_out boolean)
language sql rows 5 set search_path = pg_catalog, pg_temp as $$
    select p.id, p.language, p.mail, exists (
        select from (select p.text union all select s.body
            from unnest(marketing_automation_internal.snippets_of_templates(array[p.text])) u (name)
            join marketing_automation.snippet s on s.name = u.name) w (text)
        where w.text ~ '\munsubscribe_url\M')
    from (
        select a.id, '' as language, a.name as mail, a.text from marketing_automation.activity a
        where a.scenario_id = mail_plain_texts.scenario_id and a.text is not null
        union all
        select a.id, t.language, format('%s (%s)', a.name, t.language), t.text
        from marketing_automation.activity_translation t
        join marketing_automation.activity a on a.id = t.activity_id and a.scenario_id = mail_plain_texts.scenario_id
        where t.text is not null) p
    join marketing_automation.activity v on v.id = p.id and (v.action = 'send_email' or v.on_event = 'variant')
    join marketing_automation.activity a on a.id = marketing_automation_internal.sending_activity(v)
    cross join lateral marketing_automation_internal.its_class(a) k
    where k.honors_unsubscribe
$$;
comment on function marketing_automation_internal.mail_plain_texts(integer) is
    'API: private. The texts of their own of the mails of a scenario, of classes that one unsubscribes from, by activity and language, and '
    'whether they, or snippets in them, have a link to unsubscribe';

create function marketing_automation_internal.mails_without_way_out(scenario_id integer) returns text[]
language sql set search_path = pg_catalog, pg_temp as $$
    select array_agg(m.mail order by m.id, m.language) from (
        select p.id, p.language, p.mail from marketing_automation_internal.mail_bodies(mails_without_way_out.scenario_id) p
        join marketing_automation.activity v on v.id = p.id
        join marketing_automation.activity a on a.id = marketing_automation_internal.sending_activity(v)
        cross join lateral marketing_automation_internal.its_class(a) k
        where k.honors_unsubscribe
        group by p.id, p.language, p.mail
        having not bool_or(p.body ~* 'href\s*=\s*["'']?\s*unsubscribe\s*[|"''> ]' or p.body ~ '\munsubscribe_url\M')
        union all
        select t.id, t.language, t.mail || ', its text'
        from marketing_automation_internal.mail_plain_texts(mails_without_way_out.scenario_id) t
        where not t.has_way_out) m
$$;
comment on function marketing_automation_internal.mails_without_way_out(integer) is
    'API: private. Activities of a scenario, and translations, whose mails, or texts of their own, have no link to unsubscribe, nor a '
    'snippet that has, of classes that one unsubscribes from; null: none';

create function marketing_automation_internal.warn_of_no_way_out(scenario marketing_automation.scenario) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    mails text[];
begin
    -- Who has no proxy yet cannot link to it; and what nobody can leave needs no way out.
    if not scenario.unsubscribable and coalesce(marketing_automation_internal.setting('automation_base'), '') = '' then
        return;
    end if;
    mails := marketing_automation_internal.mails_without_way_out(scenario.id);
    if mails is not null then
        raise warning 'mails of scenario "%" have no link to unsubscribe: %', scenario.name, array_to_string(mails, ', ')
            using hint = format('Write <a href="unsubscribe">…</a> into the body%s. Of itself a mail offers it only in its headers.',
                case when array_to_string(mails, ',') like '%, its text%' then ', {{ unsubscribe_url }} into the text' end);
    end if;
end $$;
comment on function marketing_automation_internal.warn_of_no_way_out(marketing_automation.scenario) is
    'API: private. Warns of mails without a link to unsubscribe, of a scenario that can be left';

create function marketing_automation_internal.send_test(caller regrole, scenario text, activity text, key text, to_address text,
    language text) returns bigint
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    its_activity marketing_automation.activity := marketing_automation_internal.mailed_activity(caller, scenario, activity);
    its_id bigint;
begin
    perform marketing_automation_internal.demand_address(to_address);
    if its_activity.action = 'webhook' then
        raise exception 'activity "%" is a webhook, of which no test goes to an address', activity
            using errcode = 'object_not_in_prerequisite_state',
                hint = format('select * from marketing_automation.preview(%L, %L, %L);', scenario, activity, key);
    end if;
    perform marketing_automation_internal.demand_key(s, key) from marketing_automation.scenario s where s.id = its_activity.scenario_id;
    insert into marketing_automation_internal.outbox
        (id, record_id, activity_id, key, party, email, recipient_name, language, time_zone, context, track_opens, track_clicks,
            created_at, due_at)
    select nextval('marketing_automation_internal.message_id_seq'), null, its_activity.id, r.row_key, r.party, trim(to_address),
        r.recipient_name,
           coalesce(send_test.language, r.language), r.time_zone, r.context, r.track_opens, r.track_clicks, clock_timestamp(),
               clock_timestamp()
    from marketing_automation_internal.mail_row(its_activity, key) r
    returning id into its_id;
    perform marketing_automation_internal.attach_files(its_activity.id, array[its_id]);
    perform marketing_automation_internal.notify_mailer();
    return its_id;
end $$;
comment on function marketing_automation_internal.send_test(regrole, text, text, text, text, text) is 'API: private. Behind send_test()';

create function marketing_automation.send_test(scenario text, activity text, key text, to_address text, language text default null)
    returns bigint
language c volatile as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.send_test(text, text, text, text, text) is
    'API: public. Sends the mail that an activity, or a variant, would send for the row with this key to to_address instead, its subject marked '
    '[Test]; returns the id of the message. The scenario need not run, the row need not have entered. It counts nowhere: its links '
    'work, and what is done with them is not recorded. language: instead of the row''s. For members of the scenario''s owner';

create function marketing_automation_internal.preview(caller regrole, scenario text, activity text, key text, language text)
returns table (sender text, subject text, html text, text text, headers text)
language plpgsql rows 10 set search_path = pg_catalog, pg_temp as $$
declare
    its_activity marketing_automation.activity := marketing_automation_internal.mailed_activity(caller, scenario, activity);
begin
    perform marketing_automation_internal.demand_key(s, key) from marketing_automation.scenario s where s.id = its_activity.scenario_id;
    return query
        select p.*
        from marketing_automation_internal.mail_row(its_activity, key) r
        cross join lateral marketing_automation_internal.preview_mail(
            its_activity.id, r.context, r.party, nullif(trim(r.email), ''), r.recipient_name, coalesce(preview.language, r.language),
                r.time_zone, r.track_opens, r.addresses) p
        cross join lateral (select marketing_automation_internal.demand_attachable(its_activity, r.row_key, p.html) offset 0) c;
end $$;
comment on function marketing_automation_internal.preview(regrole, text, text, text, text) is 'API: private. Behind preview()';

create function marketing_automation.preview(scenario text, activity text, key text, language text default null)
returns table (sender text, subject text, html text, text text, headers text)
language c volatile rows 10 as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.preview(text, text, text, text) is
    'API: public. The mail that an activity would send now for the row with this key, entered or not: sender, subject, HTML, plain '
    'text and the header lines of the message; activity may be the name of a variant. Nothing is stored: links are '
    'shown as they were written. Of a webhook, subject is POST and its URL, text its body. language: instead of the '
    'row''s. For members of the scenario''s owner';

create function marketing_automation_internal.preview_attachments(caller regrole, scenario text, activity text, key text)
returns table (name text, type text, size bigint, cid text)
language plpgsql rows 5 set search_path = pg_catalog, pg_temp as $$
declare
    its_activity marketing_automation.activity := marketing_automation_internal.mailed_activity(caller, scenario, activity);
begin
    perform marketing_automation_internal.demand_key(s, key) from marketing_automation.scenario s where s.id = its_activity.scenario_id;
    return query
        select f.name, f.type, f.size, f.cid
        from marketing_automation_internal.mail_row(its_activity, key) r
        cross join lateral marketing_automation_internal.files_of_row(its_activity, r.row_key) f;
end $$;
comment on function marketing_automation_internal.preview_attachments(regrole, text, text, text) is 'API: private. Behind preview_attachments()';

create function marketing_automation.preview_attachments(scenario text, activity text, key text)
returns table (name text, type text, size bigint, cid text)
language c volatile rows 5 as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.preview_attachments(text, text, text) is
    'API: public. The files that the mail of an activity, or a variant, would take along now for the row with this key, as its query gives them: '
    'size in bytes, null without content. Also of one that is refused for them, as preview() says; 21 at most. For members of the scenario''s owner';
