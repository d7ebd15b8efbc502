\set SHOW_CONTEXT never
-- Double opt-in: a scenario over the requests mails a link, and only the button behind it confirms.
set timezone = 'UTC';
set datestyle = 'ISO';
create schema opt;
insert into marketing_automation.topic (name, title, opt_in) values ('opt deals', 'Deals', 'double'), ('opt tips', 'Tips', 'none');
insert into marketing_automation.topic_translation values ('opt deals', 'fr', 'Bons plans');
select marketing_automation.register_model('opt request', 'marketing_automation.subscription_request', key => 'self.id', party => 'self.party',
    email => 'self.email', language => 'self.language');
select marketing_automation.create_scenario('opt confirm', 'opt request', domain => 'self.confirmed_at is null and self.topic like ''opt %''',
    exit_condition => 'self.confirmed_at is not null', message_class => 'transactional') > 0 as created;
select marketing_automation.add_activity('opt confirm', 'ask', subject => 'Please confirm', body => '<p><a href="{{ confirm_url }}">Confirm</a></p>') > 0 as added;
set client_min_messages = error;
select marketing_automation.run('opt confirm');
reset client_min_messages;
create function opt.send() returns void language plpgsql as $$ begin
    perform marketing_automation.enroll('opt confirm');
    while marketing_automation.process_due() > 0 loop end loop;
    perform marketing_automation_internal.complete_messages(array_agg(c.id), array_agg(c.attempt), array_agg('sent'::text), array_agg('250 ok'::text),
        array_agg(0::double precision)) from marketing_automation_internal.claim_messages(1000) c;
end $$;
create view opt.mail as
    select m.email, m.state, m.language, q.id as request, marketing_automation_internal.sign_token('confirmed', r.id, m.activity_id) as token
    from marketing_automation.subscription_request q join marketing_automation.record r on r.key = q.id::text
    join marketing_automation.scenario s on s.id = r.scenario_id and s.name = 'opt confirm'
    join marketing_automation.message m on m.record_id = r.id;
create function opt.token(address text) returns text language sql as $$ select m.token from opt.mail m where m.email = address order by m.request limit 1 $$;
create view opt.choice as
    select coalesce(u.party, 'nobody') as party, u.address_hash is not null as by_address, u.state, u.source
    from marketing_automation.subscription u where u.topic like 'opt %';

-- Who is asked: of a topic that has to be confirmed, where an address is known, once a day.
select marketing_automation.subscribe('o1', 'opt deals', 'checkout', address => 'ann@opt.example', language => 'fr_CA'),
    marketing_automation.subscribe('o1', 'opt deals', 'checkout', address => ' Ann@opt.example '),
    marketing_automation.subscribe('o2', 'opt deals', 'checkout'),
    marketing_automation.subscribe('o3', 'opt deals', 'import', confirmed => true, address => 'cy@opt.example'),
    marketing_automation.subscribe('o4', 'opt tips', 'checkout', address => 'dan@opt.example'),
    marketing_automation.subscribe_address('eve@opt.example', 'opt deals', 'form', language => 'fr');
select topic, party, email, language, source, confirmed_at from marketing_automation.subscription_request where topic like 'opt %' order by id;
-- What is made within a statement leaves with the next.
select opt.send();
select opt.send();
select email, state, language from opt.mail order by 1;

-- Looking changes nothing; the button does, once.
select * from marketing_automation.confirm_page(opt.token('ann@opt.example'));
select * from opt.choice order by 1, 2;
select marketing_automation.confirm_by_token(opt.token('ann@opt.example'), 'Firefox');
select marketing_automation.confirm_by_token(opt.token('ann@opt.example'), 'Firefox');
select title, is_confirmed from marketing_automation.confirm_page(opt.token('ann@opt.example'));
select marketing_automation.confirm_by_token(opt.token('eve@opt.example'), null);
select * from opt.choice order by 1, 2;
select party, state_before, state, source, record_id is not null as by_mail from marketing_automation.subscription_log where topic = 'opt deals' order by id;
-- A link for something else confirms nothing, and this one does nothing else.
select marketing_automation.confirm_by_token(marketing_automation_internal.sign_token('unsubscribed', r.id, 1), null),
    marketing_automation.confirm_by_token('nonsense', null)
from marketing_automation.record r order by r.id limit 1;
select known from marketing_automation.unsubscribe_page(opt.token('ann@opt.example'));
select count(*) from marketing_automation.preferences(opt.token('ann@opt.example'));
-- Nor does that of a test, or of a mail of another model.
select a.id as ask from marketing_automation.activity a where a.name = 'ask' \gset
select title, is_confirmed from marketing_automation.confirm_page(marketing_automation_internal.sign_token('confirmed', 0, :ask));
select marketing_automation.confirm_by_token(marketing_automation_internal.sign_token('confirmed', 0, :ask), null);

-- Who leaves after asking is not subscribed by an old mail; who asks again is, also by an address that had left before.
select marketing_automation.subscribe('o5', 'opt deals', 'checkout', address => 'fay@opt.example');
select opt.send();
select marketing_automation.unsubscribe_from('o5', 'opt deals');
select * from marketing_automation.confirm_page(opt.token('fay@opt.example'));
select marketing_automation.confirm_by_token(opt.token('fay@opt.example'), null);
select state from opt.choice where party = 'o5';
select marketing_automation.unsubscribe_address_from('gil@opt.example', 'opt deals');
select marketing_automation.subscribe('o6', 'opt deals', 'checkout', address => 'gil@opt.example');
-- The clock of a transaction stands still, that of people does not.
update marketing_automation.subscription set at = at - interval '1 hour' where address_hash = marketing_automation.address_hash('gil@opt.example');
select opt.send();
select marketing_automation.confirm_by_token(opt.token('gil@opt.example'), null);
select marketing_automation_internal.withheld('opt deals', 'o6', marketing_automation.address_hash('gil@opt.example'));
-- An old request is none.
select marketing_automation.subscribe('o7', 'opt deals', 'checkout', address => 'hal@opt.example');
select opt.send();
update marketing_automation.subscription_request set requested_at = now() - interval '31 days' where email = 'hal@opt.example';
select marketing_automation.confirm_by_token(opt.token('hal@opt.example'), null);
select count(*) from marketing_automation.confirm_page(opt.token('hal@opt.example'));
select marketing_automation.purge_messages('1140 days');
select count(*) from marketing_automation.subscription_request where email = 'hal@opt.example';
-- Asked for, and erased.
select x - 'requested_at' - 'confirmed_at' from jsonb_array_elements(marketing_automation.export_person('ann@opt.example') -> 'subscription_requests') x;
select count(*) from marketing_automation.forget('ann@opt.example');
select count(*) from marketing_automation.subscription_request where email ilike 'ann%';
select marketing_automation.stop('opt confirm');
