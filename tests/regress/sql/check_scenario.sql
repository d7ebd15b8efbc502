\set SHOW_CONTEXT never
-- check_scenario(): what is wrong with a campaign, before it sends.
create schema fitting;
create table fitting.guest (id integer primary key, name text, email text, language text, home text);
insert into fitting.guest select n, 'Guest ' || n, 'guest' || n || '@fitting.example', case when n = 3 then 'fr' end, 'https://fitting.example/' || n from generate_series(1, 12) n;
create role regress_fitting;
create role regress_fitting_other;
grant usage on schema fitting to regress_fitting;
grant select on fitting.guest to regress_fitting;
select marketing_automation.grant_access('regress_fitting', 'marketer'), marketing_automation.grant_access('regress_fitting_other', 'marketer');
set role regress_fitting;
select marketing_automation.register_model('guest', 'fitting.guest', key => 'self.id', email => 'self.email', language => 'self.language');
select marketing_automation.create_scenario('fitting', 'guest', 'self.id <= 8', unsubscribable => true) > 0 as created;
select * from marketing_automation.check_scenario('fitting');

-- Nothing to say of a good one but what the server lacks.
select marketing_automation.add_activity('fitting', 'fine', subject => 'Hello {{ record.name }}',
    body => '<p>Hello {{ record.name }} <img src="https://fitting.example/a.png" alt="A hat"><img alt="" src="https://fitting.example/b.png"> <a href="https://fitting.example/hats">Hats</a> <a href="mailto:us@fitting.example">Write</a> <a href="unsubscribe">Leave</a></p>') > 0 as added;
select * from marketing_automation.check_scenario('fitting');

-- Each fault, with the rows that have it.
set client_min_messages = error;
select marketing_automation.add_activity('fitting', 'poor', parent => 'fine', subject => '{% if record.id > 2 %}Hi{% endif %}',
    body => '<img src="https://fitting.example/a.png"><a href="{{ record.home }}">x</a><a href="http://fitting.example/x?a={{ record.id }}">https://bank.example/login</a><a href="http://localhost:3000/a">l</a><a href="www.fitting.example">w</a><p>*|FNAME|*</p>{% raw %}{{ first_name }}{% endraw %}') > 0 as added;
select marketing_automation.add_activity('fitting', 'broken', parent => 'fine', subject => 's', body => '<a href="unsubscribe">Leave</a> {{ 12 // (record.id - 4) }}') > 0 as added;
select marketing_automation.add_activity('fitting', 'large', parent => 'fine', subject => 's', body => '<a href="unsubscribe">Leave</a>{% for i in range(9000) %}<b>hats</b> and {% endfor %}') > 0 as added;
select marketing_automation.add_activity('fitting', 'picture', parent => 'fine', subject => 's', body => '<a href="unsubscribe"><img src="https://fitting.example/all.png" alt=""></a>') > 0 as added;
insert into marketing_automation.activity_translation (activity_id, language, subject, body)
select a.id, l, l || ' {{ record.name }}', '<p>' || l || ' <a href="' || case l when 'de' then 'htp://x' else 'unsubscribe' end || '">x</a></p>' from marketing_automation.activity a, unnest(array['de', 'fr']) l
where a.scenario_id = marketing_automation.scenario_id('fitting') and a.name = 'fine';
reset client_min_messages;
select severity, activity, language, message from marketing_automation.check_scenario('fitting');
select distinct message, hint from marketing_automation.check_scenario('fitting') order by 1, 2;
-- What would not plan is said first, and alone.
reset role;
alter table fitting.guest rename column home to house;
set role regress_fitting;
select * from marketing_automation.check_scenario('fitting');
reset role;
alter table fitting.guest rename column house to home;
create function fitting.slow(integer) returns boolean language sql as 'select pg_catalog.pg_sleep(60) is not null';
grant execute on function fitting.slow(integer) to regress_fitting;
alter function fitting.slow(integer) owner to regress_fitting;
-- It takes no longer than one turn, and changes nothing.
set marketing_automation.expression_timeout = '200ms';
set role regress_fitting;
update marketing_automation.scenario set domain = 'fitting.slow(self.id)' where name = 'fitting';
select severity, message, hint from marketing_automation.check_scenario('fitting');
reset role;
reset marketing_automation.expression_timeout;
set role regress_fitting;
select count(*) from marketing_automation.message m join marketing_automation.activity a on a.id = m.activity_id and a.scenario_id = marketing_automation.scenario_id('fitting');
update marketing_automation.scenario set domain = 'self.id > 100' where name = 'fitting';
select distinct severity, message from marketing_automation.check_scenario('fitting') where activity = 'broken' order by 1, 2;
-- It shows rows, so it is for who may read them.
set role regress_fitting_other;
select * from marketing_automation.check_scenario('fitting');
select * from marketing_automation.check_scenario('fiting');
reset role;
delete from marketing_automation.scenario where name = 'fitting';
delete from marketing_automation.model where name = 'guest';
select marketing_automation.revoke_access('regress_fitting', 'marketer'), marketing_automation.revoke_access('regress_fitting_other', 'marketer');
drop schema fitting cascade;
drop role regress_fitting, regress_fitting_other;
