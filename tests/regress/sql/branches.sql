\set SHOW_CONTEXT never
-- Alternatives: of the children of an activity that branches each record takes one, decided when that runs, for good.
set timezone = 'UTC';
set datestyle = 'ISO';
create schema branch;
create table branch.customer (id integer primary key, person text, email text, spent numeric);
insert into branch.customer select i, 'person ' || i, 'c' || i || '@branch.example', case when i % 10 = 0 then null else i end from generate_series(1, 2000) i;
select count(marketing_automation.register_model('branch customer', 'branch.customer', key => 'self.id', party => 'self.person', email => 'self.email')) as registered;
create function branch.send_all() returns void language sql as $$
    select marketing_automation_internal.complete_messages(array_agg(c.id), array_agg(c.attempt), array_agg('sent'::text), array_agg('250 ok'::text),
        array_agg(0::double precision)) from marketing_automation_internal.claim_messages(100000) c having count(*) > 0
$$;
create function branch.play(until timestamptz) returns void language plpgsql as $$
begin
    loop
        exit when marketing_automation.process_due(1000, until) = 0;
    end loop;
end $$;

-- By condition: the first that is true, null is not, and one for the rest, wherever it stands.
select marketing_automation.create_scenario('branch', 'branch customer', domain => 'self.id <= 1000') > 0 as created;
select count(marketing_automation.add_activity('branch', name, parent, condition => condition, action => action, branch_by => branch_by, subject => 's', body => 'b')) as added
from (values ('hello', null, null, 'send_email', 'condition'), ('rest', 'hello', null, null, null), ('rich', 'hello', 'self.spent > 500', null, null),
    ('some', 'hello', 'self.spent > 100', null, null), ('thanks', 'rich', null, null, null)) a (name, parent, condition, action, branch_by);
select * from marketing_automation.check_scenario('branch') where message !~ 'unsubscribe|recorded|no mail was tried';
select marketing_automation.run('branch') is not null as runs;
begin;
select enrolled from marketing_automation.enroll('branch');
select branch.play(now() + interval '1 minute');
-- It was decided when the mail was queued: whatever the row is when the mail goes, when the alternative runs, and how often it is asked.
update branch.customer set spent = 1001 - spent;
select marketing_automation.add_activity('branch', 'late', 'hello', condition => 'self.id <= 1000', action => null) > 0 as added,
    marketing_automation.add_activity('branch', 'not begun', 'hello', condition => 'self.id = 1998', action => null) > 0 as added;
select branch.send_all();
select branch.play(now() + interval '1 minute');
commit;
select a.name, count(*), min(r.key::integer), max(r.key::integer)
from marketing_automation.branch_decision d join marketing_automation.record r on r.id = d.record_id
join marketing_automation.activity a on a.id = d.activity_id where a.scenario_id = marketing_automation.scenario_id('branch') group by a.id order by a.id;
select tree from marketing_automation.tree('branch');
select about, regexp_replace(fact, '\d{4}-[-0-9 :+]+', '… ', 'g') as fact from marketing_automation.explain_record('branch', '7');
select activity, outcome, detail from marketing_automation.simulate('branch', '7');
-- Who fails decides nothing, and does when it is tried again.
update marketing_automation.activity set condition = '1 / (self.id - 2000) < 0' where name = 'some' and scenario_id = marketing_automation.scenario_id('branch');
update marketing_automation.scenario set domain = 'self.id in (1999, 2000)' where name = 'branch';
begin;
select enrolled from marketing_automation.enroll('branch');
select branch.play(now() + interval '1 minute');
select branch.send_all();
select branch.play(now() + interval '1 minute');
select r.key, a.name, ra.state, ra.error from marketing_automation.record_activity ra join marketing_automation.record r on r.id = ra.record_id
join marketing_automation.activity a on a.id = ra.activity_id where r.scenario_id = marketing_automation.scenario_id('branch') and r.key in ('1999', '2000') order by 1, a.id;
select count(*) as decided from marketing_automation.branch_decision d join marketing_automation.record r on r.id = d.record_id where r.key = '2000';
update marketing_automation.activity set condition = 'false' where name = 'some' and scenario_id = marketing_automation.scenario_id('branch');
select count(marketing_automation.retry(ra)) as retried from marketing_automation.record_activity ra join marketing_automation.record r on r.id = ra.record_id where ra.state = 'failed' and r.key = '2000'
    and r.scenario_id = marketing_automation.scenario_id('branch');
select branch.play(now() + interval '1 minute');
select branch.send_all();
select branch.play(now() + interval '1 minute');
select a.name from marketing_automation.branch_decision d join marketing_automation.record r on r.id = d.record_id
join marketing_automation.activity a on a.id = d.activity_id where r.key = '2000';
commit;

-- By share: by a hash of the person, so that all rows of one take the same.
select marketing_automation.create_scenario('shares', 'branch customer') > 0 as created;
select marketing_automation.add_activity('shares', 'split', action => null, branch_by => 'share') > 0 as split,
    marketing_automation.add_activity('shares', 'a', 'split', action => null, share => 30.5, delay => '1 day') > 0 as a,
    marketing_automation.add_activity('shares', 'b', 'split', action => null, share => 49.5) > 0 as b;
select severity, activity, message, hint from marketing_automation.check_scenario('shares') where message !~ 'unsubscribe|recorded|no mail was tried';
insert into branch.customer select i + 2000, 'person ' || i, null, 0 from generate_series(1, 2000) i;
select marketing_automation.run('shares') is not null as runs;
begin;
select enrolled from marketing_automation.enroll('shares');
select branch.play(now() + interval '1 minute');
select branch.play(now() + interval '2 days');
commit;
-- Within five standard deviations of 30.5, 49.5 and 20 per cent of 2,000 people, two rows each.
select a.name, abs(count(*) / 2 - n.expected) <= 5 * sqrt(n.expected * (1 - n.expected / 2000)) as near, count(*) = 2 * count(distinct r.party) as whole_people
from marketing_automation.branch_decision d join marketing_automation.record r on r.id = d.record_id
left join marketing_automation.activity a on a.id = d.activity_id
cross join lateral (select 20 * coalesce(a.share, 20) as expected) n
where r.scenario_id = marketing_automation.scenario_id('shares') group by a.id, a.name, n.expected order by a.id;
-- Each that has run is the one that was decided on, and all have run.
select count(*) as decided, count(*) filter (where d.activity_id is null) = count(*) filter (where ra.activity_id is null) as none_where_none,
    count(*) filter (where ra.activity_id <> d.activity_id) as others
from marketing_automation.branch_decision d join marketing_automation.record r on r.id = d.record_id
left join (marketing_automation.record_activity ra join marketing_automation.activity a on a.id = ra.activity_id and a.parent_id is not null) on ra.record_id = d.record_id
where r.scenario_id = marketing_automation.scenario_id('shares');
-- Not the same people as another split, nor as a hold-out.
select abs(count(*) filter (where marketing_automation_internal.share_point(1, 'p' || i) < 5000 and marketing_automation_internal.share_point(2, 'p' || i) < 5000) - 2500) < 150 as independent,
    abs(count(*) filter (where marketing_automation_internal.share_point(1, 'p' || i) < 5000 and marketing_automation_internal.hash_point('1/p' || i) < 5000) - 2500) < 150 as of_holdout
from generate_series(1, 10000) i;
select about, regexp_replace(fact, '\d{4}-[-0-9 :+]+', '… ', 'g') as fact from marketing_automation.explain_record('shares', (
    select r.key from marketing_automation.branch_decision d join marketing_automation.record r on r.id = d.record_id
    where d.activity_id is null and r.scenario_id = marketing_automation.scenario_id('shares') and r.key::integer <= 2000 order by r.key::integer limit 1));

-- When the condition of an activity was not true: another runs instead.
select marketing_automation.create_scenario('instead', 'branch customer', domain => 'self.id <= 3') > 0 as created;
select count(marketing_automation.add_activity('instead', name, parent, on_event => on_event, condition => condition, action => null)) as added
from (values ('first', null, null, 'self.id = 1'), ('then', 'first', null, null), ('instead', 'first', 'condition_not_met', null), ('second', 'instead', null, 'self.id = 2'),
    ('third', 'second', 'condition_not_met', null)) a (name, parent, on_event, condition);
select marketing_automation.run('instead') is not null as runs;
begin;
select enrolled from marketing_automation.enroll('instead');
select branch.play(now() + interval '1 minute');
commit;
select r.key, string_agg(a.name || ' ' || ra.outcome, ', ' order by a.id) as did from marketing_automation.record_activity ra
join marketing_automation.record r on r.id = ra.record_id join marketing_automation.activity a on a.id = ra.activity_id
where a.scenario_id = marketing_automation.scenario_id('instead') group by r.key order by r.key;
select about, regexp_replace(fact, '\d{4}-[-0-9 :+]+', '… ', 'g') as fact from marketing_automation.explain_record('instead', '1');
select activity, outcome, detail from marketing_automation.simulate('instead', '3');
select about, fact from marketing_automation.explain_record('instead', '9');

-- Files.
select a ->> 'name' as name, a ->> 'branch_by' as branch_by, a ->> 'share' as share, a ->> 'on_event' as on_event
from marketing_automation.export_scenario('shares') e cross join lateral jsonb_array_elements(e -> 'activities') a;
select marketing_automation.copy_scenario('shares', 'shares again') > 0 as copied;
select count(*) as differences from marketing_automation.import_scenario(marketing_automation.export_scenario('shares'), 'shares again');
select change, object, attribute, before, after from marketing_automation.import_scenario('{"format": 1, "scenario": {"name": "shares again", "model": "branch customer"},
    "activities": [{"name": "a", "share": 80}, {"name": "b", "share": 10}]}');

-- What cannot be.
\set VERBOSITY default
select marketing_automation.add_activity('shares again', 'c', 'split', action => null, share => 10.5);
select marketing_automation.add_activity('shares again', 'c', 'split', action => null, share => 0);
select marketing_automation.add_activity('shares again', 'c', 'split', action => null, share => 101);
select marketing_automation.add_activity('shares again', 'c', 'split', action => null, condition => 'true');
select marketing_automation.add_activity('shares again', 'c', 'split', action => null, on_event => 'email_opened');
select marketing_automation.add_activity('shares again', 'c', action => null, share => 10);
select marketing_automation.add_activity('shares again', 'c', 'a', action => null, share => 10);
select marketing_automation.add_activity('shares again', 'c', 'a', action => null, branch_by => 'chance');
select marketing_automation.add_activity('shares again', 'c', 'a', action => null, on_event => 'condition_not_met');
select marketing_automation.add_activity('shares again', 'c', action => null, on_event => 'condition_not_met');
select marketing_automation.add_activity('shares again', 'rest', 'split', action => null) > 0 as added;
select marketing_automation.add_activity('shares again', 'rest too', 'split', action => null);
update marketing_automation.activity set branch_by = null where name = 'split' and scenario_id = marketing_automation.scenario_id('shares again');
-- Once records have passed, shares stay: those that change, come and go.
update marketing_automation.activity set share = 31 where name = 'a' and scenario_id = marketing_automation.scenario_id('shares');
select marketing_automation.add_activity('shares', 'c', 'split', action => null, share => 10);
select marketing_automation.delete_activity('shares', 'b');
update marketing_automation.activity set delay = '2 days' where name = 'a' and scenario_id = marketing_automation.scenario_id('shares');
-- Decided on, and not begun: its mail has not gone.
begin;
update marketing_automation.scenario set domain = 'self.id = 1998' where name = 'branch';
select enrolled from marketing_automation.enroll('branch');
select branch.play(now() + interval '1 minute');
select marketing_automation.delete_activity('branch', a.name) from marketing_automation.branch_decision d join marketing_automation.activity a on a.id = d.activity_id
join marketing_automation.record r on r.id = d.record_id where r.key = '1998' and r.scenario_id = marketing_automation.scenario_id('branch');
rollback;
select count(marketing_automation.stop(s)) as stopped from unnest(array['branch', 'shares', 'instead']) s;
\set VERBOSITY terse
drop schema branch cascade;
