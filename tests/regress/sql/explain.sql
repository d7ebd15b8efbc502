\set SHOW_CONTEXT never
-- One record, told fact by fact. Times are cut off: the mailer's own are those of the clock on the wall.
create table shop.visitor (id bigint primary key, email text, divisor int not null default 1, city text);
insert into shop.visitor select i, case when i <> 3 then 'visitor' || i || '@shop.example' end from generate_series(1, 9) i;
update shop.visitor set city = 'Lyon' where id = 8;
select marketing_automation.register_model('visitor', 'shop.visitor', key => 'self.id', party => 'self.id', email => 'self.email');
create function shop.explain(key text) returns table (about text, fact text) language sql as $$
    select about, regexp_replace(fact, '\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\+00', 'T', 'g') from marketing_automation.explain_record('explain', key)
$$;
set timezone = 'UTC'; set datestyle = 'ISO';
select marketing_automation.create_scenario('explain', 'visitor', '10 / self.divisor > 1 and self.city is null', unsubscribable => true) > 0 as created;
select count(marketing_automation.add_activity('explain', name, parent, on_event, condition, delay, action, subject => 's', body => 'b')) as added
from (values ('hello', null, null, null, null, 'send_email'),
             ('tips', 'hello', 'email_opened', null, interval '1 day', 'send_email'),
             ('more tips', 'tips', 'email_clicked', null, null, null),
             ('reminder', 'hello', 'email_not_opened', null, interval '3 days', 'send_email'),
             ('survey', 'hello', null, '10 / self.divisor > 2', interval '1 minute', null),
             ('thanks', 'survey', null, null, interval '100 years' / 20, null),
             ('french', null, null, 'self.id = 100', null, null)) a (name, parent, on_event, condition, delay, action);

-- Not entered, and why not.
select * from shop.explain('1');
select marketing_automation.run('explain');
insert into marketing_automation.unsubscription (party, scenario_id, created_at)
select '7', id, '2026-01-01' from marketing_automation.scenario where name = 'explain';
select * from shop.explain('1');
select * from shop.explain('7');
select * from shop.explain('8');
update shop.visitor set divisor = 0 where id = 9;
select * from shop.explain('9');
update shop.visitor set divisor = 11 where id = 9;
select * from shop.explain('9');
select * from shop.explain('77');
select * from shop.explain('x');

-- Entered: what waits, what follows.
select scenario, enrolled from marketing_automation.enroll('explain', now() - interval '1 hour');
select * from shop.explain('1');
select * from shop.explain('001') limit 1;
select marketing_automation.process_due(now => now() - interval '1 hour');
select * from shop.explain('1');
select * from shop.explain('3');

-- How the mail fares.
create function shop.finish(key text, state text, reply text) returns bigint language sql as $$
    select marketing_automation_internal.complete_messages(array[m.id], array[o.attempts], array[finish.state], array[reply], array[3600])
    from marketing_automation.message m join marketing_automation_internal.outbox o on o.id = m.id
    join marketing_automation.record r on r.id = m.record_id join marketing_automation.scenario s on s.id = r.scenario_id and s.name = 'explain'
    where r.key = finish.key
$$;
select marketing_automation.suppress('visitor6@shop.example');
select count(*) from marketing_automation_internal.claim_messages(100);
select shop.finish('1', 'sent', '250 ok'), shop.finish('2', 'queued', '451 later'), shop.finish('4', 'failed', '550 no such user'), shop.finish('5', 'sent', '250 ok');
select * from shop.explain('1');
select * from shop.explain('2') where about like '%hello' or about like '%survey';
select * from shop.explain('4');
select * from shop.explain('6') where about = 'record' or about like '%hello' or about like '%tips';

-- Opened; the negative side cancelled, the positive one waits; conditions not met, failed; blocked.
create function shop.open(key text) returns boolean language sql as $$
    -- As in the test "events": the row before anything is recorded of it.
    with mail as materialized (
        select r.id as record, a.id as activity from marketing_automation.record r
        join marketing_automation.scenario s on s.id = r.scenario_id and s.name = 'explain'
        join marketing_automation.activity a on a.scenario_id = s.id and a.name = 'hello'
        where r.key = open.key)
    select e.known from mail m cross join lateral marketing_automation.record_events(array[gen_random_uuid()], array['email_opened'],
        array[marketing_automation_internal.sign_token('email_opened', m.record, m.activity)], array[now()], array['GET'], array[null::inet], array[null::text]) e
$$;
select shop.open('1');
select public.events_applied() as applied;
update shop.visitor set divisor = case id when 1 then 0 else 9 end where id in (1, 5);
select marketing_automation.process_due(now => now() + interval '2 minutes');
select * from shop.explain('1');
-- The negative side ran.
update marketing_automation_internal.waiting_activity w set at = now() from marketing_automation.activity a, marketing_automation.record r
where a.id = w.activity_id and a.name = 'reminder' and r.id = w.record_id and r.key = '5' and r.scenario_id = a.scenario_id;
select * from shop.explain('5') where about like '%reminder';
select marketing_automation.process_due(now => now());
select * from shop.explain('5');
select marketing_automation.block(r.uuid) from marketing_automation.record r join marketing_automation.scenario s on s.id = r.scenario_id and s.name = 'explain' where r.key = '1';
delete from shop.visitor where id = 1;
select * from shop.explain('1');

-- A run that failed, a stopped scenario, an activity that came later.
select marketing_automation.add_activity('explain', 'late', parent => 'hello', delay => '1 day', action => null) > 0 as added;
alter table shop.visitor rename divisor to div;
select scenario, error from marketing_automation.enroll('explain');
select marketing_automation.stop('explain');
select * from shop.explain('5') where about = 'record' or about like '%late';
alter table shop.visitor rename div to divisor;
-- The relation is gone, which is what the caller wants to know.
begin;
drop table shop.visitor cascade;
select * from shop.explain('5') where about = 'record';
select * from shop.explain('99');
rollback;
select * from marketing_automation.explain_record('explain', null);
select * from marketing_automation.explain_record('explane', '1');
reset timezone; reset datestyle;
drop function shop.explain, shop.finish, shop.open;
