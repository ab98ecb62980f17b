/** The chart: candles, volume, other sources as lines. The only module that uses the chart library. */

import {
  CandlestickSeries, ColorType, CrosshairMode, HistogramSeries, LineSeries, createChart,
  type CandlestickData, type IChartApi, type ISeriesApi, type Time, type UTCTimestamp,
} from "lightweight-charts";
import { isOpen, type Candles, type Change } from "./candles";
import { PRICES, type Candle } from "./fields";
import { decimalsOf, instantText, priceText, tickText } from "./format";

export interface Colours {
  readonly back: string;
  readonly text: string;
  readonly grid: string;
  readonly edge: string;
  readonly up: string;
  readonly down: string;
  readonly upVolume: string;
  readonly downVolume: string;
  readonly lines: readonly string[];
}

export interface ChartStyle {
  readonly colours: Colours;
  readonly interval: string;
  readonly timeZone: string;
}

export interface ChartListener {
  /** The crosshair is at this time, or nowhere. */
  pointed(time: number | undefined): void;
  /** The number of candles to the left of the visible range. */
  scrolled(candlesBefore: number): void;
}

/** The number of decimals depends on this many of the newest candles. */
const DECIMALS_FROM = 500;

export class Chart {
  readonly #chart: IChartApi;
  readonly #candles: ISeriesApi<"Candlestick">;
  readonly #volume: ISeriesApi<"Histogram">;
  #lines: ISeriesApi<"Line">[] = [];
  #style: ChartStyle;
  #decimals = 2;

  constructor(host: HTMLElement, style: ChartStyle, listener: ChartListener) {
    this.#style = style;
    this.#chart = createChart(host, {
      autoSize: true,
      // The logo adds a style element, which the page's policy forbids: the footer has the credit.
      layout: { attributionLogo: false },
      crosshair: { mode: CrosshairMode.Normal },
      timeScale: { timeVisible: true, rightOffset: 4, barSpacing: 8, minBarSpacing: 0.5 },
      rightPriceScale: { scaleMargins: { top: 0.12, bottom: 0.2 } },
    });
    this.#volume = this.#chart.addSeries(HistogramSeries, {
      priceScaleId: "volume", priceFormat: { type: "volume" },
      lastValueVisible: false, priceLineVisible: false,
    });
    this.#volume.priceScale().applyOptions({ scaleMargins: { top: 0.84, bottom: 0 } });
    this.#candles = this.#chart.addSeries(CandlestickSeries, {});
    this.#chart.subscribeCrosshairMove(({ time }) => listener.pointed(time as number | undefined));
    this.#chart.timeScale().subscribeVisibleLogicalRangeChange((range) => {
      const visible = range && this.#candles.barsInLogicalRange(range);
      if (visible) listener.scrolled(visible.barsBefore);
    });
    this.applyStyle(style);
  }

  get decimals(): number {
    return this.#decimals;
  }

  /** Apply colors, interval and time zone. */
  applyStyle(style: ChartStyle): void {
    this.#style = style;
    const { colours, interval, timeZone } = style;
    this.#chart.applyOptions({
      layout: {
        background: { type: ColorType.Solid, color: colours.back }, textColor: colours.text,
        fontFamily: getComputedStyle(document.body).fontFamily,
      },
      grid: { vertLines: { color: colours.grid }, horzLines: { color: colours.grid } },
      rightPriceScale: { borderColor: colours.edge },
      timeScale: {
        borderColor: colours.edge,
        tickMarkFormatter: (time: Time) => tickText(time as number, interval, timeZone),
      },
      localization: { timeFormatter: (time: Time) => instantText(time as number, interval, timeZone) },
    });
    this.#candles.applyOptions({
      upColor: colours.up, borderUpColor: colours.up, wickUpColor: colours.up,
      downColor: colours.down, borderDownColor: colours.down, wickDownColor: colours.down,
    });
    for (const [i, line] of this.#lines.entries()) line.applyOptions({ color: this.#lineColour(i) });
  }

  /** Redraw everything; the visible range stays the same. */
  draw(main: Candles, others: readonly Candles[]): void {
    this.#fitDecimals(main);
    this.#candles.setData(main.all.map((candle) => this.#bar(candle, main)));
    this.#volume.setData(main.all.map((candle) => this.#column(candle)));
    this.#colourLastPrice(main);
    for (const line of this.#lines.splice(others.length)) this.#chart.removeSeries(line);
    for (const [i, other] of others.entries()) {
      this.#lines[i] ??= this.#chart.addSeries(LineSeries, {
        color: this.#lineColour(i), lineWidth: 2, priceLineVisible: false,
        priceFormat: this.#priceFormat(),
      });
      this.#lines[i].setData(other.all.map(point));
    }
  }

  /** Draw one changed candle; false if everything has to be redrawn. */
  change(main: Candles, candle: Candle, change: Change): boolean {
    if (change === "inserted") return false;
    this.#candles.update(this.#bar(candle, main), change === "replaced");
    this.#volume.update(this.#column(candle), change === "replaced");
    this.#colourLastPrice(main);
    const before = main.all.at(-2);
    // The engine does not record what is final: the previous candle was open until now.
    if (change === "appended" && before?.isFinal === null) {
      this.#candles.update(this.#bar(before, main), true);
    }
    return true;
  }

  changeLine(index: number, candle: Candle, change: Change): boolean {
    if (change === "inserted") return false;
    this.#lines[index]?.update(point(candle), change === "replaced");
    return true;
  }

  toNewest(): void {
    this.#chart.timeScale().resetTimeScale();
    this.#chart.priceScale("right").applyOptions({ autoScale: true });
  }

  /** Move the visible range by a share of its width. */
  scroll(share: number): void {
    this.#setRange((from, to) => [from + share * (to - from), to + share * (to - from)]);
  }

  zoom(factor: number): void {
    this.#setRange((from, to) => [to - (to - from) / factor, to]);
  }

  point(candle: Candle): void {
    this.#chart.setCrosshairPosition(candle.close, candle.time as UTCTimestamp, this.#candles);
  }

  /** The first and last visible time. */
  visibleRange(): { from: number; to: number } | undefined {
    const range = this.#chart.timeScale().getVisibleRange();
    return range ? { from: range.from as number, to: range.to as number } : undefined;
  }

  screenshot(): HTMLCanvasElement {
    return this.#chart.takeScreenshot(true, false);
  }

  /** The drawn data, for tests. */
  data(): { candles: readonly unknown[]; volume: readonly unknown[]; lines: readonly unknown[][] } {
    const lines = this.#lines.map((line) => [...line.data()]);
    return { candles: this.#candles.data(), volume: this.#volume.data(), lines };
  }

  #setRange(transform: (from: number, to: number) => [number, number]): void {
    const range = this.#chart.timeScale().getVisibleLogicalRange();
    if (!range) return;
    const [from, to] = transform(range.from, range.to);
    this.#chart.timeScale().setVisibleLogicalRange({ from, to });
  }

  /** Otherwise the label of the last price would have the color of a hollow candle. */
  #colourLastPrice({ newest }: Candles): void {
    if (newest === undefined) return;
    const { up, down } = this.#style.colours;
    const priceLineColor = newest.close >= newest.open ? up : down;
    if (this.#candles.options().priceLineColor !== priceLineColor) {
      this.#candles.applyOptions({ priceLineColor });
    }
  }

  #fitDecimals(main: Candles): void {
    const newest = main.all.slice(-DECIMALS_FROM);
    this.#decimals = decimalsOf(newest.flatMap((candle) => PRICES.map((name) => candle[name])));
    for (const series of [this.#candles, ...this.#lines]) series.applyOptions({ priceFormat: this.#priceFormat() });
  }

  #priceFormat() {
    const decimals = this.#decimals;
    const minMove = Number((10 ** -decimals).toFixed(decimals));
    return { type: "custom", minMove, formatter: (price: number) => priceText(price, decimals) } as const;
  }

  #lineColour(index: number): string {
    const { lines, text } = this.#style.colours;
    return lines[index % lines.length] ?? text;
  }

  #bar(candle: Candle, main: Candles): CandlestickData<UTCTimestamp> {
    const { time, open, high, low, close } = candle;
    const hollow = isOpen(candle, main.newest) ? { color: this.#style.colours.back } : {};
    return { time: time as UTCTimestamp, open, high, low, close, ...hollow };
  }

  #column(candle: Candle) {
    const { upVolume, downVolume } = this.#style.colours;
    const color = candle.close >= candle.open ? upVolume : downVolume;
    return { time: candle.time as UTCTimestamp, value: candle.volume, color };
  }
}

function point(candle: Candle) {
  return { time: candle.time as UTCTimestamp, value: candle.close };
}
