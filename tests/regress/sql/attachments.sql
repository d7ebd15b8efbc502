\set SHOW_CONTEXT never
set timezone = 'UTC';
-- Files that mails take along: a query over the row gives them.
create schema attached;
create table attached.buyer (id integer primary key, name text, email text);
insert into attached.buyer values (1, 'Ada', 'ada@attached.example'), (2, 'Zoë', 'zoe@attached.example'), (3, 'Eve', 'eve@attached.example'),
    (4, 'Max', 'max@attached.example'), (5, 'Ned', 'ned@attached.example'), (6, 'Pia', 'pia@attached.example'), (7, 'Uwe', 'uwe@attached.example');
create table attached.paper (buyer integer, place integer, name text, type text, content bytea, cid text);
insert into attached.paper
-- The same picture for all; none of it for 7.
select b.id, 2, 'logo.png', 'image/png', '\x89504e47', 'logo' from attached.buyer b where b.id <> 7
union all select b.id, 1, format('Rechnung für %s.pdf', b.name), 'application/pdf', convert_to('%PDF ' || b.name, 'UTF8'), null from attached.buyer b where b.id <> 6
-- 3: a file without content, 4: too many, 5: too much.
union all select 3, 3, 'missing.pdf', 'application/pdf', null, null
union all select 4, 10 + n, n || '.txt', 'text/plain', 'x', null from generate_series(1, 200) n
union all select 5, 10 + n, n || '.bin', 'application/octet-stream', convert_to(repeat('x', 4000000), 'UTF8'), null from generate_series(1, 3) n;
create function attached.told(statement text) returns text language plpgsql as $$
declare
    message text;
    detail text;
    hint text;
begin
    execute statement;
    return 'no error';
exception when others then
    get stacked diagnostics message = message_text, detail = pg_exception_detail, hint = pg_exception_hint;
    return concat_ws(' | ', sqlstate, message, nullif(detail, ''), coalesce(nullif(hint, ''), 'NO HINT'));
end $$;
select marketing_automation.register_model('attached', 'attached.buyer', key => 'self.id', email => 'self.email');
select marketing_automation.create_scenario('attached', 'attached') > 0 as created;
select marketing_automation.add_activity('attached', 'mail', sender => 'Shop <shop@attached.example>', subject => 's',
    body => '<p>{{ record.name }}<img src="cid:logo" alt=""></p><a href="unsubscribe">u</a>',
    attachments => 'select p.name, p.type, p.content, p.cid from attached.paper p where p.buyer = self.id order by p.place') as mail \gset

-- A query is checked when it is written.
select q.query, attached.told(format('update marketing_automation.activity set attachments = %L where id = %s', q.query, :mail)) as told
from unnest(array[
    '', 'self.name', 'select 1; select 2', 'select ''a'' as name, ''b/c'' as type, ''''::bytea as content;', 'select ''a'' as name', 'select 1 as name, ''a/b'' as type, ''''::bytea as content',
    'select ''a'' as name, ''a/b'' as type, ''text'' as content', 'select ''a'' as name, ''a/b'' as type, ''''::bytea as content, self.id as cid',
    'select ''a'' as name, ''b'' as name, ''a/b'' as type, ''''::bytea as content', 'select p.name, p.type, p.content from paper p',
    'select p.name, p.type, p.content from attached.paper p where p.buyer = self.nothing', 'delete from attached.paper returning name, type, content',
    'with d as (delete from attached.paper returning *) select * from d', 'select name, type, content into x from attached.paper',
    'select p.name, p.type, p.content from attached.paper p for update', 'select ''a'' as name, ''a/b'' as type, ''''::bytea as content) as x cross join (select 1']) with ordinality q (query, n) order by n;
select attached.told($$select marketing_automation.add_activity('attached', 'call', action => 'call', call => 'true', attachments => 'select 1')$$);
select attached.told($$select marketing_automation.add_activity('attached', 'hook', action => 'webhook', url => 'https://a.example/', attachments => 'select 1')$$);
select attached.told($$select marketing_automation.add_activity('attached', 'b', parent => 'mail', on_event => 'variant', share => 30, subject => 't',
    attachments => 'select name, type, content from attached.paper')$$);

-- What would fail is seen before.
select p.subject from marketing_automation.preview('attached', 'mail', '1') p;
select * from marketing_automation.preview_attachments('attached', 'mail', '1');
select k, attached.told(format('select marketing_automation.preview(''attached'', ''mail'', %L)', k)) from generate_series(3, 7) k order by k;
select severity, message from marketing_automation.check_scenario('attached') where activity = 'mail' order by 1, 2;

-- Each mail has its files, and a content is there once.
select marketing_automation.run('attached');
select e.enrolled from marketing_automation.enroll('attached') e;
select marketing_automation.process_due() > 0 as processed;
select o.key, f.place, f.name, f.type, f.cid, f.size, f.digest is not null as is_kept
from marketing_automation_internal.outbox o join marketing_automation_internal.outbox_file f on f.message_id = o.id
where o.activity_id = :mail and (o.key <> '4' or f.place > 20) order by 1, 2;
select count(*) as contents, count(*) filter (where substring(c.content for 4) = '%PDF') as papers from marketing_automation_internal.file_content c
where octet_length(c.content) < 1000;

-- A row that raises fails alone.
insert into attached.buyer values (8, 'Bad', 'bad@attached.example'), (9, 'Good', 'good@attached.example');
update marketing_automation.activity set attachments =
    'select ''a.txt'' as name, ''text/plain'' as type, convert_to((6 / (self.id - 8))::text, ''UTF8'') as content, ''logo'' as cid' where id = :mail;
select e.enrolled from marketing_automation.enroll('attached') e;
select marketing_automation.process_due() > 0 as processed;
select r.key, f.outcome, f.error from marketing_automation_internal.finished_activity f join marketing_automation_internal.record r on r.id = f.record_id
where f.activity_id = :mail and r.key::integer >= 8 order by 1;
select o.key, f.name, f.size from marketing_automation_internal.outbox o join marketing_automation_internal.outbox_file f on f.message_id = o.id
where o.activity_id = :mail and o.key::integer >= 7 order by 1, 2;

-- The mailer fetches them; the mail that has failed asks again when it is tried again.
select o.id as first from marketing_automation_internal.outbox o where o.activity_id = :mail and o.key = '1' \gset
select o.id as third from marketing_automation_internal.outbox o where o.activity_id = :mail and o.key = '3' \gset
select f.name, f.type, f.cid, f.size, encode(c.content, 'escape') as content from marketing_automation_internal.mail_files(array[:first]) f
left join marketing_automation_internal.file_contents(array[:first], array[f.digest]) c on c.digest = f.digest;
select count(*) as contents_of_others from marketing_automation_internal.file_contents(array[:third], (
    select array_agg(f.digest) from marketing_automation_internal.mail_files(array[:first]) f where f.cid is null));
update marketing_automation_internal.outbox set state = 'sending', attempts = 1 where id in (:first, :third);
select marketing_automation_internal.complete_messages(array[:first, :third], array[1, 1], array['sent', 'failed'], array['250 ok', 'attachment "missing.pdf" has no content'],
    array[0, 0]::double precision[], array[null, null]::text[], array[250, null]::integer[], array[null, null]::text[], array['smtp://x', null]) as finished;
select count(*) as files from marketing_automation_internal.outbox_file where message_id in (:first, :third);
select count(*) as contents_of_the_first from marketing_automation_internal.file_content where content = '%PDF Ada';
update attached.paper set content = '%PDF now' where name = 'missing.pdf';
update marketing_automation.activity set attachments = 'select p.name, p.type, p.content, p.cid from attached.paper p where p.buyer = self.id order by p.place' where id = :mail;
select marketing_automation.retry(:third);
select f.name, f.size from marketing_automation_internal.mail_files(array[:third]) f;

-- A test has them, too; a person's are erased, and those of mails that have left by any way are dropped.
select marketing_automation.send_test('attached', 'mail', '2', 'me@attached.example') as test \gset
select f.name, f.size from marketing_automation_internal.mail_files(array[:test]) f;
select m -> 'attachments' from jsonb_array_elements(marketing_automation.export_person('zoe@attached.example') -> 'messages') m;
select messages, records from marketing_automation.forget('zoe@attached.example');
select count(*) as of_zoe from marketing_automation_internal.outbox_file f join marketing_automation_internal.outbox o on o.id = f.message_id where o.key = '2' and o.email <> 'me@attached.example';
select marketing_automation.cancel(:test);
select marketing_automation_internal.sweep_files();
select count(*) as papers_of_zoe from marketing_automation_internal.file_content where content = convert_to('%PDF Zoë', 'UTF8');

-- It goes with a copy, and with a file.
select marketing_automation.copy_scenario('attached', 'attached again') > 0 as copied;
select a.attachments from marketing_automation.activity a where a.scenario_id = marketing_automation.scenario_id('attached again');
select s.change, s.object, s.attribute from marketing_automation.import_scenario(marketing_automation.export_scenario('attached'), 'attached again') s;
-- A simulation asks for none.
select s.activity, s.detail from marketing_automation.simulate('attached', '1') s;

-- They read results of calls before the mail, and trees and explanations tell of them.
begin;
select marketing_automation.create_scenario('attached results', 'attached', domain => 'self.id in (1, 6)') > 0 as created;
select attached.told($$select marketing_automation.add_activity('attached results', 'x', subject => 's', body => '<p>x</p>',
    attachments => 'select ''a'' as name, ''text/plain'' as type, convert_to(record.results ->> ''make'', ''UTF8'') as content')$$);
select marketing_automation.add_activity('attached results', 'make', action => 'call', call => $$'V' || self.id$$) > 0 as added;
select attached.told($$select marketing_automation.add_activity('attached results', 'x', 'make', subject => 's', body => '<p>x</p>',
    attachments => 'select ''a'' as name, ''text/plain'' as type, record.results as content')$$);
select marketing_automation.add_activity('attached results', 'tell', 'make', subject => 's', sender => 'Shop <shop@attached.example>', body => '<p>x</p><a href="unsubscribe">u</a>',
    attachments => $$select 'code of ' || self.name || '.txt' as name, 'text/plain' as type, convert_to(coalesce(record.results ->> 'make', 'none'), 'UTF8') as content$$) as tell \gset
select * from marketing_automation.preview_attachments('attached results', 'tell', '1');
select marketing_automation.run('attached results');
select s.activity, s.detail from marketing_automation.simulate('attached results', '1') s;
select e.enrolled from marketing_automation.enroll('attached results') e;
do $$ begin loop exit when marketing_automation.process_due() = 0; end loop; end $$;
select o.key, f.name, convert_from(c.content, 'UTF8') as content from marketing_automation_internal.outbox o
join marketing_automation_internal.outbox_file f on f.message_id = o.id join marketing_automation_internal.file_content c on c.digest = f.digest
where o.activity_id = :tell order by 1;
select * from marketing_automation.preview_attachments('attached results', 'tell', '6');
select * from marketing_automation.preview_attachments('attached', 'mail', '3');
select attached.told($$select * from marketing_automation.preview_attachments('attached', 'mail', '99')$$);
select marketing_automation.send_test('attached results', 'tell', '6', 'me@attached.example') as test \gset
select convert_from(c.content, 'UTF8') as content from marketing_automation_internal.mail_files(array[:test]) f
join marketing_automation_internal.file_content c on c.digest = f.digest;
select * from marketing_automation.tree('attached results');
select e.about, substring(e.fact from ', with .*attachments?') as fact from marketing_automation.explain_record('attached results', '1') e where e.about ~ 'tell';
rollback;

-- A table that is gone is found.
alter table attached.paper rename to papers;
select severity, message from marketing_automation.check_scenario('attached') where activity = 'mail' order by 1, 2;
-- Its records wait until it is there again, as it is not their fault.
insert into attached.buyer values (10, 'Late', 'late@attached.example');
select e.enrolled from marketing_automation.enroll('attached') e;
set client_min_messages = error;
select count(*) from marketing_automation.process_due();
reset client_min_messages;
select t.last_error, t.last_error_code from marketing_automation.scenario_status t where t.scenario_id = marketing_automation.scenario_id('attached');
alter table attached.papers rename to paper;
select marketing_automation.process_due() > 0 as processed;
select r.key, f.outcome from marketing_automation_internal.finished_activity f join marketing_automation_internal.record r on r.id = f.record_id
where f.activity_id = :mail and r.key = '10';
alter table attached.paper rename to papers;
select marketing_automation.stop('attached');
delete from marketing_automation_internal.outbox where activity_id = :mail;
select marketing_automation_internal.sweep_files();
select count(*) as files, (select count(*) from marketing_automation_internal.file_content) as contents from marketing_automation_internal.outbox_file;
select marketing_automation.delete_scenario('attached again');
drop table attached.papers;
