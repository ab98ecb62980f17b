{{ config(materialized="incremental", incremental_strategy="merge", unique_key=["source", "symbol", "date_time"]) }}
-- Ticks, duplicates and delays per day.
select
    source, symbol, date_trunc('day', date_time) as date_time,
    count(*) as ticks,
    sum(copies) - count(*) as duplicates,
    count_if(not is_tradable) as not_tradable,
    min(date_time) as first_tick,
    max(date_time) as last_tick,
    avg(date_diff('millisecond', date_time, receive_date_time)) as mean_delay_ms
from {{ ref("stg_ticks") }}
{% if is_incremental() -%}
where date_time >= {{ look_back_since() }}
{%- endif %}
group by source, symbol, date_trunc('day', date_time)
