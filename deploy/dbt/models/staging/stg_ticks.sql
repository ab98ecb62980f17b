-- Each tick once: of duplicates, the one with the smallest offset. A quote and a trade are two ticks.
select {{ tick_columns() | map(attribute="name") | join(", ") }}, copies
from (
    select
        *,
        row_number() over (
            partition by source, symbol, date_time, number, mid is null, price is null
            order by kafka_partition, kafka_offset
        ) as copy_number,
        count(*) over (partition by source, symbol, date_time, number, mid is null, price is null) as copies
    from {{ source("lake", "stock_ticks_iceberg") }}
)
where copy_number = 1
