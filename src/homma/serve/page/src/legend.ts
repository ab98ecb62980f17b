/** The values of the candle under the crosshair, or of the newest candle. */

import { isCorrected, isOpen, type Candle, type Candles } from "./candles";
import { changeText, instantText, priceText, volumeText } from "./format";
import type { State } from "./state";

export interface View {
  readonly state: State;
  readonly timeZone: string;
  readonly decimals: number;
  readonly main: Candles;
  readonly others: readonly { source: string; candles: Candles; colour: string }[];
}

function span(className: string, text: string): HTMLSpanElement {
  const element = document.createElement("span");
  element.className = className;
  element.textContent = text;
  return element;
}

export class Legend {
  constructor(private readonly host: HTMLElement) {}

  show(view: View, time: number | undefined): void {
    const { state, main, decimals, timeZone } = view;
    const title = span("title", `${state.symbol} `);
    title.append(span("faint", `${state.source} · ${state.interval}`));
    const candle = time === undefined ? main.newest : main.at(time);
    const lines = [row("", title, ...(candle ? values(candle, view) : []))];
    for (const other of view.others) {
      const at = candle ? other.candles.at(candle.time) : other.candles.newest;
      const swatch = span("swatch", "");
      swatch.style.background = other.colour;
      lines.push(row("other", swatch, span("faint", other.source), span("", at ? priceText(at.close, decimals) : "–")));
    }
    if (candle) lines[0]!.append(span("faint when", instantText(candle.time, state.interval, timeZone)));
    this.host.replaceChildren(...lines);
  }
}

function row(className: string, ...parts: Node[]): HTMLDivElement {
  const element = document.createElement("div");
  element.className = className;
  element.append(...parts);
  return element;
}

function values(candle: Candle, { decimals, main }: View): Node[] {
  const sign = candle.close >= candle.open ? "up" : "down";
  const prices = (["open", "high", "low", "close"] as const).map((name) => {
    const pair = span("pair", `${name.charAt(0).toUpperCase()} `);
    pair.append(span(sign, priceText(candle[name], decimals)));
    return pair;
  });
  const volume = span("pair", "V ");
  volume.append(span("", volumeText(candle.volume)));
  const badges = [
    ...(isOpen(candle, main.newest) ? [span("badge", "open")] : []),
    ...(isCorrected(candle) ? [span("badge", `corrected, revision ${candle.revision}`)] : []),
  ];
  return [...prices, volume, span(sign, changeText(candle.open, candle.close)), ...badges];
}

/** A candle as a sentence, for screen readers. */
export function spoken(candle: Candle, view: View): string {
  const { state, timeZone, decimals, main } = view;
  const prices = (["open", "high", "low", "close"] as const).map((name) => `${name} ${priceText(candle[name], decimals)}`);
  const suffix = isOpen(candle, main.newest) ? ", still open" : "";
  return `${instantText(candle.time, state.interval, timeZone)}: ${prices.join(", ")}, volume ${volumeText(candle.volume)}${suffix}`;
}
