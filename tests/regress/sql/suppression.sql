\set SHOW_CONTEXT never
-- Suppressed addresses: how they are kept, and that nothing is claimed for them.
select marketing_automation.suppress('Ada@Example.org', 'hard_bounce', '550 5.1.1 <Ada@Example.org>: no such user') as first;
select marketing_automation.is_suppressed('ada@example.org') as same, marketing_automation.is_suppressed(' ADA@EXAMPLE.ORG. ') as same_too,
       marketing_automation.is_suppressed('ada+shop@example.org') as another;
select address_hash = sha256('ada@example.org') as digest, reason, detail from marketing_automation.suppression;
-- An internationalised domain is one with its punycode.
select marketing_automation.suppress('zoë@bücher.example');
select marketing_automation.is_suppressed('zoë@XN--BCHER-KVA.example');

-- The weightier reason stays.
select marketing_automation.suppress('ada@example.org', 'complaint') as weightier, marketing_automation.suppress('ada@example.org') as lighter,
       marketing_automation.suppress('ada@example.org', 'complaint', 'again') as again;
select reason, detail from marketing_automation.suppression where address_hash = marketing_automation.address_hash('ada@example.org');

select marketing_automation.unsuppress('ADA@example.org') as was, marketing_automation.unsuppress('ada@example.org') as no_more;
select marketing_automation.is_suppressed('ada@example.org');
select marketing_automation.suppress('ada@example.org', 'mood');
select marketing_automation.suppress(' ');

-- The claim looks, at the last moment.
update shop.customer set email = 'suppressed' || id || '@shop.example' where id in (1, 2);
select marketing_automation.create_scenario('suppression', 'customer', 'self.id in (1, 2)') > 0 as created;
select marketing_automation.add_activity('suppression', 'mail', subject => 's', body => 'b') > 0 as added;
select marketing_automation.add_activity('suppression', 'next', parent => 'mail', action => null) > 0 as added;
select marketing_automation.run('suppression');
select * from marketing_automation.enroll('suppression');
call marketing_automation.process_all_due();
select marketing_automation.suppress('Suppressed1@shop.example', 'complaint');
select email from marketing_automation_internal.claim_messages(10);
select email, state, smtp_reply from marketing_automation.message where email like 'suppressed%' order by email;
-- What is not sent starts nothing.
select count(*) from marketing_automation_internal.waiting_activity w join marketing_automation.activity a on a.id = w.activity_id and a.name = 'next';
select marketing_automation_internal.complete_messages(array(select id from marketing_automation_internal.outbox where email = 'suppressed2@shop.example'),
    array[1], array['sent'], array['250 ok'], array[0]);
select marketing_automation.stop('suppression');
update shop.customer set email = 'customer' || id || '@shop.example' where id in (1, 2);
