{# In the catalog of the topics every column is text: an invalid record must not fail a query. #}
{% macro instant(text) -%}
    try_cast(replace(trim(trailing 'Z' from {{ text }}), 'T', ' ') || ' UTC' as timestamp(6) with time zone)
{%- endmacro %}

{# A column of the topics' tables as its type, from macros/fields.sql. #}
{% macro typed(column, text) -%}
    {%- if column.type == "varchar" -%}
        {{ text }}
    {%- elif column.type.startswith("timestamp") -%}
        {{ instant(text) }}
    {%- else -%}
        try_cast({{ text }} as {{ column.type }})
    {%- endif -%}
{%- endmacro %}

{# A column of a candle record as in the lake's table. The record of a candle of trades has a turnover,
   and its volume is the traded size; the table's `volume` is the number of ticks. A decimal is read
   from the record's text, because the topic's table has the digits of the nearest double. #}
{% macro of_record(column) -%}
    {%- if column.type.startswith("decimal") -%}
        if(turnover is not null, try_cast(json_extract_scalar(_message, '$.{{ column.json }}') as {{ column.type }}))
    {%- elif column.name == "volume" -%}
        try_cast(if(turnover is null, volume, tick_count) as {{ column.type }})
    {%- else -%}
        {{ typed(column, column.name) }}
    {%- endif -%}
{%- endmacro %}

{# The newest record of each key in a candle topic, among the records that meet a condition on Kafka's
   columns. A tombstone has only a key. Invalid candles are left out. #}
{% macro newest_records(name, condition) %}
    {%- set key = ["source", "symbol", "date_time"] %}
    select
        {%- for column in candle_columns() %}
        {{ with_default(column) }}{{ "," if not loop.last }}
        {%- endfor %}
    from (
        select
            *, row_number() over (partition by source, symbol, date_time order by at desc) as age
        from (
            select
                _partition_offset as at,
                -- The key of a tombstone is a candle without prices.
                {%- for column in candle_columns() %}
                {%- if column.name in key %}
                {{ typed(column, "if(_message_length = 0, json_extract_scalar(_key, '$." ~ column.json ~ "'), " ~ column.name ~ ")") }} as {{ column.name }},
                {%- else %}
                {{ of_record(column) }} as {{ column.name }},
                {%- endif %}
                {%- endfor %}
                _message_length = 0 as is_tombstone
            from {{ source("topics", "candle_" ~ name) }}
            where {{ condition }}
        )
        where
            source is not null and symbol is not null and date_time is not null
            and (
                is_tombstone
                or volume > 0 and (traded_volume is null) = (turnover is null)
                {%- for column in candle_columns() if column.required and column.name not in key %}
                and {{ column.name }} is not null
                {%- endfor %}
            )
    )
    where age = 1
{% endmacro %}
