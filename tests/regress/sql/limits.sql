\set SHOW_CONTEXT never
-- Limits of recipient domains, played by hand: the clock is turned by moving the bucket's. (The worker itself: see tests/e2e.)
insert into marketing_automation.domain_limit values ('not a domain@', 1);
insert into marketing_automation.domain_limit values ('gmail.example', 'NaN');
insert into marketing_automation.domain_limit values ('Gmail.Example', 2), ('bücher.example', 0), ('@slow.example', 0.01);
select * from marketing_automation.domain_limit order by 1;

create temporary table person (id integer, email text);
insert into person select n, 'p' || n || '@' || (array['GMAIL.example', 'other.example', 'xn--bcher-kva.example'])[1 + n % 3] from generate_series(1, 18) n;
create table shop.person as table person;
select marketing_automation.register_model('person', 'shop.person', key => 'self.id', email => 'self.email');
select marketing_automation.create_scenario('limits', 'person') > 0 as created;
select marketing_automation.add_activity('limits', 'mail', subject => 's', body => 'b') > 0 as added;
select marketing_automation.run('limits');
create function shop.queues() returns table (domain_queue text, state text, mails bigint) language sql as $$
    select o.domain_queue, o.state, count(*) from marketing_automation_internal.outbox o join marketing_automation.activity a on a.id = o.activity_id
    join marketing_automation.scenario s on s.id = a.scenario_id and s.name = 'limits' group by 1, 2 order by 1, 2 $$;
create function shop.claimed(batch integer) returns table (domain text, mails bigint) language sql as $$
    select marketing_automation_internal.address_domain(c.email), count(*) from marketing_automation_internal.claim_messages(batch) c group by 1 order by 1 $$;
create procedure shop.pass(seconds integer) language sql as $$
    update marketing_automation_internal.domain_queue set refilled_at = refilled_at - make_interval(secs => seconds) $$;

-- Queued by a process that knows the limits, each mail is in the domain_queue of its domain.
select * from marketing_automation.enroll('limits');
call marketing_automation.process_all_due();
select * from shop.queues();
-- The bucket is full: as many as in a second. The others are not held up.
select * from shop.claimed(100);
select * from shop.claimed(100);
-- Half a second brings one.
update marketing_automation_internal.domain_queue set refilled_at = statement_timestamp() - interval '0.5 s' where domain = 'gmail.example';
select * from shop.claimed(100);
-- Hours bring no more than the burst.
call shop.pass(3600);
select * from shop.claimed(100);
select * from shop.queues();

-- Tests are mails to the domain, too: two a second with the others, and before them.
update marketing_automation_internal.outbox set state = 'queued';
update marketing_automation_internal.domain_queue set tokens = 0, refilled_at = now() where domain = 'gmail.example';
select count(marketing_automation.send_test('limits', 'mail', '1', 'me' || n || '@gmail.example')) as tests from generate_series(1, 3) n;
select count(marketing_automation.send_test('limits', 'mail', '1', 'me@xn--bcher-kva.example')) as tests;
create procedure shop.claim_at_gmail() language plpgsql as $$ begin
    raise notice '%', (select format('%s tests, %s others', count(*) filter (where c.record_id is null), count(*) filter (where c.record_id is not null))
        from marketing_automation_internal.claim_messages(100) c where c.email ~* '(gmail|bcher)');
end $$;
call shop.claim_at_gmail();
call shop.pass(1);
call shop.claim_at_gmail();
call shop.pass(1);
call shop.claim_at_gmail();
select o.email from marketing_automation_internal.outbox o where o.record_id is null and o.state = 'queued' order by 1;
delete from marketing_automation_internal.outbox where record_id is null;
drop procedure shop.claim_at_gmail;

-- When the worker looks again.
update marketing_automation_internal.outbox set state = 'queued';
update marketing_automation_internal.domain_queue set tokens = 0, refilled_at = now() where domain = 'gmail.example';
select marketing_automation_internal.next_due() <= now() as other_is_due;
update marketing_automation_internal.outbox set due_at = 'infinity' where domain_queue = '';
begin;
update marketing_automation_internal.domain_queue set tokens = 0, refilled_at = now() where domain = 'gmail.example';
select marketing_automation_internal.next_due() - now() as in_a_while;
-- A clock that was set back leaves no bucket empty until it is there again.
update marketing_automation_internal.domain_queue set refilled_at = now() + interval '1 hour' where domain = 'gmail.example';
select marketing_automation_internal.next_due() <= now() as is_due,
    (select b.tokens >= 1 from marketing_automation_internal.domain_queue_budget b where b.domain_queue = 'gmail.example') as is_full;
update marketing_automation_internal.outbox set due_at = now() + interval '1 hour' where domain_queue = 'gmail.example';
select marketing_automation_internal.next_due() - now() as later;
delete from marketing_automation_internal.outbox where domain_queue = 'gmail.example';
select marketing_automation_internal.next_due() as never;
rollback;

-- A limit that comes when mails are queued already: they change queues when a claim meets them, and one claim gets past them.
update marketing_automation_internal.outbox set due_at = now() where due_at = 'infinity';
update marketing_automation_internal.outbox set domain_queue = '', due_at = case when domain_queue = '' then now() else now() - interval '1 minute' end;
update marketing_automation_internal.domain_queue set tokens = 0, refilled_at = now();
select * from shop.claimed(2);
select * from shop.queues();

-- Without the limit nothing holds them.
update marketing_automation_internal.outbox set state = 'queued';
delete from marketing_automation.domain_limit where domain <> 'slow.example';
select * from shop.claimed(100);

-- A pause: nothing is claimed from its commit on.
update marketing_automation_internal.outbox set state = 'queued';
select marketing_automation.pause('the shop is closed');
select marketing_automation.pause('again');
select regexp_replace(marketing_automation_internal.pause_note(), 'since .* by \S+:', 'since … by …:') as note, paused_by = session_user as by_me from marketing_automation.sending_pause;
select count(*), marketing_automation_internal.next_due() from marketing_automation_internal.claim_messages(100);
select marketing_automation.resume();
select count(*), marketing_automation_internal.pause_note() from marketing_automation_internal.claim_messages(100);

delete from marketing_automation.domain_limit;
delete from marketing_automation_internal.domain_queue;
update marketing_automation_internal.outbox set domain_queue = '';
select marketing_automation.stop('limits');
drop function shop.queues, shop.claimed;
drop procedure shop.pass;
