-- What would happen to this row? The machine itself runs, on a record of its own and at assumed times, in a subtransaction
-- that is rolled back: a second implementation would sooner or later tell something else.

create function marketing_automation_internal.simulated_events(scenario marketing_automation.scenario, events jsonb)
returns table (n integer, activity_id integer, kind text, "after" interval, at timestamptz)
language plpgsql stable rows 10 set search_path = pg_catalog, pg_temp as $$
declare
    fields constant text[] := array['activity', 'event', 'after', 'at'];
    kinds constant text[] := array['email_opened', 'email_clicked', 'email_bounced', 'unsubscribed'];
    example constant text := '[{"activity": "hello", "event": "email_opened", "after": "2 hours"}]';
    item jsonb;
    field text;
begin
    if jsonb_typeof(events) is distinct from 'array' then
        raise exception 'events must be a JSON array' using errcode = 'invalid_parameter_value', hint = 'For instance ' || example;
    end if;
    n := 0;
    for item in select e from jsonb_array_elements(events) e loop
        n := n + 1;
        if jsonb_typeof(item) <> 'object' or not item ?& array['activity', 'event'] then
            raise exception 'event % does not say which event of which activity', n
                using errcode = 'invalid_parameter_value', hint = 'For instance ' || example;
        end if;
        field := (select k from jsonb_object_keys(item) k where k <> all (fields) limit 1);
        if field is not null then
            raise exception 'event % has an unknown field "%"', n, field
                using errcode = 'invalid_parameter_value',
                      hint = marketing_automation_internal.name_hint(field, fields,
                          format('Its fields are: %s.', array_to_string(fields, ', ')));
        end if;
        activity_id := marketing_automation_internal.activity_named(scenario, item ->> 'activity');
        if not exists (select from marketing_automation.activity a where a.id = simulated_events.activity_id
            and a.action = 'send_email') then
            raise exception 'event % cannot happen: activity "%" sends no e-mail', n, item ->> 'activity'
                using errcode = 'invalid_parameter_value';
        end if;
        kind := item ->> 'event';
        if kind is null or kind <> all (kinds) then
            raise exception 'event % is unknown: "%"', n, kind
                using errcode = 'invalid_parameter_value',
                      hint = marketing_automation_internal.name_hint(kind, kinds,
                          format('Events are: %s.', array_to_string(kinds, ', ')));
        end if;
        "after" := item ->> 'after';
        at := item ->> 'at';
        if ("after" is null) = (at is null) or "after" < interval '0' or not isfinite(at) then
            raise exception 'event % needs either "after", an interval since its mail was sent, or "at", a time', n
                using errcode = 'invalid_parameter_value', hint = 'For instance ' || example;
        end if;
        return next;
    end loop;
end $$;
comment on function marketing_automation_internal.simulated_events(marketing_automation.scenario, jsonb) is
    'API: private. The events of simulate() as rows; raises for what does not exist, with a hint';

create function marketing_automation_internal.simulate_record(
    scenario marketing_automation.scenario, of_record bigint, record_uuid uuid, events jsonb, start timestamptz, sees boolean
) returns jsonb
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    told jsonb := '[]';
    its_error text;
    its_code text;
    step timestamptz := start;
    -- Activities that wait until a condition is true: those that were asked, and for which it is.
    asked integer[] := '{}';
    ready integer[] := '{}';
    -- Of the events and activities, those that have been told.
    happened integer[] := '{}';
    ended integer[] := '{}';
    due record;
    waits marketing_automation.activity;
    hit record;
    mail record;
    cap record;
    changed bigint;
    moved_to timestamptz;
    moves integer := 0;
    no_opens bigint[];
    no_clicks bigint[];
    -- Its mails come after; the queue has no index on the record.
    last_message bigint := nextval('marketing_automation_internal.message_id_seq');
begin
    loop
        for waits in
            select a.* from marketing_automation_internal.waiting_activity w join marketing_automation.activity a on a.id = w.activity_id
            where w.record_id = of_record and a.wait_until is not null and a.id <> all (asked) order by a.id
        loop
            asked := asked || waits.id;
            perform marketing_automation_internal.assume_time(step);
            ready := ready || array(select waits.id from marketing_automation_internal.records_for_whom(scenario, waits.wait_until,
                array[of_record]) r where r.holds <> '{}');
        end loop;
        select w.activity_id, case when w.activity_id = any (ready) then least(step, w.at) else w.at end as at into due
        from marketing_automation_internal.waiting_activity w
        -- Not what waits for the winner of an experiment, which others make.
        where w.record_id = of_record and isfinite(w.at) order by 2, w.activity_id limit 1;
        select e.*, coalesce(e.at, m.sent_at + e."after") as occurs_at, m.email into hit
        from marketing_automation_internal.simulated_events(scenario, events) e
        join marketing_automation_internal.message_log m on m.record_id = of_record and m.activity_id = e.activity_id
        where e.n <> all (happened) and coalesce(e.at, m.sent_at + e."after") >= m.sent_at
        order by 6, e.n limit 1;
        exit when due.at is null and hit.n is null;

        if hit.occurs_at <= due.at or due.at is null then
            step := hit.occurs_at;
            happened := happened || hit.n;
            select count(f.opened_at) + count(f.clicked_at) + count(f.bounced_at) into changed
                from marketing_automation_internal.finished_activity f where f.record_id = of_record;
            if hit.kind = 'unsubscribed' then
                perform marketing_automation.block(record_uuid);
            else
                select c.no_opens, c.no_clicks into no_opens, no_clicks
                    from marketing_automation_internal.withheld_consent(array[of_record]) c;
                if of_record <> all (case hit.kind when 'email_opened' then no_opens when 'email_clicked' then no_clicks else '{}' end) then
                    perform marketing_automation_internal.mark_events(array[of_record], array[hit.activity_id], array[hit.kind],
                        array[step], no_opens);
                end if;
                if hit.kind = 'email_bounced' then
                    perform marketing_automation_internal.suppress_address(hit.email, 'hard_bounce');
                end if;
            end if;
            select count(f.opened_at) + count(f.clicked_at) + count(f.bounced_at) - changed into changed
                from marketing_automation_internal.finished_activity f where f.record_id = of_record;
            told := told || jsonb_build_object('at', step, 'activity_id', hit.activity_id, 'outcome', hit.kind, 'detail',
                case hit.kind when 'unsubscribed' then 'unsubscribes: nothing more runs' when 'email_opened' then 'its mail is opened'
                              when 'email_clicked' then 'its mail is clicked' else 'its mail comes back' end
                || case when hit.kind <> 'unsubscribed' and changed = 0 then ', which changes nothing' else '' end);
        else
            step := due.at;
            if marketing_automation_internal.put_off(a, array[of_record], step) = '{}'
                from marketing_automation.activity a where a.id = due.activity_id then
                select told || jsonb_build_object('at', step, 'activity_id', due.activity_id, 'outcome', 'put_off', 'detail',
                    'waits until ' || marketing_automation_internal.moment(w.at)) into told
                from marketing_automation_internal.waiting_activity w
                where w.record_id = of_record and w.activity_id = due.activity_id;
                ready := array_remove(ready, due.activity_id);
                continue;
            end if;
            perform marketing_automation_internal.assume_time(step);
            select p.error, p.code into its_error, its_code
            from marketing_automation.activity a cross join lateral marketing_automation_internal.process_or_fail(a, array[of_record], step,
                marketing_automation_internal.record_query(a.id, a.id = any (ready)), a.id = any (ready), calls => false) p
            where a.id = due.activity_id;
            if its_code is not null then
                raise exception using message = its_error, errcode = its_code;
            end if;
            select w.at into moved_to from marketing_automation_internal.waiting_activity w
            where w.record_id = of_record and w.activity_id = due.activity_id;
            if found then
                told := told || jsonb_build_object('at', step, 'activity_id', due.activity_id, 'outcome', 'put_off', 'detail',
                    'waits for its date, until ' || marketing_automation_internal.moment(moved_to));
                -- One that is always to come, such as tomorrow, would do so for ever.
                moves := moves + 1;
                exit when moves > 1000;
                continue;
            end if;
            -- The mail server takes every mail at once.
            update marketing_automation_internal.outbox o set state = 'sending', attempts = 1
            where o.id > last_message and o.record_id = of_record
            returning o.id, case when o.target is not null then marketing_automation_internal.webhook_objection(scenario.owner_id, o.target)
                when marketing_automation.is_suppressed(o.email) then 'its address is suppressed'
                else marketing_automation_internal.shut_out(o, step) end as objection into mail;
            if found then
                select m.waits_until, m.reason, m.skips into cap from marketing_automation_internal.capped_mails(array[mail.id], step) m;
                mail.objection := coalesce(mail.objection, case when cap.skips then cap.reason end);
                if mail.objection is null then
                    perform marketing_automation_internal.count_capped(array[mail.id], coalesce(cap.waits_until, step));
                end if;
                perform marketing_automation_internal.complete_messages(array[mail.id], array[1],
                    array[case when mail.objection is not null then 'failed' else 'sent' end],
                    array[coalesce(mail.objection, cap.reason)], array[0],
                    now => case when mail.objection is null then coalesce(cap.waits_until, step) else step end);
            end if;
        end if;

        select told || coalesce(jsonb_agg(jsonb_build_object('at', step, 'activity_id', a.id, 'outcome', f.outcome, 'detail', case f.outcome
                   when 'executed' then case when a.call is null then 'runs'
                       else format('would call %s', marketing_automation_internal.shortened(a.call, 60)) end
                   when 'mailed' then case when m.state = 'failed' then 'sends nothing: ' || m.smtp_reply else
                       format('sends "%s"', coalesce(v.subject, a.subject)) || coalesce(', variant "' || v.name || '"', '')
                       || case when sees then marketing_automation_internal.addresses_in_words(m.email, m.addresses ? 'party', (
                           select string_agg(c.mailbox, ', ') from marketing_automation_internal.copies_of(m.addresses) c)) else '' end
                       || case when a.attachments is not null then ', and would ask for its attachments' else '' end
                       || case when m.sent_at > step then format(', which waits until %s: %s',
                           marketing_automation_internal.moment(m.sent_at), m.smtp_reply) else '' end end
                   when 'posted' then case when m.state = 'failed' then 'posts nothing: ' || m.smtp_reply
                       else format('posts to %s', m.target) end
                   when 'no_date' then 'is cancelled: it has no date'
                   when 'expired' then 'does nothing: its date was too long ago'
                   when 'no_address' then 'sends nothing: the row has no ' || case when a.recipient is null then 'address' else 'recipient' end
                   when 'condition_not_met' then case when a.wait_until is null then 'does nothing: its condition is not true'
                       else 'does nothing: what it waits for is not true' end
                   when 'error' then format('fails: %s (%s)', case when sees then f.error
                       else marketing_automation_internal.public_error(f.error, f.error_code) end, f.error_code)
                   when 'blocked' then 'is cancelled: the record is blocked'
                   when 'goal_reached' then 'is cancelled: the goal is reached'
                   when 'exited' then 'is cancelled: the exit condition is true'
                   when 'opposite_executed' then format('is cancelled: "%s" ran', d.name)
                   when 'event_arrived' then format('is cancelled: the mail of "%s" was %s', p.name, case a.on_event
                       when 'email_not_opened' then 'opened' when 'email_not_clicked' then 'clicked' else 'returned' end)
                   end) order by a.id <> due.activity_id, a.id), '[]'),
               ended || coalesce(array_agg(a.id), '{}')
        into told, ended
        from marketing_automation_internal.finished_activity f
        join marketing_automation.activity a on a.id = f.activity_id
        left join marketing_automation.activity p on p.id = a.parent_id
        left join marketing_automation.activity d on d.id = due.activity_id
        left join marketing_automation_internal.branch_decision b on b.record_id = f.record_id and b.parent_id = f.activity_id
        left join marketing_automation.activity v on v.id = b.activity_id and v.on_event = 'variant'
        left join marketing_automation_internal.message_log m on m.record_id = f.record_id and m.activity_id = f.activity_id
        where f.record_id = of_record and f.activity_id <> all (ended);
    end loop;

    return told || coalesce((
        select jsonb_agg(jsonb_build_object('activity_id', e.activity_id, 'outcome', 'not_started', 'detail', e.fact) order by t.ordinal)
        from marketing_automation_internal.explain_activities(scenario, of_record, sees) e
        join marketing_automation_internal.activity_tree(scenario.id) t on t.activity_id = e.activity_id
        join marketing_automation.activity a on a.id = e.activity_id and a.on_event is distinct from 'variant'
        where e.activity_id <> all (ended)), '[]') || coalesce((
        select jsonb_agg(jsonb_build_object('activity_id', e.activity_id, 'outcome', 'not_' || e.kind, 'detail',
            format('%s does not happen: its mail is %s', e.kind, case when m.sent_at is null then 'not sent'
                else 'sent later' end)) order by e.n)
        from marketing_automation_internal.simulated_events(scenario, events) e
        left join marketing_automation_internal.message_log m on m.record_id = of_record and m.activity_id = e.activity_id
        where e.n <> all (happened)), '[]');
end $$;
comment on function marketing_automation_internal.simulate_record(marketing_automation.scenario, bigint, uuid, jsonb, timestamptz,
    boolean) is
    'API: private. Runs all that waits for a record, and the events, each at its time, and tells what happens. For simulate(), which '
    'rolls it back. sees: whether that may quote the row';

create function marketing_automation_internal.root_raises(
    scenario marketing_automation.scenario, model marketing_automation.model, key text
) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    perform from marketing_automation_internal.query_as_owner(scenario.owner_id, model.relation,
        marketing_automation_internal.key_query(model.relation, model.key, model.key_type,
            marketing_automation_internal.root_choice(scenario.id)), array[key]) as q (roots integer[]);
    return false;
exception when others then
    if marketing_automation_internal.is_passing_error(sqlstate) then
        raise;
    end if;
    return true;
end $$;
comment on function marketing_automation_internal.root_raises(marketing_automation.scenario, marketing_automation.model, text) is
    'API: private. Whether the condition of a root activity raises an error for a row';

create function marketing_automation_internal.simulate_row(caller regrole, scenario text, key text, events jsonb, start timestamptz)
returns table (at timestamptz, activity text, outcome text, detail text)
language plpgsql rows 20 set search_path = pg_catalog, pg_temp as $$
declare
    chosen marketing_automation.scenario := marketing_automation_internal.scenario_for(caller, scenario, 'read');
    sees boolean := marketing_automation_internal.sees_rows(caller, chosen.id);
    model marketing_automation.model := marketing_automation_internal.usable_model(chosen);
    row record;
    row_exists boolean;
    of_record bigint;
    record_uuid uuid;
    told jsonb;
    obstacle text;
    again_at timestamptz;
    message text;
    code text;
begin
    if start is null or not isfinite(start) then
        raise exception 'start must be a time, not %', coalesce(start::text, 'null')
            using errcode = 'invalid_parameter_value', hint = 'Leave it away for now.';
    end if;
    perform marketing_automation_internal.simulated_events(chosen, events);
    perform marketing_automation_internal.assume_time(start);
    if start <> now() then
        perform marketing_automation_internal.warn_of_present('domain', chosen.name, chosen.domain);
        perform marketing_automation_internal.warn_of_present('exit condition', chosen.name, chosen.exit_condition);
        perform marketing_automation_internal.warn_of_present('occasion', chosen.name, chosen.occasion);
        perform marketing_automation_internal.warn_of_present_in_activities(chosen.id);
    end if;
    perform marketing_automation_internal.demand_key(chosen, simulate_row.key);
    begin
        select q.* into row
        from marketing_automation_internal.query_as_owner(chosen.owner_id, model.relation,
            marketing_automation_internal.key_query(model.relation, model.key, model.key_type, concat_ws(', ',
                marketing_automation_internal.as_key(model.key, model.key_type), marketing_automation_internal.as_text(model.party),
                -- A condition that raises an error does so when its activity runs, as for enroll_one().
                case when not marketing_automation_internal.root_raises(chosen, model, simulate_row.key)
                    then marketing_automation_internal.root_choice(chosen.id)
                     else format('%L::integer[]', array(select a.id from marketing_automation.activity a where a.scenario_id = chosen.id
                         and a.parent_id is null)) end,
                marketing_automation_internal.as_condition(chosen.domain), marketing_automation_internal.as_text(model.time_zone),
                marketing_automation_internal.entering_address(chosen, model), marketing_automation_internal.as_occasion(chosen.occasion))),
            array[simulate_row.key]) as q (key text, party text, roots integer[], matches boolean, time_zone text, email text, occasion text);
        row_exists := found;
    exception when others then
        get stacked diagnostics message = message_text, code = returned_sqlstate;
        if sees or marketing_automation_internal.is_for_the_caller(code) then
            raise;
        end if;
        raise exception 'row "%" cannot be simulated: %', key, marketing_automation_internal.public_error(message, code) using errcode = code;
    end;
    obstacle := case
        when not row_exists then format('model "%s" has no row with this key', model.name)
        when not row.matches then 'the domain is not true for it'
        when marketing_automation_internal.reaches_unsubscribed(chosen.id) then null
        when exists (
            select from marketing_automation.unsubscription u where u.scenario_id in (0, chosen.id) and u.party = row.party)
            then 'its party has unsubscribed'
        when chosen.occasion is not null and row.occasion is null then 'it waits for an occasion, which is null'
        else marketing_automation_internal.withheld(chosen.topic, row.party, marketing_automation.address_hash(row.email))
    end;
    perform marketing_automation_internal.assume_time(null);
    if obstacle is not null then
        at := start;
        outcome := 'not_entered';
        detail := 'does not enter: ' || obstacle;
        return next;
        return;
    end if;
    if marketing_automation_internal.is_held_out(chosen, marketing_automation_internal.held_out_person(row.party, row.email, row.key)) then
        at := start;
        outcome := 'held_out';
        detail := 'enters and is held out: no activity starts, only its goal is measured';
        return next;
        return;
    end if;
    begin
        -- As if it had never been in the scenario.
        delete from marketing_automation_internal.record r where r.scenario_id = chosen.id and r.key = row.key;
        of_record := nextval('marketing_automation.record_id_seq');
        record_uuid := marketing_automation_internal.new_record_uuid(of_record);
        insert into marketing_automation_internal.record (id, scenario_id, key, party, uuid, entered_at, time_zone, occasion)
        values (of_record, chosen.id, row.key, row.party, record_uuid, start, row.time_zone, row.occasion);
        insert into marketing_automation_internal.waiting_activity (record_id, activity_id, at)
        select of_record, a.id, marketing_automation_internal.after_delay(start, case when a.at is null then a.delay end, row.time_zone)
        from marketing_automation.activity a where a.id = any (row.roots);
        told := marketing_automation_internal.simulate_record(chosen, of_record, record_uuid, events, start, sees);
        again_at := (select marketing_automation_internal.reenters_at(chosen, r) from marketing_automation_internal.record r
            where marketing_automation_internal.may_enter_again(chosen) and r.id = of_record and r.blocked_at is null);
        raise exception 'simulated' using errcode = 'MA001';
    exception when sqlstate 'MA001' then
        null; -- All that was written is gone; what was told is kept.
    end;
    at := start;
    outcome := 'entered';
    detail := 'enters' || coalesce(' for the occasion "' || left(case when sees then row.occasion end, 100) || '"', '');
    return next;
    return query
        select (t.item ->> 'at')::timestamptz, a.name, t.item ->> 'outcome', t.item ->> 'detail'
        from jsonb_array_elements(told) with ordinality t (item, n)
        join marketing_automation.activity a on a.id = (t.item ->> 'activity_id')::integer order by t.n;
    if again_at is not null then
        at := again_at;
        activity := null;
        outcome := 'enters_again';
        detail := 'enters again from then on, if the domain is true for it'
            || case when chosen.occasion is not null then ', for another occasion' else '' end;
        return next;
    end if;
end $$;
comment on function marketing_automation_internal.simulate_row(regrole, text, text, jsonb, timestamptz) is
    'API: private. What simulate() does within one limit of time';

create function marketing_automation_internal.simulate(caller regrole, scenario text, key text, events jsonb, start timestamptz)
returns table (at timestamptz, activity text, outcome text, detail text)
language plpgsql rows 20 set search_path = pg_catalog, pg_temp as $$
begin
    perform marketing_automation_internal.demand_writing('simulate()');
    -- It asks once for each activity, and a tree has many.
    perform marketing_automation_internal.begin_turn();
    return query select s.* from marketing_automation_internal.simulate_row(caller, scenario, key, events, start) s;
    perform marketing_automation_internal.end_turn();
end $$;
comment on function marketing_automation_internal.simulate(regrole, text, text, jsonb, timestamptz) is 'API: private. Behind simulate()';

create function marketing_automation.simulate(scenario text, key text, events jsonb default '[]', start timestamptz default now())
returns table (at timestamptz, activity text, outcome text, detail text)
language c volatile rows 20 as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.simulate(text, text, jsonb, timestamptz) is
    'API: public. What would happen to a row of a scenario''s model that entered it at start: a line for each activity and event, in '
    'order of time. Changes nothing, but needs a transaction that may write, so no standby. The scenario need not run; every mail is taken at once; '
    'domain and conditions see the row as it is now. events: [{"activity": name, "event": "email_opened", "email_clicked", '
    '"email_bounced" (for good) or "unsubscribed", "after": interval since its mail was sent, or "at": time}, …]';
