{# A column of a candle from those of finer candles, by how it merges. #}
{% macro rolled_up(column) -%}
    {%- if column.merge == "first" -%}
        min_by({{ column.name }}, date_time)
    {%- elif column.merge == "last" -%}
        max_by({{ column.name }}, date_time)
    {%- else -%}
        {{ column.merge }}({{ column.name }})
    {%- endif -%}
{%- endmacro %}

{# Whether two candles differ in a column that depends on their ticks. #}
{% macro differs(one, other) -%}
    {%- for column in candle_columns() if column.merge -%}
    {{ one }}.{{ column.name }} is distinct from {{ other }}.{{ column.name }}{{ " or " if not loop.last }}
    {%- endfor -%}
{%- endmacro %}
