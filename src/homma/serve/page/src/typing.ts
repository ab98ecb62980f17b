/** Matches for partly typed names and intervals. */

/** The names that start with the typed text, then those that contain it, ignoring case. */
export function matchingNames(names: readonly string[], typed: string): string[] {
  const text = typed.trim().toLowerCase();
  const starting = names.filter((name) => name.toLowerCase().startsWith(text));
  const containing = names.filter((name) => name.toLowerCase().indexOf(text) > 0);
  return text === "" ? [...names] : [...starting, ...containing];
}

/** The interval that starts with the typed text. Case matters only to tell m1 from M1. */
export function matchingInterval(codes: readonly string[], typed: string): string | undefined {
  if (typed === "") return undefined;
  const exact = codes.find((code) => code === typed) ?? codes.find((code) => code.startsWith(typed));
  const lower = typed.toLowerCase();
  return exact ?? codes.find((code) => code.toLowerCase().startsWith(lower));
}

/** The label of an interval, from its name: "15min" is "15 minutes". */
export function intervalLabel(name: string): string {
  const [, count, unit] = /^(\d+)([a-z]+)$/.exec(name) ?? [];
  if (count === undefined || unit === undefined) return name;
  const word = { sec: "second", min: "minute" }[unit] ?? unit;
  return `${count} ${word}${count === "1" ? "" : "s"}`;
}
