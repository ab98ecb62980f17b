{{ config(enabled=has_intervals(["1day", "5min"])) }}
-- Closing prices of final days, their returns and volatility.
with days as (
    select
        source, symbol, date_time, close,
        lag(close) over (partition by source, symbol order by date_time) as previous_close
    from {{ ref("stg_candle_1day") }}
    where is_final
),

moves as (
    select
        source, symbol, date_trunc('day', date_time) as date_time,
        {{ log_return("close", "lag(close) over (partition by source, symbol order by date_time)") }} as log_return
    from {{ ref("stg_candle_5min") }}
    where is_final
),

within as (
    select source, symbol, date_time, sqrt(sum(log_return * log_return)) as realised_volatility
    from moves
    group by source, symbol, date_time
)

select
    days.*,
    days.close / days.previous_close - 1 as simple_return,
    {{ log_return("days.close", "days.previous_close") }} as log_return,
    within.realised_volatility,
    if(
        count(days.previous_close) over twenty = 20,
        stddev_samp({{ log_return("days.close", "days.previous_close") }}) over twenty * sqrt({{ var("trading_days") }})
    ) as volatility_20_days
from days
left join within
    on days.source = within.source and days.symbol = within.symbol and days.date_time = within.date_time
window twenty as (
    partition by days.source, days.symbol order by days.date_time rows between 19 preceding and current row
)
