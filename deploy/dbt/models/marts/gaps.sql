-- Where a series was silent for long: no candle of a minute for more than `gap_minutes`.
with steps as (
    select
        source, symbol, end_date_time as began,
        lead(date_time) over (partition by source, symbol order by date_time) as ended
    from {{ ref("stg_candle_1min") }}
)

select
    source, symbol, began, ended,
    date_diff('minute', began, ended) as minutes,
    -- It lies across the night to Monday, when many markets are closed.
    date_trunc('week', began) < date_trunc('week', ended) as over_weekend
from steps
where date_diff('minute', began, ended) > {{ var("gap_minutes") }}
