/** From a state to what is on the screen, and back. */

import * as api from "./api";
import { Book } from "./book";
import { Chart, type Colours } from "./chart";
import { Controls, byId } from "./controls";
import { csv } from "./csv";
import { instantText } from "./format";
import { Legend, spoken, type Shown } from "./legend";
import { Live, type Gone, type Link, type LiveCandle } from "./live";
import { Market } from "./market";
import { fileName, pictureOf, save } from "./save";
import { START, fitted, fromAddress, sameCandles, toAddress, type Series, type State } from "./state";
import { onSystemChange, timeZoneOf, wear } from "./theme";

const OVERVIEW_MS = 2_000;
const AGAIN_MS = 2_000;
const OLDER_WHEN_LEFT = 100;
/** Above this width the overview stands beside the chart unless it is put away. */
const wide = matchMedia("(min-width: 1100px)");

export class App {
  onTokenWanted: () => void = () => undefined;
  #state: State = START;
  #series: readonly Series[] = [];
  #codes: readonly string[] = [];
  #book = new Book("", "", []);
  #link: Link = "connecting";
  #pointed: number | undefined;
  #colours: Colours;
  readonly #chart: Chart;
  readonly #controls: Controls;
  readonly #legend = new Legend(byId("legend"));
  readonly #market: Market;
  readonly #live: Live;

  constructor() {
    this.#colours = wear(fromAddress(location.search, []).theme);
    this.#chart = new Chart(byId("chart"), this.#look(), {
      pointed: (time) => {
        this.#pointed = time;
        this.#showLegend();
      },
      scrolled: (before) => {
        if (before < OLDER_WHEN_LEFT) void this.#older();
      },
    });
    this.#controls = new Controls({
      set: (change) => this.set(change),
      csv: () => this.#saveCsv(),
      png: () => void this.#savePng(),
      marketShown: () => this.#marketShown(),
    });
    this.#market = new Market(
      byId("quotes"), byId("market-filter"),
      ({ source, symbol }) => `./${toAddress({ ...this.#state, source, symbol, compare: [] })}`,
      ({ source, symbol }) => this.set({ source, symbol, compare: [], ...(wide.matches ? {} : { market: "off" }) }),
    );
    this.#live = new Live({
      candle: (candle) => this.#take(candle),
      gone: (gone) => this.#drop(gone),
      missed: () => void this.#catchUp(),
      link: (link) => this.#showLink(link),
    });
    byId("chart").addEventListener("keydown", (event) => this.#key(event));
    addEventListener("popstate", () => this.#goTo(fromAddress(location.search, this.#codes)));
    onSystemChange(() => this.#dress());
    wide.addEventListener("change", () => this.#dress());
  }

  async begin(): Promise<void> {
    const [intervals, series] = await Promise.all([api.intervals(), api.series()]);
    this.#codes = intervals.map(({ code }) => code);
    this.#series = series;
    this.#controls.intervals(intervals);
    this.#goTo(fromAddress(location.search, this.#codes));
    byId("chart").focus();
    void this.#overview();
  }

  /** Change what is shown; the address follows, and goes back with the browser's button. */
  set(change: Partial<State>): void {
    const state = fitted({ ...this.#state, ...change }, this.#series);
    history.pushState(null, "", toAddress(state) || location.pathname);
    this.#goTo(state);
  }

  hook(): Record<string, unknown> {
    const app = this;
    return Object.freeze({
      get state() { return app.#state; },
      get link() { return app.#link; },
      get candles() { return [...app.#book.main.all]; },
      get drawn() { return app.#chart.data(); },
      get seen() { return app.#chart.seen(); },
      get colours() { return app.#colours; },
    });
  }

  #goTo(wanted: State): void {
    const state = fitted(wanted, this.#series);
    const same = sameCandles(state, this.#state);
    this.#state = state;
    this.#dress();
    if (!same) void this.#open();
  }

  #dress(): void {
    this.#colours = wear(this.#state.theme);
    this.#chart.dress(this.#look());
    document.body.classList.toggle("with-market", this.#marketShown());
    this.#controls.show(this.#state, this.#series);
    this.#draw();
  }

  #look() {
    return { colours: this.#colours, interval: this.#state.interval, timeZone: timeZoneOf(this.#state.zone) };
  }

  #marketShown(): boolean {
    return this.#state.market === "auto" ? wide.matches : this.#state.market === "on";
  }

  async #open(): Promise<void> {
    const { symbol, source, interval, compare } = this.#state;
    const book = new Book(symbol, interval, [source, ...compare]);
    this.#book = book;
    this.#pointed = undefined;
    document.title = `${symbol} ${interval} · homma`;
    // First the changes, then what they change: so nothing falls between.
    this.#live.follow(interval, book.sources.map((one) => ({ source: one, symbol })));
    await this.#tried(() => book.newest());
    if (book !== this.#book) return;
    this.#draw();
    this.#chart.toNewest();
    performance.mark("homma:drawn");
  }

  async #older(): Promise<void> {
    const book = this.#book;
    const more = await this.#tried(() => book.older());
    if (more && book === this.#book) this.#draw();
  }

  async #catchUp(): Promise<void> {
    const book = this.#book;
    await this.#tried(() => book.again());
    if (book === this.#book) this.#draw();
  }

  #take(candle: LiveCandle): void {
    const book = this.#book;
    if (candle.symbol !== book.symbol || candle.interval !== book.interval) return;
    const at = book.sources.indexOf(candle.source);
    const change = book.put(candle.source, candle);
    if (change === undefined) return;
    const drawn = at === 0
      ? this.#chart.change(book.main, candle, change)
      : this.#chart.changeLine(at - 1, candle, change);
    if (drawn) this.#showLegend();
    else this.#draw();
  }

  #drop({ source, symbol, interval, time }: Gone): void {
    if (symbol !== this.#book.symbol || interval !== this.#book.interval) return;
    this.#book.drop(source, time);
    this.#draw();
  }

  #draw(): void {
    this.#chart.draw(this.#book.main, this.#book.others);
    this.#showLegend();
  }

  #shown(): Shown {
    const { lines, text } = this.#colours;
    const others = this.#book.sources.slice(1).map((source, i) => ({
      source, candles: this.#book.of(source), colour: lines[i % lines.length] ?? text,
    }));
    return {
      state: this.#state, timeZone: timeZoneOf(this.#state.zone),
      decimals: this.#chart.decimals, main: this.#book.main, others,
    };
  }

  #showLegend(): void {
    this.#legend.show(this.#shown(), this.#pointed);
    const waiting = this.#book.main.newest === undefined;
    if (waiting) this.#say("Waiting for the first candle.");
    else if (byId("notice").textContent === "Waiting for the first candle.") this.#say("");
  }

  #showLink(link: Link): void {
    this.#link = link;
    byId("link").dataset["link"] = link;
    byId("link").textContent = { connecting: "Connecting", live: "Live", lost: "Connection lost, trying again" }[link];
  }

  #say(what: string): void {
    byId("notice").textContent = what;
    byId("notice").hidden = what === "";
  }

  /** Do something that asks the server; what goes wrong is told to the person. */
  async #tried<T>(ask: () => Promise<T>): Promise<T | undefined> {
    try {
      return await ask();
    } catch (failure) {
      if (failure instanceof api.TokenWanted) this.onTokenWanted();
      else if (failure instanceof api.Refused) this.#say(failure.message);
      else if (failure instanceof TypeError) setTimeout(() => void this.#catchUp(), AGAIN_MS);
      else throw failure;
      return undefined;
    }
  }

  async #overview(): Promise<void> {
    if (!document.hidden) {
      const quotes = await api.overview(this.#state.interval).catch(() => undefined);
      if (quotes) this.#quoted(quotes);
    }
    setTimeout(() => void this.#overview(), OVERVIEW_MS);
  }

  #quoted(quotes: readonly api.Quote[]): void {
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
    const { all, newest } = this.#book.main;
    const at = all.findIndex(({ time }) => time === (this.#pointed ?? newest?.time));
    const candle = all[at + (this.#pointed === undefined ? 0 : step)];
    if (candle === undefined) return;
    const seen = this.#chart.seen();
    if (seen && (candle.time < seen.from || candle.time > seen.to)) this.#chart.scroll(step / 4);
    this.#chart.point(candle);
    // The chart tells of the pointer's moves only, not of this one.
    this.#pointed = candle.time;
    this.#showLegend();
    byId("spoken").textContent = spoken(candle, this.#shown());
  }

  #saveCsv(): void {
    const { symbol, interval, sources } = this.#book;
    const { from, to } = this.#chart.seen() ?? { from: 0, to: 0 };
    const seen = sources.map((source) => ({
      source, symbol, interval, candles: this.#book.of(source).within(from, to),
    }));
    save(new Blob([csv(seen)], { type: "text/csv" }), fileName([symbol, ...sources, interval], "csv"));
  }

  async #savePng(): Promise<void> {
    const { symbol, interval, sources } = this.#book;
    const { timeZone } = this.#look();
    const { from, to } = this.#chart.seen() ?? { from: 0, to: 0 };
    const span = [from, to].map((time) => instantText(time, interval, timeZone)).join(" – ");
    const title = `${symbol}  ${sources.join(", ")}  ${interval}  ${span} ${timeZone}`;
    const picture = await pictureOf(this.#chart.picture(), title, this.#colours);
    save(picture, fileName([symbol, ...sources, interval], "png"));
  }
}
