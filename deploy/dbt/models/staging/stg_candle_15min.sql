-- Rendered by `homma render` from src/homma/rendered/dbt.py: edit that file instead.
{{ candles_of('15min') }}
