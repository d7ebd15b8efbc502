\set SHOW_CONTEXT never
select marketing_automation.create_scenario('block', 'customer', unsubscribable => true) > 0 as created;
select marketing_automation.add_activity('block', 'mail', subject => 's', body => 'b') > 0 as added;
select marketing_automation.add_activity('block', 'later', delay => '1 day', action => null) > 0 as added;
select marketing_automation.run('block');
select * from marketing_automation.enroll('block', '2026-03-01 12:00+00');
create view shop.records as
    select r.key, r.uuid, r.id, r.blocked_at is not null as blocked
    from marketing_automation.record r join marketing_automation.scenario s on s.id = r.scenario_id and s.name = 'block';

-- Blocking cancels what waits, and unsubscribes the party, as the scenario is unsubscribable.
select marketing_automation.block(uuid) from shop.records where key = '1';
select marketing_automation.block(uuid) from shop.records where key = '1';
select marketing_automation.block('00000000-0001-8000-8000-000000000000');
select r.key, a.name, ra.state, ra.outcome from marketing_automation.record_activity ra
join shop.records r on r.id = ra.record_id join marketing_automation.activity a on a.id = ra.activity_id where r.key in ('1', '2') order by 1, 2;
select u.party from marketing_automation.unsubscription u join marketing_automation.scenario s on s.id = u.scenario_id and s.name = 'block';
select kind, count(*) from marketing_automation.event e join shop.records r on r.id = e.record_id group by 1;

-- By the token of a mail: the page changes nothing, the POST does, once.
select marketing_automation_internal.sign_token('unsubscribed', r.id, a.id) as token
from shop.records r join marketing_automation.activity a on a.name = 'mail'
join marketing_automation.scenario s on s.id = a.scenario_id and s.name = 'block' where r.key = '2' \gset
select * from marketing_automation.unsubscribe_page(:'token');
select blocked from shop.records where key = '2';
select marketing_automation.unsubscribe_by_token(:'token', everything => false, user_agent => 'regression');
select marketing_automation.unsubscribe_by_token(:'token', everything => false, user_agent => null);
select * from marketing_automation.unsubscribe_page(:'token');
select kind, count(*) from marketing_automation.event e join shop.records r on r.id = e.record_id where r.key = '2' group by 1 order by 1;
select * from marketing_automation.unsubscribe_page('forged');
select marketing_automation.unsubscribe_by_token('forged', true, null);
select marketing_automation.unsubscribe_by_token(null, true, null);
-- A token of another purpose does not unsubscribe.
select marketing_automation.unsubscribe_by_token(marketing_automation_internal.sign_token('email_opened', r.id, 1), true, null) from shop.records r where r.key = '3';
select blocked from shop.records where key = '3';

-- Another record of an unsubscribed party is not mailed: cancelled when it comes up, even if nobody blocked it.
insert into marketing_automation.unsubscription (party, scenario_id, created_at)
select '3', id, now() from marketing_automation.scenario where name = 'block';
select marketing_automation.process_due(now => '2026-03-01 12:00+00');
select r.key, ra.state, ra.outcome from marketing_automation.record_activity ra
join shop.records r on r.id = ra.record_id join marketing_automation.activity a on a.id = ra.activity_id and a.name = 'mail' order by 1;

-- Where to go afterwards comes from the link in the token.
select id as link from marketing_automation_internal.link_ids(array['https://a.example/']) \gset
select marketing_automation_internal.sign_token('unsubscribed', r.id, a.id, :link) as token
from shop.records r join marketing_automation.activity a on a.name = 'mail'
join marketing_automation.scenario s on s.id = a.scenario_id and s.name = 'block' where r.key = '5' \gset
select marketing_automation.unsubscribe_by_token(:'token', everything => false, user_agent => null);
-- A record that was blocked before its scenario became unsubscribable still unsubscribes.
select marketing_automation.create_scenario('late', 'customer') > 0 as created;
select marketing_automation.add_activity('late', 'mail', subject => 's', body => 'b') > 0 as added;
select marketing_automation.run('late');
select * from marketing_automation.enroll('late');
select marketing_automation.block(r.uuid) from marketing_automation.record r join marketing_automation.scenario s on s.id = r.scenario_id and s.name = 'late' where r.key = '1';
update marketing_automation.scenario set unsubscribable = true where name = 'late';
select marketing_automation.unsubscribe_by_token(marketing_automation_internal.sign_token('unsubscribed', r.id, a.id), false, null)
from marketing_automation.record r join marketing_automation.scenario s on s.id = r.scenario_id and s.name = 'late'
join marketing_automation.activity a on a.scenario_id = s.id where r.key = '1';
select u.party from marketing_automation.unsubscription u join marketing_automation.scenario s on s.id = u.scenario_id and s.name = 'late';
select marketing_automation.stop('late');
select marketing_automation.block(null);
select key, blocked from shop.records order by key;
select marketing_automation.stop('block');
drop view shop.records;
