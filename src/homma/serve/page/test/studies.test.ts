import { describe, expect, test } from "vitest";
import { StudyLines } from "../src/study-lines";
import { Study } from "../src/studies";
import { candleAt } from "./candle";

const candles = (...closes: number[]) => closes.map((close, minute) => candleAt(minute, { close }));

function valuesOf(code: string, ...closes: number[]) {
  const study = Study.of(code)!;
  study.compute(candles(...closes));
  return study.lines;
}

describe("computed by hand", () => {
  test("the simple moving average is the mean of the last closes", () => {
    expect(valuesOf("sma3", 1, 2, 6, 4, 2)).toEqual([[undefined, undefined, 3, 4, 4]]);
  });
  test("the exponential moving average starts with the mean, and weights a close with 2 / (n + 1)", () => {
    // 3, then 3 + (4 − 3) / 2, then 3.5 + (8 − 3.5) / 2.
    expect(valuesOf("ema3", 1, 2, 6, 4, 8)).toEqual([[undefined, undefined, 3, 3.5, 5.75]]);
  });
  test("Bollinger bands are two standard deviations from the average", () => {
    // The closes 2, 4, 4, 4, 5, 5, 7, 9 have the mean 5 and the standard deviation 2.
    expect(valuesOf("bb8", 2, 4, 4, 4, 5, 5, 7, 9).map((line) => line.at(-1))).toEqual([5, 9, 1]);
    expect(valuesOf("bb2", 3, 3)).toEqual([[undefined, 3], [undefined, 3], [undefined, 3]]);
  });
});

test("fewer closes than the length have no value", () => {
  expect(valuesOf("sma3", 1, 2)).toEqual([[undefined, undefined]]);
  expect(valuesOf("ema3")).toEqual([[]]);
});

test.each(["sma3", "ema3", "bb3"])("%s computed from a changed candle on equals the whole computation", (code) => {
  const study = Study.of(code)!;
  const all = candles(5, 4, 8, 1, 7);
  study.compute(all);
  all.push(candleAt(5, { close: 3 }));
  study.compute(all, 5);
  expect(study.lines).toEqual(valuesOf(code, 5, 4, 8, 1, 7, 3));
  all[2] = candleAt(2, { close: 2 });
  study.compute(all, 2);
  expect(study.lines).toEqual(valuesOf(code, 5, 4, 2, 1, 7, 3));
});

test.each(["sma", "sma0", "sma1", "sma01", "sma1001", "x20", "toString20", "sma20x", ""])(
  "%s is no study", (code) => expect(Study.of(code)).toBeUndefined(),
);

test("the lines of the chart start with the first value", () => {
  const studies = new StudyLines();
  const all = candles(1, 3, 5);
  studies.choose(["sma2", "none", "bb2"], all);
  expect(studies.lines(all, ["a", "b"]).map(({ colour, isDashed }) => [colour, isDashed]))
    .toEqual([["a", false], ["b", true], ["b", false], ["b", false]]);
  expect(studies.lines(all, ["a"])[0]!.points).toEqual([{ time: 60, value: 2 }, { time: 120, value: 4 }]);
  expect(studies.newest(all)).toEqual([4, 4, 6, 2].map((value) => ({ time: 120, value })));
  expect(studies.rows(0, ["a"])).toEqual([{ name: "SMA 2", colour: "a", values: [] }, { name: "Bollinger 2", colour: "a", values: [] }]);
  expect(studies.rows(1, ["a"])[1]!.values).toEqual([2, 4, 0]);
});

describe("the VWAP of the day", () => {
  const DAY = 24 * 60;
  const traded = (minute: number, turnover: number, volume: number) => candleAt(minute, { turnover, volume });
  const vwaps = (rows: ReturnType<typeof traded>[], isWhole = false) => {
    const study = Study.of("vwap")!;
    study.compute(rows, 0, isWhole);
    return study.lines[0];
  };
  const rows = [traded(DAY - 1, 50, 5), traded(DAY, 20, 2), traded(DAY + 1, 0, 0), traded(DAY + 5, 60, 2), traded(2 * DAY + 3, 9, 3)];

  test("weights all trades since the start of the day", () => {
    expect(vwaps(rows)).toEqual([undefined, 10, 10, 20, 3]);
  });
  test("of the first day is known only if no older candles exist", () => {
    expect(vwaps(rows, true)![0]).toBe(10);
    expect(vwaps(rows.slice(1))![0]).toBe(10);
  });
  test("of days and longer intervals is that of the candle", () => {
    expect(vwaps([0, 1, 2].map((day) => traded(day * DAY, 10 * day, 2)))).toEqual([0, 5, 10]);
  });
  test("has no value while nothing has been traded", () => {
    expect(vwaps([traded(0, 0, 0), traded(1, 4, 2)])).toEqual([undefined, 2]);
  });
  test("computed from a changed candle on equals the whole computation", () => {
    const study = Study.of("vwap")!;
    study.compute(rows);
    const changed = rows.with(1, traded(DAY, 40, 2)).concat(traded(2 * DAY + 4, 1, 1));
    study.compute(changed, 1);
    expect(study.lines[0]).toEqual(vwaps(changed));
  });
  test("is a study of trades only, has no length, and needs the whole day", () => {
    expect(["vwap1", "vwap20"].map(Study.of)).toEqual([undefined, undefined]);
    const studies = new StudyLines();
    studies.choose(["vwap"], candles(1, 2));
    expect([studies.rows(1, ["a"]), studies.needSince(candles(1, 2))]).toEqual([[], undefined]);
    studies.choose(["vwap"], rows);
    expect(studies.rows(3, ["a"])).toEqual([{ name: "Day VWAP", colour: "a", values: [20] }]);
    expect(studies.needSince(rows)).toBe(2 * DAY * 60);
    expect(studies.needSince([])).toBeUndefined();
  });
});
