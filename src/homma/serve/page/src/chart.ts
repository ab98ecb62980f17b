/** The chart: candles, volume, lines, alerts and a measurement. */

import {
  CandlestickSeries, ColorType, CrosshairMode, HistogramSeries, LineStyle, PriceScaleMode, createChart,
  type CandlestickData, type IChartApi, type IPriceLine, type ISeriesApi, type Time, type UTCTimestamp,
} from "lightweight-charts";
import { isOpen, type Candles, type Change } from "./candles";
import { PRICES, type Candle } from "./fields";
import { decimalsOf, instantText, priceText, tickText } from "./format";
import { Lines, type Line, type LinePoint } from "./lines";
import { measurementTexts, type Measurement, type Point } from "./measure";
import { MeasureBox } from "./measure-box";

export interface Colours {
  readonly back: string;
  readonly text: string;
  readonly grid: string;
  readonly edge: string;
  readonly up: string;
  readonly down: string;
  readonly upVolume: string;
  readonly downVolume: string;
  /** Of other sources, and of studies. */
  readonly lines: readonly string[];
  readonly studies: readonly string[];
  readonly alert: string;
  readonly measure: string;
  readonly measureArea: string;
}

export interface ChartStyle {
  readonly colours: Colours;
  readonly interval: string;
  readonly timeZone: string;
  readonly isLogarithmic: boolean;
}

export interface ChartListener {
  /** The crosshair is at this time, or nowhere. */
  pointed(time: number | undefined): void;
  /** The number of candles to the left of the visible range. */
  scrolled(candlesBefore: number): void;
}

/** The number of decimals depends on this many of the newest candles. */
const DECIMALS_FROM = 500;
/** The page opens with this many candles in view, or fewer if they would become too thin. */
const CANDLES_IN_VIEW = 150;
const MIN_SPACING_PX = 3;
/** A few candles do not fill the chart: they would become too wide. */
const MIN_IN_VIEW = 15;
/** Free space to the right of the newest candle, as a share of the candles in view. */
const RIGHT_SHARE = 0.03;

export class Chart {
  readonly #chart: IChartApi;
  readonly #candles: ISeriesApi<"Candlestick">;
  readonly #volume: ISeriesApi<"Histogram">;
  readonly #others: Lines;
  readonly #studies: Lines;
  readonly #box = new MeasureBox();
  #alerts: IPriceLine[] = [];
  #measurement: Measurement | undefined;
  #style: ChartStyle;
  #decimals = 2;
  #arePositive = true;

  constructor(private readonly host: HTMLElement, style: ChartStyle, listener: ChartListener) {
    this.#style = style;
    this.#chart = createChart(host, {
      autoSize: true,
      // The logo adds a style element, which the page's policy forbids: the footer has the credit.
      layout: { attributionLogo: false },
      crosshair: { mode: CrosshairMode.Normal },
      timeScale: { timeVisible: true, minBarSpacing: 0.5 },
      rightPriceScale: { scaleMargins: { top: 0.12, bottom: 0.2 } },
    });
    this.#volume = this.#chart.addSeries(HistogramSeries, {
      priceScaleId: "volume", priceFormat: { type: "volume" },
      lastValueVisible: false, priceLineVisible: false,
    });
    this.#volume.priceScale().applyOptions({ scaleMargins: { top: 0.84, bottom: 0 } });
    this.#candles = this.#chart.addSeries(CandlestickSeries, {});
    this.#candles.attachPrimitive(this.#box);
    this.#others = new Lines(this.#chart, 2, true);
    this.#studies = new Lines(this.#chart, 1, false);
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

  /** Whether all drawn prices are above 0: others have no logarithm. */
  get arePositive(): boolean {
    return this.#arePositive;
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
      rightPriceScale: { borderColor: colours.edge, mode: this.#scaleMode() },
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
    for (const line of this.#alerts) line.applyOptions({ color: colours.alert, axisLabelColor: colours.alert });
    this.showMeasurement(this.#measurement);
  }

  /** Redraw everything; the visible range stays the same. */
  draw(main: Candles, others: readonly Line[], studies: readonly Line[]): void {
    this.#fitDecimals(main);
    this.#arePositive = main.arePositive && others.every(({ points }) => points.every(({ value }) => value > 0));
    this.#chart.applyOptions({ rightPriceScale: { mode: this.#scaleMode() } });
    this.#candles.setData(main.all.map((candle) => this.#bar(candle, main)));
    this.#volume.setData(main.all.map((candle) => this.#column(candle)));
    this.#colourLastPrice(main);
    this.#others.draw(others, this.#priceFormat());
    this.drawStudies(studies);
  }

  drawStudies(studies: readonly Line[]): void {
    this.#studies.draw(studies, this.#priceFormat());
  }

  /** Draw one changed candle; false if everything has to be redrawn. */
  change(main: Candles, candle: Candle, change: Change): boolean {
    const isFirst = main.all.length === 1;
    if (change === "inserted" || isFirst || (this.#arePositive && candle.low <= 0)) return false;
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

  /** Draw the changed candle of another source; false if everything has to be redrawn. */
  changeOther(index: number, candle: Candle, change: Change): boolean {
    if (change === "inserted" || (this.#arePositive && candle.close <= 0)) return false;
    this.#others.change(index, closeOf(candle), change === "replaced");
    return true;
  }

  /** Draw the newest point of a study's line. */
  changeStudy(index: number, point: LinePoint): void {
    this.#studies.change(index, point, false);
  }

  /** Show the newest candles of a series. */
  toNewest({ all, newest }: Candles): void {
    this.#chart.priceScale("right").applyOptions({ autoScale: true });
    const last = newest && this.#chart.timeScale().timeToIndex(newest.time as UTCTimestamp, true);
    if (last === undefined || last === null) return;
    const fitting = Math.floor(this.#chart.timeScale().width() / MIN_SPACING_PX / (1 + RIGHT_SHARE));
    const most = fitting > 0 ? Math.min(CANDLES_IN_VIEW, fitting) : CANDLES_IN_VIEW;
    const count = Math.max(Math.min(most, all.length), MIN_IN_VIEW);
    this.#chart.timeScale().setVisibleLogicalRange({ from: last - count + 0.5, to: last + 0.5 + count * RIGHT_SHARE });
  }

  /** The time and price under the pointer. */
  pointAt({ clientX, clientY }: Pick<MouseEvent, "clientX" | "clientY">): Point | undefined {
    const { left, top } = this.host.getBoundingClientRect();
    const [x, y] = [clientX - left, clientY - top];
    const scale = this.#chart.timeScale();
    const price = this.#candles.coordinateToPrice(y);
    const range = scale.getVisibleRange();
    if (price === null || range === null || x > scale.width()) return undefined;
    // To the right of the newest candle there is no time.
    const time = scale.coordinateToTime(x) ?? range.to;
    return { time: time as number, price: Number(price.toFixed(this.#decimals)) };
  }

  /** Whether dragging and zooming move the chart. */
  set isMovable(movable: boolean) {
    this.#chart.applyOptions({ handleScroll: movable, handleScale: movable });
  }

  showMeasurement(measurement: Measurement | undefined): void {
    this.#measurement = measurement;
    const { measure, measureArea, back, text } = this.#style.colours;
    const colours = { line: measure, fill: measureArea, back, text };
    this.#box.show(measurement && { ...measurement, texts: measurementTexts(measurement, this.#decimals), colours });
  }

  /** Draw a line at the price of each alert. */
  showAlerts(prices: readonly number[]): void {
    const { alert } = this.#style.colours;
    for (const line of this.#alerts.splice(0)) this.#candles.removePriceLine(line);
    this.#alerts = prices.map((price) => this.#candles.createPriceLine({
      price, color: alert, axisLabelColor: alert, lineWidth: 1, lineStyle: LineStyle.LargeDashed, title: "Alert",
    }));
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
  data() {
    return {
      candles: this.#candles.data(), volume: this.#volume.data(),
      lines: this.#others.data(), studies: this.#studies.data(),
      isLogarithmic: this.#chart.priceScale("right").options().mode === PriceScaleMode.Logarithmic,
      alerts: this.#alerts.map((line) => line.options().price),
    };
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
    this.#candles.applyOptions({ priceFormat: this.#priceFormat() });
    const digits = decimalsOf(newest.map(({ volume }) => volume));
    this.#volume.applyOptions({ priceFormat: { type: "volume", precision: digits, minMove: moveOf(digits) } });
  }

  #scaleMode(): PriceScaleMode {
    return this.#style.isLogarithmic && this.#arePositive ? PriceScaleMode.Logarithmic : PriceScaleMode.Normal;
  }

  #priceFormat() {
    const decimals = this.#decimals;
    return { type: "custom", minMove: moveOf(decimals), formatter: (price: number) => priceText(price, decimals) } as const;
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

/** The smallest difference of numbers with so many decimals. */
function moveOf(decimals: number): number {
  return Number((10 ** -decimals).toFixed(decimals));
}

/** The point of a candle on a line through the closes. */
export function closeOf({ time, close }: Candle): LinePoint {
  return { time, value: close };
}
