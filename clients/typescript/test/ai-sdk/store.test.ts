/** Chats of the AI SDK: what is saved is loaded, windows of it are taken, and nothing is lost or stored twice. */

import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { convertToModelMessages, type UIMessage } from "ai";
import { convertToModelMessages as convertToModelMessages6 } from "ai6";
import { Client } from "kata-context";
import { kataStore } from "kata-context/ai-sdk";
import { running } from "../stack.js";
import { type Any, all, assertTaken, called, json, said } from "./fakes.js";

suite("kataStore", () => {
  const stack = running();

  let chats = 0;
  const newChat = () => `chat ${++chats}`;

  function clients(options: object = {}) {
    const kata = new Client({ url: stack.url });
    const broken = new Client({ url: stack.proxy, ...options });
    return {
      kata,
      store: kataStore(kata, { convertToModelMessages }),
      broken: kataStore(broken, { convertToModelMessages }),
    };
  }

  async function contextOf(kata: Client, chat: string) {
    const [context] = await all(kata.contexts({ externalId: chat }));
    assert.ok(context);
    return context;
  }

  /** The messages of a chat's context that none of its UI messages has become. */
  async function strangers(kata: Client, chat: string) {
    const context = await contextOf(kata, chat);
    const stored = await all(kata.messages(context.id));
    const whole = new Set(
      stored.filter(({ metadata }: Any) => metadata.aiSdk?.message).map(({ metadata }: Any) => metadata.aiSdk.digest),
    );
    return stored.filter(({ metadata }: Any) => !whole.has(metadata.aiSdk?.digest));
  }

  const MANY: UIMessage[] = [
    said("s1", "Be brief.", "system"),
    said("u1", "Where is my order 1042?"),
    called("a1"),
    {
      id: "u2",
      role: "user",
      metadata: { at: 1.5, tags: [], "\0": "\ud800", __proto__: null } as Any,
      parts: [
        { type: "text", text: "And these? \0 \udfff \\u0000 \\\\\0 🦊", providerMetadata: { anthropic: { a: 1 } } },
        { type: "file", mediaType: "image/png", url: "data:image/png;base64,iVBORw0KGgo=" },
        { type: "file", mediaType: "application/pdf", filename: "a.pdf", url: "https://example.com/a.pdf" },
        { type: "data-view", id: "d1", data: { zoom: 2 } },
      ],
    },
    {
      id: "a2",
      role: "assistant",
      parts: [
        { type: "step-start" },
        { type: "tool-a", toolCallId: "1", state: "output-available", input: {}, output: [1, null, "\0"], title: "A" },
        {
          type: "tool-b",
          toolCallId: "2",
          state: "output-error",
          input: undefined,
          rawInput: { z: 1 },
          errorText: "no",
        },
        {
          type: "dynamic-tool",
          toolName: "c",
          toolCallId: "3",
          state: "output-available",
          input: { data: [1] },
          output: "text",
        },
        { type: "tool-d", toolCallId: "4", state: "input-available", input: { x: 1 } },
        { type: "tool-e", toolCallId: "5", state: "input-streaming", input: { y: "un" } },
        { type: "tool-f", toolCallId: "6", state: "approval-requested", input: {}, approval: { id: "ap" } },
        {
          type: "tool-g",
          toolCallId: "7",
          state: "output-denied",
          input: {},
          approval: { id: "aq", approved: false, reason: "no" },
        },
        { type: "tool-h", toolCallId: "8", state: "output-available", input: {}, output: 1, providerExecuted: true },
        { type: "source-url", sourceId: "s", url: "https://example.com", title: "Example" },
        { type: "source-document", sourceId: "t", mediaType: "text/plain", title: "T" },
        { type: "file", mediaType: "image/png", url: "data:image/png;base64,iVBORw0KGgo=" },
      ] as Any,
    },
    { id: "", role: "assistant", parts: [] },
    { id: "", role: "user", parts: [] },
    { id: "s2", role: "system", parts: [] },
    { id: "u1", role: "user", parts: [{ type: "text", text: "Where is my order 1042?" }] },
    { id: "u1", role: "user", parts: [{ type: "text", text: "Where is my order 1042?" }] },
  ];

  suite("a chat", () => {
    test("that nobody has saved has no messages", async () => {
      assert.deepEqual(await clients().store.load(newChat()), []);
    });

    test("comes back equal, whatever its messages and ids are", async () => {
      const { store } = clients();
      const chat = newChat();

      await store.save(chat, MANY);

      assert.deepEqual(await store.load(chat), json(MANY));
    });

    test("comes back equal in the AI SDK 6", async () => {
      const { kata } = clients();
      const store = kataStore(kata, { convertToModelMessages: convertToModelMessages6 as never });
      const chat = newChat();

      await store.save(chat, MANY);

      assert.deepEqual(await store.load(chat), json(MANY));
    });

    test("is found by any id that the service takes, and by no other", async () => {
      const { store } = clients();
      for (const id of [" ", "é/?#&=%00\n", "🦊".repeat(255)]) {
        await store.save(id, [said("u", id)]);
        assert.deepEqual(await store.load(id), [said("u", id)]);
      }
      for (const id of ["", "\0", "x".repeat(256)]) {
        await assert.rejects(store.load(id), { status: 400 });
        await assert.rejects(store.save(id, [said("u", "Hi")]), { status: 400 });
      }
      // No filter for the service, which would answer the chats of all.
      for (const id of [undefined, null, 7, {}] as Any[]) {
        await assert.rejects(store.load(id), { name: "TypeError" });
        await assert.rejects(store.save(id, [said("u", "Hi")]), { name: "TypeError" });
      }
    });

    test("has windows that both versions take, at every budget", async () => {
      const { kata, store } = clients();
      const id = await store.save(newChat(), [...MANY, said("u3", "Thanks."), called("a3"), called("a3")]);
      const { totalTokens } = await kata.getContext(id);
      for (let budget = 1; budget <= totalTokens + 1; budget += 7) {
        const { data, repairs } = (await kata.window(id, { budget, format: "ai-sdk" })) as Any;
        assertTaken(data.messages);
        const changed = repairs.filter(
          ({ code }: Any) => !["call_answered", "empty_dropped", "role_changed"].includes(code),
        );
        assert.deepEqual(changed, []);
      }
    });

    test("keeps what a provider gave, in windows too", async () => {
      const { kata, store } = clients();
      const id = await store.save(newChat(), [said("u", "Hi"), called("a")]);

      const { data } = await kata.window(id, { budget: 1000, format: "ai-sdk" });

      assert.deepEqual(data.messages, json(await convertToModelMessages([said("u", "Hi"), called("a")])));
    });

    test("is a context with a policy, if the store has one", async () => {
      const { kata } = clients();
      const id = await kataStore(kata, { convertToModelMessages, policy: { budget: 70 } }).save(newChat(), []);
      assert.deepEqual((await kata.getContext(id)).policy, { budget: 70 });
    });
  });

  suite("a save", () => {
    test("appends what is new, and reads no more than the newest", async () => {
      const { kata, broken } = clients();
      const chat = newChat();
      const first = await broken.save(
        chat,
        Array.from({ length: 60 }, (_, at) => said(`u${at}`, "Hi")),
      );
      const before = await broken.load(chat);
      await stack.faults();

      const second = await broken.save(chat, [...before, called("a")]);

      assert.equal(second, first);
      const requests = (await stack.seen()).map(
        ({ method, path }) => `${method} ${path.replace(/.*\//, "").replace(/\?.*/, "")}`,
      );
      assert.deepEqual(requests, ["POST contexts", "GET messages", "POST messages", "POST messages"]);
      assert.equal((await kata.getContext(first)).latestVersion, 63);
    });

    test("of the same again stores nothing, also with members in another order", async () => {
      const { kata, store } = clients();
      const chat = newChat();
      const id = await store.save(chat, MANY);
      const { latestVersion } = await kata.getContext(id);
      const turned = MANY.map((message) => Object.fromEntries(Object.entries(message).reverse()) as never as UIMessage);

      assert.equal(await store.save(chat, MANY), id);
      assert.equal(await store.save(chat, turned), id);

      assert.equal((await kata.getContext(id)).latestVersion, latestVersion);
    });

    test("of another last message is a fork before it, and what was there stays", async () => {
      const { kata, store } = clients();
      const chat = newChat();
      const start = [said("u", "Where is my order?")];
      const first = await store.save(chat, [...start, called("a", "lost")]);

      const second = await store.save(chat, [...start, called("a", "found")]);

      assert.deepEqual(await store.load(chat), [...start, called("a", "found")]);
      const { parentId, forkVersion } = await kata.getContext(second);
      assert.deepEqual([parentId, forkVersion], [first, 1]);
      assert.equal((await kata.getContext(first)).latestVersion, 4);
    });

    test("keeps the name, the metadata and the policy of a chat that it forks", async () => {
      const { kata, store } = clients();
      const chat = newChat();
      const own = { name: "Order 1042", metadata: { customer: 17 }, policy: { budget: 90 } };
      await kata.createContext({ externalId: chat, ...own });
      await store.save(chat, [said("u", "Hi"), called("a")]);

      await store.save(chat, [said("u", "Hi")]);

      const { name, metadata, policy } = await contextOf(kata, chat);
      assert.deepEqual({ name, metadata, policy }, own);
    });

    test("stores what the array was when it was called", async () => {
      const { kata, store } = clients();
      const chat = newChat();
      const messages = [said("u1", "One"), said("u2", "Two")];

      const saved = store.save(chat, messages);
      messages[1]!.parts.push({ type: "text", text: "Three" });

      const { data } = await kata.window(await saved, { budget: 100, format: "ai-sdk" });
      const were = [said("u1", "One"), said("u2", "Two")];
      assert.deepEqual(await store.load(chat), were);
      assert.deepEqual(data.messages, json(await convertToModelMessages(were)));
    });

    test("takes metadata of others for theirs, whatever its name", async () => {
      const { kata, store } = clients();
      const chat = newChat();
      const id = await store.save(chat, [said("u1", "One")]);
      for (const aiSdk of [true, null, "text", 7, [], { version: 7 }, { message: "no JSON" }]) {
        await kata.append(id, [{ role: "user", content: "a note", metadata: { aiSdk } }]);
      }

      assert.equal(await store.save(chat, [said("u1", "One"), called("a1")]), id);

      assert.deepEqual(await store.load(chat), [said("u1", "One"), called("a1")]);
    });

    test("of fewer messages rewinds, to none as well", async () => {
      const { store } = clients();
      const chat = newChat();
      const messages = [said("u1", "One"), called("a1"), said("u2", "Two"), called("a2")];
      await store.save(chat, messages);

      for (const count of [3, 2, 0]) {
        await store.save(chat, messages.slice(0, count));
        assert.deepEqual(await store.load(chat), messages.slice(0, count));
      }
    });

    test("of an older message that has changed keeps those behind it", async () => {
      const { store } = clients();
      const chat = newChat();
      const messages = [said("u1", "One"), called("a1"), said("u2", "Two"), called("a2")];
      await store.save(chat, messages);
      const edited = messages.with(1, { ...called("a1"), metadata: { rating: 5 } });

      await store.save(chat, edited);

      assert.deepEqual(await store.load(chat), edited);
    });

    test("leaves what others have appended: a preamble, and notes", async () => {
      const { kata, store } = clients();
      const chat = newChat();
      const { id } = await kata.createContext({ externalId: chat });
      await kata.append(id, [{ role: "system", content: "Be brief." }]);
      await store.save(chat, [said("u1", "One"), said("a1", "1", "assistant")]);
      await kata.append(id, [{ role: "user", content: "a note" }]);
      await store.save(chat, [said("u1", "One"), said("a1", "1", "assistant"), said("u2", "Two")]);
      const branched = await store.save(chat, [said("u1", "One"), said("a1", "1", "assistant"), said("u2", "Three")]);

      const texts = (await all(kata.messages(branched))).map(({ content }: Any) => content[0].text ?? content);

      assert.deepEqual(texts, ["Be brief.", "One", "1", "a note", "Three"]);
    });

    test("of what cannot be stored or converted changes nothing", async () => {
      const { kata, store } = clients();
      const chat = newChat();
      const kept = [said("u", "Hi"), called("a")];
      const id = await store.save(chat, kept);
      const fails = (message: Any, kind: object) =>
        assert.rejects(store.save(chat, [said("u", "Hi"), said("a", "new"), message]), kind);

      for (const output of ["x".repeat(2_000_000), '"'.repeat(600_000), "\0".repeat(400_000), "é".repeat(1_000_000)]) {
        await fails(called("b", output), { name: "RangeError" });
      }
      await fails({ id: "b", role: "robot", parts: [] }, { name: "AI_MessageConversionError" });
      await fails(
        { id: "b", role: "user", parts: [{ type: "file", mediaType: "image/png", url: "no url" }] },
        { name: "TypeError" },
      );

      assert.deepEqual(await store.load(chat), kept);
      assert.equal((await contextOf(kata, chat)).id, id);
    });

    test("takes a message of a megabyte", async () => {
      const { store } = clients();
      for (const message of [
        called("a", "x".repeat(1_000_000)),
        said("u", "é".repeat(500_000)),
        {
          ...said("u", ""),
          parts: [{ type: "file", mediaType: "image/png", url: `data:image/png;base64,${"A".repeat(1_000_000)}` }],
        },
      ] as UIMessage[]) {
        const chat = newChat();
        await store.save(chat, [message]);
        assert.deepEqual(await store.load(chat), [message]);
      }
    });

    test("takes what is just small enough, and refuses the rest itself, whatever it is made of", async () => {
      const { store } = clients();
      const units = ['"', "\0", "é"];
      for (const make of [
        ...units.map((unit) => (length: number) => called("a", unit.repeat(length))),
        (length: number) => said("a", '"'.repeat(length)),
      ]) {
        let [length, refused] = [1_600_000, true];
        while (refused) {
          length = Math.floor(length * 0.8);
          const error = await store.save(newChat(), [make(length)]).then(
            () => undefined,
            (error: Error) => error,
          );
          if (error) assert.equal(error.name, "RangeError", `${length}: ${error.message}`);
          refused = error !== undefined;
        }
      }
    });
  });

  suite("a save that is cut off", () => {
    const before = [said("u1", "One"), called("a1")];
    const changes: [string, UIMessage[], number][] = [
      ["appends", [...before, said("u2", "Two"), called("a2")], 5],
      ["changes the last", [said("u1", "One"), called("a1", "another"), said("u2", "Two")], 7],
      ["rewinds", [said("u1", "One")], 4],
    ];
    for (const [what, wanted, most] of changes) {
      for (const fault of ["cut-before", "cut-after"]) {
        test(`and ${what}, ${fault} of any request, leaves a whole chat; saved again it is the new one`, async () => {
          for (let requests = 1; requests <= most; requests++) {
            const { kata, store, broken } = clients({ maxRetries: 0 });
            const chat = newChat();
            await store.save(chat, before);
            await stack.faults(...Array(requests - 1).fill(null), fault);

            const failed = await broken.save(chat, wanted).then(
              () => false,
              () => true,
            );
            const sent = await stack.seen();
            await stack.faults();

            const left = JSON.stringify(await store.load(chat));
            const allowed = what === "appends" ? [2, 3, 4].map((end) => wanted.slice(0, end)) : [before, wanted];
            assert.ok(allowed.some((list) => JSON.stringify(list) === left));
            assert.equal(failed, requests <= sent.length);
            assert.equal(sent.length, failed ? requests : most - 1, "every request was cut once");
            const id = await store.save(chat, wanted);
            assert.deepEqual(await store.load(chat), wanted);
            assert.deepEqual(await strangers(kata, chat), []);
            const { data } = await kata.window(id, { budget: 10_000, format: "ai-sdk" });
            assert.deepEqual(data.messages, json(await convertToModelMessages(wanted)));
          }
        });
      }
    }

    test("and is sent again on its own is done once, whichever answers are lost", async () => {
      const lost = { status: 503, headers: { "Retry-After": "0" }, after: true };
      for (const [, wanted] of changes) {
        const { kata, store, broken } = clients();
        const chat = newChat();
        await store.save(chat, before);
        await stack.faults(...Array.from({ length: 24 }, (_, at) => (at % 2 ? null : lost)));

        const id = await broken.save(chat, wanted);
        await stack.faults();

        assert.deepEqual(await store.load(chat), wanted);
        assert.equal((await contextOf(kata, chat)).id, id);
        assert.deepEqual(await strangers(kata, chat), []);
      }
    });

    test("and is not saved again is forgotten by the next", async () => {
      const { kata, store, broken } = clients({ maxRetries: 0 });
      const chat = newChat();
      await store.save(chat, before);
      await stack.faults(null, null, null, "cut-before");
      await assert.rejects(broken.save(chat, [...before, called("a2")]));
      assert.equal((await strangers(kata, chat)).length, 2);

      await store.save(chat, [...before, said("u2", "Two")]);

      assert.deepEqual(await store.load(chat), [...before, said("u2", "Two")]);
      assert.deepEqual(await strangers(kata, chat), []);
    });
  });

  suite("savers at once", () => {
    test("of the same list store it once", async () => {
      const { kata, store } = clients();
      for (const start of [[], [said("u0", "Zero")], [said("u0", "Zero"), called("a0", "other")]]) {
        const chat = newChat();
        await store.save(chat, start);
        const list = [said("u0", "Zero"), called("a0"), said("u1", "One"), called("a1")];

        await Promise.all(Array.from({ length: 5 }, () => store.save(chat, list)));

        assert.deepEqual(await store.load(chat), list);
        assert.deepEqual(await strangers(kata, chat), []);
      }
    });

    test("of lists that go on from one another end with the longest", async () => {
      const { kata, store } = clients();
      const chat = newChat();
      const list = Array.from({ length: 6 }, (_, at) => (at % 2 ? called(`a${at}`) : said(`u${at}`, "Hi")));
      await store.save(chat, list.slice(0, 2));

      // Each is loaded, and saved with the rest, as two requests of one chat do.
      await Promise.all(
        [3, 4, 5, 6].map(async () => store.save(chat, [...(await store.load(chat)).slice(0, 2), ...list.slice(2)])),
      );

      assert.deepEqual(await store.load(chat), list);
      assert.deepEqual(await strangers(kata, chat), []);
    });

    test("of different lists end with one of them, whole", async () => {
      const { kata, store } = clients();
      for (let round = 0; round < 2; round++) {
        const chat = newChat();
        const start = [said("u0", "Zero")];
        await store.save(chat, start);
        const lists = Array.from({ length: 5 }, (_, at) => [
          ...(at % 2 ? start : []),
          said(`u${at}`, `${at}`),
          called(`a${at}`),
        ]);

        await Promise.all(lists.map((list) => store.save(chat, list)));

        const stored = await store.load(chat);
        assert.ok(lists.some((list) => JSON.stringify(list) === JSON.stringify(stored)));
        assert.deepEqual(await strangers(kata, chat), []);
        assert.equal((await all(kata.contexts({ externalId: chat }))).length, 1);
      }
    });
  });

  suite("while a save is on its way", () => {
    const old = [said("u0", "Zero"), called("a0")];
    const changed = [said("u0", "Zero"), called("a0", "another")];
    const longer = [...old, said("u1", "One")];

    /** A store that does something else before its first request of this kind. */
    function disturbed(method: string, path: RegExp, disturb: () => Promise<unknown>) {
      let left: typeof disturb | undefined = disturb;
      const kata = new Client({
        url: stack.url,
        fetch: async (url, init) => {
          if (left && init.method === method && path.test(url)) {
            const first = left;
            left = undefined;
            await first();
          }
          return fetch(url, init);
        },
      });
      return kataStore(kata, { convertToModelMessages });
    }

    test("a reader has the old chat or the new one, and never a part", async () => {
      const { kata, store } = clients();
      const chat = newChat();
      await store.save(chat, old);
      const seen: UIMessage[][] = [];
      const watched = new Client({
        url: stack.url,
        fetch: async (url, init) => {
          seen.push(await store.load(chat));
          return fetch(url, init);
        },
      });

      await kataStore(watched, { convertToModelMessages }).save(chat, changed);

      assert.ok(seen.length > 4);
      for (const list of seen) assert.deepEqual(list, old);
      assert.deepEqual(await store.load(chat), changed);
      assert.deepEqual(await strangers(kata, chat), []);
    });

    for (const [what, path, method] of [
      ["forks", /forks$/, "POST"],
      ["appends to its fork", /messages$/, "POST"],
      ["takes the id", /contexts\/[^/]+$/, "PATCH"],
    ] as const) {
      test(`another may change the chat before it ${what}: the last counts, and no draft is left`, async () => {
        const { kata, store } = clients();
        const chat = newChat();
        const first = await store.save(chat, old);
        let second = "";

        const last = await disturbed(method, path, async () => {
          second = await store.save(chat, [said("other", "Other")]);
        }).save(chat, changed);

        assert.deepEqual(await store.load(chat), changed);
        assert.equal((await contextOf(kata, chat)).id, last);
        const living = [...(await all(kata.forks(first))), ...(await all(kata.forks(second)))].map(({ id }) => id);
        assert.deepEqual(new Set(living), new Set([second, last].filter((id) => living.includes(id))));
      });

      test(`another may append before it ${what}: that stays where it was`, async () => {
        const { kata, store } = clients();
        const chat = newChat();
        const first = await store.save(chat, old);

        await disturbed(method, path, () => store.save(chat, longer)).save(chat, changed);

        assert.deepEqual(await store.load(chat), changed);
        const texts = (await all(kata.messages(first))).map(({ content }: Any) => content?.[0]?.text);
        assert.equal(texts.at(-1), "One");
      });

      test(`the chat may be deleted before it ${what}: it is made again, whole`, async () => {
        const { kata, store } = clients();
        const chat = newChat();
        const first = await store.save(chat, old);

        await disturbed(method, path, () => kata.deleteContext(first)).save(chat, changed);

        assert.deepEqual(await store.load(chat), changed);
        assert.deepEqual(await strangers(kata, chat), []);
      });
    }

    test("an append goes where the id has gone, and not to what it has left", async () => {
      const { kata, store } = clients();
      const chat = newChat();
      const first = await store.save(chat, old);

      const last = await disturbed("POST", /messages$/, () => kata.fork(first, { moveExternalId: true })).save(
        chat,
        longer,
      );

      assert.notEqual(last, first);
      assert.equal((await kata.getContext(first)).latestVersion, 4);
      assert.deepEqual(await store.load(chat), longer);
    });

    test("a note of somebody else is kept beside what is appended", async () => {
      const { kata, store } = clients();
      const chat = newChat();
      const first = await store.save(chat, old);
      const note = () => kata.append(first, [{ role: "user", content: "a note" }]);

      assert.equal(await disturbed("POST", /messages$/, note).save(chat, longer), first);

      assert.deepEqual(await store.load(chat), longer);
      assert.equal((await strangers(kata, chat)).length, 1);
    });

    test("a chat that is deleted while it is loaded has no messages", async () => {
      const { kata, store } = clients();
      const chat = newChat();
      const first = await store.save(chat, old);
      assert.deepEqual(await disturbed("GET", /messages/, () => kata.deleteContext(first)).load(chat), []);
    });
  });

  suite("a chat that is changed more often than a context may have ancestors", () => {
    test("goes on in a copy, with its preamble, policy and metadata", async () => {
      const { kata, store, broken } = clients();
      const chat = newChat();
      const own = { name: "Order 1042", metadata: { customer: 17 }, policy: { budget: 90 } };
      const { id } = await kata.createContext({ externalId: chat, ...own });
      await kata.append(id, [{ role: "system", content: "Be brief." }]);
      // A message of ours is a list of items here, and neighbours would merge.
      for (const text of ["One.", "Two."]) {
        const item = { type: "message", role: "assistant", content: [{ type: "output_text", text, annotations: [] }] };
        const own = { format: "openai-responses", model: "gpt-5.2", metadata: { own: true } } as const;
        await kata.append(id, [item], { ...own, tokenCounts: [3] });
      }
      const messages = [said("u", "Hi"), called("a")];
      let last = await store.save(chat, messages);
      for (let turn = 0; turn <= 256; turn++) {
        if (turn) ({ id: last } = await kata.fork(last, { name: own.name, moveExternalId: true }));
        await kata.append(last, [{ role: "user", content: `note ${turn}` }]);
      }
      messages.push(said("b", "…", "assistant"));
      await store.save(chat, messages);
      await assert.rejects(kata.fork(last), { code: "fork_too_deep" });
      messages[2] = called("b");

      const before = await all(kata.messages(last, { include: "native", limit: 1000 }));
      await stack.faults();

      const copy = await broken.save(chat, messages);

      const requests = (await stack.seen()).filter(({ method }) => method === "POST");
      assert.ok(requests.length < 20, `${requests.length} requests`);
      const after = await all(kata.messages(copy, { include: "native", limit: 1000 }));
      const shown = ({ id, contextId, createdAt, ...rest }: Any) => rest;
      assert.deepEqual(after.slice(0, before.length - 1).map(shown), before.slice(0, -1).map(shown));
      assert.deepEqual(await store.load(chat), messages);
      const { id: found, parentId, name, metadata, policy } = await contextOf(kata, chat);
      assert.deepEqual([found, parentId, { name, metadata, policy }], [copy, null, own]);
      const { data } = await kata.window(copy, { budget: 100_000, format: "ai-sdk" });
      assert.equal(data.system, "Be brief.");
      const [first, rest] = await Promise.all(
        [messages.slice(0, 2), messages.slice(2)].map((some) => convertToModelMessages(some)),
      );
      const notes = Array.from({ length: 257 }, (_, turn) => ({ role: "user", content: `note ${turn}` }));
      const expected = json([...first!, ...notes, ...rest!]);
      assert.deepEqual(data.messages.slice(-expected.length), expected);
      await store.save(chat, messages.slice(0, 1));
      assert.deepEqual(await store.load(chat), messages.slice(0, 1));
    });
  });

  /** Numbers from 0 to below 1, the same for the same seed. */
  function random(seed: number): () => number {
    return () => {
      seed = (seed + 0x6d2b79f5) | 0;
      let value = Math.imul(seed ^ (seed >>> 15), 1 | seed);
      value = (value + Math.imul(value ^ (value >>> 7), 61 | value)) ^ value;
      return ((value ^ (value >>> 14)) >>> 0) / 2 ** 32;
    };
  }

  suite("beside a plain array", () => {
    for (let seed = 1; seed <= 3; seed++) {
      test(`any changes come to the same, through a network that breaks (seed ${seed})`, async () => {
        const { kata, broken } = clients({ maxRetries: 20 });
        const next = random(seed);
        const below = (limit: number) => Math.floor(next() * limit);
        const chat = newChat();
        let array: UIMessage[] = [];
        let made = 0;
        const make = (id = ["", "same", `m${made}`][below(3)]!): UIMessage =>
          [
            said(id, `${++made}`),
            called(id, ++made),
            said(id, `${++made}`, "assistant"),
            { id, role: "assistant", parts: [] } as UIMessage,
          ][below(4)]!;
        const again = { status: 503, headers: { "Retry-After": "0" } };
        for (let change = 0; change < 30; change++) {
          const changed = [...array];
          const place = below(array.length || 1);
          switch (below(6)) {
            case 0:
              changed.splice(array.length - below(3));
              break;
            case 1:
              if (array.length) changed[array.length - 1] = make(array.at(-1)!.id);
              break;
            case 2:
              if (array.length) changed[place] = { ...array[place]!, metadata: { change } };
              break;
            case 3:
              changed.splice(place, 1);
              break;
            case 4:
              changed.push(make());
              break;
            default:
              changed.push(make(), make());
          }
          await stack.faults(
            ...Array.from({ length: 12 }, () => [null, null, null, again, { ...again, after: true }][below(5)]),
          );

          await broken.save(chat, changed);
          array = changed;

          await stack.faults();
          assert.deepEqual(await broken.load(chat), array);
        }
        assert.deepEqual(await strangers(kata, chat), []);
        const { id } = await contextOf(kata, chat);
        const { data } = await kata.window(id, { budget: 100_000, format: "ai-sdk" });
        assertTaken(data.messages);
        assert.deepEqual(data.messages, json(await convertToModelMessages(array)));
      });
    }
  });
});
