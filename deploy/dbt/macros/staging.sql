{# The columns of a candle. Rows of older formats are null in newer columns, whose value then is that
   of another column. #}
{% macro columns_with_defaults() -%}
    {%- for column in candle_columns() -%}
    {%- if column.if_null -%}
    coalesce({{ column.name }}, {{ column.if_null }}) as {{ column.name }}
    {%- else -%}
    {{ column.name }}
    {%- endif -%}
    {{ ", " if not loop.last }}
    {%- endfor -%}
{%- endmacro %}

{# The candles of an interval in the lake. #}
{% macro candles_of(name) %}
{%- if landed_by_trino() %}
-- depends_on: {{ ref("land_candle_" ~ name) }}
{%- endif %}
select {{ columns_with_defaults() }}, {{ end_of(name, "date_time") }} as end_date_time
from {{ source("lake", "candle_" ~ name ~ "_iceberg") }}
{% endmacro %}

{# The candles of an interval in the topic, last hour: deploy/trino/views.sql. #}
{% macro live_candles_of(name) %}
select *, {{ end_of(name, "date_time") }} as end_date_time
from {{ source("live", "candle_" ~ name) }}
{% endmacro %}
