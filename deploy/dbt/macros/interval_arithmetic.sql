{# The row of macros/intervals.sql with this name. #}
{% macro interval_named(name) %}
    {% for row in intervals() if row.name == name %}
        {{ return(row) }}
    {% endfor %}
    {{ exceptions.raise_compiler_error("there is no interval " ~ name) }}
{% endmacro %}

{# Whether all of these intervals exist: a model that needs them is enabled by this. #}
{% macro has_intervals(names) %}
    {{ return((names | reject("in", intervals() | map(attribute="name") | list) | list | length) == 0) }}
{% endmacro %}

{# Start of the interval around an instant; instants have the zone UTC. #}
{% macro start_of(name, instant) %}
    {%- set row = interval_named(name) -%}
    {%- if row.unit == "second" -%}
        date_trunc('minute', {{ instant }}) + interval '1' second
            * ({{ row.count }} * (second({{ instant }}) / {{ row.count }}))
    {%- elif row.unit == "minute" -%}
        date_trunc('day', {{ instant }}) + interval '1' minute
            * ({{ row.count }} * ((hour({{ instant }}) * 60 + minute({{ instant }})) / {{ row.count }}))
    {%- else -%}
        date_trunc('{{ row.unit }}', {{ instant }})
    {%- endif -%}
{% endmacro %}

{# The start of the next interval. #}
{% macro end_of(name, start) %}
    {%- set row = interval_named(name) -%}
    date_add('{{ row.unit }}', {{ row.count }}, {{ start }})
{% endmacro %}

{# The earliest instant that the tests check in a relation of an interval's candles. #}
{% macro checked_since(relation, name=none) %}
    {%- set days = [var("checked_days"), 2 * interval_named(name).days if name else 0] | max -%}
    coalesce((select max(date_time) from {{ relation }}), timestamp '1970-01-01 00:00:00 UTC')
        - interval '{{ (days * 1440) | int }}' minute
{% endmacro %}

{# The earliest instant that an incremental mart recomputes. #}
{% macro look_back_since(unit="day") %}
    date_trunc('{{ unit }}', (select max(date_time) from {{ this }}))
        - interval '{{ var("look_back_days") }}' day
{% endmacro %}

{# Up to which time a relation is complete, per series: each is a prefix of its topic. #}
{% macro written_up_to(relation) %}
    select source, symbol, max(update_date_time) as written from {{ relation }} group by source, symbol
{% endmacro %}
