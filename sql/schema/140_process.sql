-- Processing: due activities run, batch by batch of one activity, each batch a fixed number of statements.
--
-- Locks, always in this order, so that processing, events and the mailer never deadlock and never disagree:
-- 1. the activity's row, skipped if locked, so that parallel callers share the work by activity;
-- 2. the parents' rows in finished_activity, in order of record: whoever decides about children that wait for an event
--    holds them, so that an event and the opposite side exclude each other. Processing skips those that others hold, as it
--    has held others before, to apply events;
-- 3. rows of event_inbox and waiting_activity.
--
-- What works on batches plans anew each time (plan_cache_mode): the hot tables swing between empty and millions, and a
-- plan made for the one is quadratic for the other. random_page_cost = 1, as what is read has been written lately and is
-- in memory: with the default the planner reads 100,000 waiting rows in full to find 1,000.

create function marketing_automation.opposite_event(event text) returns text
language sql immutable
return case event
    when 'email_opened' then 'email_not_opened' when 'email_not_opened' then 'email_opened'
    when 'email_clicked' then 'email_not_clicked' when 'email_not_clicked' then 'email_clicked'
    when 'email_bounced' then 'email_not_bounced' when 'email_not_bounced' then 'email_bounced'
end;
comment on function marketing_automation.opposite_event(text) is 'API: private. email_opened for email_not_opened and so on';

create function marketing_automation.key_query(relation regclass, key text, key_type regtype, columns text) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    -- The type by its catalog name: as SQL spells it, character would be character(1).
    select format('select %s from %s as self where (%s' || E'\n) = any (($1)::%I.%I[])', columns, relation, key, n.nspname, t.typname)
    from pg_type t join pg_namespace n on n.oid = t.typnamespace where t.oid = key_type
$$;
comment on function marketing_automation.key_query(regclass, text, regtype, text) is
    'API: private. Query for the rows whose keys are in $1 (text[]), in a form that uses the index on the key';

create function marketing_automation.record_query(activity_id integer) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select marketing_automation.key_query(m.relation, m.key, m.key_type, concat_ws(', ',
        marketing_automation.as_text(m.key), marketing_automation.as_condition(a.condition), 'to_jsonb(self.*)',
        marketing_automation.as_text(m.email), marketing_automation.as_text(m.recipient_name),
        marketing_automation.as_text(m.language), marketing_automation.as_text(m.time_zone),
        case when s.goal is null then 'false' else marketing_automation.as_condition(s.goal) end,
        marketing_automation.as_condition(m.track_opens), marketing_automation.as_condition(m.track_clicks)))
    from marketing_automation.activity a
    join marketing_automation.scenario s on s.id = a.scenario_id
    join marketing_automation.model m on m.name = s.model
    where a.id = activity_id
$$;
comment on function marketing_automation.record_query(integer) is
    'API: private. Query, to run as the scenario''s owner, that gives what an activity needs of the rows whose keys are in $1 (text[])';

create function marketing_automation.process_records(activity marketing_automation.activity, records bigint[], now timestamptz) returns integer
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set random_page_cost = 1 as $$
declare
    scenario marketing_automation.scenario;
    query text := marketing_automation.record_query(activity.id);
    -- The mailer knows no other time than the present: what is sent at an assumed time in the future leaves now.
    mail_due timestamptz := least(now, clock_timestamp());
    limited boolean := exists (select from marketing_automation.domain_limit);
    processed integer;
    queued integer;
begin
    select s.* into strict scenario from marketing_automation.scenario s where s.id = activity.scenario_id;
    if activity.on_event is not null then
        -- Not waiting, since applying events has locked others before: what somebody holds is left for the next batch.
        records := array(
            select f.record_id from marketing_automation.finished_activity f
            where f.activity_id = activity.parent_id and f.record_id = any (records)
            order by f.record_id for no key update skip locked);
        if activity.on_event like 'email\_not\_%' then
            perform marketing_automation.apply_events_of(activity.parent_id, records);
        end if;
    end if;
    if scenario.goal_ends_journey then
        -- Nor wait for another activity's batch that cancels rows of this one: it may be waiting for a conversion of ours.
        records := array(
            select w.record_id from marketing_automation.waiting_activity w
            where w.activity_id = activity.id and w.record_id = any (records) for update skip locked);
    end if;
    with taken as (
        delete from marketing_automation.waiting_activity w
        where w.activity_id = activity.id and w.record_id = any (records)
        returning w.record_id, w.at
    ), live as materialized (
        select t.record_id, t.at, r.key, r.party,
               r.blocked_at is not null or exists (
                   select from marketing_automation.unsubscription u
                   where u.scenario_id in (0, r.scenario_id) and u.party = r.party) as blocked,
               scenario.goal_ends_journey and exists (
                   select from marketing_automation.conversion c where c.record_id = t.record_id and c.source = 'goal') as arrived
        from taken t join marketing_automation.record r on r.id = t.record_id
    ), found as materialized (
        select q.*
        from marketing_automation.query_as_owner(scenario.owner, query, array(select l.key from live l where not l.blocked and not l.arrived))
             as q (key text, holds boolean, context jsonb, email text, recipient_name text, language text, time_zone text, reached boolean,
                   track_opens boolean, track_clicks boolean)
    ), decided as materialized (
        select l.record_id, l.at, l.key, l.party, f.context, f.email, f.recipient_name, f.language, f.time_zone, f.reached,
               f.track_opens, f.track_clicks,
               case when l.blocked then 'blocked'
                    when l.arrived or f.reached and scenario.goal_ends_journey then 'goal_reached'
                    when f.key is null then 'row_missing'
                    when not f.holds then 'condition_not_met'
                    when activity.action is null then 'executed'
                    when nullif(trim(f.email), '') is null then 'no_address'
                    else 'mailed' end as outcome
        from live l left join found f on f.key = l.key
    ), finished as (
        insert into marketing_automation.finished_activity (record_id, activity_id, state, outcome, at, finished_at)
        select d.record_id, activity.id, case when d.outcome in ('blocked', 'goal_reached') then 'cancelled' else 'done' end, d.outcome, d.at, now from decided d
    ), mail as (
        insert into marketing_automation.outbox
            (id, record_id, activity_id, key, party, email, recipient_name, language, time_zone, context, track_opens, track_clicks, created_at, due_at, lane)
        select nextval('marketing_automation.message_id_seq'), d.record_id, activity.id, d.key, d.party, trim(d.email),
               d.recipient_name, d.language, d.time_zone, d.context, d.track_opens and scenario.track_opens, d.track_clicks and scenario.track_clicks, now, mail_due,
               case when limited
                    then coalesce((select l.domain from marketing_automation.domain_limit l where l.domain = marketing_automation.address_domain(d.email)), '')
                    else '' end
        from decided d where d.outcome = 'mailed'
    ), converted as (
        -- In order, as batches of other activities may convert the same records.
        insert into marketing_automation.conversion (record_id, scenario_id, at, source)
        select d.record_id, scenario.id, now, 'goal' from decided d where d.reached order by d.record_id
        on conflict (record_id) where source = 'goal' do nothing
    ), arriving as (
        -- What others hold will end so when it is due.
        delete from marketing_automation.waiting_activity w
        where w.ctid = any (array(
            select o.ctid from decided d join marketing_automation.waiting_activity o on o.record_id = d.record_id and o.activity_id <> activity.id
            where scenario.goal_ends_journey and d.outcome = 'goal_reached' for update of o skip locked))
        returning w.record_id, w.activity_id, w.at, 'goal_reached' as outcome
    ), opposite as (
        delete from marketing_automation.waiting_activity w
        using decided d, marketing_automation.activity o
        where activity.on_event is not null and d.outcome not in ('blocked', 'goal_reached')
          and o.parent_id = activity.parent_id and o.on_event = marketing_automation.opposite_event(activity.on_event)
          and w.record_id = d.record_id and w.activity_id = o.id
        returning w.record_id, w.activity_id, w.at, 'opposite_executed' as outcome
    ), other as (
        select * from opposite union all select * from arriving
    ), cancelled as (
        insert into marketing_automation.finished_activity (record_id, activity_id, state, outcome, at, finished_at)
        select o.record_id, o.activity_id, 'cancelled', o.outcome, o.at, now from other o
    ), counted as materialized (
        select count(*) as records, count(*) filter (where d.outcome in ('blocked', 'goal_reached')) as cancelled, count(*) filter (where d.outcome = 'mailed') as mailed
        from decided d
    ), tallied as (
        insert into marketing_automation.activity_tally (activity_id, period, done, cancelled, mailed)
        select activity.id, marketing_automation.tally_period(now), c.records - c.cancelled, c.cancelled, c.mailed from counted c where c.records > 0
        union all
        select o.activity_id, marketing_automation.tally_period(now), 0, count(*), 0 from other o group by o.activity_id
    ), children as (
        -- Children of a mail start when the server has taken it: see finish_messages().
        insert into marketing_automation.waiting_activity (record_id, activity_id, at)
        select d.record_id, c.id, now + coalesce(c.delay, interval '0')
        from decided d join marketing_automation.activity c on c.parent_id = activity.id
        where d.outcome in ('executed', 'no_address')
          and (c.on_event is null or c.on_event like 'email\_not\_%')
          and not exists (select from marketing_automation.finished_activity f where f.record_id = d.record_id and f.activity_id = c.id)
        on conflict do nothing
    )
    select c.records, c.mailed into processed, queued from counted c;
    if queued > 0 then
        perform marketing_automation.notify_mailer();
    end if;
    return processed;
end $$;
comment on function marketing_automation.process_records(marketing_automation.activity, bigint[], timestamptz) is
    'API: private. Runs one activity for these records in one statement; raises what a user expression raises';

create function marketing_automation.is_passing_error(code text) returns boolean
language sql immutable
-- Transaction rollback, resources, system errors, lock not available (PostgreSQL, appendix A): not the fault of a row,
-- trying again later can help.
return left(code, 2) in ('40', '53', '58') or code = '55P03';
comment on function marketing_automation.is_passing_error(text) is 'API: private. Whether trying again later can help, judged by SQLSTATE';

create function marketing_automation.refresh_key_type(scenario marketing_automation.scenario) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    model marketing_automation.model;
begin
    select m.* into strict model from marketing_automation.model m where m.name = scenario.model;
    if marketing_automation.check_expression(scenario.owner, model.relation, model.key, 'key') = model.key_type then
        return false;
    end if;
    -- Finding the type is what the trigger does.
    update marketing_automation.model m set key_type = m.key_type where m.name = model.name;
    return true;
exception when others then
    -- Whatever is wrong with the key, there is an error about it already.
    return false;
end $$;
comment on function marketing_automation.refresh_key_type(marketing_automation.scenario) is
    'API: private. Whether the key was found to have another type than it was registered with, because its column was retyped (integer to bigint): keys cast to the old type would not all fit';

create function marketing_automation.process_or_fail(activity marketing_automation.activity, records bigint[], now timestamptz) returns integer
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    half integer := cardinality(records) / 2;
    message text;
    code text;
    broken text;
begin
    begin
        return marketing_automation.process_records(activity, records, now);
    exception when others then
        get stacked diagnostics message = message_text, code = returned_sqlstate, broken = constraint_name;
        if broken = 'finished_activity_pkey' then
            message := 'several rows of the model have the key of this record';
        end if;
        if code in ('22003', '22P02') and (
                select marketing_automation.refresh_key_type(s) from marketing_automation.scenario s where s.id = activity.scenario_id) then
            return marketing_automation.process_or_fail(activity, records, now);
        end if;
        if marketing_automation.is_passing_error(code) then
            raise;
        end if;
    end;
    -- Halve until the poisonous records are alone: each costs log2(batch) statements, the others go through.
    if half > 0 then
        return marketing_automation.process_or_fail(activity, records[:half], now)
             + marketing_automation.process_or_fail(activity, records[half + 1:], now);
    end if;
    with taken as (
        delete from marketing_automation.waiting_activity w
        where w.activity_id = activity.id and w.record_id = any (records)
        returning w.record_id, w.at
    ), failed as (
        insert into marketing_automation.finished_activity (record_id, activity_id, state, outcome, at, finished_at, error, error_code)
        select t.record_id, activity.id, 'failed', 'error', t.at, now, message, code from taken t
        on conflict do nothing
        returning record_id
    )
    insert into marketing_automation.activity_tally (activity_id, period, failed)
    select activity.id, marketing_automation.tally_period(now), 1 from failed;
    return cardinality(records);
end $$;
comment on function marketing_automation.process_or_fail(marketing_automation.activity, bigint[], timestamptz) is
    'API: private. Like process_records, but a record whose expressions raise fails alone, with its error kept';

create function marketing_automation.process_activity(activity marketing_automation.activity, batch_size integer, now timestamptz) returns integer
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    scenario marketing_automation.scenario;
    processed integer;
    message text;
    code text;
begin
    select s.* into strict scenario from marketing_automation.scenario s where s.id = activity.scenario_id;
    begin
        -- A definition that no longer plans (a column was dropped, rights were revoked) and errors that pass are not the
        -- fault of the records: they keep waiting, the scenario says why, and other activities go on.
        perform marketing_automation.usable_model(scenario);
        perform marketing_automation.plan_as_owner(scenario.owner, marketing_automation.record_query(activity.id));
        processed := marketing_automation.process_or_fail(activity, array(
            select d.record_id from (
                select w.record_id from marketing_automation.waiting_activity w
                where w.activity_id = activity.id and w.at between marketing_automation.scan_start('waiting', activity.id, '') and now
                order by w.at limit batch_size) d
            order by d.record_id), now);
        perform marketing_automation.forget_error(activity.scenario_id, activity.id, now);
        return processed;
    exception when others then
        get stacked diagnostics message = message_text, code = returned_sqlstate;
    end;
    if code = '42883' and marketing_automation.refresh_key_type(scenario) then
        return marketing_automation.process_activity(activity, batch_size, now);
    end if;
    message := coalesce(case when marketing_automation.is_broken_definition(code) then marketing_automation.definition_error(scenario, activity.id) end,
        format('activity "%s": %s', activity.name, message));
    -- Once: this is called batch by batch, and finds the same each time.
    if marketing_automation.note_error(activity.scenario_id, activity.id, message, code) then
        raise warning 'scenario "%" did not process: %', scenario.name, message using errcode = code;
    end if;
    return 0;
end $$;
comment on function marketing_automation.process_activity(marketing_automation.activity, integer, timestamptz) is
    'API: private. Runs one batch of the due records of one activity, which the caller has locked; returns how many, 0 after an error, which is kept';

create function marketing_automation.process_due(batch_size integer default 1000, now timestamptz default null) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    activity marketing_automation.activity;
    assumed timestamptz := marketing_automation.time_or_now(now, null);
    thorough boolean;
    tried integer[] := '{}';
    processed integer;
begin
    if batch_size is null or batch_size not between 1 and 100000 then
        raise exception 'batch_size must be between 1 and 100000, not %', batch_size using errcode = 'invalid_parameter_value';
    end if;
    -- Positive events start activities that may be due at once. Where a mailer runs, it has mostly done so.
    perform marketing_automation.apply_batch(5000);
    -- First from where this session has found due records last, then from the beginning: see scan_start().
    foreach thorough in array array[false, true] loop
        for activity in
            select a.*
            from marketing_automation.activity a
            join marketing_automation.scenario s on s.id = a.scenario_id and s.state = 'running'
                and (process_due.now is null or marketing_automation.may_choose_time(s))
            cross join lateral (select case when thorough then '-infinity' else marketing_automation.scan_start('waiting', a.id, '') end as at) begin
            cross join lateral (
                select w.at from marketing_automation.waiting_activity w
                where w.activity_id = a.id and w.at between begin.at and assumed order by w.at limit 1) as due
            where a.id <> all (tried)
            order by marketing_automation.note_scan('waiting', a.id, '', due.at), a.id
        loop
            tried := tried || activity.id;
            perform from marketing_automation.activity a where a.id = activity.id for no key update skip locked;
            if found then
                processed := marketing_automation.process_activity(activity, batch_size, assumed);
                if processed > 0 then
                    return processed;
                end if;
            end if;
        end loop;
    end loop;
    perform marketing_automation.merge_tallies();
    return 0;
end $$;
comment on function marketing_automation.process_due(integer, timestamptz) is
    'API: public. Runs one batch, at most batch_size records (1 to 100000) of the activity that has been due longest and that no other session is processing; '
    'returns how many, 0 when nothing is left. now: time to assume instead of the present (tests, simulations); '
    'only scenarios of whose owner the session''s user is a member run then, and their mails leave at once';

create procedure marketing_automation.process_all_due(batch_size integer default 1000, now timestamptz default null)
language plpgsql as $$
begin
    -- A full batch of events says that there are more; a steady stream of new ones does not keep this from ending.
    while marketing_automation.process_due(batch_size, now) operator(pg_catalog.>) 0
       or marketing_automation.apply_events(5000) operator(pg_catalog.=) 5000 loop
        commit;
    end loop;
end $$;
comment on procedure marketing_automation.process_all_due(integer, timestamptz) is
    'API: public. Runs everything that is due, committing batch by batch. Not inside a transaction block. Arguments as those of process_due()';

create function marketing_automation.retry(failed marketing_automation.record_activity) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    activity marketing_automation.activity;
    failure marketing_automation.finished_activity;
    its_state text;
    obsolete text;
    at timestamptz := clock_timestamp();
begin
    select a.* into activity from marketing_automation.activity a where a.id = failed.activity_id;
    -- Whoever decides about the opposite side holds the parent's row.
    perform from marketing_automation.finished_activity f
    where f.record_id = failed.record_id and f.activity_id in (failed.activity_id, activity.parent_id)
    order by f.activity_id for no key update;
    select f.* into failure from marketing_automation.finished_activity f
    where f.record_id = failed.record_id and f.activity_id = failed.activity_id and f.state = 'failed';
    if not found then
        select ra.state into its_state from marketing_automation.record_activity ra
        where ra.record_id = failed.record_id and ra.activity_id = failed.activity_id;
        if its_state is null then
            raise exception 'record % has no activity %', failed.record_id, failed.activity_id using errcode = 'undefined_object';
        end if;
        raise exception 'activity "%" of key "%" is %, only a failed one is run again',
            activity.name, (select r.key from marketing_automation.record r where r.id = failed.record_id), its_state
            using errcode = 'object_not_in_prerequisite_state',
                  hint = 'Say which: select marketing_automation.retry(a) from marketing_automation.record_activity a where a.state = ''failed'';';
    end if;
    -- What would have cancelled it, had it waited meanwhile.
    select case
            when r.blocked_at is not null then 'blocked'
            when case activity.on_event when 'email_not_opened' then p.opened_at when 'email_not_clicked' then p.clicked_at
                                      when 'email_not_bounced' then p.bounced_at end is not null
            then 'event_arrived'
        end
    into obsolete
    from marketing_automation.record r
    left join marketing_automation.finished_activity p on p.record_id = r.id and p.activity_id = activity.parent_id
    where r.id = failure.record_id;
    if obsolete is null then
        delete from marketing_automation.finished_activity f where f.record_id = failure.record_id and f.activity_id = failure.activity_id;
        insert into marketing_automation.waiting_activity (record_id, activity_id, at) values (failure.record_id, failure.activity_id, at);
    else
        update marketing_automation.finished_activity f set state = 'cancelled', outcome = obsolete, error = null, error_code = null
        where f.record_id = failure.record_id and f.activity_id = failure.activity_id;
    end if;
    insert into marketing_automation.activity_tally (activity_id, period, failed, cancelled)
    values (failure.activity_id, marketing_automation.tally_period(failure.finished_at), -1, (obsolete is not null)::integer);
end $$;
comment on function marketing_automation.retry(marketing_automation.record_activity) is
    'API: public. Runs a failed activity of a record again: it waits and is due now. Cancelled instead, if meanwhile its record was blocked '
    'or the event that it waits to miss has arrived';
