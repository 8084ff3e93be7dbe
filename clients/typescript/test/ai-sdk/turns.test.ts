/** An agent of the AI SDK that talks through a service that is killed. */

import assert from "node:assert/strict";
import { suite, test } from "node:test";
import {
  convertToModelMessages,
  generateId,
  jsonSchema,
  tool,
  ToolLoopAgent,
  toUIMessageStream,
  type UIMessage,
} from "ai";
import { Client } from "kata-context";
import { kataPrepareStep, kataStore } from "kata-context/ai-sdk";
import { running } from "../stack.js";
import { all, assertWhole, json, Model, said } from "./fakes.js";

const TURNS = 100;
const KILLED = new Set([7, 38, 68, 99]);
const inputSchema = jsonSchema<{ number: number }>({ type: "object", properties: { number: { type: "integer" } } });
const tools = { find_order: tool({ inputSchema, execute: async ({ number }) => ({ number, status: "shipped" }) }) };

/** A request that fails is sent again by the client after 50 ms, and not after its own, longer pauses. */
async function soon(url: string, init: RequestInit): Promise<Response> {
  try {
    return await fetch(url, init);
  } catch {
    await new Promise((resolve) => setTimeout(resolve, 50));
    return new Response("", { status: 503, headers: { "Retry-After": "0" } });
  }
}

suite("100 turns of an agent", () => {
  const stack = running();

  test("through a service that is killed lose nothing and double nothing", async () => {
    const client = new Client({ url: stack.proxy, maxRetries: 1000, fetch: soon });
    const store = kataStore(client, { convertToModelMessages, policy: { budget: 400, keepRequest: true, step: 100 } });
    const model = new Model((prompt) => {
      assertWhole(prompt);
      const asked = prompt.findLast(({ role }) => role === "user").content[0].text;
      const number = Number(asked.match(/\d+/)[0]);
      const calls = prompt.at(-1).role === "tool" ? [] : [0, 1].slice(0, 1 + (number % 2));
      return calls.length
        ? calls.map((at) => ({
            type: "tool-call",
            toolCallId: `${number}-${at}`,
            toolName: "find_order",
            input: JSON.stringify({ number }),
          }))
        : [{ type: "text", text: `Order ${number} has been shipped.` }];
    });
    let last: UIMessage[] = [];

    for (let turn = 0; turn < TURNS; turn++) {
      // Before the turn, or while the answer is on its way.
      if (KILLED.has(turn) && turn % 2) await stack.kill(0.1);
      const messages = [...(await store.load("chat")), said(generateId(), `Where is order ${turn}?`)];
      const contextId = await store.save("chat", messages);
      const agent = new ToolLoopAgent({ model, tools, prepareStep: kataPrepareStep({ client, contextId }) });
      const { stream } = await agent.stream({ messages: await convertToModelMessages(messages) });
      if (KILLED.has(turn) && turn % 2 === 0) await stack.kill(0.1);
      await all(
        toUIMessageStream({
          stream,
          originalMessages: messages,
          generateMessageId: generateId,
          onEnd: async (end) => {
            last = end.messages;
            await store.save("chat", last);
          },
        }),
      );
      assert.equal(last.length, 2 * turn + 2);
    }

    assert.deepEqual(await store.load("chat"), json(last));
    const [context] = await all(client.contexts({ externalId: "chat" }));
    const stored = await all(client.messages(context!.id, { limit: 1000 }));
    const results = stored.filter(({ role }) => role === "tool").map(({ toolCallId }) => toolCallId);
    assert.deepEqual(
      results,
      Array.from({ length: TURNS }, (_, turn) => [`${turn}-0`, `${turn}-1`].slice(0, 1 + (turn % 2))).flat(),
    );
    assert.equal(stored.length, 3 * TURNS + results.length);
  });
});
