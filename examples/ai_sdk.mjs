// An agent on Vercel's AI SDK, with any model of any provider, whose history Kata Context keeps: see README.md.
import { randomUUID } from "node:crypto";
import { generateText, jsonSchema, tool } from "ai";

const number = { type: "object", properties: { number: { type: "integer" } }, required: ["number"] };
const tools = {
  find_order: tool({ description: "The state of an order, by its number.", inputSchema: jsonSchema(number) }),
};

// Goes on until the model calls no tool, also where an earlier loop has ended between a call and its result.
export async function answer(context, model, run) {
  for (;;) {
    const now = await kata(`${context}/window?format=ai-sdk`);
    const { data, pendingCalls } = await now.json();
    const parts = data.messages.flatMap(({ content }) => (typeof content === "string" ? [] : content));
    const made = new Map(parts.filter(({ type }) => type === "tool-call").map((part) => [part.toolCallId, part]));
    const calls = pendingCalls.filter((id) => made.has(id)).map((id) => made.get(id));
    if (calls.length) {
      const results = [];
      for (const { toolCallId, toolName, input } of calls) {
        const output = { type: "text", value: await run(toolName, input) };
        results.push({ type: "tool-result", toolCallId, toolName, output });
      }
      await append(context, [{ role: "tool", content: results }], now.headers.get("etag"));
      continue;
    }
    const said = await generateText({ model, tools, ...data });
    await append(context, said.response.messages, now.headers.get("etag"));
    if (said.finishReason !== "tool-calls") return said.text;
  }
}

// May be sent again, with the same key: it is stored once, and so is one of two that go on from the same window.
export async function append(context, messages, key) {
  const headers = { "Content-Type": "application/json", "Idempotency-Key": key };
  await kata(`${context}/messages`, { method: "POST", headers, body: JSON.stringify({ format: "ai-sdk", messages }) });
}

async function kata(url, { headers, ...rest } = {}) {
  const authorization = `Bearer ${process.env.KATA_KEY || "none"}`;
  const got = await fetch(url, { headers: { authorization, ...headers }, ...rest });
  if (!got.ok) throw new Error(`${got.status} ${await got.text()}`);
  return got;
}

const findOrder = (name, { number }) => JSON.stringify({ tool: name, order: number, status: "shipped" });

if (import.meta.filename === process.argv[1]) {
  const context = process.env.CONTEXT;
  await append(context, [{ role: "user", content: process.argv[2] }], randomUUID());
  console.log(await answer(context, process.env.MODEL, findOrder));
}
