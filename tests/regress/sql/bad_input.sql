\set SHOW_CONTEXT never
set timezone = 'UTC';
-- What a campaign file may have wrong is a named error with a hint, or a state of the row that is counted: nothing is lost or sent twice.
create schema bad;
create table bad.guest (id integer primary key, email text, ends_on date, ends_at timestamp, visit text);
insert into bad.guest select i, 'guest' || i || '@bad.example', '2030-01-01', '2030-01-01', case when i > 1 then 'visit ' || i end from generate_series(1, 3) i;
select count(marketing_automation.register_model('bad guest', 'bad.guest', key => 'self.id', party => 'self.id', email => 'self.email')) as registered;
create function bad.told(statement text) returns text language plpgsql as $$
declare
    message text;
    hint text;
begin
    execute statement;
    set constraints all immediate;
    return 'no error';
exception when others then
    get stacked diagnostics message = message_text, hint = pg_exception_hint;
    return sqlstate || ' ' || message || ' | ' || coalesce(nullif(hint, ''), 'NO HINT');
end $$;
select marketing_automation.create_scenario('bad', 'bad guest', domain => 'self.id < 0') > 0 as created;
insert into marketing_automation.topic (name, title, opt_in) values ('bad topic', 'Bad', 'none');
insert into marketing_automation.message_class (name) values ('bad class');
select marketing_automation.create_scenario('bad uses', 'bad guest', topic => 'bad topic', message_class => 'bad class') > 0 as created;
select marketing_automation.add_activity('bad', 'split', action => null, branch_by => 'share') > 0 as added;
select marketing_automation.add_activity('bad', 'try', action => null, branch_by => 'share', metric => 'conversions') > 0 as added;
select bad.told(s) from unnest(array[
    -- Shares.
    $$select marketing_automation.add_activity('bad', 'a', parent => 'split', action => null, share => 101)$$,
    $$select marketing_automation.add_activity('bad', 'a', parent => 'split', action => null, share => 60),
        marketing_automation.add_activity('bad', 'b', parent => 'split', action => null, share => 41)$$,
    $$select marketing_automation.add_activity('bad', 'a', parent => 'split', action => null, share => 'NaN')$$,
    -- An experiment without a rest.
    $$select marketing_automation.add_activity('bad', 'a', parent => 'try', action => null, share => 50),
        marketing_automation.add_activity('bad', 'b', parent => 'try', action => null, share => 50)$$,
    $$select marketing_automation.add_activity('bad', 'a', parent => 'try', action => null)$$,
    -- A date that is none.
    $$select marketing_automation.add_activity('bad', 'a', action => null, at => 'self.ends_on')$$,
    $$select marketing_automation.add_activity('bad', 'a', action => null, at => 'self.ends_at')$$,
    $$select marketing_automation.add_activity('bad', 'a', action => null, at => 'self.email')$$,
    $$select marketing_automation.add_activity('bad', 'a', action => null, at => '')$$,
    -- Windows.
    $$insert into marketing_automation.send_window (name, days) values ('bad', '{}')$$,
    $$insert into marketing_automation.send_window (name, days) values ('bad', '{8}')$$,
    $$insert into marketing_automation.send_window (name, opens, closes) values ('bad', '09:00', '09:00')$$,
    $$insert into marketing_automation.send_window (name, calendar) values ('bad', 'nowhere')$$,
    $$insert into marketing_automation.send_window (name, time_zone) values ('bad', 'Europe/Nowhere')$$,
    $$insert into marketing_automation.send_window (name, outside) values ('bad', 'drop')$$,
    $$insert into marketing_automation.holiday select 'bad', current_date + n from generate_series(-1, 500) n;
      insert into marketing_automation.send_window (name, calendar) values ('bad', 'bad')$$,
    $$update marketing_automation.scenario set send_window = 'bad' where name = 'bad'$$,
    $$select marketing_automation.add_activity('bad', 'a', action => null, send_window => 'bad')$$,
    -- What is in use.
    $$delete from marketing_automation.topic where name = 'bad topic'$$,
    $$update marketing_automation.topic set name = 'other' where name = 'bad topic'$$,
    $$delete from marketing_automation.message_class where name = 'bad class'$$,
    $$delete from marketing_automation.message_class where name = 'marketing'$$,
    $$update marketing_automation.scenario set topic = 'nothing' where name = 'bad'$$,
    $$update marketing_automation.scenario set message_class = 'nothing' where name = 'bad'$$,
    $$insert into marketing_automation.frequency_cap (message_class, mails, per) values ('nothing', 1, '1 day')$$,
    $$insert into marketing_automation.frequency_cap (message_class, mails, per) values ('marketing', 0, '1 day')$$,
    $$insert into marketing_automation.frequency_cap (message_class, mails, per) values ('marketing', 1, '-1 day')$$,
    -- Entering again.
    $$select marketing_automation.create_scenario('bad two', 'bad guest', reenter_after => '-1 second')$$,
    $$select marketing_automation.create_scenario('bad two', 'bad guest', occasion => 'now()')$$,
    $$select marketing_automation.create_scenario('bad two', 'bad guest', holdout => 101, goal => 'true')$$,
    $$select marketing_automation.create_scenario('bad two', 'bad guest', holdout => 5)$$,
    $$select marketing_automation.create_scenario('bad two', 'bad guest', goal => 'true', goal_window => '0')$$,
    $$select marketing_automation.create_scenario('bad two', 'bad guest', goal => 'true', goal_at => 'self.email')$$,
    $$select marketing_automation.create_scenario('bad two', 'bad guest', goal => 'true', goal_value => 'self.email')$$,
    $$select marketing_automation.create_scenario('bad two', 'bad guest', goal_at => 'now()')$$,
    $$select marketing_automation.create_scenario('bad two', 'bad guest', goal_ends_journey => true)$$,
    $$select marketing_automation.create_scenario('bad two', 'bad guest', priority => 1001)$$,
    -- A definition from elsewhere.
    $$select marketing_automation.import_scenario('[]')$$,
    $$select marketing_automation.import_scenario('{"format": 2, "scenario": {"name": "x"}, "activities": []}')$$,
    $$select marketing_automation.import_scenario('{"format": 1, "scenario": {"name": "bad two", "model": "bad nobody"}, "activities": [], "model": {"relation": "bad.gone", "key": "self.id"}}')$$,
    $$select marketing_automation.import_scenario('{"format": 1, "scenario": {"name": "bad two", "model": "bad guest", "domain": "self.gone"}, "activities": []}')$$,
    $$select marketing_automation.import_scenario('{"format": 1, "scenario": {"name": "bad two", "model": "bad guest", "shape": "round"}, "activities": []}')$$,
    $$select marketing_automation.import_scenario('{"format": 1, "scenario": {"name": "bad two", "model": "bad guest"}, "activities": [{"name": "a", "subject": "{{ record.gone }}", "body": "b"}]}')$$,
    $$select marketing_automation.import_scenario('{"format": 1, "scenario": {"name": "bad two", "model": "bad guest"}, "activities": [{"name": "a", "parent": "b", "action": null}]}')$$,
    $$select marketing_automation.import_scenario('{"format": 1, "scenario": {"name": "bad two", "model": "bad guest"}, "activities": [{"name": "a", "action": null, "delay": "soon"}]}')$$,
    $$select marketing_automation.import_scenario('{"format": 1, "scenario": {"name": "bad two", "model": "bad guest", "send_window": "bad"}, "activities": []}')$$,
    $$select marketing_automation.import_scenario('{"format": 1, "scenario": {"name": "bad two", "model": "bad guest"}, "activities": [{"name": "a", "action": null}, {"name": "a", "action": null}]}')$$,
    $$select marketing_automation.copy_scenario('bad', '')$$
]) s;
-- None of it has left anything behind.
select name from marketing_automation.scenario where name like 'bad%' order by 1;
select a.name from marketing_automation.activity a join marketing_automation.scenario s on s.id = a.scenario_id where s.name like 'bad%' order by 1;
select name from marketing_automation.send_window where name = 'bad';
-- As somebody else: what belongs to others.
create role regress_bad;
select marketing_automation.grant_access('regress_bad', 'marketer');
grant usage on schema bad to regress_bad;
grant select on bad.guest to regress_bad;
set role regress_bad;
select bad.told(s) from unnest(array[
    $$select marketing_automation.import_scenario('{"format": 1, "scenario": {"name": "bad", "model": "bad guest"}, "activities": []}')$$,
    $$select marketing_automation.register_model('bad guest', 'bad.guest', key => 'self.id', replace => true)$$]) s;
reset role;
select marketing_automation.revoke_access('regress_bad', 'marketer');
revoke all on bad.guest from regress_bad;
revoke all on schema bad from regress_bad;
drop role regress_bad;

-- Rows, and not definitions: an occasion that is null is counted, and the row enters when it has one, once.
select marketing_automation.create_scenario('bad visits', 'bad guest', occasion => 'self.visit') > 0 as created;
select marketing_automation.add_activity('bad visits', 'thanks', action => null) > 0 as added;
select marketing_automation.run('bad visits') is not null as runs;
select enrolled from marketing_automation.enroll('bad visits');
select t.without_occasion from marketing_automation.scenario_status t where t.scenario_id = marketing_automation.scenario_id('bad visits');
select fact from marketing_automation.explain_record('bad visits', '1');
update bad.guest set visit = 'visit 1' where id = 1;
select enrolled from marketing_automation.enroll('bad visits');
select enrolled from marketing_automation.enroll('bad visits');
select t.without_occasion from marketing_automation.scenario_status t where t.scenario_id = marketing_automation.scenario_id('bad visits');
select key, occasion from marketing_automation.record where scenario_id = marketing_automation.scenario_id('bad visits') order by key;
-- Keys that are no list, and keys of no row.
select bad.told(s) from unnest(array[
    $$select marketing_automation.enroll_records('bad visits', array[['1', '2'], ['3', '4']])$$,
    $$select marketing_automation.enroll_records('bad visits', array['1', null])$$,
    $$select marketing_automation.enroll_records('bad visits', null)$$]) s;
select marketing_automation.enroll_records('bad visits', array['1', '1', '77', '{}']) as entered, marketing_automation.enroll_records('bad visits', '{}') as of_none;
-- Addresses to which no mail can go, and parties of nobody: what is asked for would concern no one, silently. Undoing, forgetting and
-- showing take what may once have been stored.
create table bad.mailbox (n integer, address text);
insert into bad.mailbox values (1, null), (2, ''), (3, '  '), (4, 'ann.shop'), (5, 'ann@@bad.example'), (6, 'ann@'), (7, E'ann\x01@bad.example'),
    (8, E'ann@bad.example\r\nBcc: bob@bad.example'), (9, 'Ann <ann@bad.example>'), (10, 'ann@bad.example, bob@bad.example'), (11, repeat('a', 65) || '@bad.example'),
    (12, 'ann@' || repeat('bad.', 300) || 'example');
insert into marketing_automation.topic (name, title, opt_in) values ('bad letter', 'Bad', 'double');
select marketing_automation.create_scenario('bad mail', 'bad guest') > 0 as created;
select marketing_automation.add_activity('bad mail', 'mail', subject => 's', body => 'b') > 0 as added;
select left(bad.told($$select marketing_automation.suppress((select address from bad.mailbox where n = $$ || n || $$))$$), 120) from bad.mailbox order by n;
select f.call, count(*) filter (where bad.told(format('select marketing_automation.%s', format(f.call, m.address))) like '22023 address %|%Write an e-mail address%')
    as refused
from bad.mailbox m cross join (values (1, 'suppress(%L)'), (2, 'unsubscribe_address(%L)'), (3, 'unsubscribe_address(%L, ''bad mail'')'), (4, 'subscribe_address(%L, ''bad letter'')'),
    (5, 'unsubscribe_address_from(%L, ''bad letter'')'), (6, 'send_test(''bad mail'', ''mail'', ''1'', %L)'), (7, 'subscribe(''1'', ''bad letter'', address => %L)')) f (n, call)
group by f.n, f.call order by f.n;
select count(*) as stored from marketing_automation.subscription_request where topic = 'bad letter';
-- What is none may have been stored by an earlier version, or in rows: it can be taken back, forgotten and shown.
select f.call, count(*) filter (where bad.told(format('select count(x.*) from marketing_automation.%s x', format(f.call, m.address))) = 'no error') as taken
from bad.mailbox m cross join (values (1, 'unsuppress(%L)'), (2, 'is_suppressed(%L)'), (3, 'resubscribe_address(%L)'), (4, 'forget(%L)'), (5, 'export_person(%L)')) f (n, call)
where trim(m.address) <> '' group by f.n, f.call order by f.n;
select count(*) filter (where marketing_automation.is_suppressed(m.address)) as forgotten, count(*) filter (where marketing_automation.unsuppress(m.address)) as again from bad.mailbox m;
-- The dot of the DNS root, blanks around it and other alphabets are no fault.
select marketing_automation.suppress(' Zoë@bad.bücher.example. ') as news, marketing_automation.suppress('zoë@bad.xn--bcher-kva.example') as once_more,
    marketing_automation.unsuppress('zoë@bad.bücher.example') as gone;
-- A party that is blank or too long is one where a row has it.
select f.call, count(*) filter (where bad.told(format('select marketing_automation.%s', format(f.call, p.party))) like '22023 party must not % | It is what%') as refused
from (values (''), ('  '), (repeat('p', 1001))) p (party)
cross join (values (1, 'unsubscribe(%L)'), (2, 'unsubscribe_from(%L, ''bad letter'')'), (3, 'subscribe(%L, ''bad letter'')'), (4, 'resubscribe(%L)')) f (n, call)
group by f.n, f.call order by f.n;
create table bad.ghost (id integer primary key, party text);
insert into bad.ghost values (1, '');
select count(marketing_automation.register_model('bad ghost', 'bad.ghost', key => 'self.id', party => 'self.party')) as registered;
select marketing_automation.create_scenario('bad ghosts', 'bad ghost') > 0 as created;
select marketing_automation.add_activity('bad ghosts', 'nothing', action => null) > 0 as added;
select marketing_automation.run('bad ghosts') is not null as runs;
select enrolled from marketing_automation.enroll('bad ghosts');
select bad.told($$select marketing_automation.unsubscribe('')$$), bad.told($$select marketing_automation.resubscribe('')$$);
select bad.told(s) from unnest(array[
    $$select marketing_automation.simulate('bad mail', null)$$,
    $$select marketing_automation.preview('bad mail', 'mail', null)$$,
    $$select marketing_automation.send_test('bad mail', 'mail', null, 'ann@bad.example')$$,
    $$select marketing_automation.explain_record('bad mail', null)$$]) s;
select marketing_automation.stop('bad ghosts');
delete from marketing_automation.topic where name = 'bad letter';
-- A share that changes after somebody has passed, and an alternative more.
select marketing_automation.create_scenario('bad shares', 'bad guest') > 0 as created;
select marketing_automation.add_activity('bad shares', 'split', action => null, branch_by => 'share') > 0 as added;
select marketing_automation.add_activity('bad shares', 'half', parent => 'split', action => null, share => 50) > 0 as added;
select marketing_automation.run('bad shares') is not null as runs;
select enrolled from marketing_automation.enroll('bad shares');
do $$ begin while marketing_automation.process_due() > 0 loop end loop; end $$;
select bad.told(s) from unnest(array[
    $$update marketing_automation.activity set share = 60 where name = 'half' and scenario_id = marketing_automation.scenario_id('bad shares')$$,
    $$select marketing_automation.add_activity('bad shares', 'rest', parent => 'split', action => null)$$,
    $$update marketing_automation.scenario set holdout = 5, goal = 'true' where name = 'bad shares'$$,
    $$update marketing_automation.scenario set occasion = 'self.visit' where name = 'bad shares'$$]) s;
select marketing_automation.stop('bad visits'), marketing_automation.stop('bad shares');
select marketing_automation.delete_scenario('bad'), marketing_automation.delete_scenario('bad uses');
delete from marketing_automation.topic where name = 'bad topic';
delete from marketing_automation.message_class where name = 'bad class';
