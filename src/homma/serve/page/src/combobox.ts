/** A field that offers what can be chosen while one types, after the ARIA combobox pattern. */

import { matches } from "./typing";

const MOST_OFFERED = 200;

export class Combobox {
  #names: readonly string[] = [];
  #offered: readonly string[] = [];
  #chosen = "";
  #marked = -1;
  readonly #list = document.createElement("ul");

  constructor(
    private readonly field: HTMLInputElement,
    private readonly onChoice: (name: string) => void,
  ) {
    const list = this.#list;
    list.id = `${field.id}-list`;
    list.className = "choices";
    list.hidden = true;
    list.setAttribute("role", "listbox");
    list.setAttribute("aria-label", field.labels?.[0]?.textContent ?? field.id);
    field.after(list);
    field.autocomplete = "off";
    field.spellcheck = false;
    field.setAttribute("role", "combobox");
    field.setAttribute("aria-autocomplete", "list");
    field.setAttribute("aria-controls", list.id);
    field.setAttribute("aria-expanded", "false");
    field.addEventListener("focus", () => field.select());
    field.addEventListener("click", () => this.#offer(""));
    field.addEventListener("input", () => this.#offer(field.value));
    field.addEventListener("blur", () => this.#fold());
    field.addEventListener("keydown", (event) => this.#key(event));
    // Before the field loses its focus, so that a click is a choice.
    list.addEventListener("pointerdown", (event) => event.preventDefault());
    list.addEventListener("click", (event) => {
      const item = (event.target as Element).closest("li");
      if (item) this.#choose(item.textContent);
    });
  }

  show(names: readonly string[], chosen: string): void {
    this.#names = names;
    if (chosen === this.#chosen && this.field === document.activeElement) return;
    this.#chosen = chosen;
    this.field.value = chosen;
  }

  #key(event: KeyboardEvent): void {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step !== undefined) {
      if (this.#list.hidden) this.#offer("");
      else this.#mark((this.#marked + step + this.#offered.length) % this.#offered.length);
      event.preventDefault();
    } else if (event.key === "Enter") {
      const name = this.#list.hidden ? undefined : this.#offered[this.#marked];
      if (name !== undefined) this.#choose(name);
    } else if (event.key === "Escape") {
      this.#fold();
      this.field.select();
    }
  }

  #offer(typed: string): void {
    this.#offered = matches(this.#names, typed).slice(0, MOST_OFFERED);
    this.#list.replaceChildren(
      ...this.#offered.map((name, i) => {
        const item = document.createElement("li");
        item.id = `${this.#list.id}-${i}`;
        item.setAttribute("role", "option");
        item.textContent = name;
        return item;
      }),
    );
    this.#list.hidden = this.#offered.length === 0;
    this.field.setAttribute("aria-expanded", String(!this.#list.hidden));
    this.#mark(typed === "" ? Math.max(0, this.#offered.indexOf(this.#chosen)) : 0);
  }

  #mark(at: number): void {
    this.#marked = at;
    for (const [i, item] of [...this.#list.children].entries()) {
      item.setAttribute("aria-selected", String(i === at));
      if (i === at) item.scrollIntoView({ block: "nearest" });
    }
    this.field.setAttribute("aria-activedescendant", `${this.#list.id}-${at}`);
  }

  #choose(name: string): void {
    this.#chosen = name;
    this.#fold();
    this.field.blur();
    this.onChoice(name);
  }

  #fold(): void {
    this.#list.hidden = true;
    this.field.setAttribute("aria-expanded", "false");
    this.field.removeAttribute("aria-activedescendant");
    this.field.value = this.#chosen;
  }
}
