\set SHOW_CONTEXT never
-- All that is kept of a person, by address, however it is written; and nothing of anybody else.
create schema post;
create table post.reader (id integer primary key, email text not null, secret text not null);
insert into post.reader values (1, 'ada@post.example', 'ada''s'), (2, 'bob@post.example', 'bob''s');
select marketing_automation.register_model('post', 'post.reader', key => 'self.id', party => '''post '' || self.id', email => 'self.email');
select marketing_automation.create_scenario('letters', 'post', unsubscribable => true) > 0 as created;
select marketing_automation.add_activity('letters', 'letter', subject => 'Yours', body => '{{ record.secret }}') > 0 as added;
select marketing_automation.run('letters');
select * from marketing_automation.enroll('letters');
select marketing_automation.process_due() as processed;
-- These mails and no others are claimed.
create temporary table mail (id bigint, attempt integer, record_id bigint, activity_id integer, email text);
with claimed as (
    update marketing_automation_internal.outbox set state = 'sending', attempts = 1 where email like '%@post.example'
    returning id, attempts, record_id, activity_id, email)
insert into mail select * from claimed;
select marketing_automation_internal.complete_messages(array_agg(id), array_agg(attempt), array_agg('sent'::text), array_agg('250 ok'::text),
    array_agg(0::double precision)) from mail;
select n, known from marketing_automation.record_events(array[gen_random_uuid()], array['email_opened'],
    array[(select marketing_automation_internal.sign_token('email_opened', record_id, activity_id) from mail where email = 'ada@post.example')],
    array[now()], array['GET'], array[null]::inet[], array['Mozilla/5.0']);
-- The worker may be the one who applies it.
do $$ begin
    for i in 1..200 loop
        perform marketing_automation.apply_events();
        exit when exists (select from marketing_automation.event e join mail on e.record_id = mail.record_id);
        perform pg_sleep(0.05);
    end loop;
end $$;
select marketing_automation.unsubscribe('post 1', 'letters');
select marketing_automation.suppress('ada@post.example');
select marketing_automation.record_conversion(r.uuid, 19.90) is not null as converted
from marketing_automation.record r join mail on mail.record_id = r.id and mail.email = 'ada@post.example';

create function pg_temp.shape(person jsonb) returns table (what text, n bigint, first jsonb) language sql as $$
    select k, case jsonb_typeof(v) when 'array' then jsonb_array_length(v) end,
        (select jsonb_object_agg(f.key, f.value order by f.key)
         from jsonb_each(case jsonb_typeof(v) when 'array' then v -> 0 when 'object' then v else '{}' end) f
         where f.key !~ '^(id|uuid|activities|since|.*at|time_zone|language|recipient_name|server)$' and f.value <> 'null')
    from jsonb_each(person - 'address') as e (k, v) order by k $$;
select * from pg_temp.shape(marketing_automation.export_person(' Ada@POST.example'));
select jsonb_path_query_array(marketing_automation.export_person('ada@post.example'), '$.records[*].activities[*].outcome') as outcomes;
select marketing_automation.export_person('ada@post.example')::text like '%bob%' as tells_of_others;
select * from pg_temp.shape(marketing_automation.export_person('nobody@post.example'));
select marketing_automation.export_person(' ');
-- What forget() leaves says nothing of the person.
select * from marketing_automation.forget('ada@post.example');
select * from pg_temp.shape(marketing_automation.export_person('ada@post.example'));
select marketing_automation.stop('letters');
drop schema post cascade;
