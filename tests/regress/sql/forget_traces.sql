\set SHOW_CONTEXT never
-- Who is forgotten leaves no trace: every table of the extension is searched for the address, and for digests of it.
create schema trace;
create table trace.person (email text primary key, orders integer not null default 1, divisor integer not null default 1);
insert into trace.person (email) values ('Ann@trace.example'), ('joann@trace.example');
create function trace.found(address text) returns table (relation text, of bigint) language plpgsql as $$
#variable_conflict use_column
begin
    for relation in
        select c.oid::regclass from pg_class c where c.relkind in ('r', 'p') and not c.relispartition
          and c.relnamespace in ('marketing_automation'::regnamespace, 'marketing_automation_internal'::regnamespace) order by 1
    loop
        -- Joann's address ends like Ann's.
        execute format($query$select count(*) from %s t where lower(t::text) ~ ('(^|[^o])' || $1) or t::text ~ $2$query$, relation)
            into of using address, concat_ws('|', encode(marketing_automation.address_hash(address), 'hex'),
                encode(marketing_automation_internal.person_hash('Party ' || 'Ann@trace.example', null), 'hex'));
        if of > 0 then
            return next;
        end if;
    end loop;
end $$;
insert into marketing_automation.message_class (name) values ('trace');
insert into marketing_automation.frequency_cap values ('trace', 9, '1 year');
select count(marketing_automation.register_model(m, 'trace.person', key => k, party => p, email => 'self.email')) as registered
from (values ('trace party', 'self.email || ''/1''', '''Party '' || self.email'), ('trace address', '''row '' || self.email', null),
    ('trace log', 'self.email || ''/1''', null)) m (m, k, p);
select count(marketing_automation.create_scenario(s, s, message_class => 'trace', occasion => 'self.email || ''/'' || self.orders / self.divisor')) as created
from unnest(array['trace party', 'trace address', 'trace log']) s;
select count(marketing_automation.add_activity(s, 'mail', subject => 's', body => '<a href="unsubscribe">leave</a>')) as added
from unnest(array['trace party', 'trace address', 'trace log']) s;
select count(marketing_automation.run(s)) as running from unnest(array['trace party', 'trace address', 'trace log']) s;
select e.scenario, e.enrolled from unnest(array['trace party', 'trace address', 'trace log']) s cross join lateral marketing_automation.enroll(s) e order by 1;
call marketing_automation.process_all_due();
select count(*) as completed from (
    select marketing_automation_internal.complete_messages(array_agg(c.id), array_agg(c.attempt), array_agg('sent'::text), array_agg('250 ok'::text),
        array_agg(0::double precision)) from marketing_automation_internal.claim_messages(1000) c where c.email ~ '@trace.example') c;
-- The log of two scenarios' mails is gone, what caps count of them is not.
delete from marketing_automation_internal.message_log l using marketing_automation.activity a
where a.id = l.activity_id and a.scenario_id in (marketing_automation.scenario_id('trace address'), marketing_automation.scenario_id('trace party'));
-- Ann's row raises by now, and stands apart with what it raises.
update trace.person set orders = 2;
update marketing_automation.scenario set domain = 'self.email = ''joann@trace.example'' or self.email::integer > 0' where name = 'trace party';
select enrolled from marketing_automation.enroll('trace party');
-- What forget() has to erase.
select relation, of from trace.found('ann@trace.example') where relation !~ 'definition_history|marketing_automation.scenario$' order by relation;
select jsonb_array_length(marketing_automation.export_person('ann@trace.example') -> 'records') as told;
begin;
select messages > 0 as erased, records > 0 as known from marketing_automation.forget('ann@trace.example');
-- Where nothing may go, her digest stays; what people write into definitions is not kept of her.
select relation, of from trace.found('ann@trace.example') where relation !~ 'definition_history|marketing_automation.scenario$' order by relation;
select count(*) from marketing_automation_internal.poisonous_row p where p.scenario_id = marketing_automation.scenario_id('trace party');
-- Joann is another one.
select count(*) as blocked from marketing_automation.record r where r.occasion ~ '^joann' and r.blocked_at is not null;
select count(*) as counted from marketing_automation_internal.capped_mail m where m.message_class = 'trace';
rollback;
select marketing_automation.stop(s) from unnest(array['trace party', 'trace address', 'trace log']) s;
delete from marketing_automation.frequency_cap where message_class = 'trace';
update marketing_automation.scenario set message_class = 'marketing' where message_class = 'trace';
delete from marketing_automation.message_class where name = 'trace';
