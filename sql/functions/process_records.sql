-- Processing one batch of one activity: the statement that decides, and the search for records whose expressions raise.

create function marketing_automation_internal.as_goal_parts(scenario marketing_automation.scenario) returns text
language sql immutable set search_path = pg_catalog, pg_temp as $$
    -- Only where the goal is reached: before there may be nothing to compute with. What is no finite value counts as none.
    select case when (scenario).goal is null or (scenario).goal_at is null then 'null::timestamptz'
        else format(E'case when %s then (%s\n)::timestamptz end', marketing_automation_internal.as_condition((scenario).goal),
            (scenario).goal_at) end
        || ', ' || case when (scenario).goal is null or (scenario).goal_value is null then 'null::numeric'
        else format(E'case when %s then (%s\n)::numeric end', marketing_automation_internal.as_condition((scenario).goal),
            (scenario).goal_value) end
$$;
comment on function marketing_automation_internal.as_goal_parts(marketing_automation.scenario) is
    'API: private. Expressions over self, ready to stand in a query, for when a row has reached the goal of a scenario, and what that is worth';

create function marketing_automation_internal.record_query(activity_id integer, has_waited boolean default false) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan as $$
begin
    return (
        select marketing_automation_internal.key_query(m.relation, m.key, m.key_type, concat_ws(', ',
            marketing_automation_internal.as_key(m.key, m.key_type),
            -- An alternative was asked when its parent ran, and is not asked again.
            marketing_automation_internal.as_later_condition(case when p.branch_by is null or a.on_event is not null then a.condition end,
                m.key, m.key_type) || case when a.wait_until is null or has_waited then ''
                    else ' and ' || marketing_automation_internal.as_later_condition(a.wait_until, m.key, m.key_type) end,
            marketing_automation_internal.as_record(m.relation, marketing_automation_internal.mail_columns(a.id)),
            marketing_automation_internal.as_short_text(m.email), marketing_automation_internal.as_short_text(m.recipient_name),
            marketing_automation_internal.as_short_text(m.language), marketing_automation_internal.as_short_text(m.time_zone),
            case when s.goal is null then 'false' else marketing_automation_internal.as_condition(s.goal) end,
            marketing_automation_internal.as_condition(m.track_opens), marketing_automation_internal.as_condition(m.track_clicks),
            case when s.exit_condition is null then 'false' else marketing_automation_internal.as_condition(s.exit_condition) end,
            marketing_automation_internal.as_goal_parts(s), marketing_automation_internal.condition_choice(a),
            marketing_automation_internal.addresses_expression(a)))
        from marketing_automation.activity a
        left join marketing_automation.activity p on p.id = a.parent_id
        join marketing_automation.scenario s on s.id = a.scenario_id
        join marketing_automation.model m on m.name = s.model
        where a.id = activity_id);
end $$;
comment on function marketing_automation_internal.record_query(integer, boolean) is
    'API: private. Query, to run as the scenario''s owner, that gives what an activity needs of the rows whose keys are in $1 '
    '(text[]). has_waited: what it waits for was true, and is not asked';

create function marketing_automation_internal.process_records(activity marketing_automation.activity, records bigint[], now timestamptz,
    query text, calls boolean) returns integer
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set jit = off set random_page_cost = 1 as $$
declare
    scenario marketing_automation.scenario;
    relation regclass;
    -- The mailer knows no other time than the present: what is sent at an assumed time in the future leaves now.
    mail_due timestamptz := least(now, clock_timestamp());
    limited boolean := exists (select from marketing_automation.domain_limit);
    children integer[] := marketing_automation_internal.lock_children(array[activity.id]);
    honors_unsubscribe boolean := marketing_automation_internal.honors_unsubscribe(activity);
    shares record;
    variants record;
    shared_by integer := marketing_automation_internal.original_activity(activity.id);
    reads_results boolean := marketing_automation_internal.mentions_results(query);
    takes_results boolean := activity.action in ('send_email', 'webhook') and marketing_automation_internal.mail_uses_results(activity.id);
    target constant text := marketing_automation_internal.webhook_target_of(activity.url);
    to_call bigint[];
    their_keys text[];
    -- Whether its mails may go to others than their party.
    addressed constant boolean := num_nonnulls(activity.recipient, activity.cc, activity.bcc) > 0;
    to_attach bigint[];
    processed integer;
    queued integer;
    wanted integer := cardinality(records);
    undated bigint[] := '{}';
    expired bigint[] := '{}';
    gone bigint[];
begin
    select s.* into strict scenario from marketing_automation.scenario s where s.id = activity.scenario_id;
    relation := (select m.relation from marketing_automation.model m where m.name = scenario.model);
    select s.* into shares from marketing_automation_internal.share_choice(activity) s;
    if activity.on_event like 'email\_not\_%' then
        records := marketing_automation_internal.apply_events_of(activity.parent_id, records);
        wanted := cardinality(records);
    end if;
    if activity.at is not null then
        select w.remaining, w.undated, w.expired into records, undated, expired
        from marketing_automation_internal.wait_for_date(activity, scenario, relation, records, now) w;
    end if;
    select v.* into variants from marketing_automation_internal.variant_choice(activity) v;
    if variants.ids is not null and activity.metric is not null and variants.winner is null then
        records := marketing_automation_internal.wait_for_winner(activity, variants.ids, variants.bounds, records, now);
    end if;
    with place as materialized (
        -- Row by row through the primary key. Until the table is analyzed after much has entered, a plan for all at once reads all
        -- that waits for the activity, as does the index of its due rows: + 0 is in no index.
        select w.ctid
        from unnest(records) as u (id)
        cross join lateral (
            select w.ctid from marketing_automation_internal.waiting_activity w
            where w.record_id = u.id and w.activity_id + 0 = activity.id offset 0) w
    ), taken as (
        delete from marketing_automation_internal.waiting_activity w where w.ctid = any (array(select p.ctid from place p))
        returning w.record_id, w.at
    ), live as materialized (
        select t.record_id, t.at, r.key, r.party, r.time_zone as its_zone,
               r.blocked_at is not null or exists (
                   select from marketing_automation.unsubscription u
                   where honors_unsubscribe and u.scenario_id in (0, r.scenario_id) and u.party = r.party)
                   -- That of its address is known to the claim, as with unsubscribed ones.
                   or honors_unsubscribe and scenario.topic is not null and exists (
                       select from marketing_automation.subscription u where u.topic = scenario.topic and u.party = r.party
                           and u.address_hash is null and u.state = 'unsubscribed') as blocked,
               honors_unsubscribe and scenario.topic is not null and activity.action = 'send_email' and exists (
                   select from marketing_automation.subscription u where u.topic = scenario.topic and u.party = r.party
                       and u.address_hash is null and u.state = 'pending') as is_pending,
               r.end_reason, r.entered_at,
               scenario.goal_ends_journey and exists (
                   select from marketing_automation.conversion c where c.record_id = t.record_id and c.source = 'goal') as arrived
        from taken t join marketing_automation_internal.record r on r.id = t.record_id
    ), found as materialized (
        select q.*
        from marketing_automation_internal.query_with_results(scenario.owner_id, relation, query, array(select l.key from live l
                where not l.blocked and l.end_reason is null and not l.arrived),
            case when reads_results then marketing_automation_internal.results_by_key(records) end)
             as q (key text, holds boolean, context jsonb, email text, recipient_name text, language text, time_zone text, reached boolean,
                   track_opens boolean, track_clicks boolean, leaves boolean,
                   goal_at timestamptz, goal_value numeric, choice integer, addresses text[])
    ), decided as materialized (
        select l.record_id, l.at, l.key, l.party, l.its_zone, f.context, w.email, w.recipient_name, f.language, f.time_zone, f.reached,
               f.track_opens and w.addresses is null as track_opens, f.track_clicks and w.addresses is null as track_clicks, b.reason, b.code,
               w.addresses, f.goal_at, f.goal_value, l.entered_at,
               case when variants.ids is not null then coalesce((
                       select c.activity_id from marketing_automation_internal.branch_decision c
                       where c.record_id = l.record_id and c.parent_id = activity.id), variants.winner, variants.ids[1 + width_bucket(
                           marketing_automation_internal.share_point(shared_by, coalesce(l.party, l.key)), variants.bounds)])
                   when activity.branch_by = 'share' then coalesce(shares.winner, shares.ids[1 + width_bucket(
                   marketing_automation_internal.share_point(shared_by, coalesce(l.party, l.key)), shares.bounds)])
                   else f.choice end as choice,
               case when l.blocked then 'blocked'
                    when l.end_reason is not null then l.end_reason
                    when l.record_id = any (undated) then 'no_date'
                    -- A goal whose time is to come is not reached yet.
                    when l.arrived or f.reached and scenario.goal_ends_journey and coalesce(f.goal_at, now) <= now then 'goal_reached'
                    when f.leaves then 'exited'
                    when f.key is null then 'row_missing'
                    when l.record_id = any (expired) then 'expired'
                    when not f.holds then 'condition_not_met'
                    when activity.action = 'webhook' then case when b.reason is null then 'posted' else 'error' end
                    when activity.action is distinct from 'send_email' then 'executed'
                    when w.fault is not null then 'error'
                    when nullif(trim(w.email), '') is null then 'no_address'
                    when b.reason is not null then 'error'
                    -- Who has left and asks again gets it when that is confirmed, as what was cancelled before; one of whose address that is
                    -- known already gets it now.
                    when l.is_pending and not exists (
                        select from marketing_automation.subscription u where u.topic = scenario.topic and u.state = 'subscribed'
                            and u.address_hash = marketing_automation.address_hash(trim(f.email))) then 'blocked'
                    else 'mailed' end as outcome
        from live l left join found f on f.key = l.key
        -- It costs this mail, and neither those of others nor the memory of whoever sends.
        cross join lateral (
            select case when addressed and f.key is not null then marketing_automation_internal.mail_addresses(activity.recipient is not null,
                f.addresses[1], f.addresses[2], f.addresses[3], trim(f.email), f.recipient_name) end as addresses offset 0) as m
        cross join lateral (
            select case when m.addresses ? 'party' then m.addresses #>> '{to,email}' else f.email end as email,
                case when m.addresses ? 'party' then m.addresses #>> '{to,name}' else f.recipient_name end as recipient_name,
                case when jsonb_typeof(m.addresses) = 'object' then nullif(m.addresses - 'to', '{}') end as addresses,
                case when jsonb_typeof(m.addresses) = 'string' then m.addresses #>> '{}' end as fault) as w
        cross join lateral (
            select case when w.fault is not null then w.fault
                when jsonb_typeof(f.context) = 'string' then f.context #>> '{}'
                when length(f.email) > 1000 then 'its address has more than 1,000 characters'
                when length(f.recipient_name) > 1000 then 'the name of its recipient has more than 1,000 characters' end as reason,
                case when w.fault is not null then '22023' else '54000' end as code) as b
    ), finished as (
        insert into marketing_automation_internal.finished_activity (record_id, activity_id, state, outcome, at, finished_at, error,
            error_code)
        select d.record_id, activity.id, marketing_automation_internal.state_of(d.outcome), d.outcome, d.at, now,
            case when d.outcome = 'error' then d.reason end, case when d.outcome = 'error' then d.code end
        from decided d
    ), branched as (
        insert into marketing_automation_internal.branch_decision (record_id, parent_id, activity_id, decided_at, by_winner)
        select d.record_id, activity.id, d.choice, now, coalesce(shares.winner, variants.winner) is not null
        from decided d where activity.branch_by is not null and d.outcome in ('executed', 'mailed', 'no_address')
            or variants.ids is not null and d.outcome = 'mailed'
        -- Of who has waited for the winner, or comes back, it is there.
        on conflict on constraint branch_decision_pkey do update
            set activity_id = excluded.activity_id, decided_at = excluded.decided_at, by_winner = excluded.by_winner
            where branch_decision.activity_id is null and variants.ids is not null
    ), mail as (
        insert into marketing_automation_internal.outbox
            (id, record_id, activity_id, key, party, email, recipient_name, language, time_zone, context, track_opens, track_clicks,
                created_at, due_at, domain_queue, channel, target, addresses)
        select nextval('marketing_automation_internal.message_id_seq'), d.record_id, activity.id, d.key, d.party, coalesce(trim(d.email), ''),
               d.recipient_name, d.language,
               case when d.time_zone is not null then marketing_automation_internal.usable_time_zone(d.time_zone) end,
               case when takes_results then d.context || jsonb_build_object('', marketing_automation_internal.results_of(d.record_id))
                   else d.context end, target is null and d.track_opens and scenario.track_opens,
               target is null and d.track_clicks and scenario.track_clicks, now, mail_due,
               case when limited and target is null
                    then coalesce((select l.domain from marketing_automation.domain_limit l
                        where l.domain = marketing_automation_internal.address_domain(d.email)), '')
                    else '' end, case when target is null then 'mail' else 'webhook' end, target, d.addresses
        from decided d where d.outcome in ('mailed', 'posted')
        returning id
    ), reached as (
        -- Of who has not by then, it is asked again.
        delete from marketing_automation_internal.open_goal g using decided d
        where scenario.goal is not null and d.reached and coalesce(d.goal_at, now) <= now
          and g.scenario_id = scenario.id and g.record_id = d.record_id
          -- Who was in before there was a goal is asked first by apply_goals(): he may have reached it before.
          and not (g.is_late and d.goal_at is null)
        returning g.record_id, g.until, marketing_automation_internal.goal_moment(d.goal_at, d.entered_at, now) as at, d.goal_value
    ), converted as (
        -- In order, as batches of other activities may convert the same records.
        insert into marketing_automation.conversion (record_id, scenario_id, at, value, source, activity_id)
        select r.record_id, scenario.id, r.at, marketing_automation_internal.finite(r.goal_value), 'goal', a.activity_id
        from reached r join live l on l.record_id = r.record_id
        left join marketing_automation_internal.credited_activities(array(select o.record_id from reached o), array(select o.at from reached o)) a
            on a.record_id = r.record_id
        where r.at between l.entered_at and r.until order by r.record_id
        on conflict (record_id) where source = 'goal' do nothing
    ), ending as (
        update marketing_automation_internal.record r set ended_at = now, end_reason = d.outcome
        from decided d
        where (scenario.goal_ends_journey or scenario.exit_condition is not null) and d.outcome in ('goal_reached', 'exited')
          and r.id = d.record_id and r.end_reason is null
    ), arriving as (
        -- What others hold will end so when it is due. That of an event belongs to who holds its parent's row.
        delete from marketing_automation_internal.waiting_activity w
        where w.ctid = any (array(
            select o.ctid from decided d join marketing_automation_internal.waiting_activity o on o.record_id = d.record_id
                and o.activity_id <> activity.id
            join marketing_automation.activity a on a.id = o.activity_id
            left join lateral (
                select f.record_id from marketing_automation_internal.finished_activity f
                where a.on_event is not null and f.record_id = o.record_id and f.activity_id = a.parent_id
                for no key update skip locked) parent on true
            where (scenario.goal_ends_journey or scenario.exit_condition is not null) and d.outcome in ('goal_reached', 'exited')
              and (a.on_event is null or parent.record_id is not null)
            for update of o skip locked))
        returning w.record_id, w.activity_id, w.at, (select d.outcome from decided d where d.record_id = w.record_id) as outcome
    ), opposite as (
        delete from marketing_automation_internal.waiting_activity w
        using decided d, marketing_automation.activity o
        where activity.on_event is not null and marketing_automation_internal.state_of(d.outcome) = 'done'
          and o.parent_id = activity.parent_id and o.on_event = marketing_automation_internal.opposite_event(activity.on_event)
          and w.record_id = d.record_id and w.activity_id = o.id
        returning w.record_id, w.activity_id, w.at, 'opposite_executed' as outcome
    ), other as (
        select * from opposite union all select * from arriving
    ), cancelled as (
        insert into marketing_automation_internal.finished_activity (record_id, activity_id, state, outcome, at, finished_at)
        select o.record_id, o.activity_id, 'cancelled', o.outcome, o.at, now from other o
    ), counted as materialized (
        select count(*) as records, count(*) filter (where marketing_automation_internal.state_of(d.outcome) = 'cancelled') as cancelled,
            count(*) filter (where d.outcome in ('mailed', 'posted')) as mailed, count(*) filter (where d.outcome = 'error') as failed,
            count(*) filter (where d.outcome in ('condition_not_met', 'row_missing', 'no_address', 'expired')) as skipped
        from decided d
    ), counters as (
        insert into marketing_automation_internal.activity_counter (activity_id, period, done, skipped, cancelled, mailed, failed)
        select activity.id, marketing_automation_internal.counter_period(now), c.records - c.cancelled - c.skipped - c.failed, c.skipped,
            c.cancelled, c.mailed, c.failed
            from counted c where c.records > 0
        union all
        select o.activity_id, marketing_automation_internal.counter_period(now), 0, 0, count(*), 0, 0 from other o group by o.activity_id
    ), unsubscribed as (
        -- By this its records are found when the party comes back. What somebody else holds is being blocked or unblocked.
        update marketing_automation_internal.record r set unsubscribed_at = now
        where r.id = any (array(
            select u.id from decided d join marketing_automation_internal.record u on u.id = d.record_id
            where d.outcome = 'blocked' and u.blocked_at is null and u.unsubscribed_at is null for no key update of u skip locked))
    ), children as (
        -- Children of a mail start when the server has taken it: see complete_messages().
        insert into marketing_automation_internal.waiting_activity (record_id, activity_id, at)
        select d.record_id, c.id, marketing_automation_internal.after_delay(now, case when c.at is null then c.delay end, d.its_zone)
        from decided d join marketing_automation.activity c on c.parent_id = activity.id and c.id = any (children)
        where case
                when d.outcome in ('executed', 'no_address') then c.on_event is null or c.on_event like 'email\_not\_%'
                when d.outcome = 'condition_not_met' then c.on_event = 'condition_not_met' end
          and (activity.branch_by is null or c.on_event is not null or c.id = d.choice)
          and not exists (select from marketing_automation_internal.finished_activity f where f.record_id = d.record_id
              and f.activity_id = c.id)
        on conflict do nothing
    )
    select c.records, c.mailed, array(select d.record_id from decided d where d.outcome = 'blocked'),
        case when calls and activity.action = 'call' then array(select d.record_id from decided d where d.outcome = 'executed') end,
        case when calls and activity.action = 'call' then array(select d.key from decided d where d.outcome = 'executed') end,
        case when calls and activity.attachments is not null then array(select m.id from mail m order by m.id) end
    into processed, queued, gone, to_call, their_keys, to_attach
    from counted c;
    -- Apart from the statement above, so that what it calls finds the activity done, and may change what that has written.
    perform marketing_automation_internal.call_records(activity, scenario, to_call, their_keys) where to_call is not null;
    perform marketing_automation_internal.attach_files(activity.id, to_attach) where to_attach is not null;
    if gone <> '{}' then
        processed := processed - marketing_automation_internal.keep_returned(activity.id, gone);
    end if;
    if queued > 0 then
        perform marketing_automation_internal.notify_mailer();
    end if;
    return processed + wanted - cardinality(records);
end $$;
comment on function marketing_automation_internal.process_records(marketing_automation.activity, bigint[], timestamptz, text, boolean) is
    'API: private. Runs one activity for these records, which due_records() has locked, in one statement, but for those whose date is to '
    'come, which wait for it; how many. Raises what a user expression raises. calls: whether to call what it calls, and to ask for attachments';

create function marketing_automation_internal.key_raises(activity marketing_automation.activity, of_record bigint) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    scenario marketing_automation.scenario;
    model marketing_automation.model;
begin
    select s.* into strict scenario from marketing_automation.scenario s where s.id = activity.scenario_id;
    select m.* into strict model from marketing_automation.model m where m.name = scenario.model;
    begin
        perform from marketing_automation_internal.query_as_owner(scenario.owner_id, model.relation,
            marketing_automation_internal.key_query(model.relation, model.key, model.key_type, 'true'),
            array[(select r.key from marketing_automation_internal.record r where r.id = of_record)]) as q (is_there boolean);
        return false;
    exception when others then
        if marketing_automation_internal.is_passing_error(sqlstate) then
            raise;
        end if;
    end;
    return (marketing_automation_internal.set_rows_apart(scenario, model, true, null)).apart > 0;
end $$;
comment on function marketing_automation_internal.key_raises(marketing_automation.activity, bigint) is
    'API: private. Whether a record cannot be found since the key raises for some other row of its model: that one stands apart then, '
    'and the record can be found';

create function marketing_automation_internal.fail_record(activity_id integer, record_id bigint, now timestamptz, error text, code text)
    returns void
language sql set search_path = pg_catalog, pg_temp as $$
    with taken as (
        delete from marketing_automation_internal.waiting_activity w where w.activity_id = $1 and w.record_id = $2
        returning w.at
    ), failed as (
        insert into marketing_automation_internal.finished_activity (record_id, activity_id, state, outcome, at, finished_at, error,
            error_code)
        select $2, $1, 'failed', 'error', t.at, $3, $4, $5 from taken t
        on conflict do nothing
        returning record_id
    )
    insert into marketing_automation_internal.activity_counter (activity_id, period, failed)
    select $1, marketing_automation_internal.counter_period($3), 1 from failed
$$;
comment on function marketing_automation_internal.fail_record(integer, bigint, timestamptz, text, text) is
    'API: private. Has a waiting activity of a record fail, with its error kept';

create function marketing_automation_internal.process_or_fail(activity marketing_automation.activity, records bigint[], now timestamptz,
    query text, has_waited boolean default false, calls boolean default true, out processed integer, out error text, out code text)
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    part marketing_automation_internal.search := marketing_automation_internal.start_search(cardinality(records));
    failed boolean;
    asked_key boolean := false;
    asked_call boolean := false;
    asked_files boolean := false;
    -- The first record of a part of which some row was gone when it was called for: it is tried again, and that one does nothing.
    tried_again bigint;
    broken text;
begin
    processed := 0;
    -- Until the poisonous records are alone; the others go through.
    while part.first is not null loop
        begin
            processed := processed
                + marketing_automation_internal.process_records(activity, records[part.first:part.last], now, query, calls);
            failed := false;
        exception when others then
            get stacked diagnostics error = message_text, code = returned_sqlstate, broken = constraint_name;
            if marketing_automation_internal.is_for_the_caller(code) then
                raise;
            end if;
            failed := true;
        end;
        if failed then
            if broken = 'finished_activity_pkey' then
                error := 'several rows of the model have the key of this record';
            end if;
            if code in ('22003', '22P02') and (
                    select marketing_automation_internal.refresh_key_type(s) from marketing_automation.scenario s
                        where s.id = activity.scenario_id) then
                query := marketing_automation_internal.record_query(activity.id, has_waited);
                continue;
            end if;
            if marketing_automation_internal.is_passing_error(code) then
                return;
            end if;
            -- A call that no longer plans is not the fault of the records. Asked only now, as it takes as long as calling for many.
            if calls and activity.call is not null and not asked_call then
                asked_call := true;
                perform marketing_automation_internal.plan_call(activity);
            end if;
            if not asked_files then
                asked_files := true;
                perform marketing_automation_internal.plan_attachments(activity);
            end if;
            if code = 'P0002' and activity.action = 'call' and tried_again is distinct from records[part.first] then
                tried_again := records[part.first];
                continue;
            end if;
            if not asked_key then
                asked_key := true;
                if marketing_automation_internal.key_raises(activity, records[part.first]) then
                    query := marketing_automation_internal.record_query(activity.id, has_waited);
                    continue;
                end if;
            end if;
            if part.first = part.last then
                perform marketing_automation_internal.fail_record(activity.id, records[part.first], now, error, code);
                perform marketing_automation_internal.start_failed(activity, records[part.first], now);
                processed := processed + 1;
            end if;
        end if;
        part := marketing_automation_internal.next_part(part, failed);
    end loop;
    error := null;
    code := null;
end $$;
comment on function marketing_automation_internal.process_or_fail(marketing_automation.activity, bigint[], timestamptz, text, boolean, boolean,
    out integer, out text, out text) is
    'API: private. Like process_records, but a record whose expressions raise fails alone, with its error kept. query, has_waited: '
    'record_query(); calls: whether to call what the activity calls, which a simulation does not. An error that passes ends it, and is '
    'returned; what was processed before stays. Raises what is wrong with a call that no longer plans';
