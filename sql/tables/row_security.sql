-- What an expression raises may quote a row: such errors are for who may read the row.

alter table marketing_automation.scenario_status enable row level security;
create policy quotes_no_row on marketing_automation.scenario_status for select using (
    last_error_code is null or left(last_error_code, 2) in ('42', '40', '53', '55', '57', '58')
    or marketing_automation.sees_rows(scenario_id));
comment on policy quotes_no_row on marketing_automation.scenario_status is
    'Rows whose last error may quote a row of the model are for who sees_rows() only';
