import { expect, test } from "vitest";
import { measurementTexts } from "../src/measure";
import { Measuring } from "../src/measuring";

const from = { time: 0, price: 100 };

test("a measurement has the change in price and per cent, the bars and the time", () => {
  expect(measurementTexts({ from, to: { time: 840, price: 101.5 }, bars: 14 }, 2)).toEqual(["+1.50 (+1.50 %)", "14 bars, 14 min"]);
  expect(measurementTexts({ from, to: { time: -60, price: 99 }, bars: -1 }, 1)).toEqual(["−1.0 (−1.00 %)", "−1 bar, 1 min"]);
  expect(measurementTexts({ from: { time: 0, price: 0 }, to: from, bars: 0 }, 0)).toEqual(["+100", "0 bars, 0 s"]);
});

/** The parts of an element that measuring uses. */
class FakeElement extends EventTarget {
  readonly attributes = new Map<string, string>();
  readonly classList = { toggle: () => true };
  setAttribute(name: string, value: string): void {
    this.attributes.set(name, value);
  }
  setPointerCapture(): void {}
  pointer(type: string, x: number, y: number, rest: object = {}): void {
    this.dispatchEvent(Object.assign(new Event(type), { pointerId: 1, button: 0, clientX: x, clientY: y, ...rest }));
  }
}

function measuring() {
  const host = new FakeElement();
  const button = new FakeElement();
  const chart = {
    isMovable: true,
    pointAt: ({ clientX, clientY }: MouseEvent) => ({ time: (clientX - 10) * 60, price: clientY - 20 }),
    showMeasurement: () => undefined,
  };
  const listener = { bars: (a: { time: number }, b: { time: number }) => (b.time - a.time) / 60, changed: () => undefined };
  const tool = new Measuring(host as unknown as HTMLElement, button as unknown as HTMLElement, chart, listener);
  return { host, button, chart, tool };
}

test("a drag with Shift measures while the chart does not move", () => {
  const { host, chart, tool } = measuring();
  host.pointer("pointerdown", 11, 30, { shiftKey: true });
  expect(chart.isMovable).toBe(false);
  host.pointer("pointermove", 16, 27);
  host.pointer("pointerup", 16, 27);
  expect(chart.isMovable).toBe(true);
  host.pointer("pointermove", 99, 99);
  expect(tool.measurement).toEqual({ from: { time: 60, price: 10 }, to: { time: 360, price: 7 }, bars: 5 });
  host.pointer("pointerdown", 50, 50);
  expect(tool.measurement).toBeUndefined();
});

test("the button makes the next drag measure, and only that", () => {
  const { host, button, chart, tool } = measuring();
  host.pointer("pointerdown", 11, 30);
  host.pointer("pointerup", 11, 30);
  expect(tool.measurement).toBeUndefined();
  button.dispatchEvent(new Event("click"));
  expect([chart.isMovable, button.attributes.get("aria-pressed")]).toEqual([false, "true"]);
  host.pointer("pointerdown", 11, 30);
  host.pointer("pointerup", 12, 30);
  expect(tool.measurement).toBeDefined();
  expect([chart.isMovable, button.attributes.get("aria-pressed")]).toEqual([true, "false"]);
  tool.toggle();
  expect(tool.measurement).toBeUndefined();
});

test("from a candle on, each step of the keyboard extends the measurement", () => {
  const { tool } = measuring();
  tool.extend(from);
  expect(tool.measurement).toBeUndefined();
  tool.toggle(from);
  tool.extend({ time: 120, price: 90 });
  expect(tool.measurement).toEqual({ from, to: { time: 120, price: 90 }, bars: 2 });
  tool.toggle(from);
  expect(tool.measurement).toBeUndefined();
});
