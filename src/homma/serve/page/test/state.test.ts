import { describe, expect, test } from "vitest";
import { START, fitted, fromAddress, sameCandles, sourcesOf, symbolsOf, toAddress } from "../src/state";

const CODES = ["m1", "h4", "M1"];
const KNOWN = [
  { source: "B", symbol: "EURUSD" },
  { source: "A", symbol: "EURUSD" },
  { source: "A", symbol: "BNBUSD" },
];

describe("the address", () => {
  test("says the state, and gives it back", () => {
    const state = {
      symbol: "EUR/USD&co", source: "Ä 1", interval: "M1", compare: ["B", "C"],
      market: "off", theme: "dark", zone: "local",
    } as const;
    expect(fromAddress(toAddress(state), CODES)).toEqual(state);
  });
  test("leaves out what is as at the start", () => {
    expect(toAddress(START)).toBe("");
    expect(toAddress({ ...START, symbol: "X" })).toBe("?symbol=X");
  });
  test("m1 and M1 are two intervals", () => {
    expect(fromAddress("?interval=M1", CODES).interval).toBe("M1");
    expect(fromAddress("?interval=m1", CODES).interval).toBe("m1");
  });
  test("what is unknown is as at the start", () => {
    expect(fromAddress("?interval=h2&theme=pink&zone=&market=1", CODES)).toEqual(START);
  });
  test("a source is not laid over itself, nor twice", () => {
    const { compare } = fromAddress("?source=A&compare=A&compare=B&compare=B&compare=", CODES);
    expect(compare).toEqual(["B"]);
  });
});

describe("what fits the series there are", () => {
  test("is left as it is", () => {
    const state = { ...START, symbol: "EURUSD", source: "B", compare: ["A"] };
    expect(fitted(state, KNOWN)).toEqual(state);
  });
  test("an unknown symbol gives way to the first", () => {
    expect(fitted({ ...START, symbol: "NONE" }, KNOWN)).toMatchObject({ symbol: "BNBUSD", source: "A" });
  });
  test("a source without the symbol gives way to one that has it, and is not compared with", () => {
    const state = { ...START, symbol: "BNBUSD", source: "B", compare: ["A"] };
    expect(fitted(state, KNOWN)).toMatchObject({ source: "A", compare: [] });
  });
  test("before the first series nothing is thrown away", () => {
    const state = { ...START, symbol: "EURUSD", source: "B" };
    expect(fitted(state, [])).toMatchObject({ symbol: "EURUSD", source: "B" });
  });
});

test("symbols and sources are each named once, in order", () => {
  expect(symbolsOf(KNOWN)).toEqual(["BNBUSD", "EURUSD"]);
  expect(sourcesOf(KNOWN, "EURUSD")).toEqual(["A", "B"]);
});

test("colours and zones do not change which candles are shown; sources do", () => {
  expect(sameCandles(START, { ...START, theme: "dark", zone: "local", market: "on" })).toBe(true);
  expect(sameCandles(START, { ...START, compare: ["B"] })).toBe(false);
});
