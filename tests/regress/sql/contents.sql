\set SHOW_CONTEXT never
-- Who sees what is in a row, and what a mail takes along of it.
create role regress_una;
create role regress_ivo;
create role regress_liv;
create role regress_kai;
create schema vault;
create table vault.customer (id integer primary key, name text, email text, secret text, city text, photo bytea);
insert into vault.customer select n, 'Name ' || n, format('c%s@shop.example', n), 'secret-' || n, 'Paris', decode(repeat('ab', 100000), 'hex')
from generate_series(1, 3) n;
grant usage on schema vault to regress_una;
grant select (id, name, email, secret) on vault.customer to regress_una;
select count(*) from (values ('regress_una', 'marketer'), ('regress_ivo', 'marketer'), ('regress_liv', 'reader'), ('regress_kai', 'operator')) as g (role, access)
cross join lateral marketing_automation.grant_access(g.role::regrole, g.access);

set role regress_una;
select marketing_automation.register_model('vault', 'vault.customer', key => 'self.id', party => 'self.id', email => 'self.email');
select marketing_automation.create_scenario('vaulted', 'vault') > 0 as created;
-- Rights on the columns that are used are enough.
select marketing_automation.add_activity('vaulted', 'vault mail', subject => 'Hello', body => '<p>{{ record.name }}</p>') > 0 as added;
-- What she may not read is refused when it is written.
select marketing_automation.add_activity('vaulted', 'city', subject => 's', body => '<p>{{ record.city }} {{ record.photo }}</p>');
select marketing_automation.add_activity('vaulted', 'whole', subject => 's', body => '<p>{{ record }}</p>');
insert into marketing_automation.activity_translation (activity_id, language, subject) select a.id, 'fr', '{{ record.city }}' from marketing_automation.activity a where a.name = 'vault mail';
insert into marketing_automation.snippet (name, body) values ('town', '<p>{{ record.city }}</p>');
-- And when the scenario starts, if it was allowed before.
reset role;
grant select (city) on vault.customer to regress_una;
set role regress_una;
update marketing_automation.activity set body = '<p>{{ record.name }}</p>{% include "town" %}' where name = 'vault mail';
reset role;
revoke select (city) on vault.customer from regress_una;
set role regress_una;
select marketing_automation.run('vaulted');
update marketing_automation.activity set body = '<p>{{ record.name }}</p>' where name = 'vault mail';
select marketing_automation.run('vaulted');
select scenario, enrolled, error from marketing_automation.enroll('vaulted');
select marketing_automation.process_due() as processed;
select m.key, m.context from marketing_automation.message m join marketing_automation.activity a on a.id = m.activity_id where a.name = 'vault mail' order by m.key;

-- A changed template takes effect in mails that are queued: they get what it uses from the rows as they are, and keep what they have.
reset role;
update vault.customer set name = 'Renamed', secret = 'changed' where id = 1;
delete from vault.customer where id = 2;
set role regress_una;
update marketing_automation.activity set subject = '{{ record.secret }}' where name = 'vault mail';
select m.key, m.context from marketing_automation.message m join marketing_automation.activity a on a.id = m.activity_id where a.name = 'vault mail' order by m.key;
insert into marketing_automation.snippet (name, body) values ('mailbox', '<p>x</p>');
update marketing_automation.activity set body = '{% include "mailbox" %}' where name = 'vault mail';
update marketing_automation.snippet set body = '<p>{{ record.email }}</p>' where name = 'mailbox';
select m.key, m.context ->> 'email' as email from marketing_automation.message m join marketing_automation.activity a on a.id = m.activity_id where a.name = 'vault mail' order by m.key;
-- Tests and previews need no other columns either.
select html is not null as rendered from marketing_automation.preview('vaulted', 'vault mail', '3');
select marketing_automation.send_test('vaulted', 'vault mail', '3', 'ann@shop.example') > 0 as queued;

-- Readers, operators and other teams see that there is something, and how it went.
set role regress_liv;
select count(*), count(m.context) from marketing_automation.message m join marketing_automation.activity a on a.id = m.activity_id where a.name = 'vault mail';
set role regress_ivo;
select count(m.context) from marketing_automation.message m join marketing_automation.activity a on a.id = m.activity_id where a.name = 'vault mail';
reset role;
grant usage on schema vault to regress_liv;
grant select on vault.customer to regress_liv;
set role regress_liv;
select count(m.context) from marketing_automation.message m join marketing_automation.activity a on a.id = m.activity_id where a.name = 'vault mail';
-- To select is not to see all rows: row security may hide some, on the table or on one behind a view.
reset role;
create function vault.contents_of_liv() returns text language plpgsql as $$
declare
    result text;
begin
    set local role regress_liv;
    select format('%s of %s, %s', count(m.context), count(*), marketing_automation.sees_rows(a.scenario_id)) into result
    from marketing_automation.message m join marketing_automation.activity a on a.id = m.activity_id where a.name = 'vault mail'
    group by a.scenario_id;
    reset role;
    return result;
end $$;
create policy of_una on vault.customer to regress_una using (true);
select vault.contents_of_liv() as policy_alone;
alter table vault.customer enable row level security;
select vault.contents_of_liv() as row_security;
alter role regress_liv bypassrls;
select vault.contents_of_liv() as bypassing;
alter role regress_liv nobypassrls;
create role regress_vault;
grant regress_vault to regress_liv;
alter table vault.customer owner to regress_vault;
select vault.contents_of_liv() as owning;
alter table vault.customer force row level security;
select vault.contents_of_liv() as forced;
alter table vault.customer no force row level security;
revoke regress_vault from regress_liv;
create view vault.whole as select * from vault.customer;
create view vault.over_whole as select * from vault.whole;
grant select on vault.whole, vault.over_whole to regress_liv;
create function vault.seen_by_liv(relation regclass) returns boolean language plpgsql as $$
declare
    result boolean;
begin
    perform marketing_automation.register_model('seen', relation, key => 'self.id');
    perform marketing_automation.create_scenario('seen', 'seen');
    set local role regress_liv;
    result := marketing_automation.sees_rows(marketing_automation.scenario_id('seen'));
    reset role;
    delete from marketing_automation.scenario where name = 'seen';
    perform marketing_automation.unregister_model('seen');
    return result;
end $$;
select vault.seen_by_liv('vault.over_whole') as of_a_superuser;
alter view vault.whole set (security_invoker = true);
select vault.seen_by_liv('vault.over_whole') as of_a_superuser;
alter view vault.over_whole set (security_invoker = true);
select vault.seen_by_liv('vault.over_whole') as of_the_reader;
alter view vault.whole reset (security_invoker);
alter view vault.whole owner to regress_una;
grant select on vault.customer to regress_una;
select vault.seen_by_liv('vault.over_whole') as of_who_is_restricted;
alter view vault.whole owner to regress_vault;
select vault.seen_by_liv('vault.over_whole') as of_the_owner;
alter view vault.over_whole set (security_barrier = true);
select vault.seen_by_liv('vault.over_whole') as barrier;
drop view vault.over_whole, vault.whole;
revoke select on vault.customer from regress_una;
grant select (id, name, email, secret) on vault.customer to regress_una;
alter table vault.customer owner to current_user;
alter table vault.customer disable row level security;
drop policy of_una on vault.customer;
revoke select on vault.customer from regress_liv;

-- Errors quote rows. They are told to who may read those.
create function vault.is_open(text) returns boolean language plpgsql as $$ begin
    raise exception 'order of % is shipped', $1 using errcode = 'object_not_in_prerequisite_state';
end $$;
set role regress_una;
update marketing_automation.scenario set domain = 'self.secret::integer > 0' where name = 'vaulted';
select marketing_automation.delete_snippet('town');
select marketing_automation.create_scenario('failing', 'vault') > 0 as created;
select marketing_automation.add_activity('failing', 'starts', action => null) > 0 as added;
select marketing_automation.add_activity('failing', 'fails', parent => 'starts', condition => 'self.secret::integer > 0', action => null) > 0 as added;
select marketing_automation.add_activity('failing', 'shipped', parent => 'starts', condition => 'vault.is_open(self.secret)', action => null) > 0 as added;
select marketing_automation.run('failing');
select marketing_automation.enroll('failing');
call marketing_automation.process_all_due();
select marketing_automation.create_scenario('vault counted', 'vault', domain => 'self.secret::integer > 0') > 0 as created;
reset role;
insert into vault.customer values (4, 'Name 4', 'c4@shop.example', 'secret-4');
set role regress_liv;
select ra.error, ra.error_code from marketing_automation.record_activity ra join marketing_automation.activity a on a.id = ra.activity_id
where a.name in ('fails', 'shipped') order by a.name, ra.record_id;
select regexp_replace(fact, 'run of the scenario failed .*?: ', '…: ') as fact from marketing_automation.explain_record('vaulted', '4');
select regexp_replace(fact, 'failed .*?: ', 'failed …: ') as fact from marketing_automation.explain_record('failing', '3') where fact ~ 'failed';
select activity, detail from marketing_automation.simulate('vaulted', '4');
select activity, detail from marketing_automation.simulate('failing', '4');
select marketing_automation.tree('vault counted');
select marketing_automation.record_count('vault counted');
set role regress_kai;
\set VERBOSITY terse
select scenario, enrolled, error from marketing_automation.enroll('vaulted');
\set VERBOSITY default
reset role;
select s.name, t.last_error_code from marketing_automation.scenario_status t join marketing_automation.scenario s on s.id = t.scenario_id where s.name = 'vaulted';
set role regress_liv;
select count(*) from marketing_automation.scenario_status t join marketing_automation.scenario s on s.id = t.scenario_id where s.name = 'vaulted';
set role regress_una;
select t.last_error from marketing_automation.scenario_status t join marketing_automation.scenario s on s.id = t.scenario_id where s.name = 'vaulted';
select ra.error, ra.error_code from marketing_automation.record_activity ra join marketing_automation.activity a on a.id = ra.activity_id
where a.name = 'fails' order by ra.record_id;
select regexp_replace(fact, 'run of the scenario failed .*?: ', '…: ') as fact from marketing_automation.explain_record('vaulted', '4');
select activity, detail from marketing_automation.simulate('failing', '4');
select marketing_automation.tree('vault counted');
select marketing_automation.delete_scenario('vault counted');
select marketing_automation.stop(s) from unnest(array['vaulted', 'failing']) s;
reset role;
-- Nor do those hear what its functions say, who may not see its rows.
create function vault.talks(text) returns boolean language plpgsql as $$ begin
    raise notice 'looks at %', $1;
    raise warning 'has seen %', $1;
    return true;
end $$;
set role regress_una;
select marketing_automation.create_scenario('talking', 'vault', domain => 'self.id = 1 and vault.talks(self.secret)') > 0 as created;
select marketing_automation.add_activity('talking', 'starts', action => null) > 0 as added;
select marketing_automation.run('talking');
set role regress_liv;
select outcome from marketing_automation.simulate('talking', '1');
set role regress_kai;
select enrolled from marketing_automation.enroll('talking');
set role regress_una;
select outcome from marketing_automation.simulate('talking', '1') limit 1;
select marketing_automation.stop('talking');
reset role;
-- Who may see contents is looked up once a query, not once for each branch and partition of a log.
create function vault.look_ups(query text) returns bigint language plpgsql as $$
declare line text; result bigint := 0;
begin
    for line in execute 'explain ' || query loop
        result := result + (line like '%Recursive Union%')::integer;
    end loop;
    return result;
end $$;
select name, vault.look_ups(format('select * from marketing_automation.%I', name)) as look_ups
from unnest(array['message', 'delivery_attempt', 'record_activity', 'event']) as name;
