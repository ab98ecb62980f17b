import { expect, test } from "vitest";
import { csv } from "../src/csv";
import { FIELDS } from "../src/fields";
import { amountsOf } from "../src/legend";
import { sparkline } from "../src/market";
import { fileName } from "../src/save";
import { intervalLabel, matchingInterval, matchingNames } from "../src/typing";
import { candleAt } from "./candle";

const CODES = ["m1", "m5", "m10", "m15", "m30", "h1", "h3", "h4", "D1", "W1", "M1"];

test("CSV has one row per candle, exact prices, and empty cells for unknown values", () => {
  const candle = candleAt(0, {
    dateTime: "2025-03-20T14:31:00.000", time: 1742481060, open: 627.045, high: 627.1, low: 1e-7,
    close: 0.30000000000000004, volume: 12, tickCount: 12, turnover: null, isFinal: null, revision: null,
  });
  const text = csv([{ source: 'A "B", C', symbol: "X", interval: "m1", candles: [candle] }]);
  expect(text.split("\r\n")).toEqual([
    "source,symbol,interval,dateTime,open,high,low,close,volume,tickCount,turnover,isFinal,revision",
    '"A ""B"", C",X,m1,2025-03-20T14:31:00.000,627.045,627.1,1e-7,0.30000000000000004,12,12,,,',
    "",
  ]);
});

test("CSV has every field of the table", () => {
  const [header] = csv([]).split("\r\n");
  expect(header).toBe(["source", "symbol", "interval", ...FIELDS].join(","));
});

test("amounts that equal the volume are not repeated", () => {
  expect(amountsOf(candleAt(0, { volume: 1200, tickCount: 1200 }), 2)).toEqual([["volume", "1,200"]]);
  expect(amountsOf(candleAt(0, { volume: 1200, tickCount: 7 }), 2)).toEqual([["volume", "1,200"], ["tick count", "7"]]);
});

test("trades have a volume with its decimals, a tick count and a VWAP", () => {
  const candle = candleAt(0, { volume: 1234.00000001, tickCount: 3, turnover: 15425.0000001 });
  expect(amountsOf(candle, 2)).toEqual([["volume", "1,234.00000001"], ["tick count", "3"], ["VWAP", "12.50"]]);
  const whole = candleAt(0, { volume: 3, tickCount: 3, turnover: -4.5 });
  expect(amountsOf(whole, 1)).toEqual([["volume", "3"], ["tick count", "3"], ["VWAP", "-1.5"]]);
  const empty = candleAt(0, { volume: 0, tickCount: 1, turnover: 0 });
  expect(amountsOf(empty, 2)).toEqual([["volume", "0"], ["tick count", "1"]]);
});

test("file names contain only safe characters", () => {
  expect(fileName(["EUR/USD", "A B", "m1"], "csv")).toBe("EUR_USD-A_B-m1.csv");
});

test("names that start with the text come before names that contain it; case is ignored", () => {
  expect(matchingNames(["BNBUSD", "USDJPY", "eurusd", "XRP"], "usd")).toEqual(["USDJPY", "BNBUSD", "eurusd"]);
  expect(matchingNames(["B", "A"], " ")).toEqual(["B", "A"]);
});

test.each([
  ["m", "m1"], ["m1", "m1"], ["m15", "m15"], ["M", "M1"], ["M1", "M1"], ["H", "h1"], ["H4", "h4"],
  ["d", "D1"], ["w1", "W1"], ["m3", "m30"], ["x", undefined], ["", undefined],
])("%s matches %s", (typed, code) => expect(matchingInterval(CODES, typed)).toBe(code));

const OTHERS = ["s1", "s15", "m20", "h2", "D1"];

test.each([["s", "s1"], ["S", "s1"], ["s15", "s15"], ["m", "m20"], ["h", "h2"], ["d", "D1"], ["M", "m20"], ["w", undefined]])(
  "%s matches %s of other intervals", (typed, code) => expect(matchingInterval(OTHERS, typed)).toBe(code),
);

test.each([["1sec", "1 second"], ["15sec", "15 seconds"], ["1min", "1 minute"], ["15min", "15 minutes"], ["4hour", "4 hours"], ["1month", "1 month"], ["tick", "tick"]])(
  "%s is labelled %s", (name, words) => expect(intervalLabel(name)).toBe(words),
);

test("a sparkline fills its box; the highest close is at the top", () => {
  expect(sparkline([1, 3, 2], 10, 12)).toBe("0.0,11.0 5.0,1.0 10.0,6.0");
  expect(sparkline([5, 5], 10, 12)).toBe("0.0,6.0 10.0,6.0");
  expect(sparkline([5], 10, 12)).toBe("0.0,6.0");
});
