-- A batch of hits costs the same whatever the statistics know: here that nobody has ever clicked.
begin;
delete from marketing_automation_internal.event;
insert into marketing_automation_internal.event (id, occurred_at, kind, record_id, activity_id, method)
select gen_random_uuid(), '2026-01-01', 'email_opened', n, 1, 'GET' from generate_series(1, 20000) n;
analyze marketing_automation_internal.event;
insert into marketing_automation_internal.event_inbox (id, occurred_at, kind, record_id, activity_id, link_id, method)
select gen_random_uuid(), '2026-01-01', 'email_clicked', n, 1, 1, 'GET' from generate_series(1, 2000) n;
select marketing_automation.apply_events();
insert into marketing_automation_internal.event_inbox (id, occurred_at, kind, record_id, activity_id, link_id, method)
select gen_random_uuid(), '2026-01-01', 'email_clicked', n, 1, 1, 'GET' from generate_series(2001, 4000) n;
select marketing_automation.apply_events();
select seq_tup_read <= 200000 as few_read_in_full, idx_tup_fetch <= 40000 as few_fetched
from pg_stat_xact_user_tables where relid = 'marketing_automation_internal.event'::regclass;
rollback;
