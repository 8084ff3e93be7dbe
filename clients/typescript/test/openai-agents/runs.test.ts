/** Runs of OpenAI's Agents SDK with a session: tools, handoffs, approvals, guardrails, windows, and a killed server. */

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, it, mock } from "node:test";

import {
  Agent,
  type AgentInputItem,
  type Model,
  type ModelRequest,
  type ModelResponse,
  OpenAIResponsesCompactionSession,
  OutputGuardrailTripwireTriggered,
  Runner,
  RunState,
  setTracingDisabled,
  type StreamEvent,
  tool,
  Usage,
} from "@openai/agents";
import { Client } from "kata-context";
import { KataSession, type KataSessionOptions } from "kata-context/openai-agents";

import { running } from "../stack.js";

// any: items as several models make them
type Item = any;

setTracingDisabled(true);
const stack = running();
const runner = new Runner();
const client = () => new Client({ url: stack.url });
const session = (options: KataSessionOptions = {}, id: string = randomUUID()) =>
  new KataSession(id, { client: client(), ...options });

/** A model that says what it is told to, as OpenAI's items, and remembers what it was sent. */
class Told implements Model {
  readonly sent: Item[][] = [];
  readonly #turns: Item[][];

  constructor(...turns: Item[][]) {
    this.#turns = turns;
  }

  async getResponse(request: ModelRequest): Promise<ModelResponse> {
    this.sent.push(structuredClone(request.input) as Item[]);
    const output = structuredClone(this.#turns[(this.sent.length - 1) % this.#turns.length]!);
    return { usage: new Usage({ inputTokens: 1, outputTokens: 1, totalTokens: 2 }), output, responseId: randomUUID() };
  }

  async *getStreamedResponse(request: ModelRequest): AsyncIterable<StreamEvent> {
    const { output } = await this.getResponse(request);
    const usage = { inputTokens: 1, outputTokens: 1, totalTokens: 2 };
    yield { type: "response_done", response: { id: randomUUID(), usage, output: output as never } };
  }
}

let made = 0;
const says = (text: string): Item => {
  const content = [{ type: "output_text", text, providerData: { annotations: [] } }];
  return {
    type: "message",
    id: `msg_${(made += 1)}`,
    role: "assistant",
    status: "completed",
    content,
    providerData: {},
  };
};
const thinks = (): Item => {
  const id = `rs_${(made += 1)}`;
  return { type: "reasoning", id, content: [], providerData: { id, type: "reasoning", encrypted_content: "gAAAAB" } };
};
const calls = (name: string, args: object = {}): Item => {
  const [id, callId] = [`fc_${(made += 1)}`, `call_${made}`];
  const given = { name, arguments: JSON.stringify(args), status: "completed" };
  return { type: "function_call", id, callId, ...given, providerData: { id, type: "function_call" } };
};

const schema: Item = { type: "object", properties: {}, required: [], additionalProperties: false };
const findOrder = (execute: () => unknown = () => "shipped", needsApproval = false) =>
  tool({
    name: "find_order",
    description: "Finds it",
    parameters: schema,
    strict: true,
    needsApproval,
    execute: async () => execute(),
  });

/** The kinds of items, and what a user says. */
const kinds = (items: Item[]) => items.map(({ type, role, content }) => (role === "user" ? content : (type ?? role)));

/** What a model would refuse of its input. */
function refused(items: Item[]): string[] {
  const [wrong, open] = [[] as string[], new Set<string>()];
  for (const [place, { type, callId }] of items.entries()) {
    if (type === "function_call") open.add(callId);
    if (type === "function_call_result" && !open.delete(callId)) wrong.push(`${place}: answers no call`);
    const next = items[place + 1];
    if (type === "reasoning" && next?.role !== "assistant" && !["function_call", "reasoning"].includes(next?.type))
      wrong.push(`${place}: led to nothing`);
  }
  return [...wrong, ...[...open].map((id) => `${id}: is not answered`)];
}

describe("a run", () => {
  it("of several turns is sent what was said before, equal", async () => {
    const model = new Told(
      [thinks(), calls("find_order"), calls("find_order")],
      [says("Shipped.")],
      [says("Tomorrow.")],
    );
    const agent = new Agent({ name: "Shop", model, tools: [findOrder()] });
    const one = session();
    await runner.run(agent, "Where is it?", { session: one });
    const first = await one.getItems();
    assert.deepEqual(kinds(first), [
      "Where is it?",
      "reasoning",
      "function_call",
      "function_call",
      "function_call_result",
      "function_call_result",
      "message",
    ]);
    await runner.run(agent, "When?", { session: one });
    assert.deepEqual(model.sent.at(-1), [...first, { type: "message", role: "user", content: "When?" }]);
    assert.deepEqual(kinds(await one.getItems()), [...kinds(first), "When?", "message"]);
    assert.equal(JSON.stringify(await one.getItems()).includes("openai-agents-js"), false);
  });

  it("that is streamed is stored as well", async () => {
    const agent = new Agent({
      name: "Shop",
      model: new Told([calls("find_order")], [says("Shipped.")]),
      tools: [findOrder()],
    });
    const one = session();
    const stream = await runner.run(agent, "Where is it?", { session: one, stream: true });
    await stream.completed;
    assert.deepEqual(kinds(await one.getItems()), ["Where is it?", "function_call", "function_call_result", "message"]);
  });

  it("is handed off, and the next one knows of it", async () => {
    const billing = new Agent({ name: "Billing", model: new Told([says("Paid.")]) });
    const model = new Told([calls("transfer_to_Billing")], [says("Hi.")]);
    const triage = new Agent({ name: "Triage", model, handoffs: [billing] });
    const one = session();
    await runner.run(triage, "My bill?", { session: one });
    assert.deepEqual(kinds(await one.getItems()), ["My bill?", "function_call", "function_call_result", "message"]);
    await runner.run(triage, "Hello", { session: one });
    assert.equal(model.sent[1]!.length, 5);
  });

  it("waits for an approval, in another process too", async () => {
    const agent = () =>
      new Agent({
        name: "Shop",
        model: new Told([calls("find_order")], [says("Shipped.")]),
        tools: [findOrder(undefined, true)],
      });
    const resuming = new Agent({
      name: "Shop",
      model: new Told([says("Shipped.")]),
      tools: [findOrder(undefined, true)],
    });
    const one = session();
    const asked = await runner.run(agent(), "Where is it?", { session: one });
    assert.equal(asked.interruptions.length, 1);
    const state = await RunState.fromString(resuming, asked.state.toString());
    state.approve(state.getInterruptions()[0]!);
    await runner.run(resuming, state as never, { session: one });
    assert.deepEqual(kinds(await one.getItems()), ["Where is it?", "function_call", "function_call_result", "message"]);
  });

  it("whose output is blocked keeps what its tools did", async () => {
    const guardrail = { name: "never", execute: async () => ({ tripwireTriggered: true, outputInfo: {} }) };
    const model = new Told([calls("find_order")], [says("A secret")]);
    const agent = new Agent({ name: "Shop", model, tools: [findOrder()], outputGuardrails: [guardrail] });
    const one = session();
    const applied = mock.method(one, "applyHistoryTransaction");
    await assert.rejects(runner.run(agent, "Where is it?", { session: one }), OutputGuardrailTripwireTriggered);
    assert.equal(applied.mock.callCount(), 1);
    const items = await one.getItems();
    assert.deepEqual(kinds(items).slice(0, 3), ["Where is it?", "function_call", "function_call_result"]);
    assert.equal(JSON.stringify(items).includes("secret"), false);
    assert.deepEqual(refused(items), []);
  });

  it("begins with a window in the budget, of which a model refuses nothing", async () => {
    const model = new Told(
      [thinks(), calls("find_order"), calls("find_order")],
      [thinks(), calls("find_order")],
      [thinks(), says("Shipped.")],
    );
    let found = 0;
    const agent = new Agent({ name: "Shop", model, tools: [findOrder(() => "shipped ".repeat((found += 1) % 9))] });
    const id = randomUUID();
    for (let n = 0; n < 8; n++)
      await runner.run(agent, `Where is order ${n}?`, { session: session({ budget: 120 }, id) });
    assert.deepEqual(model.sent.flatMap(refused), []);
    const all = (await session({}, id).getItems(1000)) as Item[];
    assert.equal(all.filter((item) => item.role === "user").length, 8);
    assert.equal(all.length, 8 * 11);
    for (let budget = 1; budget < 500; budget += 7) {
      const items: Item[] = await session({ budget }, id).getItems();
      assert.deepEqual(refused(items), []);
      const text = (item: Item) =>
        JSON.stringify({ ...item, callId: undefined, id: undefined, providerData: undefined });
      const known = new Set(all.map(text));
      assert.deepEqual(
        items.filter((item) => !known.has(text(item))),
        [],
      );
    }
    assert.ok((await session({ budget: 120 }, id).getItems()).length < all.length);
    assert.equal((await session({ budget: 5 }, id).getItems(13)).length, 13);
  });

  it("goes on behind a compaction, which is appended", async () => {
    const compaction = {
      type: "compaction",
      id: "cmp_1",
      encrypted_content: "gAAAAC",
      providerData: { id: "cmp_1", type: "compaction" },
    };
    const model = new Told([says("One.")], [compaction, says("Two.")], [says("Three.")]);
    const agent = new Agent({ name: "Shop", model });
    const one = session();
    for (const text of ["1", "2", "3"]) await runner.run(agent, text, { session: one });
    assert.deepEqual(kinds(model.sent[2]!), ["compaction", "message", "3"]);
    assert.ok(JSON.stringify(await one.getItems()).includes("One."));
  });
});

describe("what the runner calls", () => {
  it("is one read before the first turn, and one append behind the last, of a stream too", async () => {
    for (const stream of [false, true]) {
      const model = new Told([calls("find_order")], [says("Shipped.")]);
      const agent = new Agent({ name: "Shop", model, tools: [findOrder()] });
      const one = session();
      const seen: string[] = [];
      mock.method(
        model,
        "getResponse",
        new Proxy(model.getResponse, {
          apply: (call, self, args) => (seen.push("model"), Reflect.apply(call, self, args)),
        }),
      );
      for (const name of ["getItems", "addItems"] as const) {
        const call: Item = one[name];
        mock.method(one, name, (...args: Item[]) => (seen.push(name), call.apply(one, args)));
      }
      const run: Item = await runner.run(agent, "Where is it?", { session: one, stream: stream as never });
      await run.completed;
      assert.deepEqual(seen, ["getItems", "model", "model", "addItems"]);
    }
  });

  it("works within the session that compacts with OpenAI", async () => {
    const compacted = { type: "compaction", id: "cmp_1", encrypted_content: "gAAAAC" };
    const usage = { input_tokens: 1, output_tokens: 1, total_tokens: 2 };
    const client: Item = { responses: { compact: async () => ({ output: [compacted], usage }) } };
    const underlyingSession = session();
    const one = new OpenAIResponsesCompactionSession({
      client,
      underlyingSession,
      compactionMode: "input",
      shouldTriggerCompaction: () => true,
    });
    await runner.run(new Agent({ name: "Shop", model: new Told([says("Hi.")]) }), "Hello", { session: one });
    assert.deepEqual(kinds(await underlyingSession.getItems()), ["compaction"]);
  });
});

describe("an agent", () => {
  it("talks for 100 turns through a server that is killed, and loses and doubles no item", async () => {
    const turns = 100;
    const model = new Told([thinks(), calls("find_order")], [says("Shipped.")]);
    const agent = new Agent({ name: "Shop", model, tools: [findOrder()] });
    const id = randomUUID();
    const patient = new Client({ url: stack.proxy, maxRetries: 12 });
    const killing = new Set(Array.from({ length: 4 }, (_, n) => n * 25 + Math.floor(Math.random() * 25)));
    for (let n = 0; n < turns; n++) {
      const run = runner.run(agent, `Turn ${n}`, { session: session({ client: patient, budget: 400 }, id) });
      if (killing.has(n)) setTimeout(() => void stack.kill(0.3), Math.random() * 40);
      await run;
    }
    const items = (await session({}, id).getItems(10_000)) as AgentInputItem[];
    assert.deepEqual(
      kinds(items),
      Array.from({ length: turns }, (_, n) => [
        `Turn ${n}`,
        "reasoning",
        "function_call",
        "function_call_result",
        "message",
      ]).flat(),
    );
  });
});
