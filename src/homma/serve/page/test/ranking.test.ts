import { expect, test } from "vitest";
import { fame, opening, ranked, type ActiveSeries } from "../src/ranking";

function series(symbol: string, recentTicks: number, source = "A"): ActiveSeries {
  return { source, symbol, recentTicks };
}

const symbols = (known: readonly ActiveSeries[]) => ranked(known).map(({ symbol }) => symbol);

test.each(["EURUSD", "BTC/USDT", "btc-usd", "DOGEUSD", "USDJPY", "ETHBTC", "XAUUSD", "AVAXUSD"])(
  "%s is a known pair", (symbol) => expect(fame(symbol)).toBeDefined(),
);

test.each(["BIIE", "USD", "EUR", "USDX", "VOD.L", "AAPL", "EURUSDT2X", ""])(
  "%s is not", (symbol) => expect(fame(symbol)).toBeUndefined(),
);

test("known pairs come first, the best known before the others", () => {
  expect(symbols([series("AAA", 9), series("BNBUSD", 9), series("BTCUSD", 9), series("EURUSD", 9), series("ZZ", 9)]))
    .toEqual(["BTCUSD", "EURUSD", "BNBUSD", "AAA", "ZZ"]);
});

test("within them, much more active ones come first; about the same activity does not matter", () => {
  expect(symbols([series("EURUSD", 40), series("BTCUSD", 99), series("BNBUSD", 100)]))
    .toEqual(["BTCUSD", "BNBUSD", "EURUSD"]);
  expect(symbols([series("QUIET", 0), series("B", 2), series("A", 1)])).toEqual(["B", "A", "QUIET"]);
});

test("sources of a symbol are sorted", () => {
  expect(ranked([series("A", 5, "Y"), series("A", 5, "X")]).map(({ source }) => source)).toEqual(["X", "Y"]);
});

test("the page opens on the most active series, or a known one that is about as active", () => {
  expect(opening([series("EURUSD", 10), series("BIIE", 100)])?.symbol).toBe("BIIE");
  expect(opening([series("EURUSD", 60), series("BIIE", 100)])?.symbol).toBe("EURUSD");
  expect(opening([series("BIIE", 0), series("AAPL", 0)])?.symbol).toBe("AAPL");
  expect(opening([])).toBeUndefined();
});
