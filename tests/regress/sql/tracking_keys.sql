\set SHOW_CONTEXT never
-- The first call makes a key; a new one signs, and the old ones verify as long as they are told to.
select count(*) from marketing_automation.tracking_keys();
select marketing_automation_internal.sign_token('email_opened', 1, 1) as first \gset
create view shop.verified as
    select k.name, exists (select from marketing_automation_internal.verify_token('email_opened', k.token)) as verifies
    from (values ('first', current_setting('shop.first')), ('second', current_setting('shop.second'))) k (name, token);
select marketing_automation.rotate_tracking_key();
select marketing_automation_internal.sign_token('email_opened', 1, 1) as second \gset
set shop.first = :'first';
set shop.second = :'second';
select :'first' <> :'second' as another_key;
select * from shop.verified;
select id, valid_until from marketing_automation_internal.tracking_key order by id;

-- "For two years more" never prolongs what ends earlier.
select marketing_automation.rotate_tracking_key('1 day');
select marketing_automation.rotate_tracking_key('2 years');
select id, valid_until < now() + interval '2 days' as within_days, valid_until is null as for_ever from marketing_automation_internal.tracking_key order by id;
select * from shop.verified;

-- A leaked secret ends at once, and its id is free again; keys come in the order in which they sign.
select marketing_automation.rotate_tracking_key('0');
select * from shop.verified;
select id from marketing_automation.tracking_keys();
select marketing_automation.rotate_tracking_key('-1 day');

-- 256 ids, and no more; the id after the newest is taken first.
do $$ begin for i in 1..255 loop perform marketing_automation.rotate_tracking_key(); end loop; end $$;
select count(*), min(id), max(id) from marketing_automation_internal.tracking_key;
select id from marketing_automation.tracking_keys() limit 1;
select marketing_automation.rotate_tracking_key();
-- Where all have ended, mails are signed with a new one all the same.
begin;
update marketing_automation_internal.tracking_key set valid_until = now();
select count(*) from marketing_automation.tracking_keys();
rollback;
-- One key is left for the tests that follow.
delete from marketing_automation_internal.tracking_key where id <> 0;
drop view shop.verified;
