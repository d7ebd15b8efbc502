-- Life of the shop in the year that `make demo-shop` plays: who comes, buys, forgets a cart, confirms and reads, told by hashes of the day, so
-- that each run is the same.

create function shop.chance(what text, whose bigint) returns double precision
language sql immutable return ('x' || substr(md5(what || '/' || whose), 1, 7))::bit(28)::integer / 268435456.0;

insert into shop.customer (id, name, email, born, trial_ends, is_paying, time_zone)
select n, 'Customer ' || n, 'customer' || n || '@example.org', date '1960-01-01' + (n * 211 % 14000)::integer,
    (now() at time zone 'UTC')::date + (n % 120)::integer, n % 3 = 0, (array['Europe/Paris', 'America/New_York', 'Asia/Tokyo', null])[1 + n % 4]
from generate_series(1, :customers::bigint) n;

-- One in five has bought in the year before, which nobody is thanked for now: so that who does not buy again is asked back, and again half a year later.
alter table shop.purchase disable trigger confirm;
insert into shop.purchase (id, customer_id, total, at)
select -c.id, c.id, 10 + c.id % 90, now() - interval '1 day' * (60 + c.id % 150) from shop.customer c where c.id % 5 = 0;
alter table shop.purchase enable trigger confirm;

insert into shop.staff values (1, 'marketing@example.org');

-- Eight hours of it.
create procedure shop.live() language plpgsql as $$
declare
    today text := to_char(now() at time zone 'UTC', 'YYYY-MM-DD HH24');
    is_noon boolean := extract(hour from now() at time zone 'UTC') between 12 and 17;
begin
    update shop.cart c set paid_at = now() where c.paid_at is null and c.touched_at > now() - interval '2 days' and shop.chance('pays' || today, c.id) < 0.15;
    update shop.customer c set is_paying = true
    where not c.is_paying and c.trial_ends > now() - interval '1 day' and shop.chance('subscribes' || today, c.id) < 0.01;
    if not is_noon then
        return;
    end if;
    insert into shop.purchase (id, customer_id, total, at)
    select coalesce((select max(p.id) from shop.purchase p), 6) + row_number() over (order by c.id), c.id, 10 + c.id % 90, now()
    from shop.customer c where shop.chance('buys' || today, c.id) < 0.004 * (1 + c.id % 3);
    insert into shop.cart (id, customer_id, total, touched_at)
    select coalesce((select max(k.id) from shop.cart k), 0) + row_number() over (order by c.id), c.id, 5 + c.id % 50, now()
    from shop.customer c where shop.chance('fills' || today, c.id) < 0.004;
    perform marketing_automation.subscribe(c.id::text, 'offers', 'checkout', address => c.email)
    from shop.customer c where shop.chance('wants offers' || today, c.id) < 0.003;
end $$;

-- What recipients do with the mails that have come since the last time: a third opens them, four in ten confirm.
create table shop.seen (message_id bigint primary key);
create procedure shop.read() language plpgsql as $$
begin
    create temp table fresh on commit drop as
    select m.id, m.record_id, m.activity_id, a.name as activity, v.name = 'question' as is_question
    from marketing_automation.message m
    join marketing_automation.activity a on a.id = m.activity_id
    left join marketing_automation.branch_decision d on d.record_id = m.record_id and d.parent_id = m.activity_id
    left join marketing_automation.activity v on v.id = d.activity_id
    -- Who has not read it within a day does not.
    where m.state = 'sent' and m.sent_at > now() - interval '1 day' and not exists (select from shop.seen s where s.message_id = m.id);
    insert into shop.seen select f.id from fresh f;
    perform marketing_automation.record_events(array_agg(gen_random_uuid()), array_agg(k.kind),
        -- Which link is clicked makes no difference to a campaign.
        array_agg(marketing_automation_internal.sign_token(k.kind, f.record_id, f.activity_id, case k.kind when 'email_clicked' then
            (select min(l.id) from marketing_automation.link l) end)), array_agg(now()), array_agg('GET'::text),
        array_agg(null::inet), array_agg('Mozilla/5.0 (X11; Linux x86_64; rv:150.0) Gecko/20100101 Firefox/150.0'::text))
    from fresh f
    cross join lateral (values ('email_opened', case when f.is_question then 0.6 else 0.35 end), ('email_clicked', 0.12)) k (kind, rate)
    where shop.chance(k.kind, f.id) < k.rate having count(*) > 0;
    perform marketing_automation.confirm_by_token(marketing_automation_internal.sign_token('confirmed', f.record_id, f.activity_id),
        'Mozilla/5.0 (X11; Linux x86_64; rv:150.0) Gecko/20100101 Firefox/150.0')
    from fresh f where f.activity in ('ask', 'remind') and shop.chance('confirms', f.id) < 0.4;
end $$;

-- What must never be, whatever happens in the year: a line for each case.
create view shop.broken_promise as
select 'two mails of one activity' as promise, m.key from marketing_automation.message m where m.record_id is not null
group by m.record_id, m.activity_id, m.key having count(*) > 1
union all
select 'a reminder after the payment', m.key from marketing_automation.message m
join marketing_automation.activity a on a.id = m.activity_id and a.name in ('forgotten', 'still there')
join shop.cart c on c.id::text = m.key where m.sent_at > c.paid_at
union all
select 'an offer without a confirmation', m.key from marketing_automation.message m
join marketing_automation.activity a on a.id = m.activity_id and a.name = 'first offer'
where m.state = 'sent' and not exists (
    select from marketing_automation.subscription u where u.topic = 'offers' and u.party = m.party and u.state = 'subscribed' and u.at <= m.sent_at)
union all
select 'a birthday mail on another day', m.key from marketing_automation.message m
join marketing_automation.activity a on a.id = m.activity_id and a.name in ('wishes', 'cake')
join shop.customer c on c.id::text = m.key
where to_char(m.sent_at at time zone coalesce(c.time_zone, 'UTC'), 'MMDD') <> to_char(c.born, 'MMDD')
  and (to_char(c.born, 'MMDD'), to_char(m.sent_at at time zone coalesce(c.time_zone, 'UTC'), 'MMDD')) <> ('0229', '0228')
union all
select 'a last word on another day', m.key from marketing_automation.message m
join marketing_automation.activity a on a.id = m.activity_id and a.name = 'last day'
join shop.customer c on c.id::text = m.key
where (m.sent_at at time zone coalesce(c.time_zone, 'UTC'))::date <> c.trial_ends - 1
union all
select 'news outside working hours', m.key from marketing_automation.message m
join marketing_automation.activity a on a.id = m.activity_id
join marketing_automation.scenario s on s.id = a.scenario_id and s.send_window = 'working hours'
join shop.customer c on c.id::text = m.key
cross join lateral (select m.sent_at at time zone coalesce(c.time_zone, 'UTC') as at) l
where extract(isodow from l.at) > 5 or l.at::time < '09:00' or l.at::time >= '18:00'
union all
select 'asked back twice within half a year', m.key from (
    select m.key, m.sent_at - lag(m.sent_at) over (partition by m.key order by m.sent_at) as since from marketing_automation.message m
    join marketing_automation.activity a on a.id = m.activity_id and a.name = 'we miss you') m where m.since < interval '179 days'
union all
-- Those that the recipes themselves have put in are older than the trigger.
select 'an order without its confirmation', p.id::text from shop.purchase p where p.id > 6 and not exists (
    select from marketing_automation.message m join marketing_automation.activity a on a.id = m.activity_id
    join marketing_automation.scenario s on s.id = a.scenario_id and s.name = 'order confirmation'
    where m.key = p.id::text and m.sent_at < p.at + interval '1 hour')
union all
select 'nobody clicks', null where not exists (select from marketing_automation.event e where e.kind = 'email_clicked' and e.robot is null)
union all
select 'a mail to who is held out', m.key from marketing_automation.message m
join marketing_automation.record r on r.id = m.record_id where r.held_out;
