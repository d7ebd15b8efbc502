-- Rules of delivery: which addresses get nothing.

create table marketing_automation.suppression (
    address_hash bytea primary key check (octet_length(address_hash) = 32),
    reason text not null check (reason in ('hard_bounce', 'manual', 'complaint', 'forgotten')),
    since timestamptz not null default now(),
    detail text
);
comment on table marketing_automation.suppression is
    'API: public. Addresses that get no mail from any scenario, checked when the mailer claims. Only digests: the list survives the erasure of the person';
comment on column marketing_automation.suppression.address_hash is 'address_hash(address)';
comment on column marketing_automation.suppression.reason is
    'hard_bounce: the mailbox does not exist; manual: somebody said so; complaint: the recipient marked a mail as spam; forgotten: erased on request';
comment on column marketing_automation.suppression.detail is 'Such as the reply that said so; without the address';
