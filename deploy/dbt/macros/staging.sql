{# The candles of an interval as the lake has them. #}
{% macro candles_of(name) %}
{%- if landed_by_trino() %}
-- depends_on: {{ ref("land_candle_" ~ name) }}
{%- endif %}
select *, {{ end_of(name, "date_time") }} as end_date_time
from {{ source("lake", "candle_" ~ name ~ "_iceberg") }}
{% endmacro %}

{# What the topic has got of an interval's candles in the last hour: deploy/trino/views.sql. #}
{% macro live_candles_of(name) %}
select *, {{ end_of(name, "date_time") }} as end_date_time
from {{ source("live", "candle_" ~ name) }}
{% endmacro %}
