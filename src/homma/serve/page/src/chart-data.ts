/** The candles that the chart shows: one symbol and interval, of one or several sources. */

import { candles as fetchCandles, type CandleQuery, type CandlesAnswer } from "./api";
import { Candles, type Change } from "./candles";
import type { Candle } from "./fields";

const FIRST_PAGE = 500;
const PAGE = 1000;
/** The most that the server sends at once. */
const LARGEST_PAGE = 10_000;

type Fetch = (query: CandleQuery, limit: number, to?: string) => Promise<CandlesAnswer>;

export class ChartData {
  readonly #bySource = new Map<string, Candles>();
  readonly #exhausted = new Set<string>();
  /** The sources whose last answer was not complete. */
  readonly #incomplete = new Set<string>();
  #older: Promise<boolean> | undefined;

  /** `sources`: first the source that is drawn as candles, then those drawn as lines. */
  constructor(
    readonly symbol: string,
    readonly interval: string,
    readonly sources: readonly string[],
    private readonly fetch: Fetch = fetchCandles,
  ) {
    for (const source of sources) this.#bySource.set(source, new Candles());
  }

  get main(): Candles {
    return this.of(this.sources[0] ?? "");
  }

  /** Whether there are no candles before those of the first source. */
  get isWhole(): boolean {
    return this.#exhausted.has(this.sources[0] ?? "");
  }

  /** Whether the server could read all candles that it was asked for. */
  get isComplete(): boolean {
    return this.#incomplete.size === 0;
  }

  get others(): readonly Candles[] {
    return this.sources.slice(1).map((source) => this.of(source));
  }

  of(source: string): Candles {
    return this.#bySource.get(source) ?? new Candles();
  }

  put(source: string, candle: Candle): Change | undefined {
    return this.#bySource.get(source)?.put(candle);
  }

  delete(source: string, time: number): void {
    this.#bySource.get(source)?.delete(time);
  }

  async loadNewest(): Promise<void> {
    await Promise.all(this.sources.map((source) => this.#loadPage(source, FIRST_PAGE)));
  }

  /** Load the candles before the oldest; false if there are none, or a load is in progress. */
  async loadOlder(limit = PAGE): Promise<boolean> {
    const sources = this.sources.filter((source) => !this.#exhausted.has(source));
    if (this.#older !== undefined || sources.length === 0) return false;
    this.#older = this.#loadBefore(sources, limit);
    try {
      return await this.#older;
    } finally {
      this.#older = undefined;
    }
  }

  /** Load older candles until those of the first source reach back to a time. */
  async loadSince(time: number): Promise<void> {
    for (let limit = PAGE; !this.isWhole && (this.main.oldest?.time ?? time) > time; limit = LARGEST_PAGE) {
      if (this.#older !== undefined) await this.#older;
      else if (!(await this.loadOlder(limit))) return;
    }
  }

  async #loadBefore(sources: readonly string[], limit: number): Promise<boolean> {
    const hasMore = await Promise.all(
      sources.map(async (source) => {
        const loaded = await this.#loadPage(source, limit, this.of(source).oldest?.dateTime);
        if (loaded.length === 0 && !this.#incomplete.has(source)) this.#exhausted.add(source);
        return loaded.length > 0;
      }),
    );
    return hasMore.includes(true);
  }

  /** Load all candles again, as a missed event may have corrected an old candle. */
  async reload(): Promise<void> {
    await Promise.all(
      this.sources.map(async (source) => {
        const oldest = this.of(source).oldest?.time ?? Infinity;
        let loaded = await this.#loadPage(source, PAGE);
        while (loaded[0] !== undefined && loaded[0].time > oldest) {
          loaded = await this.#loadPage(source, PAGE, loaded[0].dateTime);
        }
      }),
    );
  }

  async #loadPage(source: string, limit: number, to?: string): Promise<Candle[]> {
    const finish = this.of(source).load();
    let answer: CandlesAnswer = { candles: [], complete: false };
    try {
      answer = await this.fetch({ source, symbol: this.symbol, interval: this.interval }, limit, to);
    } finally {
      finish(answer.candles);
      if (answer.complete) this.#incomplete.delete(source);
      else this.#incomplete.add(source);
    }
    return answer.candles;
  }
}
