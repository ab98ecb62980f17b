/** What the browser remembers. A browser that refuses to store anything only forgets. */

export type Storage = Pick<globalThis.Storage, "getItem" | "setItem" | "removeItem" | "key" | "length">;

/** The browser's storage, or one that lasts as long as the page if it is blocked. */
export function browserStorage(): Storage {
  try {
    return window.localStorage;
  } catch {
    return new PageStorage();
  }
}

/** Store a text; a full storage keeps what it has. */
export function remember(storage: Storage, key: string, text: string): void {
  try {
    storage.setItem(key, text);
  } catch (failure) {
    if (!(failure instanceof DOMException)) throw failure;
  }
}

/** A storage in memory. */
export class PageStorage implements Storage {
  readonly #texts = new Map<string, string>();

  get length(): number {
    return this.#texts.size;
  }

  key(index: number): string | null {
    return [...this.#texts.keys()][index] ?? null;
  }

  getItem(key: string): string | null {
    return this.#texts.get(key) ?? null;
  }

  setItem(key: string, text: string): void {
    this.#texts.set(key, text);
  }

  removeItem(key: string): void {
    this.#texts.delete(key);
  }
}
