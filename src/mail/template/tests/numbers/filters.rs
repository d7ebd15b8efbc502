//! Filters and formats of numbers.

use super::prints;

#[test]
fn filters_keep_the_digits() {
    prints(&[
        (
            "{{ record.price|round }} {{ record.price|round(1) }} {{ record.price|round(3) }}",
            "20 19.9 19.900",
        ),
        (
            "{{ record.price|round(0, 'floor') }} {{ record.minus|round(0) }} {{ record.price|round(-1) }}",
            "19 -3 20",
        ),
        (
            "{{ record.price|round(method='ceil') }} {{ 2.5|round }} {{ 19.955|round(2) }}",
            "20 3.0 19.96",
        ),
        (
            "{{ record.minus|abs }} {{ record.price|int }} {{ record.minus|int }}",
            "2.50 19 -2",
        ),
        (
            "{{ record.price|float }} {{ 5|float }} {{ '19.90'|float }} {{ '19.90'|float * 3 }}",
            "19.90 5.0 19.90 59.70",
        ),
        (
            "{{ '123456789012345678901234'|int }} {{ 'x'|int(default=4) }} {{ '0x1f'|int(base=16) }}",
            "123456789012345678901234 4 31",
        ),
        (
            "{{ record.prices|sum }} {{ record.orders|sum(attribute='total') }}",
            "48.40 65.40",
        ),
        (
            "{{ record.prices|sum(start=0.10) }} {{ [1, 2]|sum }}",
            "48.50 3",
        ),
        (
            "{{ record.prices|min }} {{ record.prices|max }} {{ record.prices|sort|join(' ') }}",
            "3 20 3 5.5 19.90 20",
        ),
        (
            "{{ (record.orders|sort(attribute='total'))|map(attribute='total')|join(' ') }}",
            "5.5 19.90 20 20.00",
        ),
        (
            "{{ (record.orders|max(attribute='total')).no }} {{ record.orders|map(attribute='total')|unique|join(' ') }}",
            "8 19.90 20 5.5",
        ),
        (
            "{% for g in record.orders|groupby('total') %}{{ g.grouper }}:{{ g.list|length }} {% endfor %}",
            "5.5:1 19.90:1 20:2",
        ),
        (
            "{{ record.by|dictsort(by='value') }}",
            "[('b', 1), ('a', 2.5)]",
        ),
        (
            "{{ record.orders|selectattr('total', '>', 10)|map(attribute='no')|join }}",
            "787",
        ),
        (
            "{{ record.prices|select('lt', 10)|join(' ') }} {{ record.prices|map('round', 1)|join(' ') }}",
            "3 5.5 19.9 3 5.5 20",
        ),
        (
            "{{ record.price|tojson }} {{ record.orders[:1]|tojson }}",
            "19.90 [{\"no\": 7, \"total\": 19.90}]",
        ),
        (
            "{% for i in range(record.whole) %}{{ i }}{% endfor %} {{ 'ab' * record.count }}",
            "01234 ababab",
        ),
        (
            "{% set ns = namespace(sum=0) %}{% for o in record.orders %}{% set ns.sum = ns.sum + o.total * 2 %}{% endfor %}{{ ns.sum }}",
            "130.80",
        ),
    ]);
}

#[test]
fn formats_keep_the_digits() {
    prints(&[
        (
            "{{ '%.2f'|format(record.price) }} {{ '%.1f'|format(record.total) }} {{ '%d'|format(record.price) }}",
            "19.90 123456789012345679.0 19",
        ),
        (
            "{{ '%8.2f|%-8.1f|%08.2f|%+.0f'|format(record.price, record.price, record.minus, record.price) }}",
            "19.90|19.9    |-0002.50|+20",
        ),
        (
            "{{ '%s %s%%'|format(record.price, 5) }} {{ '%.2f' % record.price }} {{ '%s-%s' % (1, record.price) }}",
            "19.90 5% 19.90 1-19.90",
        ),
        (
            "{{ '{:.2f} {:,.2f} {}'.format(record.price, record.total, record.price) }}",
            "19.90 123,456,789,012,345,678.99 19.90",
        ),
        (
            "{{ '{0:.1f}/{0}/{1}'.format(record.price, 'x') }} {{ '{a}{{}}'.format(a=1) }}",
            "19.9/19.90/x 1{}",
        ),
        (
            "{{ '{:>8.2f}|{:<8}|{:08.1f}'.format(record.price, record.price, record.price) }}",
            "19.90|19.90   |000019.9",
        ),
        (
            "{{ record.total|format_currency('EUR') }}",
            "123 456 789 012 345 678,99 €",
        ),
        (
            "{{ record.price|format_currency('EUR') }} {{ (record.price * 3)|format_currency('EUR') }}",
            "19,90 € 59,70 €",
        ),
        (
            "{{ record.price|format_number }} {{ record.price|format_number(1) }} {{ record.whole|format_number }}",
            "19,90 19,9 5,00",
        ),
    ]);
}
