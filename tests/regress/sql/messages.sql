\set SHOW_CONTEXT never
-- The mailer's side, played by hand: claim, result, children, fencing. (The worker itself: see tests/e2e.)
select marketing_automation.create_scenario('messages', 'customer', 'self.id in (1, 2, 3, 5)') > 0 as created;
select marketing_automation.add_activity('messages', 'mail', subject => 's', body => 'b{{ record.name }}') > 0 as added;
select marketing_automation.add_activity('messages', 'after', parent => 'mail', delay => '1 hour', action => null) > 0 as added;
select marketing_automation.add_activity('messages', 'silent', parent => 'mail', on_event => 'email_not_opened', delay => '1 day', action => null) > 0 as added;
update shop.customer set email = 'customer3@shop.example' where id = 3;
select marketing_automation.run('messages');
select * from marketing_automation.enroll('messages');
call marketing_automation.process_all_due();
create view shop.mail as
    select m.key, m.state, m.attempts, m.smtp_reply, m.sent_at is not null as has_sent_at, m.server, m.next_attempt_at, m.id, m.activity_id
    from marketing_automation.message m
    join marketing_automation.activity a on a.id = m.activity_id and a.name = 'mail'
    join marketing_automation.scenario s on s.id = a.scenario_id and s.name = 'messages';
select key, state, attempts from shop.mail order by key;

create function shop.error_of(verb text, message bigint) returns text language plpgsql as $$
begin execute format('select marketing_automation.%I($1)', verb) using message; return 'none'; exception when others then return sqlerrm; end $$;
-- Two claim; nobody claims what another has.
create temporary table claimed as select * from marketing_automation_internal.claim_messages(2);
select count(*), min(attempt), max(attempt) from claimed;
create temporary table claimed_too as select * from marketing_automation_internal.claim_messages(10);
select count(*) from claimed_too;
select count(*) from marketing_automation_internal.claim_messages(10);
select key, state, attempts from shop.mail order by key;

-- Sent, failed for good, put off, given back.
select marketing_automation_internal.complete_messages(
    array(select id from shop.mail order by key), array[1, 1, 1, 1], array['sent', 'failed', 'queued', 'released'],
    array['250 2.0.0 taken', 'RCPT TO: 550 5.1.1 no such user', 'RCPT TO: 451 later', null], array[0, 0, 3600, 0],
    codes => array[250, 550, 451, null], statuses => array['2.0.0', '5.1.1', null, null], servers => array_fill('mail.example:587'::text, array[4]));
select key, state, attempts, smtp_reply, has_sent_at, server, next_attempt_at > now() as later from shop.mail order by key;
-- What the row was stays with mails under way, and with those that failed, as these may be tried again.
select m.state, bool_and(m.context ? 'name') as all_kept, bool_or(m.context ? 'name') as some_kept
from marketing_automation.message m join shop.mail s using (id) group by 1 order by 1;
-- A result that comes late, or twice, changes nothing.
select marketing_automation_internal.complete_messages(array(select id from shop.mail order by key), array[1, 1, 1, 1], array['failed', 'sent', 'sent', 'sent'],
    array['x', 'x', 'x', 'x'], array[0, 0, 0, 0]);
select key, state, attempts, smtp_reply from shop.mail order by key;

-- Children: of the mail that was taken, none of the one that failed.
select m.key, a.name, w.at - l.sent_at as after
from marketing_automation_internal.waiting_activity w
join marketing_automation.activity a on a.id = w.activity_id and a.name in ('after', 'silent')
join shop.mail m on true
join marketing_automation_internal.message_log l on l.id = m.id and l.record_id = w.record_id
order by 1, 2;

-- Put off means not before; the next attempt counts. In doubt, it is held.
select count(*) from marketing_automation_internal.claim_messages(10);
update marketing_automation_internal.outbox set due_at = now();
select attempt from marketing_automation_internal.claim_messages(10);
select marketing_automation_internal.complete_messages(array(select id from shop.mail where state = 'sending' and key = '3'), array[2], array['in_doubt'], array['connection lost'], array[0]);
select key, state, attempts, smtp_reply from shop.mail where state not in ('sent', 'failed') order by key;
-- A mailer died: what it had in flight.
select marketing_automation_internal.rescue_messages(hold => true);
select key, state, smtp_reply from shop.mail where state not in ('sent', 'failed') order by key;

-- Every attempt is there.
create view shop.attempt as
    select m.key, t.attempt, t.state, t.code, t.status, t.reply, t.server
    from marketing_automation.delivery_attempt t join shop.mail m on m.id = t.message_id;
select * from shop.attempt order by key, attempt;

-- A claim plans in its own way, and what comes after it in the transaction does not.
begin;
select count(*) > 0 as claims from marketing_automation_internal.claim_messages(1);
select string_agg(current_setting(k.name), ' ') as planned_as_ever
from unnest(array['plan_cache_mode', 'enable_seqscan', 'enable_hashjoin', 'enable_mergejoin', 'enable_material', 'enable_bitmapscan']) as k (name);
rollback;
-- A stopped scenario's mails stay.
update marketing_automation_internal.outbox set state = 'queued', due_at = now();
select marketing_automation.stop('messages');
select count(*) from marketing_automation_internal.claim_messages(10);
select marketing_automation.draft('messages'), marketing_automation.run('messages');

-- Blocked and unsubscribed meanwhile: suppressed at the last moment.
select marketing_automation.block(r.uuid) from marketing_automation.record r join shop.mail m on m.key = r.key
join marketing_automation.scenario s on s.id = r.scenario_id and s.name = 'messages' where m.state in ('queued', 'deferred');
select count(*) from marketing_automation_internal.claim_messages(10);
select s.key, s.state, s.smtp_reply, m.context from shop.mail s join marketing_automation.message m using (id) where s.state = 'suppressed' order by s.key;

-- A person decides: again, or never.
select marketing_automation.retry((select id from shop.mail where state = 'failed'));
select key, state, attempts, smtp_reply from shop.mail where key = '2';
select attempt, age_seconds from marketing_automation_internal.claim_messages(10);
select marketing_automation_internal.complete_messages(array(select id from shop.mail where key = '2'), array[2], array['queued'], array['connection lost'], array[60],
    results => array['in_doubt'], servers => array['mail.example:587']);
select * from shop.attempt where key = '2' order by attempt;
-- What a server leaves in doubt again and again is held when that happens for the third time; deaths of senders, and what was put off, do
-- not count.
create function shop.try_again(attempt integer, result text, server text) returns text language plpgsql as $$
declare
    mail bigint := (select m.id from shop.mail m where m.key = '2');
begin
    update marketing_automation_internal.outbox o set due_at = now() where o.id = mail;
    perform from marketing_automation_internal.claim_messages(10);
    if server is null then
        perform marketing_automation_internal.rescue_messages(hold => false);
    else
        perform marketing_automation_internal.complete_messages(array[mail], array[attempt], array['queued'], array['connection lost'], array[60],
            results => array[result], servers => array[server]);
    end if;
    return (select o.state from marketing_automation_internal.outbox o where o.id = mail);
end $$;
select shop.try_again(3, 'in_doubt', null), shop.try_again(4, 'deferred', 'a'), shop.try_again(5, 'in_doubt', 'a'), shop.try_again(6, 'in_doubt', 'b');
drop function shop.try_again;
select marketing_automation.cancel((select id from shop.mail where key = '2'));
select s.key, s.state, s.smtp_reply = 'cancelled by ' || session_user as by_whom, m.context from shop.mail s
join marketing_automation.message m using (id) where s.key = '2';
select regexp_replace(sqlerrm_of, '\d+', 'N') as error from (values
    (shop.error_of('retry', (select id from shop.mail where key = '2'))), (shop.error_of('cancel', (select id from shop.mail where key = '1'))),
    (shop.error_of('retry', 0)), (shop.error_of('cancel', 0)), (shop.error_of('retry', null))) e (sqlerrm_of);

-- Each address stored once.
select count(*), count(distinct id) from marketing_automation_internal.link_ids(array['https://a.example/', 'https://a.example/', 'https://b.example/']);
select count(*) from marketing_automation_internal.link_ids(array['https://b.example/', 'https://c.example/' || repeat('x', 5000)]);
select left(url, 30) as url, octet_length(digest) from marketing_automation.link order by url;
select marketing_automation.stop('messages');
drop function shop.error_of;
drop view shop.attempt;
drop view shop.mail;
