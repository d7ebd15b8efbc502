\set SHOW_CONTEXT never
-- Names in templates are checked against the model's relation, as the mails will find them.
create type shop.address as (street text, city text);
create table shop.buyer (id integer primary key, first_name text, email text, address shop.address, preferences jsonb, tags text[]);
select marketing_automation.register_model('buyer', 'shop.buyer', key => 'self.id', email => 'self.email');
select marketing_automation.create_scenario('names', 'buyer') > 0 as created;
create function shop.try(subject text, body text default 'b') returns text language plpgsql as $$
declare detail text; hint text;
begin
    perform marketing_automation.add_activity('names', 'tried', subject => subject, body => body);
    delete from marketing_automation.activity where name = 'tried';
    return 'fine';
exception when others then
    get stacked diagnostics detail = pg_exception_detail, hint = pg_exception_hint;
    return concat_ws(' | ', sqlstate, detail, hint);
end $$;

-- Errors, with the nearest name.
select shop.try('{{ record.frist_name }}');
select shop.try('{{ first_name }}');
select shop.try('{{ rekord.email }}');
select shop.try('s', E'<p>\n  {{ record.address.town }} {{ record.address.cty }}</p>');
select shop.try('{{ party.nmae }} {{ scenario.id }}');
select shop.try('{% if record.vip %}x{% endif %}');
select shop.try('{{ record["emial"] }}');
select shop.try('{% for tag in record.tag %}{{ tag }}{% endfor %}');
-- Texts, numbers and times have nothing in them, also where they are within a row, or of a domain.
create domain shop.nick as text;
create type shop.mood as enum ('good', 'bad');
alter table shop.buyer add nick shop.nick, add mood shop.mood, add born date, add due timestamptz, add amount numeric;
select shop.try('{{ record.born.year }} {{ record.due["hour"] }}');
select shop.try('{{ record.email.upper }}');
select shop.try('{{ record.nick.short }}');
select shop.try('{{ record.mood.level }} {{ record.amount.currency }} {{ record.address.city.name }}');
select shop.try('{{ record.email.upper() }} {{ record.email[0] }} {{ record.born[:4] }} {{ record.due | format_date }} {{ record.tags.0 }}');

-- What is there, or cannot be known.
select shop.try('{{ record.first_name }} {{ record.address.city }} {{ record.preferences.colour.favourite }} {{ party.email }} {{ unsubscribe_url }}');
select shop.try('{% for tag in record.tags %}{{ loop.index }} {{ tag.anything }}{% endfor %}{% set x = 1 %}{{ x }}');
select shop.try('{% for key, value in record.items() %}{{ key }}{% endfor %}{% for record in record.tags %}{{ record.x }}{% endfor %}');
select shop.try('{% macro m(a, b=1) %}{{ a }}{{ b }}{% endmacro %}{{ m(record.email) }}{% with y = 2 %}{{ y }}{% endwith %}{% if record %}{% set z = 3 %}{% endif %}{{ z }}');
select shop.try('{{ range(3) | list }} {{ dict(a=1).a }} {{ none }} {{ short("https://shop.example") }}');

-- Asked for first: a warning, as mails do not fail.
select shop.try('{{ record.nickname | default("friend") }}');
select shop.try('{% if record.nickname is defined and record.nickname.short %}{{ record.nickname.short }}{% endif %}');
select shop.try('{{ record.nickname if record.nickname is defined else record.first_name }}');

-- A column that goes later does not keep anybody from changing the rest.
select marketing_automation.add_activity('names', 'stays', subject => '{{ record.first_name }}', body => 'b') > 0 as added;
alter table shop.buyer drop column first_name;
update marketing_automation.activity set delay = '1 day' where name = 'stays';
update marketing_automation.activity set body = 'c' where name = 'stays';
insert into marketing_automation.activity_translation (activity_id, language, subject)
select id, 'fr', '{{ record.frist_name }}' from marketing_automation.activity where name = 'stays';

delete from marketing_automation.scenario where name = 'names';
select marketing_automation.unregister_model('buyer');
drop function shop.try;
drop table shop.buyer;
drop type shop.address, shop.mood;
drop domain shop.nick;
