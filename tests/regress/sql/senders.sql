\set SHOW_CONTEXT never
-- Who may send as whom. Without a row, anybody as anybody.
create role regress_boots;
create role regress_cook in role regress_boots;
create role regress_hats;
create role regress_chief;
select count(*) from (values ('regress_cook', 'marketer'), ('regress_hats', 'marketer'), ('regress_chief', 'admin')) as g (role, access)
cross join lateral marketing_automation.grant_access(g.role::regrole, g.access);
create table shop.wearer (id integer primary key, email text);
insert into shop.wearer select n, 'reader' || n || '@shop.example' from generate_series(1, 2) n;
grant usage on schema shop to regress_boots, regress_hats;
grant select on shop.wearer to regress_boots, regress_hats;
select status, message from marketing_automation.health() where name = 'senders';
set role regress_cook;
select marketing_automation.register_model('boots', 'shop.wearer', key => 'self.id', email => 'self.email');
select marketing_automation.create_scenario('boots', 'boots') > 0 as created;
select marketing_automation.add_activity('boots', 'mail', sender => 'Boots <News@boots.example>', subject => 's', body => '<p>b</p>') > 0 as added;
select marketing_automation.run('boots');
select enrolled, error from marketing_automation.enroll('boots');
call marketing_automation.process_all_due();
reset role;
create function shop.claimed() returns bigint language plpgsql as $$
declare
    result bigint;
begin
    begin
        select count(*) into result from marketing_automation_internal.claim_messages(100) c where c.email like 'reader%@shop.example';
        raise exception using errcode = 'MA003';
    exception when sqlstate 'MA003' then
        return result;
    end;
end $$;
select shop.claimed();

-- With the first row, it is the list of what is allowed: what it leaves out waits, and is named.
insert into marketing_automation.sender_permission (role, sender) values ('regress_hats', 'Hats.example');
select shop.claimed();
select name, status, regexp_replace(message, '\d+:\d+:\d+', '…') as message from marketing_automation.health()
where name in ('senders', 'queued_mails_barred', 'queued_mails_ready') order by name;
select substring(fact from 'its mail.*') as fact from marketing_automation.explain_record('boots', '1') where about <> 'record';
select marketing_automation_internal.next_due() is null as sleeps;
select marketing_automation.send_test('boots', 'mail', '1', 'reader9@shop.example') > 0 as queued;
select shop.claimed();
insert into marketing_automation.sender_permission (role, sender) values ('regress_boots', 'boots.example');
select shop.claimed();
select status, message from marketing_automation.health() where name = 'senders';

-- What is written is asked too, in each language; the address must be written out.
\set VERBOSITY default
set role regress_cook;
select marketing_automation.add_activity('boots', 'as hats', sender => 'news@hats.example', subject => 's', body => '<p>b</p>');
select marketing_automation.add_activity('boots', 'deeper', sender => 'news@deep.boots.example', subject => 's', body => '<p>b</p>');
select marketing_automation.add_activity('boots', 'of the row', sender => '{{ record.email }}', subject => 's', body => '<p>b</p>');
select marketing_automation.add_activity('boots', 'trick', sender => '{% if true %}a@hats.example{% endif %}{# <a@boots.example> #}', subject => 's', body => '<p>b</p>');
select marketing_automation.add_activity('boots', 'trick', sender => '{{ "<" }}a@hats.example>', subject => 's', body => '<p>b</p>');
select marketing_automation.add_activity('boots', 'name of the row', sender => '{{ record.id }} <a@boots.example>', subject => 's', body => '<p>b</p>') > 0 as added;
select marketing_automation.add_activity('boots', 'nobody', subject => 's', body => '<p>b</p>') > 0 as added;
insert into marketing_automation.activity_translation (activity_id, language, sender)
select a.id, 'fr', 'a@hats.example' from marketing_automation.activity a where a.name = 'nobody';
-- Whose the scenario is, not who writes.
update marketing_automation.activity set sender = 'x@hats.example' where name = 'mail';
insert into marketing_automation.sender_permission (role, sender) values ('regress_boots', 'hats.example');
reset role;
set role regress_chief;
insert into marketing_automation.sender_permission (role, sender) values ('regress_boots', 'no address@x');
insert into marketing_automation.sender_permission (role, sender) values ('regress_nobody', 'x.example');
insert into marketing_automation.sender_permission (role, sender) values ('regress_boots', 'One@hats.example');
select role, sender from marketing_automation.sender_permission order by 1, 2;
reset role;
set role regress_cook;
update marketing_automation.activity set sender = 'ONE@hats.example' where name = 'mail';
reset role;
-- One address, however it is spelt.
insert into marketing_automation.sender_permission (role, sender) values ('regress_boots', 'Info@BÜCHER.example'), ('regress_boots', 'ink@xn--tnte-0ra.example');
select sender from marketing_automation.sender_permission where sender like 'in%' order by 1;
select s as sender, marketing_automation_internal.may_send_as('regress_cook'::regrole, s) as may from unnest(array['info@bücher.example', 'INFO@BÜCHER.EXAMPLE',
    'info@xn--bcher-kva.example', '{{ record.id }} <Info@XN--BCHER-KVA.example>', 'ink@tünte.example', 'more@bücher.example', 'info@deep.bücher.example', 'info@bucher.example']) s;
-- A superuser's scenario is not restricted.
select marketing_automation.create_scenario('everybody', 'party') > 0 as created;
select marketing_automation.add_activity('everybody', 'mail', sender => '{{ record.email }}', subject => 's', body => '<p>b</p>') > 0 as added;
-- Another role of that name is not who was meant.
drop owned by regress_hats;
drop role regress_hats;
create role regress_hats;
select marketing_automation_internal.may_send_as('regress_hats'::regrole, 'a@hats.example') as may;

delete from marketing_automation.sender_permission;
select marketing_automation.stop('boots');
select count(marketing_automation.cancel(m.id)) from marketing_automation.message m join marketing_automation.activity a on a.id = m.activity_id
where a.scenario_id = marketing_automation.scenario_id('boots') and m.state = 'queued';
drop function shop.claimed();
delete from marketing_automation.scenario where name = 'everybody';
update marketing_automation.model set owner = 'postgres' where name = 'boots';
update marketing_automation.scenario set owner = 'postgres' where name = 'boots';
drop table shop.wearer;
drop owned by regress_boots, regress_cook, regress_hats, regress_chief;
drop role regress_boots, regress_cook, regress_hats, regress_chief;
