-- Rendered by `homma render` from src/homma/rendered/dbt.py: edit that file instead.
{{ live_candles_of('1month') }}
