{# A column of a table of candles. Rows of older formats are null in newer columns, whose value then is
   that of another column. #}
{% macro with_default(column) -%}
    {%- if column.if_null -%}
    coalesce({{ column.name }}, {{ column.if_null }}) as {{ column.name }}
    {%- else -%}
    {{ column.name }}
    {%- endif -%}
{%- endmacro %}

{# The columns of a candle as in the views of deploy/trino: `volume` is the size of trades where the
   candle is made of them, while the table's column of that name is the number of ticks. #}
{% macro view_columns() -%}
    {%- for column in candle_columns() if column.name != "traded_volume" -%}
    {%- if column.name == "volume" -%}
    coalesce(traded_volume, volume) as volume
    {%- elif column.name == "turnover" -%}
    turnover, cast(turnover as double) / cast(nullif(traded_volume, 0) as double) as vwap
    {%- else -%}
    {{ with_default(column) }}
    {%- endif -%}
    {{ ", " if not loop.last }}
    {%- endfor -%}
{%- endmacro %}

{# The candles of an interval in the lake. #}
{% macro candles_of(name) %}
{%- if landed_by_trino() %}
-- depends_on: {{ ref("land_candle_" ~ name) }}
{%- endif %}
select {{ view_columns() }}, {{ end_of(name, "date_time") }} as end_date_time
from {{ source("lake", "candle_" ~ name ~ "_iceberg") }}
{% endmacro %}

{# The candles of an interval in the topic, last hour: deploy/trino/views.sql. #}
{% macro live_candles_of(name) %}
select *, {{ end_of(name, "date_time") }} as end_date_time
from {{ source("live", "candle_" ~ name) }}
{% endmacro %}
