\set SHOW_CONTEXT never
-- Topics: what people have chosen decides who enters, and what leaves.
set timezone = 'UTC';
set datestyle = 'ISO';
create schema kind;
create table kind.guest (id integer primary key, party text, email text);
insert into kind.guest select n, 'k' || n, 'g' || n || '@kind.example' from generate_series(1, 9) n;
update kind.guest set party = null where id in (8, 9);
select marketing_automation.register_model('kind guest', 'kind.guest', key => 'self.id', party => 'self.party', email => 'self.email');
create function kind.campaign(name text, domain text, topic text) returns void language plpgsql as $$ begin
    perform marketing_automation.create_scenario(name, 'kind guest', domain, topic => topic);
    perform marketing_automation.add_activity(name, 'mail', subject => 's', body => 'b');
    perform marketing_automation.add_activity(name, 'later', delay => '1 day', action => null);
    perform marketing_automation.run(name);
    perform marketing_automation.enroll(name);
end $$;
create view kind.mail as
    select s.name as scenario, r.key as guest, m.state, m.smtp_reply, r.id as record_id, a.id as activity_id
    from marketing_automation.message m join marketing_automation.record r on r.id = m.record_id
    join marketing_automation.scenario s on s.id = r.scenario_id join marketing_automation.activity a on a.id = m.activity_id
    where s.model = 'kind guest';
create function kind.send() returns void language plpgsql as $$ begin
    while marketing_automation.process_due() > 0 loop end loop;
    perform marketing_automation_internal.complete_messages(array_agg(c.id), array_agg(c.attempt), array_agg('sent'::text), array_agg('250 ok'::text),
        array_agg(0::double precision)) from marketing_automation_internal.claim_messages(1000) c;
end $$;
create function kind.entered(its_scenario text) returns text language sql as $$
    select string_agg(r.key, ' ' order by r.key) from marketing_automation.record r
    join marketing_automation.scenario s on s.id = r.scenario_id where s.name = its_scenario
$$;
create function kind.token(its_scenario text, its_guest text) returns text language sql as $$
    select marketing_automation_internal.sign_token('unsubscribed', m.record_id, m.activity_id) from kind.mail m
    where m.scenario = its_scenario and m.guest = its_guest
$$;
create function kind.why(its_scenario text, its_key text) returns setof text language sql as $$
    select regexp_replace(fact, '\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\+00', 'TIME') from marketing_automation.explain_record(its_scenario, its_key)
    where about = 'record' and fact not like 'entered%'
$$;

-- What is written.
insert into marketing_automation.topic (name, title, opt_in) values ('kind news', 'News', 'tripple');
insert into marketing_automation.topic (name, title, opt_in) values ('kind news', 'News', 'none'), ('kind offers', null, 'double');
insert into marketing_automation.topic_translation (topic, language, title) values ('kind newss', 'fr', 'Nouvelles');
insert into marketing_automation.topic_translation (topic, language, title) values ('kind news', 'french', 'Nouvelles');
insert into marketing_automation.topic_translation (topic, language, title) values ('kind news', 'fr', 'Nouvelles'), ('kind news', 'pt_BR', 'Notícias');
select l, marketing_automation_internal.topic_title(n, l) from unnest(array['kind news', 'kind offers']) n, unnest(array['fr-CA', 'pt-br', 'pt', 'de', null]) l;
select marketing_automation.create_scenario('kind x', 'kind guest', topic => 'kind new');
select marketing_automation.subscribe('k1', 'kind offer');
select marketing_automation.subscribe('k1', null);
select marketing_automation.subscribe(null, 'kind offers');
select marketing_automation.subscribe('k1', 'kind offers', repeat('x', 1001));
select marketing_automation.unsubscribe_from(null, 'kind offers');
select marketing_automation.unsubscribe_from('k1', 'nonsense');
select marketing_automation.subscribe_address(' ', 'kind offers');
select marketing_automation.unsubscribe_address_from(null, 'kind offers');

-- Without opt-in everybody enters but who has left, as a party or by the address. An address that raises for a row keeps that row out only.
select marketing_automation.unsubscribe_from('k1', 'kind news', 'by telephone');
select marketing_automation.unsubscribe_from('k1', 'kind news');
select marketing_automation.unsubscribe_address_from('G2@kind.example ', 'kind news');
select kind.campaign('kind newsletter', 'self.id < 7', 'kind news');
select kind.entered('kind newsletter');
select kind.why('kind newsletter', k::text) from unnest(array[1, 2]) k;
select detail from marketing_automation.simulate('kind newsletter', '1');
select marketing_automation.enroll_record('kind newsletter', '2');
-- Back, in a state that needs no confirmation.
select marketing_automation.subscribe('k1', 'kind news', 'by telephone');
select enrolled from marketing_automation.enroll('kind newsletter');
select kind.entered('kind newsletter');

-- To be asked for: nobody enters but who has confirmed, whichever way that is known.
select marketing_automation.subscribe('k1', 'kind offers', 'form'), marketing_automation.subscribe('k2', 'kind offers', 'import', confirmed => true),
    marketing_automation.subscribe_address('g3@kind.example', 'kind offers', 'import', confirmed => true),
    marketing_automation.subscribe_address('g9@kind.example', 'kind offers', 'import', confirmed => true),
    marketing_automation.subscribe_address('g8@kind.example', 'kind offers', 'form');
-- Who is subscribed already is asked nothing.
select marketing_automation.subscribe('k2', 'kind offers', 'form'), marketing_automation.subscribe_address('g3@kind.example', 'kind offers', 'form');
select kind.campaign('kind sale', 'true', 'kind offers');
select kind.entered('kind sale');
select k, kind.why('kind sale', k::text) from unnest(array[1, 4, 8]) k;
select marketing_automation.subscribe('k1', 'kind offers', 'letter of 2 March', confirmed => true);
-- The address that has left holds, whatever the party has chosen.
select marketing_automation.unsubscribe_address_from('g1@kind.example', 'kind offers');
select enrolled from marketing_automation.enroll('kind sale');
select marketing_automation.subscribe_address('g1@kind.example', 'kind offers', 'letter of 2 March', confirmed => true);
select enrolled from marketing_automation.enroll('kind sale');

-- Queued mails: who leaves before they are claimed gets none, by party or by address; what is claimed is revoked.
begin;
create or replace function marketing_automation_internal.revoke_claims_of(kind text, key text) returns void language plpgsql as $$
begin
    if kind <> 'activity' or exists (select from marketing_automation.activity a where a.id::text = key and a.name = 'mail') then
        raise notice 'revoked: % %', kind, case kind when 'party' then key else '…' end;
    end if;
end $$;
select marketing_automation.unsubscribe_from('k2', 'kind offers');
select marketing_automation.subscribe('k2', 'kind offers');
select marketing_automation.unsubscribe_address_from('g3@kind.example', 'kind offers');
delete from marketing_automation.subscription where party = 'k1';
update marketing_automation.topic set opt_in = 'double' where name = 'kind news';
update marketing_automation.topic set opt_in = 'none' where name = 'kind news';
update marketing_automation.scenario set topic = 'kind offers' where name = 'kind newsletter';
update marketing_automation.scenario set topic = null where name = 'kind newsletter';
rollback;
do $$ begin while marketing_automation.process_due() > 0 loop end loop; end $$;
select marketing_automation.unsubscribe_from('k3', 'kind news'), marketing_automation.unsubscribe_address_from('g4@kind.example', 'kind news');
update marketing_automation.topic set opt_in = 'double' where name = 'kind news';
select marketing_automation.subscribe('k5', 'kind news', confirmed => true);
select kind.send();
select scenario, guest, state, smtp_reply from kind.mail order by 1, 2;
update marketing_automation.topic set opt_in = 'none' where name = 'kind news';

-- Who leaves by a mail leaves the topic: the party with its records in every scenario of it, and the address.
select kind.campaign('kind digest', 'self.id in (5, 6)', 'kind news');
select scenario, has_party, unsubscribed from marketing_automation.unsubscribe_page(kind.token('kind newsletter', '5'));
select title from marketing_automation.unsubscribe_origin(kind.token('kind newsletter', '5'));
select marketing_automation.unsubscribe_by_token(kind.token('kind newsletter', '5'), false, 'Firefox');
select marketing_automation.unsubscribe_by_token(kind.token('kind newsletter', '5'), false, 'Firefox');
select party, address_hash is not null as by_address, state, source from marketing_automation.subscription
where topic = 'kind news' and 'k5' = party order by 2;
select kind.send();
select marketing_automation.process_due(now => now() + interval '2 days') > 0 as processed;
select scenario, guest, state, smtp_reply from kind.mail where scenario = 'kind digest' order by 1, 2;
select a.name, ra.outcome from marketing_automation.record_activity ra join marketing_automation.record r on r.id = ra.record_id and r.key = '5'
join marketing_automation.activity a on a.id = ra.activity_id join marketing_automation.scenario s on s.id = r.scenario_id and s.name = 'kind digest' order by 1;
select kind.why('kind digest', '5');
-- Another topic is another matter.
select marketing_automation_internal.withheld('kind offers', 'k2', null), marketing_automation_internal.withheld('kind news', 'k2', null);
-- Undone: what was chosen before is so again, and what was cancelled waits.
select marketing_automation.resubscribe_by_token(kind.token('kind newsletter', '5'), 'Firefox');
select party, address_hash is not null as by_address, state, source from marketing_automation.subscription
where topic = 'kind news' and 'k5' = party order by 2;
select unsubscribed from marketing_automation.unsubscribe_page(kind.token('kind newsletter', '5'));
select a.name, ra.state from marketing_automation.record_activity ra join marketing_automation.record r on r.id = ra.record_id and r.key = '5'
join marketing_automation.activity a on a.id = ra.activity_id join marketing_automation.scenario s on s.id = r.scenario_id and s.name = 'kind digest' order by 1;
-- Who leaves without having confirmed has not confirmed by coming back.
select marketing_automation.subscribe('k6', 'kind offers', 'form');
select marketing_automation_internal.leave_topic('kind offers', 'k6', null, null, null, null);
select marketing_automation_internal.undo_choice('kind offers', 'k6', null, null, null, null);
select marketing_automation_internal.undo_choice('kind offers', 'k6', null, null, null, null);
select state from marketing_automation.subscription where party = 'k6' and topic = 'kind offers';
-- A party that comes back by its administrator does so with the address.
select marketing_automation.unsubscribe_by_token(kind.token('kind newsletter', '5'), true, null);
select marketing_automation.resubscribe('k5');
select unsubscribed, everything from marketing_automation.unsubscribe_page(kind.token('kind newsletter', '5'));
select marketing_automation_internal.withheld('kind news', 'k5', marketing_automation.address_hash('g5@kind.example'));
select marketing_automation.subscribe('k5', 'kind news', 'by telephone');
select marketing_automation_internal.withheld('kind news', 'k5', marketing_automation.address_hash('g5@kind.example'));

-- The log has each change, and is the proof.
select topic, party, address_hash is not null as by_address, state_before, state, source, role is not null as by_somebody, activity_id is not null as by_mail
from marketing_automation.subscription_log where topic like 'kind%' order by id;

-- A topic that is in use stays; what was chosen outlives one that is not.
delete from marketing_automation.topic where name = 'kind news';
update marketing_automation.topic set name = 'kind letters' where name = 'kind news';
insert into marketing_automation.topic (name) values ('kind old');
insert into marketing_automation.topic_translation values ('kind old', 'fr', 'Vieux');
update marketing_automation.topic set name = 'kind older' where name = 'kind old';
select marketing_automation.unsubscribe_from('k1', 'kind older');
update marketing_automation.topic set name = 'kind old' where name = 'kind older';
delete from marketing_automation.topic where name = 'kind older';
select * from marketing_automation.topic_translation where topic like 'kind old%';
insert into marketing_automation.topic (name) values ('kind older');
select marketing_automation_internal.withheld('kind older', 'k1', null);

-- Exported and imported by name.
select marketing_automation.export_scenario('kind sale') -> 'scenario' ->> 'topic';
select substring(t from ', topic [^,]*') as shown from marketing_automation.tree('kind sale') t where t like 'kind sale (%';
select * from marketing_automation.import_scenario(jsonb_set(marketing_automation.export_scenario('kind sale'), '{scenario,topic}', '"kind odd"'), dry_run => true);
select change, object, attribute, before, after
from marketing_automation.import_scenario(jsonb_set(marketing_automation.export_scenario('kind sale'), '{scenario,topic}', '"kind news"'), dry_run => true);

-- Asked for, and erased: the address stays out.
insert into kind.guest values (21, 'Uma@kind.example', 'uma@kind.example');
select marketing_automation.subscribe('Uma@kind.example', 'kind offers', 'form', confirmed => true);
select marketing_automation.unsubscribe_address_from('uma@kind.example', 'kind news', 'form');
select marketing_automation.subscribe_address('uma@kind.example', 'kind older', 'form');
select x - 'at' from jsonb_array_elements(marketing_automation.export_person('uma@kind.example') -> 'subscriptions') x order by 1;
select x - 'at' from jsonb_array_elements(marketing_automation.export_person('uma@kind.example') -> 'subscription_log') x;
select * from marketing_automation.forget('uma@kind.example');
select topic, party, state from marketing_automation.subscription where address_hash = marketing_automation.address_hash('uma@kind.example');
select count(*) from marketing_automation.subscription where party ilike 'uma%';
select count(*) filter (where party is not null) as with_party, count(*) as lines from marketing_automation.subscription_log
where party ilike 'uma%' or address_hash = marketing_automation.address_hash('uma@kind.example');

-- A restored database that counts mails as sent leaves those that would not have been.
do $$ begin while marketing_automation.process_due() > 0 loop end loop; end $$;
select marketing_automation.stop(s) from unnest(array['kind newsletter', 'kind sale', 'kind digest']) s;
delete from marketing_automation.domain_limit where domain = 'kind.example';
