{% test one_row(model, by) %}
select {{ by | join(", ") }}, count(*) as row_count
from {{ model }}
group by {{ by | join(", ") }}
having count(*) > 1
{% endtest %}

{# The contract of a tick, as far as SQL can check it. #}
{% test plausible_ticks(model) %}
select source, symbol, date_time, number, ask, bid, mid
from {{ model }}
where
    date_time >= {{ checked_since(model) }}
    and not (
        number >= 0 and is_finite(ask) and is_finite(bid) and is_finite(mid) and ask > 0 and bid > 0 and mid > 0
    )
{% endtest %}
