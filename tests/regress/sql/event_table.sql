\set SHOW_CONTEXT never
-- The tables of docs/events.md, row by row: tests/e2e/test_docs.py compares what is printed here with the page.
create table shop.recipient (id integer primary key, story text not null, email text default 'reader@shop.example', skip text, divisor integer not null default 1);
insert into shop.recipient (id, story) values
    (1, 'nothing'),
    (2, 'opens'),
    (3, 'opens twice'),
    (4, 'opens, and the proxy reports it twice'),
    (5, 'clicks'),
    (6, 'clicks twice'),
    (7, 'clicks, and `click_implies_open` is off'),
    (8, 'opens, then clicks'),
    (9, 'clicks, then opens'),
    (10, 'opens when "not opened" is due but has not run yet'),
    (11, 'clicks when "not clicked" is due but has not run yet'),
    (12, 'opens after "not opened" has run'),
    (13, 'clicks after "not opened" has run'),
    (14, 'clicks after both "not opened" and "not clicked" have run'),
    (15, 'opens after all of them have run'),
    (16, 'opens, and clicks after "not clicked" has run'),
    (17, 'opens before the server''s reply is recorded'),
    (18, 'is blocked, then opens'),
    (19, 'is blocked, then clicks'),
    (20, 'opens, and is blocked before "opened" has run'),
    (21, 'opens while the scenario is stopped'),
    (22, 'clicks while the scenario is stopped'),
    (23, 'opens a mail that failed for good'),
    (24, 'nothing: has no address'),
    (25, 'nothing: the mail failed for good'),
    (26, 'opens after "not opened" was skipped: its condition was not true'),
    (27, 'opens, but the condition of "opened" is not true'),
    (28, 'opens after "not opened" has failed, which is then retried'),
    (29, 'opens after the row was deleted and "not opened" was due');
update shop.recipient set email = null where id = 24;
update shop.recipient set skip = 'not opened' where id = 26;
update shop.recipient set skip = 'opened' where id = 27;
update shop.recipient set divisor = 0 where id = 28;
select marketing_automation.register_model('recipient', 'shop.recipient', key => 'self.id', party => 'self.id', email => 'self.email');
select marketing_automation.create_scenario('reading', 'recipient') > 0 as created;
select count(marketing_automation.add_activity('reading', name, parent, event, condition, delay, action, subject => 's', body => 'b')) as added
from (values
    ('mail', null, null, null, null::interval, 'send_email'),
    ('opened', 'mail', 'email_opened', 'self.skip is distinct from ''opened''', '1 hour', null),
    ('not opened 1', 'mail', 'email_not_opened', 'self.skip is distinct from ''not opened'' and 1 / self.divisor > 0', '1 day', null),
    ('not opened 3', 'mail', 'email_not_opened', null, '3 days', null),
    ('clicked', 'mail', 'email_clicked', null, null, null),
    ('not clicked 2', 'mail', 'email_not_clicked', null, '2 days', null)) a (name, parent, event, condition, delay, action);
select marketing_automation.run('reading');
select id as link from marketing_automation_internal.link_ids(array['https://a.example/']) \gset

create function pg_temp.hit(scenario text, reader integer, kind text, link bigint default null, id uuid default gen_random_uuid()) returns void language plpgsql as $$
begin
    -- As in the test "events": the row before anything is recorded of it.
    perform from (
        select r.id as record, a.id as activity from marketing_automation.record r
        join marketing_automation.scenario s on s.id = r.scenario_id and s.name = hit.scenario
        join marketing_automation.activity a on a.scenario_id = s.id and a.name = 'mail'
        where r.key = hit.reader::text offset 0) m
    cross join lateral marketing_automation.record_events(array[hit.id], array[hit.kind],
        array[marketing_automation_internal.sign_token(hit.kind, m.record, m.activity, hit.link)], array[clock_timestamp()], array['GET'], array[null::inet], array[null::text]);
    perform marketing_automation.apply_events();
end $$;
create function pg_temp.open(reader integer) returns void language sql as $$ select pg_temp.hit('reading', reader, 'email_opened') $$;
create function pg_temp.send(state text, readers integer[]) returns bigint language plpgsql as $$
declare
    ids bigint[] := array(select o.id from marketing_automation_internal.outbox o where o.email = 'reader@shop.example' and o.key::integer = any (readers));
begin
    update marketing_automation_internal.outbox o set state = 'sending', attempts = 1, first_attempt_at = now() where o.id = any (ids);
    return (select marketing_automation_internal.complete_messages(ids, array_fill(1, array[cardinality(ids)]), array_fill(send.state, array[cardinality(ids)]),
        array_fill(null::text, array[cardinality(ids)]), array_fill(0::double precision, array[cardinality(ids)])));
end $$;

select enrolled from marketing_automation.enroll('reading');
call marketing_automation.process_all_due();
select pg_temp.open(17);
select pg_temp.send('failed', array[23, 25]), pg_temp.send('sent', array(select i from generate_series(1, 29) i where i not in (23, 25)));

-- Before "not opened 1" is due.
select pg_temp.open(reader) from unnest(array[2, 3, 3, 16, 20, 23, 27]) reader;
select pg_temp.hit('reading', 4, 'email_opened', null, '01930000-0000-7000-8000-000000000204'), pg_temp.hit('reading', 4, 'email_opened', null, '01930000-0000-7000-8000-000000000204');
select pg_temp.hit('reading', reader, 'email_clicked', :link) from unnest(array[5, 6, 6]) reader;
select pg_temp.hit('reading', 8, 'email_opened'), pg_temp.hit('reading', 8, 'email_clicked', :link),
       pg_temp.hit('reading', 9, 'email_clicked', :link), pg_temp.hit('reading', 9, 'email_opened');
begin;
-- Not the mailer applies this one, with the setting of its own.
select from marketing_automation_internal.event_application for update;
set local marketing_automation.click_implies_open = off;
select pg_temp.hit('reading', 7, 'email_clicked', :link);
commit;
update marketing_automation_internal.waiting_activity w set at = now() - interval '1 second'
from marketing_automation.record r, marketing_automation.activity a
where r.id = w.record_id and (r.key, a.name) in (('10', 'not opened 1'), ('11', 'not clicked 2')) and a.id = w.activity_id;
select pg_temp.open(10), pg_temp.hit('reading', 11, 'email_clicked', :link);
select marketing_automation.block(r.uuid) from marketing_automation.record r join marketing_automation.scenario s on s.id = r.scenario_id and s.name = 'reading'
where r.key in ('18', '19', '20');
select pg_temp.open(18), pg_temp.hit('reading', 19, 'email_clicked', :link);
select marketing_automation.stop('reading');
select pg_temp.open(21), pg_temp.hit('reading', 22, 'email_clicked', :link);
call marketing_automation.process_all_due(now => now() + interval '20 days');
select marketing_automation.draft('reading'), marketing_automation.run('reading');
delete from shop.recipient where id = 29;

-- "Not opened 1" runs, then "not clicked 2", then "not opened 3".
call marketing_automation.process_all_due(now => now() + interval '1 day');
select pg_temp.open(reader) from unnest(array[12, 26, 28, 29]) reader;
select pg_temp.hit('reading', 13, 'email_clicked', :link);
update shop.recipient set divisor = 1 where id = 28;
select count(marketing_automation.retry(ra)) as retried from marketing_automation.record_activity ra
join marketing_automation.activity a on a.id = ra.activity_id and a.name = 'not opened 1' where ra.state = 'failed';
call marketing_automation.process_all_due(now => now() + interval '2 days');
select pg_temp.hit('reading', reader, 'email_clicked', :link) from unnest(array[14, 16]) reader;
call marketing_automation.process_all_due(now => now() + interval '3 days');
select pg_temp.open(15);
call marketing_automation.process_all_due(now => now() + interval '20 days');

-- Children that are added when mails have been queued or sent already.
insert into shop.recipient (id, story) values
    (30, 'opens, before they are added and again after'),
    (31, 'opens, after they are added'),
    (32, 'nothing; they are added after the mail was sent'),
    (33, 'nothing; they are added before the mail is sent');
select marketing_automation.create_scenario('adding', 'recipient', 'self.id > 29') > 0 as created;
select marketing_automation.add_activity('adding', 'mail', subject => 's', body => 'b') > 0 as added;
select marketing_automation.run('adding');
select enrolled from marketing_automation.enroll('adding');
call marketing_automation.process_all_due();
select pg_temp.send('sent', array[30, 31, 32]);
select pg_temp.hit('adding', 30, 'email_opened');
select marketing_automation.add_activity('adding', 'opened', parent => 'mail', on_event => 'email_opened', delay => '1 hour', action => null) > 0 as added;
select marketing_automation.add_activity('adding', 'not opened 1', parent => 'mail', on_event => 'email_not_opened', delay => '1 day', action => null) > 0 as added;
select pg_temp.hit('adding', 30, 'email_opened'), pg_temp.hit('adding', 31, 'email_opened');
select pg_temp.send('sent', array[33]);
call marketing_automation.process_all_due(now => now() + interval '1 day');

create view shop.ending as
    select r.key::integer as reader, s.name as scenario, a.name as activity, ra.opened_at, ra.clicked_at,
           case when ra.outcome = 'executed' then 'runs'
                when ra.outcome in ('condition_not_met', 'row_missing') then 'skipped'
                else ra.state end as ending
    from marketing_automation.record_activity ra
    join marketing_automation.record r on r.id = ra.record_id
    join marketing_automation.activity a on a.id = ra.activity_id
    join marketing_automation.scenario s on s.id = a.scenario_id and s.name in ('reading', 'adding');
create function pg_temp.ending(scenario text, reader integer, activity text) returns text language sql as $$
    select coalesce((select e.ending from shop.ending e where (e.scenario, e.reader, e.activity) = (ending.scenario, ending.reader, ending.activity)), '–') $$;
create table shop.story as select r.id, r.story from shop.recipient r where r.id <> 29 union all values (29, 'opens after the row was deleted and "not opened" was due');
\pset tuples_only on
\pset format unaligned
\pset fieldsep ' | '
select format('| %s | %s | %s | %s | %s | %s | %s | %s |', t.id, t.story, pg_temp.ending('reading', t.id, 'opened'), pg_temp.ending('reading', t.id, 'not opened 1'),
              pg_temp.ending('reading', t.id, 'not opened 3'), pg_temp.ending('reading', t.id, 'clicked'), pg_temp.ending('reading', t.id, 'not clicked 2'),
              coalesce(nullif(concat_ws(', ', case when e.opened_at is not null then 'opened' end, case when e.clicked_at is not null then 'clicked' end), ''), '–'))
from shop.story t join shop.ending e on e.reader = t.id and e.scenario = 'reading' and e.activity = 'mail' order by t.id;
select format('| %s | %s | %s | %s |', t.id, t.story, pg_temp.ending('adding', t.id, 'opened'), pg_temp.ending('adding', t.id, 'not opened 1'))
from shop.story t where t.id > 29 order by t.id;

-- The delay of a positive child counts from the event; what is logged is every report but the repeated one.
select distinct round(extract(epoch from f.at - e.opened_at)) from marketing_automation_internal.finished_activity f
join marketing_automation.activity a on a.id = f.activity_id and a.name = 'opened'
join shop.ending e on e.activity = 'mail' and e.scenario = 'reading' and e.opened_at is not null
join marketing_automation.record r on r.id = f.record_id and r.key = e.reader::text
join marketing_automation.scenario s on s.id = r.scenario_id and s.name = 'reading';
select r.key, count(*) from marketing_automation.event e join marketing_automation.record r on r.id = e.record_id
join marketing_automation.scenario s on s.id = r.scenario_id and s.name = 'reading' where r.key in ('3', '4') and e.kind = 'email_opened' group by 1 order by 1;
select count(*) from marketing_automation_internal.waiting_activity w join marketing_automation.record r on r.id = w.record_id
join marketing_automation.scenario s on s.id = r.scenario_id and s.name in ('reading', 'adding');
select count(*) from marketing_automation_internal.waiting_activity join marketing_automation_internal.finished_activity using (record_id, activity_id);
select marketing_automation.stop('reading'), marketing_automation.stop('adding');
drop view shop.ending cascade;
