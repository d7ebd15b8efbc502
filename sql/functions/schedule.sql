-- pg_cron, where it is installed, drives enrolling and processing. It is no dependency: it may live in another database or not at all.
-- Jobs belong to who calls, so these are functions of the invoker.

create function marketing_automation.require_pg_cron(instead text) returns void
-- The setting is not everybody's to read.
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    -- Not current_setting(), which raises where the owner of the extension is no superuser any more.
    home text := (select s.setting from pg_settings s where s.name = 'cron.database_name');
begin
    if exists (select from pg_extension where extname = 'pg_cron') then
        return;
    end if;
    if home <> current_database() then
        raise exception 'pg_cron is not in this database'
            using errcode = 'object_not_in_prerequisite_state',
                  detail = format('The setting cron.database_name says that it lives in "%s".', home),
                  hint = format(E'Connect to that database and run:\n%s', instead);
    end if;
    raise exception 'pg_cron is not installed'
        using errcode = 'object_not_in_prerequisite_state',
              hint = case when home is null
                  then 'Add pg_cron to shared_preload_libraries, set cron.database_name, restart, and run CREATE EXTENSION pg_cron. '
                       'Or let any other scheduler call marketing_automation.enroll_all() and marketing_automation.process_all_due().'
                  else 'Run CREATE EXTENSION pg_cron.' end;
end $$;
comment on function marketing_automation.require_pg_cron(text) is
    'API: public. Raises unless pg_cron is in this database. instead: statements for the hint, to run in the database where it is';

create function marketing_automation.schedule_jobs(enroll text default '* * * * *', process text default '* * * * *')
returns table (job text, schedule text, command text)
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    -- A job outlives the extension, of which it is no part.
    guarded constant text := 'do $do$ begin if exists (select from pg_extension where extname = ''marketing_automation'') then %s; '
        'elsif to_regclass(''cron.job'') is not null then perform cron.unschedule(%L); end if; end $do$';
    names text[] := array[format('marketing_automation enroll %s', current_database()),
        format('marketing_automation process %s', current_database())];
    jobs text[] := array[
        [names[1], enroll, format(guarded, 'call marketing_automation.enroll_all()', names[1])],
        [names[2], process, format(guarded, 'call marketing_automation.process_all_due()', names[2])]];
begin
    perform marketing_automation.require_pg_cron((
        select string_agg(format('select cron.schedule_in_database(%L, %L, %L, %L);', jobs[i][1], jobs[i][2], jobs[i][3],
            current_database()), E'\n' order by i)
        from generate_subscripts(jobs, 1) i));
    for i in 1 .. 2 loop
        job := jobs[i][1];
        schedule := jobs[i][2];
        command := jobs[i][3];
        perform cron.schedule(job, schedule, command);
        return next;
    end loop;
end $$;
comment on function marketing_automation.schedule_jobs(text, text) is
    'API: public. Creates or replaces the two pg_cron jobs of this database, run as the current user. enroll, process: cron '
    'schedules. Without pg_cron here, the error says what to run where';

create function marketing_automation.unschedule_jobs() returns integer
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    jobs text[] := array[format('marketing_automation enroll %s', current_database()),
        format('marketing_automation process %s', current_database())];
begin
    perform marketing_automation.require_pg_cron((select string_agg(format('select cron.unschedule(%L);', j), E'\n') from unnest(jobs) j));
    return (select count(cron.unschedule(c.jobid)) from cron.job c where c.jobname = any (jobs) and c.username = current_user);
end $$;
comment on function marketing_automation.unschedule_jobs() is
    'API: public. Removes the current user''s two pg_cron jobs of this database and returns how many there were';
