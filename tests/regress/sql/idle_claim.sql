\set SHOW_CONTEXT never
set timezone = 'UTC';
-- A claim looks no further, and locks nothing, when nothing is due; whatever is due is found, by whom and where it may be.
create schema idle;
create table idle.guest (id integer primary key, email text);
insert into idle.guest select i, 'guest' || i || case when i = 3 then '@slow.example' else '@idle.example' end from generate_series(1, 4) i;
select count(marketing_automation.register_model('idle guest', 'idle.guest', key => 'self.id', party => '''idle guest '' || self.id', email => 'self.email')) as registered;
select marketing_automation.create_scenario('idle', 'idle guest', domain => 'self.id <= 3') > 0 as created;
select marketing_automation.add_activity('idle', 'mail', subject => 's', body => 'b') > 0 as added;
insert into marketing_automation.frequency_cap (message_class, mails, per) values ('marketing', 5, '1 day');
create function idle.look() returns text language plpgsql as $$
declare
    locked_by xid := (select c.xmax from marketing_automation_internal.capped_claim c);
    mails text := (select string_agg(c.email, ' ' order by c.email) from marketing_automation_internal.claim_messages(10) c);
begin
    return concat_ws(', ', mails, case when locked_by::text = (select c.xmax::text from marketing_automation_internal.capped_claim c) then 'nothing locked' else 'locked' end);
end $$;
begin;
-- What other scenarios have left is not looked at.
update marketing_automation.scenario set state = 'stopped' where state = 'running';
select idle.look() as no_mail;
select marketing_automation.run('idle') is not null as runs;
select enrolled from marketing_automation.enroll('idle');
do $$ begin while marketing_automation.process_due(1000) > 0 loop end loop; end $$;
update marketing_automation_internal.outbox set due_at = now() + interval '1 hour' where email like '%@idle.example' or email like '%@slow.example';
select idle.look() as due_later;
update marketing_automation_internal.outbox set due_at = now() - interval '1 hour' where email like '%@idle.example' or email like '%@slow.example';
savepoint due;
select idle.look() as due;
select idle.look() as all_taken;
rollback to due;
select marketing_automation.stop('idle') is not null as stopped;
select idle.look() as of_a_stopped_scenario;
-- A test leaves all the same.
select marketing_automation.send_test('idle', 'mail', '4', 'me@idle.example') > 0 as queued;
select idle.look() as test;
rollback to due;
select marketing_automation.pause();
select idle.look() as during_a_pause;
rollback to due;
-- Only what stands in the queue of its domain; that has no room for any more.
insert into marketing_automation.domain_limit (domain, per_second, burst) values ('slow.example', 0.001, 1);
update marketing_automation_internal.outbox set domain_queue = 'slow.example' where email like '%@slow.example';
delete from marketing_automation_internal.outbox where email like '%@idle.example';
select idle.look() as of_a_limited_domain;
rollback;
delete from marketing_automation.frequency_cap;
