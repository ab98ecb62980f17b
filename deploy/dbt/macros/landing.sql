{# Trino lands candles in place of `homma land`: see docs/full-stack.md.

   A table's properties record the next offsets of its topic (`homma.offsets`) and its owner
   (`homma.sink`). `homma land --candles-by trino` creates the tables and leaves the candle tables to
   Trino. A run merges the records from these offsets up to the current end, then stores that end. If
   a run is interrupted between the two, the next run merges the same records again, with the same
   result. #}
{% macro landed_by_trino() %}
    {{ return(env_var("HOMMA_CANDLES_BY", "homma") == "trino") }}
{% endmacro %}

{% macro landed_candles_of(name) %}
{%- if execute %}
    {%- set offsets = offsets_of(this) %}
    {%- set ends = topic_ends(name, offsets.next) %}
    {%- set condition = records_between(offsets.next, ends) %}
    {%- do offsets.next.update(ends) %}
-- {{ _offsets_prefix() }}{{ tojson(offsets) }}
{%- else %}
    {%- set condition = "true" %}
{%- endif %}
{{ newest_records(name, condition) }}
{% endmacro %}

{% macro _offsets_prefix() %}{{ return("homma.offsets: ") }}{% endmacro %}

{# The offsets of a table; an error if the table does not belong to Trino. #}
{% macro offsets_of(table) %}
    {%- if load_relation(table) is none %}
        {{ _refuse(table ~ " does not exist", "start `homma land --candles-by trino`, which creates the table") }}
    {%- endif %}
    {%- set properties = run_query(
        "select key, value from " ~ table.include(identifier=false)
        ~ '."' ~ table.identifier ~ "$properties\" where key in ('homma.offsets', 'homma.sink')"
    ) %}
    {%- set values = {} %}
    {%- for row in properties.rows %}
        {%- do values.update({row[0]: row[1]}) %}
    {%- endfor %}
    {%- if values.get("homma.sink") != "trino" or "homma.offsets" not in values %}
        {{ _refuse(table ~ " belongs to `homma land`", "restart `homma land` with `--candles-by trino`") }}
    {%- endif %}
    {{ return(fromjson(values["homma.offsets"])) }}
{% endmacro %}

{# For each partition with new records, the offset after the last record. #}
{% macro topic_ends(name, next_offsets) %}
    {%- set result = run_query(
        "select _partition_id, max(_partition_offset) + 1 from "
        ~ source("topics", "candle_" ~ name) ~ " where " ~ records_between(next_offsets, none)
        ~ " group by _partition_id"
    ) %}
    {%- set ends = {} %}
    {%- for row in result.rows %}
        {%- do ends.update({row[0] | int | string: row[1] | int}) %}
    {%- endfor %}
    {{ return(ends) }}
{% endmacro %}

{# A condition for records from the next offsets up to the ends. Trino pushes plain bounds to Kafka. #}
{% macro records_between(next_offsets, ends) %}
    {%- set parts = [] %}
    {%- if ends is not none %}
        {%- for partition, end in ends.items() %}
            {%- do parts.append(
                "_partition_id = " ~ partition ~ " and _partition_offset >= " ~ next_offsets.get(partition, 0)
                ~ " and _partition_offset < " ~ end
            ) %}
        {%- endfor %}
        {{ return("(" ~ (parts | join(" or ") or "false") ~ ")") }}
    {%- endif %}
    {%- for partition, offset in next_offsets.items() %}
        {%- do parts.append("_partition_id = " ~ partition ~ " and _partition_offset >= " ~ offset) %}
    {%- endfor %}
    {%- do parts.append("_partition_id not in (" ~ ((next_offsets.keys() | join(", ")) or "-1") ~ ")") %}
    {{ return("(" ~ parts | join(" or ") ~ ")") }}
{% endmacro %}

{# Runs after a merge: stores the offsets from the comment in the merge's SQL. #}
{% macro store_offsets() %}
    {%- if execute %}
        {%- set line = modules.re.search(_offsets_prefix() ~ "(.*)", model.compiled_code) %}
        alter table {{ this }} set properties extra_properties = map(
            array['homma.offsets'], array['{{ line.group(1) | replace("'", "''") }}']
        )
    {%- endif %}
{% endmacro %}

{# The newest record is the candle, a tombstone deletes the candle, and a record without revision
   (whose engine may have lost part of its state) never replaces a candle of larger volume. #}
{% macro get_incremental_newest_sql(arguments) %}
    {%- set columns = arguments["dest_columns"] | map(attribute="quoted") | list %}
    merge into {{ arguments["target_relation"] }} as candle
    using {{ arguments["temp_relation"] }} as record
    on candle.source = record.source and candle.symbol = record.symbol
        and candle.date_time = record.date_time
    when matched and record.volume is null then delete
    when matched
        and (record.revision is not null or record.volume >= candle.volume)
        and record.update_date_time is distinct from candle.update_date_time
    then update set
        {%- for column in columns %}
        {{ column }} = {{ "coalesce(record.is_final, candle.is_final)" if column == '"is_final"' else "record." ~ column }}
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

{# A view is sufficient as the source of the merge, which reads it once. #}
{% macro get_incremental_tmp_relation_type(strategy, unique_key, language) %}
    {{ return("view" if strategy in ("default", "append", "merge", "newest") else "table") }}
{% endmacro %}

{% macro _refuse(problem, remedy) %}
    {{ exceptions.raise_compiler_error(problem ~ ": " ~ remedy) }}
{% endmacro %}
