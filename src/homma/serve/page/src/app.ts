/** Connects the state with the chart, the controls and the server. */

import { AlertPanel } from "./alert-panel";
import { Alerts } from "./alerts";
import * as api from "./api";
import { Chart, closeOf, type Colours } from "./chart";
import { ChartData } from "./chart-data";
import { Controls, byId } from "./controls";
import { stoppedText } from "./feed";
import { decimalsOf, priceText } from "./format";
import { Legend, spoken, type View } from "./legend";
import { Live, type DeletedCandle, type Link, type LiveCandle } from "./live";
import { Market } from "./market";
import { measurementTexts, type Measurement } from "./measure";
import { Measuring } from "./measuring";
import { followOverview } from "./overview";
import { ranked, type ActiveSeries } from "./ranking";
import { saveCsv, savePng, type Range } from "./save";
import { DEFAULTS, fitted, fromUrl, sameCandles, seriesName, toUrl, type Series, type State } from "./state";
import { browserStorage, remember } from "./storage";
import { StudyLines } from "./study-lines";
import { onSystemChange, timeZoneOf, applyTheme } from "./theme";

const RETRY_MS = 2_000;
const MAX_RETRY_MS = 10_000;
/** Older candles are loaded when fewer than this are left of the visible range. */
const LOAD_OLDER_BELOW = 100;
const LAST_INTERVAL = "homma.interval";
const WAITING = "Waiting for the first candle.";
/** Above this width the market overview is shown next to the chart, unless it is hidden. */
const wide = matchMedia("(min-width: 1100px)");

export class App {
  onTokenRequired: () => void = () => undefined;
  #state: State = DEFAULTS;
  /** All series, in the order of lists. */
  #series: readonly ActiveSeries[] = [];
  #codes: readonly string[] = [];
  #data = new ChartData("", "", []);
  #isLoaded = false;
  /** The candles that are asked for again soon. */
  #retried: ChartData | undefined;
  #link: Link = "connecting";
  #crosshairTime: number | undefined;
  /** The crosshair was moved by the keyboard. */
  #isStepping = false;
  #colours: Colours;
  readonly #chart: Chart;
  readonly #controls: Controls;
  readonly #legend = new Legend(byId("legend"));
  readonly #market: Market;
  readonly #live: Live;
  readonly #storage = browserStorage();
  readonly #alerts = new Alerts(this.#storage);
  readonly #alertPanel: AlertPanel;
  readonly #measuring: Measuring;
  readonly #studies = new StudyLines();

  constructor() {
    this.#colours = applyTheme(fromUrl(location.search, []).theme);
    this.#chart = new Chart(byId("chart"), this.#style(), {
      pointed: (time) => {
        this.#crosshairTime = time;
        this.#isStepping = false;
        this.#showLegend();
      },
      scrolled: (candlesBefore) => {
        if (candlesBefore < LOAD_OLDER_BELOW) void this.#loadOlder();
      },
    });
    this.#controls = new Controls({
      set: (change) => this.set(change),
      csv: () => saveCsv(this.#data, this.#seen()),
      png: () => void savePng(this.#chart.screenshot(), this.#data, this.#seen(), this.#style().timeZone, this.#colours),
      measure: () => this.#measure(),
      alerts: () => this.#alertPanel.open(),
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
    this.#measuring = new Measuring(byId("chart"), byId("measure"), this.#chart, {
      bars: (from, to) => this.#data.main.indexOf(to.time) - this.#data.main.indexOf(from.time),
      changed: (measurement) => this.#speakMeasurement(measurement),
    });
    this.#alertPanel = new AlertPanel(this.#alerts, {
      suggestion: () => (this.#stepped() ?? this.#data.main.newest)?.close,
      text: (price) => priceText(price, Math.max(this.#chart.decimals, decimalsOf([price]))),
      changed: (prices) => this.#chart.showAlerts(prices),
    });
    byId("chart").addEventListener("click", (event) => {
      const price = event.altKey ? this.#chart.pointAt(event)?.price : undefined;
      if (price !== undefined) this.#alertPanel.set(price);
    });
    document.addEventListener("keydown", (event) => this.#key(event));
    addEventListener("popstate", ({ state }: PopStateEvent) => {
      this.#goTo(state === null ? this.#addressed() : { ...DEFAULTS, ...(state as Partial<State>) });
    });
    onSystemChange(() => this.#applyStyle());
    wide.addEventListener("change", () => this.#applyStyle());
  }

  async start(): Promise<void> {
    const [intervals, series] = await Promise.all([api.intervals(), api.series()]);
    this.#codes = intervals.map(({ code }) => code);
    this.#series = ranked(series);
    this.#controls.intervals(intervals);
    this.#goTo(this.#addressed());
    // An address that leaves something out means another view later: the history has this one.
    history.replaceState(this.#state, "");
    void followOverview({
      // An alert has to be noticed in a hidden page, too.
      interval: () => (!document.hidden || this.#alerts.any ? this.#state.interval : undefined),
      quotes: (quotes, interval) => this.#showQuotes(quotes, interval),
    });
  }

  /** Change the state, and add it to the browser's history. */
  set(change: Partial<State>): void {
    const state = fitted({ ...this.#state, ...change }, this.#series);
    history.pushState(state, "", toUrl(state, this.#codes) || location.pathname);
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
      get measurement() { return app.#measuring.measurement; },
    });
  }

  #seen(): Range {
    return this.#chart.visibleRange() ?? { from: 0, to: 0 };
  }

  #addressed(): State {
    return fromUrl(location.search, this.#codes, this.#storage.getItem(LAST_INTERVAL));
  }

  /** The candle to which the keyboard has moved. */
  #stepped() {
    return this.#isStepping && this.#crosshairTime !== undefined ? this.#data.main.at(this.#crosshairTime) : undefined;
  }

  #goTo(requested: State): void {
    const state = fitted(requested, this.#series);
    const hasSameCandles = sameCandles(state, this.#state);
    this.#state = state;
    remember(this.#storage, LAST_INTERVAL, state.interval);
    this.#applyStyle();
    // Without a series, there is nothing to open yet.
    if (!hasSameCandles && state.symbol !== "") void this.#open();
    else if (this.#isLoaded) void this.#loadForStudies();
  }

  #applyStyle(): void {
    this.#colours = applyTheme(this.#state.theme);
    this.#chart.applyStyle(this.#style());
    document.body.classList.toggle("with-market", this.#isMarketShown());
    this.#controls.show(this.#state, this.#series);
    this.#draw();
  }

  #style() {
    const { interval, zone, scale } = this.#state;
    return { colours: this.#colours, interval, timeZone: timeZoneOf(zone), isLogarithmic: scale === "log" };
  }

  #isMarketShown(): boolean {
    return this.#state.market === "auto" ? wide.matches : this.#state.market === "on";
  }

  async #open(): Promise<void> {
    const { symbol, source, interval, compare } = this.#state;
    const data = new ChartData(symbol, interval, [source, ...compare]);
    this.#data = data;
    this.#isLoaded = false;
    this.#crosshairTime = undefined;
    this.#measuring.clear();
    this.#alertPanel.show({ symbol, source });
    document.title = `${symbol} ${interval} · homma`;
    // Follow changes before loading, so that no change is missed in between.
    this.#live.follow(interval, data.sources.map((name) => ({ source: name, symbol })));
    await this.#tryRequest(() => data.loadNewest());
    if (data !== this.#data) return;
    this.#isLoaded = true;
    this.#seeNewest();
    this.#draw();
    this.#chart.toNewest(data.main);
    performance.mark("homma:drawn");
    this.#retry(data, RETRY_MS);
    await this.#loadForStudies();
  }

  /** Ask again for candles that the server, or its lake, could not give. */
  #retry(data: ChartData, afterMs: number): void {
    if (data.isComplete || data === this.#retried) return;
    this.#retried = data;
    setTimeout(() => void this.#complete(data, Math.min(2 * afterMs, MAX_RETRY_MS)), afterMs);
  }

  async #complete(data: ChartData, retryMs: number): Promise<void> {
    if (data !== this.#data) return;
    const seesNewest = this.#seen().to >= (data.main.newest?.time ?? 0);
    await this.#load(() => data.reload());
    if (data !== this.#data) return;
    if (seesNewest) this.#chart.toNewest(data.main);
    this.#retried = undefined;
    this.#retry(data, retryMs);
  }

  /** Load the older candles from which the studies of the newest one are computed. */
  async #loadForStudies(): Promise<void> {
    const data = this.#data;
    const since = this.#studies.needSince(data.main.all);
    if (since === undefined || data.isWhole || data.main.oldest!.time <= since) return;
    await this.#tryRequest(() => data.loadSince(since));
    if (data === this.#data) this.#draw();
  }

  async #loadOlder(): Promise<void> {
    const data = this.#data;
    const wasWhole = data.isWhole;
    const hasMore = await this.#tryRequest(() => data.loadOlder());
    // Where a series begins, the VWAP of its first day begins.
    if ((hasMore || data.isWhole !== wasWhole) && data === this.#data) this.#draw();
  }

  async #reload(): Promise<void> {
    const data = this.#data;
    await this.#load(() => data.reload());
    this.#retry(data, RETRY_MS);
  }

  async #load(request: () => Promise<void>): Promise<void> {
    const data = this.#data;
    await this.#tryRequest(request);
    if (data !== this.#data) return;
    this.#seeNewest();
    this.#draw();
    await this.#loadForStudies();
  }

  #seeNewest(): void {
    const { main, interval } = this.#data;
    if (main.newest !== undefined) this.#alertPanel.see(this.#shown(), interval, main.newest);
  }

  #shown(): Series {
    return { symbol: this.#data.symbol, source: this.#data.sources[0] ?? "" };
  }

  #update(candle: LiveCandle): void {
    const data = this.#data;
    if (candle.symbol !== data.symbol || candle.interval !== data.interval) return;
    const at = data.sources.indexOf(candle.source);
    const change = data.put(candle.source, candle);
    if (change === undefined) return;
    if (at === 0) this.#alertPanel.see(candle, candle.interval, candle);
    const drawn = at === 0
      ? this.#chart.change(data.main, candle, change)
      : this.#chart.changeOther(at - 1, candle, change);
    if (!drawn) return this.#draw();
    if (at === 0) this.#updateStudies(data.main.indexOf(candle.time));
    this.#showLegend();
  }

  /** Redraw the studies from the changed candle on. */
  #updateStudies(from: number): void {
    const { all } = this.#data.main;
    this.#studies.compute(all, from);
    if (from < all.length - 1) return this.#chart.drawStudies(this.#studies.lines(all, this.#colours.studies));
    for (const [i, point] of this.#studies.newest(all).entries()) {
      if (point !== undefined) this.#chart.changeStudy(i, point);
    }
  }

  #delete({ source, symbol, interval, time }: DeletedCandle): void {
    if (symbol !== this.#data.symbol || interval !== this.#data.interval) return;
    this.#data.delete(source, time);
    this.#draw();
  }

  #draw(): void {
    const { main } = this.#data;
    const others = this.#others().map(({ candles, colour }) => ({ colour, points: candles.all.map(closeOf) }));
    this.#studies.choose(this.#state.studies, main.all, this.#data.isWhole);
    this.#chart.draw(main, others, this.#studies.lines(main.all, this.#colours.studies));
    this.#controls.fit({ areOfTrades: main.areOfTrades, arePositive: this.#chart.arePositive });
    this.#showLegend();
  }

  #others(): View["others"] {
    const { lines, text } = this.#colours;
    return this.#data.sources.slice(1).map((source, i) => ({
      source, candles: this.#data.of(source), colour: lines[i % lines.length] ?? text,
    }));
  }

  #view(): View {
    return {
      state: this.#state, timeZone: timeZoneOf(this.#state.zone),
      decimals: this.#chart.decimals, main: this.#data.main, others: this.#others(),
      studiesAt: (index) => this.#studies.rows(index, this.#colours.studies),
    };
  }

  #showLegend(): void {
    this.#legend.show(this.#view(), this.#crosshairTime);
    const hasNoCandles = this.#data.main.newest === undefined;
    byId("empty").hidden = this.#series.length > 0 || !hasNoCandles;
    if (hasNoCandles && this.#isLoaded) this.#notify(WAITING);
    else if (byId("notice").textContent === WAITING) this.#notify("");
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
      const answer = await request();
      // What was refused before is answered now.
      if (byId("notice").textContent !== WAITING) this.#notify("");
      return answer;
    } catch (failure) {
      if (failure instanceof api.TokenRequired) this.onTokenRequired();
      else if (failure instanceof api.RequestRefused) this.#notify(failure.message);
      // The server did not answer: it is asked again.
      else if (!(failure instanceof TypeError)) throw failure;
      return undefined;
    }
  }

  async #showQuotes(quotes: readonly api.Quote[], interval: string): Promise<void> {
    const known = new Set(this.#series.map(seriesName));
    if (!quotes.every((quote) => known.has(seriesName(quote)))) {
      this.#series = ranked(await api.series().catch(() => this.#series));
      this.#goTo(this.#state);
    }
    this.#market.show(quotes, this.#series, this.#state);
    this.#showFeed(stoppedText(quotes, this.#state));
    // The stream is ahead of the quotes of the series that it follows.
    const shown = seriesName(this.#shown());
    for (const quote of quotes) {
      if (seriesName(quote) !== shown) this.#alertPanel.see(quote, interval, quote.candle);
    }
  }

  #showFeed(text: string): void {
    if (byId("feed").textContent !== text) byId("feed").textContent = text;
    byId("feed").hidden = text === "";
  }

  #key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    // Fields and buttons have keys of their own.
    if (event.target !== document.body && event.target !== byId("chart")) return;
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step !== undefined && event.shiftKey) this.#chart.scroll(step / 4);
    else if (step !== undefined) this.#step(step);
    else if (event.key === "+" || event.key === "=") this.#chart.zoom(1.25);
    else if (event.key === "-") this.#chart.zoom(0.8);
    else if (event.key === "End") this.#chart.toNewest(this.#data.main);
    else if (event.key === "Escape") this.#measuring.clear();
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
    this.#isStepping = true;
    this.#showLegend();
    if (this.#measuring.measurement === undefined) byId("spoken").textContent = spoken(candle, this.#view());
    else this.#measuring.extend({ time: candle.time, price: candle.close });
  }

  /** Start a measurement at the candle to which the keyboard has moved, or with the next drag. */
  #measure(): void {
    const candle = this.#stepped();
    this.#measuring.toggle(candle && { time: candle.time, price: candle.close });
  }

  #speakMeasurement(measurement: Measurement | undefined): void {
    byId("spoken").textContent = measurement ? measurementTexts(measurement, this.#chart.decimals).join(", ") : "";
  }

}
