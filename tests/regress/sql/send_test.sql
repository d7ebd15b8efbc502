\set SHOW_CONTEXT never
-- Test mails: queued without a record, claimed whether the scenario runs or not, and counted nowhere.
select marketing_automation.create_scenario('tested', 'customer', 'self.id = 1') > 0 as created;
select marketing_automation.add_activity('tested', 'mail', subject => 'Hello {{ record.name }}', body => 'b') > 0 as added;
select marketing_automation.add_activity('tested', 'after', parent => 'mail', action => null) > 0 as added;

-- Named errors.
select marketing_automation.send_test('testd', 'mail', '1', 'me@shop.example');
select marketing_automation.send_test('tested', 'mial', '1', 'me@shop.example');
select marketing_automation.send_test('tested', 'after', '1', 'me@shop.example');
select marketing_automation.send_test('tested', 'mail', '999', 'me@shop.example');
select marketing_automation.send_test('tested', 'mail', 'x', 'me@shop.example');
select marketing_automation.send_test('tested', 'mail', '1', 'me@');

-- Any key of the model, whether the domain matches or not.
select marketing_automation.send_test('tested', 'mail', '02', ' me@shop.example ', 'fr') > 0 as queued;
select record_id, key, party, email, recipient_name, language, context ->> 'name' as name, state from marketing_automation.message where email = 'me@shop.example';
select marketing_automation_internal.next_due() <= clock_timestamp() as due;
create temporary table claimed as select * from marketing_automation_internal.claim_messages(10);
select record_id, record_uuid is not null as has_uuid, email, attempt from claimed;
select count(*) from marketing_automation_internal.claim_messages(10);
select marketing_automation_internal.complete_messages(array(select id from claimed), array[1], array['queued'], array['451 later'], array[0]);
-- A second attempt is the same mail.
select c.attempt, c.record_uuid = (select record_uuid from claimed) as same from marketing_automation_internal.claim_messages(10) c;
select marketing_automation_internal.complete_messages(array(select id from claimed), array[2], array['sent'], array['250 ok'], array[0]);
select state, attempts, smtp_reply from marketing_automation.message where email = 'me@shop.example';
select count(*) from marketing_automation.record_activity ra join marketing_automation.activity a on a.id = ra.activity_id where a.name in ('mail', 'after') and a.scenario_id = (marketing_automation_internal.scenario_named('tested')).id;
select marketing_automation.tree('tested');

-- Its links lead where they should and leave no trace; the page shows, and unsubscribes nobody.
insert into marketing_automation.link (digest, url) select sha256('https://shop.example/test'), 'https://shop.example/test';
select set_config('shop.click', marketing_automation_internal.sign_token('email_clicked', 0, (select activity_id from claimed), l.id), false) is not null as signed
from marketing_automation.link l where l.url = 'https://shop.example/test';
select set_config('shop.leave', marketing_automation_internal.sign_token('unsubscribed', 0, (select activity_id from claimed), null), false) is not null as signed;
select known, location from marketing_automation.record_events(array[gen_random_uuid()], array['email_clicked'], array[current_setting('shop.click')], array[now()], array['GET'], array[null::inet], array['']);
select public.events_applied() as applied;
select known, scenario, unsubscribed from marketing_automation.unsubscribe_page(current_setting('shop.leave'));
select marketing_automation.unsubscribe_by_token(current_setting('shop.leave'), true, '');
select count(*) from marketing_automation.event where record_id = 0;
select count(*) from marketing_automation.unsubscription where scenario_id = (marketing_automation_internal.scenario_named('tested')).id;

-- For members of the owner only; who may read nothing of the rows gets nothing.
create role regress_tester;
select marketing_automation.grant_access('regress_tester', 'marketer');
set role regress_tester;
select marketing_automation.send_test('tested', 'mail', '1', 'me@shop.example');
select marketing_automation.create_scenario('of tester', 'party') > 0 as created;
select marketing_automation.add_activity('of tester', 'mail', subject => 's', body => 'b') > 0 as added;
select marketing_automation.send_test('of tester', 'mail', '1', 'me@shop.example');
reset role;

-- Queued tests of a deleted scenario go with it.
select marketing_automation.send_test('tested', 'mail', '1', 'me@shop.example') > 0 as queued;
delete from marketing_automation.scenario where name in ('tested', 'of tester');
select state, count(*) from marketing_automation.message where email = 'me@shop.example' group by 1;
delete from marketing_automation_internal.message_log where record_id is null;
drop owned by regress_tester;
drop role regress_tester;
