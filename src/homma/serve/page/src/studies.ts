/** Studies: lines that are computed from candles. */

import type { Candle } from "./fields";

/** The studies, and whether their code has a length, as in `sma20`. */
const KINDS = {
  sma: { name: "SMA", lines: 1, hasLength: true },
  ema: { name: "EMA", lines: 1, hasLength: true },
  bb: { name: "Bollinger", lines: 3, hasLength: true },
  vwap: { name: "Day VWAP", lines: 1, hasLength: false },
} as const;
type Kind = keyof typeof KINDS;

/** The studies of the menu; an address can have those of any other length. */
export const OFFERED = ["sma20", "sma50", "sma200", "ema12", "ema26", "ema50", "bb20", "vwap"] as const;
const MAX_LENGTH = 1000;
/** More than these would hide the candles. */
export const MAX_STUDIES = 6;
/** The distance of Bollinger bands from their average, in standard deviations. */
const BAND = 2;

const DAY_S = 86_400;

type Value = number | undefined;

/** What has been traded since the start of a candle's day, with the candle. */
export interface Traded {
  readonly turnover: number;
  readonly volume: number;
}

/** The value of the closes' simple moving average at an index; undefined for the first candles. */
export function smaAt(candles: readonly Candle[], at: number, length: number): Value {
  if (at < length - 1) return undefined;
  let sum = 0;
  for (let i = at - length + 1; i <= at; i++) sum += candles[i]!.close;
  return sum / length;
}

/**
 * The value of the closes' exponential moving average, from the value before; undefined for the
 * first candles. It starts with the simple average, and weights a close with 2 / (length + 1).
 */
export function emaAt(candles: readonly Candle[], at: number, length: number, before: Value): Value {
  if (before === undefined) return smaAt(candles, at, length);
  return before + (2 / (length + 1)) * (candles[at]!.close - before);
}

/** Bollinger bands: average, upper and lower band, by the standard deviation of all `length` closes. */
export function bollingerAt(candles: readonly Candle[], at: number, length: number): [Value, Value, Value] {
  const average = smaAt(candles, at, length);
  if (average === undefined) return [undefined, undefined, undefined];
  let squares = 0;
  for (let i = at - length + 1; i <= at; i++) squares += (candles[i]!.close - average) ** 2;
  const distance = BAND * Math.sqrt(squares / length);
  return [average, average + distance, average - distance];
}

/** The start of the day in which a candle starts, in UTC. */
export function dayOf({ time }: Candle): number {
  return time - (time % DAY_S);
}

/**
 * What has been traded since the start of the day, from the value before. Undefined if the day began
 * before the first candle, unless that is the first one that exists.
 */
export function tradedAt(
  candles: readonly Candle[], at: number, before: Traded | undefined, isWhole: boolean,
): Traded | undefined {
  const candle = candles[at]!;
  const previous = candles[at - 1];
  const day = dayOf(candle);
  const isFirst = previous === undefined ? isWhole || candle.time === day : dayOf(previous) < day;
  const traded = isFirst ? { turnover: 0, volume: 0 } : before;
  if (traded === undefined) return undefined;
  const { turnover, volume } = traded;
  return { turnover: turnover + (candle.turnover ?? 0), volume: volume + candle.volume };
}

/** One study and its values, one for each candle and line. */
export class Study {
  readonly lines: readonly Value[][];
  /** For the VWAP. */
  readonly #traded: (Traded | undefined)[] = [];

  private constructor(readonly code: string, readonly kind: Kind, readonly length: number) {
    this.lines = Array.from({ length: KINDS[kind].lines }, () => []);
  }

  /** The study of a code such as `sma20`; undefined if there is none. */
  static of(code: string): Study | undefined {
    const [, kind, digits] = /^([a-z]+)([1-9]\d*)?$/.exec(code) ?? [];
    if (kind === undefined || !Object.hasOwn(KINDS, kind)) return undefined;
    const length = Number(digits ?? 0);
    const isValid = KINDS[kind as Kind].hasLength ? length >= 2 && length <= MAX_LENGTH : digits === undefined;
    return isValid ? new Study(code, kind as Kind, length) : undefined;
  }

  get name(): string {
    const { name, hasLength } = KINDS[this.kind];
    return hasLength ? `${name} ${this.length}` : name;
  }

  /**
   * Compute the values from this index on: those before it stay as they are. `isWhole`: there are no
   * older candles.
   */
  compute(candles: readonly Candle[], from = 0, isWhole = false): void {
    for (const line of this.lines) line.length = Math.min(line.length, from);
    for (let at = this.lines[0]!.length; at < candles.length; at++) {
      for (const [i, value] of this.#at(candles, at, isWhole).entries()) this.lines[i]!.push(value);
    }
  }

  #at(candles: readonly Candle[], at: number, isWhole: boolean): Value[] {
    if (this.kind === "vwap") {
      const traded = tradedAt(candles, at, this.#traded[at - 1], isWhole);
      this.#traded[at] = traded;
      return [traded && traded.volume > 0 ? traded.turnover / traded.volume : undefined];
    }
    if (this.kind === "sma") return [smaAt(candles, at, this.length)];
    if (this.kind === "bb") return bollingerAt(candles, at, this.length);
    return [emaAt(candles, at, this.length, this.lines[0]![at - 1])];
  }
}
