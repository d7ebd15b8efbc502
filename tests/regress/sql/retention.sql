-- Old mails go by whole partitions, a person's data on request; counts and links stay.
create table shop.tenant (id int primary key, email text);
insert into shop.tenant select i, 'tenant' || i || '@shop.example' from generate_series(1, 6) i;
select marketing_automation.register_model('tenant', 'shop.tenant', key => 'self.id', party => 'self.id', email => 'self.email');
select marketing_automation.create_scenario('retention', 'tenant', 'self.id in (1, 2, 3)') > 0 as created;
select marketing_automation.add_activity('retention', 'mail', subject => 's', body => 'b') > 0 as added;
select marketing_automation.add_activity('retention', 'later', parent => 'mail', action => null, delay => '1 day') > 0 as added;
select marketing_automation.run('retention');
select * from marketing_automation.enroll('retention');
call marketing_automation.process_all_due();
create view shop.kept as
    select m.id, m.record_id, m.key, m.state, m.email, m.context = '{}' as is_empty, r.key as record_key, r.blocked_at is not null as blocked
    from marketing_automation.message m
    join marketing_automation.record r on r.id = m.record_id
    join marketing_automation.scenario s on s.id = r.scenario_id and s.name = 'retention';
create temporary table claimed as select * from marketing_automation_internal.claim_messages(2);
select marketing_automation_internal.complete_messages(array_agg(id order by id), array[1, 1], array['sent', 'failed'], array['250 2.0.0 taken', '550 5.1.1 <tenant2@shop.example> unknown'],
    array[0, 0]) from claimed;

-- Partitions: each has its turn of 30 days, and none is purged before its last day is old enough.
select count(*), min(marketing_automation_internal.log_bucket(t)), max(marketing_automation_internal.log_bucket(t))
from generate_series(timestamptz '2026-01-01 UTC', '2026-01-01 UTC'::timestamptz + interval '28799 hours', '720 hours') t;
select marketing_automation_internal.log_bucket(now()) = marketing_automation_internal.log_bucket(now() + interval '28800 hours') as again_after_1200_days;
select marketing_automation.purge_messages('0 days'), marketing_automation.purge_messages('1140 days');
select marketing_automation.purge_messages('1141 days');
select marketing_automation.purge_messages('-1 day');
select marketing_automation.purge_messages(null);
-- As if they had ended long ago.
create temporary table turn as select now() - n * interval '720 hours' as at, n from generate_series(1, 39) n;
insert into marketing_automation_internal.message_log (id, activity_id, key, email, context, created_at, state, attempts, finished_at, bucket)
select -n, a.id, 'old', 'old@shop.example', '{}', t.at, 'failed', 1, t.at, marketing_automation_internal.log_bucket(t.at)
from turn t, marketing_automation.activity a where a.name = 'mail' and a.scenario_id = (select id from marketing_automation.scenario where name = 'retention');
insert into marketing_automation_internal.attempt_log (message_id, attempt, ended_at, state) select -n, 1, at, 'failed' from turn;
select marketing_automation.purge_messages('720 days') as purged;
select max(n) as oldest_mail from turn where exists (select from marketing_automation_internal.message_log l where l.id = -n);
select count(*) from marketing_automation_internal.attempt_log t join turn on message_id = -n;
select marketing_automation.purge_messages('0 days') as purged;
select key, state from shop.kept order by key;

-- Erasure: by address, however it is written, in all scenarios.
select marketing_automation.create_scenario('retention too', 'tenant', 'self.id = 1') > 0 as created;
select marketing_automation.add_activity('retention too', 'mail', subject => 's', body => 'b') > 0 as added;
select marketing_automation.run('retention too');
select * from marketing_automation.enroll('retention too');
call marketing_automation.process_all_due();
select count(*) from marketing_automation_internal.link_ids(array['https://shop.example/offer?to=tenant1%40shop.example&x=1', 'https://shop.example/plain']);
select * from marketing_automation.forget(' Tenant1@SHOP.example');
select * from marketing_automation.forget('tenant2@shop.example');
select * from marketing_automation.forget('tenant3@shop.example');
select * from marketing_automation.forget('nobody@shop.example');
select key, state, email, is_empty, record_key, blocked from shop.kept order by key;
select t.state, t.code, t.reply from marketing_automation_internal.attempt_log t join shop.kept k on k.id = t.message_id order by 1;
select url from marketing_automation.link where url like 'https://shop.example/offer%' or url like '%/plain' order by 1;
select a.name, ra.state, ra.outcome, count(*) from marketing_automation.record_activity ra join marketing_automation.activity a on a.id = ra.activity_id
where ra.record_id in (select record_id from shop.kept) group by 1, 2, 3 order by 1, 2;
select s.reason, count(*) from marketing_automation.suppression s
where s.address_hash in (select marketing_automation.address_hash('tenant' || n || '@shop.example') from generate_series(1, 6) n) group by 1;
select marketing_automation.forget('');
-- Keys and parties that are addresses go too.
select marketing_automation.register_model('by_address', 'shop.tenant', key => 'self.email', party => 'self.email', email => 'self.email');
select marketing_automation.create_scenario('by address', 'by_address', 'self.id = 6', unsubscribable => true) > 0 as created;
select marketing_automation.add_activity('by address', 'mail', subject => 's', body => 'b') > 0 as added;
select marketing_automation.run('by address');
select * from marketing_automation.enroll('by address');
select * from marketing_automation.forget('tenant6@shop.example');
select regexp_replace(key, '\d+', 'N') as key, party, blocked_at is not null as blocked from marketing_automation.record
where scenario_id = (select id from marketing_automation.scenario where name = 'by address');
select marketing_automation.stop('retention'), marketing_automation.stop('retention too'), marketing_automation.stop('by address');
delete from marketing_automation.suppression where reason = 'forgotten';
drop view shop.kept;
