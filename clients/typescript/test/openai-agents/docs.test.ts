/** The document runs as it stands, with the SDK's own model, against an API that is as strict as OpenAI's. */

import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";

import { run } from "../snippets.js";
import { ROOT, running } from "../stack.js";

const stack = running();

// What each item may have.
const MEMBERS: Record<string, string[]> = {
  message: ["type", "id", "role", "content", "status"],
  function_call: ["type", "id", "call_id", "name", "arguments", "status"],
  function_call_output: ["type", "id", "call_id", "output", "status"],
};

// any: JSON of a request
function answer({ input }: any): object {
  for (const { type = "message", ...item } of input) {
    const wrong = Object.keys(item).filter((name) => !MEMBERS[type]?.includes(name));
    assert.deepEqual(wrong, [], `of a ${type}`);
  }
  const { type, output } = input.at(-1);
  const text = type === "function_call_output" ? `It says: ${output}` : `I was sent ${input.length} items.`;
  const content = [{ type: "output_text", text, annotations: [] }];
  const said = { type: "message", id: `msg_${input.length}`, role: "assistant", status: "completed", content };
  const call = {
    type: "function_call",
    id: "fc_1",
    call_id: "call_1",
    name: "find_order",
    arguments: '{"number":1042}',
    status: "completed",
  };
  const usage = {
    input_tokens: 1,
    output_tokens: 1,
    total_tokens: 2,
    input_tokens_details: {},
    output_tokens_details: {},
  };
  return { id: "resp_1", object: "response", status: "completed", output: [input.length === 1 ? call : said], usage };
}

test("docs/clients/openai-agents-js.md runs as it stands", async () => {
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const part of request) body += part;
    const [status, content] = await Promise.resolve(body)
      .then(JSON.parse)
      .then(answer)
      .then(
        (it) => [200, it] as const,
        (error) => [400, { error: { message: `${error}` } }] as const,
      );
    response.writeHead(request.url === "/v1/responses" ? status : 404, { "Content-Type": "application/json" });
    response.end(JSON.stringify(content));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    const api = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
    const keys = { OPENAI_API_KEY: "none", OPENAI_AGENTS_DISABLE_TRACING: "1" };
    await run(new URL("docs/clients/openai-agents-js.md", ROOT), {
      KATA_CONTEXT_URL: stack.url,
      OPENAI_BASE_URL: api,
      ...keys,
    });
  } finally {
    server.close();
    server.closeAllConnections();
  }
});
