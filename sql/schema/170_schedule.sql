-- pg_cron, where it is installed, drives enrolling and processing. It is no dependency: it may live in another database or not at all.

create function marketing_automation.job_name(job text) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select format('marketing_automation %s %s', job, current_database())
$$;
comment on function marketing_automation.job_name(text) is 'API: private. Name of the current database''s job in pg_cron';

create function marketing_automation.require_pg_cron(instead text) returns void
-- The setting is not everybody's to read.
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    home text := current_setting('cron.database_name', true);
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
                       'Or let any other scheduler call marketing_automation.enroll() and marketing_automation.process_all_due().'
                  else 'Run CREATE EXTENSION pg_cron.' end;
end $$;
comment on function marketing_automation.require_pg_cron(text) is 'API: private. Raises unless pg_cron is in this database; the hint says what to do instead';

create function marketing_automation.schedule_jobs(enroll text default '* * * * *', process text default '* * * * *')
returns table (job text, schedule text, command text)
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    jobs text[] := array[['enroll', enroll, 'select * from marketing_automation.enroll()'],
                         ['process', process, 'call marketing_automation.process_all_due()']];
begin
    perform marketing_automation.require_pg_cron((
        select string_agg(format('select cron.schedule_in_database(%L, %L, %L, %L);',
                                 marketing_automation.job_name(jobs[i][1]), jobs[i][2], jobs[i][3], current_database()), E'\n' order by i)
        from generate_subscripts(jobs, 1) i));
    for i in 1 .. 2 loop
        job := marketing_automation.job_name(jobs[i][1]);
        schedule := jobs[i][2];
        command := jobs[i][3];
        perform cron.schedule(job, schedule, command);
        return next;
    end loop;
end $$;
comment on function marketing_automation.schedule_jobs(text, text) is
    'API: public. Creates or replaces the two pg_cron jobs of this database, run as the current user. enroll, process: cron schedules. Without pg_cron here, the error says what to run where';

create function marketing_automation.unschedule_jobs() returns integer
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    removed integer;
begin
    perform marketing_automation.require_pg_cron((
        select string_agg(format('select cron.unschedule(%L);', marketing_automation.job_name(j)), E'\n') from unnest(array['enroll', 'process']) j));
    select count(cron.unschedule(c.jobid)) into removed
    from cron.job c
    where c.jobname in (marketing_automation.job_name('enroll'), marketing_automation.job_name('process'))
      and c.username = current_user;
    return removed;
end $$;
comment on function marketing_automation.unschedule_jobs() is 'API: public. Removes the current user''s two pg_cron jobs of this database and returns how many there were';
