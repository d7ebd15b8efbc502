\set SHOW_CONTEXT never
-- Frequency caps: so many mails of a class to a person in any time, whatever scenarios they are of; and who gets the last place.
set timezone = 'UTC';
set datestyle = 'ISO';
create table shop.fan (id integer primary key, person text, email text);
insert into shop.fan values (1, 'ada', 'ada@fan.example'), (2, 'ada', 'ada.l@fan.example'), (3, null, 'bob@fan.example'), (4, null, 'Bob@Fan.example');
select marketing_automation.register_model('fan', 'shop.fan', key => 'self.id', party => 'self.person', email => 'self.email');

-- What is written.
insert into marketing_automation.frequency_cap values ('marketng', 1, '1 day');
insert into marketing_automation.frequency_cap values ('no such thing', 1, '1 day');
insert into marketing_automation.frequency_cap values (null, 1, '1 day');
insert into marketing_automation.frequency_cap values ('marketing', 0, '1 day');
insert into marketing_automation.frequency_cap values ('marketing', -1, '1 day');
insert into marketing_automation.frequency_cap values ('marketing', 1, '0');
insert into marketing_automation.frequency_cap values ('marketing', 1, '-1 day');
insert into marketing_automation.frequency_cap values ('marketing', 1, '2 years');
insert into marketing_automation.frequency_cap values ('marketing', 1, '1 day', 'skipp');
insert into marketing_automation.frequency_cap values ('marketing', 1, '1 day', 'wait', '0');
insert into marketing_automation.frequency_cap values ('transactional', 1, '1 day');
insert into marketing_automation.message_class (name) values ('fan mail');
insert into marketing_automation.frequency_cap values ('fan mail', 1, '1 day');
delete from marketing_automation.message_class where name = 'fan mail';
update marketing_automation.message_class set capped = false where name = 'fan mail';
delete from marketing_automation.frequency_cap;
select marketing_automation.create_scenario('fans 1', 'fan', message_class => 'fan mail') > 0 as created;
update marketing_automation.scenario set priority = 2000 where name = 'fans 1';
select marketing_automation.create_scenario('fans 2', 'fan', message_class => 'fan mail') > 0 as created;
update marketing_automation.scenario set priority = 7 where name = 'fans 2';
select marketing_automation.create_scenario('fans 3', 'fan', message_class => 'transactional') > 0 as created;
select marketing_automation.add_activity(s, 'mail of ' || s, subject => 's', body => '<a href="unsubscribe">x</a>') > 0 as added from unnest(array['fans 1', 'fans 2', 'fans 3']) s;
select marketing_automation.add_activity('fans 1', 'follows', parent => 'mail of fans 1', delay => '2 hours', subject => 's', body => '<a href="unsubscribe">x</a>') > 0 as added;
select * from marketing_automation.tree('fans 2');
create view shop.fan_mail as
    select a.name, m.key, m.state, m.smtp_reply, case when m.state = 'queued' and m.next_attempt_at > clock_timestamp() then
        date_trunc('hour', m.next_attempt_at - clock_timestamp() + interval '1 minute') end as waits, m.id
    from marketing_automation.message m join marketing_automation.activity a on a.id = m.activity_id
    join marketing_automation.scenario s on s.id = a.scenario_id and s.name ~ '^fans';
create function shop.claim() returns bigint language sql as $$
    with claimed as (select * from marketing_automation_internal.claim_messages(1000))
    select count(*) from claimed c where c.email ~* '@fan.example' $$;
-- Results for all that is under way, so long ago.
create function shop.settle(its_state text, its_result text default null, ago interval default '0') returns bigint language sql as $$
    select marketing_automation_internal.complete_messages(array_agg(o.id), array_agg(o.attempts), array_agg(its_state),
        array_agg('reply'::text), array_agg(0::double precision), array_agg(its_result), now => clock_timestamp() - ago)
    from marketing_automation_internal.outbox o where o.state = 'sending' and o.email ~* '@fan.example' having count(*) > 0 $$;
select marketing_automation.run(s) from unnest(array['fans 1', 'fans 2', 'fans 3']) s;
select sum(enrolled) from marketing_automation.enroll() where scenario ~ '^fans';
call marketing_automation.process_all_due();

-- Without a cap all of them leave; and nothing is counted.
begin;
select shop.claim();
select count(*) from marketing_automation_internal.capped_mail;
rollback;
-- Two people, one of them by the address, have four mails each: one leaves, of the scenario with more priority; receipts are not capped.
insert into marketing_automation.frequency_cap values ('fan mail', 1, '1 day');
begin;
select shop.claim();
select name, key, state, waits from shop.fan_mail order by 1, 2;
-- Who claims now counts what is under way.
update marketing_automation_internal.outbox o set due_at = now() where o.email ~* '@fan.example' and o.state = 'queued';
select shop.claim();
-- Taken 23 hours ago: the others wait for one more.
select shop.settle('sent', null, '23 hours');
update marketing_automation_internal.outbox o set due_at = now() where o.email ~* '@fan.example' and o.state = 'queued';
select shop.claim();
select name, key, state, waits from shop.fan_mail where state = 'queued' order by 1, 2;
select regexp_replace(fact, '20\d\d-[-:+ 0-9]+', '…', 'g') as fact from marketing_automation.explain_record('fans 1', '1') where about ~ 'mail of';
-- And a day ago: the next one leaves, and what counts no more is forgotten.
update marketing_automation_internal.capped_mail m set at = m.at - interval '1 hour 1 second';
update marketing_automation_internal.outbox o set due_at = now() where o.email ~* '@fan.example' and o.state = 'queued';
select shop.claim();
select count(*) from marketing_automation_internal.capped_mail;
select name, key, state, waits from shop.fan_mail order by 1, 2;
rollback;

-- What counts: what was taken, and what may have been.
create function shop.claimed_after(its_state text, its_result text, out first bigint, out second bigint) language plpgsql as $$
begin
    first := shop.claim();
    perform shop.settle(its_state, its_result);
    -- Of the other scenarios.
    update marketing_automation_internal.outbox o set due_at = now() where o.email ~* '@fan.example' and o.state = 'queued';
    second := shop.claim();
    raise exception using errcode = 'MA001', message = first || ' ' || second;
exception when sqlstate 'MA001' then
    first := split_part(sqlerrm, ' ', 1);
    second := split_part(sqlerrm, ' ', 2);
end $$;
update marketing_automation.scenario set state = 'stopped' where name = 'fans 3';
select r.state, r.result, c.* from (values (1, 'sent', null), (2, 'failed', null), (3, 'released', null), (4, 'queued', 'deferred'),
    (5, 'queued', 'in_doubt'), (6, 'in_doubt', 'in_doubt')) as r (n, state, result)
cross join lateral shop.claimed_after(r.state, r.result) c order by r.n;
-- A mailer that dies: what it had under way may have been taken.
begin;
select shop.claim();
select marketing_automation_internal.rescue_messages(hold => false) >= 2 as rescued;
update marketing_automation_internal.outbox o set due_at = now() where o.email ~* '@fan.example' and o.state = 'queued';
select shop.claim();
rollback;
-- One that comes again, and had not got them: they have not left.
begin;
select marketing_automation.mailer_register('caps', '33333333-3333-3333-3333-333333333333', 'host', e.extversion) from pg_extension e where e.extname = 'marketing_automation';
select count(*) from marketing_automation.mailer_claim(1000, true) c where c.email ~* '@fan.example';
select count(*) from marketing_automation_internal.capped_mail;
select marketing_automation.mailer_register('caps', '33333333-3333-3333-3333-333333333333', 'host', e.extversion) from pg_extension e where e.extname = 'marketing_automation';
select count(*) from marketing_automation_internal.capped_mail;
select count(*) from marketing_automation.mailer_claim(1000, true) c where c.email ~* '@fan.example';
rollback;

-- Skipped at once; and what would wait too long.
begin;
update marketing_automation.frequency_cap set outside = 'skip', mails = 2;
select shop.claim();
select name, key, state, smtp_reply from shop.fan_mail order by 1, 2;
rollback;
begin;
update marketing_automation.frequency_cap set max_wait = '23 hours';
select shop.claim();
select name, key, state, smtp_reply from shop.fan_mail where name <> 'mail of fans 3' order by 1, 2;
rollback;
begin;
update marketing_automation.activity set expires_after = '20 hours' where name = 'mail of fans 1';
select shop.claim();
select name, key, state, smtp_reply, waits from shop.fan_mail where name <> 'mail of fans 3' order by 1, 2;
rollback;
-- Two caps of a class: both hold.
begin;
update marketing_automation.frequency_cap set mails = 3;
insert into marketing_automation.frequency_cap values ('fan mail', 2, '1 hour'), ('fan mail', 4, '30 days');
select shop.claim();
select name, count(*) filter (where state = 'sending') as leave, min(waits), max(waits) from shop.fan_mail where name <> 'mail of fans 3' group by 1 order by 1;
select shop.settle('sent', null, '2 hours');
update marketing_automation_internal.outbox o set due_at = now() where o.email ~* '@fan.example' and o.state = 'queued';
select shop.claim();
select name, count(*) filter (where state = 'sending') as leave, count(waits) as wait, min(waits) from shop.fan_mail where name <> 'mail of fans 3' group by 1 order by 1;
rollback;

-- A cap that is made later counts what has been sent before; one that goes lets go.
delete from marketing_automation.frequency_cap;
begin;
select shop.claim();
select shop.settle('sent', null, '3 hours');
insert into marketing_automation.frequency_cap values ('fan mail', 1, '2 hours');
select count(*) from marketing_automation_internal.capped_mail;
insert into marketing_automation.frequency_cap values ('fan mail', 2, '1 day');
select count(*) from marketing_automation_internal.capped_mail;
rollback;
begin;
insert into marketing_automation.frequency_cap values ('fan mail', 1, '1 day');
select shop.claim();
select count(*) from shop.fan_mail where waits is not null;
delete from marketing_automation.frequency_cap;
select count(*) from shop.fan_mail where waits is not null;
select shop.claim();
select count(*) from marketing_automation_internal.capped_mail;
rollback;

-- Tests are neither capped nor counted.
begin;
insert into marketing_automation.frequency_cap values ('fan mail', 1, '1 day');
select count(marketing_automation.send_test('fans 1', 'mail of fans 1', '1', 'ada@fan.example')) from generate_series(1, 3);
select shop.claim();
select count(*) from marketing_automation_internal.capped_mail;
rollback;

-- simulate() and check_scenario() know of it.
insert into marketing_automation.frequency_cap values ('fan mail', 1, '1 day');
select at - start as after, activity, outcome, regexp_replace(detail, '20\d\d-[-:+ 0-9]+', '…: ') as detail
from (select timestamptz '2030-01-07 10:00+00' as start) t cross join lateral marketing_automation.simulate('fans 1', '3', start => t.start);
update marketing_automation.frequency_cap set outside = 'skip';
select at - start as after, activity, outcome, detail
from (select timestamptz '2030-01-07 10:00+00' as start) t cross join lateral marketing_automation.simulate('fans 1', '3', start => t.start);
select severity, activity, message, hint from marketing_automation.check_scenario('fans 1') where message ~ 'frequency';
select count(*) from marketing_automation_internal.capped_mail;
-- forget() leaves nothing to count.
update marketing_automation.frequency_cap set outside = 'wait';
select shop.claim();
select messages > 0 as erased from marketing_automation.forget('bob@fan.example');
select count(*) from marketing_automation_internal.capped_mail;
select shop.settle('sent') > 0 as settled;
select marketing_automation.stop(s.name) from marketing_automation.scenario s where s.name ~ '^fans' and s.state = 'running';
delete from marketing_automation.frequency_cap;
update marketing_automation.scenario set message_class = 'marketing' where message_class = 'fan mail';
delete from marketing_automation.message_class where name = 'fan mail';
drop view shop.fan_mail;
drop function shop.claim(), shop.settle(text, text, interval), shop.claimed_after(text, text);
