-- Rendered by `homma render` from src/homma/rendered/dbt.py: edit that file instead.
{{ config(alias='candle_1hour_iceberg') }}
{{ landed_candles_of('1hour') }}
