/** Sessions of OpenAI's Agents SDK: beside its own in memory, written by several at once, and cut off anywhere. */

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, it, mock } from "node:test";
import { isDeepStrictEqual } from "node:util";

import { MemorySession, protocol } from "@openai/agents";

import { Client, type ClientOptions, KataError } from "kata-context";
import { KataSession, type KataSessionOptions } from "kata-context/openai-agents";
import { running } from "../stack.js";

// any: items as other libraries have them, and as no type allows them
type Item = any;

const stack = running();

const user = (text: string): Item => ({ type: "message", role: "user", content: text });
const call = (callId: string, name = "find_order"): Item => {
  return {
    type: "function_call",
    callId,
    name,
    arguments: "{}",
    status: "completed",
    providerData: { type: "function_call" },
  };
};
const result = (callId: string, text = "shipped", name = "find_order"): Item => {
  return { type: "function_call_result", name, callId, status: "completed", output: { type: "text", text } };
};
const answer = (text: string, id = `msg_${randomUUID()}`): Item => {
  const content = [{ type: "output_text", text, providerData: { annotations: [] } }];
  return { type: "message", id, role: "assistant", status: "completed", content, providerData: {} };
};
const thought = (id = `rs_${randomUUID()}`): Item => {
  const content = [{ type: "input_text", text: "Look it up.", providerData: { type: "summary_text" } }];
  return { type: "reasoning", id, content, providerData: { id, type: "reasoning", encrypted_content: "gAAAAB" } };
};
const turn = (n: number | string): Item[] => [
  user(`q${n}`),
  thought(),
  call(`call_${n}`),
  result(`call_${n}`),
  answer(`a${n}`),
];

const client = (options: ClientOptions = {}) => new Client({ url: stack.url, ...options });
const ids = new WeakMap<KataSession, string>();
const idOf = (one: KataSession) => ids.get(one)!;
const session = (options: KataSessionOptions = {}, id: string = randomUUID()) => {
  const made = new KataSession(id, { client: client(), ...options });
  ids.set(made, id);
  return made;
};
const stored = async (of: KataSession) => {
  const { id } = await client().createContext({ externalId: await of.getSessionId() });
  const natives: Item[] = [];
  for await (const message of client().messages(id, { include: "native" }))
    natives.push(...((message.native as Item[]) ?? [null]));
  return natives;
};

/** A client that is killed before its nth request, or with it: then the service has it and the client no answer. */
const killed = (n: number, before: boolean) => {
  let requests = 0;
  const fetch = async (url: string, init: RequestInit) => {
    requests += 1;
    if (requests > n || (requests === n && before)) throw new Error("killed");
    const response = await globalThis.fetch(url, init);
    if (requests === n) throw new Error("killed");
    return response;
  };
  return client({ fetch, maxRetries: 0 });
};

// What the SDK makes of OpenAI's answers, and what it adds itself.
const OWN: Item[] = [
  user("Where is order 1042?"),
  { role: "user", content: "And 1043?" },
  { role: "system", content: "Be brief." },
  {
    type: "message",
    role: "user",
    content: [
      { type: "input_text", text: "Look" },
      { type: "input_image", image: "https://example.com/a.png", detail: "auto" },
      { type: "input_image", image: { id: "file_1" } },
      { type: "input_file", file: { id: "file_2" }, filename: "a.pdf" },
      { type: "input_file", file: "data:application/pdf;base64,QQ==", filename: "b.pdf" },
    ],
  },
  thought(),
  call("call_1"),
  { ...call("call_2", "lookup"), namespace: "crm", caller: { type: "program", callerId: "prog_1" } },
  result("call_1"),
  {
    ...result("call_2", "", "lookup"),
    output: [
      { type: "input_text", text: "x" },
      { type: "input_image", image: "data:image/png;base64,QQ==" },
    ],
  },
  answer("It has been shipped."),
  {
    ...{ type: "hosted_tool_call", id: "ws_1", name: "web_search_call", status: "completed" },
    providerData: { id: "ws_1", type: "web_search_call", action: { type: "search", query: "x" } },
  },
  {
    ...{ type: "hosted_tool_call", id: "ig_1", name: "image_generation_call", status: "completed", output: "QQ==" },
    providerData: { id: "ig_1", type: "image_generation_call" },
  },
  {
    ...{ type: "hosted_tool_call", id: "mcp_1", name: "mcp_call", status: "completed", output: "ok" },
    providerData: {
      id: "mcp_1",
      type: "mcp_call",
      name: "ask",
      arguments: "{}",
      server_label: "wiki",
      status: "completed",
    },
  },
  {
    ...{
      type: "computer_call",
      id: "cu_1",
      callId: "c_1",
      status: "completed",
      action: { type: "scroll", x: 1, y: 2, scroll_x: 0, scroll_y: 9 },
    },
    providerData: { id: "cu_1", type: "computer_call", pending_safety_checks: [] },
  },
  {
    type: "computer_call_result",
    callId: "c_1",
    output: { type: "computer_screenshot", data: "data:image/png;base64,QQ==" },
  },
  {
    ...{
      type: "shell_call",
      id: "sh_1",
      callId: "s_1",
      status: "completed",
      action: { commands: ["ls"], timeoutMs: 9, maxOutputLength: 8 },
    },
    providerData: { id: "sh_1", type: "shell_call" },
  },
  {
    type: "shell_call_output",
    callId: "s_1",
    maxOutputLength: 8,
    output: [{ stdout: "a", stderr: "", outcome: { type: "exit", exitCode: 0 } }],
  },
  {
    ...{ type: "apply_patch_call", id: "ap_1", callId: "p_1", status: "completed" },
    operation: { type: "update_file", path: "a", diff: "+b", moveTo: "c" },
    providerData: { id: "ap_1", type: "apply_patch_call" },
  },
  { type: "apply_patch_call_output", callId: "p_1", status: "completed", output: "done" },
  { type: "program", id: "pr_1", callId: "g_1", code: "1", fingerprint: "f", providerData: {} },
  { type: "program_output", id: "po_1", callId: "g_1", output: "1", status: "completed", providerData: {} },
  { type: "compaction", id: "cmp_1", encrypted_content: "gAAAAC", providerData: { id: "cmp_1", type: "compaction" } },
];

// What other models' libraries make, what nobody makes, and what looks as if it were stored so.
const OTHERS: Item[] = [
  { type: "function_call", callId: "call_9", name: "f", arguments: "{", status: "completed" },
  { ...result("call_9", "x", "f"), id: "fc_1", providerData: { extra: 1 } },
  result("call_of_nobody", "x", "f"),
  { ...result("call_9", "x", "another name") },
  { type: "function_call_result", name: "f", callId: "call_9", status: "completed", output: "a plain text" },
  { type: "message", role: "assistant", status: "completed", content: [{ type: "output_text", text: "bare" }] },
  {
    role: "assistant",
    status: "in_progress",
    content: [
      { type: "refusal", refusal: "No." },
      { type: "audio", audio: { id: "a" } },
    ],
  },
  { type: "reasoning", content: [], rawContent: [{ type: "reasoning_text", text: "hm" }] },
  {
    type: "reasoning",
    content: [{ type: "input_text", text: "Gemini's" }],
    providerData: { thoughtSignature: "c2ln" },
  },
  { type: "unknown", providerData: { type: "brand_new", deep: { snake_case: 1, camelCase: [1, null] } } },
  { type: "unknown", id: "u_1", providerData: { id: "u_1", type: "item_reference" } },
  { type: "item_reference", id: "msg_1" },
  {
    type: "tool_search_call",
    id: "ts_1",
    status: "completed",
    arguments: { paths: ["a"] },
    providerData: { call_id: null, execution: "server" },
  },
  {
    type: "tool_search_output",
    id: "to_1",
    status: "completed",
    tools: [{ type: "namespace", name: "crm" }],
    providerData: {},
  },
  { type: "hosted_tool_call", name: "no_provider_data" },
  { type: "opaque", json: '{"type": "message"}' },
  { type: "opaque", json: "no JSON" },
  { ...user("x"), "openai-agents-js": { type: "mine" } },
  { type: "no type of anybody", callId: 7 },
  { no: "type" },
  {},
  { type: "message", role: "nobody", content: null },
  { type: "shell_call", callId: "s_9", action: null },
  { type: "function_call", name: 7 },
  { ...user("x"), providerData: "no object" },
  { ...user("x"), providerData: { role: "system", type: "reasoning", content: "y" } },
  user("U+0000 \0 and half \ud800 a pair"),
  user("😀 é 漢字 \u2028"),
  user(""),
  { ...user("numbers"), providerData: { numbers: [1.5, -0.1, 1e21, 0, 2 ** 53] } },
  { ...user("proto"), providerData: JSON.parse('{"__proto__": {"a": 1}, "constructor": 2, "toString": null}') },
];

describe("items", () => {
  it("come back equal, together and one by one, and so when they are taken back", async () => {
    const all = session();
    await all.addItems([...OWN, ...OTHERS]);
    assert.deepEqual(await all.getItems(), [...OWN, ...OTHERS]);
    for (const item of [...OWN, ...OTHERS].reverse()) assert.deepEqual(await all.popItem(), item);
    assert.equal(await all.popItem(), undefined);
    for (const item of OTHERS) {
      const alone = session();
      await alone.addItems([item]);
      assert.deepEqual(await alone.getItems(), [item]);
      assert.deepEqual(await alone.getItems(1), [item]);
    }
  });

  it("of the SDK and OpenAI are stored as the API has them, and nothing beside", async () => {
    const own = session();
    await own.addItems(OWN);
    const natives = await stored(own);
    assert.deepEqual(
      natives.filter((item) => item?.["openai-agents-js"]),
      [],
    );
    assert.deepEqual(
      natives.find((item) => item?.type === "function_call"),
      {
        ...{ type: "function_call", call_id: "call_1", name: "find_order", arguments: "{}", status: "completed" },
      },
    );
  });
});

describe("a session", () => {
  it("has a limit for the newest items, in order", async () => {
    const one = session();
    const items = [...turn(1), ...turn(2)];
    await one.addItems(items);
    assert.equal(await one.getSessionId(), await one.getSessionId());
    for (const limit of [1, 2, 3, 4, 5, 9, 10, 11, 2000])
      assert.deepEqual(await one.getItems(limit), items.slice(-limit));
    for (const limit of [0, -1, NaN]) assert.deepEqual(await one.getItems(limit), []);
  });

  it("is empty until something is added, and takes nothing", async () => {
    const one = session();
    assert.deepEqual([await one.getItems(), await one.getItems(3), await one.popItem()], [[], [], undefined]);
    await one.addItems([]);
    await one.clearSession();
    assert.deepEqual(await one.getItems(), []);
    assert.deepEqual(await session({ budget: 100 }).getItems(), []);
  });

  it("keeps copies: what is changed outside changes nothing", async () => {
    const [one, item] = [session(), user("start")];
    const adding = one.addItems([item]);
    item.content = "changed";
    await adding;
    const [read] = await one.getItems();
    (read as Item).content = "changed";
    assert.deepEqual(await one.getItems(), [user("start")]);
  });

  it("takes nothing that JSON has not, and stores nothing of it", async () => {
    const one = session();
    const cycle: Item = user("x");
    cycle.providerData = cycle;
    const wrong = [NaN, 1n, new Uint8Array(2), () => 1, new Map(), [undefined]].map((value) => ({
      ...user("x"),
      value,
    }));
    for (const item of [...wrong, cycle, 42, null, "text", [user("x")]]) {
      await assert.rejects(one.addItems([user("before"), item]), TypeError);
    }
    assert.deepEqual(await one.getItems(), []);
  });

  it("begins anew after it was cleared, and its history stays where it was", async () => {
    const one = session();
    await one.addItems(turn(1));
    const { id } = await client().createContext({ externalId: await one.getSessionId() });
    await one.clearSession();
    assert.deepEqual([await one.getItems(), await one.popItem()], [[], undefined]);
    const items = turn(2);
    await one.addItems(items);
    assert.deepEqual(await one.getItems(), items);
    assert.ok((await client().getContext(id)).messageCount);
  });

  it("goes on in a context that the id was given back to", async () => {
    const one = session();
    const items = turn(1);
    await one.addItems(items);
    const left = await client().createContext({ externalId: idOf(one) });
    await one.clearSession();
    const now = await client().createContext({ externalId: idOf(one) });
    await client().updateContext(left.id, { takeExternalIdFrom: { contextId: now.id } });
    assert.deepEqual(await one.getItems(), items);
    await one.addItems([user("behind")]);
    assert.deepEqual(await one.getItems(), [...items, user("behind")]);
  });

  it("keeps its context's name, metadata and policy when items are taken back", async () => {
    const id = randomUUID();
    const policy = { budget: 500, keepRequest: true };
    await client().createContext({ externalId: id, name: "Order 1042", metadata: { customer: "c-17" }, policy });
    const one = session({}, id);
    await one.addItems(turn(1));
    await one.popItem();
    const context = await client().createContext({ externalId: id });
    assert.deepEqual([context.name, context.metadata, context.policy], ["Order 1042", { customer: "c-17" }, policy]);
  });

  it("has an id of any characters, up to 255", async () => {
    const odd = ["a/b?c#d%20&e", "../..", "😀 漢字 \u2028\n", '"quotes"', " "];
    for (const id of [...odd.map((id) => id + randomUUID()), "x".repeat(255)]) {
      await session({}, id).addItems([user("1"), user("2")]);
      assert.deepEqual(await session({}, id).popItem(), user("2"));
      assert.deepEqual(await session({}, id).getItems(), [user("1")]);
    }
    for (const id of ["", "x".repeat(256), "a\0b", "\ud800"])
      await assert.rejects(session({}, id).getItems(), KataError);
  });

  it("goes on where another client has rewound, deleted or compacted its context, or changed its policy", async () => {
    const one = session();
    const now = () => client().createContext({ externalId: idOf(one) });
    await one.addItems([user("1"), user("2")]);
    const { id } = await now();
    await client().fork(id, { version: 1, moveExternalId: true });
    await one.addItems([user("3")]);
    assert.deepEqual(await one.getItems(), [user("1"), user("3")]);

    await client().updateContext((await now()).id, { policy: { budget: 1000 } });
    await client().compact((await now()).id, 1, "They said 1.");
    const items = (await one.getItems()) as Item[];
    assert.ok(JSON.stringify(items[0]).includes("They said 1."));
    assert.deepEqual([items.length, items[1]], [2, user("3")]);
    assert.deepEqual(await one.getItems(9), [user("1"), user("3")]);
    assert.deepEqual(await one.popItem(), user("3"));

    await client().deleteContext((await now()).id);
    await one.addItems([user("4")]);
    assert.deepEqual(await session({}, idOf(one)).getItems(), [user("4")]);
    await one.getItems();
    await client().deleteContext((await now()).id);
    assert.deepEqual([await one.popItem(), await one.getItems()], [undefined, []]);
  });

  it("stores more than one append takes", async () => {
    const one = session();
    const items = Array.from({ length: 500 }, (_, n) => turn(n)).flat();
    await one.addItems(items);
    assert.deepEqual(await one.getItems(), items);
    assert.deepEqual(await one.popItem(), items.pop());
    assert.deepEqual(await one.getItems(3), items.slice(-3));
  });

  it("stores an answer of several megabytes", async () => {
    const one = session();
    const items = [1, 2, 3, 4].map((n) => answer(`${n}`.repeat(1_000_000)));
    await one.addItems(items);
    assert.deepEqual(await one.getItems(), items);
    await assert.rejects(one.addItems([user("x".repeat(4_600_000))]), { code: "payload_too_large" });
    assert.deepEqual(await one.popItem(), items[3]);
  });

  it("reads what others stored: as Python does, and messages of our own", async () => {
    const id = randomUUID();
    const context = await client().createContext({ externalId: id });
    await client().append(context.id, [
      { role: "system", content: "Be brief." },
      { role: "user", content: "Hi" },
    ]);
    await client().append(
      context.id,
      [
        { type: "reasoning", id: "rs_1", summary: [], encrypted_content: "gAAAAB" },
        {
          type: "function_call",
          id: "fc_1",
          call_id: "call_1",
          name: "find_order",
          arguments: "{}",
          status: "completed",
        },
        { type: "function_call_output", call_id: "call_1", output: "shipped" },
        { type: "opaque", json: '{"type": "item_reference", "id": "msg_1"}' },
        { type: "opaque", json: "cut o" },
        { role: "assistant", content: "Shipped." },
        { role: "user", content: [{ type: "input_text", text: "Thanks" }] },
      ],
      { format: "openai-responses" },
    );
    await client().append(context.id, [
      {
        role: "assistant",
        content: [{ type: "text", text: "One moment" }],
        toolCalls: [{ id: "c", type: "function", function: { name: "f", arguments: "{}" } }],
      },
      { role: "tool", toolCallId: "c", content: "done" },
    ]);
    const given = { id: "rs_1", type: "reasoning" };
    assert.deepEqual(await session({}, id).getItems(), [
      { role: "system", content: "Be brief." },
      { role: "user", content: "Hi" },
      { ...given, content: [], providerData: { ...given, encrypted_content: "gAAAAB" } },
      { ...call("call_1"), id: "fc_1", providerData: { id: "fc_1", type: "function_call" } },
      result("call_1"),
      { type: "unknown", id: "msg_1", providerData: { type: "item_reference", id: "msg_1" } },
      { type: "unknown", providerData: { type: "opaque", json: "cut o" } },
      {
        type: "message",
        role: "assistant",
        status: "completed",
        content: [{ type: "output_text", text: "Shipped." }],
        providerData: {},
      },
      { role: "user", content: [{ type: "input_text", text: "Thanks" }] },
      {
        type: "message",
        role: "assistant",
        status: "completed",
        content: [{ type: "output_text", text: "One moment" }],
        providerData: {},
      },
      { type: "function_call", callId: "c", name: "f", arguments: "{}", providerData: { type: "function_call" } },
      result("c", "done", "f"),
    ]);
  });

  it("is, beside one in memory, the same whatever is done to it", async () => {
    for (const seed of [1, 2]) {
      const [one, memory] = [session(), new MemorySession()];
      let state = seed;
      const random = (below: number) => (state = (state * 48271) % 2147483647) % below;
      for (let step = 0; step < 35; step++) {
        const made: Item[] = [];
        const kinds = [...turn(step), ...OWN, ...OTHERS.filter((item) => protocol.ModelItem.safeParse(item).success)];
        for (let n = random(4); n >= 0; n--) made.push(kinds[random(kinds.length)]);
        const operationId = `operation-${random(9)}`;
        const both = async (act: (of: KataSession | MemorySession) => Promise<unknown>) => {
          const done = await Promise.allSettled([act(one), act(memory)]);
          assert.equal(done[0].status, done[1].status, `${step}: ${JSON.stringify(done)}`);
          if (done[0].status === "fulfilled" && done[1].status === "fulfilled")
            assert.deepEqual(done[0].value, done[1].value);
        };
        const kind = random(10);
        if (kind < 3) await both((of) => of.addItems(made));
        else if (kind < 5) await both((of) => of.popItem());
        else if (kind < 6) await both((of) => of.getItems(step % 7));
        else if (kind < 7 && random(4) === 0) await both((of) => of.clearSession());
        else {
          const newest = await memory.getItems(random(4));
          const expectedSuffix = random(5) ? newest : made;
          const items = turn(step).slice(0, random(5));
          const appends = random(2) === 0;
          await both((of) =>
            of.applyHistoryTransaction({
              operationId,
              transaction: appends
                ? { type: "append_items", items }
                : { type: "replace_suffix", expectedSuffix, replacement: items },
            }),
          );
        }
        assert.deepEqual(await one.getItems(), await memory.getItems(), `step ${step} of seed ${seed}`);
      }
    }
  });
});

describe("a transaction", () => {
  const append = (operationId: string, ...items: Item[]): Item => ({
    operationId,
    transaction: { type: "append_items", items },
  });
  const replace = (operationId: string, expectedSuffix: Item[], replacement: Item[]): Item => {
    return { operationId, transaction: { type: "replace_suffix", expectedSuffix, replacement } };
  };

  it("is done once, whatever has come since", async () => {
    const one = session();
    await one.addItems([user("start")]);
    for (let n = 0; n < 3; n++) {
      await one.applyHistoryTransaction(append("append", user("committed")));
      await one.applyHistoryTransaction(replace("replace", [user("committed")], [call("c"), result("c")]));
      await session({}, await one.getSessionId()).addItems([user(`later ${n}`)]);
      await one.popItem();
      await one.addItems([user("behind")]);
    }
    assert.deepEqual(await one.getItems(), [
      user("start"),
      call("c"),
      result("c"),
      user("behind"),
      user("behind"),
      user("behind"),
    ]);
  });

  it("is done once by any number at a time, and each of several others too", async () => {
    const one = session();
    await one.addItems([user("start")]);
    await Promise.all(
      Array.from({ length: 8 }, () => session({}, idOf(one)).applyHistoryTransaction(append("same", user("same")))),
    );
    assert.deepEqual(await one.getItems(), [user("start"), user("same")]);
    await Promise.all(
      Array.from({ length: 8 }, (_, n) => session({}, idOf(one)).applyHistoryTransaction(append(`${n}`, user(`${n}`)))),
    );
    assert.deepEqual(
      (await one.getItems())
        .slice(2)
        .map((item: Item) => item.content)
        .sort(),
      [..."01234567"],
    );
    const replacements = Array.from({ length: 4 }, (_, n) => replace(`r${n}`, [user("same")], [user(`r${n}`)]));
    const two = session();
    await two.addItems([user("same")]);
    const done = await Promise.allSettled(
      replacements.map((each) => session({}, idOf(two)).applyHistoryTransaction(each)),
    );
    assert.deepEqual(done.map(({ status }) => status).sort(), ["fulfilled", "rejected", "rejected", "rejected"]);
    assert.equal((await two.getItems()).length, 1);
  });

  it("with an operation of another, or whose suffix is not there, changes and remembers nothing", async () => {
    const one = session();
    await one.addItems([user("start")]);
    await one.applyHistoryTransaction(append("a", user("first")));
    await assert.rejects(one.applyHistoryTransaction(append("a", user("second"))), /different transaction/);
    await assert.rejects(one.applyHistoryTransaction(replace("r", [user("start")], [])), /not the expected/);
    await assert.rejects(
      one.applyHistoryTransaction(replace("r", [...turn(1), user("first")], [])),
      /not the expected/,
    );
    assert.deepEqual(await one.getItems(), [user("start"), user("first")]);
    await one.applyHistoryTransaction(replace("r", [user("first")], []));
    await one.applyHistoryTransaction(append("empty"));
    await assert.rejects(one.applyHistoryTransaction(append("empty", user("x"))), /different transaction/);
    assert.deepEqual(await one.getItems(), [user("start")]);
  });

  it("takes more than one append does, and results of calls that it keeps or replaces", async () => {
    const one = session();
    await one.addItems([user("start"), thought(), call("1"), call("2")]);
    const items = [...Array.from({ length: 1001 }, (_, n) => user(`${n}`)), call("3")];
    await one.applyHistoryTransaction(append("a", ...items));
    const others = [result("1"), result("3"), result("2")];
    await one.applyHistoryTransaction(replace("r", [call("3")], others));
    await one.applyHistoryTransaction(replace("r", [call("3")], others));
    const seen = await one.getItems();
    assert.deepEqual(seen.slice(4), [...items.slice(0, -1), ...others]);
    assert.deepEqual(await one.getItems(2), others.slice(1));
    assert.deepEqual(await one.popItem(), others[2]);
  });

  it("is forgotten when the session is cleared", async () => {
    const one = session();
    await one.applyHistoryTransaction(append("a", user("x")));
    await one.clearSession();
    await one.applyHistoryTransaction(append("a", user("x")));
    assert.deepEqual(await one.getItems(), [user("x")]);
  });

  it("is not taken where it is none", async () => {
    const one = session();
    const wrong = [
      append("  "),
      append(7 as never),
      { operationId: "o", transaction: { type: "unknown" } },
      { operationId: "o", transaction: null },
    ];
    wrong.push(
      { operationId: "o" },
      append("o", 42),
      append("o", { ...user("x"), n: 1n }),
      replace("o", "no" as never, []),
    );
    for (const each of wrong) await assert.rejects(one.applyHistoryTransaction(each), TypeError);
    assert.deepEqual(await one.getItems(), []);
    await one.applyHistoryTransaction(append("o", user("x")));
    assert.deepEqual(await one.getItems(), [user("x")]);
  });

  it("is remembered as one of the newest 200", async () => {
    const one = session();
    const { id } = await client().createContext({ externalId: idOf(one) });
    for (let n = 0; n < 3; n++) await one.applyHistoryTransaction(append(`${n}`, user(`${n}`)));
    const { metadata } = await client().getContext(id);
    const made = metadata["openai-agents-operations"] as unknown[];
    const others = Array.from({ length: 197 }, (_, n) => [`${n}`.repeat(9), "0".repeat(32)]);
    await client().updateContext(id, { metadata: { "openai-agents-operations": [...made, ...others] } });
    await one.applyHistoryTransaction(append("3", user("3")));
    for (const again of ["1", "2", "3"]) await one.applyHistoryTransaction(append(again, user(again)));
    assert.equal((await one.getItems()).length, 4);
    await one.applyHistoryTransaction(append("0", user("0")));
    assert.equal((await one.getItems()).length, 5);
    const { metadata: now } = await client().getContext(id);
    assert.equal((now["openai-agents-operations"] as unknown[]).length, 200);
  });

  it("is done wholly or not at all, wherever it is killed, and once when it is sent again", async () => {
    for (const before of [true, false]) {
      for (let n = 1; n < 9; n++) {
        const one = session();
        const items = [user("start"), thought(), call("c1"), call("c2")];
        await one.addItems(items);
        const asked = replace("r", [call("c2")], [call("c3"), result("c3")]);
        const outcome = await session({ client: killed(n, before) }, idOf(one))
          .applyHistoryTransaction(asked)
          .then(
            () => true,
            () => false,
          );
        const seen = await session({}, idOf(one)).getItems();
        const after = [...items.slice(0, 3), call("c3"), result("c3")];
        assert.ok([items, after].some((either) => isDeepStrictEqual(seen, either)));
        if (outcome) assert.deepEqual(seen, after);
        await one.applyHistoryTransaction(asked);
        assert.deepEqual(await one.getItems(), after);
      }
    }
  });
});

describe("several at once", () => {
  it("who write while it is cleared and deleted lose no item that comes behind", async () => {
    const one = session();
    const writer = async (name: string) => {
      const own = session({}, idOf(one));
      for (let n = 0; n < 8; n++) {
        await own.getItems();
        await own.addItems([user(`${name}${n}`)]);
      }
    };
    const clearing = async () => {
      for (let n = 0; n < 6; n++) {
        if (n % 2) await session({}, idOf(one)).clearSession();
        else await client().deleteContext((await client().createContext({ externalId: idOf(one) })).id);
      }
    };
    await Promise.all([writer("a"), writer("b"), clearing()]);
    const seen = (await one.getItems()).map((item: Item) => item.content);
    for (const name of ["a", "b"]) {
      const own = seen.filter((text) => text.startsWith(name));
      assert.deepEqual(own, Array.from({ length: 8 }, (_, n) => `${name}${n}`).slice(8 - own.length));
    }
  });

  it("who add before a rewind is through lose nothing: what they add is the newest", async () => {
    for (const [last, method, path] of [
      [user("last"), "POST", "/forks"],
      [call("2"), "PATCH", ""],
    ]) {
      const one = session();
      const items = [user("start"), thought(), call("1"), last];
      await one.addItems(items);
      let rewinds = 0;
      const fetch = async (url: string, init: RequestInit) => {
        if (init.method === method && url.endsWith(path) && !rewinds++)
          await session({}, idOf(one)).addItems([user("other")]);
        return globalThis.fetch(url, init);
      };
      assert.deepEqual(await session({ client: client({ fetch }) }, idOf(one)).popItem(), user("other"));
      assert.deepEqual([await one.getItems(), rewinds > 0], [items, true]);
    }
  });

  it("who are slower leave no context behind", async () => {
    const one = session();
    await one.addItems([user("start"), thought(), ...["1", "2", "3", "4"].map((n) => call(n))]);
    const { id } = await client().createContext({ externalId: idOf(one) });
    const popped = await Promise.all([1, 2, 3, 4].map(() => session({}, idOf(one)).popItem()));
    assert.deepEqual(popped.map((item: Item) => item.callId).sort(), ["1", "2", "3", "4"]);
    const forks = [];
    for await (const fork of client().forks(id)) forks.push(fork);
    assert.equal(forks.length, 1);
  });

  it("who open a session get one", async () => {
    const id = randomUUID();
    await Promise.all(Array.from({ length: 20 }, (_, n) => session({}, id).addItems([user(`${n}`)])));
    assert.equal((await session({}, id).getItems()).length, 20);
  });

  it("who take items back get one each, from within turns too", async () => {
    const one = session();
    const items = Array.from({ length: 5 }, (_, n) => turn(n)).flat();
    await one.addItems(items);
    const popped = await Promise.all(Array.from({ length: 20 }, () => session({}, idOf(one)).popItem()));
    assert.equal(new Set(popped.map((item) => JSON.stringify(item))).size, 20);
    assert.deepEqual(await one.getItems(), items.slice(0, 5));
  });

  it("who add, take back and replace lose nothing and double nothing", async () => {
    const one = session();
    await one.addItems([user("start")]);
    const popped: Item[] = [];
    const writer = async (name: string) => {
      const own = session({}, idOf(one));
      for (let n = 0; n < 12; n++) {
        if (n % 4 === 3) popped.push(await own.popItem());
        else if (n % 4 === 2)
          await own.applyHistoryTransaction({
            operationId: `${name}${n}`,
            transaction: { type: "append_items", items: [user(`${name}${n}`)] },
          });
        else await own.addItems([user(`${name}${n}`)]);
      }
    };
    await Promise.all(["a", "b", "c"].map(writer));
    const all = [...(await one.getItems()), ...popped].map((item: Item) => item.content).sort();
    const added = ["a", "b", "c"].flatMap((name) => [0, 1, 2, 4, 5, 6, 8, 9, 10].map((n) => `${name}${n}`));
    assert.deepEqual(all, [...added, "start"].sort());
  });
});

describe("on a line that breaks", () => {
  const faults = [
    "cut-before",
    "cut-after",
    "cut-within",
    { status: 503, headers: { "Retry-After": "0" } },
    { status: 502, body: "<html>", after: true },
  ];

  it("each call does what it says, once, wherever it breaks", async (test) => {
    const { setTimeout: real } = globalThis;
    const sooner: Item = (act: () => void, ms = 0, ...args: []) => real(act, ms / 50, ...args); // the client's pauses
    const timers = mock.method(globalThis, "setTimeout", sooner);
    test.after(() => timers.mock.restore());
    for (const fault of faults) {
      for (let place = 0; place < 6; place++) {
        const one = session({ client: client({ url: stack.proxy }) });
        await one.addItems([user("start")]);
        const items = turn(1);
        const struck = async <T>(act: () => Promise<T>) => {
          await stack.faults(...Array(place).fill(null), fault);
          return act();
        };
        await struck(() => one.addItems(items));
        assert.deepEqual(await struck(() => one.popItem()), items[4]);
        await struck(() =>
          one.applyHistoryTransaction({
            operationId: "o",
            transaction: { type: "replace_suffix", expectedSuffix: [items[3]], replacement: [user("r")] },
          }),
        );
        assert.deepEqual(await struck(() => one.getItems()), [user("start"), ...items.slice(0, 3), user("r")]);
        await struck(() => one.clearSession());
        assert.deepEqual(await one.getItems(), []);
      }
    }
  });

  it("what is taken back in vain, as it seems, is taken back once, also where others go on at once", async () => {
    const others: [left: number, behind: Item[], goOn: (of: KataSession) => Promise<unknown>][] = [
      [4, [], async () => {}],
      [4, [user("other")], (of) => of.addItems([user("other")])],
      [3, [], (of) => of.popItem()],
      [0, [], (of) => of.clearSession()],
    ];
    for (const [left, behind, goOn] of others) {
      const one = session();
      const items = [user("start"), thought(), call("1"), call("2"), call("3")];
      await one.addItems(items);
      let patches = 0;
      const fetch = async (url: string, init: RequestInit) => {
        const response = await globalThis.fetch(url, init);
        if (init.method !== "PATCH" || patches++) return response;
        await goOn(session({}, idOf(one)));
        throw new Error("cut");
      };
      assert.deepEqual(await session({ client: client({ fetch }) }, idOf(one)).popItem(), items[4]);
      assert.equal(patches, 2);
      assert.deepEqual(await one.getItems(), [...items.slice(0, left), ...behind]);
    }
  });

  it("more than one append takes is there wholly or not at all", async () => {
    const [one, items] = [session(), Array.from({ length: 1001 }, (_, n) => user(`${n}`))];
    for (let n = 1; n < 7; n++) {
      const killing = session({ client: killed(n, n % 2 > 0) }, idOf(one));
      const seen = await killing.addItems(items).then(
        () => true,
        () => false,
      );
      const stored = await one.getItems();
      assert.ok(stored.length === 0 || isDeepStrictEqual(stored, items));
      if (seen) assert.equal(stored.length, 1001);
      await one.clearSession();
    }
  });

  it("what is taken back is taken back wholly or not at all, and the rest is there", async () => {
    for (const before of [true, false]) {
      for (let n = 1; n < 7; n++) {
        const one = session();
        const items = turn(1);
        await one.addItems(items);
        const answer = await session({ client: killed(n, before) }, idOf(one))
          .popItem()
          .catch((error: unknown) => error);
        const seen = await session({}, idOf(one)).getItems();
        if (answer instanceof KataError) assert.ok(seen.length >= 4);
        else assert.deepEqual([...seen, answer], items);
        assert.deepEqual(seen, items.slice(0, seen.length));
      }
    }
  });
});

describe("many rewinds", () => {
  it("go on beyond the ancestors that a fork may have", async () => {
    const one = session();
    const kept: Item[] = [];
    for (let n = 0; n < 250; n++) {
      const { id } = await client().createContext({ externalId: idOf(one) });
      await client().append(id, [{ role: "user", content: `${n}` }]);
      await client().fork(id, { moveExternalId: true });
      kept.push({ role: "user", content: `${n}` });
    }
    for (let n = 0; n < 12; n++) {
      await one.addItems([user(`${n}`), user("taken back")]);
      kept.push(user(`${n}`));
      assert.deepEqual(await one.popItem(), user("taken back"));
    }
    assert.deepEqual(await one.getItems(), kept);
    const { forkVersion } = await client().createContext({ externalId: idOf(one) });
    assert.ok(forkVersion! > 250);
  });
});
