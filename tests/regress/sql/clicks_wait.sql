\set SHOW_CONTEXT never
-- A click is judged when all has come that the rules about robots look at: of a scanner with a browser's name nothing counts, starts
-- anything, or has to be undone. The other tests have these rules disabled, so that their clicks count at once.
update marketing_automation.robot_rule set is_enabled = false where kind in ('burst', 'hidden_link');
select marketing_automation_internal.click_window();
update marketing_automation.robot_rule set is_enabled = true where kind in ('burst', 'hidden_link');
select marketing_automation_internal.click_window();
create schema clicker;
create table clicker.reader (id integer primary key, email text);
insert into clicker.reader select n, 'reader' || n || '@clicker.example' from generate_series(1, 5) n;
select marketing_automation.register_model('clicker', 'clicker.reader', key => 'self.id', party => '''clicker '' || self.id', email => 'self.email');
select marketing_automation.create_scenario('clickers', 'clicker') > 0 as created;
select marketing_automation.add_activity('clickers', 'mail', subject => 's', body => 'b') > 0 as added;
select marketing_automation.add_activity('clickers', 'clicked', parent => 'mail', on_event => 'email_clicked', action => null, delay => '1 hour') > 0 as added;
select marketing_automation.add_activity('clickers', 'not clicked', parent => 'mail', on_event => 'email_not_clicked', action => null, delay => '2 days') > 0 as added;
select marketing_automation.run('clickers');
select enrolled from marketing_automation.enroll('clickers');
call marketing_automation.process_all_due();
create view clicker.mail as
    select r.id as record_id, r.key as reader, a.id as activity_id from marketing_automation.record r
    join marketing_automation.scenario s on s.id = r.scenario_id and s.name = 'clickers'
    join marketing_automation.activity a on a.scenario_id = s.id and a.name = 'mail';
-- Taken by the server a day ago: these mails and no others.
with claimed as (
    update marketing_automation_internal.outbox o set state = 'sending', attempts = 1 from clicker.mail m
    where m.record_id = o.record_id and m.activity_id = o.activity_id returning o.id, o.attempts)
select marketing_automation_internal.complete_messages(array_agg(id), array_agg(attempts), array_agg('sent'::text), array_agg('250 ok'::text),
    array_agg(0::double precision), now => now() - interval '1 day') as sent from claimed;
create procedure clicker.hit(reader text, links text[], ago interval default '0', kind text default 'email_clicked') language sql as $$
    select marketing_automation.record_events(array_agg(gen_random_uuid()), array_agg(hit.kind),
        array_agg(marketing_automation_internal.sign_token(hit.kind, m.record_id, m.activity_id, case when u.link = 'hidden' then 0
            when u.link is not null then (select i.id from marketing_automation_internal.link_ids(array['https://clicker.example/' || u.link]) i) end)),
        array_agg(clock_timestamp() - hit.ago), array_agg('GET'::text), array_agg(null::inet), array_agg('Mozilla/5.0 Firefox/140.0'::text))
    from clicker.mail m, unnest(links) as u (link) where m.reader = hit.reader;
$$;
-- Time passes for what was done.
create procedure clicker.wait(seconds integer) language sql as $$
    update marketing_automation_internal.event e set occurred_at = e.occurred_at - make_interval(secs => seconds)
    from clicker.mail m where m.record_id = e.record_id;
    update marketing_automation_internal.event_inbox i set occurred_at = i.occurred_at - make_interval(secs => seconds)
    from clicker.mail m where m.record_id = i.record_id;
$$;
create function clicker.applied() returns void language plpgsql as $$ begin
    -- The worker may be at it.
    for i in 1..200 loop
        perform marketing_automation.apply_events();
        exit when not exists (
            select from marketing_automation_internal.event_inbox i join clicker.mail m on m.record_id = i.record_id
            where i.kind <> 'email_clicked' or i.occurred_at < now() - interval '11 seconds');
        perform pg_sleep(0.05);
    end loop;
end $$;
create view clicker.read as
    select m.reader, f.opened_at is not null as opened, f.clicked_at is not null as clicked,
           (select string_agg(a.name, ', ' order by a.name) from marketing_automation_internal.waiting_activity w join marketing_automation.activity a on a.id = w.activity_id
            where w.record_id = m.record_id) as waiting,
           (select count(*) from marketing_automation_internal.event_inbox i where i.record_id = m.record_id) as in_inbox,
           (select string_agg(coalesce(e.robot, 'person'), ', ' order by e.occurred_at, e.robot) from marketing_automation.event e where e.record_id = m.record_id) as judged
    from clicker.mail m join marketing_automation_internal.finished_activity f on f.record_id = m.record_id and f.activity_id = m.activity_id;
-- Three links of one mail within seconds, one of another; opens do not wait.
call clicker.hit('1', array['a', 'b']);
call clicker.hit('2', array['a']);
call clicker.hit('3', array[null], kind => 'email_opened');
select clicker.applied();
select * from clicker.read order by 1;
select status, message from marketing_automation.health() where name = 'events';
-- The first two have waited, the third has not: it is looked at where it is, and judged in its turn.
begin;
call clicker.wait(12);
call clicker.hit('1', array['c'], '9 seconds');
commit;
select clicker.applied();
select * from clicker.read order by 1;
call clicker.wait(12);
select clicker.applied();
select * from clicker.read where reader = '1';
select sum(c.robot_clicks) as robots, sum(c.clicked) as clicked from marketing_automation_internal.activity_counter c
where c.activity_id = (select distinct activity_id from clicker.mail) and (not c.rolled_up or c.period = '-infinity');
-- Who follows the hidden link within ten seconds is a robot, a person comes later; the clicks before are not judged without it.
-- Together: the worker judges the first as soon as it is there.
begin;
call clicker.hit('4', array['a'], '11.5 seconds');
call clicker.hit('4', array['hidden'], '3 seconds');
commit;
select clicker.applied();
select * from clicker.read where reader = '4';
call clicker.wait(60);
call clicker.hit('4', array['b'], '30 seconds');
select clicker.applied();
select * from clicker.read where reader = '4';
-- "Not clicked" waits for a click that is not judged, of that record alone; then it is none any more.
update marketing_automation_internal.waiting_activity w set at = now() - interval '1 minute'
from clicker.mail m, marketing_automation.activity a where w.record_id = m.record_id and m.reader in ('3', '5') and a.id = w.activity_id and a.name = 'not clicked';
call clicker.hit('5', array['a']);
call marketing_automation.process_all_due();
select m.reader, ra.state, ra.outcome from clicker.mail m join marketing_automation.record_activity ra on ra.record_id = m.record_id
join marketing_automation.activity a on a.id = ra.activity_id and a.name = 'not clicked' where m.reader in ('3', '5') order by 1;
call clicker.wait(12);
call marketing_automation.process_all_due();
select m.reader, ra.state, ra.outcome from clicker.mail m join marketing_automation.record_activity ra on ra.record_id = m.record_id
join marketing_automation.activity a on a.id = ra.activity_id and a.name = 'not clicked' where m.reader in ('3', '5') order by 1;
-- Several clicks in batches of one: all come to their turn, and opens beside them.
call clicker.hit('3', array['a', 'b', 'a', 'a'], '30 seconds');
call clicker.hit('3', array[null, null], kind => 'email_opened');
do $$ begin
    for i in 1..200 loop
        perform marketing_automation.apply_events(1);
        exit when not exists (select from marketing_automation_internal.event_inbox i join clicker.mail m on m.record_id = i.record_id);
    end loop;
end $$;
select * from clicker.read where reader = '3';
-- A rule of an hour is no reason to keep a campaign waiting, and without such rules nothing waits.
begin;
update marketing_automation.robot_rule set within = '1 hour' where kind = 'burst';
select marketing_automation_internal.click_window();
rollback;
call clicker.hit('5', array['b']);
update marketing_automation.robot_rule set is_enabled = false where kind in ('burst', 'hidden_link');
select public.events_applied() as applied;
select * from clicker.read where reader = '5';
select marketing_automation.stop('clickers');
