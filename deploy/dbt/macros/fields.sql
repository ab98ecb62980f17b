{# Rendered by `homma render` from src/homma/rendered/dbt.py: edit that file instead. #}
{% macro candle_columns() %}
    {{ return([
        {'name': 'source', 'json': 'source', 'type': 'varchar', 'required': True, 'merge': '', 'if_null': ''},
        {'name': 'symbol', 'json': 'symbol', 'type': 'varchar', 'required': True, 'merge': '', 'if_null': ''},
        {'name': 'date_time', 'json': 'dateTime', 'type': 'timestamp(6) with time zone', 'required': True, 'merge': '', 'if_null': ''},
        {'name': 'open', 'json': 'open', 'type': 'double', 'required': True, 'merge': 'first', 'if_null': ''},
        {'name': 'high', 'json': 'high', 'type': 'double', 'required': True, 'merge': 'max', 'if_null': ''},
        {'name': 'low', 'json': 'low', 'type': 'double', 'required': True, 'merge': 'min', 'if_null': ''},
        {'name': 'close', 'json': 'close', 'type': 'double', 'required': True, 'merge': 'last', 'if_null': ''},
        {'name': 'volume', 'json': 'volume', 'type': 'bigint', 'required': True, 'merge': 'sum', 'if_null': ''},
        {'name': 'traded_volume', 'json': 'volume', 'type': 'decimal(38, 12)', 'required': False, 'merge': 'sum', 'if_null': ''},
        {'name': 'tick_count', 'json': 'tickCount', 'type': 'bigint', 'required': False, 'merge': 'sum', 'if_null': 'volume'},
        {'name': 'turnover', 'json': 'turnover', 'type': 'decimal(38, 12)', 'required': False, 'merge': 'sum', 'if_null': ''},
        {'name': 'open_date_time', 'json': 'openDateTime', 'type': 'timestamp(6) with time zone', 'required': False, 'merge': '', 'if_null': ''},
        {'name': 'open_number', 'json': 'openNumber', 'type': 'bigint', 'required': False, 'merge': '', 'if_null': ''},
        {'name': 'close_date_time', 'json': 'closeDateTime', 'type': 'timestamp(6) with time zone', 'required': False, 'merge': '', 'if_null': ''},
        {'name': 'close_number', 'json': 'closeNumber', 'type': 'bigint', 'required': False, 'merge': '', 'if_null': ''},
        {'name': 'is_final', 'json': 'isFinal', 'type': 'boolean', 'required': False, 'merge': '', 'if_null': ''},
        {'name': 'revision', 'json': 'revision', 'type': 'integer', 'required': False, 'merge': '', 'if_null': ''},
        {'name': 'update_date_time', 'json': 'updateDateTime', 'type': 'timestamp(6) with time zone', 'required': False, 'merge': '', 'if_null': ''},
    ]) }}
{% endmacro %}
{# Rendered by `homma render` from src/homma/rendered/dbt.py: edit that file instead. #}
{% macro tick_columns() %}
    {{ return([
        {'name': 'source', 'type': 'varchar', 'required': True, 'of': ''},
        {'name': 'symbol', 'type': 'varchar', 'required': True, 'of': ''},
        {'name': 'date_time', 'type': 'timestamp(6) with time zone', 'required': True, 'of': ''},
        {'name': 'number', 'type': 'bigint', 'required': True, 'of': ''},
        {'name': 'ask', 'type': 'double', 'required': False, 'of': 'quote'},
        {'name': 'bid', 'type': 'double', 'required': False, 'of': 'quote'},
        {'name': 'mid', 'type': 'double', 'required': False, 'of': 'quote'},
        {'name': 'price', 'type': 'double', 'required': False, 'of': 'trade'},
        {'name': 'size', 'type': 'decimal(38, 12)', 'required': False, 'of': 'trade'},
        {'name': 'side', 'type': 'varchar', 'required': False, 'of': 'trade'},
        {'name': 'receive_date_time', 'type': 'timestamp(6) with time zone', 'required': False, 'of': ''},
        {'name': 'ask_markup', 'type': 'double', 'required': False, 'of': ''},
        {'name': 'bid_markup', 'type': 'double', 'required': False, 'of': ''},
        {'name': 'is_tradable', 'type': 'boolean', 'required': False, 'of': ''},
    ]) }}
{% endmacro %}
