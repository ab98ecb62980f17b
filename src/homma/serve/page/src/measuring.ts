/** Measuring by pointer and keyboard: from where the pointer was pressed to where it was released. */

import type { Chart } from "./chart";
import type { Measurement, Point } from "./measure";

export interface MeasuringListener {
  /** The number of candles from one point to the other. */
  bars(from: Point, to: Point): number;
  /** A measurement has been started, changed or removed. */
  changed(measurement: Measurement | undefined): void;
}

export class Measuring {
  #measurement: Measurement | undefined;
  /** The next drag measures, also without Shift. */
  #isArmed = false;
  /** The pointer that measures. */
  #pointer: number | undefined;

  constructor(
    private readonly host: HTMLElement,
    private readonly button: HTMLElement,
    private readonly chart: Pick<Chart, "pointAt" | "isMovable" | "showMeasurement">,
    private readonly listener: MeasuringListener,
  ) {
    button.addEventListener("click", () => this.toggle());
    // Before the chart's own handlers, which would move it.
    host.addEventListener("pointerdown", (event) => this.#press(event), true);
    host.addEventListener("pointermove", (event) => {
      if (event.pointerId === this.#pointer) this.extend(this.chart.pointAt(event));
    }, true);
    for (const end of ["pointerup", "pointercancel"] as const) {
      host.addEventListener(end, (event) => {
        if (event.pointerId === this.#pointer) this.#release();
      }, true);
    }
  }

  get measurement(): Measurement | undefined {
    return this.#measurement;
  }

  /** Remove the measurement, or start one: at a point, or with the next drag. */
  toggle(at?: Point): void {
    if (this.#isArmed || this.#measurement !== undefined) this.clear();
    else if (at !== undefined) this.#show({ from: at, to: at, bars: 0 });
    else this.#arm(true);
  }

  extend(to: Point | undefined): void {
    const from = this.#measurement?.from;
    if (from === undefined || to === undefined) return;
    this.#show({ from, to, bars: this.listener.bars(from, to) });
  }

  clear(): void {
    this.#arm(false);
    this.#pointer = undefined;
    if (this.#measurement !== undefined) this.#show(undefined);
  }

  #press(event: PointerEvent): void {
    if (this.#pointer !== undefined || event.button !== 0) return;
    const start = this.#isArmed || event.shiftKey ? this.chart.pointAt(event) : undefined;
    if (start === undefined) {
      // A click elsewhere on the chart.
      if (this.#measurement !== undefined) this.clear();
      return;
    }
    this.#pointer = event.pointerId;
    this.host.setPointerCapture(event.pointerId);
    this.chart.isMovable = false;
    this.#show({ from: start, to: start, bars: 0 });
  }

  #release(): void {
    this.#pointer = undefined;
    this.#arm(false);
  }

  #arm(armed: boolean): void {
    this.#isArmed = armed;
    this.button.setAttribute("aria-pressed", String(armed));
    this.host.classList.toggle("measuring", armed);
    this.chart.isMovable = !armed;
  }

  #show(measurement: Measurement | undefined): void {
    this.#measurement = measurement;
    this.chart.showMeasurement(measurement);
    this.listener.changed(measurement);
  }
}
