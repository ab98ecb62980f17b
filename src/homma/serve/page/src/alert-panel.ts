/** The menu that sets and removes alerts, and the notices of prices that were crossed. */

import type { Alerts } from "./alerts";
import { byId } from "./controls";
import type { Candle } from "./fields";
import { decimalsOf, priceText } from "./format";
import { Menu } from "./menu";
import { seriesName, type Series } from "./state";

export interface AlertListener {
  /** The price to start from when an alert is set. */
  suggestion(): number | undefined;
  /** A price of the shown series as text. */
  text(price: number): string;
  /** The shown series has these alerts now. */
  changed(prices: readonly number[]): void;
}

export class AlertPanel {
  readonly #menu: Menu;
  #series: Series = { source: "", symbol: "" };

  constructor(private readonly alerts: Alerts, private readonly listener: AlertListener) {
    const field = byId<HTMLInputElement>("alert-price");
    this.#menu = new Menu(byId("alerts"), () => {
      const price = listener.suggestion();
      field.value = price === undefined ? "" : listener.text(price);
    });
    byId("alerts-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.set(field.valueAsNumber);
    });
  }

  open(): void {
    this.#menu.open();
  }

  /** Show the alerts of a series. */
  show(series: Series): void {
    this.#series = series;
    const prices = this.alerts.of(series);
    byId("alert-list").replaceChildren(...prices.map((price) => this.#alertItem(price)));
    this.listener.changed(prices);
  }

  /** Set an alert on the shown series. */
  set(price: number): void {
    if (!Number.isFinite(price) || this.#series.symbol === "") return;
    askForNotifications();
    this.alerts.set(this.#series, price);
    this.show(this.#series);
  }

  /** Look at a candle of any series, and report the alerts that its price has crossed. */
  see(series: Series, interval: string, candle: Candle): void {
    for (const price of this.alerts.see(series, interval, candle)) {
      const decimals = decimalsOf([price, candle.close]);
      const [alert, now] = [price, candle.close].map((value) => priceText(value, decimals));
      this.#report(`${series.symbol} from ${series.source} has reached ${alert}. It is now at ${now}.`);
      if (seriesName(series) === seriesName(this.#series)) this.show(series);
    }
  }

  #alertItem(price: number): HTMLLIElement {
    return itemWithButton(this.listener.text(price), "Remove", () => {
      this.alerts.remove(this.#series, price);
      this.show(this.#series);
      byId("alert-price").focus();
    });
  }

  #report(text: string): void {
    const item = itemWithButton(text, "Dismiss", () => item.remove());
    byId("crossings").append(item);
    notify(text);
  }
}

function itemWithButton(text: string, action: string, handler: () => void): HTMLLIElement {
  const item = document.createElement("li");
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = action;
  button.setAttribute("aria-label", `${action}: ${text}`);
  button.addEventListener("click", handler);
  item.append(text, button);
  return item;
}

function askForNotifications(): void {
  if ("Notification" in window && Notification.permission === "default") void Notification.requestPermission();
}

/** Show a notification of the system, if the user has permitted that. */
function notify(text: string): void {
  if (!("Notification" in window) || Notification.permission !== "granted") return;
  try {
    new Notification("homma", { body: text });
  } catch (failure) {
    // Browsers on phones allow notifications only from service workers: the page's notice remains.
    if (!(failure instanceof TypeError)) throw failure;
  }
}
