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

-- What the mails have in common: a frame in the two languages that we write, and a footer for those in MJML.
insert into snippet (name, language, body) values
('frame', '', $$<!DOCTYPE html>
<html>
<head><meta name="viewport" content="width=device-width, initial-scale=1"></head>
<body style="margin: 0; background: #f3f1ea; font-family: Georgia, serif; color: #2d3a2e">
  <table role="presentation" width="100%" cellpadding="0" cellspacing="0"><tr><td align="center" style="padding: 24px 12px">
    <table role="presentation" width="100%" cellpadding="0" cellspacing="0" style="max-width: 560px; background: #ffffff; border-radius: 8px">
      <tr><td style="padding: 24px 28px; background: #2f5d3a; border-radius: 8px 8px 0 0; color: #ffffff; font-size: 22px">
        {% block title %}The Tea Shop{% endblock %}</td></tr>
      <tr><td style="padding: 20px 28px; font-size: 16px; line-height: 1.6">{% block content %}{% endblock %}</td></tr>
      <tr><td style="padding: 20px 28px; border-top: 1px solid #e2dfd4; font-size: 13px; line-height: 1.6; color: #6b6f66">
        {% block footer %}Questions? Write to <a href="mailto:hello@shop.example" style="color: #2f5d3a">hello@shop.example</a>.<br>
        You get this because you joined our newsletter.
        <a href="unsubscribe|https://shop.example/goodbye" style="color: #2f5d3a">Unsubscribe</a>{% endblock %}
      </td></tr>
    </table>
  </td></tr></table>
</body>
</html>$$),
('button', '', $${% macro button(url, label) %}<p style="padding: 12px 0"><a href="{{ url }}" style="background: #2f5d3a; color: #ffffff;
  padding: 14px 28px; border-radius: 4px; text-decoration: none; display: inline-block">{{ label }}</a></p>{% endmacro %}$$),
('basket', '', $$<mj-section background-color="#ffffff"><mj-column>
  <mj-table>{% for line in record.lines %}
    <tr><td>{{ line.quantity }} × {{ line.name }}</td><td align="right">{{ line.amount | format_currency(record.currency) }}</td></tr>{% endfor %}
    <tr><td><b>Total</b></td><td align="right"><b>{{ record.total | format_currency(record.currency) }}</b></td></tr>
  </mj-table>
</mj-column></mj-section>$$),
('basket_footer', '', $$<mj-section><mj-column><mj-text font-size="13px" line-height="1.6" color="#6b6f66" align="center">
  You get this because you left something in your basket.
  <a href="unsubscribe|https://shop.example/goodbye" style="color: #2f5d3a">No more reminders</a></mj-text></mj-column></mj-section>$$),
('basket_footer', 'fr', $$<mj-section><mj-column><mj-text font-size="13px" line-height="1.6" color="#6b6f66" align="center">
  Vous recevez ce message car votre panier n'est pas vide.
  <a href="unsubscribe|https://shop.example/fr/au-revoir" style="color: #2f5d3a">Plus de rappels</a></mj-text></mj-column></mj-section>$$);

-- 1. A welcome series for new customers who want our newsletter.
select create_scenario('welcome', model => 'customer',
    domain => $$self.newsletter and self.created_at > now() - interval '7 days'$$,
    unsubscribable => true, title => 'Tea Shop newsletter');

select add_activity('welcome', 'hello',
    subject => 'Welcome to the Tea Shop, {{ record.first_name }}!',
    body => $${% extends "frame" %}{% from "button" import button %}{% block content %}
<p>Dear {{ record.first_name }} {{ record.last_name }},</p>
<p>thank you for joining us on {{ record.created_at | format_date("long") }}. We travel to the gardens ourselves and pack every
   order by hand.</p>
<p>A first order over {{ 50 | format_currency(record.currency) }} travels to {{ record.city }} free of charge.</p>
{{ button("https://shop.example/first-order?customer=" ~ record.id, "Choose your first tea") }}
<p>Or read <a href="https://shop.example/journal/water-temperature" style="color: #2f5d3a">why the temperature of the water
   matters</a>.</p>{% endblock %}$$);

insert into activity_translation (activity_id, language, subject, body)
select id, 'fr', 'Bienvenue au Salon de thé, {{ record.first_name }} !',
    $${% extends "frame" %}{% from "button" import button %}{% block title %}Le Salon de thé{% endblock %}{% block content %}
<p>Bonjour {{ record.first_name }},</p>
<p>merci de nous avoir rejoints le {{ record.created_at | format_date("long") }}. Pour une première commande de plus de
   {{ 50 | format_currency(record.currency) }}, la livraison à {{ record.city }} est offerte.</p>
{{ button("https://shop.example/fr/premiere-commande?client=" ~ record.id, "Choisir mon premier thé") }}{% endblock %}
{% block footer %}Vous recevez ce message car vous êtes abonné à notre lettre.
<a href="unsubscribe|https://shop.example/fr/au-revoir" style="color: #2f5d3a">Se désinscrire</a>{% endblock %}$$
from activity where name = 'hello';

select add_activity('welcome', 'tips', parent => 'hello', on_event => 'email_opened',
    subject => 'Three ways to brew a better cup',
    body => $${% extends "frame" %}{% from "button" import button %}{% block content %}
<p>Three ways to brew a better cup:</p>
<ol style="padding-left: 20px"><li>Fresh water, never boiled twice.</li><li>Warm the pot.</li>
<li>Use a clock: two minutes for Sencha, four for Assam.</li></ol>
{{ button("https://shop.example/journal", "More in our journal") }}{% endblock %}$$);

select add_activity('welcome', 'voucher', parent => 'hello', on_event => 'email_clicked',
    subject => '{{ record.first_name }}, {{ 5 | format_currency(record.currency) }} for your first order',
    body => $${% extends "frame" %}{% from "button" import button %}{% block content %}
<p>Dear {{ record.first_name }},</p><p>you had a look around: good!</p>
<p>With the code <strong>TEA-{{ record.id }}</strong> you save {{ 5 | format_currency(record.currency) }} until Sunday.</p>
{{ button("https://shop.example/voucher/TEA-" ~ record.id, "Use it now") }}{% endblock %}$$);

select add_activity('welcome', 'second try', parent => 'hello', on_event => 'email_not_opened', delay => '40 seconds',
    condition => $$self.created_at > now() - interval '5 days'$$,
    subject => 'Did our first mail get lost, {{ record.first_name }}?',
    body => $${% extends "frame" %}{% from "button" import button %}{% block content %}
<p>Dear {{ record.first_name }},</p><p>our welcome to you is still unopened, and so is the free delivery in it.</p>
{{ button("https://shop.example/first-order?customer=" ~ record.id, "Have a look") }}{% endblock %}$$);

-- 2. A reminder of what was left in the basket, in MJML.
select create_scenario('abandoned order', model => 'order',
    domain => $$self.state = 'cart' and self.updated_at between now() - interval '2 days' and now() - interval '1 hour'$$,
    unsubscribable => true, title => 'Basket reminders');

select add_activity('abandoned order', 'reminder',
    sender => 'The Tea Shop <basket@shop.example>',
    subject => 'Your basket of {{ record.total | format_currency(record.currency) }} is waiting',
    body => $$<mjml>
  <mj-head><mj-preview>We kept it for you.</mj-preview></mj-head>
  <mj-body background-color="#f3f1ea">
    <mj-section background-color="#2f5d3a"><mj-column><mj-text color="#ffffff" font-size="22px">The Tea Shop</mj-text></mj-column></mj-section>
    <mj-section background-color="#ffffff" padding-bottom="0"><mj-column>
      <mj-text font-size="16px" line-height="1.6">{{ record.first_name }}, this has been in your basket since {{ record.updated_at | format_datetime }}:</mj-text>
    </mj-column></mj-section>
    {% include "basket" %}
    <mj-section background-color="#ffffff" padding-top="0"><mj-column>
      <mj-button background-color="#2f5d3a" href="https://shop.example/basket/{{ record.id }}">Complete the order</mj-button>
    </mj-column></mj-section>
    {% include "basket_footer" %}
  </mj-body>
</mjml>$$);

insert into activity_translation (activity_id, language, subject, body)
select id, 'fr', 'Votre panier de {{ record.total | format_currency(record.currency) }} vous attend',
    $$<mjml>
  <mj-body background-color="#f3f1ea">
    <mj-section background-color="#2f5d3a"><mj-column><mj-text color="#ffffff" font-size="22px">Le Salon de thé</mj-text></mj-column></mj-section>
    <mj-section background-color="#ffffff" padding-bottom="0"><mj-column>
      <mj-text font-size="16px" line-height="1.6">{{ record.first_name }}, ces articles vous attendent depuis le {{ record.updated_at | format_datetime }} :</mj-text>
    </mj-column></mj-section>
    {% include "basket" %}
    <mj-section background-color="#ffffff" padding-top="0"><mj-column>
      <mj-button background-color="#2f5d3a" href="https://shop.example/fr/panier/{{ record.id }}">Terminer la commande</mj-button>
    </mj-column></mj-section>
    {% include "basket_footer" %}
  </mj-body>
</mjml>$$
from activity where name = 'reminder';

select add_activity('abandoned order', 'last call', parent => 'reminder', on_event => 'email_not_clicked', delay => '40 seconds',
    condition => $$self.state = 'cart'$$,
    sender => 'The Tea Shop <basket@shop.example>',
    subject => 'We are about to put your basket back on the shelf',
    body => $$<mjml>
  <mj-body background-color="#f3f1ea">
    <mj-section background-color="#2f5d3a"><mj-column><mj-text color="#ffffff" font-size="22px">The Tea Shop</mj-text></mj-column></mj-section>
    <mj-section background-color="#ffffff" padding-bottom="0"><mj-column>
      <mj-text font-size="16px" line-height="1.6">{{ record.first_name }}, tomorrow what is in your basket goes back on the shelf:</mj-text>
    </mj-column></mj-section>
    {% include "basket" %}
    <mj-section background-color="#ffffff" padding-top="0"><mj-column>
      <mj-button background-color="#2f5d3a" href="https://shop.example/basket/{{ record.id }}">Keep it for me</mj-button>
    </mj-column></mj-section>
    {% include "basket_footer" %}
  </mj-body>
</mjml>$$);

select run('welcome');
select run('abandoned order');
