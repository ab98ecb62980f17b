/** The values of the candle under the crosshair, or of the newest candle. */

import { isCorrected, isOpen, vwapOf, type Candles } from "./candles";
import { AMOUNTS, PRICES, type Candle } from "./fields";
import { changeText, instantText, priceText, volumeText, wordsOf } from "./format";
import type { State } from "./state";
import type { StudyRow } from "./study-lines";

export interface View {
  readonly state: State;
  readonly timeZone: string;
  readonly decimals: number;
  readonly main: Candles;
  readonly others: readonly { source: string; candles: Candles; colour: string }[];
  /** The studies at the candle with this index. */
  studiesAt(index: number): readonly StudyRow[];
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
    // There are no series yet.
    if (state.symbol === "") return this.host.replaceChildren();
    const title = span("title", `${state.symbol} `);
    title.append(span("faint", `${state.source} · ${state.interval}`));
    const candle = time === undefined ? main.newest : main.at(time);
    const lines = [row("", title, ...(candle ? values(candle, view) : []))];
    for (const other of view.others) {
      const at = candle ? other.candles.at(candle.time) : other.candles.newest;
      const text = at ? priceText(at.close, decimals) : "–";
      lines.push(row("other", swatch(other.colour), span("faint", other.source), span("", text)));
    }
    const studies = candle ? view.studiesAt(main.indexOf(candle.time)) : [];
    if (studies.length > 0) lines.push(row("studies", ...studies.map((study) => studyText(study, decimals))));
    if (candle) lines[0]!.append(span("faint when", instantText(candle.time, state.interval, timeZone)));
    this.host.replaceChildren(...lines);
  }
}

function swatch(colour: string): HTMLSpanElement {
  const element = span("swatch", "");
  element.style.background = colour;
  return element;
}

function studyText({ name, colour, values }: StudyRow, decimals: number): HTMLSpanElement {
  const text = values.map((value) => priceText(value, decimals)).join(" / ") || "–";
  const element = span("study", "");
  element.append(swatch(colour), span("faint", name), span("", text));
  return element;
}

function row(className: string, ...parts: Node[]): HTMLDivElement {
  const element = document.createElement("div");
  element.className = className;
  element.append(...parts);
  return element;
}

function values(candle: Candle, { decimals, main }: View): Node[] {
  const sign = candle.close >= candle.open ? "up" : "down";
  const prices = PRICES.map((name) => {
    const pair = span("pair", `${name.charAt(0).toUpperCase()} `);
    pair.append(span(sign, priceText(candle[name], decimals)));
    return pair;
  });
  const amounts = amountsOf(candle, decimals).map(([name, text]) => {
    const pair = span("pair", name === "volume" ? "V " : `${name} `);
    pair.append(span("", text));
    return pair;
  });
  const badges = [
    ...(isOpen(candle, main.newest) ? [span("badge", "open")] : []),
    ...(isCorrected(candle) ? [span("badge", `corrected, revision ${candle.revision}`)] : []),
  ];
  return [...prices, ...amounts, span(sign, changeText(candle.open, candle.close)), ...badges];
}

/**
 * The volume; of trades the VWAP, in place of the turnover; and the tick count, which quotes have as
 * their volume.
 */
export function amountsOf(candle: Candle, decimals: number): [string, string][] {
  return AMOUNTS.flatMap((name) => {
    const amount: number | null = candle[name];
    if (name === "turnover") {
      const vwap = vwapOf(candle);
      return vwap === undefined ? [] : [["VWAP", priceText(vwap, decimals)]];
    }
    const isShown = amount !== null && (name === "volume" || candle.turnover !== null || amount !== candle.volume);
    return isShown ? [[wordsOf(name), volumeText(amount)]] : [];
  });
}

/** A candle as a sentence, for screen readers. */
export function spoken(candle: Candle, view: View): string {
  const { state, timeZone, decimals, main } = view;
  const prices = PRICES.map((name) => `${name} ${priceText(candle[name], decimals)}`);
  const suffix = isOpen(candle, main.newest) ? ", still open" : "";
  const amounts = amountsOf(candle, decimals).map((pair) => pair.join(" "));
  return `${instantText(candle.time, state.interval, timeZone)}: ${[...prices, ...amounts].join(", ")}${suffix}`;
}
