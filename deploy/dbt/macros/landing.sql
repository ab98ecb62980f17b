{# Trino as what lands candles, in place of `homma land`: see docs/full-stack.md.

   A table says itself how far it holds its topic (`homma.offsets`) and whose it is (`homma.sink`).
   `homma land --candles-by trino` makes the tables and leaves those of candles to us. A run merges
   the records from there up to the end that it found, then notes that end. Ended between the two,
   the next run merges the same records again, which changes nothing. #}
{% macro landed_by_trino() %}
    {{ return(env_var("HOMMA_CANDLES_BY", "homma") == "trino") }}
{% endmacro %}

{% macro landed_candles_of(name) %}
{%- if execute %}
    {%- set held = offsets_of(this) %}
    {%- set ends = topic_ends(name, held.next) %}
    {%- set condition = records_between(held.next, ends) %}
    {%- do held.next.update(ends) %}
-- {{ _mark() }}{{ tojson(held) }}
{%- else %}
    {%- set condition = "true" %}
{%- endif %}
{{ newest_records(name, condition) }}
{% endmacro %}

{% macro _mark() %}{{ return("homma.offsets: ") }}{% endmacro %}

{# What a table says of itself; refused where it is not ours. #}
{% macro offsets_of(table) %}
    {%- if load_relation(table) is none %}
        {{ _refuse(table ~ " is not there", "start `homma land --candles-by trino`, which makes it") }}
    {%- endif %}
    {%- set found = run_query(
        "select key, value from " ~ table.include(identifier=false)
        ~ '."' ~ table.identifier ~ "$properties\" where key in ('homma.offsets', 'homma.sink')"
    ) %}
    {%- set said = {} %}
    {%- for row in found.rows %}
        {%- do said.update({row[0]: row[1]}) %}
    {%- endfor %}
    {%- if said.get("homma.sink") != "trino" or "homma.offsets" not in said %}
        {{ _refuse(table ~ " belongs to a `homma land`", "give that `--candles-by trino`, so that not both land candles") }}
    {%- endif %}
    {{ return(fromjson(said["homma.offsets"])) }}
{% endmacro %}

{# Of each partition with new records the offset after the last one. #}
{% macro topic_ends(name, held) %}
    {%- set found = run_query(
        "select _partition_id, max(_partition_offset) + 1 from "
        ~ source("topics", "candle_" ~ name) ~ " where " ~ records_between(held, none)
        ~ " group by _partition_id"
    ) %}
    {%- set ends = {} %}
    {%- for row in found.rows %}
        {%- do ends.update({row[0] | int | string: row[1] | int}) %}
    {%- endfor %}
    {{ return(ends) }}
{% endmacro %}

{# From the offsets that are held on, up to the ends. The bare bounds are what Trino asks Kafka by. #}
{% macro records_between(held, ends) %}
    {%- set parts = [] %}
    {%- if ends is not none %}
        {%- for partition, end in ends.items() %}
            {%- do parts.append(
                "_partition_id = " ~ partition ~ " and _partition_offset >= " ~ held.get(partition, 0)
                ~ " and _partition_offset < " ~ end
            ) %}
        {%- endfor %}
        {{ return("(" ~ (parts | join(" or ") or "false") ~ ")") }}
    {%- endif %}
    {%- for partition, offset in held.items() %}
        {%- do parts.append("_partition_id = " ~ partition ~ " and _partition_offset >= " ~ offset) %}
    {%- endfor %}
    {%- do parts.append("_partition_id not in (" ~ ((held.keys() | join(", ")) or "-1") ~ ")") %}
    {{ return("(" ~ parts | join(" or ") ~ ")") }}
{% endmacro %}

{# Runs after a merge: the table holds the topic up to what the merge's text says. #}
{% macro note_offsets() %}
    {%- if execute %}
        {%- set line = modules.re.search(_mark() ~ "(.*)", model.compiled_code) %}
        alter table {{ this }} set properties extra_properties = map(
            array['homma.offsets'], array['{{ line.group(1) | replace("'", "''") }}']
        )
    {%- endif %}
{% endmacro %}

{# The newest record is the candle, a tombstone takes it away, and one without revision (of an
   engine that may have forgotten a part of it) never replaces a candle of larger volume. #}
{% macro get_incremental_newest_sql(arguments) %}
    {%- set columns = arguments["dest_columns"] | map(attribute="quoted") | list %}
    merge into {{ arguments["target_relation"] }} as held
    using {{ arguments["temp_relation"] }} as record
    on held.source = record.source and held.symbol = record.symbol
        and held.date_time = record.date_time
    when matched and record.volume is null then delete
    when matched
        and (record.revision is not null or record.volume >= held.volume)
        and record.update_date_time is distinct from held.update_date_time
    then update set
        {%- for column in columns %}
        {{ column }} = {{ "coalesce(record.is_final, held.is_final)" if column == '"is_final"' else "record." ~ column }}
        {{- "," if not loop.last }}
        {%- endfor %}
    when not matched and record.volume is not null then insert ({{ columns | join(", ") }})
    values (
        {%- for column in columns %}
        {{ "coalesce(record.is_final, false)" if column == '"is_final"' else "record." ~ column }}
        {{- "," if not loop.last }}
        {%- endfor %}
    )
{% endmacro %}

{# A view is enough to merge from: the merge reads it once. #}
{% macro get_incremental_tmp_relation_type(strategy, unique_key, language) %}
    {{ return("view" if strategy in ("default", "append", "merge", "newest") else "table") }}
{% endmacro %}

{% macro _refuse(what, remedy) %}
    {{ exceptions.raise_compiler_error(what ~ ": " ~ remedy) }}
{% endmacro %}
