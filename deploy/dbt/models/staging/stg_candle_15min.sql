-- Rendered by `homma render` from src/homma/lake/dbt.py: change that.
{{ candles_of('15min') }}
