import { describe, expect, test } from "vitest";
import { DEFAULTS, defaultInterval, fitted, fromUrl, sameCandles, sourcesOf, symbolsOf, toUrl } from "../src/state";

const CODES = ["m1", "h4", "M1"];
const KNOWN = [
  { source: "B", symbol: "EURUSD", recentTicks: 10 },
  { source: "A", symbol: "EURUSD", recentTicks: 10 },
  { source: "A", symbol: "BNBUSD", recentTicks: 30 },
];

describe("the URL", () => {
  test("round-trips the state", () => {
    const state = {
      symbol: "EUR/USD&co", source: "Ä 1", interval: "M1", compare: ["B", "C"],
      studies: ["sma20", "bb33", "vwap"], scale: "log", market: "off", theme: "dark", zone: "local",
    } as const;
    expect(fromUrl(toUrl(state, CODES), CODES)).toEqual(state);
  });
  test("leaves out defaults", () => {
    expect(toUrl(DEFAULTS, CODES)).toBe("");
    expect(toUrl({ ...DEFAULTS, symbol: "X" }, CODES)).toBe("?symbol=X");
  });
  test("m1 and M1 are two intervals", () => {
    expect(fromUrl("?interval=M1", CODES).interval).toBe("M1");
    expect(fromUrl("?interval=m1", CODES).interval).toBe("m1");
  });
  test("unknown values become defaults", () => {
    expect(fromUrl("?interval=h2&theme=pink&zone=&market=1", CODES)).toEqual(DEFAULTS);
  });
  test("without one minute, the finest interval is the default", () => {
    const codes = ["s1", "m20", "h2", "D1"];
    expect([CODES, codes, ["s1", "m1"], []].map(defaultInterval)).toEqual(["m1", "s1", "m1", "m1"]);
    expect(fromUrl("?interval=m1", codes).interval).toBe("s1");
    expect(toUrl(fromUrl("?interval=s1", codes), codes)).toBe("");
    expect(toUrl(fromUrl("?interval=h2", codes), codes)).toBe("?interval=h2");
  });
  test("one that names no symbol has the last interval, unless it names another", () => {
    expect(fromUrl("", CODES, "h4").interval).toBe("h4");
    expect(fromUrl("?theme=dark", CODES, "h4").interval).toBe("h4");
    expect(fromUrl("?interval=M1", CODES, "h4").interval).toBe("M1");
    expect(fromUrl("?symbol=X", CODES, "h4").interval).toBe("m1");
    expect(fromUrl("", CODES, "s1").interval).toBe("m1");
    expect(fromUrl("", CODES, null).interval).toBe("m1");
  });
  test("has each study once, none that is unknown, and not too many", () => {
    expect(fromUrl("?study=sma20&study=sma20&study=sma1&study=x5&study=ema9", CODES).studies).toEqual(["sma20", "ema9"]);
    const many = Array.from({ length: 9 }, (_, n) => `study=sma${n + 2}`).join("&");
    expect(fromUrl(many, CODES).studies).toHaveLength(6);
  });
  test("a source is not compared with itself, nor twice", () => {
    const { compare } = fromUrl("?source=A&compare=A&compare=B&compare=B&compare=", CODES);
    expect(compare).toEqual(["B"]);
  });
});

describe("fitting a state to the known series", () => {
  test("keeps a state that fits", () => {
    const state = { ...DEFAULTS, symbol: "EURUSD", source: "B", compare: ["A"] };
    expect(fitted(state, KNOWN)).toEqual(state);
  });
  test("replaces an unknown symbol with the most active series", () => {
    expect(fitted({ ...DEFAULTS, symbol: "NONE" }, KNOWN)).toMatchObject({ symbol: "BNBUSD", source: "A" });
  });
  test("replaces a source that lacks the symbol, and does not compare with it", () => {
    const state = { ...DEFAULTS, symbol: "BNBUSD", source: "B", compare: ["A"] };
    expect(fitted(state, KNOWN)).toMatchObject({ source: "A", compare: [] });
  });
  test("keeps the state while no series are known", () => {
    const state = { ...DEFAULTS, symbol: "EURUSD", source: "B" };
    expect(fitted(state, [])).toMatchObject({ symbol: "EURUSD", source: "B" });
  });
});

test("symbols are listed once, in the order of the series, and sources sorted", () => {
  expect(symbolsOf(KNOWN)).toEqual(["EURUSD", "BNBUSD"]);
  expect(sourcesOf(KNOWN, "EURUSD")).toEqual(["A", "B"]);
});

test("theme and time zone do not change the candles; sources do", () => {
  expect(sameCandles(DEFAULTS, { ...DEFAULTS, theme: "dark", zone: "local", market: "on" })).toBe(true);
  expect(sameCandles(DEFAULTS, { ...DEFAULTS, compare: ["B"] })).toBe(false);
});
