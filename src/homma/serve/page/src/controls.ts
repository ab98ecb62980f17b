/** What stands above the chart, and the keys. */

import type { Interval } from "./api";
import { Combobox } from "./combobox";
import { sourcesOf, symbolsOf, type Series, type State } from "./state";
import { isDark } from "./theme";
import { inWords, intervalMeant } from "./typing";

const TYPING_MS = 800;

export function byId<T extends HTMLElement>(id: string): T {
  return document.getElementById(id) as T;
}

export interface Doer {
  set(change: Partial<State>): void;
  csv(): void;
  png(): void;
  /** Whether the overview is shown now, by choice or by the width. */
  marketShown(): boolean;
}

export class Controls {
  readonly #symbol: Combobox;
  readonly #source: Combobox;
  #state: State | undefined;

  constructor(private readonly doer: Doer) {
    this.#symbol = new Combobox(byId("symbol"), (symbol) => doer.set({ symbol }));
    this.#source = new Combobox(byId("source"), (source) => doer.set({ source }));
    this.#onClick("csv", () => doer.csv());
    this.#onClick("png", () => doer.png());
    this.#onClick("zone", () => this.#act("u"));
    this.#onClick("theme", () => this.#act("t"));
    this.#onClick("market-switch", () => this.#act("m"));
    const compare = byId("compare");
    const button = compare.querySelector("button")!;
    button.addEventListener("click", () => this.#unfold(byId("compare-list").hidden === true));
    compare.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      this.#unfold(false);
      button.focus();
    });
    document.addEventListener("pointerdown", (event) => {
      if (!compare.contains(event.target as Node)) this.#unfold(false);
    });
    byId("compare-list").addEventListener("change", () => this.#compareChosen());
  }

  intervals(known: readonly Interval[]): void {
    const group = byId("intervals");
    group.replaceChildren(group.querySelector("legend")!, ...known.map(intervalButton));
    group.addEventListener("change", (event) => {
      this.doer.set({ interval: (event.target as HTMLInputElement).value });
    });
    let typed = "";
    let typedAt = -Infinity;
    group.addEventListener("keydown", (event) => {
      if (event.key.length !== 1 || event.ctrlKey || event.metaKey || event.altKey) return;
      const codes = known.map(({ code }) => code);
      const goesOn = event.timeStamp - typedAt < TYPING_MS;
      typed = goesOn && intervalMeant(codes, typed + event.key) ? typed + event.key : event.key;
      typedAt = event.timeStamp;
      const meant = intervalMeant(codes, typed);
      if (meant === undefined) return;
      group.querySelector<HTMLInputElement>(`input[value="${meant}"]`)?.focus();
      this.doer.set({ interval: meant });
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
    byId("market-switch").setAttribute("aria-expanded", String(this.doer.marketShown()));
    this.#showCompare(state, sources.filter((one) => one !== state.source));
  }

  /** What a key does while the chart has the focus; false if nothing. */
  key(key: string): boolean {
    const field = { "/": "symbol", s: "source" }[key];
    if (field !== undefined) byId(field).focus();
    else if (key === "i") byId("intervals").querySelector<HTMLInputElement>("input:checked")?.focus();
    else if (key === "c") byId("compare").querySelector("button")!.click();
    else return this.#act(key);
    return true;
  }

  #act(key: string): boolean {
    const state = this.#state;
    if (state === undefined) return false;
    if (key === "u") this.doer.set({ zone: state.zone === "utc" ? "local" : "utc" });
    else if (key === "t") this.doer.set({ theme: isDark(state.theme) ? "light" : "dark" });
    else if (key === "m") this.doer.set({ market: this.doer.marketShown() ? "off" : "on" });
    else return false;
    return true;
  }

  #onClick(id: string, then: () => void): void {
    byId(id).addEventListener("click", then);
  }

  #unfold(open: boolean): void {
    byId("compare-list").hidden = !open;
    byId("compare").querySelector("button")!.setAttribute("aria-expanded", String(open));
    if (open) byId("compare-list").querySelector("input")?.focus();
  }

  #showCompare(state: State, sources: readonly string[]): void {
    const list = byId("compare-list");
    const boxes = [...list.querySelectorAll("input")];
    if (boxes.map(({ value }) => value).join("\n") !== sources.join("\n") || list.children.length === 0) {
      list.replaceChildren(...(sources.length > 0 ? sources.map(compareBox) : [nothing()]));
    }
    for (const box of list.querySelectorAll("input")) box.checked = state.compare.includes(box.value);
  }

  #compareChosen(): void {
    const boxes = byId("compare-list").querySelectorAll<HTMLInputElement>("input:checked");
    this.doer.set({ compare: [...boxes].map(({ value }) => value) });
  }
}

function intervalButton({ code, name }: Interval): HTMLLabelElement {
  const label = document.createElement("label");
  const choice = document.createElement("input");
  choice.type = "radio";
  choice.name = "interval";
  choice.value = code;
  choice.setAttribute("aria-label", inWords(name));
  label.title = inWords(name);
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

function nothing(): HTMLLIElement {
  const item = document.createElement("li");
  item.textContent = "No other source has it.";
  return item;
}
