\set SHOW_CONTEXT never
set timezone = 'UTC';
set datestyle = 'ISO';
-- Variants of one mail: each record gets one of them, by share, and all that follows is the same for all.
create schema vary;
create table vary.reader (id integer primary key, email text, language text, name text not null default 'Ada', secret text);
insert into vary.reader (id, email, language) select i, 'reader' || i || '@vary.example', case when i % 2 = 0 then 'fr' end from generate_series(1, 1000) i;
select count(marketing_automation.register_model('vary reader', 'vary.reader', key => 'self.id', party => 'self.id', email => 'self.email', language => 'self.language')) as registered;
select marketing_automation.create_scenario('vary', 'vary reader') > 0 as created;
select marketing_automation.add_activity('vary', 'news', subject => 'News', body => '<p>Body <a href="unsubscribe">leave</a></p>') > 0 as added;
select marketing_automation.add_activity('vary', 'split', parent => 'news', on_event => 'email_opened', action => null, branch_by => 'share') > 0 as added;
-- What is wrong is named.
create function vary.told(statement text) returns text language plpgsql as $$
declare
    message text;
    hint text;
begin
    execute statement;
    return 'no error';
exception when others then
    get stacked diagnostics message = message_text, hint = pg_exception_hint;
    return message || ' | ' || coalesce(nullif(hint, ''), 'NO HINT');
end $$;
select vary.told('select marketing_automation.add_activity(''vary'', ' || s || ')') from unnest(array[
    $$'x', on_event => 'variant', share => 30, subject => 'X'$$,
    $$'x', parent => 'news', on_event => 'variant', subject => 'X'$$,
    $$'x', parent => 'news', on_event => 'variant', share => 0, subject => 'X'$$,
    $$'x', parent => 'news', on_event => 'variant', share => 101, subject => 'X'$$,
    $$'x', parent => 'news', on_event => 'variant', share => 30, subject => '{{ record.nme }}'$$,
    $$'x', parent => 'news', on_event => 'variant', share => 30, subject => '{{'$$,
    $$'x', parent => 'news', on_event => 'variant', share => 30, delay => '1 day'$$,
    $$'x', parent => 'split', on_event => 'variant', share => 30, subject => 'X'$$,
    $$'x', parent => 'news', share => 30, subject => 'X', body => 'b'$$]) s;
select marketing_automation.add_activity('vary', 'short', parent => 'news', on_event => 'variant', share => 30, subject => 'Hello {{ record.name }}') > 0 as added;
select marketing_automation.add_activity('vary', 'long', parent => 'news', on_event => 'variant', share => 20, body => '<p>Long <a href="unsubscribe">leave</a></p>') > 0 as added;
select vary.told(s) from unnest(array[
    $$select marketing_automation.add_activity('vary', 'x', parent => 'short', action => null)$$,
    $$select marketing_automation.add_activity('vary', 'x', parent => 'news', on_event => 'variant', share => 51, subject => 'X'); set constraints all immediate$$,
    $$update marketing_automation.activity set branch_by = 'share' where name = 'news' and scenario_id = marketing_automation.scenario_id('vary')$$,
    $$update marketing_automation.activity set action = 'send_email', subject = 's', body = 'b' where name = 'short' and scenario_id = marketing_automation.scenario_id('vary')$$,
    $$select marketing_automation.decide('vary', 'news', 'short')$$]) s;
-- Translations of a variant are its own; what it leaves out is translated as the mail is.
insert into marketing_automation.activity_translation (activity_id, language, subject, body)
select a.id, 'fr', t.subject, t.body from marketing_automation.activity a
join (values ('news', 'Nouvelles', '<p>Corps <a href="unsubscribe">partir</a></p>'), ('short', 'Bonjour {{ record.name }}', null)) t (name, subject, body) on t.name = a.name
where a.scenario_id = marketing_automation.scenario_id('vary');
select n.name, l.language, p.subject, p.text from (values ('news'), ('short'), ('long')) n (name) cross join (values ('en'), ('fr')) l (language)
cross join lateral marketing_automation.preview('vary', n.name, '1', l.language) p order by 1, 2;
select severity, activity, language, message from marketing_automation.check_scenario('vary') where message !~ 'automation_base|not recorded' order by 1, 2, 3, 4;
set client_min_messages = error;
select marketing_automation.run('vary') is not null as runs;
reset client_min_messages;
create temp table foretold as select k.key, s.detail from generate_series(1, 12) g cross join lateral (select g::text as key) k
cross join lateral marketing_automation.simulate('vary', k.key, start => '2030-01-01 12:00+00') s where s.activity = 'news';
-- What was queued before there were variants is the mail as it is; here all come after.
select enrolled from marketing_automation.enroll('vary');
create table vary.taken (id bigint, attempt integer);
create temp table claimed (key text, template text, is_current boolean);
create procedure vary.send(at timestamptz default now()) language plpgsql as $$ begin
    while marketing_automation.process_due(1000, at) > 0 loop end loop;
    with c as materialized (select c.* from marketing_automation_internal.claim_messages(10000) c), kept as (
        insert into claimed select r.key, a.name, c.activity_version = (
            select min(t.version) from marketing_automation_internal.mail_templates(array[c.template_id]) t)
        from c join marketing_automation.record r on r.id = c.record_id join marketing_automation.activity a on a.id = c.template_id)
    insert into vary.taken select c.id, c.attempt from c;
    perform marketing_automation_internal.complete_messages(array_agg(t.id), array_agg(t.attempt), array_agg('sent'::text), array_agg('250 ok'::text),
        array_agg(0::double precision)) from vary.taken t;
    delete from vary.taken;
end $$;
call vary.send();
-- Within five standard deviations of a half, 30 per cent and a fifth of 1,000.
select template, count(*) between 420 and 580 as half, count(*) between 230 and 370 as third, count(*) between 135 and 265 as fifth, bool_and(is_current) as current
from claimed group by 1 order by 1;
select count(*), count(distinct key) from claimed;
-- The decision is kept, and is what was sent.
create view vary.decision as
    select r.key, p.name as mail, coalesce(v.name, p.name) as variant, d.by_winner from marketing_automation.branch_decision d
    join marketing_automation.record r on r.id = d.record_id join marketing_automation.activity p on p.id = d.parent_id and p.scenario_id = r.scenario_id
    join marketing_automation.scenario s on s.id = r.scenario_id and s.name like 'vary%' left join marketing_automation.activity v on v.id = d.activity_id;
select count(*), count(*) filter (where f.detail = case c.template when 'short' then 'sends "Hello {{ record.name }}", variant "short"'
    when 'long' then 'sends "News", variant "long"' else 'sends "News"' end) as as_foretold from foretold f join claimed c using (key);
select count(*) as others from claimed c left join vary.decision d on d.key = c.key and d.variant = c.template where d.key is null;
select about, regexp_replace(fact, '(sent|done) [0-9]\S+ \S+', '\1 then', 'g') as fact from marketing_automation.explain_record('vary', (
    select min(key) from claimed where template = 'short')) where about ~ 'news|short|long';
-- What follows is the parent's; opens count for the variant.
create procedure vary.read(scenario text, variant text, readers integer) language sql as $$
    select marketing_automation_internal.mark_events(array_agg(r.id), array_agg(a.id), array_agg('email_opened'::text), array_agg(now()))
    from marketing_automation.record r
    join marketing_automation.scenario s on s.id = r.scenario_id and s.name = scenario
    join marketing_automation.activity a on a.scenario_id = s.id and a.name = 'news'
    where r.key in (select c.key from claimed c where c.template = variant order by c.key::integer limit readers)
$$;
call vary.read('vary', 'short', 100);
select variant, share, opened, metric_used, difference_low > 0 as surely_better, winner from marketing_automation.variant_report('vary', 'opens');
select case when tree ~ 'mails' then regexp_replace(tree, '[0-9]+ mails', 'some mails') else split_part(tree, ',', 1) end as tree from marketing_automation.tree('vary');
-- Shares stay, what was decided on cannot be deleted, texts may change: each has them from the next mail on.
select vary.told(s) from unnest(array[
    $$update marketing_automation.activity set share = 31 where name = 'short' and scenario_id = marketing_automation.scenario_id('vary')$$,
    $$select marketing_automation.add_activity('vary', 'x', parent => 'news', on_event => 'variant', share => 1, subject => 'X')$$,
    $$select marketing_automation.delete_activity('vary', 'long')$$,
    $$update marketing_automation.activity set subject = 'Changed' where name = 'short' and scenario_id = marketing_automation.scenario_id('vary')$$,
    $$update marketing_automation.activity set body = '<p>Changed <a href="unsubscribe">leave</a></p>' where name = 'news' and scenario_id = marketing_automation.scenario_id('vary')$$]) s;
select p.subject, p.text from marketing_automation.preview('vary', 'short', '1', 'en') p;
-- A mail takes along the columns of all variants, also one that is queued while they change.
insert into vary.reader (id, email, secret) values (1001, 'reader1001@vary.example', 'kept');
select enrolled from marketing_automation.enroll('vary');
do $$ begin while marketing_automation.process_due() > 0 loop end loop; end $$;
update marketing_automation.activity set subject = '{{ record.secret }}' where name = 'long' and scenario_id = marketing_automation.scenario_id('vary');
select o.context from marketing_automation_internal.outbox o where o.key = '1001' and o.email like '%vary.example';
-- Again and again, from file to file, and in another scenario.
select marketing_automation.add_activity('vary', 'short', parent => 'news', on_event => 'variant', share => 30, subject => 'Hello', replace => true) > 0 as replaced;
select marketing_automation.copy_scenario('vary', 'vary copy') > 0 as copied;
select a.name, p.name as parent, a.on_event, a.share, a.subject, a.action from marketing_automation.activity a left join marketing_automation.activity p on p.id = a.parent_id
where a.scenario_id = marketing_automation.scenario_id('vary copy') order by a.id;
select count(*) from marketing_automation.import_scenario(marketing_automation.export_scenario('vary'), 'vary copy');
select change, name, after ->> 'share' as share from marketing_automation.definition_history where scenario = 'vary' and name in ('short', 'long') order by id;
-- The sender of a variant is one that its owner may use, or all its mails wait.
begin;
create role regress_vary;
grant usage on schema vary to regress_vary;
grant select on vary.reader to regress_vary;
update marketing_automation.scenario set owner = 'regress_vary' where name = 'vary';
insert into marketing_automation.sender_permission (role, sender) values ('regress_vary', 'vary.example');
select vary.told($$update marketing_automation.activity set sender = 'Other <news@other.example>' where name = 'short' and scenario_id = marketing_automation.scenario_id('vary')$$);
update marketing_automation.activity set sender = 'Vary <news@vary.example>' where name = 'short' and scenario_id = marketing_automation.scenario_id('vary');
select count(*) from marketing_automation_internal.barred_activity b where b.scenario = 'vary';
update marketing_automation.sender_permission set sender = 'other.example' where role = 'regress_vary';
select b.name, b.sender from marketing_automation_internal.barred_activity b where b.scenario = 'vary';
rollback;
select marketing_automation.stop('vary');

-- An experiment: who is in no variant waits at the mail, and gets the one that wins.
select marketing_automation.create_scenario('vary best', 'vary reader') > 0 as created;
select marketing_automation.add_activity('vary best', 'news', subject => 'News', body => '<p>Body <a href="unsubscribe">leave</a></p>', metric => 'opens', decide_after => '4 hours', wait_until => 'true', delay => '1 day');
select marketing_automation.add_activity('vary best', 'news', subject => 'News', body => '<p>Body <a href="unsubscribe">leave</a></p>', metric => 'opens', decide_after => '4 hours') > 0 as added;
select severity, message from marketing_automation.check_scenario('vary best') where activity = 'news' and message ~ 'experiment';
select marketing_automation.add_activity('vary best', v, parent => 'news', on_event => 'variant', share => 10, subject => v) > 0 as added from unnest(array['one', 'two']) v;
select marketing_automation.add_activity('vary best', 'all', parent => 'news', on_event => 'variant', share => 80, subject => 'x'), 1 as commits;
select marketing_automation.add_activity('vary best', 'after', parent => 'news', delay => '1 day', action => null) > 0 as added;
set client_min_messages = error;
select marketing_automation.run('vary best') is not null as runs;
reset client_min_messages;
delete from claimed;
select enrolled from marketing_automation.enroll('vary best');
call vary.send();
select template, count(*) between 50 and 150 as tenth from claimed group by 1 order by 1;
select case when tree ~ 'mails' then regexp_replace(tree, '[0-9]+ mails', 'some mails') else regexp_replace(tree, '[0-9]+', 'n', 'g') end as tree from marketing_automation.tree('vary best');
select about, fact from marketing_automation.explain_record('vary best', (
    select min(r.key) from marketing_automation.record r where r.scenario_id = marketing_automation.scenario_id('vary best') and r.key not in (select c.key from claimed c)))
where about ~ 'news|one|two|after';
-- What follows the mail follows each variant of it.
select distinct regexp_replace(fact, '[0-9]{4}-.*', 'then') as fact from marketing_automation.explain_record('vary best', (select min(c.key) from claimed c)) where about ~ 'after';
-- Meanwhile somebody leaves, and comes back; texts change; the sweep finds nothing to do.
select marketing_automation.block(r.uuid) from marketing_automation.record r
where r.scenario_id = marketing_automation.scenario_id('vary best') and r.key = (select min(o.key) from marketing_automation.record o
    where o.scenario_id = r.scenario_id and o.key not in (select c.key from claimed c));
select fact from marketing_automation.explain_record('vary best', (select min(r.key) from marketing_automation.record r
    where r.scenario_id = marketing_automation.scenario_id('vary best') and r.blocked_at is not null)) where about ~ 'one';
call vary.read('vary best', 'two', 50);
call vary.send(now() + interval '3 hours');
select count(distinct template) from claimed;
call vary.send(now() + interval '5 hours');
-- What is made within a statement leaves with the next.
call vary.send(now() + interval '5 hours');
select template, count(*) > 500 as most from claimed group by 1 order by 1;
select count(*), count(distinct key) from claimed;
select marketing_automation.unblock(r.uuid) from marketing_automation.record r
where r.scenario_id = marketing_automation.scenario_id('vary best') and r.blocked_at is not null;
call vary.send(now() + interval '5 hours');
call vary.send(now() + interval '5 hours');
select count(*), count(distinct key) from claimed;
select variant, by_winner, count(*) > 500 as most from vary.decision d join marketing_automation.activity a on a.name = d.mail and a.scenario_id = marketing_automation.scenario_id('vary best')
where variant in ('one', 'two') group by 1, 2 order by 1, 2;
select experiment, variant, share, metric_used, difference_low > 0 as surely_better, winner, case when variant is null then records > 500 end as rest from marketing_automation.variant_report('vary best');
select regexp_replace(vary.told($$select marketing_automation.decide('vary best', 'news', 'one')$$), '[0-9]{4}-\S+ \S+', 'then') as told;
-- Decided by hand: who has waited so far, and who comes later.
select marketing_automation.create_scenario('vary hand', 'vary reader', domain => 'self.id <= 100') > 0 as created;
select marketing_automation.add_activity('vary hand', 'news', subject => 'News', body => '<p>Body <a href="unsubscribe">leave</a></p>', metric => 'clicks') > 0 as added;
select marketing_automation.add_activity('vary hand', v, parent => 'news', on_event => 'variant', share => 1, subject => v) > 0 as added from unnest(array['one', 'two']) v;
set client_min_messages = error;
select marketing_automation.run('vary hand') is not null as runs;
reset client_min_messages;
delete from claimed;
select enrolled from marketing_automation.enroll('vary hand');
call vary.send();
select count(*) < 10 as few from claimed;
select marketing_automation.decide('vary hand', 'news', 'news');
select marketing_automation.decide('vary hand', 'news', 'two');
call vary.send();
select template, count(*) > 90 as most from claimed group by 1 order by 2 desc, 1 limit 1;
select count(*), count(distinct key) from claimed;
select marketing_automation.stop('vary best'), marketing_automation.stop('vary hand');
-- Without variants there is nothing of it.
select count(*) from marketing_automation_internal.claim_messages(10) c where c.template_id <> c.activity_id;
