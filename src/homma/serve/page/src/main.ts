/** The entry point of the page. */

import * as api from "./api";
import { App } from "./app";
import { byId } from "./controls";

const app = new App();

async function start(): Promise<void> {
  try {
    await app.start();
  } catch (failure) {
    if (!(failure instanceof api.TokenRequired)) throw failure;
    askToken();
  }
}

function askToken(): void {
  byId("login").hidden = false;
  byId("token").focus();
}

byId<HTMLFormElement>("login").addEventListener("submit", async (event) => {
  event.preventDefault();
  const field = byId<HTMLInputElement>("token");
  const isValid = await api.login(field.value);
  field.value = "";
  byId("login-failed").textContent = isValid ? "" : "Wrong token.";
  if (!isValid) return;
  byId("login").hidden = true;
  await start();
});

app.onTokenRequired = askToken;
// For tests: a read-only view of what the page shows.
Object.defineProperty(window, "homma", { value: app.inspect() });
await start();
