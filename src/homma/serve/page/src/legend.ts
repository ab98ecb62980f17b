/** What the candle under the crosshair says, or the newest. */

import { isCorrected, isOpen, type Candle, type Candles } from "./candles";
import { changeText, instantText, priceText, volumeText } from "./format";
import type { State } from "./state";

export interface Shown {
  readonly state: State;
  readonly timeZone: string;
  readonly decimals: number;
  readonly main: Candles;
  readonly others: readonly { source: string; candles: Candles; colour: string }[];
}

function span(className: string, text: string): HTMLSpanElement {
  const made = document.createElement("span");
  made.className = className;
  made.textContent = text;
  return made;
}

export class Legend {
  constructor(private readonly host: HTMLElement) {}

  show(shown: Shown, time: number | undefined): void {
    const { state, main, decimals, timeZone } = shown;
    const title = span("title", `${state.symbol} `);
    title.append(span("faint", `${state.source} · ${state.interval}`));
    const candle = time === undefined ? main.newest : main.at(time);
    const lines = [row("", title, ...(candle ? values(candle, shown) : []))];
    for (const other of shown.others) {
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
  const made = document.createElement("div");
  made.className = className;
  made.append(...parts);
  return made;
}

function values(candle: Candle, { decimals, main }: Shown): Node[] {
  const sign = candle.close >= candle.open ? "up" : "down";
  const prices = (["open", "high", "low", "close"] as const).map((name) => {
    const pair = span("pair", `${name.charAt(0).toUpperCase()} `);
    pair.append(span(sign, priceText(candle[name], decimals)));
    return pair;
  });
  const volume = span("pair", "V ");
  volume.append(span("", volumeText(candle.volume)));
  const marks = [
    ...(isOpen(candle, main.newest) ? [span("mark", "open")] : []),
    ...(isCorrected(candle) ? [span("mark", `corrected, revision ${candle.revision}`)] : []),
  ];
  return [...prices, volume, span(sign, changeText(candle.open, candle.close)), ...marks];
}

/** The same in a sentence, for those who hear it. */
export function spoken(candle: Candle, shown: Shown): string {
  const { state, timeZone, decimals, main } = shown;
  const prices = (["open", "high", "low", "close"] as const).map((name) => `${name} ${priceText(candle[name], decimals)}`);
  const ending = isOpen(candle, main.newest) ? ", still open" : "";
  return `${instantText(candle.time, state.interval, timeZone)}: ${prices.join(", ")}, volume ${volumeText(candle.volume)}${ending}`;
}
