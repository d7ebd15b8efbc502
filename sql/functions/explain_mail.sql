-- How a mail fares, told for people.

create function marketing_automation_internal.mail_obstacle(message marketing_automation.message) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select case
        when exists (select from marketing_automation.sending_pause) then marketing_automation_internal.pause_note()
        when s.state <> 'running' and message.record_id is not null then format('the scenario is %s', s.state)
        when exists (select from marketing_automation_internal.barred_activity x where x.activity_id = message.activity_id) then
            format('role "%s" may not send as its sender, see sender_permission', s.owner)
        when v.opens_at is not null and message.record_id is not null then format('send window "%s"%s is shut until %s', v.name,
            case when v.is_of_class then ' of its class' else '' end, marketing_automation_internal.moment(v.opens_at))
        when c.waits_until > clock_timestamp() then format('%s, until %s', c.reason, marketing_automation_internal.moment(c.waits_until))
        when t.paused_until is not null then format('its target is out of reach: %s', coalesce(t.last_error, 'no reason given'))
        when l.per_second = 0 then format('domain_limit lets no mail leave to %s', l.domain)
        -- A standby has no mailer, and does not know how its primary's is.
        when w.state in ('paused', 'unconfigured', 'disarmed', 'outdated', 'not running', 'not preloaded') and not pg_is_in_recovery() then
            format('the mailer is %s, see worker_status()', w.state)
        when b.tokens < 1 then format('the limit of %s leaves no room until %s', l.domain, marketing_automation_internal.moment(b.ready_at))
    end
    from marketing_automation.worker_status() w
    left join marketing_automation.activity a on a.id = message.activity_id
    left join marketing_automation.scenario s on s.id = a.scenario_id
    left join marketing_automation.domain_limit l on message.target is null and l.domain = marketing_automation_internal.address_domain(message.email)
    left join marketing_automation_internal.domain_queue_budget b on b.domain_queue = l.domain
    left join lateral (
        -- It leaves when the last of them has opened.
        select w.name, t.opens_at, w.name is distinct from coalesce(a.send_window, s.send_window) as is_of_class
        from marketing_automation_internal.its_windows(a) w
        cross join lateral marketing_automation_internal.window_state(w, marketing_automation_internal.window_zone(w, message.time_zone),
            clock_timestamp()) t
        where t.opens_at is not null order by t.opens_at desc limit 1) v on true
    left join lateral marketing_automation_internal.capped_mails(array[message.id], clock_timestamp()) c on true
    left join marketing_automation_internal.smtp_usage t on t.server = message.target
$$;
comment on function marketing_automation_internal.mail_obstacle(marketing_automation.message) is
    'API: private. What keeps a queued mail from being sent now, null: nothing that is known';

create function marketing_automation_internal.mail_objection(message marketing_automation.message) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    -- As the claim asks, in its order.
    select case
        when r.blocked_at is not null then 'the record is blocked'
        when a.action = 'webhook' then coalesce(case when r.end_reason is not null then
            marketing_automation_internal.end_in_words(r.end_reason) end, marketing_automation_internal.webhook_objection(s.owner_id, message.target))
        when k.honors_unsubscribe and exists (select from marketing_automation.unsubscription u
            where u.scenario_id in (0, s.id) and u.party = r.party) then 'its party has unsubscribed'
        when r.end_reason is not null then marketing_automation_internal.end_in_words(r.end_reason)
        when k.honors_unsubscribe and marketing_automation_internal.has_left(h.of_party, s.id, r.party)
            then 'its address has unsubscribed'
        when x.reason is not null then 'its address is suppressed'
        when k.honors_unsubscribe then marketing_automation_internal.withheld(s.topic, r.party, h.of_party)
    end
    from marketing_automation_internal.record r
    join marketing_automation.activity a on a.id = message.activity_id
    join marketing_automation.scenario s on s.id = a.scenario_id
    join marketing_automation.message_class k on k.name = coalesce(a.message_class, s.message_class)
    cross join lateral (select marketing_automation.address_hash(message.email),
        marketing_automation.address_hash(case when message.instead_of is null then message.email else nullif(message.instead_of, '') end))
        as h (address_hash, of_party)
    left join marketing_automation.suppression x on x.address_hash = h.address_hash
    where r.id = message.record_id
$$;
comment on function marketing_automation_internal.mail_objection(marketing_automation.message) is
    'API: private. Why a queued mail of a record will never be sent, as it stands now; null: nothing that is known';

create function marketing_automation_internal.explain_mail(message marketing_automation.message, sees boolean) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select case message.state
        when 'queued' then case when o.objection is not null then 'its mail is queued and will not be sent: ' || o.objection
            else format('its mail is queued%s',
            ': ' || marketing_automation_internal.mail_obstacle(message)) ||
            case when marketing_automation_internal.mail_obstacle(message) is not null then ''
                 when message.next_attempt_at > clock_timestamp()
                 then ', to be sent from ' || marketing_automation_internal.moment(message.next_attempt_at)
                 else ', to be sent now' end end
        when 'sending' then 'its mail is being sent'
        when 'deferred' then format('its mail is deferred until %s, attempt %s: %s',
            marketing_automation_internal.moment(message.next_attempt_at), message.attempts, coalesce(r.reply, 'no reply'))
            || coalesce('; it will not be tried again: ' || o.objection, '; ' || marketing_automation_internal.mail_obstacle(message), '')
        when 'in_doubt' then format('nobody knows whether its mail was taken (%s): retry(%s) or cancel(%s)', r.reply,
            message.id, message.id)
        when 'sent' then 'its mail was sent ' || marketing_automation_internal.moment(message.sent_at)
        when 'bounced' then format('its mail was sent %s and came back', marketing_automation_internal.moment(message.sent_at))
        when 'failed' then 'its mail failed: ' || coalesce(r.reply, 'no reply')
        when 'suppressed' then 'its mail was not sent: ' || coalesce(message.smtp_reply, 'suppressed')
    end || case when sees then marketing_automation_internal.addresses_in_words(message.email, message.instead_of is not null,
        nullif(concat_ws(', ', message.cc, message.bcc), '')) else '' end
    from (select case when sees or message.smtp_reply !~ '^(template|sender|reply-to|recipient|subject|message)\M' then message.smtp_reply
        else substring(message.smtp_reply from '^(?:template: )?[^:"]*') end) as r (reply)
    left join lateral (select marketing_automation_internal.mail_objection(message) as objection
        where message.state in ('queued', 'deferred')) o on true
$$;
comment on function marketing_automation_internal.explain_mail(marketing_automation.message, boolean) is
    'API: private. How a mail fares, in words. sees: whether they may quote the row';
