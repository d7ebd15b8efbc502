-- What people do about a single mail: send it once more, or not at all.

create function marketing_automation_internal.retry(caller regrole, message bigint)
    returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    its_state text;
    its_activity integer;
begin
    select m.state, m.activity_id into its_state, its_activity from marketing_automation.message m where m.id = retry.message;
    perform marketing_automation_internal.demand_activity(caller, its_activity);
    if its_state in ('queued', 'deferred', 'in_doubt') then
        update marketing_automation_internal.outbox o
        set state = 'queued', due_at = clock_timestamp(), first_attempt_at = case o.state when 'queued' then o.first_attempt_at end
        where o.id = retry.message and o.state in ('queued', 'in_doubt');
    elsif its_state = 'failed' then
        with failed as (
            delete from marketing_automation_internal.message_log l where l.id = retry.message and l.state = 'failed' returning l.*
        ), counters as (
            insert into marketing_automation_internal.activity_counter (activity_id, period, not_sent)
            select f.activity_id, marketing_automation_internal.counter_period(f.created_at), -1 from failed f where f.record_id is not null
        )
        insert into marketing_automation_internal.outbox
            (id, record_id, activity_id, key, party, email, recipient_name, language, time_zone, context, track_opens, track_clicks,
                created_at, attempts, due_at, smtp_reply, channel, target, addresses)
        select f.id, f.record_id, f.activity_id, f.key, f.party, f.email, f.recipient_name, f.language, f.time_zone, f.context,
            f.track_opens, f.track_clicks, f.created_at,
               f.attempts, clock_timestamp(), f.smtp_reply, case when f.target is null then 'mail' else 'webhook' end, f.target,
            f.addresses
        from failed f;
        -- Its templates may have been changed so that it does not fail again.
        begin
            perform marketing_automation_internal.attach_files(its_activity, array[message]);
        exception when others then
            -- The text may quote the row.
            if marketing_automation_internal.is_for_the_caller(sqlstate) or marketing_automation_internal.sees_rows(caller, (
                    select a.scenario_id from marketing_automation.activity a where a.id = its_activity)) then
                raise;
            end if;
            raise exception 'message % cannot be made again: %', message, marketing_automation_internal.public_error(sqlerrm, sqlstate)
                using errcode = sqlstate;
        end;
        perform marketing_automation_internal.complete_contexts(array(
            select m.activity_id from marketing_automation.message m where m.id = retry.message));
    elsif its_state is null then
        raise exception 'message % does not exist', message
            using errcode = 'undefined_object', hint = 'See: select id, state from marketing_automation.message where email = …;';
    else
        raise exception 'message % is %, nothing is to be tried again', message, its_state
            using errcode = 'object_not_in_prerequisite_state', hint = 'Mails that failed or are in doubt are.';
    end if;
    perform marketing_automation_internal.notify_mailer();
end $$;
comment on function marketing_automation_internal.retry(regrole, bigint) is 'API: private. Behind retry()';

create function marketing_automation.retry(message bigint)
    returns void
language c volatile as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.retry(bigint) is
    'API: public. Sends a mail that waits now, and one that failed or is in doubt once more, its retry_window begun anew; under the '
    'same Message-ID';

create function marketing_automation_internal.cancel(caller regrole, message bigint) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    perform marketing_automation_internal.demand_activity(caller, (select m.activity_id from marketing_automation.message m
        where m.id = cancel.message));
    with cancelled as (
        delete from marketing_automation_internal.outbox o where o.id = cancel.message and o.state in ('queued', 'in_doubt') returning o.*
    ), counters as (
        insert into marketing_automation_internal.activity_counter (activity_id, period, not_sent)
        select c.activity_id, marketing_automation_internal.counter_period(c.created_at), 1 from cancelled c where c.record_id is not null
    )
    insert into marketing_automation_internal.message_log
        (id, record_id, activity_id, key, party, email, recipient_name, language, time_zone, context, track_opens, track_clicks,
            created_at, state, attempts, finished_at, smtp_reply, target, addresses)
    select c.id, c.record_id, c.activity_id, c.key, c.party, c.email, c.recipient_name, c.language, c.time_zone, '{}', c.track_opens,
        c.track_clicks, c.created_at,
           'suppressed', c.attempts, clock_timestamp(), format('cancelled by %s', caller), c.target, c.addresses
    from cancelled c;
    if not found then
        raise exception 'message % is not waiting to be sent', message
            using errcode = 'object_not_in_prerequisite_state',
                  detail = coalesce((select format('It is %s.', m.state) from marketing_automation.message m where m.id = cancel.message),
                      'It does not exist.'),
                  hint = 'See: select id from marketing_automation.message where state in (''queued'', ''in_doubt'');';
    end if;
end $$;
comment on function marketing_automation_internal.cancel(regrole, bigint) is 'API: private. Behind cancel()';

create function marketing_automation.cancel(message bigint) returns void
language c volatile as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.cancel(bigint) is
    'API: public. Ends a mail that is queued, deferred or in doubt: it is not sent (again), and starts no children';
