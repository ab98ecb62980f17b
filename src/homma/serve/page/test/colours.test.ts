import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";

const css = readFileSync(new URL("../src/style.css", import.meta.url), "utf8");

function colours(selector: string): Map<string, string> {
  const block = css.slice(css.indexOf(`${selector} {`)).split("}")[0]!;
  return new Map([...block.matchAll(/--([\w-]+): (#[0-9a-f]{6})\b/g)].map(([, name, value]) => [name!, value!]));
}

function luminance(colour: string): number {
  const [red, green, blue] = [1, 3, 5].map((start) => {
    const channel = parseInt(colour.slice(start, start + 2), 16) / 255;
    return channel <= 0.04045 ? channel / 12.92 : ((channel + 0.055) / 1.055) ** 2.4;
  }) as [number, number, number];
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

function contrast(a: string, b: string): number {
  const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y) as [number, number];
  return (high + 0.05) / (low + 0.05);
}

describe.each([":root", ':root[data-theme="dark"]'])("in %s", (selector) => {
  const named = colours(selector);
  const texts = ["text", "faint", "up", "down", "accent"];
  const pairs = texts.flatMap((text) => ["back", "panel", "raised"].map((back) => [text, back] as const));
  test.each(pairs)("%s is readable on %s", (text, back) => {
    expect(contrast(named.get(text)!, named.get(back)!)).toBeGreaterThanOrEqual(4.5);
  });
  test.each(["line-1", "line-2", "line-3", "line-4", "alert", ...[1, 2, 3, 4, 5, 6].map((n) => `study-${n}`)])("%s is visible", (line) => {
    expect(contrast(named.get(line)!, named.get("back")!)).toBeGreaterThanOrEqual(3);
  });
});
