\set SHOW_CONTEXT never
-- Rows that enter at once, by their keys, within the caller's transaction.
create table shop.purchase (id bigint primary key, customer text, email text, paid boolean not null default true, divisor int not null default 1);
insert into shop.purchase select i, 'c' || i, 'purchase' || i || '@shop.example' from generate_series(1, 9) i;
update shop.purchase set paid = false where id = 2;
select marketing_automation.register_model('purchase', 'shop.purchase', key => 'self.id', party => 'self.customer', email => 'self.email');
select marketing_automation.create_scenario('thanks', 'purchase', 'self.paid and 10 / self.divisor > 0') > 0 as created;
create view shop.entered as
    select r.key, string_agg(a.name, ', ' order by a.name) as waits, min(r.entered_at) as entered_at
    from marketing_automation.record r join marketing_automation.scenario s on s.id = r.scenario_id and s.name = 'thanks'
    left join marketing_automation_internal.waiting_activity w on w.record_id = r.id
    left join marketing_automation.activity a on a.id = w.activity_id group by r.id, r.key;

-- What is missing is said.
select marketing_automation.enroll_record('thank', '1');
select marketing_automation.enroll_record('thanks', '1');
select marketing_automation.run('thanks');
select marketing_automation.enroll_record('thanks', '1');
select marketing_automation.add_activity('thanks', 'mail', subject => 's', body => 'b') > 0 as added,
    marketing_automation.add_activity('thanks', 'odd', condition => '1 / (self.id - 5) = 0 or self.id % 2 = 1', action => null) > 0 as added;
select marketing_automation.enroll_record('thanks', null);
select marketing_automation.enroll_records('thanks', array['1', null]);
select marketing_automation.enroll_records('thanks', null);
select marketing_automation.enroll_record('thanks', 'first');
select marketing_automation.enroll_record('thanks', '1', 'infinity');

-- Once; not if the domain is not true, if there is no such row, if the party has left.
select marketing_automation.enroll_record('thanks', '1') as entered, marketing_automation.enroll_record('thanks', '01') as again,
    marketing_automation.enroll_record('thanks', '2') as unpaid, marketing_automation.enroll_record('thanks', '100') as missing;
select marketing_automation.unsubscribe('c3');
select marketing_automation.enroll_record('thanks', '3') as has_left;
-- A row of this transaction; what is rolled back has not entered.
begin;
insert into shop.purchase values (10, 'c10', 'purchase10@shop.example');
select marketing_automation.enroll_record('thanks', '10') as entered;
rollback;
select key, waits from shop.entered order by key;

-- A row for which an expression raises enters not, and no other is asked; one for which only the condition of a root does, enters.
update shop.purchase set divisor = 0 where id = 4;
select marketing_automation.enroll_record('thanks', '4');
select marketing_automation.enroll_record('thanks', '5') as entered;
select marketing_automation.enroll_records('thanks', array['1', '4', '6', '6', '7', '100', 'x']) as entered;
select marketing_automation.enroll_records('thanks', array['4', 'x']) as entered;
select marketing_automation.enroll_records('thanks', '{}') as entered;
select marketing_automation.enroll_records('thanks', array['8'], now => '2026-03-01 12:00+00') as entered;
select key, waits, entered_at < now() - interval '1 day' as earlier from shop.entered order by key;
select * from marketing_automation.record_count('thanks');
-- Who is in stays out of enroll(), which enters the rest and names what it cannot.
select * from marketing_automation.enroll('thanks');
select * from marketing_automation.enroll('thanks');

-- An application may do this, and nothing else; what may quote a row is not for it.
create role regress_checkout;
select marketing_automation.grant_access('regress_checkout', 'enroller');
select p.proname from pg_proc p
where p.pronamespace = 'marketing_automation'::regnamespace and has_function_privilege('regress_checkout', p.oid, 'execute') order by 1;
select count(*) as relations from pg_class c
where c.relnamespace = 'marketing_automation'::regnamespace and c.relkind in ('r', 'v') and has_table_privilege('regress_checkout', c.oid, 'select');
insert into shop.purchase select i, 'c' || i, 'purchase' || i || '@shop.example' from generate_series(11, 12) i;
alter table shop.purchase add note text default 'secret-7';
update marketing_automation.scenario set domain = 'self.paid and (self.id <> 12 or self.note::int > 0)' where name = 'thanks';
set role regress_checkout;
select marketing_automation.enroll_record('thanks', '11') as entered;
select marketing_automation.enroll_record('thanks', '12') as entered;
select marketing_automation.enroll_record('thanks', 'twelve') as entered;
select marketing_automation.enroll_record('thanks', '11', now => '2026-03-01 12:00+00');
select * from marketing_automation.enroll('thanks');
reset role;
select marketing_automation.revoke_access('regress_checkout', 'enroller');
drop role regress_checkout;

-- A definition that no longer plans is named; a key that several rows have, too.
alter table shop.purchase rename paid to settled;
select marketing_automation.enroll_record('thanks', '12');
select marketing_automation.enroll_records('thanks', array['11', '12']);
alter table shop.purchase rename settled to paid;
create view shop.doubled as select 1 as id union all select 1;
select marketing_automation.register_model('doubled', 'shop.doubled', key => 'self.id');
select marketing_automation.create_scenario('doubled', 'doubled') > 0 as created;
select marketing_automation.add_activity('doubled', 'root', action => null) > 0 as added;
select marketing_automation.run('doubled');
select marketing_automation.enroll_record('doubled', '1');
select marketing_automation.stop('doubled'), marketing_automation.stop('thanks');
select marketing_automation.enroll_record('thanks', '12');
select marketing_automation.resubscribe('c3');
delete from marketing_automation.scenario where name = 'doubled';
select marketing_automation.unregister_model('doubled');
drop view shop.doubled, shop.entered;
