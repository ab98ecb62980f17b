-- Rendered by `homma render` from src/homma/rendered/dbt.py: change that.
{{ config(alias='candle_5min_iceberg') }}
{{ landed_candles_of('5min') }}
