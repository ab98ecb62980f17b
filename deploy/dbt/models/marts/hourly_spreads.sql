{{ config(materialized="incremental", incremental_strategy="merge", unique_key=["source", "symbol", "date_time"]) }}
-- The cost of trading immediately: ask minus bid of every quote, without duplicates.
with spreads as (
    select
        source, symbol, date_trunc('hour', date_time) as date_time,
        ask - bid as spread, 10000 * (ask - bid) / mid as basis_points
    from {{ ref("stg_ticks") }}
    where mid is not null
    {% if is_incremental() -%}
    and date_time >= {{ look_back_since("hour") }}
    {%- endif %}
)

select
    source, symbol, date_time,
    count(*) as ticks,
    avg(spread) as mean_spread,
    min(spread) as least_spread,
    max(spread) as largest_spread,
    approx_percentile(spread, 0.5) as median_spread,
    approx_percentile(spread, 0.95) as spread_of_95_percent,
    avg(basis_points) as mean_basis_points
from spreads
group by source, symbol, date_time
