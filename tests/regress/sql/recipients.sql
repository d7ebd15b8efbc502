\set SHOW_CONTEXT never
set timezone = 'UTC';
-- Mails that go to somebody else than their party, and copies of them.
create schema recipients;
create table recipients.deal (id integer primary key, buyer text, email text, manager text, watchers text, archive text);
insert into recipients.deal values
    (1, 'Ada', 'ada@clients.example', 'Zoë Berg <zoe@deals.example>', 'Max <max@deals.example>, team@deals.example, MAX@deals.example', 'archive@deals.example'),
    (2, 'Bob', 'bob@clients.example', 'zoe@deals.example', null, null),
    (3, 'Cem', null, 'zoe@deals.example', 'zoe@deals.example', null),
    (4, 'Dan', 'dan@clients.example', null, 'max@deals.example', null),
    (5, 'Eva', 'eva@clients.example', 'zoe@deals.example, max@deals.example', null, null),
    (6, 'Fay', 'fay@clients.example', 'zoe@deals.example', 'nobody', null),
    (7, 'Gil', 'gil@clients.example', 'zoe@deals.example', (select string_agg(n || '@deals.example', ',') from generate_series(1, 11) n), null),
    (8, 'Hal', 'hal@clients.example', 'zoe@deals.example', E'A\nBcc: x@evil.example <a@deals.example>', null);
create function recipients.told(statement text) returns text language plpgsql as $$
declare
    message text;
    detail text;
    hint text;
begin
    execute statement;
    return 'no error';
exception when others then
    get stacked diagnostics message = message_text, detail = pg_exception_detail, hint = pg_exception_hint;
    return concat_ws(' | ', sqlstate, message, nullif(detail, ''), coalesce(nullif(regexp_replace(hint, 'id = \d+', 'id = …'), ''), 'NO HINT'));
end $$;
select marketing_automation.register_model('recipients', 'recipients.deal', key => 'self.id', email => 'self.email', recipient_name => 'self.buyer', party => '''deal '' || self.id') ;
select marketing_automation.create_scenario('recipients', 'recipients') > 0 as created;

select recipients.told($$select marketing_automation.preview('recipients', 'won', '1')$$);

-- Only where nobody unsubscribes by the mail.
select recipients.told($$select marketing_automation.add_activity('recipients', 'x', subject => 's', body => 'b', cc => 'self.watchers')$$);
select marketing_automation.add_activity('recipients', 'won', sender => 'Shop <shop@deals.example>', subject => 'For {{ party.name }}',
    body => '<p>{{ party.name }} {{ party.email }} <a href="https://deals.example/deal">deal</a></p>', message_class => 'internal',
    recipient => 'self.manager', cc => 'self.watchers', bcc => 'self.archive') as mail \gset
select recipients.told(format('update marketing_automation.activity set message_class = %L where id = %s', c, :mail))
from unnest(array['marketing', 'transactional', null]) c;
select marketing_automation.add_activity('recipients', 'own class', subject => 's', body => 'b', message_class => 'transactional', bcc => '''a@deals.example''') > 0 as added;
select recipients.told($$update marketing_automation.message_class set bulk_headers = true where name = 'transactional'$$);
update marketing_automation.scenario set message_class = 'internal' where name = 'recipients';
select marketing_automation.add_activity('recipients', 'class of scenario', subject => 's', body => 'b', bcc => '''a@deals.example''') > 0 as added;
select recipients.told($$update marketing_automation.scenario set message_class = 'marketing' where name = 'recipients'$$);
delete from marketing_automation.activity where name in ('own class', 'class of scenario');

-- An expression is checked when it is written.
select q.field, q.expression, recipients.told(format('update marketing_automation.activity set %I = %L where id = %s', q.field, q.expression, :mail)) as told
from (values (1, 'recipient', ''), (2, 'recipient', 'self.nothing'), (3, 'recipient', 'self.id'), (4, 'cc', '1; select 2'),
    (5, 'cc', 'string_to_array(self.watchers, '','')'), (6, 'bcc', '(select')) q (n, field, expression) order by n;
select recipients.told($$select marketing_automation.add_activity('recipients', 'call', action => 'call', call => 'true', cc => 'self.watchers')$$);
select recipients.told($$select marketing_automation.add_activity('recipients', 'b', parent => 'won', on_event => 'variant', share => 30, subject => 't', recipient => 'self.manager')$$);

-- What would fail is seen before.
select array_to_string(array(select l from unnest(string_to_array(p.headers, E'\n')) l where l ~ '^(To|Cc|Bcc|Subject|List)'), E'\n') as headers,
    p.html ~ 'Ada ada@clients.example' as is_about_the_party from marketing_automation.preview('recipients', 'won', '1') p;
select k, recipients.told(format('select marketing_automation.preview(''recipients'', ''won'', %L)', k)) from generate_series(5, 8) k order by k;
update marketing_automation.activity set body = body || '<a href="unsubscribe">leave</a>' where id = :mail;
select recipients.told($$select marketing_automation.preview('recipients', 'won', '1')$$);
update marketing_automation.activity set body = replace(body, '<a href="unsubscribe">leave</a>', '') where id = :mail;
select marketing_automation.add_activity('recipients', 'opened', parent => 'won', on_event => 'email_opened', subject => 's', body => 'b') > 0 as added;
select severity, activity, message from marketing_automation.check_scenario('recipients') where activity is not null order by 1, 2, 3;
delete from marketing_automation.activity where name = 'opened' and parent_id = :mail;
-- A definition goes to another scenario as it is; what does not plan any more is named.
select a ->> 'recipient' as recipient, a ->> 'cc' as cc, a ->> 'bcc' as bcc from jsonb_array_elements(marketing_automation.export_scenario('recipients') -> 'activities') a;
alter table recipients.deal rename column archive to archived;
select severity, message from marketing_automation.check_scenario('recipients') where message ~ 'archive';
alter table recipients.deal rename column archived to archive;

-- Decided when the mail is made, and kept with it; nothing of it is tracked. One that is wrong fails alone.
select marketing_automation.run('recipients');
select e.enrolled from marketing_automation.enroll('recipients') e;
select marketing_automation.process_due() > 0 as processed;
select m.key, m.email, m.recipient_name, m.instead_of, m.cc, m.bcc, m.track_opens, m.track_clicks
from marketing_automation.message m where m.activity_id = :mail order by m.key;
select r.key, f.outcome, f.error, f.error_code
from marketing_automation_internal.finished_activity f join marketing_automation_internal.record r on r.id = f.record_id
where f.activity_id = :mail and f.outcome <> 'mailed' order by 1;

select t.* from marketing_automation.tree('recipients') t where t::text ~ 'won';
select s.detail from marketing_automation.simulate('recipients', '2') s where s.activity = 'won';
-- What is suppressed is left out of the copies, and told; the recipient's own suppression is the mail's.
select marketing_automation.suppress('TEAM@deals.example');
select c.email, c.recipient_name, c.addresses from marketing_automation_internal.claim_messages(10) c where c.activity_id = :mail order by c.context::text, c.addresses::text;
select o.id as first from marketing_automation_internal.outbox o where o.activity_id = :mail and o.key = '1' \gset
select marketing_automation_internal.complete_messages(array_agg(o.id), array_agg(o.attempts), array_agg('sent'::text),
    array_agg('250 2.0.0 Ok; no copy to archive@deals.example: 550 5.1.1 no'::text), array_agg(null::double precision)) as completed
from marketing_automation_internal.outbox o where o.activity_id = :mail;
update recipients.deal set manager = 'Zoë <zoe@deals.example>', watchers = null where id = 5;
insert into recipients.deal values (9, 'Ida', 'ida@clients.example', 'team@deals.example', null, null);
select marketing_automation.retry(a) from marketing_automation.record_activity a join marketing_automation.record r on r.id = a.record_id
where a.activity_id = :mail and r.key = '5';
select e.enrolled from marketing_automation.enroll('recipients') e;
select marketing_automation.process_due() > 0 as processed;
select c.email from marketing_automation_internal.claim_messages(10) c where c.activity_id = :mail;
select m.key, m.email, m.state, m.smtp_reply from marketing_automation.message m where m.activity_id = :mail order by m.key;

-- What comes back is judged as that of the mailbox that it names: a dead copy is suppressed, and the mail has not bounced.
select format('%s.%s@deals.example', r.uuid, :mail) as message_id from marketing_automation_internal.record r
join marketing_automation.message m on m.record_id = r.id where m.id = :first \gset
create function recipients.report(fields text, message_id text) returns bytea language sql as $$
    select convert_to(format(E'From: mailer-daemon@mx.example\nContent-Type: multipart/report; report-type=%s; boundary=b\n\n'
        '--b\nContent-Type: message/%1$s\n\n%s\n\n--b\nContent-Type: text/rfc822-headers\n\nMessage-ID: <%s>\n\n--b--\n',
        case when fields ~ 'Feedback' then 'feedback-report' else 'delivery-status' end, fields, message_id), 'UTF8') $$;
create function recipients.dead(address text, status text) returns text language sql return
    format(E'Final-Recipient: rfc822; %s\nAction: failed\nStatus: %s\nDiagnostic-Code: smtp; 550 %2$s no such user', address, status);
create function recipients.judged(message bigint) returns text language sql as $$
    select format('%s%s, suppressed: %s', m.state, case when r.blocked_at is not null then ' and blocked' else '' end, (
        select string_agg(a, ' ' order by a) from unnest(array['zoe@deals.example', 'max@deals.example', 'archive@deals.example', 'ada@clients.example']) a
        where marketing_automation.is_suppressed(a)))
    from marketing_automation.message m join marketing_automation_internal.record r on r.id = m.record_id where m.id = message $$;
select b.kind, b.status, b.message = :first as is_ours from marketing_automation.ingest_bounce(recipients.report(
    E'Reporting-MTA: dns; mx.example\n\n' || recipients.dead('MAX@deals.example', '5.1.1'), :'message_id')) b;
select recipients.judged(:first);
select b.kind, b.status from marketing_automation.ingest_bounce(recipients.report(
    E'Feedback-Type: abuse\nVersion: 1\nOriginal-Rcpt-To: <archive@deals.example>', :'message_id')) b;
select recipients.judged(:first);
-- Of two in one report each has its own.
select b.kind, b.status from marketing_automation.ingest_bounce(recipients.report(E'Reporting-MTA: dns; mx.example\n\n' ||
    recipients.dead('max@deals.example', '5.1.1') || E'\n\n' || recipients.dead('zoe@deals.example', '5.2.2'), :'message_id')) b;
select recipients.judged(:first);
-- Who gets the mail instead of the party does not leave for it.
select b.kind, b.status from marketing_automation.ingest_bounce(recipients.report(
    E'Feedback-Type: abuse\nVersion: 1\nOriginal-Rcpt-To: <zoe@deals.example>', :'message_id')) b;
select recipients.judged(:first);
select d.domain, d.sent, d.hard_bounces, d.soft_bounces, d.complaints from marketing_automation.domain_report('recipients') d order by 1;

-- What is kept of each of them, and forgotten.
select jsonb_array_length(p -> 'records') as records, m ->> 'email' as email, m ->> 'recipient_name' as recipient_name, m -> 'context' as context,
    m ->> 'smtp_reply' as smtp_reply
from unnest(array['zoe@deals.example', 'max@deals.example', 'ada@clients.example']) with ordinality a (address, n)
cross join lateral marketing_automation.export_person(a.address) p cross join lateral jsonb_array_elements(p -> 'messages') m
order by a.n, (m ->> 'id')::bigint;
select f.messages, f.records from marketing_automation.forget('archive@deals.example') f;
select regexp_replace(e.fact, '\w+ \w+ \d+ [\d:]+ \d+ UTC', '…', 'g') as fact from marketing_automation_internal.explain_activities(
    (select s from marketing_automation.scenario s where s.name = 'recipients'), (select m.record_id from marketing_automation.message m where m.id = :first), true) e;
select m.key, m.email, m.cc, m.bcc, m.smtp_reply from marketing_automation.message m where m.id = :first;
select f.messages, f.records from marketing_automation.forget('ada@clients.example') f;
select m.email, m.instead_of, m.cc, m.bcc, m.smtp_reply from marketing_automation.message m where m.id = :first;
select f.messages > 1 as has_many, f.records from marketing_automation.forget('zoe@deals.example') f;
select m.key, m.email, m.instead_of, m.state, r.blocked_at is not null as is_blocked
from marketing_automation.message m join marketing_automation_internal.record r on r.id = m.record_id where m.activity_id = :mail order by m.key;
select marketing_automation.stop('recipients');
drop function recipients.told, recipients.report, recipients.dead, recipients.judged;
