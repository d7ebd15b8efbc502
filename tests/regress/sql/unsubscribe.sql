\set SHOW_CONTEXT never
-- Unsubscribing, undoing it, and the history of both. Parties and their sales are the same people.
insert into marketing_automation.party (name, email) values ('Uma', 'uma@shop.example'), ('Vic', 'vic@shop.example');
-- Tests before this one may have unsubscribed customers of the same ids.
select count(marketing_automation.resubscribe(id::text)) from marketing_automation.party;
create table shop.start as select clock_timestamp() as at;
insert into marketing_automation.sale (party_id, number) select id, number from marketing_automation.party, unnest(array['one', 'two']) number where name = 'Uma';
select marketing_automation.create_scenario('newsletter', 'party', domain => 'self.name in (''Uma'', ''Vic'')', unsubscribable => true) > 0 as created;
select marketing_automation.create_scenario('sales', 'sale', domain => 'self.number in (''one'', ''two'', ''three'')', unsubscribable => true, title => 'Your orders') > 0 as created;
select marketing_automation.add_activity(s, 'mail', subject => 's', body => 'b') > 0 as added from unnest(array['newsletter', 'sales']) s;
select marketing_automation.add_activity('sales', 'not opened', parent => 'mail', on_event => 'email_not_opened', delay => '1 day', action => null) > 0 as added;
select marketing_automation.add_activity('sales', 'later', delay => '1 day', action => null) > 0 as added;
select marketing_automation.run(s) from unnest(array['newsletter', 'sales']) s;
select scenario, enrolled from marketing_automation.enroll('sales', '2026-03-01 12:00+00');
create view shop.here as
    select s.name as scenario, p.name as party, sa.number as sale, r.id, r.uuid, r.party as party_id, r.blocked_at is not null as blocked,
           (select string_agg(a.name || ' ' || coalesce(ra.outcome, ra.state), ', ' order by a.id)
            from marketing_automation.record_activity ra join marketing_automation.activity a on a.id = ra.activity_id where ra.record_id = r.id) as activities
    from marketing_automation.record r
    join marketing_automation.scenario s on s.id = r.scenario_id and s.name in ('newsletter', 'sales')
    left join marketing_automation.sale sa on s.name = 'sales' and sa.id::text = r.key
    join marketing_automation.party p on p.id::text = r.party;
create view shop.history as
    select e.kind, p.name as party, s.name as record_of, case e.scenario_id when 0 then 'everything' else f.name end as of_scenario, e.user_agent
    from marketing_automation.event e
    left join marketing_automation.record r on r.id = e.record_id left join marketing_automation.scenario s on s.id = r.scenario_id
    left join marketing_automation.scenario f on f.id = e.scenario_id
    left join marketing_automation.party p on p.id::text = coalesce(e.party, r.party)
    where p.name in ('Uma', 'Vic') and e.occurred_at > (select at from shop.start)
    order by e.occurred_at, e.kind, e.scenario_id desc nulls last;
create function shop.token(sale text) returns text language sql as $$
    select marketing_automation_internal.sign_token('unsubscribed', h.id, a.id) from shop.here h, marketing_automation.activity a
    where h.sale = token.sale and a.name = 'mail' and a.scenario_id = marketing_automation.scenario_id(h.scenario)
$$;
create function shop.sent() returns bigint language sql as $$
    select marketing_automation_internal.complete_messages(array_agg(id), array_agg(attempt), array_agg('sent'::text), array_agg('250 ok'::text), array_agg(0::double precision))
    from marketing_automation_internal.claim_messages(100)
$$;
select marketing_automation.process_due(now => '2026-03-01 12:00+00');
select shop.sent();

-- Where a mail came from: the sender of the mail's language, of its activity, or of all; its address alone where the name depends on the row.
create function shop.origin(its_sender text, its_language text) returns table (title text, sender text) language plpgsql as $$ begin
    update marketing_automation.activity a set sender = its_sender from marketing_automation.scenario s where s.id = a.scenario_id and s.name = 'sales' and a.name = 'mail';
    update marketing_automation_internal.message_log m set language = its_language from shop.here h where h.sale = 'one' and m.record_id = h.id;
    return query select o.* from marketing_automation.unsubscribe_origin(shop.token('one')) o;
end $$;
insert into marketing_automation.activity_translation (activity_id, language, sender, subject, body)
select a.id, l, '"Loja, ' || l || '" <' || lower(l) || '@shop.example>', 's', 'b' from marketing_automation.activity a, unnest(array['pt', 'pt_BR']) l
where a.name = 'mail' and a.scenario_id = marketing_automation.scenario_id('sales');
select o.* from (values ('Shop <shop@shop.example>', null), ('Shop <shop@shop.example>', 'fr'), ('{{ record.number }} <shop@shop.example>', 'en'),
    ('{{ record.number }}', 'en'), ('Shop <shop@shop.example>', 'pt-PT'), ('Shop <shop@shop.example>', 'pt-br'), (null, 'en')) as v (sender, language)
cross join lateral shop.origin(v.sender, v.language) o;
select * from marketing_automation.unsubscribe_origin('forged');
delete from marketing_automation.activity_translation where language in ('pt', 'pt_BR');
drop function shop.origin;

-- Through a mail about the first sale: the page, the button, the undo.
select scenario, has_party, unsubscribed, everything from marketing_automation.unsubscribe_page(shop.token('one'));
select marketing_automation.unsubscribe_by_token(shop.token('one'), false, 'browser');
select marketing_automation.unsubscribe_by_token(shop.token('one'), false, 'browser');
select scenario, has_party, unsubscribed, everything from marketing_automation.unsubscribe_page(shop.token('one'));
select scenario, sale, blocked, activities from shop.here order by 1, 2;
-- What waits for the other sale is cancelled when it falls due, a third never enters.
insert into marketing_automation.sale (party_id, number) select id, 'three' from marketing_automation.party where name = 'Uma';
select scenario, enrolled from marketing_automation.enroll('sales', '2026-03-01 12:00+00');
update marketing_automation_internal.waiting_activity w set at = '2026-03-02 12:00+00' from shop.here h where h.id = w.record_id and h.sale = 'two';
select marketing_automation.process_due(now => '2026-03-02 12:00+00');
select scenario, sale, blocked, activities from shop.here order by 1, 2;
-- The undo: what was cancelled by the button waits again; the third enters.
select marketing_automation.resubscribe_by_token(shop.token('one'), 'browser');
select scenario, has_party, unsubscribed, everything from marketing_automation.unsubscribe_page(shop.token('one'));
select scenario, enrolled from marketing_automation.enroll('sales', '2026-03-01 12:00+00');
select scenario, sale, blocked, activities from shop.here order by 1, 2;
select * from shop.history;

-- From everything, in a mail about a sale: the same person's newsletter stops before it begins.
select marketing_automation.unsubscribe_by_token(shop.token('two'), true, null);
select unsubscribed, everything from marketing_automation.unsubscribe_page(shop.token('three'));
select scenario, enrolled from marketing_automation.enroll('newsletter', '2026-03-01 12:00+00');
select party, scenario from shop.here where scenario = 'newsletter' order by 1;
-- One kind alone does not come back then; everything does, with what was blocked.
select regexp_replace(u.party, '\d+', 'N') as party, u.scenario_id = 0 as everything from marketing_automation.unsubscription u join shop.here h on h.party_id = u.party and h.sale = 'two' order by 2;
do $$ begin
    perform marketing_automation.resubscribe(h.party_id, 'sales') from shop.here h where h.sale = 'two';
exception when others then raise notice '%', regexp_replace(sqlerrm, '\d+', 'N'); end $$;
select marketing_automation.resubscribe(h.party_id) from shop.here h where h.sale = 'two';
select marketing_automation.resubscribe(h.party_id) from shop.here h where h.sale = 'two';
select scenario, enrolled from marketing_automation.enroll('newsletter', '2026-03-01 12:00+00');

-- By an administrator: from one scenario, from all; a queued mail is suppressed.
select marketing_automation.process_due(now => '2026-03-01 12:00+00');
select marketing_automation.unsubscribe(h.party_id, 'newsletter') from shop.here h where h.scenario = 'newsletter' and h.party = 'Vic';
select marketing_automation.unsubscribe(h.party_id) from shop.here h where h.scenario = 'newsletter' and h.party = 'Uma';
select shop.sent();
select m.email, m.state from marketing_automation.message m join marketing_automation.activity a on a.id = m.activity_id
join marketing_automation.scenario s on s.id = a.scenario_id and s.name = 'newsletter' order by 1;
select marketing_automation.unsubscribe(null);
select marketing_automation.unsubscribe('1', 'nonsense');
select marketing_automation.resubscribe(null);
-- Blocking one record, and taking it back. A mail opened meanwhile is no longer "not opened".
select marketing_automation.resubscribe(h.party_id) from shop.here h where h.scenario = 'newsletter' and h.party = 'Uma';
select marketing_automation.block(uuid) from shop.here where sale = 'one';
-- As in the test "events": the row before anything is recorded of it.
with mail as materialized (
    select h.id as record, a.id as activity from shop.here h join marketing_automation.scenario s on s.name = h.scenario
    join marketing_automation.activity a on a.scenario_id = s.id and a.name = 'mail' where h.sale = 'one')
select e.known from mail m cross join lateral marketing_automation.record_events(array[gen_random_uuid()], array['email_opened'],
    array[marketing_automation_internal.sign_token('email_opened', m.record, m.activity)], array[now()], array['GET'], array[null::inet], array['browser']) e;
select public.events_applied() as applied;
select marketing_automation.unblock(uuid) from shop.here where sale = 'one';
select marketing_automation.unblock(uuid) from shop.here where sale = 'one';
select marketing_automation.unblock('00000000-0001-8000-8000-000000000000');
select scenario, sale, blocked, activities from shop.here where sale = 'one';
select * from shop.history;

-- Invariant: nothing both waits and is finished.
select count(*) from marketing_automation_internal.waiting_activity join marketing_automation_internal.finished_activity using (record_id, activity_id);
select marketing_automation.stop(s) from unnest(array['newsletter', 'sales']) s;

-- Pages of one's own: a form is needed where there is something to do.
insert into marketing_automation.page (name, body) values ('unsubscribe', '<h1>Leave</h1>');
insert into marketing_automation.page (name, body) values ('unsubscribe', '<h1>{{ form</h1>');
insert into marketing_automation.page (name, language, body) values ('unsubscribe', 'fr', '<h1>Partir</h1>{{ form }}'), ('resubscribed', '', '<h1>Back</h1>');
insert into marketing_automation.page (name, body) values ('imprint', '{{ form }}');
insert into marketing_automation.page_text (language, name, text) values ('sv', 'button', 'Avsluta');
insert into marketing_automation.page_text (language, name, text) values ('sv', 'buton', 'Avsluta');
select * from marketing_automation.page_sources() order by 1, 2, 3;
delete from marketing_automation.page;
delete from marketing_automation.page_text;
drop function shop.token;
drop function shop.sent;
drop view shop.here;
drop view shop.history;
drop table shop.start;
delete from marketing_automation.party where name in ('Uma', 'Vic');
