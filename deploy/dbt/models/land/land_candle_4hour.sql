-- Rendered by `homma render` from src/homma/rendered/dbt.py: change that.
{{ config(alias='candle_4hour_iceberg') }}
{{ landed_candles_of('4hour') }}
