/** A button that opens a list of choices or a form; Escape and a click elsewhere close it. */

export class Menu {
  readonly #button: HTMLButtonElement;
  readonly #content: HTMLElement;

  /** `host` contains the button and the element that it controls. */
  constructor(host: HTMLElement, private readonly opened: () => void = () => undefined) {
    this.#button = host.querySelector("button[aria-controls]")!;
    this.#content = host.querySelector(`#${this.#button.getAttribute("aria-controls")}`)!;
    this.#button.addEventListener("click", () => this.#toggle(this.#content.hidden === true));
    host.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      this.#toggle(false);
      this.#button.focus();
    });
    document.addEventListener("pointerdown", (event) => {
      if (!host.contains(event.target as Node)) this.#toggle(false);
    });
  }

  open(): void {
    this.#toggle(true);
  }

  #toggle(open: boolean): void {
    this.#content.hidden = !open;
    this.#button.setAttribute("aria-expanded", String(open));
    if (!open) return;
    this.opened();
    this.#content.querySelector("input")?.focus();
  }
}

/** A list item with a checkbox. */
export function checkbox(value: string, text: string): HTMLLIElement {
  const item = document.createElement("li");
  const label = document.createElement("label");
  const box = document.createElement("input");
  box.type = "checkbox";
  box.value = value;
  label.append(box, text);
  item.append(label);
  return item;
}
