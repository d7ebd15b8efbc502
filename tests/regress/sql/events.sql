\set SHOW_CONTEXT never
-- Opens and clicks, applied to a tree that waits for all four events.
select marketing_automation.create_scenario('events', 'customer') > 0 as created;
select marketing_automation.add_activity('events', 'mail', subject => 's', body => 'b') > 0 as added;
select marketing_automation.add_activity('events', 'opened', parent => 'mail', on_event => 'email_opened', delay => '1 hour', action => null) > 0 as added;
select marketing_automation.add_activity('events', 'not opened', parent => 'mail', on_event => 'email_not_opened', delay => '1 day', action => null) > 0 as added;
select marketing_automation.add_activity('events', 'not opened late', parent => 'mail', on_event => 'email_not_opened', delay => '3 days', action => null) > 0 as added;
select marketing_automation.add_activity('events', 'clicked', parent => 'mail', on_event => 'email_clicked', action => null) > 0 as added;
select marketing_automation.add_activity('events', 'not clicked', parent => 'mail', on_event => 'email_not_clicked', delay => '2 days', action => null) > 0 as added;
select marketing_automation.run('events');
select * from marketing_automation.enroll('events', '2026-03-01 12:00+00');
select marketing_automation.process_due(now => '2026-03-01 12:00+00');
create temporary table sent as select * from marketing_automation_internal.claim_messages(100);
select marketing_automation_internal.complete_messages(array_agg(id), array_agg(attempt), array_agg('sent'::text), array_agg('250 ok'::text), array_agg(0::double precision)) from sent;
create view shop.state as
    select r.key, string_agg(a.name || ' ' || case when ra.state = 'waiting' then 'waiting' else ra.outcome end, ', ' order by a.id) as activities
    from marketing_automation.record_activity ra
    join marketing_automation.record r on r.id = ra.record_id
    join marketing_automation.activity a on a.id = ra.activity_id and a.parent_id is not null
    join marketing_automation.scenario s on s.id = a.scenario_id and s.name = 'events'
    group by r.key;
select * from shop.state order by key;

-- What the proxy does: tokens of an event, as the mailer signs them.
select id as link from marketing_automation_internal.link_ids(array['https://a.example/']) \gset
select count(*) from marketing_automation.tracking_keys();
create function shop.hit(key text, kind text, id uuid default gen_random_uuid(), method text default 'GET') returns table (known boolean, location text) language sql as $$
    -- One row, before anything is recorded of it: in a join, the planner may record first and look for the scenario then.
    with mail as materialized (
        select r.id as record, a.id as activity, (select l.id from marketing_automation.link l where l.url = 'https://a.example/') as link
        from marketing_automation.record r
        join marketing_automation.scenario s on s.id = r.scenario_id and s.name = 'events'
        join marketing_automation.activity a on a.scenario_id = s.id and a.name = 'mail'
        where r.key = hit.key)
    select e.known, e.location
    from mail m cross join lateral marketing_automation.record_events(array[hit.id], array[hit.kind],
        array[marketing_automation_internal.sign_token(hit.kind, m.record, m.activity, case when hit.kind = 'email_clicked' then m.link end)],
        array[now()], array[hit.method], array['2001:db8:1:2::3'::inet], array['regression']) e
$$;
-- 1 opens, twice; 2 clicks; 3 opens after its negative branch ran; the others do nothing.
select * from shop.hit('1', 'email_opened');
select * from shop.hit('1', 'email_opened');
select * from shop.hit('2', 'email_clicked');
select public.events_applied() as applied;
select * from shop.state order by key;
select r.key, f.opened_at is not null as opened, f.clicked_at is not null as clicked
from marketing_automation_internal.finished_activity f
join marketing_automation.activity a on a.id = f.activity_id and a.name = 'mail'
join marketing_automation.scenario s on s.id = a.scenario_id and s.name = 'events'
join marketing_automation.record r on r.id = f.record_id order by 1;
update marketing_automation_internal.waiting_activity set at = '2026-03-02 12:00+00'
where activity_id = (select a.id from marketing_automation.activity a where a.name = 'not opened')
  and record_id = (select r.id from marketing_automation.record r join marketing_automation.scenario s on s.id = r.scenario_id and s.name = 'events' where r.key = '3');
select marketing_automation.process_due(now => '2026-03-02 12:00+00');
select * from shop.hit('3', 'email_opened');
select public.events_applied() as applied;
select * from shop.state where key = '3';

-- The same event once.
select * from shop.hit('5', 'email_opened', '01930000-0000-7000-8000-000000000001');
select * from shop.hit('5', 'email_opened', '01930000-0000-7000-8000-000000000001');
select public.events_applied() as applied;
select kind, method, address, user_agent from marketing_automation.event where id = '01930000-0000-7000-8000-000000000001';
select * from shop.hit('5', 'email_opened', '01930000-0000-7000-8000-000000000001');
select public.events_applied() as applied;
select count(*) from marketing_automation.event where id = '01930000-0000-7000-8000-000000000001';
-- A click does not imply an open when the setting of whoever applies it says so: here not the mailer.
begin;
select from marketing_automation_internal.event_application for update;
set local marketing_automation.click_implies_open = off;
select * from shop.hit('6', 'email_clicked');
select marketing_automation.apply_events();
commit;
select * from shop.state where key in ('5', '6') order by key;

-- A HEAD request is in the log, and starts nothing.
select * from shop.hit('1', 'email_clicked', '01930000-0000-7000-8000-000000000002', 'HEAD');
select public.events_applied() as applied;
select kind, method from marketing_automation.event where id = '01930000-0000-7000-8000-000000000002';
select * from shop.state where key = '1';

-- Tokens that are forged, or presented for another purpose, are unknown and leave nothing behind.
select count(*) as before from marketing_automation.event \gset
select n, known, location from marketing_automation.record_events(
    array[gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), gen_random_uuid()], array['email_opened', 'email_clicked', 'email_opened', 'email_opened'],
    array['AAAA', marketing_automation_internal.sign_token('email_opened', 1, 1), marketing_automation_internal.sign_token('unsubscribed', 1, 1), null],
    array[now(), now(), now(), now()], array['GET', 'GET', 'GET', 'GET'], array[null, null, null, null]::inet[], array[null, null, null, null]::text[]);
select public.events_applied() as applied;
select count(*) - :before as recorded from marketing_automation.event;
select * from marketing_automation.record_events(array[gen_random_uuid()], array['email_eaten'], array['x'], array[now()], array['GET'], array[null]::inet[], array[null]::text[]);
select * from marketing_automation.record_events(array[gen_random_uuid()], array['email_opened'], array['x', 'y'], array[now()], array['GET'], array[null]::inet[], array[null]::text[]);
select * from marketing_automation.record_events(array[gen_random_uuid()], array['email_opened'], array['x'], array[now()], array['BREW'], array[null]::inet[], array[null]::text[]);
select * from marketing_automation.record_events(array[gen_random_uuid()], array['email_opened'], array['x'], array[now()], array[null], array[null]::inet[], array[null]::text[]);
select * from marketing_automation.record_events(array[null]::uuid[], array['email_opened'], array['x'], array[now()], array['GET'], array[null]::inet[], array[null]::text[]);
select * from marketing_automation.record_events('{}', '{}', '{}', '{}', '{}', '{}', '{}');
select marketing_automation.apply_events(0);

-- Only the network of an address is kept.
select a, marketing_automation_internal.address_prefix(a) from unnest(array['192.0.2.77', '192.0.2.77/16', '2001:db8:1:2::3', '::ffff:192.0.2.77']::inet[]) a;

-- A clock that runs ahead starts nothing later than now, one that was never set nothing before its time.
select * from marketing_automation.record_events(array['01930000-0000-7000-8000-000000000003', '01930000-0000-7000-8000-000000000004']::uuid[],
    array['email_opened', 'email_opened'], array[marketing_automation_internal.sign_token('email_opened', 1, 1), marketing_automation_internal.sign_token('email_opened', 1, 1)],
    array['infinity', '-infinity']::timestamptz[], array['GET', 'GET'], array[null, null]::inet[], array[null, null]::text[]);
select public.events_applied() as applied;
select occurred_at <= now() as past, occurred_at = '2000-01-01' as clamped from marketing_automation.event
where id in ('01930000-0000-7000-8000-000000000003', '01930000-0000-7000-8000-000000000004') order by id;

-- An event that cannot be applied stays behind alone, with its error.
begin;
select from marketing_automation_internal.event_application for update;
insert into marketing_automation_internal.event_inbox (id, occurred_at, kind, record_id, activity_id, method)
select ('01930000-0000-7000-8000-0000000001' || to_char(i, 'FM00'))::uuid, now(), case i when 3 then 'email_clicked' else 'email_opened' end, -i, 1, 'GET' from generate_series(1, 5) i;
select marketing_automation.apply_events();
commit;
select id, error_code, error from marketing_automation_internal.event_inbox;
select count(*) from marketing_automation.event where id::text like '01930000-0000-7000-8000-0000000001%';
select marketing_automation.apply_events();
delete from marketing_automation_internal.event_inbox;

-- Invariant: nothing both waits and is finished.
select count(*) from marketing_automation_internal.waiting_activity join marketing_automation_internal.finished_activity using (record_id, activity_id);
select marketing_automation.stop('events');
drop function shop.hit;
drop view shop.state;
