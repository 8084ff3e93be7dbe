/** A prepareStep that sends the window: within the budget, with whole units, in both versions of the SDK. */

import assert from "node:assert/strict";
import { suite, test } from "node:test";
import {
  convertToModelMessages,
  experimental_createSteering,
  generateText,
  isStepCount,
  jsonSchema,
  streamText,
  tool,
  ToolLoopAgent,
  type UIMessage,
} from "ai";
import * as ai6 from "ai6";
import { Client, type Policy } from "kata-context";
import { kataPrepareStep, kataStore } from "kata-context/ai-sdk";
import { running } from "../stack.js";
import { type Any, assertWhole, called, Model, said } from "./fakes.js";

const inputSchema = jsonSchema<{ number: number }>({ type: "object", properties: { number: { type: "integer" } } });
const NONE = "No result was recorded for this call.";

/** Calls find_order so many times, one or two at once, and then answers. */
function caller(times: number, width = 1): Model {
  let calls = 0;
  return new Model(() =>
    calls++ < times
      ? Array.from({ length: width }, (_, at) => ({
          type: "tool-call",
          toolCallId: `c${calls}-${at}`,
          toolName: "find_order",
          input: `{"number": ${calls}}`,
        }))
      : [{ type: "text", text: "Done." }],
  );
}

/** The model as the AI SDK 6 takes it. */
const as6 = ({ provider, modelId, doGenerate }: Model) =>
  ({ specificationVersion: "v3", provider, modelId, supportedUrls: {}, doGenerate }) as Any;

suite("kataPrepareStep", () => {
  const stack = running();

  const tools = {
    find_order: tool({
      inputSchema,
      execute: async ({ number }) =>
        [1, 2, 3].map((item) => ({ order: number, item, status: "shipped", to: "12 Long Street" })),
    }),
  };

  let chats = 0;
  async function chat(messages: UIMessage[], policy: Policy = { budget: 500, keepRequest: true }) {
    const client = new Client({ url: stack.url });
    const store = kataStore(client, { convertToModelMessages, policy });
    return { client, store, contextId: await store.save(`chat ${++chats}`, messages) };
  }

  /** Tokens of a prompt, as the service counts them. */
  async function tokensOf(client: Client, prompt: Any[]): Promise<number> {
    const { id } = await client.createContext();
    const messages = prompt.filter(({ role }) => role !== "system");
    await client.append(id, messages, { format: "ai-sdk" });
    return (await client.getContext(id)).totalTokens;
  }

  const LONG = Array.from({ length: 30 }, (_, at) => (at % 2 ? called(`a${at}`) : said(`u${at}`, `Question ${at}?`)));
  const QUESTION = said("q", "Where are my orders?");
  const given = [{ role: "user" as const, content: "Where are my orders?" }];

  test("sends the window and not what the call was given", async () => {
    const { client, contextId } = await chat([...LONG, QUESTION], { budget: 200 });
    const model = caller(0);

    const { text } = await generateText({
      model,
      messages: given,
      prepareStep: kataPrepareStep({ client, contextId }),
    });

    assert.equal(text, "Done.");
    const { data, droppedCount } = await client.window(contextId, { format: "ai-sdk" });
    assert.ok(droppedCount > 0);
    assert.deepEqual(
      model.prompts[0]!.map(({ role }) => role),
      data.messages.map(({ role }: Any) => role),
    );
  });

  test("takes a window's parameters in place of the policy", async () => {
    const { client, contextId } = await chat([...LONG, QUESTION]);
    const model = caller(0);

    await generateText({
      model,
      messages: given,
      prepareStep: kataPrepareStep({ client, contextId, budget: 40, policy: "none" }),
    });

    assert.ok((await tokensOf(client, model.prompts[0]!)) <= 40);
  });

  test("leaves what the call was given where nothing is stored", async () => {
    const { client, contextId } = await chat([]);
    const model = caller(0);

    await generateText({ model, messages: given, prepareStep: kataPrepareStep({ client, contextId }) });

    assert.equal(model.prompts[0]![0].content[0].text, "Where are my orders?");
  });

  for (const [budget, step, steps, width] of [
    [300, 0, 7, 1],
    [300, 100, 7, 1],
    [600, 150, 8, 2],
    [120, 40, 4, 2],
    [1000, 250, 16, 1],
  ] as const) {
    test(`keeps ${budget} tokens, the request and whole units in ${steps} steps of a run, step ${step}`, async () => {
      const { client, contextId } = await chat([...LONG, QUESTION], { budget, step, keepRequest: true });
      const model = caller(steps, width);

      await generateText({
        model,
        tools,
        messages: given,
        stopWhen: isStepCount(50),
        prepareStep: kataPrepareStep({ client, contextId }),
      });

      assert.equal(model.prompts.length, steps + 1);
      for (const [at, prompt] of model.prompts.entries()) {
        assertWhole(prompt);
        assert.ok(JSON.stringify(prompt).includes("Where are my orders?"), `step ${at} has no request`);
        const newest = prompt.slice(prompt.findLastIndex(({ role }) => role === "assistant"));
        const tokens = await tokensOf(client, prompt);
        if (tokens > budget) {
          const least = (await tokensOf(client, newest)) + (await tokensOf(client, given));
          assert.ok(at && tokens <= least, `step ${at} has ${tokens} tokens`);
        }
        if (at) assert.ok(JSON.stringify(newest).includes(`c${at}-0`), `step ${at} has not what it said last`);
      }
    });
  }

  test("opens alike until the policy's step is used up, so that a provider's cache holds", async () => {
    const { client, contextId } = await chat([...LONG, QUESTION], { budget: 1000, step: 500 });
    const model = caller(24);

    await generateText({
      model,
      tools,
      messages: given,
      stopWhen: isStepCount(50),
      prepareStep: kataPrepareStep({ client, contextId }),
    });

    const openings = model.prompts.map((prompt) => JSON.stringify(prompt.slice(0, 2)));
    const moves = openings.filter((opening, at) => at && opening !== openings[at - 1]).length;
    assert.ok(moves > 0 && moves < 10, `${moves} moves in 24 steps`);
  });

  test("goes on with a summary or a policy that somebody makes meanwhile", async () => {
    const { client, contextId } = await chat([...LONG, QUESTION], { budget: 1000 });
    const model = caller(4);
    const { latestVersion } = await client.getContext(contextId);
    const disturbed = tool({
      inputSchema,
      execute: async ({ number }) => {
        if (number === 1) await client.compact(contextId, latestVersion - 1, "They asked about orders.");
        if (number === 3) await client.updateContext(contextId, { policy: { budget: 60 } });
        return "found";
      },
    });

    await generateText({
      model,
      tools: { find_order: disturbed },
      messages: given,
      stopWhen: isStepCount(9),
      prepareStep: kataPrepareStep({ client, contextId }),
    });

    for (const prompt of model.prompts) assertWhole(prompt);
    const has = (step: number, text: string) => JSON.stringify(model.prompts[step]).includes(text);
    const summed = [0, 1, 2, 3, 4].map((step) => has(step, "They asked about orders."));
    assert.deepEqual(summed, [false, true, true, true, true]);
    assert.deepEqual([1, 2, 3, 4].map((step) => has(step, "c1-0")), [true, true, false, false]);
  });

  test("rejects where the context is gone, before the model is asked", async () => {
    const { client, contextId } = await chat([QUESTION]);
    await client.deleteContext(contextId);
    const model = caller(0);

    const run = generateText({ model, messages: given, prepareStep: kataPrepareStep({ client, contextId }) });

    await assert.rejects(run, { code: "context_not_found" });
    assert.equal(model.prompts.length, 0);
  });

  test("counts with countTokens what this run has said", async () => {
    const { client, contextId } = await chat([...LONG, QUESTION], { budget: 100_000 });
    const [little, much] = [caller(4), caller(4)];
    for (const [model, tokens] of [
      [little, 1],
      [much, 90_000],
    ] as const) {
      const prepareStep = kataPrepareStep({ client, contextId, countTokens: () => tokens });
      await generateText({ model, tools, messages: given, stopWhen: isStepCount(9), prepareStep });
    }
    assert.equal(little.prompts[4]!.length, little.prompts[0]!.length + 8);
    assert.ok(much.prompts[4]!.length < 5);
  });

  test("lifts stored system messages into the instructions, behind those of the call", async () => {
    const { client, contextId } = await chat([said("s", "Be brief.", "system"), QUESTION], { budget: 500 });
    const prepareStep = kataPrepareStep({ client, contextId });
    const system = { role: "system", content: "You answer for a shop." } as const;
    for (const [instructions, expected] of [
      [undefined, ["Be brief."]],
      ["You answer for a shop.", ["You answer for a shop.\n\nBe brief."]],
      [system, ["You answer for a shop.", "Be brief."]],
      [
        [system, system],
        ["You answer for a shop.", "You answer for a shop.", "Be brief."],
      ],
    ] as const) {
      const model = caller(2);
      const own = instructions && {
        instructions: typeof instructions === "object" && "length" in instructions ? [...instructions] : instructions,
      };
      await generateText({ model, tools, messages: given, ...own, stopWhen: isStepCount(5), prepareStep });
      assert.equal(model.prompts.length, 3);
      for (const prompt of model.prompts) {
        assert.deepEqual(
          prompt.filter(({ role }) => role === "system").map(({ content }) => content),
          expected,
        );
      }
    }
  });

  test("serves several runs at once, and agents, streaming or not", async () => {
    const { client, contextId } = await chat([...LONG, QUESTION], { budget: 400, keepRequest: true });
    const prepareStep = kataPrepareStep({ client, contextId });
    const models = [caller(5), caller(5), caller(5), caller(5)] as const;
    const stopWhen = isStepCount(9);

    await Promise.all([
      generateText({ model: models[0], tools, messages: given, stopWhen, prepareStep }),
      streamText({ model: models[1], tools, messages: given, stopWhen, prepareStep }).consumeStream(),
      new ToolLoopAgent({ model: models[2], tools, prepareStep }).generate({ messages: given }),
      (await new ToolLoopAgent({ model: models[3], tools, prepareStep }).stream({ messages: given })).consumeStream(),
    ]);

    for (const { prompts } of models) {
      assert.equal(prompts.length, 6);
      for (const prompt of prompts) assertWhole(prompt);
      assert.deepEqual(prompts, models[0].prompts);
    }
  });

  test("keeps what a user says meanwhile where it was said", async () => {
    const { client, contextId } = await chat([QUESTION], { budget: 2000 });
    const model = caller(3);
    const steering = experimental_createSteering();
    const outcomes: Promise<unknown>[] = [];
    const steered = tool({
      inputSchema,
      execute: async ({ number }) => {
        if (number < 3) outcomes.push(steering.steer(`Hurry ${number}!`));
        return "found";
      },
    });

    await generateText({
      model,
      tools: { find_order: steered },
      messages: given,
      stopWhen: isStepCount(9),
      experimental_steering: steering,
      prepareStep: kataPrepareStep({ client, contextId }),
    });

    const [question, round] = ["user", ["assistant", "tool", "user"]];
    assert.deepEqual(
      model.prompts.map((prompt) => prompt.map(({ role }) => role)),
      [
        [question],
        [question, ...round],
        [question, ...round, ...round],
        [question, ...round, ...round, "assistant", "tool"],
      ],
    );
    assert.ok((await Promise.all(outcomes)).every((outcome) => (outcome as Any).type === "delivered"));
  });

  /** An assistant's message whose calls wait for the user's word, but one that has a result. */
  const asked = (approval: object | undefined): UIMessage =>
    ({
      id: "asked",
      role: "assistant",
      parts: [
        { type: "step-start" },
        { type: "tool-look", toolCallId: "l", state: "output-available", input: {}, output: "seen" },
        {
          type: "tool-find_order",
          toolCallId: "p",
          state: approval ? "approval-responded" : "approval-requested",
          input: { number: 7 },
          approval: { id: "ap", ...approval },
        },
      ],
    }) as Any;

  for (const [name, approval, result] of [
    ["approved", { approved: true }, "Long Street"],
    ["denied", { approved: false, reason: "too dear" }, "too dear"],
  ] as const) {
    test(`sends the result of a call that was ${name}, once`, async () => {
      const { client, store, contextId } = await chat([QUESTION, asked(undefined)], { budget: 1000 });
      const { data } = await client.window(contextId, { format: "ai-sdk" });
      assert.ok(JSON.stringify(data).includes(NONE));
      const messages = [QUESTION, asked(approval)];
      const saved = await store.save(`chat ${chats}`, messages);
      const model = caller(1);

      await generateText({
        model,
        tools: { ...tools, look: tool({ inputSchema }) },
        messages: await convertToModelMessages(messages),
        toolApproval: { find_order: "user-approval" },
        stopWhen: isStepCount(2),
        prepareStep: kataPrepareStep({ client, contextId: saved }),
      });

      for (const prompt of model.prompts) {
        const results = prompt.flatMap(({ role, content }) => (role === "tool" ? content : []));
        assert.deepEqual(
          results
            .map(({ toolCallId }) => toolCallId)
            .slice(0, 2)
            .sort(),
          ["l", "p"],
        );
        assert.ok(JSON.stringify(results).includes(result) && !JSON.stringify(prompt).includes(NONE));
      }
    });
  }

  suite("in the AI SDK 6", () => {
    test("sends the window within the budget, with its system behind the call's", async () => {
      const { client, contextId } = await chat([said("s", "Be brief.", "system"), ...LONG, QUESTION], {
        budget: 300,
        keepPreamble: true,
        keepRequest: true,
      });
      const model = caller(8);
      const tools6 = {
        find_order: ai6.tool({
          inputSchema: ai6.jsonSchema<{ number: number }>({ type: "object" }),
          execute: async () => "shipped ".repeat(20),
        }),
      };

      await ai6.generateText({
        model: as6(model),
        tools: tools6,
        system: "Shop.",
        messages: given,
        stopWhen: ai6.stepCountIs(20),
        prepareStep: kataPrepareStep({ client, contextId, system: "Shop." }) as Any,
      });

      assert.equal(model.prompts.length, 9);
      for (const prompt of model.prompts) {
        assertWhole(prompt);
        assert.deepEqual(prompt[0], { role: "system", content: "Shop.\n\nBe brief." });
        assert.ok((await tokensOf(client, prompt)) <= 300);
        assert.ok(JSON.stringify(prompt).includes("Where are my orders?"));
      }
      assert.ok(JSON.stringify(model.prompts[8]).includes("c8-0"));
    });

    test("sends the result of a call that was approved, once, and results that are stored once", async () => {
      const { client, store } = await chat([]);
      const model = caller(0);
      const tools6 = {
        find_order: ai6.tool({
          inputSchema: ai6.jsonSchema({ type: "object" }),
          needsApproval: true,
          execute: async () => "found",
        }),
        look: ai6.tool({ inputSchema: ai6.jsonSchema({ type: "object" }) }),
      };
      for (const messages of [
        [QUESTION, asked({ approved: true })],
        [QUESTION, called("a")].map((message) => ({ ...message, parts: message.parts.slice(0, 3) })),
      ]) {
        const contextId = await store.save(`chat ${++chats}`, messages);
        const models = await ai6.convertToModelMessages(messages as Any);
        await ai6.generateText({
          model: as6(model),
          tools: tools6 as Any,
          messages: models,
          prepareStep: kataPrepareStep({ client, contextId }) as Any,
        });
      }
      const results = model.prompts.map((prompt) =>
        prompt.flatMap(({ role, content }) => (role === "tool" ? content : [])).map(({ toolCallId }) => toolCallId),
      );
      assert.deepEqual(results, [["l", "p"], ["call_a"]]);
      assert.ok(JSON.stringify(model.prompts[0]).includes("found") && !JSON.stringify(model.prompts).includes(NONE));
    });
  });
});
