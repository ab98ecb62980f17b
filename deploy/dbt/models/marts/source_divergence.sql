{{ config(enabled=has_intervals(["1min"]), materialized="incremental", incremental_strategy="merge", unique_key=["symbol", "source", "other_source", "date_time"]) }}
-- Divergence of two sources of one symbol per day, over the minutes that both have.
with minutes as (
    select
        source, symbol, date_time, close,
        {{ log_return("close", "lag(close) over (partition by source, symbol order by date_time)") }} as log_return
    from {{ ref("stg_candle_1min") }}
    where
        is_final
        {% if is_incremental() -%}
        and date_time >= {{ look_back_since() }}
        {%- endif %}
)

select
    one.symbol, one.source, other.source as other_source,
    date_trunc('day', one.date_time) as date_time,
    count(*) as minutes,
    avg(abs(10000 * (other.close / one.close - 1))) as mean_basis_points,
    max(abs(10000 * (other.close / one.close - 1))) as largest_basis_points,
    max_by(one.date_time, abs(other.close / one.close - 1)) as largest_at,
    corr(one.log_return, other.log_return) as correlation_of_returns
from minutes as one
inner join minutes as other
    on one.symbol = other.symbol and one.date_time = other.date_time and one.source < other.source
group by one.symbol, one.source, other.source, date_trunc('day', one.date_time)
