-- Rendered by `homma render` from src/homma/rendered/dbt.py: change that.
{{ config(alias='candle_10min_iceberg') }}
{{ landed_candles_of('10min') }}
