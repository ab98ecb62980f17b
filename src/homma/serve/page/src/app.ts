/** Connects the state with the chart, the controls and the server. */

import * as api from "./api";
import { Chart, type Colours } from "./chart";
import { ChartData } from "./chart-data";
import { Controls, byId } from "./controls";
import { csv } from "./csv";
import { instantText } from "./format";
import { Legend, spoken, type View } from "./legend";
import { Live, type DeletedCandle, type Link, type LiveCandle } from "./live";
import { Market } from "./market";
import { fileName, pngOf, save } from "./save";
import { DEFAULTS, fitted, fromUrl, sameCandles, toUrl, type Series, type State } from "./state";
import { onSystemChange, timeZoneOf, applyTheme } from "./theme";

const OVERVIEW_MS = 2_000;
const RETRY_MS = 2_000;
/** Older candles are loaded when fewer than this are left of the visible range. */
const LOAD_OLDER_BELOW = 100;
/** Above this width the market overview is shown next to the chart, unless it is hidden. */
const wide = matchMedia("(min-width: 1100px)");

export class App {
  onTokenRequired: () => void = () => undefined;
  #state: State = DEFAULTS;
  #series: readonly Series[] = [];
  #codes: readonly string[] = [];
  #data = new ChartData("", "", []);
  #link: Link = "connecting";
  #crosshairTime: number | undefined;
  #colours: Colours;
  readonly #chart: Chart;
  readonly #controls: Controls;
  readonly #legend = new Legend(byId("legend"));
  readonly #market: Market;
  readonly #live: Live;

  constructor() {
    this.#colours = applyTheme(fromUrl(location.search, []).theme);
    this.#chart = new Chart(byId("chart"), this.#style(), {
      pointed: (time) => {
        this.#crosshairTime = time;
        this.#showLegend();
      },
      scrolled: (candlesBefore) => {
        if (candlesBefore < LOAD_OLDER_BELOW) void this.#loadOlder();
      },
    });
    this.#controls = new Controls({
      set: (change) => this.set(change),
      csv: () => this.#saveCsv(),
      png: () => void this.#savePng(),
      isMarketShown: () => this.#isMarketShown(),
    });
    this.#market = new Market(
      byId("quotes"), byId("market-filter"),
      ({ source, symbol }) => `./${toUrl({ ...this.#state, source, symbol, compare: [] }, this.#codes)}`,
      ({ source, symbol }) => this.set({ source, symbol, compare: [], ...(wide.matches ? {} : { market: "off" }) }),
    );
    this.#live = new Live({
      candle: (candle) => this.#update(candle),
      deleted: (candle) => this.#delete(candle),
      missed: () => void this.#reload(),
      link: (link) => this.#showLink(link),
    });
    byId("chart").addEventListener("keydown", (event) => this.#key(event));
    addEventListener("popstate", () => this.#goTo(fromUrl(location.search, this.#codes)));
    onSystemChange(() => this.#applyStyle());
    wide.addEventListener("change", () => this.#applyStyle());
  }

  async start(): Promise<void> {
    const [intervals, series] = await Promise.all([api.intervals(), api.series()]);
    this.#codes = intervals.map(({ code }) => code);
    this.#series = series;
    this.#controls.intervals(intervals);
    this.#goTo(fromUrl(location.search, this.#codes));
    byId("chart").focus();
    void this.#overview();
  }

  /** Change the state, and add it to the browser's history. */
  set(change: Partial<State>): void {
    const state = fitted({ ...this.#state, ...change }, this.#series);
    history.pushState(null, "", toUrl(state, this.#codes) || location.pathname);
    this.#goTo(state);
  }

  /** A read-only view of the page, for tests. */
  inspect(): Record<string, unknown> {
    const app = this;
    return Object.freeze({
      get state() { return app.#state; },
      get link() { return app.#link; },
      get candles() { return [...app.#data.main.all]; },
      get drawn() { return app.#chart.data(); },
      get seen() { return app.#chart.visibleRange(); },
      get colours() { return app.#colours; },
    });
  }

  #goTo(requested: State): void {
    const state = fitted(requested, this.#series);
    const hasSameCandles = sameCandles(state, this.#state);
    this.#state = state;
    this.#applyStyle();
    // Without a series, there is nothing to open yet.
    if (!hasSameCandles && state.symbol !== "") void this.#open();
  }

  #applyStyle(): void {
    this.#colours = applyTheme(this.#state.theme);
    this.#chart.applyStyle(this.#style());
    document.body.classList.toggle("with-market", this.#isMarketShown());
    this.#controls.show(this.#state, this.#series);
    this.#draw();
  }

  #style() {
    return { colours: this.#colours, interval: this.#state.interval, timeZone: timeZoneOf(this.#state.zone) };
  }

  #isMarketShown(): boolean {
    return this.#state.market === "auto" ? wide.matches : this.#state.market === "on";
  }

  async #open(): Promise<void> {
    const { symbol, source, interval, compare } = this.#state;
    const data = new ChartData(symbol, interval, [source, ...compare]);
    this.#data = data;
    this.#crosshairTime = undefined;
    document.title = `${symbol} ${interval} · homma`;
    // Follow changes before loading, so that no change is missed in between.
    this.#live.follow(interval, data.sources.map((name) => ({ source: name, symbol })));
    await this.#tryRequest(() => data.loadNewest());
    if (data !== this.#data) return;
    this.#draw();
    this.#chart.toNewest();
    performance.mark("homma:drawn");
  }

  async #loadOlder(): Promise<void> {
    const data = this.#data;
    const hasMore = await this.#tryRequest(() => data.loadOlder());
    if (hasMore && data === this.#data) this.#draw();
  }

  async #reload(): Promise<void> {
    const data = this.#data;
    await this.#tryRequest(() => data.reload());
    if (data === this.#data) this.#draw();
  }

  #update(candle: LiveCandle): void {
    const data = this.#data;
    if (candle.symbol !== data.symbol || candle.interval !== data.interval) return;
    const at = data.sources.indexOf(candle.source);
    const change = data.put(candle.source, candle);
    if (change === undefined) return;
    const drawn = at === 0
      ? this.#chart.change(data.main, candle, change)
      : this.#chart.changeLine(at - 1, candle, change);
    if (drawn) this.#showLegend();
    else this.#draw();
  }

  #delete({ source, symbol, interval, time }: DeletedCandle): void {
    if (symbol !== this.#data.symbol || interval !== this.#data.interval) return;
    this.#data.delete(source, time);
    this.#draw();
  }

  #draw(): void {
    this.#chart.draw(this.#data.main, this.#data.others);
    this.#showLegend();
  }

  #view(): View {
    const { lines, text } = this.#colours;
    const others = this.#data.sources.slice(1).map((source, i) => ({
      source, candles: this.#data.of(source), colour: lines[i % lines.length] ?? text,
    }));
    return {
      state: this.#state, timeZone: timeZoneOf(this.#state.zone),
      decimals: this.#chart.decimals, main: this.#data.main, others,
    };
  }

  #showLegend(): void {
    this.#legend.show(this.#view(), this.#crosshairTime);
    const isWaiting = this.#data.main.newest === undefined;
    if (isWaiting) this.#notify("Waiting for the first candle.");
    else if (byId("notice").textContent === "Waiting for the first candle.") this.#notify("");
  }

  #showLink(link: Link): void {
    this.#link = link;
    byId("link").dataset["link"] = link;
    byId("link").textContent = { connecting: "Connecting", live: "Live", lost: "Connection lost, reconnecting" }[link];
  }

  #notify(text: string): void {
    byId("notice").textContent = text;
    byId("notice").hidden = text === "";
  }

  /** Send a request to the server; errors are shown to the user. */
  async #tryRequest<T>(request: () => Promise<T>): Promise<T | undefined> {
    try {
      return await request();
    } catch (failure) {
      if (failure instanceof api.TokenRequired) this.onTokenRequired();
      else if (failure instanceof api.RequestRefused) this.#notify(failure.message);
      else if (failure instanceof TypeError) setTimeout(() => void this.#reload(), RETRY_MS);
      else throw failure;
      return undefined;
    }
  }

  async #overview(): Promise<void> {
    if (!document.hidden) {
      const quotes = await api.overview(this.#state.interval).catch(() => undefined);
      if (quotes) this.#showQuotes(quotes);
    }
    setTimeout(() => void this.#overview(), OVERVIEW_MS);
  }

  #showQuotes(quotes: readonly api.Quote[]): void {
    this.#market.show(quotes, this.#state.symbol, this.#state.source);
    if (quotes.length === this.#series.length) return;
    this.#series = quotes.map(({ source, symbol }) => ({ source, symbol }));
    this.#goTo(this.#state);
  }

  #key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step !== undefined && event.shiftKey) this.#chart.scroll(step / 4);
    else if (step !== undefined) this.#step(step);
    else if (event.key === "+" || event.key === "=") this.#chart.zoom(1.25);
    else if (event.key === "-") this.#chart.zoom(0.8);
    else if (event.key === "End") this.#chart.toNewest();
    else if (!this.#controls.key(event.key)) return;
    event.preventDefault();
  }

  #step(step: number): void {
    const { all, newest } = this.#data.main;
    const at = all.findIndex(({ time }) => time === (this.#crosshairTime ?? newest?.time));
    const candle = all[at + (this.#crosshairTime === undefined ? 0 : step)];
    if (candle === undefined) return;
    const visible = this.#chart.visibleRange();
    if (visible && (candle.time < visible.from || candle.time > visible.to)) this.#chart.scroll(step / 4);
    this.#chart.point(candle);
    // The chart reports only moves of the pointer, not this one.
    this.#crosshairTime = candle.time;
    this.#showLegend();
    byId("spoken").textContent = spoken(candle, this.#view());
  }

  #saveCsv(): void {
    const { symbol, interval, sources } = this.#data;
    const { from, to } = this.#chart.visibleRange() ?? { from: 0, to: 0 };
    const rows = sources.map((source) => ({
      source, symbol, interval, candles: this.#data.of(source).within(from, to),
    }));
    save(new Blob([csv(rows)], { type: "text/csv" }), fileName([symbol, ...sources, interval], "csv"));
  }

  async #savePng(): Promise<void> {
    const { symbol, interval, sources } = this.#data;
    const { timeZone } = this.#style();
    const { from, to } = this.#chart.visibleRange() ?? { from: 0, to: 0 };
    const span = [from, to].map((time) => instantText(time, interval, timeZone)).join(" – ");
    const title = `${symbol}  ${sources.join(", ")}  ${interval}  ${span} ${timeZone}`;
    const png = await pngOf(this.#chart.screenshot(), title, this.#colours);
    save(png, fileName([symbol, ...sources, interval], "png"));
  }
}
