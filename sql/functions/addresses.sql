-- Who gets a mail beside the party that it is about, or instead of it: expressions of the activity, asked when the mail is made and kept
-- with it. What is a party's alone, to leave and to be tracked, is in no such mail.

create function marketing_automation_internal.party_address(email text, addresses jsonb) returns text
language sql immutable parallel safe
return case when addresses ? 'party' then addresses #>> '{party,email}' else email end;
comment on function marketing_automation_internal.party_address(text, jsonb) is
    'API: private. The address of the party that a mail is about, which somebody else may get; null: it has none';

create function marketing_automation_internal.party_name(name text, addresses jsonb) returns text
language sql immutable parallel safe
return case when addresses ? 'party' then addresses #>> '{party,name}' else name end;
comment on function marketing_automation_internal.party_name(text, jsonb) is 'API: private. As party_address(), the name of the party';

create function marketing_automation_internal.copies_of(addresses jsonb) returns table (kind text, mailbox text, address text)
language sql immutable parallel safe rows 2 set search_path = pg_catalog, pg_temp as $$
    select k.kind, c.mailbox, coalesce(substring(c.mailbox from '<([^<>]*)>$'), c.mailbox)
    from (values (1, 'cc'), (2, 'bcc')) k (n, kind)
    cross join lateral jsonb_array_elements_text(copies_of.addresses -> k.kind) with ordinality c (mailbox, m)
    order by k.n, c.m
$$;
comment on function marketing_automation_internal.copies_of(jsonb) is
    'API: private. The mailboxes that get copies of a mail with these addresses, see outbox';

create function marketing_automation_internal.addresses_in_words(email text, is_instead boolean, copies text) returns text
language sql immutable
return case when is_instead then format(', to %s instead of its row''s address', email) else '' end || coalesce(', with copies to ' || copies, '');
comment on function marketing_automation_internal.addresses_in_words(text, boolean, text) is
    'API: private. Who gets a mail, for behind what is told of it, where that is not its party alone';

create function marketing_automation_internal.with_copies(addresses jsonb, mailboxes text[]) returns jsonb
language sql immutable parallel safe set search_path = pg_catalog, pg_temp as $$
    select (with_copies.addresses - 'cc' - 'bcc') || coalesce((
        select jsonb_object_agg(k.kind, k.list)
        from (select c.kind, jsonb_agg(c.mailbox) as list from marketing_automation_internal.copies_of(with_copies.addresses) c
              where c.mailbox = any (mailboxes) group by c.kind) k), '{}')
$$;
comment on function marketing_automation_internal.with_copies(jsonb, text[]) is
    'API: private. Addresses of a mail with these of its copies only';

create function marketing_automation_internal.sendable_addresses(addresses jsonb) returns jsonb
language sql stable set search_path = pg_catalog, pg_temp as $$
    select case when s.left_out is null then sendable_addresses.addresses
        else marketing_automation_internal.with_copies(sendable_addresses.addresses, s.sendable) || jsonb_build_object('left_out', s.left_out) end
    from (
        select array_agg(c.mailbox) filter (where not c.is_suppressed) as sendable, jsonb_agg(c.address) filter (where c.is_suppressed) as left_out
        from (select c.mailbox, c.address, exists (
                  select from marketing_automation.suppression x where x.address_hash = marketing_automation.address_hash(c.address)) as is_suppressed
              from marketing_automation_internal.copies_of(sendable_addresses.addresses) c) c) s
$$;
comment on function marketing_automation_internal.sendable_addresses(jsonb) is
    'API: private. Addresses of a mail without suppressed copies, which stand in left_out';

create function marketing_automation_internal.forgotten_copies(addresses jsonb, hash bytea) returns jsonb
language sql immutable set search_path = pg_catalog, pg_temp as $$
    -- What is left still says that it went to others than its party.
    select marketing_automation_internal.with_copies(forgotten_copies.addresses, array(
        select c.mailbox from marketing_automation_internal.copies_of(forgotten_copies.addresses) c
        where marketing_automation.address_hash(c.address) <> hash))
$$;
comment on function marketing_automation_internal.forgotten_copies(jsonb, bytea) is
    'API: private. Addresses of a mail without the copies to an address, by its digest';

create function marketing_automation_internal.addresses_expression(activity marketing_automation.activity) returns text
language sql immutable set search_path = pg_catalog, pg_temp as $$
    -- More than ten mailboxes are refused; nobody keeps a text of a megabyte for that.
    select case when num_nonnulls(activity.recipient, activity.cc, activity.bcc) = 0 then 'null::text[]'
        else format('array[left(%s, 1001), left(%s, 5001), left(%s, 5001)]', marketing_automation_internal.as_text(activity.recipient),
            marketing_automation_internal.as_text(activity.cc), marketing_automation_internal.as_text(activity.bcc)) end
$$;
comment on function marketing_automation_internal.addresses_expression(marketing_automation.activity) is
    'API: private. Expression over self, ready to stand in a query, for what an activity says of recipient, cc and bcc; null: nothing';

create function marketing_automation_internal.is_impersonal(class marketing_automation.message_class) returns boolean
language sql immutable
return not (class).honors_unsubscribe and not (class).bulk_headers;
comment on function marketing_automation_internal.is_impersonal(marketing_automation.message_class) is
    'API: private. Whether mails of a class have nothing by which their party leaves, so that others may get them';

create function marketing_automation_internal.demand_impersonal(activity marketing_automation.activity) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    its_class marketing_automation.message_class := marketing_automation_internal.its_class(activity);
    what constant text := case when activity.recipient is not null then 'recipient' when activity.cc is not null then 'cc' else 'bcc' end;
    other constant text := (
        select k.name from marketing_automation.message_class k where marketing_automation_internal.is_impersonal(k) and k.name <> its_class.name
        order by k.name <> 'transactional', k.name limit 1);
begin
    if num_nonnulls(activity.recipient, activity.cc, activity.bcc) > 0 and not marketing_automation_internal.is_impersonal(its_class) then
        raise exception 'activity "%" has %, and its mails are of class "%", which one unsubscribes from', activity.name, what, its_class.name
            using errcode = 'check_violation',
                detail = 'Who gets such a mail could unsubscribe its party. A class of which others may get mails has neither '
                    'honors_unsubscribe nor bulk_headers.',
                hint = case when other is null then 'There is no such class yet: insert into marketing_automation.message_class.'
                    when exists (select from marketing_automation.activity a where a.id = activity.id)
                        then format('update marketing_automation.activity set message_class = %L where id = %s;', other, activity.id)
                    else format('Write message_class => %L.', other) end;
    end if;
end $$;
comment on function marketing_automation_internal.demand_impersonal(marketing_automation.activity) is
    'API: private. Raises if mails of an activity go to others than their party, and are of a class from which that unsubscribes';

create function marketing_automation_internal.check_addresses(scenario marketing_automation.scenario, model marketing_automation.model,
    activity marketing_automation.activity, old marketing_automation.activity) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    part record;
    its_type regtype;
begin
    if num_nonnulls(activity.recipient, activity.cc, activity.bcc) = 0 then
        return;
    end if;
    if activity.action is distinct from 'send_email' then
        raise exception 'activity "%" has %, but sends no mail', activity.name,
                case when activity.recipient is not null then 'a recipient' when activity.cc is not null then 'cc' else 'bcc' end
            using errcode = 'check_violation', detail = 'A variant goes to whom its mail goes.',
                hint = 'Leave them out, or write action => ''send_email''.';
    end if;
    for part in
        select v.* from (values ('recipient', activity.recipient, old.recipient), ('cc', activity.cc, old.cc), ('bcc', activity.bcc, old.bcc))
            as v (name, expression, old_expression)
        where v.expression is not null and v.expression is distinct from v.old_expression
    loop
        its_type := marketing_automation_internal.check_expression(scenario.owner_id, model.relation, part.expression,
            format('%s of activity "%s"', part.name, activity.name));
        if its_type <> all (array['text', 'varchar', 'bpchar', 'name', 'unknown']::regtype[]) and not exists (
            select from pg_type t where t.oid = its_type and t.typcategory = 'S') then
            raise exception '% of activity "%" is of type %, not text', part.name, activity.name, its_type using errcode = 'datatype_mismatch',
                hint = case when part.name = 'recipient' then 'Write an expression that gives a mailbox: self.manager_email'
                    else 'Write an expression that gives mailboxes with commas between them: array_to_string(…, '', ''), or string_agg(…, '', '').' end;
        end if;
    end loop;
    perform marketing_automation_internal.demand_impersonal(activity);
end $$;
comment on function marketing_automation_internal.check_addresses(marketing_automation.scenario, marketing_automation.model,
    marketing_automation.activity, marketing_automation.activity) is
    'API: private. Raises unless recipient, cc and bcc of an activity are SQL expressions over self that plan with the rights of the scenario''s '
    'owner and give text, and others may get its mails. old: the activity as it was';
