-- Each tick once: of copies the one with the smaller offset counts.
select
    source, symbol, date_time, number, ask, bid, mid, ask_markup, bid_markup, is_tradable,
    receive_date_time, copies
from (
    select
        *,
        row_number() over (partition by source, symbol, date_time, number order by kafka_partition, kafka_offset) as place,
        count(*) over (partition by source, symbol, date_time, number) as copies
    from {{ source("lake", "stock_ticks_iceberg") }}
)
where place = 1
