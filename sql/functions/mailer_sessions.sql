-- Mailers as sessions: a marketing-mailer registers, has its share of the connections, and is missed when its session has ended.

create function marketing_automation_internal.has_ended(pid integer, backend_start timestamptz) returns boolean
language sql volatile set search_path = pg_catalog, pg_temp as $$
    -- A standby knows of no session of its primary.
    select not pg_is_in_recovery()
        and not exists (select from pg_stat_get_activity(has_ended.pid) a where a.backend_start = has_ended.backend_start)
$$;
comment on function marketing_automation_internal.has_ended(integer, timestamptz) is
    'API: private. Whether a session is over: then its transaction is too. Known at once, and nobody else can have this pid and start';

create function marketing_automation_internal.worker_is_at_work() returns boolean
language sql volatile set search_path = pg_catalog, pg_temp as $$
    select exists (
        select from pg_stat_get_activity(null) a join pg_database d on d.oid = a.datid and d.datname = current_database()
        where a.backend_type = 'marketing_automation mailer')
$$;
comment on function marketing_automation_internal.worker_is_at_work() is 'API: private. Whether the worker in the server sends for this database';

create function marketing_automation_internal.rescue_orphans() returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    -- One that has not said a word for a minute, though it must every ten seconds, is cut off in a way that the server does not notice.
    if exists (select from marketing_automation_internal.mailer m where m.pid is not null
               and m.seen_at < statement_timestamp() - interval '40 seconds') then
        -- It is given time from the moment on at which that is noticed: where the clock was set forward, everybody looks silent.
        update marketing_automation_internal.mailer m set suspected_at = statement_timestamp()
        from (select s.id from marketing_automation_internal.mailer s
              where s.pid <> pg_backend_pid() and s.seen_at < statement_timestamp() - interval '40 seconds'
                and (s.suspected_at between s.seen_at and statement_timestamp()) is not true
              for update skip locked) silent
        where m.id = silent.id;
        perform pg_terminate_backend(m.pid) from marketing_automation_internal.mailer m
        where m.pid <> pg_backend_pid() and m.seen_at < statement_timestamp() - interval '1 minute'
          and m.suspected_at between m.seen_at and statement_timestamp() - interval '20 seconds'
          and not marketing_automation_internal.has_ended(m.pid, m.backend_start);
    end if;
    if exists (select from marketing_automation_internal.mailer m
               where m.pid is not null and marketing_automation_internal.has_ended(m.pid, m.backend_start)) then
        perform marketing_automation_internal.rescue_messages(marketing_automation_internal.setting('in_doubt') = 'hold', spare_worker => true);
        update marketing_automation_internal.mailer m set pid = null
        where m.pid is not null and marketing_automation_internal.has_ended(m.pid, m.backend_start);
    end if;
end $$;
comment on function marketing_automation_internal.rescue_orphans() is
    'API: private. Takes back the claims of mailers whose sessions have ended, and ends those of silent ones; part of each claim, so at '
    'once while anybody sends';

create function marketing_automation_internal.extension_version() returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select e.extversion from pg_extension e where e.extname = 'marketing_automation'
$$;
comment on function marketing_automation_internal.extension_version() is 'API: private. The version of the SQL';

create function marketing_automation_internal.demand_version(mailer_version text) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    installed text := marketing_automation_internal.extension_version();
begin
    if mailer_version is distinct from installed then
        raise exception 'the extension is %, this mailer %', installed, mailer_version
            using errcode = 'object_not_in_prerequisite_state',
                  hint = 'Run ALTER EXTENSION marketing_automation UPDATE where the extension is older, or install the mailer of its version.';
    end if;
end $$;
comment on function marketing_automation_internal.demand_version(text) is 'API: private. Raises unless a mailer is of the version of the SQL';

create function marketing_automation_internal.demand_input(is_good boolean, rule text) returns void
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    if is_good is not true then
        raise exception '%', rule using errcode = 'invalid_parameter_value';
    end if;
end $$;
comment on function marketing_automation_internal.demand_input(boolean, text) is
    'API: private. Raises the rule unless what a mailer has said keeps to it; what is unknown does not';

create function marketing_automation_internal.mailer_share(me integer, out senders integer, out place integer)
language sql volatile set search_path = pg_catalog, pg_temp as $$
    with sender as materialized (
        -- The worker is the first of all. Who lacks a setting sends nothing.
        select 0 as id where marketing_automation_internal.worker_is_at_work() and not exists (
            select from marketing_automation.worker_status() w where w.database = current_database() and w.state = 'unconfigured')
        union all
        select m.id from marketing_automation_internal.mailer m where m.pid is not null and (m.state <> 'unconfigured' or m.id = me)
    )
    select count(*)::integer, case
            when count(*) = 1 or (
                -- One that came in the future, as the clock was set back meanwhile, has not just come.
                select m.since not between statement_timestamp() - interval '2 seconds' and statement_timestamp() + interval '1 minute'
                from marketing_automation_internal.mailer m where m.id = me)
            then (count(*) filter (where s.id < me))::integer end
    from sender s
$$;
comment on function marketing_automation_internal.mailer_share(integer) is
    'API: private. How many processes send, and which place a mailer has among them, from 0 on, by which the connections of servers are '
    'shared; null: it has just come, and waits until the others, who look every second, have given up what is not theirs any more';

create function marketing_automation_internal.this_mailer(to_claim boolean default false) returns integer
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    its_id integer;
    its_version text;
begin
    select m.id, m.version into its_id, its_version
    from marketing_automation_internal.mailer m
    join pg_stat_get_activity(pg_backend_pid()) a on a.backend_start = m.backend_start
    where m.pid = pg_backend_pid();
    if its_id is null then
        raise exception 'this session has not registered as a mailer'
            using errcode = 'object_not_in_prerequisite_state',
                  detail = 'A mailer is known by its session, so that its claims are taken back when that ends.',
                  hint = 'Connect marketing-mailer to the server itself: a pooler gives each transaction another session.';
    end if;
    if to_claim then
        perform marketing_automation_internal.demand_version(its_version);
    end if;
    return its_id;
end $$;
comment on function marketing_automation_internal.this_mailer(boolean) is
    'API: private. The mailer that this session is. to_claim: it must be of the version of the SQL; to end what it has it need not';

create function marketing_automation.mailer_register(name text, instance uuid, host text, version text, in_hand bigint[] default '{}')
    returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    known marketing_automation_internal.mailer;
    started timestamptz := (select a.backend_start from pg_stat_get_activity(pg_backend_pid()) a);
    another text;
begin
    perform marketing_automation_internal.demand_version(mailer_register.version);
    if (mailer_register.name ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$') is not true then
        raise exception 'a mailer cannot be named "%"', mailer_register.name
            using errcode = 'invalid_parameter_value', hint = 'Use up to 63 letters, digits, dots, underscores and hyphens: --name';
    end if;
    perform marketing_automation_internal.demand_input(mailer_register.instance is not null and mailer_register.host is not null
        and in_hand is not null and array_position(in_hand, null) is null, 'a mailer says its instance, its host and what it has in hand');
    select m.name into another from marketing_automation_internal.mailer m
    where m.pid = pg_backend_pid() and m.backend_start = started and m.name <> mailer_register.name;
    if another is not null then
        raise exception 'this session is mailer "%" already', another
            using errcode = 'object_not_in_prerequisite_state', hint = 'One session is one mailer: connect once more for another.';
    end if;
    insert into marketing_automation_internal.mailer (name, instance, role, host, version, since, seen_at, state)
    values (mailer_register.name, mailer_register.instance, session_user, mailer_register.host, mailer_register.version,
        statement_timestamp(), statement_timestamp(), 'starting')
    on conflict on constraint mailer_name_key do nothing;
    -- Two that come at once: the second waits here.
    select * into known from marketing_automation_internal.mailer m where m.name = mailer_register.name for update;
    if known.pid <> pg_backend_pid() and not marketing_automation_internal.has_ended(known.pid, known.backend_start) then
        if known.instance = mailer_register.instance then
            -- Its own former session, which has not noticed yet that the network was cut.
            perform pg_terminate_backend(known.pid, 3000);
            perform pg_stat_clear_snapshot();
        end if;
        if not marketing_automation_internal.has_ended(known.pid, known.backend_start) then
            raise exception 'mailer "%" is at work already, on %', known.name, known.host
                using errcode = 'object_in_use', detail = format('It has been since %s, as role %s.', known.since, known.role),
                      hint = 'Give each mailer a name of its own: --name';
        end if;
    end if;
    if known.instance = mailer_register.instance then
        -- What was claimed for it and did not reach it: nothing of that has left.
        with given_back as (
            update marketing_automation_internal.outbox o set state = 'queued', attempts = o.attempts - 1
            where o.mailer = known.id and o.state = 'sending' and o.id <> all (in_hand)
            returning o.id, o.attempts + 1 as attempt
        )
        delete from marketing_automation_internal.capped_mail m using given_back g where m.message_id = g.id and m.attempt = g.attempt;
    end if;
    update marketing_automation_internal.mailer m
    set (instance, role, host, version, pid, backend_start, seen_at, state)
        = (mailer_register.instance, session_user, mailer_register.host, mailer_register.version, pg_backend_pid(), started,
           statement_timestamp(), 'starting'),
        (since, sent, failed, retried, last_error, last_error_at)
        = (select n.* from (values (m.since, m.sent, m.failed, m.retried, m.last_error, m.last_error_at)) as n
           where m.instance = mailer_register.instance
           union all
           select statement_timestamp(), 0, 0, 0, null, null where m.instance <> mailer_register.instance)
    where m.id = known.id;
    -- The worker, if it is idle: it has connections to give up.
    perform marketing_automation_internal.notify_mailer();
    delete from marketing_automation_internal.mailer m
    where m.pid is null and m.seen_at < statement_timestamp() - interval '7 days' and m.id <> known.id;
end $$;
comment on function marketing_automation.mailer_register(text, uuid, text, text, bigint[]) is
    'API: mailer. Makes this session the mailer of that name, which no other may be. instance: its process, whose former session is '
    'ended; in_hand: what that process has claimed and not completed, anything else is given back';

create function marketing_automation.mailer_unregister() returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    me integer := marketing_automation_internal.this_mailer();
begin
    delete from marketing_automation_internal.mailer m
    where m.id = me and not exists (select from marketing_automation_internal.outbox o where o.state = 'sending' and o.mailer = m.id);
end $$;
comment on function marketing_automation.mailer_unregister() is 'API: mailer. Leaves without a trace, for who has only tried: --check';
