-- Numbers for monitoring: how it is, what waits, and what was done.

create view marketing_automation.metric as
select 'marketing_automation_' || m.name as name, m.scenario, m.label, m.value::double precision as value
from (
    select x.name, null as scenario, h.name as label, x.value
    from marketing_automation.health() h
    cross join lateral (values
        ('health_status', case h.status when 'ok' then 0 when 'warning' then 1 else 2 end), ('backlog_seconds', h.seconds)) as x (name, value)
    where x.value is not null
    union all
    select 'scenario_records_total', s.name, null, coalesce(c.records, 0)
    from marketing_automation.scenario s
    cross join lateral (
        select sum(n.records) as records from marketing_automation_internal.scenario_counter n
        where n.scenario_id = s.id and (not n.rolled_up or n.period = '-infinity')) c
    where s.state <> 'draft'
    union all
    select x.name, s.name, a.name, coalesce(x.value, 0)
    from marketing_automation.scenario s
    join marketing_automation.activity a on a.scenario_id = s.id
    cross join lateral (
        select sum(n.sent) as sent, sum(n.not_sent) as not_sent, sum(n.opened) as opened, sum(n.clicked) as clicked, sum(n.failed) as failed
        from marketing_automation_internal.activity_counter n
        where n.activity_id = a.id and (not n.rolled_up or n.period = '-infinity')) c
    cross join lateral (values ('activity_sent_total', c.sent), ('activity_not_sent_total', c.not_sent),
        ('activity_opened_total', c.opened), ('activity_clicked_total', c.clicked), ('activity_failed_total', c.failed)) as x (name, value)
    where s.state <> 'draft'
    union all
    select x.name, null, null, x.value
    from marketing_automation.worker_status() w
    cross join lateral (values ('worker_sent_total', w.sent), ('worker_failed_total', w.failed), ('worker_retried_total', w.retried))
        as x (name, value)
) m;
comment on view marketing_automation.metric is
    'API: public. Numbers for monitoring, in long form: name as of a Prometheus metric; scenario; label: which check of health(), what '
    'waits, or which activity. health_status: 0 ok, 1 warning, 2 error; backlog_seconds: for how long the oldest has waited, 0: none '
    'does; worker_…: since the server started';
