\set SHOW_CONTEXT never
-- A mail that has waited too long is not sent, and starts nothing.
select marketing_automation.create_scenario('expiry', 'customer', 'self.id in (1, 2)') > 0 as created;
select marketing_automation.add_activity('expiry', 'hurry', subject => 's', body => 'b', expires_after => '0');
select marketing_automation.add_activity('expiry', 'hurry', subject => 's', body => 'b', expires_after => '11 years');
select marketing_automation.add_activity('expiry', 'hurry', subject => 's', body => 'b', expires_after => '1 hour') > 0 as added;
select marketing_automation.add_activity('expiry', 'unhurried', parent => 'hurry', action => null) > 0 as added;
select marketing_automation.run('expiry');
select * from marketing_automation.enroll('expiry');
call marketing_automation.process_all_due();
create view shop.mail as
    select m.key, m.state, m.smtp_reply, m.id from marketing_automation.message m
    join marketing_automation.activity a on a.id = m.activity_id and a.name = 'hurry';
update marketing_automation_internal.outbox set created_at = created_at - interval '59 minutes' where id in (select id from shop.mail where key = '1');
update marketing_automation_internal.outbox set created_at = created_at - interval '60 minutes' where id in (select id from shop.mail where key = '2');
create temporary table claimed as select * from marketing_automation_internal.claim_messages(10);
select key, state, smtp_reply from shop.mail order by key;
-- So does one whose next attempt comes too late.
update marketing_automation_internal.outbox set state = 'queued', due_at = now(), created_at = created_at - interval '1 minute' where id in (select id from shop.mail);
select count(*) from marketing_automation_internal.claim_messages(10);
select key, state, smtp_reply from shop.mail order by key;
select count(*) from marketing_automation_internal.waiting_activity w join marketing_automation.activity a on a.id = w.activity_id and a.name = 'unhurried';
select marketing_automation.stop('expiry');
drop view shop.mail;
