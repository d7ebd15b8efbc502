\set SHOW_CONTEXT never
-- Mails without a link to unsubscribe are told when their scenario starts to run: whose can be left, and all once links lead somewhere.
create schema exit;
create table exit.guest (id integer primary key, email text);
select marketing_automation.register_model('exit', 'exit.guest', key => 'self.id', email => 'self.email');
insert into marketing_automation.snippet (name, body) values ('exit_link', '<p><a class=x href=unsubscribe>Leave</a></p>');
insert into marketing_automation.snippet (name, body) values ('exit_foot', '{% include "exit_link" %}');
create function exit.campaign(name text, unsubscribable boolean, body text, translated text default null) returns void language plpgsql as $$
declare
    its_id integer;
begin
    perform marketing_automation.create_scenario('exit ' || name, 'exit', unsubscribable => unsubscribable);
    its_id := marketing_automation.add_activity('exit ' || name, 'mail', subject => 's', body => body);
    if translated is not null then
        insert into marketing_automation.activity_translation (activity_id, language, subject, body) values (its_id, 'fr', 'f', translated);
    end if;
    perform marketing_automation.add_activity('exit ' || name, 'no mail', action => null);
    perform marketing_automation.run('exit ' || name);
    perform marketing_automation.stop('exit ' || name);
end $$;
select exit.campaign('none', true, 'b', '<p>c</p>');
select exit.campaign('translated', true, '<a href="unsubscribe">u</a>', '<p>unsubscribe</p>');
select exit.campaign('nearly', true, '<a href="https://shop.example/unsubscribe">u</a>');
-- Each of these is one.
select exit.campaign('page', true, '<a href=''unsubscribe|https://shop.example/bye''>u</a>');
select exit.campaign('variable', true, '<a href="{{ unsubscribe_url }}">u</a>');
select exit.campaign('snippet', true, 'b{% include "exit_foot" %}');
select exit.campaign('markup', true, '<mjml><mj-body><mj-section><mj-column><mj-button href="unsubscribe">u</mj-button></mj-column></mj-section></mj-body></mjml>');
-- What cannot be left needs a way out where there is one.
select exit.campaign('receipt', false, 'b');
set marketing_automation.automation_base = 'https://track.example';
select exit.campaign('receipt with links', false, 'b');
reset marketing_automation.automation_base;
delete from marketing_automation.scenario where name like 'exit%';
delete from marketing_automation.snippet where name = 'exit_foot';
delete from marketing_automation.snippet where name = 'exit_link';
select marketing_automation.unregister_model('exit');
drop schema exit cascade;
