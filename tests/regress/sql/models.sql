\set SHOW_CONTEXT never
select name, relation, key, key_type, party, owner = current_user as mine from marketing_automation.model order by name;

-- Bad input names the object and changes nothing.
select marketing_automation.register_model('lost', 'shop.nowhere', key => 'self.id');
select marketing_automation.register_model('lost', 'shop.customer', key => 'self.identifier');
select marketing_automation.register_model('lost', 'shop.customer', key => 'self.id', email => 'self.email; drop table shop.customer');
select marketing_automation.register_model('lost', 'shop.customer', key => 'self.id', email => 'self.email from shop.customer');
select marketing_automation.register_model('', 'shop.customer', key => 'self.id');
select name from marketing_automation.model where name in ('lost', '');

select marketing_automation.register_model('lost', 'shop.customer', key => 'array[self.id]');
select marketing_automation.register_model('lost', 'shop.customer', key => 'json_build_object(''id'', self.id)');
select marketing_automation.register_model('lost', 'shop.customer', key => 'row_number() over ()');
select marketing_automation.register_model('lost', 'shop.customer', key => 'self.id', email => 'unnest(array[self.email])');
select marketing_automation.register_model('lost', 'shop.customer', key => 'self.id', party => 'max(self.id)');

-- Keys of any type; a composite one through an expression.
create table shop.line (order_id uuid, line smallint, primary key (order_id, line));
select marketing_automation.register_model('line', 'shop.line', key => 'self.order_id || ''/'' || self.line');
select marketing_automation.register_model('by_uuid', 'shop.line', key => 'self.order_id');
select name, key_type from marketing_automation.model where name in ('line', 'by_uuid') order by name;

-- Views and partitioned tables are relations too.
create view shop.french as select * from shop.customer where country = 'FR';
select marketing_automation.register_model('french', 'shop.french', key => 'self.id');
create table shop.visit (id bigint, day date) partition by range (day);
select marketing_automation.register_model('visit', 'shop.visit', key => 'self.id');

-- A model follows renames.
alter view shop.french rename to francais;
select relation from marketing_automation.model where name = 'french';

-- The join back to the relation uses its index.
create function shop.plan(query text) returns setof text language plpgsql as $$
begin
    return query execute 'explain (costs off) ' || replace(query, '$1', '''{1,2}''::text[]');
end $$;
select marketing_automation.create_scenario('plan', 'customer');
select marketing_automation.add_activity('plan', 'only', subject => 's', body => 'b') > 0 as added;
set enable_seqscan = off;
select shop.plan(marketing_automation_internal.record_query((select id from marketing_automation.activity where name = 'only')));
reset enable_seqscan;

-- In use, builtin.
select marketing_automation.unregister_model('customer');
select marketing_automation.unregister_model('nothing');
update marketing_automation.model set email = 'null' where name = 'party';
delete from marketing_automation.model where name = 'sale';
delete from marketing_automation.scenario where name = 'plan';
select marketing_automation.unregister_model(m) from unnest(array['line', 'by_uuid', 'french', 'visit']) m;
drop view shop.francais;
drop table shop.line, shop.visit;
drop function shop.plan;
