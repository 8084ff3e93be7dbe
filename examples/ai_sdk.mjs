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
    const read = await kata(`${context}/window?format=ai-sdk`);
    const [window, key] = [await read.json(), read.headers.get("etag")];
    const calls = pending(window);
    if (calls.length) {
      await append(context, [{ role: "tool", content: await Promise.all(calls.map((call) => result(call, run))) }], key);
      continue;
    }
    const said = await generateText({ model, tools, ...window.data });
    await append(context, said.response.messages, key);
    if (said.finishReason !== "tool-calls") return said.text;
  }
}

// The calls that nothing has answered; of an id that is used again the newest.
function pending({ data, pendingCalls }) {
  const parts = data.messages.flatMap(({ content }) => (typeof content === "string" ? [] : content));
  const made = new Map(parts.filter(({ type }) => type === "tool-call").map((part) => [part.toolCallId, part]));
  return pendingCalls.filter((id) => made.has(id)).map((id) => made.get(id));
}

// What a call returns, as the AI SDK takes it.
async function result({ toolCallId, toolName, input }, run) {
  return { type: "tool-result", toolCallId, toolName, output: { type: "text", value: await run(toolName, input) } };
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
