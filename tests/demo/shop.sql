-- A sample shop in its own schema, as a company might have it before it hears of the extension:
-- 200 customers, 600 orders. The data is the same at every run; only dates follow the clock.
create schema shop;
comment on schema shop is 'A sample shop: customers, products, orders';

create table shop.customer (
    id          integer primary key generated always as identity,
    first_name  text not null,
    last_name   text not null,
    email       text,
    language    text not null,
    time_zone   text not null,
    country     text not null check (country ~ '^[A-Z]{2}$'),
    city        text not null,
    currency    text not null check (currency ~ '^[A-Z]{3}$'),
    newsletter  boolean not null,
    created_at  timestamptz not null
);
comment on column shop.customer.email is 'As typed in by the customer or by the staff: may be missing or wrong';

create table shop.product (
    id          integer primary key generated always as identity,
    sku         text not null unique,
    name        text not null,
    price       numeric(10, 2) not null check (price > 0)
);

create table shop.orders (
    id          integer primary key generated always as identity,
    customer_id integer not null references shop.customer,
    state       text not null check (state in ('cart', 'placed', 'paid', 'shipped', 'cancelled')),
    created_at  timestamptz not null,
    updated_at  timestamptz not null check (updated_at >= created_at)
);
create index on shop.orders (customer_id);

create table shop.order_line (
    order_id    integer not null references shop.orders on delete cascade,
    line        smallint not null,
    product_id  integer not null references shop.product,
    quantity    integer not null check (quantity > 0),
    price       numeric(10, 2) not null,
    primary key (order_id, line)
);

insert into shop.product (sku, name, price) values
    ('TEA-ASSAM',   'Assam second flush, 250 g',         14.50),
    ('TEA-SENCHA',  'Sencha Yabukita, 100 g',            11.90),
    ('TEA-OOLONG',  'Dong Ding oolong, 75 g',            18.00),
    ('TEA-ROOIBOS', 'Rooibos "Cederberg", 200 g',         8.75),
    ('POT-0600',    'Cast-iron teapot, 0.6 l',           64.00),
    ('CUP-SET',     'Two cups & saucers, celadon',       38.50),
    ('TIN-LARGE',   'Tea caddy, cherry bark',            92.00),
    ('WHISK',       'Bamboo whisk (chasen)',             22.00),
    ('KETTLE',      'Gooseneck kettle, 1.0 l',           79.90),
    ('SAMPLER',     'Sampler: twelve teas, 10 g each',   29.00);

-- People: per country, first and last names are combined by number, so that none repeats.
with place (weight, country, language, currency, time_zones, cities, first_names, last_names) as (values
    (32, 'US', 'en_US', 'USD', array['America/New_York', 'America/Chicago', 'America/Los_Angeles', 'Pacific/Honolulu'],
        array['Brooklyn', 'Chicago', 'Portland', 'Honolulu'],
        array['Grace', 'Marcus', 'Dolores', 'Wei', 'Tyler', 'Aaliyah', 'Sam', 'Noah'],
        array['Whitfield', 'Nguyen', 'Ramirez', 'Jackson', 'O''Neill', 'Kowalski', 'Smith-Jones']),
    (24, 'GB', 'en_GB', 'GBP', array['Europe/London'],
        array['Leeds', 'Bristol', 'Edinburgh'],
        array['Imogen', 'Alasdair', 'Priya', 'Oliver', 'Zoë', 'Callum'],
        array['Ashworth', 'MacLeod', 'Patel', 'D''Arcy', 'Featherstonehaugh']),
    (14, 'IE', 'en_IE', 'EUR', array['Europe/Dublin'],
        array['Galway', 'Cork', 'Dublin'],
        array['Siobhán', 'Pádraig', 'Niamh', 'Conor', 'Aoife'],
        array['O''Brien', 'O''Connor', 'Ní Dhomhnaill', 'Murphy']),
    (30, 'FR', 'fr_FR', 'EUR', array['Europe/Paris'],
        array['Lyon', 'Rennes', 'Besançon', 'Saint-Étienne'],
        array['François', 'Hélène', 'Jean-Noël', 'Zoé', 'Loïc', 'Anaïs', 'Benoît'],
        array['Lefèvre', 'd''Aubigné', 'Müller-Roche', 'Garçon', 'L''Hôpital', 'Dupont']),
    (16, 'CA', 'fr_CA', 'CAD', array['America/Toronto'],
        array['Montréal', 'Québec', 'Trois-Rivières'],
        array['Maxime', 'Élise', 'Guylaine', 'Étienne', 'Océane'],
        array['Tremblay', 'Gagné', 'Bélanger', 'Côté']),
    (26, 'DE', 'de_DE', 'EUR', array['Europe/Berlin'],
        array['Köln', 'Münster', 'Görlitz'],
        array['Jürgen', 'Anke', 'Björn', 'Käthe', 'Sören', 'Elif'],
        array['Groß', 'Müller', 'von der Heide', 'Yılmaz', 'Schäfer']),
    (12, 'ES', 'es_ES', 'EUR', array['Europe/Madrid', 'Atlantic/Canary'],
        array['A Coruña', 'Las Palmas', 'Logroño'],
        array['Íñigo', 'María José', 'Begoña', 'Raúl'],
        array['Núñez Ibáñez', 'de la Peña', 'Güell i Puig']),
    (14, 'BR', 'pt_BR', 'BRL', array['America/Sao_Paulo', 'America/Manaus'],
        array['São Paulo', 'Manaus', 'Florianópolis'],
        array['João', 'Conceição', 'Antônio', 'Thaís', 'Luís'],
        array['Gonçalves', 'da Silva', 'Brandão', 'Araújo']),
    (10, 'PL', 'pl_PL', 'PLN', array['Europe/Warsaw'],
        array['Łódź', 'Kraków'],
        array['Łukasz', 'Małgorzata', 'Stanisław', 'Żaneta'],
        array['Wójcik', 'Dąbrowska', 'Szczęsny']),
    (8, 'IL', 'he_IL', 'ILS', array['Asia/Jerusalem'],
        array['תל אביב', 'חיפה'],
        array['דוד', 'נועה', 'אברהם', 'שירה'],
        array['כהן', 'לוי']),
    (6, 'EG', 'ar_EG', 'EGP', array['Africa/Cairo'],
        array['القاهرة', 'الإسكندرية'],
        array['محمد', 'ليلى', 'فاطمة'],
        array['عبد الله', 'حسن']),
    (8, 'JP', 'ja_JP', 'JPY', array['Asia/Tokyo'],
        array['京都', '札幌'],
        array['太郎', '美咲', '健一', '陽子'],
        array['山田', '佐藤'])
),
person as (
    select row_number() over (order by n, country)::integer as number,
           country, language, currency,
           time_zones[1 + n % cardinality(time_zones)] as time_zone,
           cities[1 + n % cardinality(cities)] as city,
           first_names[1 + n % cardinality(first_names)] as first_name,
           last_names[1 + (n % cardinality(first_names) + n / cardinality(first_names)) % cardinality(last_names)] as last_name
    from place, generate_series(0, weight - 1) as n
),
spelled as (  -- what is left of a name in an address; nothing of a name in another script
    select person.*,
           translate(lower(replace(first_name, ' ', '-') || '.' || regexp_replace(last_name, '[ '']', '', 'g')),
               'áàâãäéèêëíïîìóôõöòúûüùçñßłąęóśżźńćışğ', 'aaaaaeeeeiiiiooooouuuucnslaeoszzncisg') as local_part
    from person
)
insert into shop.customer
    (first_name, last_name, email, language, time_zone, country, city, currency, newsletter, created_at)
select first_name, last_name,
    case
        when number % 29 = 0 then null                                    -- ordered by telephone
        when number = 120 then 'does not want to give it'                 -- and the staff had to type something
        when local_part ~ '[^a-z.-]' then 'kunde' || number || '@mail.example'
        else local_part || (array['', '', '', '+tea', '.' || number])[1 + number % 5] || '@'
            || (array['mail.example', 'post.example', 'inbox.example'])[1 + number % 3]
    end,
    language, time_zone, country, city, currency,
    number % 10 <> 3,
    now() - case when number % 4 = 0 then interval '3 hours' * (number % 50) + interval '20 minutes'
                 else interval '5 days' + interval '47 hours' * (number % 190) end
from spelled
order by number;

-- The same person twice: a second account with the same address, once in capitals.
update shop.customer as again
set first_name = first.first_name, last_name = first.last_name, country = first.country, city = first.city,
    language = first.language, time_zone = first.time_zone, currency = first.currency,
    email = case when again.id = 152 then upper(first.email) else first.email end
from shop.customer as first
where (again.id, first.id) in ((48, 47), (96, 92), (152, 151), (196, 44));

-- Three orders a customer on average; the last ones of some were left in the basket.
insert into shop.orders (customer_id, state, created_at, updated_at)
select customer.id, plan.state, plan.created_at, least(plan.created_at + plan.took, now())
from generate_series(1, 600) as n
join shop.customer on customer.id = 1 + (n * 7 + n / 9 * 13) % 200
cross join lateral (
    select state,
           greatest(customer.created_at,
               case when state = 'cart' then now() - interval '2 hours' * (1 + n % 30)
                    else now() - interval '31 hours' * (1 + n % 150) end) as created_at,
           case state when 'cart' then interval '4 minutes' when 'placed' then interval '1 minute'
                      when 'paid' then interval '2 hours' when 'cancelled' then interval '9 hours'
                      else interval '26 hours' end as took
    from (values (case when n % 13 = 5 then 'cart' when n % 10 = 1 then 'placed' when n % 5 = 2 then 'paid'
                       when n % 17 = 3 then 'cancelled' else 'shipped' end)) as v (state)
) as plan
order by n;

insert into shop.order_line (order_id, line, product_id, quantity, price)
select orders.id, line, product.id, 1 + (orders.id + line) % 7 / 5, product.price
from shop.orders
cross join lateral generate_series(1, 1 + orders.id % 4) as line
join shop.product on product.id = 1 + (orders.id * 3 + line * 7) % 10;

-- What a mail about an order needs, in one row: the customer, and the lines as JSON.
create view shop.order_detail as
select orders.id, orders.customer_id, orders.state, orders.created_at, orders.updated_at,
       customer.first_name, customer.last_name, customer.email, customer.language, customer.time_zone,
       customer.currency, basket.total, basket.lines
from shop.orders
join shop.customer on customer.id = orders.customer_id
cross join lateral (
    select sum(order_line.quantity * order_line.price) as total,
           jsonb_agg(jsonb_build_object('name', product.name, 'quantity', order_line.quantity,
               'amount', order_line.quantity * order_line.price) order by order_line.line) as lines
    from shop.order_line
    join shop.product on product.id = order_line.product_id
    where order_line.order_id = orders.id
) as basket;
comment on view shop.order_detail is 'An order with its customer and its lines, for mails';

analyze;
