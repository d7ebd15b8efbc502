-- The two shipped record types work as they are; a sale's party is the party itself.
insert into marketing_automation.party (name, email, language) values ('Zoë Müller', 'zoe@shop.example', 'de'), ('Nobody', null, null);
insert into marketing_automation.sale (party_id, number, state, amount, currency)
select id, 'S1', 'quotation', 99.5, 'EUR' from marketing_automation.party where name = 'Zoë Müller';
select marketing_automation.create_scenario('quotations', 'sale', 'self.state = ''quotation''', unsubscribable => true) > 0 as created;
select marketing_automation.add_activity('quotations', 'remind', subject => 'Your quotation {{ record.number }}', body => '<p>{{ record.amount }}</p>') > 0 as added;
select marketing_automation.create_scenario('parties', 'party') > 0 as created;
select marketing_automation.add_activity('parties', 'hello', subject => 'Hello {{ party.name }}', body => '<p>hello</p>') > 0 as added;
select marketing_automation.run('quotations'), marketing_automation.run('parties');
select * from marketing_automation.enroll('quotations');
select * from marketing_automation.enroll('parties');
call marketing_automation.process_all_due();
select a.name, m.email, m.recipient_name, m.language, m.context ->> 'number' as number, m.state
from marketing_automation.message m join marketing_automation.activity a on a.id = m.activity_id
where a.name in ('remind', 'hello') order by a.name;
select marketing_automation.tree('parties');
select s.name, r.party = p.id::text as same_party from marketing_automation.record r
join marketing_automation.scenario s on s.id = r.scenario_id and s.name in ('quotations', 'parties')
join marketing_automation.party p on p.name = 'Zoë Müller' and p.id::text = r.party order by 1;
select marketing_automation.stop('quotations'), marketing_automation.stop('parties');
