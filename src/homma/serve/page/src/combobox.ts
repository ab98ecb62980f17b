/** A text field with a list of choices that match the input, after the ARIA combobox pattern. */

import { matchingNames } from "./typing";

const MAX_CHOICES = 200;

export class Combobox {
  #names: readonly string[] = [];
  #choices: readonly string[] = [];
  #value = "";
  #activeIndex = -1;
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
    field.addEventListener("click", () => this.#open(""));
    field.addEventListener("input", () => this.#open(field.value));
    field.addEventListener("blur", () => this.#close());
    field.addEventListener("keydown", (event) => this.#key(event));
    // Keeps the focus in the field, so that its blur does not close the list before the click.
    list.addEventListener("pointerdown", (event) => event.preventDefault());
    list.addEventListener("click", (event) => {
      const item = (event.target as Element).closest("li");
      if (item) this.#choose(item.textContent);
    });
  }

  show(names: readonly string[], value: string): void {
    this.#names = names;
    if (value === this.#value && this.field === document.activeElement) return;
    this.#value = value;
    this.field.value = value;
  }

  #key(event: KeyboardEvent): void {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step !== undefined) {
      if (this.#list.hidden) this.#open("");
      else this.#setActive((this.#activeIndex + step + this.#choices.length) % this.#choices.length);
      event.preventDefault();
    } else if (event.key === "Enter") {
      const name = this.#list.hidden ? undefined : this.#choices[this.#activeIndex];
      if (name !== undefined) this.#choose(name);
    } else if (event.key === "Escape") {
      this.#close();
      this.field.select();
    }
  }

  #open(typed: string): void {
    this.#choices = matchingNames(this.#names, typed).slice(0, MAX_CHOICES);
    this.#list.replaceChildren(
      ...this.#choices.map((name, i) => {
        const item = document.createElement("li");
        item.id = `${this.#list.id}-${i}`;
        item.setAttribute("role", "option");
        item.textContent = name;
        return item;
      }),
    );
    this.#list.hidden = this.#choices.length === 0;
    this.field.setAttribute("aria-expanded", String(!this.#list.hidden));
    this.#setActive(typed === "" ? Math.max(0, this.#choices.indexOf(this.#value)) : 0);
  }

  #setActive(index: number): void {
    this.#activeIndex = index;
    for (const [i, item] of [...this.#list.children].entries()) {
      item.setAttribute("aria-selected", String(i === index));
      if (i === index) item.scrollIntoView({ block: "nearest" });
    }
    this.field.setAttribute("aria-activedescendant", `${this.#list.id}-${index}`);
  }

  #choose(name: string): void {
    this.#value = name;
    this.#close();
    this.field.blur();
    this.onChoice(name);
  }

  #close(): void {
    this.#list.hidden = true;
    this.field.setAttribute("aria-expanded", "false");
    this.field.removeAttribute("aria-activedescendant");
    this.field.value = this.#value;
  }
}
