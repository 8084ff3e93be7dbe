/** The client where there is nothing of Node: in a realm that has what edge runtimes and browsers have, and no more. */

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { suite, test } from "node:test";
import { createContext, type Module, runInContext, SourceTextModule } from "node:vm";
import { running } from "./stack.js";

const DIST = new URL("../../dist/", import.meta.url);
const stack = running();

const GLOBALS = { AbortController, clearTimeout, crypto, setTimeout, TextDecoder, TextEncoder, URLSearchParams };

// any: a module that is loaded by hand has no types
/** The package in a realm of its own, whose fetch minds by whom it is called, as a browser's does. */
async function realm(): Promise<Record<string, any>> {
  const sent: RequestInit[] = [];
  function strict(this: unknown, url: string, init: RequestInit): Promise<Response> {
    if (this !== undefined && this !== runInContext("globalThis", context)) throw new TypeError("Illegal invocation");
    sent.push(init);
    return fetch(url, init);
  }
  const context = createContext({ ...GLOBALS, fetch: strict });
  const modules = new Map<string, Promise<Module>>();
  const read = async (name: string) => new SourceTextModule(await readFile(new URL(name, DIST), "utf8"), { context });
  const load = (name: string) => {
    if (!modules.has(name)) modules.set(name, read(name));
    return modules.get(name)!;
  };
  const index = await load("./index.js");
  await index.link(load);
  await index.evaluate();
  return { ...(index.namespace as object), sent, given: strict };
}

suite("without anything of Node", () => {
  test("the client talks to the service, through faults too", async () => {
    const { Client, VersionConflict, sent } = await realm();
    await stack.faults("cut-after", "cut-before", { status: 502, body: "<html>" });
    const kata = new Client({ url: stack.proxy, apiKey: "k" });
    const { id } = await kata.createContext({ metadata: { in: "a browser" } });
    await kata.append(id, Array(1500).fill({ role: "user", content: "Hi" }));
    const { data, etag } = await kata.window(id, { budget: 2, format: "ai-sdk" });
    const versions = [];
    for await (const { version } of kata.messages(id)) versions.push(version);

    assert.equal(JSON.stringify(data.messages), JSON.stringify(Array(2).fill({ role: "user", content: "Hi" })));
    assert.equal(versions.length, 1500);
    await assert.rejects(kata.window(id, { budget: 2, format: "ai-sdk", ifNoneMatch: etag }), { code: "not_modified" });
    await assert.rejects(kata.append(id, [{ role: "user", content: "Hi" }], { expectedVersion: 1 }), VersionConflict);
    await assert.rejects(kata.append(id, [NaN]), { name: "TypeError" });
    for (const { headers } of sent) assert.ok(!("User-Agent" in headers)); // which CORS would ask the service about
  });

  test("a fetch that is given is called as a browser's must be", async () => {
    const { Client, given } = await realm();

    assert.equal((await new Client({ url: stack.url, fetch: given }).health()).status, "healthy");
  });

  test("a signal of the caller's ends a call", async () => {
    const { Client } = await realm();
    await stack.faults("stall");
    const stop = new AbortController();
    const call = new Client({ url: stack.proxy }).createContext({ signal: stop.signal });
    stop.abort();

    await assert.rejects(call, { name: "AbortError" });
  });
});
