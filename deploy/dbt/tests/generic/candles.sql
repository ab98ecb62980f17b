{# Valid order of prices, at least one tick, a mean price of the trades between low and high, first and
   last tick within the interval, valid start. The turnover of each trade is rounded to 12 digits. #}
{% test in_order(model, interval) %}
select source, symbol, date_time, open, high, low, close, volume, tick_count, turnover, vwap
from {{ model }}
where
    date_time >= {{ checked_since(model, interval) }}
    and not (
        low <= open and open <= high and low <= close and close <= high
        and {{ plausible_price("low") }} and is_finite(high)
        and tick_count >= 1 and volume >= 0
        and coalesce(vwap between
            low - 1e-9 * abs(low) - 1e-12 * tick_count / cast(volume as double)
            and high + 1e-9 * abs(high) + 1e-12 * tick_count / cast(volume as double),
            turnover is null or volume = 0)
        and date_time = {{ start_of(interval, "date_time") }}
        and coalesce(open_date_time, date_time) between date_time and coalesce(close_date_time, end_date_time)
        and coalesce(close_date_time, date_time) < end_date_time
    )
{% endtest %}

{% test one_row_per_candle(model, interval) %}
select source, symbol, date_time, count(*) as row_count
from {{ model }}
where date_time >= {{ checked_since(model, interval) }}
group by source, symbol, date_time
having count(*) > 1
{% endtest %}

{# Ticks without a candle of this interval, up to the newest final candle: trades where candles are made
   of them, else quotes. Ticks dropped as late have no candle until
   `homma repair --late`. #}
{% test no_gap_where_ticks_exist(model, interval, ticks) %}
with over as (
    select source, symbol, max(date_time) as newest, count(turnover) > 0 as of_trades
    from {{ model }} where is_final group by source, symbol
),

expected as (
    select distinct t.source, t.symbol, {{ start_of(interval, "t.date_time") }} as date_time
    from {{ ticks }} as t
    inner join over on t.source = over.source and t.symbol = over.symbol and t.date_time < over.newest
    where t.date_time >= {{ checked_since(model, interval) }}
        and if(over.of_trades, t.price is not null, t.mid is not null)
)

select expected.*
from expected
left join {{ model }} as m
    on expected.source = m.source and expected.symbol = m.symbol and expected.date_time = m.date_time
where m.source is null
{% endtest %}

{# A final candle equals the roll-up of its finer candles. Tables are filled one by one: the test
   ignores rows newer than the end of the table that is behind. #}
{% test rolls_up(model, interval, of) %}
with coarse as (
    select * from {{ model }} where date_time >= {{ checked_since(model, interval) }}
),

finer as (
    select
        source, symbol, {{ start_of(interval, "date_time") }} as date_time,
        {%- for column in counted_columns() %}
        {{ rolled_up(column) }} as {{ column.name }},
        {%- endfor %}
        max(update_date_time) as update_date_time
    from {{ of }}
    where {{ start_of(interval, "date_time") }} >= {{ checked_since(model, interval) }}
    group by source, symbol, {{ start_of(interval, "date_time") }}
)

select source, symbol, date_time, c.open, f.open as finer_open, c.volume, f.volume as finer_volume
from coarse as c
full join finer as f using (source, symbol, date_time)
inner join ({{ written_up_to(model) }}) as a using (source, symbol)
inner join ({{ written_up_to(of) }}) as b using (source, symbol)
where
    coalesce(c.is_final, true)
    and coalesce(greatest(
        coalesce(c.update_date_time, f.update_date_time), coalesce(f.update_date_time, c.update_date_time)
    ) <= least(a.written, b.written), true)
    and ({{ differs("c", "f") }})
{% endtest %}

{# Each final candle in the lake equals the newest record in the topic, up to the lake's end. #}
{% test agrees_with(model, lake) %}
select source, symbol, date_time, l.close, k.close as lake_close, l.revision, k.revision as lake_revision
from {{ model }} as l
inner join ({{ written_up_to(lake) }}) as w using (source, symbol)
left join {{ lake }} as k using (source, symbol, date_time)
where
    l.is_final
    and l.update_date_time <= w.written
    and coalesce(k.update_date_time <= l.update_date_time, true)
    and ({{ differs("l", "k") }} or l.revision is distinct from k.revision)
{% endtest %}
