/** The chosen studies, as lines of the chart and values of the legend. */

import type { Candle } from "./fields";
import type { Line, LinePoint } from "./lines";
import { Study, dayOf } from "./studies";

export interface StudyRow {
  readonly name: string;
  readonly colour: string;
  /** The values at one candle, one for each line. */
  readonly values: readonly number[];
}

export class StudyLines {
  #studies: readonly Study[] = [];
  #areWhole = false;

  /** Choose the studies, and compute them for all candles. `areWhole`: there are no older candles. */
  choose(codes: readonly string[], candles: readonly Candle[], areWhole = false): void {
    const areOfTrades = (candles.at(-1)?.turnover ?? null) !== null;
    const studies = codes.flatMap((code) => Study.of(code) ?? []);
    this.#studies = studies.filter(({ kind }) => areOfTrades || kind !== "vwap");
    this.#areWhole = areWhole;
    this.compute(candles, 0);
  }

  /** The time from which the studies need candles to have values for the newest one. */
  needSince(candles: readonly Candle[]): number | undefined {
    const newest = candles.at(-1);
    return newest && this.#studies.some(({ kind }) => kind === "vwap") ? dayOf(newest) : undefined;
  }

  /** Compute the values from the candle at this index on, as it has changed. */
  compute(candles: readonly Candle[], from: number): void {
    for (const study of this.#studies) study.compute(candles, from, this.#areWhole);
  }

  lines(candles: readonly Candle[], colours: readonly string[]): Line[] {
    return this.#studies.flatMap((study, n) => study.lines.map((values, i) => ({
      colour: colours[n % colours.length] ?? "",
      // The average between two bands.
      isDashed: study.lines.length > 1 && i === 0,
      points: values.flatMap((value, at) => (value === undefined ? [] : [{ time: candles[at]!.time, value }])),
    })));
  }

  /** The last point of each line. */
  newest(candles: readonly Candle[]): (LinePoint | undefined)[] {
    const time = candles.at(-1)?.time ?? 0;
    return this.#studies.flatMap(({ lines }) => lines.map((values) => {
      const value = values.at(-1);
      return value === undefined ? undefined : { time, value };
    }));
  }

  /** The values at the candle with this index. */
  rows(at: number, colours: readonly string[]): StudyRow[] {
    return this.#studies.map(({ name, lines }, n) => ({
      name,
      colour: colours[n % colours.length] ?? "",
      values: lines.flatMap((values) => values[at] ?? []),
    }));
  }
}
