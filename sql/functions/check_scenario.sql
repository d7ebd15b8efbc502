-- What is wrong with a campaign, or may be, before it sends: its definition is planned, and its mails are rendered for some rows.

create function marketing_automation_internal.mail_faults(subject text, html text, plain text)
    returns table (severity text, message text, hint text)
language sql immutable rows 5 set search_path = pg_catalog, pg_temp as $$
    with link as (
        select l.part[1] as url, regexp_replace(l.part[2], '<[^>]*>', '', 'g') as label
        from regexp_matches(html, '<a\s[^<>]*?href\s*=\s*["'']([^"''<>]*)["''][^<>]*>(.*?)</a\s*>', 'gis') as l (part)
    ), fault as (
        select 'error' as severity, 'its subject is empty' as message, 'Write one that says something for every row.' as hint
        where trim(subject) = ''
        union all
        select 'warning', 'its text part is empty', 'Who reads without HTML sees nothing: write some text, pictures alone are none.'
        where trim(plain) = ''
        union all
        select 'warning', format('its HTML has %s kB, more than 102', octet_length(html) / 1000),
            'Gmail shows the beginning only, often without the link to unsubscribe: shorten it.'
        where octet_length(html) > 102400
        union all
        select 'warning', format('%s picture%s without alt', count(*), case when count(*) = 1 then '' else 's' end),
            'Write alt="…", or alt="" for a decoration: most people see the text first, some nothing else.'
        from regexp_matches(html, '<img(?=[\s/>])(?![^<>]*\salt\s*=)[^<>]*>', 'gi') i having count(*) > 0
        union all
        select distinct 'warning', format('link to %s', coalesce(nullif(quote_literal(trim(l.url)), ''''''), 'nothing')),
            'It leads nowhere: write the whole address, https://….'
        from link l where trim(l.url) in ('', '#') or l.url !~* '^\s*((https?|mailto|tel|sms|geo|webcal|cid):|unsubscribe\s*$|#)'
        union all
        select distinct 'warning', format('link to %s', quote_literal(substring(l.url from '^[^?#]*'))),
            'Recipients do not reach this address from where they are.'
        from link l
        where l.url ~* '^https?://([^/@]*@)?(localhost|127\.[0-9.]+|10\.[0-9.]+|192\.168\.[0-9.]+|\[::1\]|[^/:?#]*\.(local|localhost|test|invalid))([/:?#]|$)'
        union all
        select distinct 'hint', format('link to %s without encryption', quote_literal(substring(l.url from '^[^?#]*'))),
            'Write https:// where the site has it.'
        from link l where l.url ~* '^http://'
        union all
        select distinct 'warning', format('a link that shows %s leads to %s', shown.host, target.host),
            'Filters and careful readers take it for phishing: show words, or the address itself.'
        from link l
        cross join lateral (select lower(substring(l.label from '^\s*(?:[hH][tT][tT][pP][sS]?://|[wW][wW][wW]\.)([^/\s?#:]+)') collate "C") as host) shown
        cross join lateral (select lower(substring(l.url from '^[hH][tT][tT][pP][sS]?://([^/\s?#:]+)') collate "C") as host) target
        where regexp_replace(shown.host, '^www\.', '') <> regexp_replace(target.host, '^www\.', '')
        union all
        select 'warning', format('it shows %s', quote_literal(left(m.part[1], 40))), 
            'Perhaps a placeholder of another program: values are written {{ record.name }}.'
        from regexp_matches(subject || E'\n' || plain, '(\{\{[^}\n]*\}\}|\*\|[A-Z_:]+\|\*|%%[A-Za-z_]+%%|%recipient\.[a-z_]+%)') as m (part)
    )
    select f.severity, f.message, f.hint from fault f
$$;
comment on function marketing_automation_internal.mail_faults(text, text, text) is
    'API: private. What may be wrong with a mail as it is rendered: severity error, warning or hint';

create function marketing_automation_internal.rows_to_try(scenario marketing_automation.scenario, wanted integer) returns text[]
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    model marketing_automation.model := marketing_automation_internal.usable_model(scenario);
    keys text[];
    domain text;
begin
    -- Those who would enter, else anybody who has an address.
    foreach domain in array array[scenario.domain, 'true'] loop
        select array_agg(q.key) into keys from marketing_automation_internal.query_as_owner(scenario.owner_id, model.relation,
            format(E'select %s from %s as self where (%s\n) and trim(%s) <> %L limit %s',
                marketing_automation_internal.as_text(model.key), model.relation, domain,
                marketing_automation_internal.as_text(model.email), '', wanted), null) as q (key text);
        exit when keys is not null;
    end loop;
    return coalesce(keys, '{}');
end $$;
comment on function marketing_automation_internal.rows_to_try(marketing_automation.scenario, integer) is
    'API: private. Keys of some rows with an address that its domain matches, else of any';

create function marketing_automation_internal.check_mail(scenario marketing_automation.scenario, activity marketing_automation.activity,
    language text, keys text[]) returns table (severity text, message text, hint text)
language plpgsql rows 5 set search_path = pg_catalog, pg_temp as $$
declare
    its_key text;
    its_row record;
    mail record;
    -- Of each fault: for which row first, and for how many.
    faults jsonb := '{}';
    fault record;
    reason text;
    detail text;
begin
    foreach its_key in array keys loop
        if marketing_automation_internal.lacks_results(activity, its_key) then
            faults := jsonb_set(faults, array['it reads the result of a call, which has not run: it was not tried'], jsonb_build_object(
                'severity', 'hint', 'key', its_key, 'rows', cardinality(keys),
                'hint', format('select * from marketing_automation.rehearse(%L, now() + interval ''1 month'');', scenario.name)));
            continue;
        end if;
        begin
            select r.* into its_row from marketing_automation_internal.mail_row(activity, its_key) r;
            select p.* into mail from marketing_automation_internal.preview_mail(activity.id, its_row.context, its_row.party,
                nullif(trim(its_row.email), ''), its_row.recipient_name, coalesce(check_mail.language, its_row.language), its_row.time_zone,
                its_row.track_opens, its_row.addresses) p;
            perform marketing_automation_internal.demand_attachable(activity, its_key, mail.html);
            for fault in select f.* from marketing_automation_internal.mail_faults(mail.subject, mail.html, mail.text) f
                where activity.action is distinct from 'webhook' loop
                faults := jsonb_set(faults, array[fault.message], jsonb_build_object('severity', fault.severity, 'hint', fault.hint,
                    'key', coalesce(faults -> fault.message ->> 'key', its_key),
                    'rows', coalesce((faults -> fault.message ->> 'rows')::integer, 0) + 1));
            end loop;
        exception when others then
            if marketing_automation_internal.is_for_the_caller(sqlstate) then
                raise;
            end if;
            get stacked diagnostics reason = message_text, detail = pg_exception_detail;
            reason := 'it cannot be made: ' || case when marketing_automation_internal.is_passing_error(sqlstate) then reason
                else coalesce(nullif(detail, ''), reason) end;
            faults := jsonb_set(faults, array[reason], jsonb_build_object('severity', 'error',
                'hint', format('select * from marketing_automation.preview(%L, %L, %L);', scenario.name, activity.name, its_key),
                'key', coalesce(faults -> reason ->> 'key', its_key), 'rows', coalesce((faults -> reason ->> 'rows')::integer, 0) + 1));
        end;
    end loop;
    return query
        select f.value ->> 'severity',
            f.key || case when (f.value ->> 'rows')::integer < cardinality(keys)
                then format(' (%s of %s rows, such as that with the key "%s")', f.value ->> 'rows', cardinality(keys), f.value ->> 'key') else '' end,
            f.value ->> 'hint'
        from jsonb_each(faults) f;
end $$;
comment on function marketing_automation_internal.check_mail(marketing_automation.scenario, marketing_automation.activity, text, text[]) is
    'API: private. What is wrong with the mail of an activity, rendered for some rows, in a language (null: that of each row)';

create function marketing_automation_internal.check_entering_again(scenario marketing_automation.scenario, keys text[])
    returns table (severity text, message text, hint text)
language plpgsql rows 2 set search_path = pg_catalog, pg_temp as $$
declare
    model marketing_automation.model := marketing_automation_internal.usable_model(scenario);
    waiting bigint := (select s.without_occasion from marketing_automation.scenario_status s where s.scenario_id = scenario.id);
    absent bigint;
begin
    if scenario.occasion is null then
        return query select 'warning', 'rows enter again within an hour of the end of their journey, as long as the domain is true for them',
            format('update marketing_automation.scenario set reenter_after = ''30 days'' where name = %L;', scenario.name)
        where scenario.reenter_after < interval '1 hour';
        return;
    end if;
    begin
        select count(*) into absent from marketing_automation_internal.query_as_owner(scenario.owner_id, model.relation,
            marketing_automation_internal.key_query(model.relation, model.key, model.key_type,
                marketing_automation_internal.as_occasion(scenario.occasion)), keys) as q (occasion text) where q.occasion is null;
    exception when others then
        if marketing_automation_internal.is_for_the_caller(sqlstate) then
            raise;
        end if;
        return query select 'error', format('its occasion raises an error for some row: %s', sqlerrm),
            format('update marketing_automation.scenario set occasion = … where name = %L;', scenario.name);
        return;
    end;
    return query select 'warning', case when waiting > 0 then format('at the last run %s row%s without an occasion: they wait', waiting,
                case waiting when 1 then ' was' else 's were' end)
            else format('%s of %s rows have no occasion: they wait until it is not null', absent, cardinality(keys)) end,
        'Leave them out by the domain, or give each an occasion: coalesce(…).'
    where waiting > 0 or absent > 0;
end $$;
comment on function marketing_automation_internal.check_entering_again(marketing_automation.scenario, text[]) is
    'API: private. What may be wrong with the way in which rows enter a scenario again, asked of some rows by their keys';

create function marketing_automation_internal.window_faults(of_scenario integer)
    returns table (severity text, activity_id integer, activity text, message text, hint text)
language sql stable rows 5 set search_path = pg_catalog, pg_temp as $$
    -- Recipients of whom no zone is known have those of the windows.
    select case when w.time_zone is distinct from v.time_zone then 'warning' else 'error' end, a.id, a.name,
        format('send window "%s" and that of its class "%s", "%s", are never open together: its mails do not leave', w.name, k.name, v.name),
        format('update marketing_automation.%s set send_window = ''…'' where id = %s;',
            case when a.send_window is null then 'scenario' else 'activity' end,
            case when a.send_window is null then s.id else a.id end)
    from marketing_automation.activity a
    join marketing_automation.scenario s on s.id = a.scenario_id
    join marketing_automation.message_class k on k.name = coalesce(a.message_class, s.message_class)
    join marketing_automation.send_window w on w.name = coalesce(a.send_window, s.send_window)
    join marketing_automation.send_window v on v.name = k.send_window and v.name <> w.name
    where a.scenario_id = of_scenario and a.action = 'send_email' and marketing_automation_internal.never_open_together(w, v)
$$;
comment on function marketing_automation_internal.window_faults(integer) is
    'API: private. Mails of a scenario whose window and that of their class are never open at one time, as check_scenario() tells it';

create function marketing_automation_internal.untracked_faults(of_scenario integer)
    returns table (severity text, activity_id integer, activity text, message text, hint text)
language sql stable rows 5 set search_path = pg_catalog, pg_temp as $$
    select 'warning', a.id, a.name, format('it waits for what is opened or clicked of "%s", whose mails go to others than their party: that is not tracked',
        p.name), format('Let another activity send the copies, and not "%s": '
            'update marketing_automation.activity set recipient = null, cc = null, bcc = null where id = %s;', p.name, p.id)
    from marketing_automation.activity a
    join marketing_automation.activity p on p.id = a.parent_id
    where a.scenario_id = of_scenario and num_nonnulls(p.recipient, p.cc, p.bcc) > 0
      and a.on_event in ('email_opened', 'email_clicked', 'email_not_opened', 'email_not_clicked')
$$;
comment on function marketing_automation_internal.untracked_faults(integer) is
    'API: private. Activities of a scenario that wait for what nobody can know of mails with copies, as check_scenario() tells it';

create function marketing_automation_internal.confirmation_faults(scenario marketing_automation.scenario)
    returns table (severity text, message text, hint text)
language sql rows 5 set search_path = pg_catalog, pg_temp as $$
    select 'hint', format('topic "%s" has to be confirmed, and no running scenario asks for that', t.name),
        'Run one over marketing_automation.subscription_request whose mail has {{ confirm_url }}, or subscribe with confirmed => true.'
    from marketing_automation.topic t
    where t.name = scenario.topic and t.opt_in = 'double' and not exists (
        select from marketing_automation.scenario s
        join marketing_automation.model m on m.name = s.model and m.relation = 'marketing_automation.subscription_request'::regclass
        cross join lateral marketing_automation_internal.mail_bodies(s.id) b
        where s.state = 'running' and b.body ~ '\mconfirm_url\M')
    union all
    select 'warning', 'it is about requests of subscriptions, and none of its mails lets anybody confirm',
        'Write <a href="{{ confirm_url }}">…</a> into the body.'
    from marketing_automation.model m
    where m.name = scenario.model and m.relation = 'marketing_automation.subscription_request'::regclass and not exists (
        select from marketing_automation_internal.mail_bodies(scenario.id) b where b.body ~ '\mconfirm_url\M')
$$;
comment on function marketing_automation_internal.confirmation_faults(marketing_automation.scenario) is
    'API: private. What keeps subscriptions that a scenario needs, or asks for, from being confirmed, as check_scenario() tells it';

create function marketing_automation_internal.check_scenario(caller regrole, scenario text)
    returns table (severity text, activity text, language text, message text, hint text)
language plpgsql rows 10 set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    chosen marketing_automation.scenario := marketing_automation_internal.scenario_named(check_scenario.scenario);
    most constant integer := 10;
    reason text;
    keys text[];
begin
    perform marketing_automation_internal.demand_member(caller, chosen, 'check');
    -- All that is asked of the rows, and what is computed when it is planned, has the time of one turn.
    perform marketing_automation_internal.begin_turn();
    reason := marketing_automation_internal.definition_error(chosen);
    if reason is not null then
        perform marketing_automation_internal.end_turn();
        return query select 'error', null::text, null::text, reason,
            format('Mend it, then: select * from marketing_automation.check_scenario(%L);', chosen.name);
        return;
    end if;
    begin
        keys := marketing_automation_internal.rows_to_try(chosen, most);
    exception when others then
        if marketing_automation_internal.is_for_the_caller(sqlstate) then
            raise;
        end if;
        perform marketing_automation_internal.end_turn();
        return query select 'error', null::text, null::text, format('its rows cannot be read: %s', sqlerrm),
            format('select * from marketing_automation.record_count(%L);', chosen.name);
        return;
    end;
    return query
    with mail as materialized (
        select a as activity from marketing_automation.activity a
        where a.scenario_id = chosen.id and (a.action in ('send_email', 'webhook') or a.on_event = 'variant')
    ), languages as (
        -- Each mail in the language of each row, and in all languages that any mail of the scenario is translated into.
        select null::text as language
        union
        select t.language from mail m join marketing_automation.activity_translation t on t.activity_id = (m.activity).id
    ), found as (
        select f.severity, (m.activity).id as activity_id, (m.activity).name as activity, l.language, f.message, f.hint
        from mail m join languages l on l.language is null or (m.activity).action is distinct from 'webhook'
        cross join lateral marketing_automation_internal.check_mail(chosen, m.activity, l.language, keys) f
        union all
        select 'warning', (m.activity).id, (m.activity).name, l.language, 'it is not translated',
            'insert into marketing_automation.activity_translation (activity_id, language, subject, body) values (…);'
        from mail m join languages l on l.language is not null and l.language <> chosen.language
        where (m.activity).action is distinct from 'webhook'
            and coalesce((m.activity).subject, (m.activity).body) is not null and not exists (select from marketing_automation.activity_translation t
            where t.activity_id = (m.activity).id and t.language = l.language)
        union all
        select 'error', (m.activity).id, (m.activity).name, null, w.objection,
            marketing_automation_internal.webhook_hint(w.objection, w.target)
        from mail m
        cross join lateral (select t.target, marketing_automation_internal.webhook_objection(chosen.owner_id, t.target) as objection
            from (select marketing_automation_internal.webhook_target_of((m.activity).url) as target) t) w
        where w.objection is not null and (m.activity).action = 'webhook'
        union all
        select case when chosen.unsubscribable then 'warning' else 'hint' end, null, u.mail, null, 'it has no link to unsubscribe',
            case when u.mail like '%, its text' then 'Write {{ unsubscribe_url }} into it, as who reads it sees nothing of the body.'
                else 'Write <a href="unsubscribe">…</a> into the body. Of itself a mail offers it only in its headers.' end
        from unnest(marketing_automation_internal.mails_without_way_out(chosen.id)) u (mail)
        union all
        select 'warning', null, null, null, 'it has no activity: nobody enters', format(
            'select marketing_automation.add_activity(%L, ''hello'', subject => ''…'', body => ''…'');', chosen.name)
        where not exists (select from marketing_automation.activity a where a.scenario_id = chosen.id)
        union all
        select 'hint', a.id, a.name, null, 'it runs at once for who enters after its date', format('update marketing_automation.activity '
            'set expires_after = ''2 days'' where id = %s; -- too late after that', a.id)
        from marketing_automation.activity a where a.scenario_id = chosen.id and a.at is not null and a.expires_after is null
        union all
        select 'warning', a.id, a.name, null, 'its delay may be over when the anniversary is that of the next year: then it never runs',
            'Give anniversary() a longer lasts than the delay.'
        from marketing_automation.activity a
        where a.scenario_id = chosen.id and a.at ~* 'anniversary' and a.at !~* 'lasts' and a.delay >= interval '12 hours'
        union all
        select g.severity, null, null, null, g.message, g.hint from marketing_automation_internal.check_entering_again(chosen, keys) g
        union all
        select c.severity, null, null, null, c.message, c.hint from marketing_automation_internal.check_scans(chosen) c
        union all
        select b.severity, b.activity_id, b.activity, null, b.message, b.hint
        from marketing_automation_internal.branch_faults(chosen.id) b
        union all
        select w.severity, w.activity_id, w.activity, null, w.message, w.hint
        from marketing_automation_internal.window_faults(chosen.id) w
        union all
        select u.severity, u.activity_id, u.activity, null, u.message, u.hint
        from marketing_automation_internal.untracked_faults(chosen.id) u
        union all
        select t.severity, null, null, null, t.message, t.hint from marketing_automation_internal.confirmation_faults(chosen) t
        union all
        select 'hint', null, null, null, 'no row has an address: no mail was tried', 'Its mails are tried for rows of the model.'
        where keys = '{}' and exists (select from mail)
        union all
        select 'hint', null, null, null, 'opens and clicks are not recorded, and no mail can be left by a link',
            'alter system set marketing_automation.automation_base = ''https://…''; select pg_reload_conf();'
        where coalesce(marketing_automation_internal.setting('automation_base'), '') = '' and exists (select from mail)
        union all
        select 'hint', a.id, a.name, null, format('its mail %s after that of "%s": %s', case f.outside when 'wait' then 'waits' else 'is skipped' end,
                p.name, marketing_automation_internal.cap_in_words(f)),
            'Give it a longer delay, or leave one of the two out.'
        from marketing_automation.activity a
        join marketing_automation.activity p on p.id = a.parent_id and p.action = 'send_email'
        cross join lateral marketing_automation_internal.its_class(a) k
        join marketing_automation.frequency_cap f on f.message_class = k.name and f.mails = 1 and coalesce(a.delay, interval '0') < f.per
        where a.scenario_id = chosen.id and a.action = 'send_email' and (marketing_automation_internal.its_class(p)).name = k.name
        union all
        select 'error', s.last_error_activity_id, a.name, null, s.last_error, format('Since %s.', s.last_error_at)
        from marketing_automation.scenario_status s left join marketing_automation.activity a on a.id = s.last_error_activity_id
        where s.scenario_id = chosen.id and s.last_error is not null
    )
    -- What is so whatever the language is said once.
    select f.severity, f.activity, f.language, f.message, f.hint from found f
    where f.language is null or not exists (
        select from found o where o.language is null and o.activity_id = f.activity_id and o.message = f.message)
    order by array_position(array['error', 'warning', 'hint'], f.severity), f.activity_id nulls first, f.activity, f.language nulls first, f.message;
    perform marketing_automation_internal.end_turn();
end $$;
comment on function marketing_automation_internal.check_scenario(regrole, text) is 'API: private. Behind check_scenario()';

create function marketing_automation.check_scenario(scenario text)
    returns table (severity text, activity text, language text, message text, hint text)
language c volatile rows 10 as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.check_scenario(text) is
    'API: public. What is wrong with a scenario (error), probably is (warning), or could be better (hint), before it sends: its '
    'expressions are planned, its mails rendered for ten rows, in their languages and in all that it is translated into. No row: nothing '
    'was found. Sends and changes nothing. For members of the scenario''s owner';
