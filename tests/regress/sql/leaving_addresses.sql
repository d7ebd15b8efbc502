\set SHOW_CONTEXT never
-- Several rows with one address: who leaves through the mail of one of them gets no mail as another, within what was left.
create schema twin;
create table twin.guest (id integer primary key, party text, email text, wave integer not null);
insert into twin.guest values (1, null, 'ada@twin.example', 1), (2, null, ' Ada@TWIN.example', 2), (3, null, 'bob@twin.example', 2);
select marketing_automation.register_model('twin guest', 'twin.guest', key => 'self.id', party => 'self.party', email => 'self.email');
create function twin.campaign(name text, domain text, unsubscribable boolean) returns void language plpgsql as $$ begin
    perform marketing_automation.create_scenario(name, 'twin guest', domain, unsubscribable);
    perform marketing_automation.add_activity(name, 'mail', subject => 's', body => 'b');
    perform marketing_automation.run(name);
    perform marketing_automation.enroll(name);
end $$;
create view twin.mail as
    select s.name as scenario, g.id as guest, m.state, m.smtp_reply, r.id as record_id, a.id as activity_id, r.uuid
    from marketing_automation.message m join marketing_automation.record r on r.id = m.record_id
    join marketing_automation.scenario s on s.id = r.scenario_id join twin.guest g on g.id::text = r.key
    join marketing_automation.activity a on a.id = m.activity_id
    where s.name like 'twin%';
-- Only mails of this wave leave.
create function twin.send(its_wave integer) returns table (scenario text, guest integer, state text, smtp_reply text) language plpgsql as $$ begin
    while marketing_automation.process_due() > 0 loop end loop;
    update marketing_automation_internal.outbox o set due_at = case when g.wave <= its_wave then now() else 'infinity' end
    from twin.guest g where o.email like '%@%twin.example' and o.key = g.id::text;
    perform marketing_automation_internal.complete_messages(array_agg(c.id), array_agg(c.attempt), array_agg('sent'::text), array_agg('250 ok'::text),
        array_agg(0::double precision)) from marketing_automation_internal.claim_messages(1000) c;
    return query select m.scenario, m.guest, m.state, m.smtp_reply from twin.mail m join twin.guest g on g.id = m.guest and g.wave = its_wave order by 1, 2;
end $$;
create function twin.token(its_scenario text, its_guest integer) returns text language sql as $$
    select marketing_automation_internal.sign_token('unsubscribed', m.record_id, m.activity_id) from twin.mail m
    where m.scenario = its_scenario and m.guest = its_guest
$$;
select twin.campaign('twins', 'self.id < 4', true);
select * from twin.send(1);
-- Without a party, too, it is known who leaves: everything can be left.
select has_party, unsubscribed, everything from marketing_automation.unsubscribe_page(twin.token('twins', 1));
select marketing_automation.unsubscribe_by_token(twin.token('twins', 1), false, null);
select marketing_automation.unsubscribe_by_token(twin.token('twins', 1), false, null);
select count(*) from marketing_automation.event e join twin.mail m on m.record_id = e.record_id where e.kind = 'unsubscribed';
select fact from marketing_automation.explain_record('twins', '2') where about = 'record' and fact not like 'entered%';
select * from twin.send(2);
select unsubscribed, everything from marketing_automation.unsubscribe_page(twin.token('twins', 2));
select unsubscribed from marketing_automation.unsubscribe_page(twin.token('twins', 3));
-- What was left is one kind; another one goes on, until everything is left.
select twin.campaign('twins too', 'self.id < 4', true);
select * from twin.send(1);
select marketing_automation.unsubscribe_by_token(twin.token('twins too', 1), true, null);
select * from twin.send(2);
select unsubscribed, everything from marketing_automation.unsubscribe_page(twin.token('twins', 2));
-- Whoever reads the address comes back by any of its mails, to that kind of mail and to everything; another kind stays left.
select marketing_automation.resubscribe_by_token(twin.token('twins too', 2), null);
select m.scenario, m.guest, p.unsubscribed, p.everything from twin.mail m
cross join marketing_automation.unsubscribe_page(marketing_automation_internal.sign_token('unsubscribed', m.record_id, m.activity_id)) p order by 1, 2;

-- A scenario that is not unsubscribable is left for the one record: others of its party go on, others of that address do not.
insert into twin.guest values (11, 'P', 'eve@twin.example', 1), (12, 'P', 'eve@twin.example', 2), (13, 'Q', 'eve@twin.example', 2), (14, 'P', 'eve@twin.example', 3);
select twin.campaign('twin quotations', 'self.id between 11 and 15', false);
select * from twin.send(1) where scenario = 'twin quotations';
select marketing_automation.unsubscribe_by_token(twin.token('twin quotations', 11), false, null);
select * from twin.send(2) where scenario = 'twin quotations';
-- As the other party it leaves as well: now nobody has that address.
select marketing_automation.unsubscribe_by_token(twin.token('twin quotations', 13), false, null);
select * from twin.send(3);
-- An administrator's resubscribe() of the party brings its address back, block() in an unsubscribable scenario takes it away.
select marketing_automation.resubscribe('Q');
insert into twin.guest values (15, 'R', 'eve@twin.example', 4);
select marketing_automation.enroll_record('twin quotations', '15');
select * from twin.send(4);
insert into twin.guest values (21, 'X', 'uma@twin.example', 1), (22, 'Y', 'uma@twin.example', 2);
select twin.campaign('twins three', 'self.id between 21 and 22', true);
select * from twin.send(1) where scenario = 'twins three';
select marketing_automation.block(uuid) from twin.mail where scenario = 'twins three' and guest = 21;
select * from twin.send(2) where scenario = 'twins three';

-- By an address, for whoever writes or calls.
select marketing_automation.unsubscribe_address('Max@twin.example', 'twins');
select marketing_automation.unsubscribe_address('max@twin.example', 'twins');
select marketing_automation.unsubscribe_address('max@twin.example');
select marketing_automation.resubscribe_address('max@twin.example', 'twins');
select marketing_automation.resubscribe_address('max@twin.example');
select marketing_automation.resubscribe_address('max@twin.example');
select marketing_automation.unsubscribe_address(' ');
select marketing_automation.resubscribe_address(null);
select marketing_automation.unsubscribe_address('max@twin.example', 'nonsense');
-- A test goes to whom it is for.
select marketing_automation.unsubscribe_address('max@twin.example');
select marketing_automation.send_test('twins', 'mail', '3', 'max@twin.example') > 0 as queued;
select twin.send(0);
select state from marketing_automation.message where email = 'max@twin.example';

-- Asked for and erased: the digest stays, as in suppression, and says nothing more.
select x ->> 'party' as party, x ->> 'scenario' as scenario
from jsonb_array_elements(marketing_automation.export_person('uma@twin.example') -> 'unsubscriptions') x order by 1, 2;
select * from marketing_automation.forget('uma@twin.example');
select u.record_id, u.party, s.name from marketing_automation_internal.unsubscribed_address u join marketing_automation.scenario s on s.id = u.scenario_id
where u.address_hash = marketing_automation.address_hash('uma@twin.example');
-- Whose row enters again is mailed by nobody, and what is made of it is erased at the claim, whatever else forbids the mail.
select twin.campaign('twins four', 'self.id in (21, 22)', true);
select marketing_automation.block(r.uuid) from marketing_automation.record r join marketing_automation.scenario s on s.id = r.scenario_id
where s.name = 'twins four' and r.key = '21';
select marketing_automation.unsubscribe_address('uma@twin.example', 'twins four');
do $$ begin while marketing_automation.process_due() > 0 loop end loop; end $$;
insert into marketing_automation_internal.outbox (id, record_id, activity_id, key, email, recipient_name, context, created_at, due_at)
select nextval('marketing_automation_internal.message_id_seq'), r.id, a.id, r.key, 'uma@twin.example', 'Uma', '{"a": 1}', now(), now()
from marketing_automation.record r join marketing_automation.scenario s on s.id = r.scenario_id
join marketing_automation.activity a on a.scenario_id = s.id where s.name = 'twins four' and r.key = '21';
select * from twin.send(2) where scenario = 'twins four';
select l.email, l.recipient_name, l.context, l.smtp_reply from marketing_automation_internal.message_log l
join marketing_automation.record r on r.id = l.record_id join marketing_automation.scenario s on s.id = r.scenario_id and s.name = 'twins four' order by r.key;
-- What is left goes with its scenario.
select marketing_automation.unsubscribe_address('max@twin.example', 'twin quotations');
select marketing_automation.stop(s) from unnest(array['twins', 'twins too', 'twins three', 'twins four', 'twin quotations']) s;
insert into marketing_automation.scenario (name, model, domain) values ('twin draft', 'twin guest', 'false');
select marketing_automation.unsubscribe_address('max@twin.example', 'twin draft');
select id as draft from marketing_automation.scenario where name = 'twin draft' \gset
delete from marketing_automation.scenario where name = 'twin draft';
select count(*) from marketing_automation_internal.unsubscribed_address where scenario_id = :draft;
select marketing_automation.resubscribe_address('max@twin.example');
