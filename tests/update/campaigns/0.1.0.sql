-- A running campaign as version 0.1.0 leaves it, made by the functions of that version; the mailer's part is played by hand, as no
-- library of that version is there. Frozen with its release. Database-wide roles are made by the tests.

create schema shop;
create table shop.customer (id integer primary key, name text not null, email text not null, language text);
insert into shop.customer select n, 'Customer ' || n, 'c' || n || '@example.com', case n % 2 when 0 then 'fr' end from generate_series(1, 30) n;
grant usage on schema shop to update_marketer;
grant select on shop.customer to update_marketer;

select marketing_automation.grant_access('update_marketer', 'marketer');
select marketing_automation.grant_access('update_tracking', 'tracking');
select marketing_automation.grant_access('update_reader', 'reader');
-- Of these, one has lost all that it got, and one is gone.
select marketing_automation.grant_access('update_revoked', 'operator');
do $$
declare
    statement text;
begin
    for statement in
        select format('revoke all on all %s in schema marketing_automation from update_revoked', kind) from unnest(array['tables', 'routines']) kind
    loop
        execute statement;
    end loop;
end $$;
revoke all on schema marketing_automation from update_revoked;
select marketing_automation.grant_access('update_dropped', 'bounces');
drop owned by update_dropped;

-- A rule that the shop has changed, one of its own, and the others as they were shipped.
update marketing_automation.robot_rule set pattern = 'shopbot', note = 'ours' where name = 'crawler';
insert into marketing_automation.robot_rule (name, kind, pattern) values ('office', 'network', '192.0.2.0/24');

set role update_marketer;
select marketing_automation.register_model('customer', 'shop.customer', key => 'self.id', party => 'self.id', email => 'self.email',
    recipient_name => 'self.name', language => 'self.language');
select marketing_automation.create_scenario('welcome', model => 'customer', unsubscribable => true);
select marketing_automation.add_activity('welcome', 'hello', subject => 'Hello {{ record.name }}',
    body => '<p>Hello {{ record.name }}, <a href="https://shop.example/start">start</a>.</p><p><a href="unsubscribe">No more</a></p>');
insert into marketing_automation.activity_translation (activity_id, language, subject)
select id, 'fr', 'Bonjour {{ record.name }}' from marketing_automation.activity where name = 'hello';
select marketing_automation.add_activity('welcome', 'tips', parent => 'hello', on_event => 'email_clicked', subject => 'Tips', body => '<p>Three tips.</p>');
select marketing_automation.add_activity('welcome', 'reminder', parent => 'hello', on_event => 'email_not_opened', delay => '3 days',
    subject => 'Did you see this?', body => '<p>Still here.</p>');
insert into marketing_automation.snippet (name, body) values ('footer', '<p>The shop</p>');
select marketing_automation.run('welcome');
reset role;
insert into marketing_automation.page (name, body) values ('unsubscribed', '<html><body>Bye. {{ form }}</body></html>');
select marketing_automation.enroll();
call marketing_automation.process_all_due();

-- What became of each mail, and the tokens of the links in those that went out, for the tests.
create table shop.mail (customer integer primary key, fate text not null, click text, leave text);
select marketing_automation.tracking_keys();
with fate as (
    select c.*, (array['sent', 'clicked', 'opened', 'sent', 'failed', 'in_doubt', 'deferred', 'sending', 'left by token', 'sent',
                       'clicked in the inbox', 'sent'])[row_number() over (order by c.id)] as fate
    from marketing_automation_internal.claim_messages(12) c
), link as (
    select l.id from marketing_automation_internal.link_ids(array['https://shop.example/start']) l
)
insert into shop.mail
select c.party::integer, c.fate, marketing_automation_internal.sign_token('email_clicked', c.record_id, c.activity_id, l.id),
       marketing_automation_internal.sign_token('unsubscribed', c.record_id, c.activity_id)
from fate c cross join link l;

with result as (
    select o.id, o.attempts, case m.fate when 'failed' then 'failed' when 'in_doubt' then 'in_doubt' when 'deferred' then 'queued' else 'sent' end as state
    from shop.mail m join marketing_automation_internal.outbox o on o.party = m.customer::text where m.fate <> 'sending'
)
select marketing_automation_internal.complete_messages(array_agg(r.id), array_agg(r.attempts), array_agg(r.state), array_agg('250 2.0.0 as told'::text),
    array_agg(0::double precision), array_agg(case r.state when 'queued' then 'deferred' else r.state end), array_agg(250), array_agg('2.0.0'::text), array_agg('default'::text))
from result r;

create function shop.hit(kind text, of text) returns void language sql as $$
    select marketing_automation.record_events(array_agg(gen_random_uuid()), array_agg(kind),
        array_agg(case kind when 'email_clicked' then m.click else marketing_automation_internal.sign_token('email_opened', r.id, a.id) end),
        array_agg(now() + interval '1 hour'), array_agg('GET'::text), array_agg('198.51.100.7'::inet),
        array_agg('Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0'::text))
    from shop.mail m
    join marketing_automation.record r on r.party = m.customer::text
    join marketing_automation.activity a on a.name = 'hello'
    where m.fate = of
$$;
select shop.hit('email_clicked', 'clicked');
select shop.hit('email_opened', 'opened');
select marketing_automation.apply_events();
select marketing_automation.unsubscribe_by_token((select leave from shop.mail where fate = 'left by token'), false, null);
-- Of those that wait in the outbox, one has left everything, one is blocked, and the address of one is suppressed.
insert into shop.mail (customer, fate)
select o.party::integer, coalesce((array['unsubscribed', 'blocked', 'suppressed'])[row_number() over (order by o.id)], 'queued')
from marketing_automation_internal.outbox o where not exists (select from shop.mail m where m.customer = o.party::integer);
select marketing_automation.unsubscribe(customer::text) from shop.mail where fate = 'unsubscribed';
select marketing_automation.block(r.uuid) from shop.mail m join marketing_automation.record r on r.party = m.customer::text where m.fate = 'blocked';
select marketing_automation.suppress('c' || customer || '@example.com', 'manual', 'asked on the phone') from shop.mail where fate = 'suppressed';
select marketing_automation.record_conversion(r.uuid, 12.5) from shop.mail m join marketing_automation.record r on r.party = m.customer::text where m.fate = 'clicked';
-- Last, as the mailer or the next process_due() will apply it.
select shop.hit('email_clicked', 'clicked in the inbox');
