\set SHOW_CONTEXT never
set timezone = 'UTC';
set datestyle = 'ISO';
-- A mail that a limit, a window or a pause has held asks for its date again before it leaves: nothing is sent at a date that has moved.
create schema moved;
create table moved.stay (id integer primary key, email text, zone text, begins_at timestamptz, divisor integer not null default 1);
insert into moved.stay (id, email, begins_at) select i, 'guest' || i || '@moved.example', now() - interval '1 hour' from generate_series(1, 8) i;
select count(marketing_automation.register_model('moved stay', 'moved.stay', key => 'self.id', party => 'self.id', email => 'self.email', time_zone => 'self.zone')) as registered;
select marketing_automation.create_scenario('moved', 'moved stay') > 0 as created;
select marketing_automation.add_activity('moved', 'welcome', at => 'case when 1 / self.divisor > 0 then self.begins_at end', expires_after => '3 days', branch_by => 'condition',
    subject => 'Welcome', body => '<a href="unsubscribe">leave</a>') > 0 as added;
select marketing_automation.add_activity('moved', 'first', parent => 'welcome', action => null, condition => 'self.id < 4') > 0 as added;
select marketing_automation.add_activity('moved', 'rest', parent => 'welcome', action => null) > 0 as added;
create procedure moved.process() language plpgsql as $$ begin while marketing_automation.process_due() > 0 loop end loop; end $$;
set client_min_messages = error;
select marketing_automation.run('moved') is not null as runs;
reset client_min_messages;
select enrolled from marketing_automation.enroll('moved');
call moved.process();
-- Later; none any more; too long ago; gone; an error; earlier, and as it was.
update moved.stay set begins_at = now() + interval '10 days' where id = 1;
update moved.stay set begins_at = null where id = 2;
update moved.stay set begins_at = now() - interval '4 days' where id = 3;
delete from moved.stay where id = 4;
update moved.stay set divisor = 0 where id = 5;
update moved.stay set begins_at = now() - interval '1 day' where id = 6;
-- One was tried before, and waits in the queue for its new date.
update marketing_automation_internal.outbox o set attempts = 1, first_attempt_at = now() where o.key = '8' and o.email like '%@moved.example';
update moved.stay set begins_at = now() + interval '10 days' where id = 8;
create table moved.taken as select c.id, c.attempt, r.key from marketing_automation_internal.claim_messages(100) c
join marketing_automation_internal.record r on r.id = c.record_id and r.scenario_id = marketing_automation.scenario_id('moved');
select key from moved.taken order by key;
create view moved.progress as
    select r.key, a.name, ra.state, ra.outcome, ra.at > now() + interval '9 days' as is_later, m.state as mail, m.smtp_reply as reply, m.next_attempt_at > now() + interval '9 days' as held
    from marketing_automation.record r join marketing_automation.record_activity ra on ra.record_id = r.id
    join marketing_automation.activity a on a.id = ra.activity_id
    left join marketing_automation.message m on m.record_id = r.id and m.activity_id = a.id
    where r.scenario_id = marketing_automation.scenario_id('moved');
select * from moved.progress order by key, name;
select count(*) as decisions from marketing_automation.branch_decision d join marketing_automation.record r on r.id = d.record_id
where r.scenario_id = marketing_automation.scenario_id('moved') and r.key = '1';
select regexp_replace(fact, '[0-9]{4}-\S+ \S+', 'then', 'g') as fact from marketing_automation.explain_record('moved', '1') where about ~ 'welcome';
select done, waiting, mailed, under_way, not_sent from marketing_automation.activity_count('moved') limit 1;
select count(marketing_automation_internal.complete_messages(array[t.id], array[t.attempt], array['sent'], array['250 ok'], array[0::double precision])) from moved.taken t;
-- At the new date it runs as if for the first time, and once.
update moved.stay set begins_at = now() - interval '1 minute' where id in (1, 8);
select marketing_automation.apply_dates('moved') as asked;
call moved.process();
update marketing_automation_internal.outbox o set due_at = now() where o.key = '8' and o.email like '%@moved.example';
truncate moved.taken;
insert into moved.taken select c.id, c.attempt, r.key from marketing_automation_internal.claim_messages(100) c
join marketing_automation_internal.record r on r.id = c.record_id and r.scenario_id = marketing_automation.scenario_id('moved');
select key from moved.taken order by key;
select count(marketing_automation_internal.complete_messages(array[t.id], array[t.attempt], array['sent'], array['250 ok'], array[0::double precision])) from moved.taken t;
select key, count(*) from moved.progress where name = 'welcome' group by 1 order by 1;
select key, name, state from moved.progress where key = '1' order by name;
select done, waiting, mailed, under_way, not_sent from marketing_automation.activity_count('moved') limit 1;
-- An expression that does not plan any more holds its mails, and says so.
insert into moved.stay (id, email, begins_at) values (9, 'guest9@moved.example', now() - interval '1 hour');
select enrolled from marketing_automation.enroll('moved');
call moved.process();
alter table moved.stay rename begins_at to starts_at;
select count(*) from marketing_automation_internal.claim_messages(100) c join marketing_automation_internal.record r on r.id = c.record_id and r.scenario_id = marketing_automation.scenario_id('moved');
select t.last_error, t.last_error_code from marketing_automation.scenario_status t where t.scenario_id = marketing_automation.scenario_id('moved');
select key, mail from moved.progress where key = '9';
select marketing_automation.stop('moved');
