-- Files that mails take along. A query of the activity gives them for each row, as its scenario's owner, when the mail is made; until it has
-- left they are kept beside the outbox, a content that many mails have once.

create function marketing_automation_internal.files_query(activity marketing_automation.activity, model marketing_automation.model,
    keeps_content boolean) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    -- Of too many files one more than there may be, and of too large ones their size alone: see src/mail/attachment.rs. Where the query gives
    -- no cid, that name finds the one of the row beside it.
    select format(E'select %s, f.place, f.name, f.type, f.cid, f.size, f.content from %s as self%s left join lateral (
        select row_number() over () as place, left(a.name::text, 1000) as name, left(a.type::text, 300) as type, left(a.cid::text, 300) as cid,
            octet_length(a.content)::bigint as size,
            %s as content
        from (
            select b.name, b.type, b.content, (select cid from (select b.*) as c) as cid
            from (\n%s\n) as b cross join (select null::text as cid) as d limit 21) as a) as f on true where %s',
        marketing_automation_internal.as_key(model.key, model.key_type), model.relation,
        case when marketing_automation_internal.mentions_results(activity.attachments)
            then ' cross join lateral ' || marketing_automation_internal.results_of_row(model.key, model.key_type) else '' end,
        case when keeps_content then 'case when sum(octet_length(a.content)) over (rows unbounded preceding) <= 10485760 then a.content end'
            else 'null::bytea' end,
        activity.attachments, marketing_automation_internal.key_condition(model.relation, model.key, model.key_type))
$$;
comment on function marketing_automation_internal.files_query(marketing_automation.activity, marketing_automation.model, boolean) is
    'API: private. Query, to run as the scenario''s owner, that gives the files of the rows whose keys are in $1, those of each in their order; $2: '
    'results of calls by key, if it reads any; '
    'of a row without files one row without a place. keeps_content: with their contents, where a mail can take them';

create function marketing_automation_internal.store_files(activity marketing_automation.activity, scenario marketing_automation.scenario,
    model marketing_automation.model, mails bigint[]) returns void
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set jit = off set random_page_cost = 1
-- A session that has kept a new content and stays open: others try theirs again.
set lock_timeout = '1s' as $$
declare
    answered integer;
    contents bytea[];
begin
    with mail as materialized (
        select o.id, o.key, o.record_id from unnest(mails) as u (id) join marketing_automation_internal.outbox o on o.id = u.id
    ), asked as materialized (
        select q.* from marketing_automation_internal.query_with_results(scenario.owner_id, model.relation,
            marketing_automation_internal.files_query(activity, model, true), array(select distinct m.key from mail m),
            case when marketing_automation_internal.mentions_results(activity.attachments) then (
                -- Of a test there is no record.
                select jsonb_object_agg(m.key, case when m.record_id is null then marketing_automation_internal.results_of_key(scenario.id, m.key)
                    else marketing_automation_internal.results_of(m.record_id) end) from mail m) end)
            as q (key text, place bigint, name text, type text, cid text, size bigint, content bytea)
    ), found as materialized (
        select a.*, sha256(a.content) as digest from asked a
    ), kept as (
        -- In order, as another session may keep the same.
        insert into marketing_automation_internal.file_content (digest, content)
        select k.digest, k.content from (select distinct on (f.digest) f.digest, f.content from found f where f.digest is not null order by f.digest) k
        on conflict do nothing
    ), listed as (
        insert into marketing_automation_internal.outbox_file (message_id, place, name, type, cid, size, digest)
        select m.id, f.place, f.name, f.type, f.cid, f.size, f.digest from mail m join found f on f.key = m.key where f.place is not null
    )
    select count(distinct m.id), array(select distinct f.digest from found f where f.digest is not null order by 1)
    into answered, contents
    from mail m where exists (select from asked a where a.key = m.key);
    if answered < cardinality(mails) then
        raise exception 'its row was gone when its attachments were asked for' using errcode = 'no_data_found';
    end if;
    -- What was there already may have been dropped with the last mail that had it; from here on it may not: see drop_contents().
    perform from marketing_automation_internal.file_content c where c.digest = any (contents) for key share;
    get diagnostics answered = row_count;
    if answered < cardinality(contents) then
        raise exception 'the content of an attachment was dropped while it was kept for another mail' using errcode = 'serialization_failure',
            hint = 'It is tried again.';
    end if;
end $$;
comment on function marketing_automation_internal.store_files(marketing_automation.activity, marketing_automation.scenario,
    marketing_automation.model, bigint[]) is
    'API: private. Asks for the files of these mails of the outbox, of one activity, and keeps them';

create function marketing_automation_internal.attach_files(activity_id integer, mails bigint[]) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    -- Together they have 200 MB at most, of which the query's result lies on disk.
    slice constant integer := 20;
    activity marketing_automation.activity;
    scenario marketing_automation.scenario;
    model marketing_automation.model;
begin
    select a.* into activity from marketing_automation.activity a
    where a.id = (select marketing_automation_internal.sending_activity(v) from marketing_automation.activity v where v.id = attach_files.activity_id);
    if activity.attachments is null then
        return;
    end if;
    select s.* into strict scenario from marketing_automation.scenario s where s.id = activity.scenario_id;
    model := marketing_automation_internal.usable_model(scenario);
    for part in 1 .. coalesce(cardinality(mails), 0) by slice loop
        perform marketing_automation_internal.store_files(activity, scenario, model, mails[part:part + slice - 1]);
    end loop;
end $$;
comment on function marketing_automation_internal.attach_files(integer, bigint[]) is
    'API: private. Gives these mails of an activity, or of a variant, which have just come into the outbox, their files. Raises what the query '
    'raises for any of them';

create function marketing_automation_internal.plan_attachments(activity marketing_automation.activity) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    perform marketing_automation_internal.plan_as_owner(s.owner_id, m.relation, marketing_automation_internal.files_query(a, m, true))
    from marketing_automation.activity a
    join marketing_automation.scenario s on s.id = a.scenario_id join marketing_automation.model m on m.name = s.model
    where a.id = marketing_automation_internal.sending_activity(activity) and a.attachments is not null;
end $$;
comment on function marketing_automation_internal.plan_attachments(marketing_automation.activity) is
    'API: private. Raises what is wrong with the query for attachments of an activity, if it has one, which it plans with the rights of its owner';

create function marketing_automation_internal.attach_to_queued(activity_id integer) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    message text;
begin
    perform marketing_automation_internal.attach_files(activity_id, array(
        select o.id from marketing_automation_internal.outbox o
        where o.activity_id = attach_to_queued.activity_id and o.state = 'queued'
          and not exists (select from marketing_automation_internal.outbox_file f where f.message_id = o.id)
        order by o.id));
exception when others then
    if marketing_automation_internal.is_for_the_caller(sqlstate) then
        raise;
    end if;
    get stacked diagnostics message = message_text;
    raise warning 'mails of activity "%" that are queued have no attachments: %',
            (select a.name from marketing_automation.activity a where a.id = attach_to_queued.activity_id),
            marketing_automation_internal.public_error(message, sqlstate)
        using errcode = sqlstate;
end $$;
comment on function marketing_automation_internal.attach_to_queued(integer) is
    'API: private. Gives queued mails of an activity that have no files those of its query, which has changed; a warning says why it cannot';

create function marketing_automation_internal.drop_contents(contents bytea[]) returns void
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set jit = off as $$
declare
    unused bytea[];
begin
    -- Its second statement must see what was committed during the first; else sweep_files() drops them later.
    if current_setting('transaction_isolation') not in ('read committed', 'read uncommitted') then
        return;
    end if;
    -- Who lists one of them holds it until that is committed, and is seen by the statement after this one.
    unused := array(
        select c.digest from marketing_automation_internal.file_content c
        where c.digest = any (contents) and not exists (select from marketing_automation_internal.outbox_file f where f.digest = c.digest)
        order by c.digest for update skip locked);
    delete from marketing_automation_internal.file_content c
    where c.digest = any (unused) and not exists (select from marketing_automation_internal.outbox_file f where f.digest = c.digest);
end $$;
comment on function marketing_automation_internal.drop_contents(bytea[]) is
    'API: private. Drops those of these contents that no mail under way has';

create function marketing_automation_internal.drop_files(mails bigint[]) returns void
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set jit = off as $$
declare
    contents bytea[];
begin
    with dropped as (
        delete from marketing_automation_internal.outbox_file f
        where f.message_id = any (mails) and not exists (select from marketing_automation_internal.outbox o where o.id = f.message_id)
          and not (f.cid is not null and exists (select from marketing_automation_internal.browser_mail v where v.message_id = f.message_id))
        returning f.digest
    )
    select array_agg(distinct d.digest) into contents from dropped d where d.digest is not null;
    perform marketing_automation_internal.drop_contents(contents) where contents is not null;
end $$;
comment on function marketing_automation_internal.drop_files(bigint[]) is
    'API: private. Drops the files of those of these mails that are in the outbox no more, but for pictures of what is shown in a browser';

create function marketing_automation_internal.sweep_files() returns void
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set jit = off set random_page_cost = 1 as $$
declare
    -- So many from anywhere on, and from the beginning: all where there are few, and in the end all where a million mails wait.
    slice constant integer := 5000;
    from_message constant bigint := (
        select min(f.message_id) + floor(random() * (max(f.message_id) - min(f.message_id) + 1))::bigint
        from marketing_automation_internal.outbox_file f);
    from_digest constant bytea := sha256(random()::text::bytea);
    unused bytea[];
begin
    if from_message is not null then
        with looked_at as materialized (
            (select f.message_id, f.place, f.cid from marketing_automation_internal.outbox_file f where f.message_id >= from_message
                order by f.message_id, f.place limit slice)
            union all
            (select f.message_id, f.place, f.cid from marketing_automation_internal.outbox_file f where f.message_id < from_message
                order by f.message_id, f.place limit slice)
        )
        -- What forget() drops at the moment is left to it: a claim waits for nobody.
        delete from marketing_automation_internal.outbox_file f
        where f.ctid = any (array(
            select g.ctid from looked_at l
            join marketing_automation_internal.outbox_file g on g.message_id = l.message_id and g.place = l.place
            where not exists (select from marketing_automation_internal.outbox o where o.id = l.message_id)
              and not (l.cid is not null and exists (
                select from marketing_automation_internal.browser_mail v where v.message_id = l.message_id))
            for update of g skip locked));
    end if;
    unused := array(
        select l.digest from (
            (select c.digest from marketing_automation_internal.file_content c where c.digest >= from_digest order by c.digest limit slice)
            union all
            (select c.digest from marketing_automation_internal.file_content c where c.digest < from_digest order by c.digest limit slice)) l
        where not exists (select from marketing_automation_internal.outbox_file f where f.digest = l.digest));
    perform marketing_automation_internal.drop_contents(unused) where unused <> '{}';
end $$;
comment on function marketing_automation_internal.sweep_files() is
    'API: private. As drop_files(), of all mails, however they have left the outbox; where there are many it looks at some, '
    'others each time';

create function marketing_automation_internal.mail_files(mails bigint[])
    returns table (message_id bigint, name text, type text, cid text, size bigint, digest bytea)
language sql stable rows 100 set search_path = pg_catalog, pg_temp as $$
    select f.message_id, f.name, f.type, f.cid, f.size, f.digest
    from marketing_automation_internal.outbox_file f where f.message_id = any (mails) order by f.message_id, f.place
$$;
comment on function marketing_automation_internal.mail_files(bigint[]) is 'API: private. The files of mails of the outbox, in their order';

create function marketing_automation_internal.file_contents(mails bigint[], digests bytea[])
    returns table (digest bytea, content bytea)
language sql stable rows 100 set search_path = pg_catalog, pg_temp as $$
    select c.digest, c.content from marketing_automation_internal.file_content c
    where c.digest = any (digests) and exists (
        select from marketing_automation_internal.outbox_file f where f.digest = c.digest and f.message_id = any (mails))
$$;
comment on function marketing_automation_internal.file_contents(bigint[], bytea[]) is
    'API: private. Contents of files that these mails of the outbox have';

create function marketing_automation_internal.files_of_row(activity marketing_automation.activity, its_key text)
    returns table (name text, type text, cid text, size bigint)
language plpgsql rows 5 set search_path = pg_catalog, pg_temp as $$
declare
    sending marketing_automation.activity;
    scenario marketing_automation.scenario;
    model marketing_automation.model;
begin
    select a.* into sending from marketing_automation.activity a where a.id = marketing_automation_internal.sending_activity(activity);
    if sending.attachments is null then
        return;
    end if;
    select s.* into strict scenario from marketing_automation.scenario s where s.id = sending.scenario_id;
    model := marketing_automation_internal.usable_model(scenario);
    return query
        select q.name, q.type, q.cid, q.size
        from marketing_automation_internal.query_with_results(scenario.owner_id, model.relation,
            marketing_automation_internal.files_query(sending, model, false), array[its_key],
            case when marketing_automation_internal.mentions_results(sending.attachments)
                then jsonb_build_object(its_key, marketing_automation_internal.results_of_key(scenario.id, its_key)) end)
            as q (key text, place bigint, name text, type text, cid text, size bigint, content bytea)
        where q.place is not null order by q.place;
end $$;
comment on function marketing_automation_internal.files_of_row(marketing_automation.activity, text) is
    'API: private. The files that a mail of an activity, or of a variant, would take along for the row with this key, without their contents';

create function marketing_automation_internal.demand_attachable(activity marketing_automation.activity, its_key text, html text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    fault text;
begin
    -- Without a query nobody minds what the HTML says.
    if (select a.attachments from marketing_automation.activity a
            where a.id = marketing_automation_internal.sending_activity(activity)) is null then
        return;
    end if;
    select marketing_automation_internal.attachment_fault(coalesce(array_agg(f.name), '{}'), coalesce(array_agg(f.type), '{}'),
        coalesce(array_agg(f.cid), '{}'), coalesce(array_agg(f.size), '{}'), html) into fault
    from marketing_automation_internal.files_of_row(activity, its_key) f;
    if fault is not null then
        raise exception 'mail of activity "%" cannot be made', activity.name using errcode = 'invalid_parameter_value', detail = fault,
            hint = format('update marketing_automation.activity set attachments = … where name = %L;', activity.name);
    end if;
end $$;
comment on function marketing_automation_internal.demand_attachable(marketing_automation.activity, text, text) is
    'API: private. Raises unless the mail of an activity with this HTML can take along the files of the row with this key';
