-- Why has this customer (not) got that mail: one record of a scenario, told for people.

create function marketing_automation_internal.moment(at timestamptz) returns text
language sql stable parallel safe
return date_trunc('second', at)::text;
comment on function marketing_automation_internal.moment(timestamptz) is
    'API: private. A time for people: to the second, in the time zone of the session';

create function marketing_automation_internal.end_in_words(reason text) returns text
language sql immutable
return case reason when 'exited' then 'the exit condition was true' when 'goal_reached' then 'the goal was reached'
    when 'entered_again' then 'its row entered again' end;
comment on function marketing_automation_internal.end_in_words(text) is 'API: private. Why a journey ended, for people';

create function marketing_automation_internal.canonical_key(scenario marketing_automation.scenario, key text) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    model marketing_automation.model;
begin
    model := marketing_automation_internal.usable_model(scenario);
    return coalesce((
        select q.key
        from marketing_automation_internal.query_as_owner(scenario.owner_id, model.relation,
            marketing_automation_internal.key_query(model.relation, model.key, model.key_type,
                marketing_automation_internal.as_key(model.key, model.key_type)), array[key]) as q (key text)
        limit 1), key);
exception when others then
    -- Whoever asks meets the error again where it can be told.
    return key;
end $$;
comment on function marketing_automation_internal.canonical_key(marketing_automation.scenario, text) is
    'API: private. A key as records have it: 7 for 007 of a bigint; the text itself while no row has it';

create function marketing_automation_internal.chosen_when(its_topic text, its_party text, its_hash bytea) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select coalesce((
        select format(', by its %s %s (%s)', case when u.address_hash is null then 'party' else 'address' end,
            marketing_automation_internal.moment(u.at), u.source)
        from marketing_automation.subscription u
        where u.topic = its_topic and (u.party = its_party and u.address_hash is null or u.address_hash = its_hash)
        order by u.state desc, u.at limit 1), '')
$$;
comment on function marketing_automation_internal.chosen_when(text, text, bytea) is
    'API: private. Whose choice of a topic forbids mails, since when, and where it came from, for people; empty: nobody has chosen';

create function marketing_automation_internal.explain_entering(scenario marketing_automation.scenario, key text, sees boolean)
    returns table (fact text)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    model marketing_automation.model;
    entered marketing_automation_internal.record;
    status marketing_automation.scenario_status;
    unsubscribed_at timestamptz;
    withheld text;
    -- Mails that go on then.
    others text := (
        select string_agg(distinct format('"%s"', c.name), ', ') from marketing_automation.activity a
        cross join lateral marketing_automation_internal.its_class(a) c
        where a.scenario_id = scenario.id and a.action = 'send_email' and not c.honors_unsubscribe);
    obstacle text;
    its_party text;
    its_email text;
    its_zone text;
    row_exists boolean := false;
    matches boolean;
    message text;
    code text;
begin
    begin
        model := marketing_automation_internal.usable_model(scenario);
        select q.* into its_party, its_email, its_zone
        from marketing_automation_internal.query_as_owner(scenario.owner_id, model.relation,
            marketing_automation_internal.key_query(model.relation, model.key, model.key_type,
                concat_ws(', ', marketing_automation_internal.as_text(model.party), marketing_automation_internal.as_text(model.email),
                marketing_automation_internal.as_text(model.time_zone))),
            array[key]) as q (party text, email text, time_zone text);
        row_exists := found;
        obstacle := case when not row_exists then format('model "%s" has no row with this key', model.name) end;
    exception when others then
        get stacked diagnostics message = message_text, code = returned_sqlstate;
        obstacle := format('its row cannot be read: %s (%s)', case when sees then message
            else marketing_automation_internal.public_error(message, code) end, code);
    end;
    select r.* into entered from marketing_automation_internal.record r
    where r.scenario_id = scenario.id and r.key = explain_entering.key order by r.run desc limit 1;
    select min(u.created_at) into unsubscribed_at from marketing_automation.unsubscription u
    where u.scenario_id in (0, scenario.id) and u.party = coalesce(entered.party, its_party);
    withheld := marketing_automation_internal.withheld(scenario.topic, coalesce(entered.party, its_party),
        marketing_automation.address_hash(its_email));
    select s.* into status from marketing_automation.scenario_status s where s.scenario_id = scenario.id;

    if entered.id is not null then
        fact := marketing_automation_internal.entered_in_words(entered);
        return next;
        if entered.blocked_at is not null then
            fact := format('blocked %s: nothing more runs', marketing_automation_internal.moment(entered.blocked_at));
            return next;
        elsif unsubscribed_at is not null then
            fact := format('its party unsubscribed %s: %s', marketing_automation_internal.moment(unsubscribed_at),
                coalesce('only mails of class ' || others || ' go on', 'nothing more runs'));
            return next;
        elsif withheld is not null then
            fact := withheld || marketing_automation_internal.chosen_when(scenario.topic, coalesce(entered.party, its_party),
                marketing_automation.address_hash(its_email))
                || coalesce(': only mails of class ' || others || ' go there', ': no mail of the scenario goes there');
            return next;
        end if;
        fact := coalesce((
            select 'reached the goal ' || marketing_automation_internal.moment(c.at) || coalesce(', credited to "' || a.name || '"', '')
                || case when scenario.goal_ends_journey then ': nothing more runs' else '' end
            from marketing_automation.conversion c left join marketing_automation.activity a on a.id = c.activity_id
            where c.record_id = entered.id and c.source = 'goal'),
            case when entered.goal_before then 'had reached the goal before it entered: no conversion' end, (
            select 'may reach the goal until ' || marketing_automation_internal.moment(g.until)
            from marketing_automation_internal.open_goal g where g.scenario_id = scenario.id and g.record_id = entered.id));
        if entered.held_out then
            fact := concat_ws('; ', fact, 'is held out: no activity starts, only its goal is measured');
        end if;
        if fact is not null then
            return next;
        end if;
        if entered.held_out then
            fact := case when obstacle is null then marketing_automation_internal.next_entry_in_words(scenario, model, entered, sees) end;
            if fact is not null then
                return next;
            end if;
            return;
        end if;
        if entered.end_reason is not null and not (entered.end_reason = 'goal_reached' and coalesce(fact like '%: nothing more runs', false)) then
            fact := format('its journey ended %s, as %s: nothing more runs', marketing_automation_internal.moment(entered.ended_at),
                marketing_automation_internal.end_in_words(entered.end_reason));
            return next;
        end if;
        if obstacle is not null then
            fact := obstacle;
            return next;
        end if;
        fact := marketing_automation_internal.next_entry_in_words(scenario, model, entered, sees);
        if fact is not null then
            return next;
        end if;
        if scenario.state <> 'running' then
            fact := format('the scenario is %s: what waits is kept and does not run', scenario.state);
            return next;
        end if;
    else
        obstacle := coalesce(obstacle, (
            select p.error from marketing_automation_internal.poisonous_row p
            where p.scenario_id = scenario.id and p.key = explain_entering.key and p.error_code = '23505' limit 1));
        if obstacle is null then
            begin
                select q.matches into matches
                from marketing_automation_internal.query_as_owner(scenario.owner_id, model.relation,
                    marketing_automation_internal.key_query(model.relation, model.key, model.key_type, format(E'(%s\n)', scenario.domain)),
                    array[key]) as q (matches boolean);
                obstacle := case when matches then null else format('the domain is %s for it', case when matches is null then 'null'
                    else 'false' end) end;
            exception when others then
                get stacked diagnostics message = message_text, code = returned_sqlstate;
                obstacle := format('the domain raises an error for it: %s (%s)', case when sees then message
                    else marketing_automation_internal.public_error(message, code) end, code);
            end;
        end if;
        if obstacle is null and scenario.occasion is not null then
            obstacle := marketing_automation_internal.missing_occasion(scenario, model, key, sees);
        end if;
        if obstacle is not null then
            fact := 'has not entered: ' || obstacle;
            return next;
        end if;
        if unsubscribed_at is not null and others is null then
            fact := format('has not entered: its party unsubscribed %s', marketing_automation_internal.moment(unsubscribed_at));
            return next;
        end if;
        if withheld is not null and others is null then
            fact := format('has not entered: %s', withheld || marketing_automation_internal.chosen_when(scenario.topic,
                coalesce(entered.party, its_party), marketing_automation.address_hash(its_email)));
            return next;
        end if;
        if scenario.state <> 'running' then
            fact := format('has not entered: the scenario is %s, only a running one enrolls', scenario.state);
            return next;
        end if;
        if obstacle is null and (unsubscribed_at is null and withheld is null or others is not null) and scenario.state = 'running' then
            fact := 'has not entered yet, the next enroll() enters it; '
                || coalesce('the last one ran ' || marketing_automation_internal.moment(status.last_enrolled_at), 'none has run');
            return next;
        end if;
    end if;
    if its_email is not null and marketing_automation.is_suppressed(its_email) then
        fact := 'its address is suppressed: no mail goes there';
        return next;
    elsif unsubscribed_at is null
        and marketing_automation_internal.has_left(marketing_automation.address_hash(its_email), scenario.id, coalesce(entered.party, its_party)) then
        fact := 'its address has unsubscribed: ' || coalesce('only mails of class ' || others || ' go there', 'no mail of the scenario goes there');
        return next;
    elsif row_exists and nullif(trim(its_email), '') is null then
        fact := 'has no e-mail address: activities that send mail go on without';
        return next;
    end if;
    if its_zone <> '' and not marketing_automation_internal.is_time_zone(its_zone) then
        fact := format('its time zone "%s" does not exist: delays count in that of the database', its_zone);
        return next;
    end if;
    -- What is said of other rows is none of this one's.
    if status.last_error is not null
        and status.last_error is distinct from (marketing_automation_internal.poisonous_summary(scenario.id, true)).message then
        fact := format('the last run of the scenario failed %s: %s (%s)',
                           marketing_automation_internal.moment(status.last_error_at), case when sees then status.last_error
                               else marketing_automation_internal.public_error(status.last_error, status.last_error_code) end,
                           status.last_error_code);
        return next;
    end if;
end $$;
comment on function marketing_automation_internal.explain_entering(marketing_automation.scenario, text, boolean) is
    'API: private. Facts about a row as a record of a scenario: entered or why not, and what keeps it from going on. sees: whether it may quote the row';

create function marketing_automation_internal.explain_activities(scenario marketing_automation.scenario, of_record bigint,
    sees boolean)
returns table (activity_id integer, about text, fact text)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    node record;
    its_zone text := (select r.time_zone from marketing_automation_internal.record r where r.id = of_record);
    blocked boolean := (select r.blocked_at is not null from marketing_automation_internal.record r where r.id = of_record);
    is_held_out boolean := (select r.held_out from marketing_automation_internal.record r where r.id = of_record);
    its_end text := (select r.end_reason from marketing_automation_internal.record r where r.id = of_record);
    arrived boolean := scenario.goal_ends_journey
        and exists (select from marketing_automation.conversion c where c.record_id = of_record and c.source = 'goal');
    -- Activities that will not run any more, and neither what follows them.
    dead integer[] := '{}';
    event text;
    mails bigint[] := array(select l.id from marketing_automation_internal.message_log l where l.record_id = of_record);
begin
    -- The queue has no index on the record: it is looked through only for what is not in the log.
    if exists (
        select from marketing_automation_internal.finished_activity f
        where f.record_id = of_record and f.outcome = 'mailed'
          and not exists (select from marketing_automation_internal.message_log l where l.record_id = of_record
              and l.activity_id = f.activity_id)) then
        mails := mails || array(select o.id from marketing_automation_internal.outbox o where o.record_id = of_record);
    end if;
    for node in
        select t.prefix, a, f, w.at as waits_until, m, p as parent, pf, pm, its.name as send_window,
               d.record_id is not null and d.activity_id is distinct from a.id as is_passed_over, taken.name as taken,
               case when w.at is not null then marketing_automation_internal.time_to_run(a, its, its_zone, w.at) end as runs_at,
               -- The other side of its event that ran, or whose activity it is.
               (select o.name from marketing_automation.activity o
                join marketing_automation_internal.finished_activity x on x.activity_id = o.id and x.record_id = of_record
                    and x.state = 'done'
                where o.parent_id = a.parent_id and o.on_event = marketing_automation_internal.opposite_event(a.on_event)
                order by x.finished_at limit 1) as opposite
        from marketing_automation_internal.activity_tree(scenario.id) t
        join marketing_automation.activity a on a.id = t.activity_id
        left join marketing_automation.activity p on p.id = a.parent_id
        left join marketing_automation_internal.finished_activity f on f.record_id = of_record and f.activity_id = a.id
        left join marketing_automation_internal.waiting_activity w on w.record_id = of_record and w.activity_id = a.id
        left join marketing_automation_internal.its_window(a) its on its.name is not null
        left join marketing_automation_internal.finished_activity pf on pf.record_id = of_record and pf.activity_id = a.parent_id
        left join marketing_automation.message m on m.id = any (mails) and m.activity_id = a.id
        left join marketing_automation.message pm on pm.id = any (mails) and pm.activity_id = a.parent_id
        left join marketing_automation_internal.branch_decision d on a.on_event is null and d.record_id = of_record and d.parent_id = a.parent_id
        left join marketing_automation.activity taken on taken.id = d.activity_id
        order by t.ordinal
    loop
        activity_id := (node.a).id;
        about := node.prefix || (node.a).name;
        -- What happened or must happen to the parent's mail.
        event := case (node.a).on_event when 'email_opened' then 'opened' when 'email_not_opened' then 'opened'
                                        when 'email_clicked' then 'clicked' when 'email_not_clicked' then 'clicked'
                                        when 'email_bounced' then 'returned' when 'email_not_bounced' then 'returned' end;
        fact := case
            when node.waits_until is not null and arrived then
                format('is cancelled when it is due, %s: the goal was reached', marketing_automation_internal.moment(node.waits_until))
            when node.waits_until is not null and its_end is not null then
                format('is cancelled when it is due, %s: %s', marketing_automation_internal.moment(node.waits_until),
                    marketing_automation_internal.end_in_words(its_end))
            when node.waits_until is not null then
                case when (node.a).wait_until is not null and node.runs_at > clock_timestamp() then
                         'waits until its condition is true, at most until ' || marketing_automation_internal.moment(node.runs_at)
                     when node.runs_at > clock_timestamp() then 'waits until ' || marketing_automation_internal.moment(node.runs_at)
                     when scenario.state <> 'running' then format('due since %s, runs when the scenario does',
                         marketing_automation_internal.moment(node.waits_until))
                     else format('due since %s, runs with the next process_due()',
                         marketing_automation_internal.moment(node.waits_until)) end
                || coalesce(', by send window "' || node.send_window || '"', '')
                || case when (node.a).on_event like 'email\_not\_%' and (node.pf).outcome = 'mailed' then
                    format(', unless the mail of "%s" is %s before', (node.parent).name, event) else '' end
            when (node.f).state = 'done' then
                format('done %s', marketing_automation_internal.moment((node.f).finished_at))
                || case (node.f).outcome
                    when 'mailed' then ', ' || coalesce(marketing_automation_internal.explain_mail(node.m, sees),
                        'its mail is no longer in the log')
                        || coalesce(', opened ' || marketing_automation_internal.moment((node.f).opened_at), '')
                        || coalesce(', clicked ' || marketing_automation_internal.moment((node.f).clicked_at), '')
                        || coalesce(', returned ' || marketing_automation_internal.moment((node.f).bounced_at), '')
                    when 'expired' then ', did nothing: its date was too long ago'
                    when 'no_address' then ', without a mail: the row had no address'
                    when 'condition_not_met' then case when (node.a).wait_until is null then ', did nothing: its condition was not true'
                        when (node.a).condition is null then ', did nothing: what it waited for was not true'
                        else ', did nothing: what it waited for, or its condition, was not true' end
                    when 'row_missing' then ', did nothing: the row was gone'
                    else '' end
            when (node.f).state = 'cancelled' then
                format('cancelled %s: ', marketing_automation_internal.moment((node.f).finished_at))
                || case (node.f).outcome
                    when 'blocked' then 'the record was blocked'
                    when 'goal_reached' then 'the goal was reached'
                    when 'exited' then marketing_automation_internal.end_in_words('exited')
                    when 'no_date' then 'it had no date'
                    when 'entered_again' then marketing_automation_internal.end_in_words('entered_again')
                    when 'opposite_executed' then format('"%s" ran', node.opposite)
                    else format('the mail of "%s" was %s', (node.parent).name, event) end
            when (node.f).state = 'failed' then
                format('failed %s: %s (%s)', marketing_automation_internal.moment((node.f).finished_at), case when sees then (node.f).error
                    else marketing_automation_internal.public_error((node.f).error, (node.f).error_code) end,
                    (node.f).error_code)
            -- It has no row. Why not?
            when blocked then 'never starts: the record is blocked'
            when arrived then 'never starts: the goal was reached'
            when its_end is not null then 'never starts: ' || marketing_automation_internal.end_in_words(its_end)
            when is_held_out then 'never starts: the record is held out'
            when (node.a).parent_id is null then
                case when (node.a).condition is null then 'never starts: it was added after the record had entered'
                     else 'never starts: its condition was not true when the record entered, or it was added later' end
            when (node.a).parent_id = any (dead) then format('never starts: "%s" does not', (node.parent).name)
            when node.pf is null and event is not null and (node.a).on_event not like 'email\_not\_%' then
                format('starts when the mail of "%s" is %s', (node.parent).name, event)
            when node.pf is null and (node.parent).action = 'send_email' then format('starts when the mail of "%s" has gone',
                (node.parent).name)
            when node.pf is null and (node.a).on_event = 'condition_not_met' then
                format('starts when the condition of "%s" is not true', (node.parent).name)
            when node.pf is null then format(case when (node.parent).branch_by is null then 'starts when "%s" has run'
                else 'starts if "%s" decides on it' end, (node.parent).name)
            when (node.pf).state <> 'done' then format('never starts: "%s" %s', (node.parent).name, case (node.pf).state when 'failed'
                then 'failed' else 'was cancelled' end)
            when (node.a).on_event = 'condition_not_met' then format(case (node.pf).outcome
                when 'condition_not_met' then 'never starts: it was added after "%s" had run'
                when 'row_missing' then 'never starts: the row was gone when "%s" ran'
                else 'never starts: the condition of "%s" was true' end, (node.parent).name)
            when node.is_passed_over and node.taken is null and (node.parent).metric is not null then
                format('starts if it wins experiment "%s"', (node.parent).name)
            when node.is_passed_over then format('never starts: "%s" decided on %s', (node.parent).name,
                coalesce('"' || node.taken || '"', 'none of what follows it'))
            when (node.pf).outcome = 'condition_not_met' then format('never starts: the condition of "%s" was not true', (node.parent).name)
            when (node.pf).outcome = 'expired' then format('never starts: the date of "%s" was too long ago', (node.parent).name)
            when (node.pf).outcome = 'row_missing' then format('never starts: the row was gone when "%s" ran', (node.parent).name)
            when (node.pf).outcome = 'no_address' and event is not null and (node.a).on_event not like 'email\_not\_%' then
                format('never starts: "%s" had no address to send to', (node.parent).name)
            when (node.pf).outcome = 'mailed' and (node.pm).state in ('failed', 'suppressed') then
                format('never starts: the mail of "%s" was not sent', (node.parent).name)
            when node.opposite is not null then format('never starts: "%s" ran', node.opposite)
            when (node.a).on_event like 'email\_not\_%' and case event when 'opened' then (node.pf).opened_at when 'clicked'
                then (node.pf).clicked_at else (node.pf).bounced_at end is not null then
                format('never starts: the mail of "%s" was %s', (node.parent).name, event)
            when (node.pf).outcome = 'mailed' and event is not null and (node.a).on_event not like 'email\_not\_%'
                and case event when 'opened' then (node.pf).opened_at when 'clicked' then (node.pf).clicked_at
                    else (node.pf).bounced_at end is null then
                format('starts when the mail of "%s" is %s', (node.parent).name, event)
            when (node.pm).sent_at is null and (node.pm).id is not null then
                format('starts when the mail of "%s" has gone', (node.parent).name)
            else format('never starts: it was added after "%s" had run', (node.parent).name)
        end;
        if fact like 'never starts:%' then
            dead := dead || (node.a).id;
        end if;
        return next;
    end loop;
end $$;
comment on function marketing_automation_internal.explain_activities(marketing_automation.scenario, bigint, boolean) is
    'API: private. For each activity of the tree what a record did or waits for, or why it never will. sees: whether it may quote the row';

create function marketing_automation_internal.explain_record(caller regrole, scenario text, key text)
    returns table (about text, fact text)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    chosen marketing_automation.scenario := marketing_automation_internal.scenario_for(caller, scenario, 'read');
    sees boolean := marketing_automation_internal.sees_rows(caller, chosen.id);
    its_key text;
begin
    if key is null then
        raise exception 'key must not be null' using errcode = 'null_value_not_allowed', hint = 'It is the value of the model''s key of a row, as text.';
    end if;
    -- It asks several times of one row.
    perform marketing_automation_internal.begin_turn();
    its_key := marketing_automation_internal.canonical_key(chosen, key);
    return query
        select 'record'::text, e.fact from marketing_automation_internal.explain_entering(chosen, its_key, sees) e;
    return query
        select e.about, e.fact
        from marketing_automation_internal.record r
        cross join lateral (
            select 1 as part, 0::bigint as n, 'record'::text as about, f.fact from marketing_automation_internal.explain_earlier(r) f (fact)
            union all
            select 2, a.n, a.about, a.fact
            from marketing_automation_internal.explain_activities(chosen, r.id, sees) with ordinality a (activity_id, about, fact, n)) e
        where r.scenario_id = chosen.id and r.key = its_key
        order by r.run desc, e.part, e.n;
    perform marketing_automation_internal.end_turn();
end $$;
comment on function marketing_automation_internal.explain_record(regrole, text, text) is 'API: private. Behind explain_record()';

create function marketing_automation.explain_record(scenario text, key text) returns table (about text, fact text)
language c stable as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.explain_record(text, text) is
    'API: public. A row of a model in a scenario, one line a fact: when it entered or why not, and for each activity of the tree '
    'what it did or waits for, why it was cancelled, failed or never starts; of a row that has entered again, the last '
    'time first. Errors that may quote the row are told to who sees_rows() only';
