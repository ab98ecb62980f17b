{% test one_row(model, by) %}
select {{ by | join(", ") }}, count(*) as row_count
from {{ model }}
group by {{ by | join(", ") }}
having count(*) > 1
{% endtest %}

{# The contract of a tick, as far as SQL can check it. #}
{% test plausible_ticks(model) %}
{%- set quote = tick_columns() | selectattr("of", "equalto", "quote") | map(attribute="name") | list %}
select source, symbol, date_time, number, {{ quote | join(", ") }}, price, size, side
from {{ model }}
where
    date_time >= {{ checked_since(model) }}
    and not coalesce(
        number >= 0
        and (
            price is not null{% for name in quote %} and {{ name }} is null{% endfor %}
            or {% for name in quote %}{{ plausible_price(name) }}{{ " and " if not loop.last }}{% endfor %}
        )
        and (price is null or {{ plausible_price("price") }} and abs(price) < 1e12)
        and (size is null or size >= 0 and price is not null)
        and (side is null or side in ('buy', 'sell') and price is not null),
        false
    )
{% endtest %}
