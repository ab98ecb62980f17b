{# The candles of an interval in the lake. #}
{% macro candles_of(name) %}
{%- if landed_by_trino() %}
-- depends_on: {{ ref("land_candle_" ~ name) }}
{%- endif %}
select *, {{ end_of(name, "date_time") }} as end_date_time
from {{ source("lake", "candle_" ~ name ~ "_iceberg") }}
{% endmacro %}

{# The candles of an interval in the topic, last hour: deploy/trino/views.sql. #}
{% macro live_candles_of(name) %}
select *, {{ end_of(name, "date_time") }} as end_date_time
from {{ source("live", "candle_" ~ name) }}
{% endmacro %}
