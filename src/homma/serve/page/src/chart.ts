/** The drawing: candles, their volume, other sources as lines. The only user of the chart library. */

import {
  CandlestickSeries, ColorType, CrosshairMode, HistogramSeries, LineSeries, createChart,
  type CandlestickData, type IChartApi, type ISeriesApi, type Time, type UTCTimestamp,
} from "lightweight-charts";
import { isOpen, type Candle, type Candles, type Change } from "./candles";
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

export interface Look {
  readonly colours: Colours;
  readonly interval: string;
  readonly timeZone: string;
}

export interface Seer {
  /** The crosshair stands on this time, or nowhere. */
  pointed(time: number | undefined): void;
  /** So many candles are left of what is seen. */
  scrolled(before: number): void;
}

/** Decimals are judged by the newest candles only. */
const JUDGED = 500;

export class Chart {
  readonly #chart: IChartApi;
  readonly #candles: ISeriesApi<"Candlestick">;
  readonly #volume: ISeriesApi<"Histogram">;
  #lines: ISeriesApi<"Line">[] = [];
  #look: Look;
  #decimals = 2;

  constructor(host: HTMLElement, look: Look, seer: Seer) {
    this.#look = look;
    this.#chart = createChart(host, {
      autoSize: true,
      // The logo would put a style element into the page, which its policy forbids: the footer names them.
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
    this.#chart.subscribeCrosshairMove(({ time }) => seer.pointed(time as number | undefined));
    this.#chart.timeScale().subscribeVisibleLogicalRangeChange((range) => {
      const seen = range && this.#candles.barsInLogicalRange(range);
      if (seen) seer.scrolled(seen.barsBefore);
    });
    this.dress(look);
  }

  get decimals(): number {
    return this.#decimals;
  }

  /** Put other colours, another interval or another zone on. */
  dress(look: Look): void {
    this.#look = look;
    const { colours, interval, timeZone } = look;
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

  /** Draw all of it anew; what is seen stays where it is. */
  draw(main: Candles, others: readonly Candles[]): void {
    this.#fitDecimals(main);
    this.#candles.setData(main.all.map((one) => this.#bar(one, main)));
    this.#volume.setData(main.all.map((one) => this.#column(one)));
    this.#markLast(main);
    for (const line of this.#lines.splice(others.length)) this.#chart.removeSeries(line);
    for (const [i, other] of others.entries()) {
      this.#lines[i] ??= this.#chart.addSeries(LineSeries, {
        color: this.#lineColour(i), lineWidth: 2, priceLineVisible: false,
        priceFormat: this.#priceFormat(),
      });
      this.#lines[i].setData(other.all.map(point));
    }
  }

  /** Draw one candle that has changed; false where only drawing all anew will do. */
  change(main: Candles, candle: Candle, change: Change): boolean {
    if (change === "inserted") return false;
    this.#candles.update(this.#bar(candle, main), change === "replaced");
    this.#volume.update(this.#column(candle), change === "replaced");
    this.#markLast(main);
    const before = main.all.at(-2);
    // An engine that does not say what is final: the candle before was open until now.
    if (change === "appended" && before?.isFinal === null) {
      this.#candles.update(this.#bar(before, main), true);
    }
    return true;
  }

  changeLine(at: number, candle: Candle, change: Change): boolean {
    if (change === "inserted") return false;
    this.#lines[at]?.update(point(candle), change === "replaced");
    return true;
  }

  toNewest(): void {
    this.#chart.timeScale().resetTimeScale();
    this.#chart.priceScale("right").applyOptions({ autoScale: true });
  }

  /** Move what is seen by a share of its width. */
  scroll(share: number): void {
    this.#range((from, to) => [from + share * (to - from), to + share * (to - from)]);
  }

  zoom(factor: number): void {
    this.#range((from, to) => [to - (to - from) / factor, to]);
  }

  point(candle: Candle): void {
    this.#chart.setCrosshairPosition(candle.close, candle.time as UTCTimestamp, this.#candles);
  }

  /** First and last time seen. */
  seen(): { from: number; to: number } | undefined {
    const range = this.#chart.timeScale().getVisibleRange();
    return range ? { from: range.from as number, to: range.to as number } : undefined;
  }

  picture(): HTMLCanvasElement {
    return this.#chart.takeScreenshot(true, false);
  }

  /** What the drawing holds, to look at from outside. */
  data(): { candles: readonly unknown[]; volume: readonly unknown[]; lines: readonly unknown[][] } {
    const lines = this.#lines.map((line) => [...line.data()]);
    return { candles: this.#candles.data(), volume: this.#volume.data(), lines };
  }

  #range(moved: (from: number, to: number) => [number, number]): void {
    const range = this.#chart.timeScale().getVisibleLogicalRange();
    if (!range) return;
    const [from, to] = moved(range.from, range.to);
    this.#chart.timeScale().setVisibleLogicalRange({ from, to });
  }

  /** The last price's label would else have the colour of a hollow body. */
  #markLast({ newest }: Candles): void {
    if (newest === undefined) return;
    const { up, down } = this.#look.colours;
    const priceLineColor = newest.close >= newest.open ? up : down;
    if (this.#candles.options().priceLineColor !== priceLineColor) {
      this.#candles.applyOptions({ priceLineColor });
    }
  }

  #fitDecimals(main: Candles): void {
    const judged = main.all.slice(-JUDGED);
    this.#decimals = decimalsOf(judged.flatMap(({ open, high, low, close }) => [open, high, low, close]));
    for (const series of [this.#candles, ...this.#lines]) series.applyOptions({ priceFormat: this.#priceFormat() });
  }

  #priceFormat() {
    const decimals = this.#decimals;
    const minMove = Number((10 ** -decimals).toFixed(decimals));
    return { type: "custom", minMove, formatter: (price: number) => priceText(price, decimals) } as const;
  }

  #lineColour(at: number): string {
    const { lines, text } = this.#look.colours;
    return lines[at % lines.length] ?? text;
  }

  #bar(candle: Candle, main: Candles): CandlestickData<UTCTimestamp> {
    const { time, open, high, low, close } = candle;
    const hollow = isOpen(candle, main.newest) ? { color: this.#look.colours.back } : {};
    return { time: time as UTCTimestamp, open, high, low, close, ...hollow };
  }

  #column(candle: Candle) {
    const { upVolume, downVolume } = this.#look.colours;
    const color = candle.close >= candle.open ? upVolume : downVolume;
    return { time: candle.time as UTCTimestamp, value: candle.volume, color };
  }
}

function point(candle: Candle) {
  return { time: candle.time as UTCTimestamp, value: candle.close };
}
