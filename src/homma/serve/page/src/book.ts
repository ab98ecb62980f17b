/** The candles of what is shown: one symbol and interval, of one source or several. */

import { candles as asked, type Wanted } from "./api";
import { Candles, type Candle, type Change } from "./candles";

const NEWEST = 500;
const PAGE = 1000;

type Ask = (wanted: Wanted, limit: number, to?: string) => Promise<Candle[]>;

export class Book {
  readonly #held = new Map<string, Candles>();
  readonly #exhausted = new Set<string>();
  #loadingOlder = false;

  /** `sources`: the one that is drawn as candles first, then those laid over it. */
  constructor(
    readonly symbol: string,
    readonly interval: string,
    readonly sources: readonly string[],
    private readonly ask: Ask = asked,
  ) {
    for (const source of sources) this.#held.set(source, new Candles());
  }

  get main(): Candles {
    return this.of(this.sources[0] ?? "");
  }

  get others(): readonly Candles[] {
    return this.sources.slice(1).map((source) => this.of(source));
  }

  of(source: string): Candles {
    return this.#held.get(source) ?? new Candles();
  }

  put(source: string, candle: Candle): Change | undefined {
    return this.#held.get(source)?.put(candle);
  }

  drop(source: string, time: number): void {
    this.#held.get(source)?.drop(time);
  }

  async newest(): Promise<void> {
    await Promise.all(this.sources.map((source) => this.#page(source, NEWEST)));
  }

  /** Load what is before the oldest; false if there is nothing, or it is being loaded. */
  async older(): Promise<boolean> {
    const left = this.sources.filter((source) => !this.#exhausted.has(source));
    if (this.#loadingOlder || left.length === 0) return false;
    this.#loadingOlder = true;
    try {
      const found = await Promise.all(
        left.map(async (source) => {
          const loaded = await this.#page(source, PAGE, this.of(source).oldest?.dateTime);
          if (loaded.length === 0) this.#exhausted.add(source);
          return loaded.length > 0;
        }),
      );
      return found.includes(true);
    } finally {
      this.#loadingOlder = false;
    }
  }

  /** Load all of it again: something was missed, and it may have been a correction of old. */
  async again(): Promise<void> {
    await Promise.all(
      this.sources.map(async (source) => {
        const oldest = this.of(source).oldest?.time ?? Infinity;
        let loaded = await this.#page(source, PAGE);
        while (loaded[0] !== undefined && loaded[0].time > oldest) {
          loaded = await this.#page(source, PAGE, loaded[0].dateTime);
        }
      }),
    );
  }

  async #page(source: string, limit: number, to?: string): Promise<Candle[]> {
    const take = this.of(source).load();
    let loaded: Candle[] = [];
    try {
      loaded = await this.ask({ source, symbol: this.symbol, interval: this.interval }, limit, to);
    } finally {
      take(loaded);
    }
    return loaded;
  }
}
