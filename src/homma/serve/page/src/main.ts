/** The page: one state, shown. */

import * as api from "./api";
import { App } from "./app";
import { byId } from "./controls";

const app = new App();

async function begin(): Promise<void> {
  try {
    await app.begin();
  } catch (failure) {
    if (!(failure instanceof api.TokenWanted)) throw failure;
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
  const right = await api.login(field.value);
  field.value = "";
  byId("login-failed").textContent = right ? "" : "That is not the token.";
  if (!right) return;
  byId("login").hidden = true;
  await begin();
});

app.onTokenWanted = askToken;
// For tests and the curious: what the page holds, to be read only.
Object.defineProperty(window, "homma", { value: app.hook() });
await begin();
