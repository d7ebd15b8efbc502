\set SHOW_CONTEXT never
-- What a marketing-mailer may ask: by whom, in which order, and with what. Not who may what of all functions: see teams.
create role regress_mf_nobody;
create role regress_mf_mailer;
select marketing_automation.grant_access('regress_mf_mailer', 'mailer');
create schema mf;
grant usage on schema mf to regress_mf_nobody, regress_mf_mailer;
create table mf.installed as select extversion as version from pg_extension where extname = 'marketing_automation';
create function mf.version() returns text language sql as $$ select version from mf.installed $$;
create function mf.say(call text) returns text language plpgsql as $$
declare
    its_detail text;
    its_hint text;
begin
    execute 'select marketing_automation.mailer_' || call;
    return 'ok';
exception when others then
    get stacked diagnostics its_detail = pg_exception_detail, its_hint = pg_exception_hint;
    return replace(concat_ws(' / ', sqlstate, sqlerrm, nullif(its_detail, ''), nullif(its_hint, '')),
        mf.version(), 'VERSION');
end $$;
create table mf.call (id integer primary key generated always as identity, call text not null);
grant select on mf.call, mf.installed to regress_mf_nobody, regress_mf_mailer;
insert into mf.call (call) values
    ($$register('mf', '11111111-1111-1111-1111-111111111111', 'host', mf.version())$$),
    ('unregister()'), ('settings()'), ('claim(1, true)'), ('revoked(array[1::bigint], array[1])'), ('next_due()'), ('templates(array[1])'),
    ('snippets()'), ('files(array[-1::bigint])'), ($$file_contents(array[-1::bigint], array['\x00'::bytea])$$), ($$link_ids(array['https://mf.example/'])$$), ($$tokens(array['mf'], array[0], 1)$$),
    ($$complete(array[-1::bigint], array[1], array['sent'], array['250 ok'], array[0], array['sent'], array[250], array[null], array['mf'])$$),
    ('dead_mailboxes(array[-1::bigint])'), ('rescue()'), ('purge(1)'), ($$report_server('mf', 1, 'away')$$), ($$report('idle', null, 0, 0, 0)$$);
-- None is missing.
select p.proname from pg_proc p
where p.pronamespace = 'marketing_automation'::regnamespace and p.proname like 'mailer\_%' and p.proname <> 'mailer_status'
  and not exists (select from mf.call c where 'mailer_' || split_part(c.call, '(', 1) = p.proname);

-- Whoever was not granted the access; and who was, in a session that is no mailer.
set role regress_mf_nobody;
select split_part(c.call, '(', 1) as call, mf.say(c.call) from mf.call c order by c.id;
set role regress_mf_mailer;
select split_part(c.call, '(', 1) as call, split_part(mf.say(c.call), ' / ', 2) as said from mf.call c where c.call !~ '^register' order by c.id;
-- Who it may be.
select c.name, mf.say(format('register(%L, %L, %L, %L, %s)', c.name, c.instance, c.host, c.version, coalesce(c.in_hand, 'null')))
from (values (1, null, gen_random_uuid(), 'host', mf.version(), $$'{}'$$), (2, '', gen_random_uuid(), 'host', mf.version(), $$'{}'$$),
    (3, 'a b', gen_random_uuid(), 'host', mf.version(), $$'{}'$$), (4, '-a', gen_random_uuid(), 'host', mf.version(), $$'{}'$$),
    (5, repeat('a', 64), gen_random_uuid(), 'host', mf.version(), $$'{}'$$), (6, 'no instance', null, 'host', mf.version(), $$'{}'$$),
    (7, 'no-instance', null, 'host', mf.version(), $$'{}'$$), (8, 'no-host', gen_random_uuid(), null, mf.version(), $$'{}'$$),
    (9, 'no-version', gen_random_uuid(), 'host', null, $$'{}'$$), (10, 'older', gen_random_uuid(), 'host', '0.0.1', $$'{}'$$),
    (11, 'newer', gen_random_uuid(), 'host', '99.0.0', $$'{}'$$), (12, 'in-hand', gen_random_uuid(), 'host', mf.version(), null),
    (13, 'in-hand', gen_random_uuid(), 'host', mf.version(), $$'{null}'$$)) as c (n, name, instance, host, version, in_hand) order by c.n;
reset role;
select count(*) from marketing_automation_internal.mailer m where m.name in ('no-instance', 'no-host', 'no-version', 'older', 'newer', 'in-hand');

-- A session is one mailer, and may say so again.
set role regress_mf_mailer;
select c.call, mf.say(c.call) from mf.call c where c.call ~ '^register';
select mf.say($$register('mf-2', '22222222-2222-2222-2222-222222222222', 'host', mf.version())$$);
select split_part(c.call, '(', 1) as call, mf.say(c.call) from mf.call c where c.call !~ '^unregister' order by c.id;
-- Bad input changes nothing.
select c.call, mf.say(c.call) from (values
    (1, 'claim(0, true)'), (2, 'claim(-1, true)'), (3, 'claim(null, true)'), (4, 'claim(10001, true)'), (5, 'claim(1, null)'),
    (6, 'revoked(null, null)'), (7, 'revoked(array[-1::bigint], null)'), (8, 'templates(null)'), (9, 'templates(array[null, -1])'),
    (10, 'link_ids(null)'), (11, 'link_ids(array[null])'), (12, $$link_ids(array[''])$$), (13, $$link_ids(array['javascript:alert(1)'])$$),
    (14, 'tokens(null, null, null)'), (15, $$tokens(array['a', 'b'], array[0], 1)$$), (16, $$tokens(array['a'], array[0], -1)$$),
    (17, $$tokens(array['a'], array[-1], 1)$$), (18, $$tokens(array['a'], array[null::integer], 1)$$),
    (19, 'complete(null, null, null, null, null, null, null, null, null)'),
    (20, $$complete(array[-1::bigint, -2], array[1], array['sent'], array['250 ok'], array[0], array['sent'], array[250], array[null], array['mf'])$$),
    (21, $$complete(array[-1::bigint], array[1], array['lost'], array['x'], array[0], array['sent'], array[250], array[null], array['mf'])$$),
    (22, $$complete(array[-1::bigint], array[1], array['sent'], array['x'], array[0], array['lost'], array[250], array[null], array['mf'])$$),
    (23, $$complete(array[-1::bigint], array[1], array['queued'], array['x'], array[-1], array['deferred'], array[450], array[null], array['mf'])$$),
    (24, $$complete(array[-1::bigint], array[1], array['queued'], array['x'], array['nan'::float8], array['deferred'], array[450], array[null], array['mf'])$$),
    (25, $$complete(array[null::bigint], array[1], array['sent'], array['x'], array[0], array['sent'], array[250], array[null], array['mf'])$$),
    (26, 'dead_mailboxes(null)'), (27, 'purge(null)'), (28, 'purge(-1)'), (29, $$purge('nan')$$), (30, $$purge('infinity')$$),
    (31, 'report_server(null, null, null)'), (32, $$report_server('mf', -1, 'x')$$), (33, $$report_server('mf', 'infinity', 'x')$$),
    (34, 'report(null, null, 0, 0, 0)'), (35, $$report('odd', null, 0, 0, 0)$$), (36, $$report('idle', null, -1, 0, 0)$$),
    (37, $$report('idle', null, null, 0, 0)$$)) as c (n, call) order by c.n;
reset role;
select count(*) from marketing_automation_internal.smtp_usage u where u.server in ('mf', 'a', 'b');
select m.name, m.host, m.state, m.sent from marketing_automation_internal.mailer m where m.name like 'mf%';

-- A mail's way; nothing of it stays.
begin;
select marketing_automation.create_scenario('mf', 'customer', 'self.id in (1, 2, 3)') > 0 as created;
select marketing_automation.add_activity('mf', 'mail', subject => 's', body => '<p>b</p>') > 0 as added;
select marketing_automation.run('mf');
\o /dev/null
select * from marketing_automation.enroll('mf');
select marketing_automation.process_due(1000);
\o
update marketing_automation_internal.outbox o set due_at = 'infinity'
where o.activity_id not in (select a.id from marketing_automation.activity a join marketing_automation.scenario s on s.id = a.scenario_id and s.name = 'mf');
select coalesce(string_agg(o.key || ' ' || o.state, ', ' order by o.key), 'none') as outbox from marketing_automation_internal.outbox o where o.due_at < 'infinity';
grant create on schema mf to regress_mf_mailer;
set role regress_mf_mailer;
create table mf.claimed as select * from marketing_automation.mailer_claim(10, true);
select c.attempt, c.email, c.channel, c.record_uuid ~ '^[0-9a-f-]{36}$' as has_uuid, c.senders >= 1 as counts_senders from mf.claimed c order by c.email;
-- What forbids them is told, of each by itself.
select count(*) from marketing_automation.mailer_revoked(array(select id from mf.claimed), array(select attempt from mf.claimed));
select count(*) as of_another_attempt from marketing_automation.mailer_revoked(array(select id from mf.claimed), array(select 7 from mf.claimed));
reset role;
select count(*) from (select marketing_automation.block(r.uuid) from marketing_automation.record r join mf.claimed c on c.record_id = r.id
    order by c.email limit 1) b;
set role regress_mf_mailer;
select c.email = (select min(email) from mf.claimed) as blocked from mf.claimed c
where c.id in (select * from marketing_automation.mailer_revoked(array(select id from mf.claimed), array(select attempt from mf.claimed)));
-- So are those whose journey has ended, or whose window is shut by now.
reset role;
savepoint forbidden;
update marketing_automation_internal.record r set ended_at = now(), end_reason = 'exited' from mf.claimed c where c.record_id = r.id;
set role regress_mf_mailer;
select count(*) as of_ended from marketing_automation.mailer_revoked(array(select id from mf.claimed), array(select attempt from mf.claimed));
rollback to forbidden;
insert into marketing_automation.send_window (name, days) values ('mf', array[extract(isodow from now() + interval '3 days')]::integer[]);
update marketing_automation.scenario set send_window = 'mf' where name = 'mf';
set role regress_mf_mailer;
select count(*) as shut from marketing_automation.mailer_revoked(array(select id from mf.claimed), array(select attempt from mf.claimed));
reset role;
update marketing_automation.send_window set days = '{1,2,3,4,5,6,7}', opens = '00:00', closes = '24:00' where name = 'mf';
set role regress_mf_mailer;
select count(*) as open from marketing_automation.mailer_revoked(array(select id from mf.claimed), array(select attempt from mf.claimed));
rollback to forbidden;
-- One that was only cut off, and has lost its claims meanwhile, knows what became of them: when it is back, what it tells counts.
reset role;
select marketing_automation_internal.rescue_messages(hold => true, starting => (select m.id from marketing_automation_internal.mailer m where m.name = 'mf')) >= 3 as rescued;
select m.key, m.state, m.attempts, m.smtp_reply from marketing_automation.message m join mf.claimed c on c.id = m.id order by m.key;
create function mf.tell(attempt integer) returns bigint language sql as $$
    select marketing_automation.mailer_complete(array(select id from mf.claimed order by email), array[attempt, attempt, attempt], array['sent', 'failed', 'released'],
        array['250 ok', '550 no', null], array[0, 0, 0], array['sent', 'failed', null], array[250, 550, null], array[null, null, null], array['mf', 'mf', 'mf'])
$$;
set role regress_mf_mailer;
-- Not of another attempt.
select mf.tell(2) as ended;
select mf.tell(1) as ended;
reset role;
select m.key, m.state, m.attempts, m.smtp_reply from marketing_automation.message m join mf.claimed c on c.id = m.id order by m.key;
select m.key, a.attempt, a.state, a.code from marketing_automation.delivery_attempt a join marketing_automation.message m on m.id = a.message_id
join mf.claimed c on c.id = m.id order by m.key, a.attempt;
rollback to forbidden;
set role regress_mf_mailer;
-- One sent, one put off, one given back; late results change nothing.
select marketing_automation.mailer_complete(array(select id from mf.claimed order by email), array[1, 1, 1], array['released', 'queued', 'sent'],
    array[null, '451 later', '250 ok'], array[0, 3600, 0], array[null, 'deferred', 'sent'], array[null, 451, 250], array[null, null, null],
    array['mf', 'mf', 'mf']) as ended;
select marketing_automation.mailer_complete(array(select id from mf.claimed order by email), array[1, 1, 1], array['sent', 'sent', 'failed'],
    array['x', 'x', 'x'], array[0, 0, 0], array['sent', 'sent', 'failed'], array[250, 250, 550], array[null, null, null], array['mf', 'mf', 'mf']) as ended;
reset role;
select m.key, m.state, m.attempts, m.smtp_reply from marketing_automation.message m join mf.claimed c on c.id = m.id order by m.key;
-- Nor do results of what another one has claimed; nor does it say whose mailboxes do not exist, but of those that have failed for itself.
savepoint another;
create table mf.kept as select o.id, o.key, o.email, row_number() over (order by o.key) as n from marketing_automation_internal.outbox o where o.id in (select id from mf.claimed);
grant select on mf.kept to regress_mf_mailer;
update marketing_automation_internal.outbox o set state = 'sending', attempts = 1, due_at = now(),
    mailer = (select m.id from marketing_automation_internal.mailer m join mf.kept k on k.id = o.id where m.name = 'mf' and k.n = 1)
where o.id in (select id from mf.kept);
set role regress_mf_mailer;
select marketing_automation.mailer_complete(array[k.id], array[1], array['failed'], array['550 5.1.1 no such user'], array[0], array['failed'], array[550],
    array['5.1.1'], array['mf']) as ended from mf.kept k order by k.n;
reset role;
-- As the worker.
select marketing_automation_internal.complete_messages(array[k.id], array[1], array['failed'], array['550 5.1.1 no such user'], array[0]) as ended from mf.kept k where k.n = 2;
set role regress_mf_mailer;
select marketing_automation.mailer_dead_mailboxes(array[k.id]) from mf.kept k where k.n = 2;
select marketing_automation.mailer_dead_mailboxes(array(select k.id from mf.kept k));
reset role;
select k.n, marketing_automation.is_suppressed(k.email) as suppressed from mf.kept k order by k.n;
rollback to another;
-- Whose session has ended loses its claims at the next claim of anybody; whose has not keeps them.
insert into marketing_automation_internal.mailer (name, instance, role, host, version, pid, backend_start, since, seen_at, state)
values ('mf-dead', gen_random_uuid(), 'regress_mf_mailer', 'host', mf.version(), 1, '2000-01-01', now(), now(), 'sending');
update marketing_automation_internal.outbox o set state = 'sending', attempts = 1, due_at = now(),
    mailer = (select m.id from marketing_automation_internal.mailer m where m.name = case o.key when '1' then 'mf-dead' else 'mf' end)
where o.id in (select id from mf.claimed);
set role regress_mf_mailer;
select count(*) from marketing_automation.mailer_claim(10, true);
reset role;
select m.key, m.state, m.attempts, m.smtp_reply from marketing_automation.message m join mf.claimed c on c.id = m.id order by m.key;
select m.name, m.pid is null as is_over from marketing_automation_internal.mailer m where m.name like 'mf%' order by 1;
-- Connections are shared by all whose sessions are there, in this order; who has just come waits.
insert into marketing_automation_internal.mailer (name, instance, role, host, version, pid, backend_start, since, seen_at, state)
values ('mf-other', gen_random_uuid(), 'regress_mf_mailer', 'host', mf.version(), 1, '2000-01-01', now() - interval '1 hour', now(), 'sending');
create function mf.share() returns table (name text, senders integer, place integer) language sql as $$
    select m.name, k.senders - w.workers, k.place - w.workers
    from marketing_automation_internal.mailer m cross join lateral marketing_automation_internal.mailer_share(m.id) k,
        (select count(*)::integer as workers from marketing_automation.worker_status() s
            where s.database = current_database() and s.state <> 'unconfigured' and marketing_automation_internal.worker_is_at_work()) w
    where m.name in ('mf', 'mf-other') order by 1
$$;
update marketing_automation_internal.mailer m set since = now() + interval '30 seconds' where m.name = 'mf';
select * from mf.share();
-- Not who comes from the future, as the clock was set back.
update marketing_automation_internal.mailer m set since = now() + interval '1 hour' where m.name = 'mf';
select * from mf.share();
-- One that lacks a setting is no sender, and arrives when it has it.
update marketing_automation_internal.mailer m set state = 'unconfigured' where m.name = 'mf-other';
select * from mf.share();
update marketing_automation_internal.mailer m set state = 'unconfigured', since = now() - interval '1 hour' where m.name = 'mf';
set role regress_mf_mailer;
select marketing_automation.mailer_report('idle', null, 0, 0, 0);
reset role;
select m.name as arrives from marketing_automation_internal.mailer m where m.name = 'mf' and m.since > now() - interval '1 minute';
update marketing_automation_internal.mailer m set state = 'sending' where m.name = 'mf-other';
update marketing_automation_internal.mailer m set since = now() - interval '1 minute' where m.name = 'mf';
select * from mf.share();
delete from marketing_automation_internal.mailer m where m.name = 'mf-other';
-- A mailer that registers again has in hand what it says; the rest comes back untried.
update marketing_automation_internal.outbox o set state = 'sending', attempts = 4, mailer = (select m.id from marketing_automation_internal.mailer m where m.name = 'mf')
where o.id in (select id from mf.claimed);
set role regress_mf_mailer;
select marketing_automation.mailer_register('mf', '11111111-1111-1111-1111-111111111111', 'host', mf.version(), array(select id from mf.claimed order by email limit 1));
reset role;
select m.key, m.state, m.attempts from marketing_automation.message m join mf.claimed c on c.id = m.id order by m.key;
-- The database's version changes under it: what it has may end, nothing else begins.
update pg_extension set extversion = '99.0.0' where extname = 'marketing_automation';
set role regress_mf_mailer;
select mf.say('claim(1, true)'), mf.say('settings()'), mf.say('rescue()');
select mf.say('revoked(array[-1::bigint], array[1])'), mf.say($$report('outdated', null, 0, 0, 0)$$),
    mf.say($$complete(array[-1::bigint], array[1], array['sent'], array['x'], array[0], array['sent'], array[250], array[null], array['mf'])$$);
reset role;
rollback;

-- It leaves.
set role regress_mf_mailer;
select mf.say('unregister()'), mf.say('claim(1, true)');
reset role;
select count(*) from marketing_automation_internal.mailer m where m.name like 'mf%';
delete from marketing_automation.link where url = 'https://mf.example/';
set client_min_messages = warning;
drop schema mf cascade;
drop owned by regress_mf_nobody, regress_mf_mailer;
drop role regress_mf_nobody, regress_mf_mailer;
