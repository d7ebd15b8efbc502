-- Events: what the tracking proxy reports. record_events() only appends, so that a hit can be answered; apply.sql applies.

create function marketing_automation_internal.address_prefix(address inet) returns inet
language sql immutable parallel safe
return network(set_masklen(address, least(masklen(address), case family(address) when 4 then 24 else 48 end)));
comment on function marketing_automation_internal.address_prefix(inet) is
    'API: private. The network that an address belongs to, which tells a data centre from a household and no person from their '
    'neighbours: /24 of IPv4, /48 of IPv6';

create function marketing_automation_internal.kept_user_agent(user_agent text) returns text
language sql stable parallel safe
return case marketing_automation_internal.setting('hit_details')
    when 'full' then user_agent
    when 'reduced' then
        regexp_replace(regexp_replace(regexp_replace(user_agent,
            -- Apps append the device, the carrier and the language in brackets.
            '\s*\[[^]]*\]?', '', 'g'),
            '(Android [0-9]+)[^)]*', '\1', 'g'),
            -- 17.5.1, and Apple's 17_5_1, but not x86_64.
            '(?<=[0-9][.]|OS (X )?[0-9_]+_)[0-9]+', '0', 'g') end;
comment on function marketing_automation_internal.kept_user_agent(text) is
    'API: private. What marketing_automation.hit_details leaves of a user agent. reduced: names and major versions, neither minor '
    'versions nor models, as browsers do themselves by now (chromium.org/updates/ua-reduction)';

create function marketing_automation.record_events(
    ids uuid[], kinds text[], tokens text[], occurred_at timestamptz[], methods text[], addresses inet[], user_agents text[],
    asked integer[] default null
) returns table (n integer, known boolean, location text)
language plpgsql security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan as $$
declare
    records bigint[];
    activities integer[];
    links bigint[];
begin
    if (cardinality(ids) = all (array[cardinality(kinds), cardinality(tokens), cardinality(occurred_at), cardinality(methods),
                                      cardinality(addresses), cardinality(user_agents)])) is not true then
        raise exception 'arrays of record_events() differ in length' using errcode = 'array_subscript_error';
    end if;
    if array_position(ids, null) is not null then
        raise exception 'ids of record_events() must not be null' using errcode = 'null_value_not_allowed';
    end if;
    if not '{email_opened,email_clicked}' @> kinds or array_position(kinds, null) is not null then
        raise exception 'kinds of record_events() must be email_opened or email_clicked' using errcode = 'invalid_parameter_value';
    end if;
    if not '{GET,HEAD,POST,PREFETCH}' @> methods or array_position(methods, null) is not null then
        raise exception 'methods of record_events() must be GET, HEAD, POST or PREFETCH' using errcode = 'invalid_parameter_value';
    end if;
    select v.records, v.activities, v.links into records, activities, links from marketing_automation_internal.verify_tokens(kinds,
        tokens) v;
    insert into marketing_automation_internal.event_inbox (id, occurred_at, kind, record_id, activity_id, link_id, method, address,
        user_agent)
    -- A clock that runs ahead, or is not set, must not move what follows.
    select h.id, greatest(least(h.occurred_at, statement_timestamp()), '2000-01-01'), h.kind, h.record_id, h.activity_id, h.link_id,
        h.method,
           marketing_automation_internal.address_prefix(h.address), left(h.user_agent, 200)
    from unnest(ids, kinds, occurred_at, methods, addresses, user_agents, records, activities, links)
        as h (id, kind, occurred_at, method, address, user_agent, record_id, activity_id, link_id)
    -- A test's links work, and tell nothing.
    where h.record_id <> 0;
    if found then
        perform marketing_automation_internal.notify_mailer();
    end if;
    if asked is null or asked <> '{}' then
        return query
            select a.n, records[a.n] is not null, l.url
            from unnest(coalesce(asked, array(select generate_series(1, cardinality(ids))))) with ordinality as a (n, position)
            left join marketing_automation.link l on l.id = links[a.n]
            order by a.position;
    end if;
end $$;
comment on function marketing_automation.record_events(uuid[], text[], text[], timestamptz[], text[], inet[], text[], integer[]) is
    'API: proxy. Records a batch of opens and clicks, all arrays alike in length; apply_events() does the rest. kinds: email_opened '
    'or email_clicked; methods: GET, HEAD, POST or PREFETCH; addresses and user_agents may be null. One row for each hit that is '
    'asked for, n from 1; asked: null for all. known is false for a token that is malformed or forged, location is where a click '
    'leads. Hits of tests (record 0) are not recorded; an id seen before is ignored when it is applied';
