{# In the catalog of the topics every column is text: an invalid record must not fail a query. #}
{% macro instant(text) -%}
    try_cast(replace(trim(trailing 'Z' from {{ text }}), 'T', ' ') || ' UTC' as timestamp(6) with time zone)
{%- endmacro %}

{# The newest record of each key in a candle topic, among the records that meet a condition on Kafka's
   columns. A tombstone has only a key. Invalid candles are left out. #}
{% macro newest_records(name, condition) %}
    select
        source, symbol, date_time, open, high, low, close, volume, open_date_time, open_number,
        close_date_time, close_number, is_final, revision, update_date_time
    from (
        select
            *, row_number() over (partition by source, symbol, date_time order by at desc) as age
        from (
            select
                _partition_offset as at,
                _message_length = 0 as is_tombstone,
                -- The key of a tombstone is a candle without prices.
                if(_message_length = 0, json_extract_scalar(_key, '$.source'), source) as source,
                if(_message_length = 0, json_extract_scalar(_key, '$.symbol'), symbol) as symbol,
                {{ instant("if(_message_length = 0, json_extract_scalar(_key, '$.dateTime'), date_time)") }} as date_time,
                try_cast(open as double) as open,
                try_cast(high as double) as high,
                try_cast(low as double) as low,
                try_cast(close as double) as close,
                try_cast(volume as bigint) as volume,
                {{ instant("open_date_time") }} as open_date_time,
                try_cast(open_number as bigint) as open_number,
                {{ instant("close_date_time") }} as close_date_time,
                try_cast(close_number as bigint) as close_number,
                try_cast(is_final as boolean) as is_final,
                try_cast(revision as integer) as revision,
                {{ instant("update_date_time") }} as update_date_time
            from {{ source("topics", "candle_" ~ name) }}
            where {{ condition }}
        )
        where
            source is not null and symbol is not null and date_time is not null
            and (
                is_tombstone
                or open is not null and high is not null and low is not null and close is not null
                and volume > 0
            )
    )
    where age = 1
{% endmacro %}
