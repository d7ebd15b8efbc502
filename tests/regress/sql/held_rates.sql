\set SHOW_CONTEXT never
-- Of four mails the server took one; of the others nobody knows, and they are held. All were read: no rate is above 1, and none of them is
-- more than all.
\o /dev/null
create table shop.held (id int primary key, email text);
insert into shop.held select i, 'held' || i || '@shop.example' from generate_series(1, 4) i;
select marketing_automation.register_model('held', 'shop.held', key => 'self.id', email => 'self.email');
select marketing_automation.create_scenario('held', 'held');
select marketing_automation.add_activity('held', 'mail', subject => 's', body => '<a href="https://shop.example/held">b</a>');
select marketing_automation.add_activity('held', 'read', parent => 'mail', on_event => 'email_opened', action => null);
select marketing_automation.run('held');
begin;
select marketing_automation.enroll('held', '2026-02-02 10:00+00');
select marketing_automation.process_due(now => '2026-02-02 10:00+00');
select marketing_automation_internal.complete_messages(array_agg(c.id order by c.id), array_agg(c.attempt order by c.id),
    array_agg(case when s.name <> 'held' then 'released' when r.key = '1' then 'sent' else 'in_doubt' end order by c.id),
    array_agg('reply'::text), array_agg(0::float))
from marketing_automation_internal.claim_messages(100) c join marketing_automation.record r on r.id = c.record_id
join marketing_automation.scenario s on s.id = r.scenario_id;
select * from marketing_automation_internal.link_ids(array['https://shop.example/held']);
-- As in the test "events": the rows before anything is recorded of them.
with hit as materialized (
    select r.id as record, a.id as activity, k.kind, l.id as link from marketing_automation.record r
    join marketing_automation.scenario s on s.id = r.scenario_id and s.name = 'held'
    join marketing_automation.activity a on a.scenario_id = s.id and a.name = 'mail'
    join marketing_automation.link l on l.url = 'https://shop.example/held'
    cross join (values ('email_opened'), ('email_clicked')) k (kind))
select count(e.known) from hit h cross join lateral marketing_automation.record_events(array[gen_random_uuid()], array[h.kind],
    array[marketing_automation_internal.sign_token(h.kind, h.record, h.activity, case when h.kind = 'email_clicked' then h.link end)], array[now()],
    array['GET'], array[null::inet], array[null::text]) e;
commit;
\o
select public.events_applied() as applied;
select m.key, m.state from marketing_automation.message m where m.email like 'held_@shop.example' order by m.key;
select * from marketing_automation.tree('held');
select activity, sent, under_way, opened, clicked, open_rate, click_rate, click_through_rate
from marketing_automation.activity_report where scenario = 'held' and activity = 'mail';
set timezone = 'UTC';
select starts_on, sent, opened, clicked, open_rate, click_rate, click_through_rate
from marketing_automation.activity_report_by('held', 'mail', 'day', '2026-02-02', '2026-02-02');
select activity, link, people, clicks, share from marketing_automation.link_report('held', 'mail');
select max(opened_until), max(clicked_until) from marketing_automation.timing_report('held', 'mail');
select starts_on, records, blocked, block_rate from marketing_automation.scenario_report_by('held', 'day', '2026-02-02', '2026-02-02');

-- Whatever is a rate or a share, in any view: between 0 and 1, of all scenarios that there are.
create function shop.rates_out_of_range(out checked bigint, out wrong text[]) language plpgsql as $$
declare
    found record;
    is_wrong boolean;
begin
    checked := 0;
    for found in
        select c.oid::regclass as view, a.attname from pg_class c join pg_attribute a on a.attrelid = c.oid
        where c.relnamespace = 'marketing_automation'::regnamespace and c.relkind = 'v' and a.atttypid = 'numeric'::regtype
          and a.attname ~ '_rate$|share' order by 1, 2
    loop
        execute format('select exists (select from %s v where v.%I not between 0 and 1)', found.view, found.attname) into is_wrong;
        checked := checked + 1;
        wrong := wrong || case when is_wrong then format('%s.%s', found.view, found.attname) end;
    end loop;
end $$;
set client_min_messages = error;
select checked >= 4 as some, array_remove(wrong, null) as wrong from shop.rates_out_of_range();
reset client_min_messages;
-- Functions with a rate: those above, uplift_report() of records that reached the goal, and no other.
select distinct p.proname, n as rate from pg_proc p cross join lateral unnest(p.proargnames, p.proargmodes) u (n, mode)
where u.mode in ('o', 't') and p.pronamespace = 'marketing_automation'::regnamespace and n ~ '_rate$|share|_until$' and n !~ 'rests' order by 1, 2;

-- Nothing is left for others.
select count(marketing_automation.cancel(m.id)) as cancelled from marketing_automation.message m
where m.email like 'held_@shop.example' and m.state = 'in_doubt';
select marketing_automation.stop('held') \g /dev/null
drop function shop.rates_out_of_range();
