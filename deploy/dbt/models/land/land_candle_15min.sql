-- Rendered by `homma render` from src/homma/rendered/dbt.py: edit that file instead.
{{ config(alias='candle_15min_iceberg') }}
{{ landed_candles_of('15min') }}
