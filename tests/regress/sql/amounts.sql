\set SHOW_CONTEXT never
-- Amounts keep their digits on the way from a row to its mail.
create table invoice (id bigint primary key, email text, price numeric(12,2), total numeric(20,2), account numeric(24), lines jsonb);
insert into invoice values (1, 'plus+tag@example.com', 19.90, 123456789012345678.99, 123456789012345678901234,
    '[{"amount": 19.90, "count": 3}, {"amount": 5, "count": 2}]');
\o /dev/null
select marketing_automation.register_model('invoice', 'invoice', key => 'self.id', email => 'self.email');
select marketing_automation.create_scenario('invoices', model => 'invoice');
select marketing_automation.add_activity('invoices', 'pay', subject => 'Pay {{ record.price }}',
    body => '<p>{{ record.price }}; {{ record.price * 3 }}; {{ record.total | format_currency("EUR") }}; {{ record.account }};'
        '{% set ns = namespace(sum = 0) %}{% for line in record.lines %}{% set ns.sum = ns.sum + line.amount * line.count %}{% endfor %}'
        '{{ ns.sum }}; {{ record.price / 4 }}; {{ record.price > 19 and record.lines[1].amount < record.price }}</p>'
        '<p><a href="https://shop.example/?email={{ record.email | urlencode }}">x</a></p>');
\o
select subject, text from marketing_automation.preview('invoices', 'pay', key => '1') \gx
-- What is hardly meant is told when it is written.
select marketing_automation.add_activity('invoices', 'css', parent => 'pay', subject => 'Dear *|FNAME|*',
    body => '<style>@media screen{#box a{padding:0}}</style><p>hi <a href="https://shop.example/#}">x</a></p>') is not null as added;
select html like '%screen{#box a{padding:0}}</style><p>hi <a href="https://shop.example/#}">%' as complete
from marketing_automation.preview('invoices', 'css', key => '1');
select marketing_automation.add_activity('invoices', 'x', parent => 'pay', subject => 's', body => '{{#if name}}x{{/if}}');
select marketing_automation.add_activity('invoices', 'x', parent => 'pay', subject => 's', body => '{{ record.email.uper() }}');
-- A money is text, and what is made of text is told.
alter table invoice add paid money;
select marketing_automation.add_activity('invoices', 'paid', parent => 'pay', subject => '{{ record.paid }}',
    body => '<p>{unsubscribe_url} {{ 100 - 20 - record.price }}</p>') is not null as added;
select text from marketing_automation.preview('invoices', 'paid', key => '1');
-- Also where it is within something else: a domain over a domain, an array, a row, a range.
create domain fee as money;
create domain late_fee as fee;
create type fees as (base numeric, extra late_fee);
create type fee_range as range (subtype = money);
alter table invoice add late late_fee, add parts money[], add fees fees, add lists fees[], add bounds fee_range, add many fee_multirange,
    add amounts numeric[], add span numrange;
select marketing_automation.add_activity('invoices', 'within', parent => 'pay', subject => '{{ record.late }} {{ record.amounts }} {{ record.span }}',
    body => '<p>{{ unsubscribe_url }} {{ record.parts }} {{ record.fees }} {{ record.lists }} {{ record.bounds }} {{ record.many }}</p>') is not null as added;
delete from marketing_automation.scenario where name = 'invoices';
delete from marketing_automation.model where name = 'invoice';
drop table invoice;
drop type fee_range, fees;
drop domain late_fee, fee;
