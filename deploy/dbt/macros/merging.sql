{# The columns of a staging model that depend on a candle's ticks. #}
{% macro counted_columns() %}
    {{ return(candle_columns() | selectattr("merge") | rejectattr("name", "equalto", "traded_volume") | list) }}
{% endmacro %}

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
    {%- for column in counted_columns() -%}
    {{ one }}.{{ column.name }} is distinct from {{ other }}.{{ column.name }}{{ " or " if not loop.last }}
    {%- endfor -%}
{%- endmacro %}
