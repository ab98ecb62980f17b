{# Maintenance of the lake's tables with `dbt run-operation NAME`: of all, or of those in
   --args '{tables: [candle_1min_iceberg]}'. `homma land` does not need it; it is for candles landed by
   Trino, and for larger files than those of `land`. #}

{# Compact small files, except those of open candles, which change all the time. #}
{% macro optimize(tables=none, below="128MB") %}
    {%- for table in _lake_tables(tables) %}
        {%- set where = "" if table.identifier.startswith("stock_ticks") else " where is_final" %}
        {%- do _run_logged("alter table " ~ table ~ " execute optimize(file_size_threshold => '" ~ below ~ "')" ~ where) %}
    {%- endfor %}
{% endmacro %}

{# Expire older snapshots, and delete files that only they reference. #}
{% macro expire_snapshots(tables=none, older_than="1d") %}
    {%- do _require_an_hour(older_than) %}
    {%- for table in _lake_tables(tables) %}
        {%- do _run_logged("alter table " ~ table ~ " execute expire_snapshots(retention_threshold => '" ~ older_than ~ "')") %}
    {%- endfor %}
{% endmacro %}

{# Delete files that no snapshot references. #}
{% macro remove_orphan_files(tables=none, older_than="1d") %}
    {%- do _require_an_hour(older_than) %}
    {%- for table in _lake_tables(tables) %}
        {%- do _run_logged("alter table " ~ table ~ " execute remove_orphan_files(retention_threshold => '" ~ older_than ~ "')") %}
    {%- endfor %}
{% endmacro %}

{% macro _lake_tables(names) %}
    {%- set tables = [] %}
    {%- if execute %}
        {%- for node in graph.sources.values() if node.source_name == "lake" and (not names or node.name in names) %}
            {%- do tables.append(api.Relation.create(node.database, node.schema, node.identifier)) %}
        {%- endfor %}
        {%- if not tables %}
            {{ exceptions.raise_compiler_error("the lake has no table named " ~ names) }}
        {%- endif %}
    {%- endif %}
    {{ return(tables) }}
{% endmacro %}

{# A running commit or query may need younger files. #}
{% macro _require_an_hour(age) %}
    {%- set minutes = {"m": 1, "h": 60, "d": 1440} %}
    {%- set parsed = modules.re.fullmatch("([0-9.]+)(m|h|d)", age) %}
    {%- if not parsed %}
        {{ exceptions.raise_compiler_error(age ~ " is not a valid age: write a number and m, h or d") }}
    {%- elif (parsed.group(1) | float) * minutes[parsed.group(2)] < 60 %}
        {{ exceptions.raise_compiler_error(age ~ " is less than an hour: younger files may be in use") }}
    {%- endif %}
{% endmacro %}

{% macro _run_logged(statement) %}
    {%- do log(statement, info=true) %}
    {%- do run_query(statement) %}
{% endmacro %}
