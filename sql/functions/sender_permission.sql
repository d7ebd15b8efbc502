-- Which role may send as whom. It is looked at when a sender is written, and again by the claim: permissions and owners change.

create function marketing_automation_internal.sender_address(sender text) returns text
language sql immutable strict parallel safe set search_path = pg_catalog, pg_temp as $$
    -- What follows the last < is written out, whatever the name before it becomes. Statements and comments could leave it out.
    select trim(case
        when sender !~ '[{}<>]' then sender
        when sender !~ '\{[%#]' then substring(sender from '<([^<>{}]*)>\s*$') end)
$$;
comment on function marketing_automation_internal.sender_address(text) is
    'API: private. The address that mails with this template as sender have; null: it depends on the row';

create function marketing_automation_internal.sender_spelling(address text) returns text
language sql immutable strict parallel safe set search_path = pg_catalog, pg_temp as $$
    select marketing_automation_internal.lower_case(regexp_replace(trim(address), '[^@]*$', ''))
        || marketing_automation_internal.address_domain(address)
$$;
comment on function marketing_automation_internal.sender_spelling(text) is
    'API: private. An address as senders are compared: in lower case, its domain as punycode (RFC 5891)';

create function marketing_automation_internal.may_send_as(owner_id oid, sender text) returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
    select coalesce((select r.rolsuper from pg_roles r where r.oid = owner_id), false) or exists (
        select from marketing_automation.sender_permission p
        where p.sender in (
                marketing_automation_internal.sender_spelling(marketing_automation_internal.sender_address(may_send_as.sender)),
                marketing_automation_internal.address_domain(marketing_automation_internal.sender_address(may_send_as.sender)))
          and coalesce(pg_has_role(owner_id, p.role_id, 'MEMBER'), false))
$$;
comment on function marketing_automation_internal.may_send_as(oid, text) is
    'API: private. Whether sender_permission lets scenarios of this owner send as this sender, once it has a row';

create function marketing_automation_internal.check_sender(scenario marketing_automation.scenario, sender text, whose text) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    address text := marketing_automation_internal.sender_address(sender);
begin
    if sender is null or not exists (select from marketing_automation.sender_permission)
        or marketing_automation_internal.may_send_as(scenario.owner_id, sender) then
        return;
    end if;
    if address is null then
        raise exception 'the address of the sender of % depends on the row', whose
            using errcode = 'insufficient_privilege', detail = 'Who may send as whom is ruled by sender_permission, which cannot be asked then.',
                  hint = 'Write the address out, behind a name that may be a template: {{ record.shop }} <shop@example.com>.';
    end if;
    raise exception 'role "%" may not send as "%"', scenario.owner, address
        using errcode = 'insufficient_privilege',
              detail = coalesce('It may send as ' || (
                  select string_agg(distinct p.sender, ', ') from marketing_automation.sender_permission p
                  where coalesce(pg_has_role(scenario.owner_id, p.role_id, 'MEMBER'), false)) || '.', 'It may send as nobody.'),
              hint = format('insert into marketing_automation.sender_permission (role, sender) values (%L, %L);', scenario.owner, address);
end $$;
comment on function marketing_automation_internal.check_sender(marketing_automation.scenario, text, text) is
    'API: private. Raises unless the scenario''s owner may send as this sender; null: as marketing_automation.email_from, which all may';

create view marketing_automation_internal.barred_activity as
select a.id as activity_id, a.name, s.name as scenario, s.state, s.owner, min(x.sender) as sender
from marketing_automation.activity a
join marketing_automation.scenario s on s.id = a.scenario_id
cross join lateral (
    select t.sender from (select a.id union all select v.id from marketing_automation_internal.variants(a.id) v) u
    cross join lateral marketing_automation_internal.template_texts(u.id) t) x
where (select exists (select from marketing_automation.sender_permission)) and a.action = 'send_email' and x.sender is not null
  and not marketing_automation_internal.may_send_as(s.owner_id, x.sender)
group by a.id, s.id;
comment on view marketing_automation_internal.barred_activity is
    'API: private. Activities whose sender, in some language or variant, their scenario''s owner may not send as: their mails wait';

create function marketing_automation_internal.sender_permission_role() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    new.role_id := coalesce((select r.oid from pg_roles r where r.rolname = new.role), 0::oid);
    if new.role_id = 0 and marketing_automation_internal.is_restoring() then
        raise warning 'role "%" does not exist, which may send as "%"', new.role, new.sender
            using hint = format('Create it, and then: update marketing_automation.sender_permission set role = role where role = %L;', new.role);
    elsif new.role_id = 0 then
        raise exception 'role "%" does not exist', new.role using errcode = 'undefined_object', hint = 'See: select rolname from pg_roles;';
    end if;
    return new;
end $$;
comment on function marketing_automation_internal.sender_permission_role() is
    'API: private. Trigger: remembers which role the name means when it is written; renamed later, it keeps its permission';

create trigger role before insert or update of role, role_id on marketing_automation.sender_permission
    for each row execute function marketing_automation_internal.sender_permission_role();

create function marketing_automation_internal.sender_permission_validate() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if marketing_automation_internal.is_restoring() then
        return new;
    end if;
    if new.sender like '%@%' then
        perform marketing_automation_internal.check_address(new.sender);
        new.sender := marketing_automation_internal.sender_spelling(new.sender);
    else
        new.sender := marketing_automation_internal.address_domain('@' || new.sender);
        if new.sender is null then
            raise exception 'a sender is an address or a domain' using errcode = 'check_violation',
                hint = 'Write anna@shop.example, or shop.example for each address in it.';
        end if;
    end if;
    return new;
end $$;
comment on function marketing_automation_internal.sender_permission_validate() is
    'API: private. The sender is spelt as senders are compared';

create trigger validate before insert or update of sender on marketing_automation.sender_permission
    for each row execute function marketing_automation_internal.sender_permission_validate();

create function marketing_automation_internal.sender_permission_changed() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    barred record;
begin
    if marketing_automation_internal.is_restoring() then
        return null;
    end if;
    for barred in
        select b.* from marketing_automation_internal.barred_activity b where b.state = 'running' order by b.scenario, b.name
    loop
        raise warning 'mails of activity "%" of scenario "%" wait: role "%" may not send as "%"', barred.name, barred.scenario, barred.owner,
            barred.sender
            using hint = format('insert into marketing_automation.sender_permission (role, sender) values (%L, %L);', barred.owner,
                coalesce(marketing_automation_internal.sender_address(barred.sender), '…'));
    end loop;
    -- What is claimed is looked at again, and what waited may leave.
    perform marketing_automation_internal.revoke_claims_of('all', '');
    perform marketing_automation_internal.notify_mailer();
    return null;
end $$;
comment on function marketing_automation_internal.sender_permission_changed() is
    'API: private. Trigger: says which running scenarios may not send any more; the mailer looks again';

create trigger changed after insert or update or delete on marketing_automation.sender_permission
    for each statement execute function marketing_automation_internal.sender_permission_changed();
