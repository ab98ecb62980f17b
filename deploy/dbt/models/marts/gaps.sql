{{ config(enabled=has_intervals(["1min"])) }}
-- Times without 1-minute candles of a series for more than `gap_minutes`.
with steps as (
    select
        source, symbol, end_date_time as began,
        lead(date_time) over (partition by source, symbol order by date_time) as ended
    from {{ ref("stg_candle_1min") }}
)

select
    source, symbol, began, ended,
    date_diff('minute', began, ended) as minutes,
    -- The gap includes midnight before Saturday, when most markets are closed.
    date_trunc('week', began + interval '2' day) < date_trunc('week', ended + interval '2' day) as over_weekend
from steps
where date_diff('minute', began, ended) > {{ var("gap_minutes") }}
