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
language plpgsql stable rows 3 set search_path = pg_catalog, pg_temp as $$
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
        if marketing_automation_internal.is_for_the_caller(sqlstate) then
            raise;
        end if;
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
        -- Of a row that cannot be read its occasion cannot either.
        fact := case when message is null then marketing_automation_internal.next_entry_in_words(scenario, model, entered, sees) end;
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
                if marketing_automation_internal.is_for_the_caller(sqlstate) then
                    raise;
                end if;
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
            -- A run that read nothing has said nothing about this row.
            fact := case when status.last_scanned_at <> status.last_enrolled_at
                then format('has not entered yet; the last enroll() ran %s and found nothing written since %s, when it read all rows: what is '
                        'written is counted up to 10 seconds after its commit, or when the call of a procedure ends; enroll(%L) enters the row '
                        'now', marketing_automation_internal.moment(status.last_enrolled_at),
                    marketing_automation_internal.moment(status.last_scanned_at), scenario.name)
                else 'has not entered yet, the next enroll() enters it; '
                    || coalesce('the last one ran ' || marketing_automation_internal.moment(status.last_enrolled_at), 'none has run') end;
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
        fact := format('its time zone %sdoes not exist: delays count in that of the database', case when sees then format('"%s" ', its_zone) else '' end);
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

create function marketing_automation_internal.explain_record(caller regrole, scenario text, key text)
    returns table (about text, fact text)
language plpgsql stable rows 20 set search_path = pg_catalog, pg_temp as $$
declare
    chosen marketing_automation.scenario := marketing_automation_internal.scenario_for(caller, scenario, 'read');
    sees boolean := marketing_automation_internal.sees_rows(caller, chosen.id);
    its_key text;
begin
    perform marketing_automation_internal.demand_some_key(key);
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
language c stable rows 20 as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.explain_record(text, text) is
    'API: public. A row of a model in a scenario, one line a fact: when it entered or why not, and for each activity of the tree '
    'what it did or waits for, why it was cancelled, failed or never starts; of a row that has entered again, the last '
    'time first. Errors that may quote the row are told to who sees_rows() only';
