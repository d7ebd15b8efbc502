\set SHOW_CONTEXT never
-- Opens and clicks are recorded of those who agree: 1 to both, 2 to opens, 3 to clicks, 4 does not say, 5 would not even be asked.
create table shop.subscriber (id integer primary key, email text, opens boolean, clicks boolean, divisor integer default 1);
insert into shop.subscriber select i, i || '@shop.example', i in (1, 2, 5), i in (1, 3, 5) from generate_series(1, 5) i;
update shop.subscriber set opens = null, clicks = null where id = 4;

-- Checked when written.
select marketing_automation.register_model('subscriber', 'shop.subscriber', key => 'self.id', email => 'self.email', track_opens => 'self.open');
select marketing_automation.register_model('subscriber', 'shop.subscriber', key => 'self.id', email => 'self.email', track_clicks => 'self.email');
select marketing_automation.register_model('subscriber', 'shop.subscriber', key => 'self.id', email => 'self.email',
    track_opens => 'self.opens and 1 / self.divisor > 0 -- as the form says', track_clicks => 'self.clicks');

select marketing_automation.create_scenario('consent', 'subscriber', domain => 'self.id < 5') > 0 as created;
select marketing_automation.create_scenario('quiet', 'subscriber', domain => 'self.id = 5', track_opens => false, track_clicks => false) > 0 as created;
select s.name, marketing_automation.add_activity(s.name, 'mail', subject => 's', body => '<a href="https://a.example/">a</a>') > 0 as added,
       marketing_automation.add_activity(s.name, 'opened', parent => 'mail', on_event => 'email_opened', action => null) > 0 as added,
       marketing_automation.add_activity(s.name, 'clicked', parent => 'mail', on_event => 'email_clicked', action => null) > 0 as added
from (values ('consent'), ('quiet')) s (name);
select marketing_automation.run('consent'), marketing_automation.run('quiet');
set marketing_automation.automation_base = 'https://track.example';
select p.id, p.html like '%<img%' as image from shop.subscriber o cross join lateral (select o.id, v.html from marketing_automation.preview('consent', 'mail', o.id::text) v) p order by 1;
select count(*) filter (where p.html like '%<img%') as images from marketing_automation.preview('quiet', 'mail', '5') p;
reset marketing_automation.automation_base;
select scenario, enrolled from marketing_automation.enroll() where scenario in ('consent', 'quiet') order by 1;
call marketing_automation.process_all_due();

-- What the mailer is told; tests are like the mail.
create function shop.mails() returns table (scenario text, key text, track_opens boolean, track_clicks boolean, state text, test boolean) language sql as $$
    select s.name, m.key, m.track_opens, m.track_clicks, m.state, m.record_id is null
    from marketing_automation.message m join marketing_automation.activity a on a.id = m.activity_id join marketing_automation.scenario s on s.id = a.scenario_id
    where s.name in ('consent', 'quiet') order by 1, 2, 6
$$;
select * from shop.mails();
select marketing_automation.send_test('consent', 'mail', '2', 'me@shop.example') > 0 as sent, marketing_automation.send_test('quiet', 'mail', '5', 'me@shop.example') > 0 as sent;
select * from shop.mails() where test;
create temporary table sent as select * from marketing_automation_internal.claim_messages(100) c where c.email like '_@shop.example' or c.email = 'me@shop.example';
select email, track_opens, track_clicks from sent order by 1, 2, 3;
-- A mail that is sent once more is as it was.
select marketing_automation_internal.complete_messages(array[id], array[attempt], array['failed'], array['550 no'], array[0::double precision]) from sent where email = '3@shop.example';
select marketing_automation.retry(id) from sent where email = '3@shop.example';
select * from shop.mails() where key = '3';
insert into sent select * from marketing_automation_internal.claim_messages(100);
select marketing_automation_internal.complete_messages(array_agg(id), array_agg(attempt), array_agg('sent'::text), array_agg('250 ok'::text), array_agg(0::double precision)) > 0 as finished from sent;
select * from shop.mails();

-- Hits, also of those whose mails have neither image nor tracked links: whatever is not agreed to leaves no trace, and links lead on.
select count(*) as links from marketing_automation_internal.link_ids(array['https://a.example/']);
create function shop.hits(kind text, keys text[]) returns table (key text, known boolean, location text) language sql as $$
    -- The rows before anything is recorded of them: in a join, the planner may record first and look for the scenario then.
    with mail as materialized (
        select r.key, r.id as record, a.id as activity, (select l.id from marketing_automation.link l where l.url = 'https://a.example/') as link
        from marketing_automation.record r
        join marketing_automation.scenario s on s.id = r.scenario_id and s.name in ('consent', 'quiet')
        join marketing_automation.activity a on a.scenario_id = s.id and a.name = 'mail'
        where r.key = any (hits.keys))
    select m.key, e.known, e.location
    from mail m cross join lateral marketing_automation.record_events(array[gen_random_uuid()], array[hits.kind],
        array[marketing_automation_internal.sign_token(hits.kind, m.record, m.activity, case when hits.kind = 'email_clicked' then m.link end)],
        array[now()], array['GET'], array['2001:db8:1:2::3'::inet], array['Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0']) e
    order by 1
$$;
create view shop.seen as
    select r.key, f.opened_at is not null as opened, f.clicked_at is not null as clicked,
           (select count(*) from marketing_automation.event e where e.record_id = r.id and e.kind = 'email_opened') as opens,
           (select count(*) from marketing_automation.event e where e.record_id = r.id and e.kind = 'email_clicked') as clicks,
           (select string_agg(a.name, ', ' order by a.name) from marketing_automation_internal.waiting_activity w join marketing_automation.activity a on a.id = w.activity_id
            where w.record_id = r.id) as waiting
    from marketing_automation.record r
    join marketing_automation.scenario s on s.id = r.scenario_id and s.name in ('consent', 'quiet')
    join marketing_automation.activity a on a.scenario_id = s.id and a.name = 'mail'
    join marketing_automation_internal.finished_activity f on f.record_id = r.id and f.activity_id = a.id;
select * from shop.hits('email_opened', '{2,3,4,5}');
select * from shop.hits('email_clicked', '{2,3,4,5}');
select public.events_applied() as applied;
select * from shop.seen where key <> '1' order by key;

-- 1 withdraws: what comes then does not count, and an earlier click implies no open.
update shop.subscriber set opens = false where id = 1;
select key from shop.hits('email_opened', '{1}');
select key from shop.hits('email_clicked', '{1}');
select public.events_applied() as applied;
select * from shop.seen where key = '1';

-- An expression that fails for one row, and a row that is gone: no consent of them, the others are as before, nothing stays behind.
update shop.subscriber set opens = true where id in (1, 3);
update shop.subscriber set divisor = 0 where id = 3;
delete from shop.subscriber where id = 2;
select key from shop.hits('email_opened', '{1,2,3}');
select key from shop.hits('email_clicked', '{1,2,3}');
select public.events_applied() as applied;
select * from shop.seen where key in ('1', '2', '3') order by key;
select count(*) as left_behind from marketing_automation_internal.event_inbox;

-- So it is when the expression no longer fits the table; whoever applies is warned, be it the mailer.
alter table shop.subscriber rename column clicks to tracking;
set client_min_messages = error;
select key from shop.hits('email_clicked', '{1}');
select public.events_applied() as applied;
select * from shop.seen where key = '1';
select count(*) as left_behind from marketing_automation_internal.event_inbox;
reset client_min_messages;
alter table shop.subscriber rename column tracking to clicks;

-- The scenario's switch, and what a simulation says of it.
update marketing_automation.scenario set track_clicks = false where name = 'consent';
select key from shop.hits('email_clicked', '{1}');
select public.events_applied() as applied;
select * from shop.seen where key = '1';
select activity, outcome, detail from marketing_automation.simulate('consent', '4', '[{"activity": "mail", "event": "email_clicked", "after": "1 hour"}]');

select marketing_automation.stop('consent'), marketing_automation.stop('quiet');
drop view shop.seen;
drop function shop.hits, shop.mails;
