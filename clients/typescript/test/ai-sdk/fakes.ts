/** UI messages, and a model that answers as a test wants; and what a provider demands of what it is sent. */

import assert from "node:assert/strict";
import type { ModelMessage, UIMessage } from "ai";
import { modelMessageSchema } from "ai";
import { modelMessageSchema as modelMessageSchema6 } from "ai6";
import { MockLanguageModelV4 } from "ai/test";

// any: parts of all kinds, and the prompts of two versions
export type Any = any;

type Options = Parameters<MockLanguageModelV4["doStream"]>[0];
type Part = { type: "text"; text: string } | { type: "tool-call"; toolCallId: string; toolName: string; input: string };

export const said = (id: string, text: string, role: UIMessage["role"] = "user"): UIMessage => ({
  id,
  role,
  parts: [{ type: "text", text }],
});

/** An answer after a call of a tool, in two steps. */
export const called = (id: string, output: unknown = { status: "shipped" }, more: object = {}): UIMessage =>
  ({
    id,
    role: "assistant",
    parts: [
      { type: "step-start" },
      { type: "reasoning", text: "I look it up.", providerMetadata: { anthropic: { signature: "c2lnbmVk" } } },
      {
        type: "tool-find_order",
        toolCallId: `call_${id}`,
        state: "output-available",
        input: { number: 1042 },
        output,
        ...more,
      },
      { type: "step-start" },
      { type: "text", text: "It has been shipped.", state: "done" },
    ],
  }) as UIMessage;

/** What JSON keeps of a value, which is what comes back. */
export const json = <T>(value: T): T => JSON.parse(JSON.stringify(value));

/** All that a list or a stream has. */
export async function all<T>(list: AsyncIterable<T>): Promise<T[]> {
  const items: T[] = [];
  for await (const item of list) items.push(item);
  return items;
}

const USAGE = {
  inputTokens: { total: 1, noCache: 1, cacheRead: 0, cacheWrite: 0 },
  outputTokens: { total: 1, text: 1, reasoning: 0 },
};

/** A model that says what answer makes of each prompt, and keeps all prompts. */
export class Model extends MockLanguageModelV4 {
  readonly prompts: Any[][] = [];

  constructor(answer: (prompt: Any[]) => Part[] | Promise<Part[]>) {
    const parts = async ({ prompt }: Options) => {
      this.prompts.push(prompt);
      return answer(prompt);
    };
    const finish = (content: Part[]) => {
      const unified = content.some(({ type }) => type === "tool-call") ? ("tool-calls" as const) : ("stop" as const);
      return { finishReason: { unified, raw: undefined }, usage: USAGE };
    };
    super({
      doGenerate: async (options) => {
        const content = await parts(options);
        return { content, ...finish(content), warnings: [] };
      },
      doStream: async (options) => {
        const content = await parts(options);
        const chunks = content.flatMap((part, at): Any[] =>
          part.type === "text"
            ? [
                { type: "text-start", id: `${at}` },
                { type: "text-delta", id: `${at}`, delta: part.text },
                { type: "text-end", id: `${at}` },
              ]
            : [part],
        );
        const all = [{ type: "stream-start", warnings: [] }, ...chunks, { type: "finish", ...finish(content) }];
        const stream = new ReadableStream({
          start(controller) {
            for (const chunk of all) controller.enqueue(chunk);
            controller.close();
          },
        });
        return { stream };
      },
    });
  }
}

/** Fails unless each call is answered in the tool message behind it, once, and nothing else is. */
export function assertWhole(messages: readonly Any[]): void {
  for (const [place, { role, content }] of messages.entries()) {
    const ids = (parts: Any, type: string): string[] =>
      Array.isArray(parts)
        ? parts.filter((part) => part.type === type && !part.providerExecuted).map((part) => part.toolCallId)
        : [];
    if (role === "assistant") {
      const answered = messages[place + 1]?.role === "tool" ? ids(messages[place + 1].content, "tool-result") : [];
      assert.deepEqual(answered.sort(), ids(content, "tool-call").sort(), `of message ${place}`);
    }
    if (role === "tool") assert.equal(messages[place - 1]?.role, "assistant", `message ${place} answers nothing`);
  }
}

/** Fails unless both versions of the SDK take these as they are. */
export function assertTaken(messages: ModelMessage[]): void {
  for (const message of messages) {
    assert.notEqual(message.role, "system");
    assert.deepEqual(modelMessageSchema.parse(message), message);
    assert.deepEqual(modelMessageSchema6.parse(message), message);
  }
  assertWhole(messages);
}
