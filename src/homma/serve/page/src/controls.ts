/** The controls above the chart, and keyboard shortcuts. */

import type { Interval } from "./api";
import { Combobox } from "./combobox";
import { Menu, checkbox } from "./menu";
import { sourcesOf, symbolsOf, type Series, type State } from "./state";
import { MAX_STUDIES, OFFERED, Study } from "./studies";
import { isDark } from "./theme";
import { intervalLabel, matchingInterval } from "./typing";

const TYPING_TIMEOUT_MS = 800;

export function byId<T extends HTMLElement>(id: string): T {
  return document.getElementById(id) as T;
}

export interface ControlActions {
  set(change: Partial<State>): void;
  csv(): void;
  png(): void;
  measure(): void;
  alerts(): void;
  /** Whether the market overview is shown, by choice or because the window is wide. */
  isMarketShown(): boolean;
}

/** What the shown candles are like, on which some controls depend. */
export interface Shown {
  readonly areOfTrades: boolean;
  readonly arePositive: boolean;
}

export class Controls {
  readonly #symbol: Combobox;
  readonly #source: Combobox;
  readonly #compare: Menu;
  readonly #studies: Menu;
  /** The studies of the menu: a study of another length stays when it is no longer shown. */
  #offered: readonly string[] = OFFERED;
  #state: State | undefined;
  #shown: Shown = { areOfTrades: false, arePositive: true };

  constructor(private readonly actions: ControlActions) {
    this.#symbol = new Combobox(byId("symbol"), (symbol) => actions.set({ symbol }));
    this.#source = new Combobox(byId("source"), (source) => actions.set({ source }));
    this.#onClick("csv", () => actions.csv());
    this.#onClick("png", () => actions.png());
    this.#onClick("scale", () => this.#applyKey("l"));
    this.#onClick("zone", () => this.#applyKey("u"));
    this.#onClick("theme", () => this.#applyKey("t"));
    this.#onClick("market-switch", () => this.#applyKey("m"));
    this.#compare = new Menu(byId("compare"));
    this.#studies = new Menu(byId("studies"));
    byId("compare-list").addEventListener("change", () => actions.set({ compare: checkedIn("compare-list") }));
    byId("studies-list").addEventListener("change", () => actions.set({ studies: checkedIn("studies-list") }));
  }

  intervals(known: readonly Interval[]): void {
    const group = byId("intervals");
    group.replaceChildren(group.querySelector("legend")!, ...known.map(intervalButton));
    group.addEventListener("change", (event) => {
      this.actions.set({ interval: (event.target as HTMLInputElement).value });
    });
    let typed = "";
    let typedAt = -Infinity;
    group.addEventListener("keydown", (event) => {
      if (event.key.length !== 1 || event.ctrlKey || event.metaKey || event.altKey) return;
      const codes = known.map(({ code }) => code);
      const continues = event.timeStamp - typedAt < TYPING_TIMEOUT_MS;
      typed = continues && matchingInterval(codes, typed + event.key) ? typed + event.key : event.key;
      typedAt = event.timeStamp;
      const code = matchingInterval(codes, typed);
      if (code === undefined) return;
      group.querySelector<HTMLInputElement>(`input[value="${code}"]`)?.focus();
      this.actions.set({ interval: code });
    });
  }

  show(state: State, known: readonly Series[]): void {
    this.#state = state;
    const sources = sourcesOf(known, state.symbol);
    this.#symbol.show(symbolsOf(known), state.symbol);
    this.#source.show(sources, state.source);
    for (const choice of byId("intervals").querySelectorAll("input")) {
      choice.checked = choice.value === state.interval;
    }
    byId("zone").textContent = state.zone === "utc" ? "UTC" : "Local";
    byId("theme").textContent = isDark(state.theme) ? "Light" : "Dark";
    byId("market-switch").setAttribute("aria-expanded", String(this.actions.isMarketShown()));
    showChoices("compare-list", sources.filter((source) => source !== state.source), state.compare);
    if (byId("compare-list").children.length === 0) byId("compare-list").append(noOtherSource());
    this.#offered = [...new Set([...this.#offered, ...state.studies])];
    showChoices("studies-list", this.#offered, state.studies, (code) => Study.of(code)?.name ?? code);
    for (const box of byId("studies-list").querySelectorAll("input")) {
      box.disabled = !box.checked && state.studies.length >= MAX_STUDIES;
    }
    byId("scale").setAttribute("aria-pressed", String(state.scale === "log"));
    this.fit(this.#shown);
  }

  /** Hide what the shown candles cannot have: a VWAP without trades, logarithms of 0 and below. */
  fit(shown: Shown): void {
    this.#shown = shown;
    byId("scale").hidden = !shown.arePositive;
    const vwap = byId("studies-list").querySelector<HTMLInputElement>('input[value="vwap"]');
    if (vwap) vwap.closest("li")!.hidden = !shown.areOfTrades && !vwap.checked;
  }

  /** Handle a key while no field has the focus; false if the key has no effect. */
  key(key: string): boolean {
    const field = { "/": "symbol", s: "source" }[key];
    if (field !== undefined) byId(field).focus();
    else if (key === "i") byId("intervals").querySelector<HTMLInputElement>("input:checked")?.focus();
    else if (key === "c") this.#compare.open();
    else if (key === "o") this.#studies.open();
    else if (key === "a") this.actions.alerts();
    else if (key === "r") this.actions.measure();
    else return this.#applyKey(key);
    return true;
  }

  #applyKey(key: string): boolean {
    const state = this.#state;
    if (state === undefined) return false;
    if (key === "l" && this.#shown.arePositive) this.actions.set({ scale: state.scale === "log" ? "linear" : "log" });
    else if (key === "u") this.actions.set({ zone: state.zone === "utc" ? "local" : "utc" });
    else if (key === "t") this.actions.set({ theme: isDark(state.theme) ? "light" : "dark" });
    else if (key === "m") this.actions.set({ market: this.actions.isMarketShown() ? "off" : "on" });
    else return false;
    return true;
  }

  #onClick(id: string, handler: () => void): void {
    byId(id).addEventListener("click", handler);
  }
}

function intervalButton({ code, name }: Interval): HTMLLabelElement {
  const label = document.createElement("label");
  const choice = document.createElement("input");
  choice.type = "radio";
  choice.name = "interval";
  choice.value = code;
  choice.setAttribute("aria-label", intervalLabel(name));
  label.title = intervalLabel(name);
  label.append(choice, code);
  return label;
}

/** Show one checkbox for each value. The elements stay while the values do, and so does the focus. */
function showChoices(
  id: string, values: readonly string[], chosen: readonly string[], textOf = (value: string) => value,
): void {
  const boxes = [...byId(id).querySelectorAll("input")].map(({ value }) => value);
  if (boxes.join("\n") !== values.join("\n")) {
    byId(id).replaceChildren(...values.map((value) => checkbox(value, textOf(value))));
  }
  for (const box of byId(id).querySelectorAll("input")) box.checked = chosen.includes(box.value);
}

function checkedIn(id: string): string[] {
  return [...byId(id).querySelectorAll<HTMLInputElement>("input:checked")].map(({ value }) => value);
}

function noOtherSource(): HTMLLIElement {
  const item = document.createElement("li");
  item.textContent = "No other source has this symbol.";
  return item;
}
