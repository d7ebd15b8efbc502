\set SHOW_CONTEXT never
-- Classes of mails: whom their mails go to, what their headers say, and which go first.
set timezone = 'UTC';
set datestyle = 'ISO';
select name, honors_unsubscribe, bulk_headers, priority, is_shipped from marketing_automation.message_class order by priority;
create schema classes;
create table classes.buyer (id integer primary key, email text);
insert into classes.buyer select n, 'buyer' || n || '@classes.example' from generate_series(1, 6) n;
select marketing_automation.register_model('buyer', 'classes.buyer', key => 'self.id', party => '''buyer '' || self.id', email => 'self.email');

-- What is written exists; what is in use, or the extension's, stays.
select marketing_automation.create_scenario('receipt', 'buyer', message_class => 'transactionl');
select marketing_automation.create_scenario('receipt', 'buyer', message_class => 'no such thing');
select marketing_automation.create_scenario('receipt', 'buyer', message_class => null);
select marketing_automation.create_scenario('receipt', 'buyer', message_class => 'transactional') > 0 as created;
select marketing_automation.add_activity('receipt', 'hello', subject => 's', body => '<p>b</p>', message_class => 'marketng');
insert into marketing_automation.message_class (name) values ('');
insert into marketing_automation.message_class (name, priority) values ('newsletter', 5000);
insert into marketing_automation.message_class (name, is_shipped) values ('newsletter', true), ('survey', false);
insert into marketing_automation.message_class (name) values ('marketing');
select name, honors_unsubscribe, bulk_headers, priority, is_shipped from marketing_automation.message_class where name in ('newsletter', 'survey') order by name;
select marketing_automation.create_scenario('news', 'buyer') > 0 as created;
select marketing_automation.add_activity('news', 'letter', subject => 's', body => '<a href="unsubscribe">x</a>', message_class => 'newsletter') > 0 as added;
update marketing_automation.scenario set message_class = 'survey' where name = 'news';
delete from marketing_automation.message_class where name = 'newsletter';
update marketing_automation.message_class set name = 'nws' where name = 'survey';
update marketing_automation.scenario set message_class = 'marketing' where name = 'news';
delete from marketing_automation.message_class where name = 'survey';
delete from marketing_automation.message_class where name = 'marketing';
update marketing_automation.message_class set name = 'x' where name = 'internal';

-- Headers: those of a list for what is one. Where nothing is set they are as before there were classes.
set marketing_automation.automation_base = 'https://track.example';
select marketing_automation.add_activity('receipt', 'paid', subject => 's', body => '<p>b</p>') > 0 as added;
create function shop.head(scenario text, activity text) returns setof text language sql as $$
    select l.line from marketing_automation.preview(scenario, activity, '1') p
    cross join regexp_split_to_table(replace(p.headers, E'\r', ''), E'\n') as l (line)
    where l.line ~* '^(precedence|list-|feedback-id|auto-submitted)' order by l.line collate "C" $$;
create function shop.version(its_activity text) returns integer language sql as $$
    select version from marketing_automation.activity where name = its_activity and scenario_id = marketing_automation.scenario_id('news') $$;
select replace(regexp_replace(h, ' \d+:', ' ID:'), 'preview', 'TOKEN') as receipt from shop.head('receipt', 'paid') h;
select replace(regexp_replace(h, ' \d+:', ' ID:'), 'preview', 'TOKEN') as newsletter from shop.head('news', 'letter') h;
update marketing_automation.activity set message_class = null
where name = 'letter' and scenario_id = marketing_automation.scenario_id('news');
select replace(regexp_replace(h, ' \d+:', ' ID:'), 'preview', 'TOKEN') as marketing from shop.head('news', 'letter') h;
-- Whoever has compiled it compiles it again.
select shop.version('letter');
update marketing_automation.scenario set message_class = 'internal' where name = 'news';
select shop.version('letter');
update marketing_automation.message_class set bulk_headers = true where name = 'internal';
select shop.version('letter');
update marketing_automation.message_class set note = 'n', priority = 51 where name = 'internal';
select shop.version('letter');
update marketing_automation.message_class set bulk_headers = false, priority = 50 where name = 'internal';
update marketing_automation.scenario set message_class = 'marketing' where name = 'news';
select name, is_shipped from marketing_automation.message_class order by 1;

-- Who has unsubscribed gets what unsubscribing does not concern, and nothing else; who is blocked or suppressed nothing.
select marketing_automation.unsubscribe('buyer 2'), marketing_automation.unsubscribe('buyer 3', 'receipt'), marketing_automation.unsubscribe_address('buyer4@classes.example');
select marketing_automation.suppress('buyer5@classes.example', 'manual');
select marketing_automation.run('receipt'), marketing_automation.run('news');
select * from marketing_automation.check_scenario('receipt');
select about, fact from marketing_automation.explain_record('receipt', '2');
select activity, outcome, detail from marketing_automation.simulate('receipt', '2');
select activity, outcome, detail from marketing_automation.simulate('news', '2');
select scenario, enrolled from marketing_automation.enroll() where scenario in ('news', 'receipt') order by 1;
select marketing_automation.block(r.uuid) from marketing_automation.record r join marketing_automation.scenario s on s.id = r.scenario_id and s.name in ('news', 'receipt') where r.key = '6' order by s.id;
call marketing_automation.process_all_due();
create view shop.mail as
    select s.name as scenario, a.name as activity, m.email, m.state, m.smtp_reply from marketing_automation.message m
    join marketing_automation.activity a on a.id = m.activity_id join marketing_automation.scenario s on s.id = a.scenario_id
    where m.email ~ '^buyer' and s.name in ('news', 'receipt', 'both');
begin;
create temporary table claimed as select c.* from marketing_automation_internal.claim_messages(100) c;
select * from shop.mail order by 1, 2, 3;
rollback;
-- What was queued becomes what its class has become meanwhile, and the other way round.
begin;
update marketing_automation.scenario set message_class = case name when 'news' then 'transactional' else 'marketing' end where name in ('news', 'receipt');
create temporary table claimed as select c.* from marketing_automation_internal.claim_messages(100) c;
select * from shop.mail order by 1, 2, 3;
rollback;
-- A mailer on another host asks again before it sends: who leaves meanwhile gets the receipt, and not the letter.
begin;
select marketing_automation.mailer_register('classes', '22222222-2222-2222-2222-222222222222', 'host', e.extversion)
from pg_extension e where e.extname = 'marketing_automation';
create temporary table claimed as select c.* from marketing_automation.mailer_claim(100, true) c where c.email = 'buyer1@classes.example';
select count(*) from claimed;
select marketing_automation.unsubscribe('buyer 1'), marketing_automation.unsubscribe_address('buyer1@classes.example');
select a.name from claimed c join marketing_automation.activity a on a.id = c.activity_id
where c.id in (select marketing_automation.mailer_revoked(array(select id from claimed order by id), array(select attempt from claimed order by id)));
rollback;
select regexp_replace(fact, '20\d\d-[-:+ 0-9]+', '…: ') as fact from marketing_automation.explain_record('receipt', '2') where about = 'record' and fact !~ '^entered';
select fact from marketing_automation.explain_record('receipt', '4') where about = 'record' and fact !~ '^entered';
select regexp_replace(fact, '20\d\d-[-:+ 0-9]+', '…: ') as fact from marketing_automation.explain_record('news', '2') where about = 'record' and fact !~ '^entered';

-- A scenario with mails of both kinds: they enter for those that reach them; a node that sends nothing is on the way to both.
select marketing_automation.create_scenario('both', 'buyer', 'self.id <= 2') > 0 as created;
select marketing_automation.add_activity('both', 'offer', subject => 's', body => '<a href="unsubscribe">x</a>') > 0 as added;
select marketing_automation.add_activity('both', 'branch', action => null) > 0 as added;
select marketing_automation.add_activity('both', 'receipt', parent => 'branch', subject => 's', body => '<p>b</p>', message_class => 'transactional') > 0 as added;
select marketing_automation.add_activity('both', 'advert', parent => 'branch', subject => 's', body => '<a href="unsubscribe">x</a>') > 0 as added;
select marketing_automation.run('both');
select enrolled from marketing_automation.enroll('both');
call marketing_automation.process_all_due();
select r.key, a.name, ra.state, ra.outcome from marketing_automation.record_activity ra join marketing_automation.record r on r.id = ra.record_id
join marketing_automation.activity a on a.id = ra.activity_id where r.scenario_id = marketing_automation.scenario_id('both') order by 1, 2;
select * from marketing_automation.tree('both');
select * from marketing_automation.tree('receipt');
select regexp_replace(fact, '20\d\d-[-:+ 0-9]+', '…: ') as fact from marketing_automation.explain_record('both', '2') where about = 'record' and fact !~ '^entered';

-- A topic is for what one may choose, too.
insert into marketing_automation.topic (name, opt_in) values ('class tips', 'double');
select marketing_automation.create_scenario('tips', 'buyer', 'self.id = 1', topic => 'class tips') > 0 as created;
select marketing_automation.add_activity('tips', 'tip', subject => 's', body => '<a href="unsubscribe">x</a>') > 0 as added;
select activity, outcome, detail from marketing_automation.simulate('tips', '1');
select marketing_automation.add_activity('tips', 'please confirm', subject => 's', body => '<p>b</p>', message_class => 'transactional') > 0 as added;
select marketing_automation.run('tips');
select enrolled from marketing_automation.enroll('tips');
call marketing_automation.process_all_due();
begin;
create temporary table claimed as select c.* from marketing_automation_internal.claim_messages(100) c;
select a.name, m.state, m.smtp_reply from marketing_automation.message m join marketing_automation.activity a on a.id = m.activity_id
where a.name in ('tip', 'please confirm') order by 1;
rollback;
select regexp_replace(fact, '20\d\d-[-:+ 0-9]+', '…') as fact from marketing_automation.explain_record('tips', '1') where about = 'record' and fact !~ '^entered';
select marketing_automation.stop('tips');

-- Quiet hours for all: the window of the class holds beside that of a scenario. Open on the day after tomorrow, or always.
select array[extract(isodow from now() + interval '2 days')]::integer[] as day_after \gset
insert into marketing_automation.send_window (name, days) values ('class quiet', :'day_after'), ('class open', '{1,2,3,4,5,6,7}');
update marketing_automation.message_class set send_window = 'class quite' where name = 'marketing';
begin;
update marketing_automation.message_class set send_window = 'class quiet' where name = 'marketing';
delete from marketing_automation.send_window where name = 'class quiet';
rollback;
begin;
update marketing_automation.message_class set send_window = 'class quiet' where name = 'marketing';
update marketing_automation.scenario set send_window = 'class open' where name in ('news', 'receipt');
create temporary table claimed as select c.* from marketing_automation_internal.claim_messages(100) c;
select m.scenario, m.state, count(*) from shop.mail m where scenario in ('news', 'receipt') group by 1, 2 order by 1, 2;
select count(*) > 0 as wait from marketing_automation.message m join marketing_automation.activity a on a.id = m.activity_id and a.name = 'letter'
where m.next_attempt_at > now() + interval '12 hours';
update marketing_automation.send_window set outside = 'skip' where name = 'class quiet';
update marketing_automation_internal.outbox o set due_at = now() where o.state = 'queued';
drop table claimed;
create temporary table claimed as select c.* from marketing_automation_internal.claim_messages(100) c;
select distinct m.smtp_reply from shop.mail m where scenario = 'news' and m.state = 'suppressed' order by 1;
rollback;
-- What has no window of its own waits before it runs.
begin;
update marketing_automation.message_class set send_window = 'class quiet' where name = 'transactional';
select outcome from marketing_automation.simulate('receipt', '2');
rollback;

-- What goes first: of a batch of three, mails of the class with the higher priority; what is left is shared as it always was.
begin;
select count(*) as claimed, count(*) filter (where a.name in ('paid', 'receipt')) as receipts
from marketing_automation_internal.claim_messages(3) c join marketing_automation.activity a on a.id = c.activity_id;
select count(*) from shop.mail where state = 'sending' and activity in ('receipt', 'paid');
select count(*) > 0 as more from marketing_automation_internal.claim_messages(5);
select count(*) from shop.mail where state = 'sending' and activity in ('receipt', 'paid');
rollback;
-- And of what is due it runs first, whatever was due before.
update classes.buyer set email = email;
insert into classes.buyer select n, 'buyer' || n || '@classes.example' from generate_series(11, 12) n;
select enrolled from marketing_automation.enroll('news');
update marketing_automation_internal.waiting_activity w set at = at - interval '1 hour' from marketing_automation.record r where r.id = w.record_id and r.key in ('11', '12');
select enrolled from marketing_automation.enroll('receipt');
select marketing_automation.process_due() as ran;
select distinct scenario from shop.mail where email in ('buyer11@classes.example', 'buyer12@classes.example');

-- A definition in a file says the class.
select e -> 'scenario' ->> 'message_class' as of_scenario, jsonb_path_query_array(e, '$.activities[*].message_class') as of_activities
from marketing_automation.export_scenario('both') e;
select change, object, attribute, before, after from marketing_automation.import_scenario(
    jsonb_set(marketing_automation.export_scenario('receipt'), '{scenario,message_class}', '"marketing"'), dry_run => true);
select change, object from marketing_automation.import_scenario(
    jsonb_set(marketing_automation.export_scenario('receipt'), '{scenario,message_class}', '"gone"'), name => 'imported', dry_run => true);

select marketing_automation.stop(n) from unnest(array['receipt', 'news', 'both']) n;
drop view shop.mail;
delete from marketing_automation.send_window where name ~ '^class';
drop function shop.head(text, text), shop.version(text);
update marketing_automation.activity set message_class = null where message_class = 'newsletter';
delete from marketing_automation.message_class where name in ('newsletter', 'survey');
