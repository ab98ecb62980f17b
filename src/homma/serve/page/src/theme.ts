/** Light and dark; the colours stand in style.css alone. */

import type { Colours } from "./chart";
import type { Theme, Zone } from "./state";

const dark = matchMedia("(prefers-color-scheme: dark)");

export function isDark(theme: Theme): boolean {
  return theme === "auto" ? dark.matches : theme === "dark";
}

export function wear(theme: Theme): Colours {
  document.documentElement.dataset["theme"] = isDark(theme) ? "dark" : "light";
  const style = getComputedStyle(document.documentElement);
  const of = (name: string) => style.getPropertyValue(`--${name}`).trim();
  return {
    back: of("back"), text: of("faint"), grid: of("grid"), edge: of("edge"),
    up: of("up"), down: of("down"), upVolume: of("up-volume"), downVolume: of("down-volume"),
    lines: [1, 2, 3, 4].map((n) => of(`line-${n}`)),
  };
}

export function onSystemChange(then: () => void): void {
  dark.addEventListener("change", then);
}

export function timeZoneOf(zone: Zone): string {
  return zone === "utc" ? "UTC" : Intl.DateTimeFormat().resolvedOptions().timeZone;
}
