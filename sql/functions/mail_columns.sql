-- What a mail takes along of its row: the columns that its templates use. Others are neither asked for, so that rights on columns
-- are enough, nor kept in the log.

create function marketing_automation_internal.mail_texts(activity marketing_automation.activity) returns text[]
language plpgsql stable set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan as $$
begin
    -- Of all variants: which one a mail is may change until it is queued.
    return (
        select array(
            select p.text from (select activity.id union all select v.id from marketing_automation_internal.variants(activity.id) v) u
            cross join lateral marketing_automation_internal.template_texts(u.id) t
            cross join lateral (
                values (t.sender), (t.subject), (t.body), (t.reply_to), (t.preheader), (t.text)
                union all select h.value from jsonb_each_text(t.headers) h) p (text)
            where p.text is not null)) || array_remove(array[activity.url], null);
end $$;
comment on function marketing_automation_internal.mail_texts(marketing_automation.activity) is
    'API: private. The templates of an activity, of its variants, and of their translations';

create function marketing_automation_internal.mail_columns(activity_id integer) returns text[]
language plpgsql stable set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan as $$
begin
    return (
        select array_agg(c.attname::text order by c.attnum)
        from marketing_automation.activity a
        join marketing_automation.scenario s on s.id = a.scenario_id
        join marketing_automation.model m on m.name = s.model
        cross join lateral (
            select marketing_automation_internal.used_columns(marketing_automation_internal.mail_texts(a)) as names) used
        join pg_attribute c on c.attrelid = m.relation and c.attnum > 0 and not c.attisdropped
            -- A webhook without a body takes the row along.
            and (used.names is null or c.attname = any (used.names) or a.action = 'webhook' and a.body is null)
        where a.action in ('send_email', 'webhook') and a.id = (
            select marketing_automation_internal.sending_activity(v) from marketing_automation.activity v where v.id = mail_columns.activity_id));
end $$;
comment on function marketing_automation_internal.mail_columns(integer) is
    'API: private. Columns of the model''s relation that templates of an activity, or of the one of which it is a variant, its variants, their '
    'translations and snippets use; null: none';

create function marketing_automation_internal.as_record(relation regclass, columns text[]) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan as $$
begin
    -- Sizes are looked at first: they are known without reading a value that is stored apart. Of texts that is the number of bytes, of
    -- other types what is stored, up to four times as much as their JSON. offset 0: a view's column is computed once.
    return (
    select coalesce('(select case when false then null ' || string_agg(
            -- Nothing to look at is still a part: string_agg() of nulls alone is null.
            case when c.attlen <> -1 then '' else format($size$when %1$s > %2$s then to_jsonb(format(%3$L, %1$s)) $size$, z.size, z.most,
                format('column "%s" has %%s bytes: a mail takes 64 KB of its row', replace(u.name, '%', '%%'))) end, '' order by u.n)
        || $json$else (
            select case when pg_column_size(r.json) > 32768 and octet_length(r.json::text) > 65536
                then to_jsonb(format('its columns have %s bytes together: a mail takes 64 KB of its row', octet_length(r.json::text)))
                else r.json end
            from (select to_jsonb(c.*) as json offset 0) as r) end from (select $json$
        || string_agg(format('self.%I', u.name), ', ' order by u.n) || ' offset 0) as c)',
        '''{}''::jsonb')
    from unnest(columns) with ordinality as u (name, n)
    join pg_attribute c on c.attrelid = relation and c.attname = u.name
    join pg_type t on t.oid = c.atttypid
    cross join lateral (
        select format('octet_length(c.%I)', u.name) as size, 65536 as most
        where coalesce(nullif(t.typbasetype, 0), t.oid) in ('text'::regtype, 'varchar'::regtype, 'bpchar'::regtype, 'bytea'::regtype)
        union all
        select format('pg_column_size(c.%I)', u.name), 262144
        limit 1) as z);
end $$;
comment on function marketing_automation_internal.as_record(regclass, text[]) is
    'API: private. Expression over self, ready to stand in a query, for these columns of the row as JSON: what templates see as record. A '
    'JSON string, and no object, says that they are too large for a mail, which mails of others must not pay for';

create function marketing_automation_internal.check_mail_columns(scenario marketing_automation.scenario, activity_id integer) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    model marketing_automation.model := marketing_automation_internal.usable_model(scenario);
    columns text[] := marketing_automation_internal.mail_columns(activity_id);
    hidden text;
begin
    perform marketing_automation_internal.plan_as_owner(scenario.owner_id, model.relation, format('select %s from %s as self',
        marketing_automation_internal.as_record(model.relation, columns), model.relation));
exception when insufficient_privilege then
    select string_agg(quote_ident(u.name), ', ' order by u.n) into hidden from unnest(columns) with ordinality as u (name, n)
    where not has_column_privilege(scenario.owner_id, model.relation, u.name, 'SELECT');
    if hidden is null then
        raise;
    end if;
    raise exception 'mails of activity "%" use columns that role % may not read: %',
            (select a.name from marketing_automation.activity a where a.id = activity_id), scenario.owner, hidden
        using errcode = 'insufficient_privilege',
              hint = format('grant select (%s) on %s to %I;', hidden, model.relation, scenario.owner);
end $$;
comment on function marketing_automation_internal.check_mail_columns(marketing_automation.scenario, integer) is
    'API: private. Raises if the scenario''s owner may not read what mails of an activity take along';

create function marketing_automation_internal.complete_contexts(activities integer[]) returns void
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set jit = off as $$
declare
    activity marketing_automation.activity;
    scenario marketing_automation.scenario;
    model marketing_automation.model;
    columns text[];
    keys text[];
    message text;
begin
    for activity in
        select a.* from marketing_automation.activity a where a.id = any (activities) and a.action in ('send_email', 'webhook') order by a.id
    loop
        if marketing_automation_internal.mail_uses_results(activity.id) then
            update marketing_automation_internal.outbox o
            set context = o.context || jsonb_build_object('', marketing_automation_internal.results_of(o.record_id))
            where o.activity_id = activity.id and not o.context ? '';
        end if;
        columns := marketing_automation_internal.mail_columns(activity.id);
        keys := array(
            select distinct o.key from marketing_automation_internal.outbox o
            where o.activity_id = activity.id and not o.context ?& columns);
        continue when keys = '{}';
        begin
            select s.* into strict scenario from marketing_automation.scenario s where s.id = activity.scenario_id;
            model := marketing_automation_internal.usable_model(scenario);
            update marketing_automation_internal.outbox o set context = q.context || o.context
            from marketing_automation_internal.query_as_owner(scenario.owner_id, model.relation,
                marketing_automation_internal.key_query(model.relation, model.key, model.key_type, concat_ws(', ',
                    marketing_automation_internal.as_text(model.key), marketing_automation_internal.as_record(model.relation, columns))),
                keys) as q (key text, context jsonb)
            where o.activity_id = activity.id and o.key = q.key and not o.context ?& columns and jsonb_typeof(q.context) = 'object';
        exception when others then
            if marketing_automation_internal.is_for_the_caller(sqlstate) then
                raise;
            end if;
            get stacked diagnostics message = message_text;
            raise warning 'mails of activity "%" that are queued lack columns that their templates use: %', activity.name,
                marketing_automation_internal.public_error(message, sqlstate)
                using errcode = sqlstate;
        end;
    end loop;
end $$;
comment on function marketing_automation_internal.complete_contexts(integer[]) is
    'API: private. Gives queued mails of these activities the columns that their templates use by now, read from the rows as they are, and '
    'results of calls; what they have they keep';

create function marketing_automation_internal.holds_money(type oid) returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
    with recursive part as (
        select holds_money.type as oid
        union
        -- What it is a domain over, its elements, its bounds, its fields.
        select u.oid
        from part p join pg_type t on t.oid = p.oid
        cross join lateral (
            select t.typbasetype union all select t.typelem
            union all select r.rngsubtype from pg_range r where t.oid in (r.rngtypid, r.rngmultitypid)
            union all select a.atttypid from pg_attribute a where a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped) u (oid)
        where u.oid <> 0
    )
    select exists (select from part p where p.oid = 'money'::regtype)
$$;
comment on function marketing_automation_internal.holds_money(oid) is
    'API: private. Whether values of a type have one of the type money in them, as domains, arrays, ranges and rows may';

create function marketing_automation_internal.warn_of_money(activity_id integer) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    amounts text := (
        select string_agg(quote_ident(c.attname), ', ' order by c.attnum)
        from marketing_automation.activity a
        join marketing_automation.scenario s on s.id = a.scenario_id
        join marketing_automation.model m on m.name = s.model
        join pg_attribute c on c.attrelid = m.relation and c.attnum > 0 and not c.attisdropped
            and c.attname = any (marketing_automation_internal.mail_columns(a.id))
            and marketing_automation_internal.holds_money(c.atttypid)
        where a.id = warn_of_money.activity_id);
begin
    if amounts is not null then
        raise warning 'mails of activity "%" use columns of the type money: %',
                (select a.name from marketing_automation.activity a where a.id = warn_of_money.activity_id), amounts
            using errcode = 'datatype_mismatch',
                  detail = 'To a template they are text, as lc_monetary writes it, and are neither calculated with nor formatted.',
                  hint = 'Give templates a numeric: a view with amount::numeric as the model''s relation.';
    end if;
end $$;
comment on function marketing_automation_internal.warn_of_money(integer) is
    'API: private. Warns of columns of the type money that mails of an activity use, as they are text to templates';

create function marketing_automation_internal.templates_changed() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    changed integer := case when tg_table_name = 'activity' then (to_jsonb(new) ->> 'id')::integer
        else (to_jsonb(new) ->> 'activity_id')::integer end;
    scenario marketing_automation.scenario;
begin
    if marketing_automation_internal.is_restoring() then
        return null;
    end if;
    changed := coalesce((select marketing_automation_internal.sending_activity(v) from marketing_automation.activity v where v.id = changed), changed);
    select s.* into scenario from marketing_automation.scenario s
    join marketing_automation.activity a on a.scenario_id = s.id where a.id = changed and a.action in ('send_email', 'webhook');
    if found then
        perform marketing_automation_internal.check_mail_columns(scenario, changed);
        perform marketing_automation_internal.warn_of_money(changed);
        perform marketing_automation_internal.complete_contexts(array[changed]);
        perform marketing_automation_internal.note_browser_use(array[changed]);
        if tg_table_name = 'activity' and to_jsonb(new) ->> 'attachments' is not null
            and (tg_op = 'INSERT' or to_jsonb(old) ->> 'attachments' is distinct from to_jsonb(new) ->> 'attachments') then
            perform marketing_automation_internal.attach_to_queued(changed);
        end if;
    end if;
    return null;
end $$;
comment on function marketing_automation_internal.templates_changed() is
    'API: private. Trigger: the scenario''s owner may read what templates use, and queued mails get it';

create trigger columns after insert or update of action, sender, subject, body, reply_to, preheader, text, headers, url, attachments on marketing_automation.activity
    for each row execute function marketing_automation_internal.templates_changed();

create trigger columns after insert or update on marketing_automation.activity_translation
    for each row execute function marketing_automation_internal.templates_changed();
