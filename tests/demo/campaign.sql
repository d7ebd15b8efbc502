-- What a marketer writes: two record types out of the shop's own tables, two campaigns on them.
-- The delays are those of a demo; a real campaign says '2 days'.
set search_path to marketing_automation;

select register_model('customer', 'shop.customer',
    key            => 'self.id',
    party          => 'self.id',
    email          => 'self.email',
    recipient_name => 'self.first_name || '' '' || self.last_name',
    language       => 'self.language',
    time_zone      => 'self.time_zone');

select register_model('order', 'shop.order_detail',
    key            => 'self.id',
    party          => 'self.customer_id',
    email          => 'self.email',
    recipient_name => 'self.first_name || '' '' || self.last_name',
    language       => 'self.language',
    time_zone      => 'self.time_zone');

-- 1. A welcome series for new customers who want our newsletter.
select create_scenario('welcome', model => 'customer',
    domain => $$self.newsletter and self.created_at > now() - interval '7 days'$$,
    unsubscribable => true);

select add_activity('welcome', 'hello',
    subject => 'Welcome to the Tea Shop, {{ record.first_name }}!',
    body => $$<!DOCTYPE html>
<html>
<body style="margin: 0; background: #f3f1ea; font-family: Georgia, serif; color: #2d3a2e">
  <table role="presentation" width="100%" cellpadding="0" cellspacing="0"><tr><td align="center" style="padding: 32px 12px">
    <table role="presentation" width="560" cellpadding="0" cellspacing="0" style="background: #ffffff; border-radius: 8px">
      <tr><td style="padding: 28px 40px; background: #2f5d3a; border-radius: 8px 8px 0 0; color: #ffffff; font-size: 22px">The Tea Shop</td></tr>
      <tr><td style="padding: 32px 40px; font-size: 16px; line-height: 1.6">
        <p>Dear {{ record.first_name }} {{ record.last_name }},</p>
        <p>thank you for joining us on {{ record.created_at | format_date("long") }}. We travel to the gardens ourselves and
           pack every order by hand.</p>
        <p>A first order over {{ 50 | format_currency(record.currency) }} travels to {{ record.city }} free of charge.</p>
        <p style="padding: 16px 0"><a href="https://shop.example/first-order?customer={{ record.id }}"
           style="background: #2f5d3a; color: #ffffff; padding: 14px 28px; border-radius: 4px; text-decoration: none">Choose your first tea</a></p>
        <p>Or read <a href="https://shop.example/journal/water-temperature">why the temperature of the water matters</a>.</p>
      </td></tr>
      <tr><td style="padding: 20px 40px; border-top: 1px solid #e2dfd4; font-size: 13px; color: #7b7f76">
        Questions? Write to <a href="mailto:hello@shop.example">hello@shop.example</a>.<br>
        You get this because you joined our newsletter. <a href="unsubscribe|https://shop.example/goodbye">Unsubscribe</a>
      </td></tr>
    </table>
  </td></tr></table>
</body>
</html>$$);

insert into activity_translation (activity_id, language, subject, body)
select id, 'fr', 'Bienvenue au Salon de thé, {{ record.first_name }} !',
    $$<!DOCTYPE html>
<html>
<body style="margin: 0; background: #f3f1ea; font-family: Georgia, serif; color: #2d3a2e">
  <table role="presentation" width="560" align="center" cellpadding="0" cellspacing="0" style="background: #ffffff">
    <tr><td style="padding: 28px 40px; background: #2f5d3a; color: #ffffff; font-size: 22px">Le Salon de thé</td></tr>
    <tr><td style="padding: 32px 40px; font-size: 16px; line-height: 1.6">
      <p>Chère cliente, cher client,</p>
      <p>merci de nous avoir rejoints le {{ record.created_at | format_date("long") }}. Pour une première commande de plus de
         {{ 50 | format_currency(record.currency) }}, la livraison à {{ record.city }} est offerte.</p>
      <p><a href="https://shop.example/fr/premiere-commande?client={{ record.id }}">Choisir mon premier thé</a></p>
      <p style="font-size: 13px; color: #7b7f76"><a href="unsubscribe|https://shop.example/fr/au-revoir">Se désinscrire</a></p>
    </td></tr>
  </table>
</body>
</html>$$
from activity where name = 'hello';

select add_activity('welcome', 'tips', parent => 'hello', on_event => 'email_opened',
    subject => 'Three ways to brew a better cup',
    body => $$<h1>Three ways to brew a better cup</h1>
<ol><li>Fresh water, never boiled twice.</li><li>Warm the pot.</li><li>Use a clock: two minutes for Sencha, four for Assam.</li></ol>
<p><a href="https://shop.example/journal">More in our journal</a> · <a href="unsubscribe">Unsubscribe</a></p>$$);

select add_activity('welcome', 'voucher', parent => 'hello', on_event => 'email_clicked',
    subject => '{{ record.first_name }}, {{ 5 | format_currency(record.currency) }} for your first order',
    body => $$<p>You had a look around: good!</p>
<p>With the code <strong>TEA-{{ record.id }}</strong> you save {{ 5 | format_currency(record.currency) }} until Sunday.</p>
<p><a href="https://shop.example/voucher/TEA-{{ record.id }}">Use it now</a> · <a href="unsubscribe">Unsubscribe</a></p>$$);

select add_activity('welcome', 'second try', parent => 'hello', on_event => 'email_not_opened', delay => '40 seconds',
    condition => $$self.created_at > now() - interval '5 days'$$,
    subject => 'Did our first mail get lost, {{ record.first_name }}?',
    body => $$<p>Dear {{ record.first_name }},</p><p>our welcome to you is still unopened, and so is the free delivery in it.</p>
<p><a href="https://shop.example/first-order?customer={{ record.id }}">Have a look</a> · <a href="unsubscribe">Unsubscribe</a></p>$$);

-- 2. A reminder of what was left in the basket, in MJML.
select create_scenario('abandoned order', model => 'order',
    domain => $$self.state = 'cart' and self.updated_at between now() - interval '2 days' and now() - interval '1 hour'$$);

select add_activity('abandoned order', 'reminder',
    sender => 'The Tea Shop <basket@shop.example>',
    subject => 'Your basket of {{ record.total | format_currency(record.currency) }} is waiting',
    body => $$<mjml>
  <mj-head><mj-preview>We kept it for you.</mj-preview></mj-head>
  <mj-body background-color="#f3f1ea">
    <mj-section background-color="#2f5d3a"><mj-column><mj-text color="#ffffff" font-size="22px">The Tea Shop</mj-text></mj-column></mj-section>
    <mj-section background-color="#ffffff"><mj-column>
      <mj-text font-size="16px">{{ record.first_name }}, this has been in your basket since {{ record.updated_at | format_datetime }}:</mj-text>
      <mj-table>{% for line in record.lines %}
        <tr><td>{{ line.quantity }} × {{ line.name }}</td><td align="right">{{ line.amount | format_currency(record.currency) }}</td></tr>{% endfor %}
        <tr><td><b>Total</b></td><td align="right"><b>{{ record.total | format_currency(record.currency) }}</b></td></tr>
      </mj-table>
      <mj-button background-color="#2f5d3a" href="https://shop.example/basket/{{ record.id }}">Complete the order</mj-button>
    </mj-column></mj-section>
  </mj-body>
</mjml>$$);

insert into activity_translation (activity_id, language, subject, body)
select id, 'fr', 'Votre panier de {{ record.total | format_currency(record.currency) }} vous attend',
    $$<mjml>
  <mj-body background-color="#f3f1ea">
    <mj-section background-color="#ffffff"><mj-column>
      <mj-text font-size="16px">{{ record.first_name }}, ces articles vous attendent depuis le {{ record.updated_at | format_datetime }} :</mj-text>
      <mj-table>{% for line in record.lines %}
        <tr><td>{{ line.quantity }} × {{ line.name }}</td><td align="right">{{ line.amount | format_currency(record.currency) }}</td></tr>{% endfor %}
      </mj-table>
      <mj-button background-color="#2f5d3a" href="https://shop.example/fr/panier/{{ record.id }}">Terminer la commande</mj-button>
    </mj-column></mj-section>
  </mj-body>
</mjml>$$
from activity where name = 'reminder';

select add_activity('abandoned order', 'last call', parent => 'reminder', on_event => 'email_not_clicked', delay => '40 seconds',
    condition => $$self.state = 'cart'$$,
    subject => 'We are about to put your basket back on the shelf',
    body => $$<p>{{ record.first_name }}, tomorrow the {{ record.lines | length }} article(s) in your basket go back on the shelf.</p>
<p><a href="https://shop.example/basket/{{ record.id }}">Keep them for me</a></p>$$);

select run('welcome');
select run('abandoned order');
