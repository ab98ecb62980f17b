-- Rendered by `homma render` from src/homma/rendered/dbt.py: change that.
{{ live_candles_of('5min') }}
