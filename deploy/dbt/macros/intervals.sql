{# Rendered by `homma render` from src/homma/rendered/dbt.py: edit that file instead. #}
{% macro intervals() %}
    {{ return([
        {'code': 'm1', 'name': '1min', 'unit': 'minute', 'count': 1, 'days': 1, 'finer': ''},
        {'code': 'm5', 'name': '5min', 'unit': 'minute', 'count': 5, 'days': 1, 'finer': '1min'},
        {'code': 'm10', 'name': '10min', 'unit': 'minute', 'count': 10, 'days': 1, 'finer': '5min'},
        {'code': 'm15', 'name': '15min', 'unit': 'minute', 'count': 15, 'days': 1, 'finer': '5min'},
        {'code': 'm30', 'name': '30min', 'unit': 'minute', 'count': 30, 'days': 1, 'finer': '15min'},
        {'code': 'h1', 'name': '1hour', 'unit': 'minute', 'count': 60, 'days': 1, 'finer': '30min'},
        {'code': 'h3', 'name': '3hour', 'unit': 'minute', 'count': 180, 'days': 1, 'finer': '1hour'},
        {'code': 'h4', 'name': '4hour', 'unit': 'minute', 'count': 240, 'days': 1, 'finer': '1hour'},
        {'code': 'D1', 'name': '1day', 'unit': 'day', 'count': 1, 'days': 1, 'finer': '4hour'},
        {'code': 'W1', 'name': '1week', 'unit': 'week', 'count': 1, 'days': 7, 'finer': '1day'},
        {'code': 'M1', 'name': '1month', 'unit': 'month', 'count': 1, 'days': 31, 'finer': '1day'},
    ]) }}
{% endmacro %}
