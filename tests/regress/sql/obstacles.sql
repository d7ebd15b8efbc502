\set SHOW_CONTEXT never
-- explain_record() says of a queued mail what keeps it, and not that it is to be sent now.
create schema hold;
create table hold.guest (id integer primary key, email text);
insert into hold.guest values (1, 'ada@hold.example');
select marketing_automation.register_model('hold', 'hold.guest', key => 'self.id', email => 'self.email');
select marketing_automation.create_scenario('hold', 'hold') > 0 as created;
select marketing_automation.add_activity('hold', 'mail', subject => 's', body => 'b') > 0 as added;
select marketing_automation.add_activity('hold', 'beside', action => null, delay => '1 second') > 0 as added;
select marketing_automation.run('hold');
select enrolled from marketing_automation.enroll('hold');
do $$ begin while marketing_automation.process_due() > 0 loop end loop; end $$;
create function hold.facts() returns table (about text, fact text) language sql as $$
    select e.about, regexp_replace(e.fact, '^(due since|done) .*?(, (its|runs).*)$', '\1 TIME\2') from marketing_automation.explain_record('hold', '1') e
    where e.about like '%mail' or e.about like '%beside'
$$;
update marketing_automation_internal.waiting_activity w set at = now() - interval '1 minute'
from marketing_automation.activity a where a.id = w.activity_id and a.name = 'beside' and a.scenario_id = marketing_automation.scenario_id('hold');
insert into marketing_automation.domain_limit (domain, per_second) values ('hold.example', 0);
select * from hold.facts();
select marketing_automation.pause('stock is out');
select regexp_replace(fact, 'paused.*', 'paused …') as fact from hold.facts() where about like '%mail';
select marketing_automation.resume();
select marketing_automation.stop('hold');
select * from hold.facts();
delete from marketing_automation.domain_limit where domain = 'hold.example';
-- Nor of one that is not to be sent at all.
begin;
select marketing_automation.suppress('ada@hold.example');
select * from hold.facts() where about like '%mail';
select marketing_automation.unsuppress('ada@hold.example');
savepoint free;
select marketing_automation.unsubscribe_address('ada@hold.example');
select * from hold.facts() where about like '%mail';
rollback to free;
update marketing_automation_internal.outbox o set attempts = 1, smtp_reply = '451 later', due_at = now() + interval '1 hour' where o.email = 'ada@hold.example';
select marketing_automation.block(r.uuid) from marketing_automation.record r where r.scenario_id = marketing_automation.scenario_id('hold');
select regexp_replace(fact, 'until .*?, ', 'until then, ') as fact from hold.facts() where about like '%mail';
rollback;
select marketing_automation.cancel(m.id) from marketing_automation.message m where m.email = 'ada@hold.example';
drop function hold.facts;
