// What the page asks the service. The key lives in this module's memory: not in storage, not in the address.

import { headersOf, readJson } from "./request.js";

let key = "";

/** Take over the key that was typed. */
export function useKey(text) {
  key = text.trim();
}

/** Return the key. */
export function currentKey() {
  return key;
}

/**
 * Ask, and return the answer with its body read; what is no answer of the service becomes one that says so.
 * @param {string} path - Relative to this page.
 * @param {object} [options] - Of the request: method, body, routingKey, variant, requestId.
 */
export async function ask(path, { method = "GET", body, ...options } = {}) {
  const started = performance.now();
  try {
    const response = await fetch(path, {
      method,
      body,
      headers: headersOf({ ...options, key }),
      // With a key of our own the browser's stored password must not get in its way, nor its dialog.
      credentials: key ? "omit" : "same-origin",
      cache: "no-store",
      redirect: "error",
    });
    const text = await response.text();
    const milliseconds = performance.now() - started;
    return { status: response.status, headers: response.headers, document: read(text, response.status), milliseconds };
  } catch (error) {
    const message = `The service could not be asked: ${error.message}`;
    const document = { error: { code: "unreachable", message, fields: [] } };
    return { status: 0, headers: new Headers(), document, milliseconds: performance.now() - started };
  }
}

function read(text, status) {
  try {
    return readJson(text);
  } catch {
    return { error: { code: `status ${status}`, message: text.slice(0, 500), fields: [] } };
  }
}
