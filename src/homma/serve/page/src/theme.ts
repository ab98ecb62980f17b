/** Light and dark theme; the colors are defined only in style.css. */

import type { Colours } from "./chart";
import type { Theme, Zone } from "./state";

const systemDark = matchMedia("(prefers-color-scheme: dark)");

export function isDark(theme: Theme): boolean {
  return theme === "auto" ? systemDark.matches : theme === "dark";
}

/** Apply a theme; returns its colors for the chart. */
export function applyTheme(theme: Theme): Colours {
  document.documentElement.dataset["theme"] = isDark(theme) ? "dark" : "light";
  const style = getComputedStyle(document.documentElement);
  const colour = (name: string) => style.getPropertyValue(`--${name}`).trim();
  return {
    back: colour("back"), text: colour("faint"), grid: colour("grid"), edge: colour("edge"),
    up: colour("up"), down: colour("down"), upVolume: colour("up-volume"), downVolume: colour("down-volume"),
    lines: [1, 2, 3, 4].map((n) => colour(`line-${n}`)),
    studies: [1, 2, 3, 4, 5, 6].map((n) => colour(`study-${n}`)),
    alert: colour("alert"), measure: colour("accent"), measureArea: colour("measure-area"),
  };
}

export function onSystemChange(handler: () => void): void {
  systemDark.addEventListener("change", handler);
}

export function timeZoneOf(zone: Zone): string {
  return zone === "utc" ? "UTC" : Intl.DateTimeFormat().resolvedOptions().timeZone;
}
