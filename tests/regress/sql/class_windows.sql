\set SHOW_CONTEXT never
set timezone = 'UTC';
set datestyle = 'ISO';
-- The window of a class beside that of the scenario: both have to be open, so it is told which one is shut, and that two never are together.
create schema dual;
create table dual.guest (id integer primary key, email text, zone text not null default 'UTC');
insert into dual.guest values (1, 'guest1@dual.example');
select count(marketing_automation.register_model('dual guest', 'dual.guest', key => 'self.id', party => 'self.id', email => 'self.email', time_zone => 'self.zone')) as registered;
insert into marketing_automation.send_window (name, days, opens, closes) values
    ('dual weekdays', '{1,2,3,4,5}', '00:00', '24:00'), ('dual weekend', '{6,7}', '00:00', '24:00'),
    ('dual mornings', '{1,2,3,4,5,6,7}', '06:00', '12:00'), ('dual evenings', '{1,2,3,4,5,6,7}', '18:00', '24:00'),
    ('dual nights', '{7}', '22:00', '02:00'), ('dual early', '{1}', '01:00', '03:00'), ('dual late', '{1}', '02:00', '03:00');
select a.name as one, b.name as other from marketing_automation.send_window a join marketing_automation.send_window b on a.name < b.name
where a.name like 'dual%' and b.name like 'dual%' and marketing_automation_internal.never_open_together(a, b)
  and marketing_automation_internal.never_open_together(b, a) order by 1, 2;
-- By trying each hour of a week it is the same.
select count(*) as differ from marketing_automation.send_window a join marketing_automation.send_window b on a.name like 'dual%' and b.name like 'dual%'
where marketing_automation_internal.never_open_together(a, b) is distinct from not exists (
    select from generate_series(timestamptz '2030-05-06 00:00+00', '2030-05-13 00:00+00', '1 hour') t
    where marketing_automation_internal.is_open(a, 'UTC', t) and marketing_automation_internal.is_open(b, 'UTC', t));
insert into marketing_automation.message_class (name, send_window) values ('dual class', 'dual mornings');
select marketing_automation.create_scenario('dual', 'dual guest', message_class => 'dual class', send_window => 'dual evenings') > 0 as created;
select marketing_automation.add_activity('dual', 'news', subject => 's', body => '<a href="unsubscribe">leave</a>') > 0 as added;
select marketing_automation.add_activity('dual', 'own', parent => 'news', send_window => 'dual weekdays', subject => 's', body => '<a href="unsubscribe">leave</a>') > 0 as added;
select marketing_automation.add_activity('dual', 'other', parent => 'news', message_class => 'marketing', subject => 's', body => '<a href="unsubscribe">leave</a>') > 0 as added;
select severity, activity, message, hint ~ 'send_window' as has_hint from marketing_automation.check_scenario('dual') where message ~ 'window';
update marketing_automation.send_window set time_zone = 'Asia/Tokyo' where name = 'dual mornings';
select severity, activity from marketing_automation.check_scenario('dual') where message ~ 'window';
update marketing_automation.send_window set time_zone = null where name = 'dual mornings';
-- A mail that waits says for which of the two: the own window is always open here, that of the class not before tomorrow.
update marketing_automation.send_window set days = array[1 + extract(isodow from now())::integer % 7] where name = 'dual mornings';
update marketing_automation.scenario set send_window = null where name = 'dual';
insert into marketing_automation.send_window (name) values ('dual always');
update marketing_automation.activity set send_window = 'dual always' where name = 'news' and scenario_id = marketing_automation.scenario_id('dual');
set client_min_messages = error;
select marketing_automation.run('dual') is not null as runs;
reset client_min_messages;
select enrolled from marketing_automation.enroll('dual');
select marketing_automation.process_due() > 0 as processed;
select regexp_replace(fact, '[0-9]{4}-\S+ \S+', 'then', 'g') as fact from marketing_automation.explain_record('dual', '1') where about ~ 'news';
select count(*) from marketing_automation_internal.claim_messages(10) c join marketing_automation_internal.record r on r.id = c.record_id and r.scenario_id = marketing_automation.scenario_id('dual');
select regexp_replace(fact, '[0-9]{4}-\S+ \S+', 'then', 'g') as fact from marketing_automation.explain_record('dual', '1') where about ~ 'news';
update marketing_automation.send_window set days = array[1 + extract(isodow from now())::integer % 7] where name = 'dual always';
update marketing_automation.send_window set days = '{1,2,3,4,5,6,7}', opens = '00:00', closes = '24:00' where name = 'dual mornings';
select regexp_replace(fact, '[0-9]{4}-\S+ \S+', 'then', 'g') as fact from marketing_automation.explain_record('dual', '1') where about ~ 'news';
select marketing_automation.stop('dual');

-- A topic that has to be confirmed needs somebody who asks.
insert into marketing_automation.topic (name, title, opt_in) values ('dual topic', 'Offers', 'double');
select marketing_automation.create_scenario('dual offers', 'dual guest', topic => 'dual topic') > 0 as created;
select marketing_automation.add_activity('dual offers', 'offer', subject => 's', body => '<a href="unsubscribe">leave</a>') > 0 as added;
select marketing_automation.register_model('dual request', 'marketing_automation.subscription_request', key => 'self.id', party => 'self.party', email => 'self.email');
select marketing_automation.create_scenario('dual asks', 'dual request', domain => 'self.topic = ''dual topic''', message_class => 'transactional') > 0 as created;
select marketing_automation.add_activity('dual asks', 'ask', subject => 's', body => 'Confirm?') > 0 as added;
begin;
-- Those of other tests are none of this one.
update marketing_automation.scenario s set state = 'stopped' from marketing_automation.model m
where m.name = s.model and m.relation = 'marketing_automation.subscription_request'::regclass and s.state = 'running';
select severity, message, hint from marketing_automation.check_scenario('dual offers') where message ~ 'confirm';
select severity, message, hint from marketing_automation.check_scenario('dual asks') where message ~ 'confirm';
insert into marketing_automation.snippet (name, body) values ('dual_confirm', '<a href="{{ confirm_url }}">yes</a>');
update marketing_automation.activity set body = '{% include "dual_confirm" %}' where name = 'ask' and scenario_id = marketing_automation.scenario_id('dual asks');
set local client_min_messages = error;
select marketing_automation.run('dual asks') is not null as runs;
select count(*) from marketing_automation.check_scenario('dual offers') where message ~ 'confirm';
select count(*) from marketing_automation.check_scenario('dual asks') where message ~ 'confirm';
rollback;

-- Who has left a topic and asks for it again gets nothing before that is confirmed, and then all that was due meanwhile, in its order.
select marketing_automation.add_activity('dual offers', 'second', parent => 'offer', delay => '1 day', subject => 's2', body => '<a href="unsubscribe">leave</a>') > 0 as added;
insert into dual.guest select i, 'guest' || i || '@dual.example' from generate_series(2, 4) i;
set client_min_messages = error;
select marketing_automation.run('dual offers') is not null as runs;
reset client_min_messages;
select marketing_automation.subscribe('1', 'dual topic', 'test', confirmed => true), marketing_automation.subscribe('2', 'dual topic', 'test', confirmed => true),
    marketing_automation.subscribe('3', 'dual topic', 'test', confirmed => true);
select enrolled from marketing_automation.enroll('dual offers');
select marketing_automation.unsubscribe_from('1', 'dual topic', 'test'), marketing_automation.unsubscribe_from('2', 'dual topic', 'test'),
    marketing_automation.unsubscribe_from('3', 'dual topic', 'test');
select marketing_automation.subscribe('1', 'dual topic', 'test', address => 'guest1@dual.example'), marketing_automation.subscribe('2', 'dual topic', 'test');
-- Of one the address is known to be confirmed.
select marketing_automation.subscribe_address('guest2@dual.example', 'dual topic', 'test', confirmed => true);
create procedure dual.work(moment timestamptz) language plpgsql as $$ begin
    while marketing_automation.process_due(1000, moment) > 0 loop end loop;
    perform marketing_automation_internal.complete_messages(array_agg(c.id), array_agg(c.attempt), array_agg('sent'::text), array_agg('250 ok'::text),
        array_agg(0::double precision)) from marketing_automation_internal.claim_messages(1000) c;
    while marketing_automation.process_due(1000, moment) > 0 loop end loop;
end $$;
create view dual.progress as
    select r.key, a.name, ra.state, ra.outcome, m.state as mail from marketing_automation.record r join marketing_automation.record_activity ra on ra.record_id = r.id
    join marketing_automation.activity a on a.id = ra.activity_id left join marketing_automation.message m on m.record_id = r.id and m.activity_id = a.id
    where r.scenario_id = marketing_automation.scenario_id('dual offers');
call dual.work(now());
select * from dual.progress order by 1, 2;
select marketing_automation.subscribe('1', 'dual topic', 'test', confirmed => true);
call dual.work(now());
select * from dual.progress order by 1, 2;
call dual.work(now() + interval '2 days');
select * from dual.progress where key < '3' order by 1, 2;
select marketing_automation.stop('dual offers');
