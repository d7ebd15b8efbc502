\set SHOW_CONTEXT never
-- What would happen to a row. Nothing is changed, whatever is asked.
create table shop.prospect (id int primary key, email text, divisor int not null default 1);
insert into shop.prospect select i, case when i <> 5 then 'prospect' || i || '@shop.example' end, i - 3 from generate_series(1, 6) i;
select marketing_automation.register_model('prospect', 'shop.prospect', key => 'self.id', party => 'self.id', email => 'self.email');
select marketing_automation.create_scenario('simulate', 'prospect', 'self.id < 6', unsubscribable => true) > 0 as created;
select count(marketing_automation.add_activity('simulate', name, parent, on_event, condition, delay, action, subject => 'About ' || name, body => 'b')) as added
from (values ('hello', null, null, null, null, 'send_email'),
             ('tips', 'hello', 'email_opened', null, interval '1 day', 'send_email'),
             ('reminder', 'hello', 'email_not_opened', null, interval '3 days', 'send_email'),
             ('last call', 'hello', 'email_not_opened', null, interval '5 days', null),
             ('score', 'hello', null, '10 / self.divisor > 0', interval '1 hour', null),
             ('after', 'score', null, null, interval '1 hour', null),
             ('call', 'hello', 'email_bounced', null, interval '1 hour', 'send_email'),
             ('never', null, null, 'self.id > 100', null, null)) a (name, parent, on_event, condition, delay, action);
create function shop.simulate(key text, events jsonb default '[]') returns table (at timestamp, activity text, outcome text, detail text) language sql as $$
    select at at time zone 'UTC', activity, outcome, detail from marketing_automation.simulate('simulate', key, events, '2026-03-01 12:00+00')
$$;
set datestyle = 'ISO';
select * from shop.simulate('4');
select * from shop.simulate('4', '[{"activity": "hello", "event": "email_opened", "after": "2 hours"}, {"activity": "hello", "event": "email_opened", "after": "3 hours"},
    {"activity": "tips", "event": "email_clicked", "at": "2026-03-10 00:00+00"}, {"activity": "tips", "event": "email_opened", "at": "2026-03-02 00:00+00"}]');
-- The negative side has run; a condition that fails; no address; unsubscribing.
select * from shop.simulate('3', '[{"activity": "hello", "event": "email_clicked", "after": "4 days"}]');
select * from shop.simulate('5', '[{"activity": "hello", "event": "email_opened", "after": "1 hour"}]');
select * from shop.simulate('1', '[{"activity": "hello", "event": "unsubscribed", "after": "30 minutes"}]');
select * from shop.simulate('1', '[{"activity": "hello", "event": "email_bounced", "after": "10 minutes"}]');
select marketing_automation.is_suppressed('prospect1@shop.example');
select marketing_automation.suppress('prospect2@shop.example');
select * from shop.simulate('2');
select marketing_automation.unsuppress('prospect2@shop.example');
-- Who would not enter.
select * from shop.simulate('6');
select * from shop.simulate('7');
insert into marketing_automation.unsubscription (party, scenario_id, created_at)
select '4', id, now() from marketing_automation.scenario where name = 'simulate';
select * from shop.simulate('4');
delete from marketing_automation.unsubscription where party = '4' and scenario_id = (select id from marketing_automation.scenario where name = 'simulate');

-- Mistakes.
select * from shop.simulate('1', '{}');
select * from shop.simulate('1', '[1]');
select * from shop.simulate('1', '[{"activity": "hello"}]');
select * from shop.simulate('1', '[{"activity": "helo", "event": "email_opened", "after": "1 hour"}]');
select * from shop.simulate('1', '[{"activity": "hello", "event": "email_open", "after": "1 hour"}]');
select * from shop.simulate('1', '[{"activity": "hello", "event": "sneezed", "after": "1 hour"}]');
select * from shop.simulate('1', '[{"activity": "hello", "event": "email_opened", "afer": "1 hour"}]');
select * from shop.simulate('1', '[{"activity": "hello", "event": "email_opened"}]');
select * from shop.simulate('1', '[{"activity": "hello", "event": "email_opened", "after": "-1 hour"}]');
select * from shop.simulate('1', '[{"activity": "hello", "event": "email_opened", "at": "infinity"}]');
select * from shop.simulate('1', '[{"activity": "score", "event": "email_opened", "after": "1 hour"}]');
select * from shop.simulate('1', null);
select * from marketing_automation.simulate('simulate', '1', start => 'infinity');
select * from marketing_automation.simulate('nothing', '1');
begin read only;
select * from shop.simulate('1');
rollback;

-- Also of a record that is in the midst of it; and nothing has changed.
create function shop.contents() returns table (name text, digest text) language plpgsql as $$
begin
    for name in select c.oid::regclass from pg_class c where c.relnamespace = 'marketing_automation'::regnamespace and c.relkind = 'r' order by 1 loop
        execute format('select md5(string_agg(t::text, '','' order by t::text)) from %s t', name) into digest;
        return next;
    end loop;
end $$;
select marketing_automation.run('simulate');
select * from marketing_automation.enroll('simulate', '2026-03-01 12:00+00');
select marketing_automation.process_due(now => '2026-03-01 12:00+00');
create temporary table before as select * from shop.contents();
select activity, outcome from shop.simulate('1', '[{"activity": "hello", "event": "unsubscribed", "after": "30 minutes"}]');
select name from (table before except select * from shop.contents()) changed;
select marketing_automation.stop('simulate');
drop function shop.simulate, shop.contents;

-- The same as what happens: random trees, rows and events, simulated and lived through.
-- By a hash, as what random() gives depends on the order in which a plan asks for it.
create function shop.chance(variadic of_what text[]) returns float language sql immutable as
$$ select (hashtextextended(of_what::text, 0) & 2147483647) / 2147483648.0 $$;
create function shop.random_tree(scenario text) returns void language plpgsql as $$
declare
    parent marketing_automation.activity;
    event text;
begin
    perform marketing_automation.create_scenario(scenario, 'prospect', unsubscribable => shop.chance(scenario, 'unsubscribable') < 0.5);
    for i in 1 .. 9 loop
        parent := null;
        if i > 1 and shop.chance(scenario, i::text, 'parent') < 0.9 then
            select a.* into parent from marketing_automation.activity a join marketing_automation.scenario s on s.id = a.scenario_id
            where s.name = scenario order by shop.chance(scenario, i::text, a.name) limit 1;
        end if;
        event := case when parent.action = 'send_email' and shop.chance(scenario, i::text, 'event') < 0.8
                      then (array['email_opened', 'email_not_opened', 'email_clicked', 'email_not_clicked'])[1 + floor(shop.chance(scenario, i::text, 'kind') * 4)] end;
        perform marketing_automation.add_activity(scenario, 'a' || i, parent.name, event,
            condition => case when parent.id is null or shop.chance(scenario, i::text, 'condition') < 0.6 then null
                              else (array['self.id % 2 = 0', 'self.id > 2', '10 / self.divisor > 0', 'null'])[1 + floor(shop.chance(scenario, i::text, 'which') * 4)] end,
            delay => case when event like '%not%' or shop.chance(scenario, i::text, 'delayed') < 0.7 then shop.chance(scenario, i::text, 'delay') * interval '4 days' end,
            action => case when i = 1 or shop.chance(scenario, i::text, 'action') < 0.6 then 'send_email' end, subject => 's', body => 'b');
    end loop;
end $$;
create table shop.script (scenario text, key text, events jsonb);
create function shop.random_script(its_scenario text) returns void language sql as $$
    insert into shop.script
    select its_scenario, p.id::text, coalesce((
        select jsonb_agg(jsonb_build_object('activity', a.name, 'event', k.kind, 'after', shop.chance(its_scenario, p.id::text, a.name, k.kind, k.chance::text, 'after') * interval '6 days'))
        from marketing_automation.activity a
        join marketing_automation.scenario s on s.id = a.scenario_id and s.name = its_scenario
        cross join (values ('email_opened', 0.5), ('email_opened', 0.2), ('email_clicked', 0.4), ('unsubscribed', 0.03)) k (kind, chance)
        where a.action = 'send_email' and shop.chance(its_scenario, p.id::text, a.name, k.kind, k.chance::text) < k.chance), '[]')
    from shop.prospect p
$$;
-- Runs a scenario as it is run, but for the clock; the mail server takes every mail at once.
create procedure shop.live(its_scenario text, start timestamptz) language plpgsql as $$
declare
    clock timestamptz;
    due timestamptz;
    hit record;
    happened text[] := '{}';
begin
    perform marketing_automation.enroll(its_scenario, start);
    loop
        select min(w.at) into due from marketing_automation_internal.waiting_activity w
        join marketing_automation.activity a on a.id = w.activity_id join marketing_automation.scenario s on s.id = a.scenario_id and s.name = its_scenario;
        select r.uuid, r.id, r.key, a.id as activity_id, e.event ->> 'event' as kind, m.sent_at + (e.event ->> 'after')::interval as at, r.key || ' ' || e.n as name into hit
        from shop.script c
        cross join lateral jsonb_array_elements(c.events) with ordinality e (event, n)
        join marketing_automation.scenario s on s.name = c.scenario
        join marketing_automation.record r on r.scenario_id = s.id and r.key = c.key
        join marketing_automation.activity a on a.scenario_id = s.id and a.name = e.event ->> 'activity'
        join marketing_automation.message m on m.record_id = r.id and m.activity_id = a.id and m.state = 'sent'
        where c.scenario = its_scenario and r.key || ' ' || e.n <> all (happened)
        order by 6, e.n limit 1;
        exit when due is null and hit.name is null;
        if due is null or hit.at <= due then
            happened := happened || hit.name;
            if hit.kind = 'unsubscribed' then
                perform marketing_automation.block(hit.uuid);
            else
                perform marketing_automation.record_events(array[gen_random_uuid()], array[hit.kind],
                    array[marketing_automation_internal.sign_token(hit.kind, hit.id, hit.activity_id, case when hit.kind = 'email_clicked' then 1 end)],
                    array[hit.at], array['GET'], array[null::inet], array[null::text]);
                perform marketing_automation.apply_events();
            end if;
        else
            clock := due;
            perform marketing_automation.process_due(now => clock);
            perform marketing_automation_internal.complete_messages(array_agg(c.id), array_agg(c.attempt), array_agg('sent'::text), array_agg('250 ok'::text), array_agg(0::float), now => clock)
            from marketing_automation_internal.claim_messages(100) c having count(*) > 0;
        end if;
    end loop;
end $$;

-- Whatever else is due in this database must not be.
update marketing_automation.scenario set state = 'stopped' where state = 'running';
select count(shop.random_tree('random ' || i)), count(shop.random_script('random ' || i)) from generate_series(1, 10) i;
create table shop.simulated as
select c.scenario, c.key, s.* from shop.script c
cross join lateral marketing_automation.simulate(c.scenario, c.key, c.events, '2026-03-01 12:00+00') s;
select count(marketing_automation.run(s.name)) as running
from (select s.name from marketing_automation.scenario s where s.name like 'random %' order by s.name collate "C") s;
do $$ begin for i in 1 .. 10 loop call shop.live('random ' || i, '2026-03-01 12:00+00'); end loop; end $$;
-- When an activity was cancelled by an event, and when it arrived, is told by the clock of the database.
create table shop.lived as
select s.name as scenario, r.key, a.name as activity, f.outcome, case when f.state <> 'cancelled' or f.outcome = 'opposite_executed' then f.finished_at end as at,
       f.opened_at, f.clicked_at
from marketing_automation_internal.finished_activity f
join marketing_automation.record r on r.id = f.record_id
join marketing_automation.activity a on a.id = f.activity_id
join marketing_automation.scenario s on s.id = a.scenario_id and s.name like 'random %';
create view shop.told as
select scenario, key, activity, outcome, case when outcome not in ('event_arrived', 'blocked') then at end as at from shop.simulated
where outcome not in ('entered', 'email_opened', 'email_clicked', 'unsubscribed') and outcome not like 'not\_%'
union all
select scenario, key, activity, case when detail like '%nothing' then 'again' else outcome end, at from shop.simulated where outcome in ('email_opened', 'email_clicked');
create view shop.happened as
select scenario, key, activity, outcome, at from shop.lived
union all
select scenario, key, activity, 'email_opened', opened_at from shop.lived where opened_at is not null and opened_at is distinct from clicked_at
union all
select scenario, key, activity, 'email_clicked', clicked_at from shop.lived where clicked_at is not null;
(select 'only told' as what, t.* from (select * from shop.told where outcome <> 'again' except table shop.happened) t)
union all
(select 'only happened', h.* from (table shop.happened except table shop.told) h) order by 2, 3, 6 limit 20;
-- Everything has occurred.
select outcome, count(*) > 3 as often from shop.told group by 1 order by 1;
select count(*) from marketing_automation_internal.waiting_activity w join marketing_automation.activity a on a.id = w.activity_id join marketing_automation.scenario s on s.id = a.scenario_id and s.name like 'random %';
update marketing_automation.scenario set state = 'stopped' where name like 'random %';
drop view shop.told, shop.happened;
drop table shop.script, shop.simulated, shop.lived;
drop procedure shop.live;
drop function shop.random_tree, shop.random_script, shop.chance;
reset datestyle;
