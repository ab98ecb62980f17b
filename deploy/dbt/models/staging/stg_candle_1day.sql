-- Rendered by `homma render` from src/homma/rendered/dbt.py: change that.
{{ candles_of('1day') }}
