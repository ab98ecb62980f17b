{% test one_row(model, by) %}
select {{ by | join(", ") }}, count(*) as row_count
from {{ model }}
group by {{ by | join(", ") }}
having count(*) > 1
{% endtest %}

{# The contract of a tick, as far as SQL can check it. #}
{% test plausible_ticks(model) %}
select source, symbol, date_time, number
    {%- for column in tick_columns() if column.required and column.type == "double" %}, {{ column.name }}{% endfor %}
from {{ model }}
where
    date_time >= {{ checked_since(model) }}
    and not (
        number >= 0
        {%- for column in tick_columns() if column.required and column.type == "double" %}
        and is_finite({{ column.name }}) and {{ column.name }} > 0
        {%- endfor %}
    )
{% endtest %}
