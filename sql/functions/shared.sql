-- Small functions that many others use, and defaults of tables: this file runs before the tables are made.

create function marketing_automation_internal.counter_period(at timestamptz) returns timestamptz
language sql immutable parallel safe
return date_bin('15 minutes', at, '2000-01-01 00:00+00');
comment on function marketing_automation_internal.counter_period(timestamptz) is
    'API: private. Beginning of the period in which a moment is counted';

create function marketing_automation_internal.log_bucket(at timestamptz) returns smallint
language sql immutable
-- Of a timestamp, as a planner takes only what is immutable itself into a statement.
return (floor(extract(epoch from at at time zone 'UTC') / (30 * 86400)) % 40)::smallint;
comment on function marketing_automation_internal.log_bucket(timestamptz) is
    'API: private. Partition of message_log, 0 to 39: each takes what ends in 30 days, and again after 1200 days';

create function marketing_automation_internal.lower_case(value text) returns text
language sql immutable strict parallel safe
return lower(lower(value collate "C") collate "default");
comment on function marketing_automation_internal.lower_case(text) is
    'API: private. A text in lower case, I as i in every locale: in Turkish it would be another letter, and one address two';

create function marketing_automation_internal.is_restoring() returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
    -- is_superuser follows SET ROLE, and no SECURITY DEFINER function. Files that pg_dump wrote are not only restored but also
    -- played before a migration: what is loaded from a dump is written by COPY or INSERT itself, and by no function.
    select not current_setting('check_function_bodies')::boolean and current_setting('is_superuser')::boolean
        and current_query() ~* '^\s*(copy|insert\s+into)\s+"?marketing_automation'
$$;
comment on function marketing_automation_internal.is_restoring() is
    'API: private. Whether a superuser loads a dump: pg_dump turns check_function_bodies off, as functions and rows may come before '
    'what they need, and writes COPY or INSERT. Nothing is compiled or looked up then; what is missing shows when it runs';

create function marketing_automation_internal.check_value(value text, valid text[], what text, whose text, otherwise text default null)
    returns void
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    if value <> all (valid) then
        raise exception '% "%" of % does not exist', what, value, whose
            using errcode = 'check_violation',
                  hint = concat_ws(' ', marketing_automation_internal.name_hint(value, valid),
                      format('It is %s%s.', array_to_string(valid, ', '), coalesce('; ' || otherwise, '')));
    end if;
end $$;
comment on function marketing_automation_internal.check_value(text, text[], text, text, text) is
    'API: private. Raises, with all that are valid, unless a value is one of them or null. otherwise: what null means';

create function marketing_automation_internal.check_language(language text, whose text) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    if language !~ '^[A-Za-z]{2,3}([_-][A-Za-z0-9]{2,8})*$' then
        raise exception 'language "%" of % is no language tag', language, whose
            using errcode = 'check_violation', hint = 'Write a BCP 47 or POSIX tag: fr, fr-CA, fr_CA.';
    end if;
end $$;
comment on function marketing_automation_internal.check_language(text, text) is 'API: private. Raises unless a language is a tag';

create function marketing_automation_internal.as_text(expression text) returns text
language sql immutable
-- The line break ends a comment inside the expression.
return case when expression is null then 'null::text' else '(' || expression || E'\n)::text' end;
comment on function marketing_automation_internal.as_text(text) is
    'API: private. A checked user expression, ready to stand in a query, cast to text';

create function marketing_automation_internal.as_short_text(expression text) returns text
language sql immutable
return 'left(' || marketing_automation_internal.as_text(expression) || ', 1001)';
comment on function marketing_automation_internal.as_short_text(text) is
    'API: private. As as_text(), of which whoever reads it keeps no more than shows that it has more than 1,000 characters';

create function marketing_automation_internal.as_condition(expression text) returns text
language sql immutable
return case when expression is null then 'true' else '(' || expression || E'\n) is true' end;
comment on function marketing_automation_internal.as_condition(text) is
    'API: private. A checked boolean user expression, ready to stand in a query; null holds always';

create function marketing_automation_internal.is_broken_definition(code text) returns boolean
language sql immutable
-- Syntax error or access rule violation, but for missing rights (PostgreSQL, appendix A): a name that is gone, a type that changed.
return left(code, 2) = '42' and code <> '42501';
comment on function marketing_automation_internal.is_broken_definition(text) is
    'API: private. Whether an SQLSTATE means that an expression does not fit its relation any more';

create function marketing_automation_internal.may_quote(message text, code text) returns boolean
language sql immutable
-- Errors that pass, limits and missing rights name objects, and what is wrong with a definition names columns and types. But class 42 is also what a
-- value raises that names a relation, or a role, that does not exist: those do not begin with what is wrong. And of class 55, what functions of a shop
-- say is no state for that, as in "order 7 of ann@shop.example is shipped".
return case
    when left(code, 2) in ('40', '53', '57', '58') or code in ('42501', '55P03') then false
    when left(code, 2) = '42' then message !~ '^((\w+ )+of (model|scenario|activity)|model|role) "'
    else true
end;
comment on function marketing_automation_internal.may_quote(text, text) is
    'API: private. Whether an error that a user expression has raised may hold values of a row';

create function marketing_automation_internal.public_error(message text, code text) returns text
language sql immutable
return case
    when not marketing_automation_internal.may_quote(message, code) then message
    when message is not null then 'its text may quote the row, and is for who may read that'
end;
comment on function marketing_automation_internal.public_error(text, text) is
    'API: private. What everybody may see of an error that a user expression has raised: its message, unless that may hold values';

create function marketing_automation_internal.opposite_event(event text) returns text
language sql immutable
return case event
    when 'email_opened' then 'email_not_opened' when 'email_not_opened' then 'email_opened'
    when 'email_clicked' then 'email_not_clicked' when 'email_not_clicked' then 'email_clicked'
    when 'email_bounced' then 'email_not_bounced' when 'email_not_bounced' then 'email_bounced'
end;
comment on function marketing_automation_internal.opposite_event(text) is 'API: private. email_opened for email_not_opened and so on';

create function marketing_automation_internal.emitting_action(event text) returns text
language sql immutable
return case when event = 'call_failed' then 'call' when event like 'webhook\_%' then 'webhook' when event like 'email\_%' then 'send_email' end;
comment on function marketing_automation_internal.emitting_action(text) is
    'API: private. The action of the activities that emit an event; null: those of any action do';

create function marketing_automation_internal.state_of(outcome text) returns text
language sql immutable
return case
    when outcome in ('opposite_executed', 'event_arrived', 'blocked', 'goal_reached', 'exited', 'entered_again', 'no_date') then 'cancelled'
    when outcome = 'error' then 'failed'
    else 'done' end;
comment on function marketing_automation_internal.state_of(text) is
    'API: private. The state of an activity that has ended so: done, cancelled or failed';

create function marketing_automation_internal.is_passing_error(code text) returns boolean
language sql immutable
-- Transaction rollback, resources, system errors, lock not available (PostgreSQL, appendix A): not the fault of a row,
-- trying again later can help.
return left(code, 2) in ('40', '53', '58') or code = '55P03';
comment on function marketing_automation_internal.is_passing_error(text) is
    'API: private. Whether trying again later can help, judged by SQLSTATE';

create function marketing_automation_internal.is_for_the_caller(code text) returns boolean
language sql stable
-- Serialization failure: only another transaction has another snapshot. A deadlock is as good as that where clients try again anyway. Where
-- each statement has a snapshot of its own, nobody but a function of the shop, or another server, can have raised it: that waits for its next turn.
return code in ('40001', '40P01') and current_setting('transaction_isolation') <> 'read committed';
comment on function marketing_automation_internal.is_for_the_caller(text) is
    'API: private. Whether an error, judged by SQLSTATE, is to be raised and not kept, since it ends when the caller begins a new '
    'transaction';
