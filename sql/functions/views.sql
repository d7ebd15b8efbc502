-- What people see of the tables that work is done in. Each shows what is of the reader's scenarios, or all to who reads every scenario:
-- see teams.sql. security_barrier: no function of the reader sees a row before that is known.

create view marketing_automation.record with (security_barrier) as
select r.id, r.scenario_id, r.key, r.party, r.uuid, r.entered_at, r.blocked_at, r.time_zone, r.unsubscribed_at, r.ended_at,
    r.end_reason, r.goal_before, r.held_out, r.occasion, r.run
from marketing_automation_internal.record r
where (select v.reads_every from marketing_automation_internal.reader v)
   or r.scenario_id in (select s.id from marketing_automation_internal.readable_scenario s);
comment on view marketing_automation.record is
    'API: public. Rows of models that entered a scenario: once, ever, or, where it says so, again. Of your scenarios, or of all: see '
    'docs/teams.md';
comment on column marketing_automation.record.key is 'Value of the model''s key expression, as text';
comment on column marketing_automation.record.party is 'Value of the model''s party expression when it entered, as text';
comment on column marketing_automation.record.uuid is
    'Public random id (RFC 9562 version 8: 48 bits of id, 74 random bits), found through the primary key: see record_id(uuid)';
comment on column marketing_automation.record.time_zone is
    'Value of the model''s time_zone expression when it entered: where days and months of delays count, if there is such a zone; null: '
    'that of the database';
comment on column marketing_automation.record.blocked_at is 'Since when nothing more runs for this record; null: not blocked';
comment on column marketing_automation.record.unsubscribed_at is
    'When processing first cancelled something because the party had left; null: nothing was, or the party came back';

comment on column marketing_automation.record.ended_at is 'When its journey ended before its time: nothing more runs; null: it did not';
comment on column marketing_automation.record.end_reason is
    'Why: exited, the exit condition of the scenario was true; goal_reached, the goal, where it ends journeys; entered_again, its row '
    'entered again';
comment on column marketing_automation.record.goal_before is
    'Whether it had reached the goal of the scenario already when it entered: it never converts';
comment on column marketing_automation.record.held_out is
    'Whether it is held out: it starts no activity and gets no mail, and its goal is measured to compare with';
comment on column marketing_automation.record.occasion is
    'Value of the scenario''s occasion expression when it entered, as text: what it entered for; null: the scenario has none';
comment on column marketing_automation.record.run is 'How many times its row has entered the scenario, this one included';

create view marketing_automation.event with (security_barrier) as
select e.id, e.occurred_at, e.kind, e.record_id, e.activity_id, e.link_id, e.method, e.address, e.user_agent, e.robot, e.party,
    e.scenario_id,
    -- It may hold anything of the row. The array stands outside of both, where it is planned, and made, once a query.
    case when e.activity_id = any (array(select a.id from marketing_automation_internal.open_activity a))
        then (select l.url from marketing_automation.link l where l.id = e.link_id)
        else (select substring(l.url from '^[^/?#]*//[^/?#]*') || '/…' from marketing_automation.link l where l.id = e.link_id) end as url
from marketing_automation_internal.event e
where (select v.reads_every from marketing_automation_internal.reader v)
   or case
        when e.activity_id is not null then e.activity_id in (select a.id from marketing_automation_internal.readable_activity a)
        when e.scenario_id is not null then e.scenario_id in (select s.id from marketing_automation_internal.readable_scenario s)
        else exists (select from marketing_automation.record r where r.id = e.record_id) end;
comment on view marketing_automation.event is
    'API: public. Log of opens, clicks, bounces and complaints, of unsubscribing and blocking, and of what took them back. Rows are '
    'added; judging marks those of robots, and forget() erases a person''s. Of your scenarios, or of all';
comment on column marketing_automation.event.id is
    'Chosen by the reporter (the proxy makes UUIDv7, RFC 9562): the same id twice is one event';
comment on column marketing_automation.event.method is
    'HTTP method of an open or click: GET, HEAD or POST; PREFETCH is a GET in advance, before anybody has asked for it';
comment on column marketing_automation.event.address is
    'Network that an open or click came from, if hit_details is full: see address_prefix()';
comment on column marketing_automation.event.user_agent is 'What hit_details leaves of it: see kept_user_agent()';
comment on column marketing_automation.event.party is 'Who was unsubscribed or resubscribed';
comment on column marketing_automation.event.scenario_id is
    'What party was unsubscribed from or resubscribed to, 0: everything; null: this record only';
comment on column marketing_automation.event.robot is
    'The rule by which it is a robot''s, which starts and counts for nothing: see robot_rule; null: a person''s';
comment on column marketing_automation.event.url is
    'The address of a clicked link, for members of the scenario''s owner and who may read the model''s relation; for others its host; null: none, '
    'or the hidden one that only robots follow';

-- A dump of a release in which these were tables is restored through them.
create function marketing_automation_internal.restore_row() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if tg_table_name = 'record' then
        insert into marketing_automation_internal.record
            (id, scenario_id, key, party, uuid, entered_at, blocked_at, time_zone, unsubscribed_at, ended_at, end_reason,
                goal_before, held_out, occasion, run)
        values (new.id, new.scenario_id, new.key, new.party, new.uuid, new.entered_at, new.blocked_at, new.time_zone, new.unsubscribed_at,
            new.ended_at, new.end_reason, coalesce(new.goal_before, false),
            coalesce(new.held_out, false), new.occasion, coalesce(new.run, 1));
    else
        insert into marketing_automation_internal.event
            (id, occurred_at, kind, record_id, activity_id, link_id, method, address, user_agent, robot, party, scenario_id)
        values (new.id, new.occurred_at, new.kind, new.record_id, new.activity_id, new.link_id, new.method, new.address, new.user_agent,
            new.robot, new.party, new.scenario_id);
    end if;
    return new;
end $$;
comment on function marketing_automation_internal.restore_row() is
    'API: private. Trigger: what a superuser copies into the view record or event goes into the table behind it';

create trigger restore instead of insert on marketing_automation.record
    for each row execute function marketing_automation_internal.restore_row();

create trigger restore instead of insert on marketing_automation.event
    for each row execute function marketing_automation_internal.restore_row();

create view marketing_automation.record_activity with (security_barrier) as
select u.record_id, u.activity_id, u.state, u.at, u.outcome, u.finished_at, u.opened_at, u.clicked_at, u.bounced_at,
       case when u.error is null or u.activity_id = any (x.activities) then u.error
            -- Written out, as what a view calls its reader must be allowed to call: public_error().
            else case when left(u.error_code, 2) in ('40', '53', '57', '58') or u.error_code in ('42501', '55P03') then u.error
                else 'its text may quote the row, and is for who may read that' end end as error, u.error_code,
       case when u.activity_id = any (x.activities) then u.result end as result
from (
    select w.record_id, w.activity_id, 'waiting'::text as state, w.at,
           null::text as outcome, null::timestamptz as finished_at, null::timestamptz as opened_at, null::timestamptz as clicked_at,
           null::timestamptz as bounced_at, null::text as error, null::text as error_code, null::jsonb as result
    from marketing_automation_internal.waiting_activity w
    where (select v.reads_every from marketing_automation_internal.reader v)
       or w.activity_id in (select a.id from marketing_automation_internal.readable_activity a)
    union all
    select f.record_id, f.activity_id, f.state, f.at, f.outcome, f.finished_at, f.opened_at, f.clicked_at, f.bounced_at,
           f.error, f.error_code, c.result
    from marketing_automation_internal.finished_activity f
    left join marketing_automation_internal.call_result c on c.record_id = f.record_id and c.activity_id = f.activity_id
    where (select v.reads_every from marketing_automation_internal.reader v)
       or f.activity_id in (select a.id from marketing_automation_internal.readable_activity a)) as u
cross join (select array(select a.id from marketing_automation_internal.open_activity a) as activities offset 0) as x;
comment on view marketing_automation.record_activity is
    'API: public. State of each record for each activity: waiting, done, cancelled or failed';
comment on column marketing_automation.record_activity.error is
    'Why it failed; where that may quote the row, only for members of the scenario''s owner and who may read the model''s relation';

comment on column marketing_automation.record_activity.result is
    'What its call has returned, for members of the scenario''s owner and who may read the model''s relation; null: it calls nothing';

create view marketing_automation.branch_decision with (security_barrier) as
select d.record_id, d.parent_id, d.activity_id, d.decided_at, d.by_winner
from marketing_automation_internal.branch_decision d
where (select v.reads_every from marketing_automation_internal.reader v)
   or d.parent_id in (select a.id from marketing_automation_internal.readable_activity a);
comment on view marketing_automation.branch_decision is
    'API: public. Which of the children of an activity that branches each record takes, or which variant of its mail it gets: decided once, when '
    'that activity ran. Of your scenarios, or of all';
comment on column marketing_automation.branch_decision.parent_id is 'The activity that branches, or whose mail has variants';
comment on column marketing_automation.branch_decision.activity_id is 'The child that the record takes, or the variant; null: none, which is the mail '
    'as it is, or it waits for the winner of an experiment';
comment on column marketing_automation.branch_decision.by_winner is 'Whether it takes the winner of an experiment as such, not by its share';

create view marketing_automation.message with (security_barrier) as
select u.id, u.record_id, u.activity_id, u.key, u.party, u.email, u.recipient_name, u.language, u.time_zone,
       case when u.activity_id = any (x.activities) then u.context end as context, u.state, u.attempts, u.created_at, u.next_attempt_at,
       u.sent_at,
       case when u.smtp_reply !~ '^(template|sender|reply-to|recipient|subject|message)\M' or u.activity_id = any (x.activities)
            then u.smtp_reply
            else substring(u.smtp_reply from '^(?:template: )?[^:"]*') || ': its text may quote the row, and is for who may read that'
       end as smtp_reply,
       u.server, u.track_opens, u.track_clicks, case when u.target is null then 'mail' else 'webhook' end as channel, u.target,
       case when u.addresses ? 'party' then coalesce(u.addresses #>> '{party,email}', '') end as instead_of,
       (select string_agg(c.mailbox, ', ') from jsonb_array_elements_text(u.addresses -> 'cc') c (mailbox)) as cc,
       (select string_agg(c.mailbox, ', ') from jsonb_array_elements_text(u.addresses -> 'bcc') c (mailbox)) as bcc
from (
    select o.id, o.record_id, o.activity_id, o.key, o.party, o.email, o.recipient_name, o.language, o.time_zone, o.context,
           case when o.state = 'queued' and o.attempts > 0 then 'deferred' else o.state end as state,
           o.attempts, o.created_at, nullif(o.due_at, 'infinity') as next_attempt_at, null::timestamptz as sent_at, o.smtp_reply,
           null::text as server, o.track_opens, o.track_clicks, o.target, o.addresses
    from marketing_automation_internal.outbox o
    where (select v.reads_every from marketing_automation_internal.reader v)
       or o.activity_id in (select a.id from marketing_automation_internal.readable_activity a)
    union all
    select l.id, l.record_id, l.activity_id, l.key, l.party, l.email, l.recipient_name, l.language, l.time_zone, l.context, l.state,
           l.attempts, l.created_at, null, l.sent_at, l.smtp_reply, l.server, l.track_opens, l.track_clicks, l.target,
           l.addresses
    from marketing_automation_internal.message_log l
    where (select v.reads_every from marketing_automation_internal.reader v)
       or l.activity_id in (select a.id from marketing_automation_internal.readable_activity a)) as u
-- Whose contents may be seen is planned once for all partitions, and not into each of them: a look-up planned for 33 ms.
cross join (select array(select a.id from marketing_automation_internal.open_activity a) as activities offset 0) as x;
comment on view marketing_automation.message is
    'API: public. The log of mails and webhooks, one row each. State: queued (not tried yet), sending, deferred (tried, and tried again at '
    'next_attempt_at), in_doubt (held), then sent, failed, suppressed or bounced. record_id null: a test by send_test()';
comment on column marketing_automation.message.context is
    'The columns of the row that its templates use, as they were when the activity ran: what templates see as record, and under an empty name '
    'what they see as results. Empty once the mail was sent, suppressed or cancelled, as only retry() of one that failed needs it. Only for '
    'members of the scenario''s owner and who may read the model''s relation; null for others';
comment on column marketing_automation.message.next_attempt_at is 'When a queued or deferred mail is sent at the earliest';
comment on column marketing_automation.message.smtp_reply is 'What the server or the network said at the last attempt';
comment on column marketing_automation.message.server is 'The SMTP server that took it';
comment on column marketing_automation.message.channel is 'mail, or webhook, which went to target and not to the address';
comment on column marketing_automation.message.target is 'Scheme, host and port that a webhook is POSTed to';
comment on column marketing_automation.message.instead_of is
    'The address of the row, empty where it has none, of a mail that went to email instead: recipient of its activity; null: email is the row''s';
comment on column marketing_automation.message.cc is 'Mailboxes that get a copy';
comment on column marketing_automation.message.bcc is 'Mailboxes that get a copy which the header does not show';
comment on column marketing_automation.message.track_opens is 'Whether it has an image by which opens are recorded';
comment on column marketing_automation.message.track_clicks is 'Whether its links are such that clicks are recorded';

create view marketing_automation.delivery_attempt with (security_barrier) as
select u.message_id, u.attempt, u.ended_at, u.state, u.code, u.status,
       case when u.is_of_network or u.activity_id = any (x.activities) then u.reply
            else substring(u.reply from '^(?:template: )?[^:"]*') || ': its text may quote the row, and is for who may read that' end as reply,
       u.server
from (
    select t.message_id, t.attempt, t.ended_at, t.state, t.code, t.status, t.reply, t.server, m.activity_id,
           t.reply !~ '^(template|sender|reply-to|recipient|subject|message)\M' as is_of_network
    from marketing_automation_internal.attempt_log t
    left join lateral (
        select o.activity_id from marketing_automation_internal.outbox o where o.id = t.message_id
        union all
        select l.activity_id from marketing_automation_internal.message_log l where l.id = t.message_id
        limit 1) m on true
    where (select v.reads_every from marketing_automation_internal.reader v)
       or m.activity_id in (select a.id from marketing_automation_internal.readable_activity a)
    union all
    select l.id, l.attempts, l.sent_at, 'sent', substring(l.smtp_reply from '^([2-5]\d\d)\M')::smallint,
           substring(l.smtp_reply from '^[2-5]\d\d[ -]([245]\.\d{1,3}\.\d{1,3})\M'), l.smtp_reply, l.server, l.activity_id, true
    from marketing_automation_internal.message_log l
    where l.attempts = 1 and l.sent_at is not null
      and ((select v.reads_every from marketing_automation_internal.reader v)
        or l.activity_id in (select a.id from marketing_automation_internal.readable_activity a))) as u
cross join (select array(select a.id from marketing_automation_internal.open_activity a) as activities offset 0) as x;
comment on view marketing_automation.delivery_attempt is
    'API: public. Every attempt to deliver a mail and how it ended: sent, deferred (tried again), failed (for good) or in_doubt '
    '(nobody knows whether the server took it)';
comment on column marketing_automation.delivery_attempt.code is 'SMTP reply code (RFC 5321, 4.2.3); null: the server said nothing';
comment on column marketing_automation.delivery_attempt.status is 'Enhanced status code (RFC 3463), where the server gave one';
comment on column marketing_automation.delivery_attempt.server is 'The SMTP server, as host:port, or the directory as file:///…';

create function marketing_automation.record_id(uuid uuid) returns bigint
language sql immutable strict parallel safe
return ('x' || substr(replace(uuid::text, '-', ''), 1, 12))::bit(48)::bigint;
comment on function marketing_automation.record_id(uuid) is
    'API: public. The id inside a record''s public uuid; compare the uuid too before trusting it';
