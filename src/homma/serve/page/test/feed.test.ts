import { expect, test } from "vitest";
import { stoppedText } from "../src/feed";
import { candleAt } from "./candle";

function quote(symbol: string, silenceMs: number | null) {
  return { source: "A", symbol, silenceMs, candle: candleAt(0), closes: [] };
}

const SHOWN = { source: "A", symbol: "EURUSD" };

test("while ticks arrive there is nothing to say, and for a while without them", () => {
  expect(stoppedText([quote("EURUSD", 500)], SHOWN)).toBe("");
  expect(stoppedText([quote("EURUSD", 59_000)], SHOWN)).toBe("");
  expect(stoppedText([quote("EURUSD", 590_000), quote("BTCUSD", 10)], SHOWN)).toBe("");
  expect(stoppedText([], SHOWN)).toBe("");
  expect(stoppedText([quote("EURUSD", null)], SHOWN)).toBe("");
});

test("without ticks of any series the feed has stopped", () => {
  expect(stoppedText([quote("EURUSD", 185_000), quote("BTCUSD", 200_000), quote("X", null)], SHOWN))
    .toBe("No ticks for 3 min: the feed or the engine has stopped. Run “homma status” to see which.");
});

test("without ticks of the shown series for longer, it is named", () => {
  expect(stoppedText([quote("EURUSD", 3_600_000), quote("BTCUSD", 10)], SHOWN))
    .toBe("No ticks of EURUSD from A for 1 h. Other series have ticks.");
  expect(stoppedText([quote("EURUSD", 10), quote("BTCUSD", 3_600_000)], SHOWN)).toBe("");
});
