/** Studies: lines that are computed from the closes of candles. */

import type { Candle } from "./fields";

const KINDS = {
  sma: { name: "SMA", lines: 1 },
  ema: { name: "EMA", lines: 1 },
  bb: { name: "Bollinger", lines: 3 },
} as const;
type Kind = keyof typeof KINDS;

/** The studies of the menu; an address can have those of any other length. */
export const OFFERED = ["sma20", "sma50", "sma200", "ema12", "ema26", "ema50", "bb20"] as const;
const MAX_LENGTH = 1000;
/** More than these would hide the candles. */
export const MAX_STUDIES = 6;
/** The distance of Bollinger bands from their average, in standard deviations. */
const BAND = 2;

type Value = number | undefined;

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

/** One study and its values, one for each candle and line. */
export class Study {
  readonly lines: readonly Value[][];

  private constructor(readonly code: string, readonly kind: Kind, readonly length: number) {
    this.lines = Array.from({ length: KINDS[kind].lines }, () => []);
  }

  /** The study of a code such as `sma20`; undefined if there is none. */
  static of(code: string): Study | undefined {
    const [, kind, digits] = /^([a-z]+)([1-9]\d*)$/.exec(code) ?? [];
    const length = Number(digits);
    if (kind === undefined || !Object.hasOwn(KINDS, kind) || length < 2 || length > MAX_LENGTH) return undefined;
    return new Study(code, kind as Kind, length);
  }

  get name(): string {
    return `${KINDS[this.kind].name} ${this.length}`;
  }

  /** Compute the values from this index on: those before it stay as they are. */
  compute(candles: readonly Candle[], from = 0): void {
    for (const line of this.lines) line.length = Math.min(line.length, from);
    for (let at = this.lines[0]!.length; at < candles.length; at++) {
      for (const [i, value] of this.#at(candles, at).entries()) this.lines[i]!.push(value);
    }
  }

  #at(candles: readonly Candle[], at: number): Value[] {
    if (this.kind === "sma") return [smaAt(candles, at, this.length)];
    if (this.kind === "bb") return bollingerAt(candles, at, this.length);
    return [emaAt(candles, at, this.length, this.lines[0]![at - 1])];
  }
}
