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

{# The newest record of each key in a candle topic, among the records that meet a condition on Kafka's
   columns. A tombstone has only a key. Invalid candles are left out. #}
{% macro newest_records(name, condition) %}
    {%- set key = ["source", "symbol", "date_time"] %}
    select {{ columns_with_defaults() }}
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
                {{ typed(column, column.name) }} as {{ column.name }},
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
                or volume > 0
                {%- for column in candle_columns() if column.required and column.name not in key %}
                and {{ column.name }} is not null
                {%- endfor %}
            )
    )
    where age = 1
{% endmacro %}
