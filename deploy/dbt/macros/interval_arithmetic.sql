{# The row of macros/intervals.sql with this name. #}
{% macro interval_named(name) %}
    {% for row in intervals() if row.name == name %}
        {{ return(row) }}
    {% endfor %}
    {{ exceptions.raise_compiler_error("there is no interval " ~ name) }}
{% endmacro %}

{# Start of the interval that an instant lies in; instants carry the zone UTC. #}
{% macro start_of(name, instant) %}
    {%- set row = interval_named(name) -%}
    {%- if row.unit == "minute" -%}
        date_trunc('day', {{ instant }}) + interval '1' minute
            * ({{ row.count }} * ((hour({{ instant }}) * 60 + minute({{ instant }})) / {{ row.count }}))
    {%- else -%}
        date_trunc('{{ row.unit }}', {{ instant }})
    {%- endif -%}
{% endmacro %}

{# The start that follows a start. #}
{% macro end_of(name, start) %}
    {%- set row = interval_named(name) -%}
    date_add('{{ row.unit }}', {{ row.count }}, {{ start }})
{% endmacro %}

{# From when on the tests look at a relation of an interval's candles. #}
{% macro checked_since(relation, name="1min") %}
    {%- set days = [var("checked_days"), 2 * interval_named(name).days] | max -%}
    coalesce((select max(date_time) from {{ relation }}), timestamp '1970-01-01 00:00:00 UTC')
        - interval '{{ (days * 1440) | int }}' minute
{% endmacro %}

{# From when on an incremental mart is worked out anew. #}
{% macro look_back_since(unit="day") %}
    date_trunc('{{ unit }}', (select max(date_time) from {{ this }}))
        - interval '{{ var("look_back_days") }}' day
{% endmacro %}

{# Both relations hold what was written of a series up to here: each is a prefix of its topic. #}
{% macro written_up_to(relation) %}
    select source, symbol, max(update_date_time) as written from {{ relation }} group by source, symbol
{% endmacro %}
