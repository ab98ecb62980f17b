/** What somebody means who has typed only a part. */

/** Those that begin with what was typed, then those that hold it, upper or lower case. */
export function matches(names: readonly string[], typed: string): string[] {
  const wanted = typed.trim().toLowerCase();
  const begins = names.filter((name) => name.toLowerCase().startsWith(wanted));
  const holds = names.filter((name) => name.toLowerCase().indexOf(wanted) > 0);
  return wanted === "" ? [...names] : [...begins, ...holds];
}

/** The interval meant: m1 and M1 differ by their case, others are forgiven theirs. */
export function intervalMeant(codes: readonly string[], typed: string): string | undefined {
  if (typed === "") return undefined;
  const exact = codes.find((code) => code === typed) ?? codes.find((code) => code.startsWith(typed));
  const lower = typed.toLowerCase();
  return exact ?? codes.find((code) => code.toLowerCase().startsWith(lower));
}

/** An interval in words, from its name: "15min" is "15 minutes". */
export function inWords(name: string): string {
  const [, count, unit] = /^(\d+)([a-z]+)$/.exec(name) ?? [];
  if (count === undefined || unit === undefined) return name;
  const word = unit === "min" ? "minute" : unit;
  return `${count} ${word}${count === "1" ? "" : "s"}`;
}
