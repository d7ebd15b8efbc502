-- Revocations: commits that forbid mails which are claimed already. The mailer looks at its claims again before any more of
-- them leave: see src/extension/revocation.rs.

create function marketing_automation.revoke_claims() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform marketing_automation.recheck_claims();
    return null;
end $$;
comment on function marketing_automation.revoke_claims() is 'API: private. Trigger: what was written may forbid mails that are claimed';

create trigger revoke_claims after insert or update on marketing_automation.unsubscription
    for each statement execute function marketing_automation.revoke_claims();
create trigger revoke_claims after insert or update on marketing_automation.suppression
    for each statement execute function marketing_automation.revoke_claims();
create trigger revoke_claims after update of state or delete on marketing_automation.scenario
    for each statement execute function marketing_automation.revoke_claims();
create trigger revoke_claims after insert on marketing_automation.sending_pause
    for each statement execute function marketing_automation.revoke_claims();
-- Records are only updated to block them.
create trigger revoke_claims after update on marketing_automation.record
    for each statement execute function marketing_automation.revoke_claims();

create function marketing_automation.revoked_messages(ids bigint[]) returns setof bigint
language sql stable set search_path = pg_catalog, pg_temp as $$
    select o.id
    from marketing_automation.outbox o
    left join marketing_automation.record r on r.id = o.record_id
    join marketing_automation.activity a on a.id = o.activity_id
    join marketing_automation.scenario s on s.id = a.scenario_id
    where o.id = any (ids)
      and (s.state <> 'running' and o.record_id is not null or r.blocked_at is not null
           or exists (select from marketing_automation.sending_pause)
           or exists (select from marketing_automation.unsubscription u where u.scenario_id in (0, s.id) and u.party = r.party)
           or exists (select from marketing_automation.suppression p where p.address_hash = marketing_automation.address_hash(o.email)))
$$;
comment on function marketing_automation.revoked_messages(bigint[]) is
    'API: private. Which of these claimed mails must not leave any more: the claim is given back, and claim_messages() decides';
