-- What each activity of a tree did for a record, or waits for, or why it never will: told for people.

create function marketing_automation_internal.explain_activities(scenario marketing_automation.scenario, of_record bigint,
    sees boolean)
returns table (activity_id integer, about text, fact text)
language plpgsql stable rows 20 set search_path = pg_catalog, pg_temp as $$
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
        where f.record_id = of_record and f.outcome in ('mailed', 'posted')
          and not exists (select from marketing_automation_internal.message_log l where l.record_id = of_record
              and l.activity_id = f.activity_id)) then
        mails := mails || array(select o.id from marketing_automation_internal.outbox o where o.record_id = of_record);
    end if;
    for node in
        select t.prefix, a, f, w.at as waits_until, m, p as parent, pf, pm, its.name as send_window,
               d.record_id is not null and d.activity_id is distinct from a.id as is_passed_over, taken.name as taken,
               d.activity_id = a.id as is_taken, variant.name as variant,
               case when isfinite(w.at) then marketing_automation_internal.time_to_run(a, its, its_zone, w.at) end as runs_at,
               c.result,
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
        left join marketing_automation_internal.call_result c on c.record_id = of_record and c.activity_id = a.id
        left join marketing_automation_internal.its_window(a) its on its.name is not null
        left join marketing_automation_internal.finished_activity pf on pf.record_id = of_record and pf.activity_id = a.parent_id
        left join marketing_automation.message m on m.id = any (mails) and m.activity_id = a.id
        left join marketing_automation.message pm on pm.id = any (mails) and pm.activity_id = a.parent_id
        -- Which variant a mail was decides nothing for what follows it.
        left join marketing_automation_internal.branch_decision d on d.record_id = of_record and d.parent_id = a.parent_id
            and (a.on_event = 'variant'
                 or a.on_event is null and not exists (select from marketing_automation_internal.variants(a.parent_id)))
        left join marketing_automation_internal.branch_decision x on x.record_id = of_record and x.parent_id = a.id
            and exists (select from marketing_automation_internal.variants(a.id))
        left join marketing_automation.activity variant on variant.id = x.activity_id
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
            when (node.a).on_event = 'variant' then case when node.is_taken then format('is the variant of "%s" that it gets', (node.parent).name)
                when (node.pf).state <> 'done' or (node.pf).outcome <> 'mailed'
                    or node.pf is null and (blocked or arrived or its_end is not null or is_held_out) then
                    format('is not its variant of "%s", which sends nothing', (node.parent).name)
                when node.is_passed_over and (node.taken is not null or (node.parent).metric is null) then
                    format('is not its variant of "%s"', (node.parent).name)
                else format('may be its variant of "%s"', (node.parent).name) end
            when node.waits_until = 'infinity' then 'waits for the winner of its experiment'
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
                    when 'mailed' then coalesce(', variant "' || node.variant || '"', '') || ', '
                        || coalesce(marketing_automation_internal.explain_mail(node.m, sees),
                        'its mail is no longer in the log')
                        -- Those of a mail under way.
                        || (select case count(*) when 0 then '' when 1 then ', with an attachment' else format(', with %s attachments', count(*)) end
                            from marketing_automation_internal.outbox_file o where o.message_id = (node.m).id and (node.m).sent_at is null)
                        || coalesce(', opened ' || marketing_automation_internal.moment((node.f).opened_at), '')
                        || coalesce(', clicked ' || marketing_automation_internal.moment((node.f).clicked_at), '')
                        || coalesce(', returned ' || marketing_automation_internal.moment((node.f).bounced_at), '')
                    when 'posted' then ', ' || coalesce(replace(marketing_automation_internal.explain_mail(node.m, sees), 'its mail', 'its webhook'),
                        'its webhook is no longer in the log')
                    when 'executed' then coalesce(', its call returned ' || case when sees then marketing_automation_internal.shortened(
                        node.result::text, 200) else 'what is for who may read the row' end, '')
                    when 'expired' then ', did nothing: its date was too long ago'
                    when 'no_address' then ', without a mail: the row had no ' || case when (node.a).recipient is null then 'address' else 'recipient' end
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
            when node.pf is null and (node.a).on_event = 'condition_not_met' then
                format('starts when the condition of "%s" is not true', (node.parent).name)
            when node.pf is null and (node.parent).action = 'webhook' then format(case when (node.a).on_event = 'webhook_failed'
                then 'starts when the webhook of "%s" fails' else 'starts when the webhook of "%s" is delivered' end, (node.parent).name)
            when node.pf is null and (node.parent).action = 'send_email' then format('starts when the mail of "%s" has gone',
                (node.parent).name)
            when node.pf is null and (node.a).on_event = 'call_failed' then format('starts when "%s" fails', (node.parent).name)
            when node.pf is null then format(case when (node.parent).branch_by is null then 'starts when "%s" has run'
                else 'starts if "%s" decides on it' end, (node.parent).name)
            when (node.pf).state = 'failed' and (node.a).on_event = 'call_failed' then
                format('never starts: it was added after "%s" had failed', (node.parent).name)
            when (node.pf).state <> 'done' then format('never starts: "%s" %s', (node.parent).name, case (node.pf).state when 'failed'
                then 'failed' else 'was cancelled' end)
            when (node.a).on_event = 'call_failed' then format('never starts: "%s" has not failed', (node.parent).name)
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
            when (node.a).on_event = 'webhook_failed' then case
                when (node.pm).sent_at is not null then format('never starts: the webhook of "%s" was delivered', (node.parent).name)
                when (node.pm).state not in ('failed', 'suppressed') then format('starts if the webhook of "%s" fails', (node.parent).name)
                else format('never starts: it was added after the webhook of "%s" had failed', (node.parent).name) end
            when (node.pf).outcome = 'posted' and (node.pm).state in ('failed', 'suppressed') then
                format('never starts: the webhook of "%s" was not delivered', (node.parent).name)
            when (node.pf).outcome = 'posted' and (node.pm).sent_at is null and (node.pm).id is not null then
                format('starts when the webhook of "%s" is delivered', (node.parent).name)
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
