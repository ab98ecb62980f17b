-- Rendered by `homma render` from src/homma/rendered/dbt.py: change that.
{{ config(alias='candle_30min_iceberg') }}
{{ landed_candles_of('30min') }}
