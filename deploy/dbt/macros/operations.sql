{# Upkeep of the lake's tables, by `dbt run-operation NAME`; all 12, or those that are named:
   --args '{tables: [candle_1min_iceberg]}'. `homma land` does without; it is for candles that
   Trino lands, and for larger files than `land` makes. #}

{# Small files put together. Open candles are left alone: they are replaced all the time. #}
{% macro optimize(tables=none, below="128MB") %}
    {%- for table in _lake_tables(tables) %}
        {%- set where = "" if table.identifier.startswith("stock_ticks") else " where is_final" %}
        {%- do _told("alter table " ~ table ~ " execute optimize(file_size_threshold => '" ~ below ~ "')" ~ where) %}
    {%- endfor %}
{% endmacro %}

{# Older snapshots forgotten, with the files that only they reach. #}
{% macro expire_snapshots(tables=none, older_than="1d") %}
    {%- do _an_hour_at_least(older_than) %}
    {%- for table in _lake_tables(tables) %}
        {%- do _told("alter table " ~ table ~ " execute expire_snapshots(retention_threshold => '" ~ older_than ~ "')") %}
    {%- endfor %}
{% endmacro %}

{# Files deleted that no snapshot ever reached. #}
{% macro remove_orphan_files(tables=none, older_than="1d") %}
    {%- do _an_hour_at_least(older_than) %}
    {%- for table in _lake_tables(tables) %}
        {%- do _told("alter table " ~ table ~ " execute remove_orphan_files(retention_threshold => '" ~ older_than ~ "')") %}
    {%- endfor %}
{% endmacro %}

{% macro _lake_tables(names) %}
    {%- set found = [] %}
    {%- if execute %}
        {%- for node in graph.sources.values() if node.source_name == "lake" and (not names or node.name in names) %}
            {%- do found.append(api.Relation.create(node.database, node.schema, node.identifier)) %}
        {%- endfor %}
        {%- if not found %}
            {{ exceptions.raise_compiler_error("the lake has no table named " ~ names) }}
        {%- endif %}
    {%- endif %}
    {{ return(found) }}
{% endmacro %}

{# A commit or a query that is under way may need what is younger. #}
{% macro _an_hour_at_least(age) %}
    {%- set minutes = {"m": 1, "h": 60, "d": 1440} %}
    {%- set found = modules.re.fullmatch("([0-9.]+)(m|h|d)", age) %}
    {%- if not found %}
        {{ exceptions.raise_compiler_error(age ~ " is no age: a number and m, h or d") }}
    {%- elif (found.group(1) | float) * minutes[found.group(2)] < 60 %}
        {{ exceptions.raise_compiler_error(age ~ " is less than an hour: what is younger may be in use") }}
    {%- endif %}
{% endmacro %}

{% macro _told(statement) %}
    {%- do log(statement, info=true) %}
    {%- do run_query(statement) %}
{% endmacro %}
