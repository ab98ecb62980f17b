-- Rendered by `homma render` from src/homma/rendered/dbt.py: edit that file instead.
{{ config(alias='candle_5min_iceberg') }}
{{ landed_candles_of('5min') }}
