/** The controls above the chart, and keyboard shortcuts. */

import type { Interval } from "./api";
import { Combobox } from "./combobox";
import { sourcesOf, symbolsOf, type Series, type State } from "./state";
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
  /** Whether the market overview is shown, by choice or because the window is wide. */
  isMarketShown(): boolean;
}

export class Controls {
  readonly #symbol: Combobox;
  readonly #source: Combobox;
  #state: State | undefined;

  constructor(private readonly actions: ControlActions) {
    this.#symbol = new Combobox(byId("symbol"), (symbol) => actions.set({ symbol }));
    this.#source = new Combobox(byId("source"), (source) => actions.set({ source }));
    this.#onClick("csv", () => actions.csv());
    this.#onClick("png", () => actions.png());
    this.#onClick("zone", () => this.#applyKey("u"));
    this.#onClick("theme", () => this.#applyKey("t"));
    this.#onClick("market-switch", () => this.#applyKey("m"));
    const compare = byId("compare");
    const button = compare.querySelector("button")!;
    button.addEventListener("click", () => this.#toggleCompare(byId("compare-list").hidden === true));
    compare.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      this.#toggleCompare(false);
      button.focus();
    });
    document.addEventListener("pointerdown", (event) => {
      if (!compare.contains(event.target as Node)) this.#toggleCompare(false);
    });
    byId("compare-list").addEventListener("change", () => this.#compareChosen());
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
    this.#showCompare(state, sources.filter((source) => source !== state.source));
  }

  /** Handle a key while the chart has the focus; false if the key has no effect. */
  key(key: string): boolean {
    const field = { "/": "symbol", s: "source" }[key];
    if (field !== undefined) byId(field).focus();
    else if (key === "i") byId("intervals").querySelector<HTMLInputElement>("input:checked")?.focus();
    else if (key === "c") byId("compare").querySelector("button")!.click();
    else return this.#applyKey(key);
    return true;
  }

  #applyKey(key: string): boolean {
    const state = this.#state;
    if (state === undefined) return false;
    if (key === "u") this.actions.set({ zone: state.zone === "utc" ? "local" : "utc" });
    else if (key === "t") this.actions.set({ theme: isDark(state.theme) ? "light" : "dark" });
    else if (key === "m") this.actions.set({ market: this.actions.isMarketShown() ? "off" : "on" });
    else return false;
    return true;
  }

  #onClick(id: string, handler: () => void): void {
    byId(id).addEventListener("click", handler);
  }

  #toggleCompare(open: boolean): void {
    byId("compare-list").hidden = !open;
    byId("compare").querySelector("button")!.setAttribute("aria-expanded", String(open));
    if (open) byId("compare-list").querySelector("input")?.focus();
  }

  #showCompare(state: State, sources: readonly string[]): void {
    const list = byId("compare-list");
    const boxes = [...list.querySelectorAll("input")];
    if (boxes.map(({ value }) => value).join("\n") !== sources.join("\n") || list.children.length === 0) {
      list.replaceChildren(...(sources.length > 0 ? sources.map(compareBox) : [noOtherSource()]));
    }
    for (const box of list.querySelectorAll("input")) box.checked = state.compare.includes(box.value);
  }

  #compareChosen(): void {
    const boxes = byId("compare-list").querySelectorAll<HTMLInputElement>("input:checked");
    this.actions.set({ compare: [...boxes].map(({ value }) => value) });
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

function compareBox(source: string): HTMLLIElement {
  const item = document.createElement("li");
  const label = document.createElement("label");
  const box = document.createElement("input");
  box.type = "checkbox";
  box.value = source;
  label.append(box, source);
  item.append(label);
  return item;
}

function noOtherSource(): HTMLLIElement {
  const item = document.createElement("li");
  item.textContent = "No other source has this symbol.";
  return item;
}
