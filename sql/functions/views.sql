-- What people see of the tables that work is done in.

-- Who sees what is in a row: members of the scenario's owner, with whose rights it is read, and who may read the relation anyway.
-- Others see that there is something, when, and how it went.
create view marketing_automation_internal.activity_audience as
select a.id as activity_id, coalesce(pg_has_role(s.owner_id, 'MEMBER'), false)
    or coalesce(has_table_privilege(m.relation, 'SELECT'), false) as sees_rows
from marketing_automation.activity a
join marketing_automation.scenario s on s.id = a.scenario_id
left join marketing_automation.model m on m.name = s.model;
comment on view marketing_automation_internal.activity_audience is
    'API: private. Whether the current user may see contents of the rows that an activity has read';

create view marketing_automation.record_activity as
select w.record_id, w.activity_id, 'waiting'::text as state, w.at,
       null::text as outcome, null::timestamptz as finished_at, null::timestamptz as opened_at, null::timestamptz as clicked_at,
       null::timestamptz as bounced_at,
       null::text as error, null::text as error_code
from marketing_automation_internal.waiting_activity w
union all
select f.record_id, f.activity_id, f.state, f.at, f.outcome, f.finished_at, f.opened_at, f.clicked_at, f.bounced_at,
       case when f.error is null or (select a.sees_rows from marketing_automation_internal.activity_audience a where a.activity_id = f.activity_id)
            then f.error
            -- Written out, as what a view calls its reader must be allowed to call: public_error().
            else case when left(f.error_code, 2) in ('42', '40', '53', '55', '57', '58') then f.error
                else 'its text may quote the row, and is for who may read that' end end, f.error_code
from marketing_automation_internal.finished_activity f;
comment on view marketing_automation.record_activity is
    'API: public. State of each record for each activity: waiting, done, cancelled or failed';
comment on column marketing_automation.record_activity.error is
    'Why it failed; where that may quote the row, only for members of the scenario''s owner and who may read the model''s relation';

create view marketing_automation.message as
select o.id, o.record_id, o.activity_id, o.key, o.party, o.email, o.recipient_name, o.language, o.time_zone,
       case when (select a.sees_rows from marketing_automation_internal.activity_audience a where a.activity_id = o.activity_id)
            then o.context end as context,
       case when o.state = 'queued' and o.attempts > 0 then 'deferred' else o.state end as state,
       o.attempts, o.created_at, nullif(o.due_at, 'infinity') as next_attempt_at, null::timestamptz as sent_at,
       case when o.smtp_reply !~ '^(template|sender|recipient|subject|message)\M' or (select a.sees_rows from marketing_automation_internal.activity_audience a where a.activity_id = o.activity_id)
            then o.smtp_reply else substring(o.smtp_reply from '^(?:template: )?[^:"]*') || ': its text may quote the row, and is for who may read that' end as smtp_reply,
       null::text as server,
       o.track_opens, o.track_clicks
from marketing_automation_internal.outbox o
union all
select l.id, l.record_id, l.activity_id, l.key, l.party, l.email, l.recipient_name, l.language, l.time_zone,
       case when (select a.sees_rows from marketing_automation_internal.activity_audience a where a.activity_id = l.activity_id)
            then l.context end, l.state,
       l.attempts, l.created_at, null, l.sent_at,
       case when l.smtp_reply !~ '^(template|sender|recipient|subject|message)\M' or (select a.sees_rows from marketing_automation_internal.activity_audience a where a.activity_id = l.activity_id)
            then l.smtp_reply else substring(l.smtp_reply from '^(?:template: )?[^:"]*') || ': its text may quote the row, and is for who may read that' end,
       l.server, l.track_opens, l.track_clicks
from marketing_automation_internal.message_log l;
comment on view marketing_automation.message is
    'API: public. The e-mail log, one row a mail. State: queued (not tried yet), sending, deferred (tried, and tried again at '
    'next_attempt_at), in_doubt (held), then sent, failed, suppressed or bounced. record_id null: a test by send_test()';
comment on column marketing_automation.message.context is
    'The columns of the row that its templates use, as they were when the activity ran: what templates see as record. Only for members '
    'of the scenario''s owner and who may read the model''s relation; null for others';
comment on column marketing_automation.message.next_attempt_at is 'When a queued or deferred mail is sent at the earliest';
comment on column marketing_automation.message.smtp_reply is 'What the server or the network said at the last attempt';
comment on column marketing_automation.message.server is 'The SMTP server that took it';
comment on column marketing_automation.message.track_opens is 'Whether it has an image by which opens are recorded';
comment on column marketing_automation.message.track_clicks is 'Whether its links are such that clicks are recorded';

create view marketing_automation.delivery_attempt as
select t.message_id, t.attempt, t.ended_at, t.state, t.code, t.status,
       case when t.reply !~ '^(template|sender|recipient|subject|message)\M' or (
                select a.sees_rows from marketing_automation.message m
                join marketing_automation_internal.activity_audience a on a.activity_id = m.activity_id where m.id = t.message_id)
            then t.reply else substring(t.reply from '^(?:template: )?[^:"]*') || ': its text may quote the row, and is for who may read that' end as reply,
       t.server
from marketing_automation_internal.attempt_log t
union all
select l.id, l.attempts, l.sent_at, 'sent', substring(l.smtp_reply from '^([2-5]\d\d)\M')::smallint,
       substring(l.smtp_reply from '^[2-5]\d\d[ -]([245]\.\d{1,3}\.\d{1,3})\M'), l.smtp_reply, l.server
from marketing_automation_internal.message_log l
where l.attempts = 1 and l.sent_at is not null;
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
