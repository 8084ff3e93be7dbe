/** Every case of clients/cases.json, which has its own description beside it. */

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { suite, test } from "node:test";
import { isDeepStrictEqual } from "node:util";
import { Client, KataError } from "kata-context";
import { ROOT, running } from "./stack.js";

// any: of JSON that has whatever a case needs
type Any = any;

const CASES: Any[] = JSON.parse(readFileSync(new URL("clients/cases.json", ROOT), "utf8"));
const LISTS = ["contexts", "messages", "forks", "compactions"];
const WITHOUT_ID = ["createContext", "contexts", "health"];

/** The value of a case with its texts and lists in place. */
function filled(value: Any, texts: Record<string, string>): Any {
  if (typeof value === "string") return texts[value] ?? value;
  if (Array.isArray(value)) return value.map((item) => filled(item, texts));
  if (typeof value !== "object" || value === null) return value;
  if ("each" in value) return Array(value.many).fill(value.each);
  if ("many" in value) return Array(value.many).fill({ role: "user", content: "x".repeat(value.bytes ?? 1) });
  if ("turns" in value) {
    const ids = Array.from({ length: value.tools }, (_, number) => `call_${number}`);
    const toolCalls = ids.map((id) => ({ id, type: "function", function: { name: "f", arguments: "{}" } }));
    const results = ids.map((toolCallId) => ({ role: "tool", toolCallId, content: "4" }));
    const turn = [{ role: "user", content: "Hi" }, { role: "assistant", toolCalls }, ...results];
    return Array(value.turns).fill(turn).flat();
  }
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, filled(item, texts)]));
}

/** What of actual is compared with expected: the members that expected names, or how many items there are. */
function subset(expected: Any, actual: Any): Any {
  if (typeof expected === "number" && Array.isArray(actual)) return actual.length;
  if (typeof expected !== "object" || typeof actual !== "object" || expected === null || actual === null) return actual;
  if (Array.isArray(expected) || Object.keys(expected).length === 0) return actual;
  return Object.fromEntries(Object.entries(expected).map(([name, value]) => [name, subset(value, actual[name])]));
}

async function all<T>(list: AsyncIterable<T>): Promise<T[]> {
  const items: T[] = [];
  for await (const item of list) items.push(item);
  return items;
}

const stack = running();

suite("the cases of both clients", () => {
  for (const each of CASES) {
    test(each.name, async () => {
      const kata = new Client({ url: stack.url });
      let context = await kata.createContext();
      if (each.given) {
        await kata.append(context.id, Array(each.given).fill({ role: "user", content: "Hi" }));
        context = await kata.getContext(context.id);
      }
      const unique = randomUUID();
      const texts = { "<unique>": unique, "<context>": context.id, "<etag>": context.etag };
      const sent: Any[] = (each.positional ?? []).map((value: Any) => filled(value, texts));
      const where = WITHOUT_ID.includes(each.call) ? [] : [each.context ?? context.id];
      const expect = filled(each.expect, texts);
      await stack.faults(...(each.faults ?? []));

      let [result, error]: Any[] = [];
      try {
        const client: Any = new Client({ url: stack.proxy, ...each.client });
        const answer = client[each.call](...where, ...sent, filled(each.arguments ?? {}, texts));
        result = await (LISTS.includes(each.call) ? all(answer) : answer);
      } catch (raised) {
        error = raised;
      }
      const seen = await stack.seen();
      const keys = [...new Set(seen.map(({ key }) => key))];
      const found: Any = {
        error: error?.code,
        class: error?.name,
        members: subset(expect.members, error),
        refused: error !== undefined && !(error instanceof KataError),
        requests: seen.length,
        keys: Array.isArray(expect.keys) ? keys : keys.length,
        result: subset(expect.result, result),
      };
      if (each.call !== "deleteContext" || error) {
        const stored = await all(kata.messages(context.id, { limit: 1000 }));
        const after = await kata.getContext(context.id);
        Object.assign(found, {
          messages: after.messageCount,
          tokens: after.totalTokens,
          metadata: after.metadata,
          contexts: (await all(kata.contexts({ metadata: { case: unique } }))).length,
          forks: (await all(kata.forks(context.id))).length,
          compactions: (await all(kata.compactions(context.id))).length,
          ends: stored.find((one, at) => one.createdAt < (stored[at + 1]?.createdAt ?? ""))?.version,
          equal: stored.every((message, at) => isDeepStrictEqual(message, { ...message, ...sent[0]?.[at] })),
        });
      }

      if (!expect.error && !expect.refused) assert.ifError(error);
      assert.deepEqual(Object.fromEntries(Object.keys(expect).map((name) => [name, found[name]])), expect);
    });
  }
});
