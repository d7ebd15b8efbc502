\set SHOW_CONTEXT never
set timezone = 'UTC';
-- Where replies go: a template of its own, by language and variant; without one, to the sender.
create schema replied;
create table replied.buyer (id integer primary key, name text, email text, language text, manager text);
insert into replied.buyer values
    (1, 'Ada', 'ada@replied.example', 'en', 'Mia <mia@replied.example>'), (2, 'Bob', 'bob@replied.example', 'fr', null),
    (3, 'Cy', 'cy@replied.example', 'de', 'not an address'), (4, 'Dee', 'dee@replied.example', 'en', E'x@replied.example\r\nBcc: all@replied.example');
select marketing_automation.register_model('replied', 'replied.buyer', key => 'self.id', email => 'self.email', recipient_name => 'self.name',
    language => 'self.language');
select marketing_automation.create_scenario('replied', 'replied') > 0 as created;
create function replied.header(activity text, key text) returns setof text language sql as $$
    select line from marketing_automation.preview('replied', activity, key) p, regexp_split_to_table(p.headers, E'\n(?! )') line
    where line ~ '^Reply' $$;
select marketing_automation.add_activity('replied', 'mail', sender => 'Shop <shop@replied.example>', subject => 's', body => '<p>b <a href="unsubscribe">x</a></p>') as mail \gset
select replied.header('mail', '1');
select marketing_automation.add_activity('replied', 'mail', sender => 'Shop <shop@replied.example>', subject => 's', body => '<p>b <a href="unsubscribe">x</a></p>',
    reply_to => E'{{ record.manager }},\n "Help, Läden" <help@replied.example>', replace => true) = :mail as same;
select a.reply_to, a.version from marketing_automation.activity a where a.id = :mail;
select replied.header('mail', '1');
select replied.header('mail', '2');
-- That of one row is wrong: its mail alone fails, and says so; nobody writes headers.
select replied.header('mail', '3');
select replied.header('mail', '4');
select severity, activity, message from marketing_automation.check_scenario('replied') where message ~ 'reply' order by 1, 2, 3;
-- Of a row that gives none there is no header.
update marketing_automation.activity set reply_to = '{{ record.manager }}' where id = :mail;
select replied.header('mail', '1');
select replied.header('mail', '2');
-- By language, and variant: each has what it has not from the mail.
insert into marketing_automation.activity_translation (activity_id, language, reply_to) values (:mail, 'fr', 'aide@replied.example');
select marketing_automation.add_activity('replied', 'other', parent => 'mail', on_event => 'variant', share => 30, subject => 't') > 0 as added;
select marketing_automation.add_activity('replied', 'others', parent => 'mail', on_event => 'variant', share => 30, reply_to => 'other@replied.example') > 0 as added;
select 'mail' as activity, h from replied.header('mail', '2') h
union all select 'other', h from replied.header('other', '2') h
union all select 'others', h from replied.header('others', '2') h order by 1;
select t.language, t.reply_to from marketing_automation_internal.mail_templates(array[:mail]) t order by 1;

-- What no row makes right is refused when it is written.
create function replied.told(statement text) returns text language plpgsql as $$
declare
    message text;
    detail text;
    hint text;
begin
    execute statement;
    return 'no error';
exception when others then
    get stacked diagnostics message = message_text, detail = pg_exception_detail, hint = pg_exception_hint;
    return concat_ws(' | ', sqlstate, message, detail, coalesce(nullif(hint, ''), 'NO HINT'));
end $$;
select replied.told(format('update marketing_automation.activity set reply_to = %L where id = %s', t, :mail)) from unnest(array['', 'help', 'a@replied.example, b@',
    '{{ record.name }} <help@@replied.example>', '{{ record.name }}@replied.example, b@', '{{ record.manger }}', '{{', '{% include "replied" %}',
    'Help <help@replied.example>, ']) with ordinality u (t, n) order by n;
select replied.told($$update marketing_automation.activity_translation set reply_to = 'aide' where language = 'fr' and reply_to is not null$$);
-- A snippet that it uses is kept, and changes with it.
insert into marketing_automation.snippet (name, body) values ('replied', 'team@replied.example');
update marketing_automation.activity set reply_to = '{% include "replied" %}' where id = :mail;
select replied.header('mail', '1');
select replied.told($$update marketing_automation.snippet set body = '{% include "nothing" %}' where name = 'replied'$$);
select replied.told($$delete from marketing_automation.snippet where name = 'replied'$$);
update marketing_automation.snippet set body = '{{ record.manager }}' where name = 'replied';
select replied.header('mail', '1');

-- What it reads of the row the mail takes along, and is given when it is queued; a test has it, too.
select marketing_automation_internal.mail_columns(:mail);
update marketing_automation.activity set reply_to = null where id = :mail;
select marketing_automation_internal.mail_columns(:mail);
select marketing_automation.send_test('replied', 'mail', '1', 'me@replied.example') as test \gset
select context from marketing_automation.message where id = :test;
update marketing_automation.activity set reply_to = '{{ record.manager }}' where id = :mail;
select context from marketing_automation.message where id = :test;
-- Who may not see rows does not see what failed of one.
create role regress_replied;
select marketing_automation.grant_access('regress_replied', 'reader');
begin;
select marketing_automation_internal.complete_messages(array[m.id], array[m.attempt], array['failed'], array['reply-to "not an address" is no address: it has no @'], array[0])
from marketing_automation_internal.claim_messages(10000) m where m.id = :test;
select smtp_reply from marketing_automation.message where id = :test;
set role regress_replied;
select smtp_reply ~ 'not an address' as tells from marketing_automation.message where id = :test;
reset role;
rollback;

-- It is part of the definition.
select a ->> 'name' as activity, a ->> 'reply_to' as reply_to, t ->> 'reply_to' as translation
from jsonb_array_elements(marketing_automation.export_scenario('replied') -> 'activities') a
left join jsonb_array_elements(a -> 'translations') t on true order by 1;
select marketing_automation.copy_scenario('replied', 'replied too') > 0 as copied;
select count(*) from marketing_automation.import_scenario(marketing_automation.export_scenario('replied'), 'replied too');
select change, object, attribute, before, after from marketing_automation.import_scenario(jsonb_set(marketing_automation.export_scenario('replied'),
    '{activities,0,reply_to}', '"new@replied.example"'), 'replied too', dry_run => true);
select before ->> 'reply_to' as before, after ->> 'reply_to' as after from marketing_automation.definition_history
where kind = 'activity' and scenario = 'replied' and name = 'mail' and before ->> 'reply_to' is distinct from after ->> 'reply_to' order by id;

delete from marketing_automation.scenario where name in ('replied', 'replied too');
delete from marketing_automation.snippet where name = 'replied';
select marketing_automation.revoke_access('regress_replied', 'reader');
drop role regress_replied;
select marketing_automation.unregister_model('replied');
set client_min_messages = error;
drop schema replied cascade;
