/** The blocks of the documents run as they stand. */

import { rm, writeFile } from "node:fs/promises";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { Client } from "kata-context";
import { run } from "./snippets.js";
import { ROOT, running } from "./stack.js";

const stack = running();

const documents = [
  "docs/clients/typescript.md",
  "clients/typescript/README.md",
  "scripts/openapi/texts/snippets.md",
];
for (const document of documents) {
  test(`${document} runs as it stands`, () => run(new URL(document, ROOT), { KATA_CONTEXT_URL: stack.url }));
}

test("the snippet of the playground runs as it stands", async () => {
  const { id } = await new Client({ url: stack.url }).createContext();
  const { snippets } = await import(new URL("public/playground/snippets.js", ROOT).href);
  const query = { budget: "0300", keepRequest: "true", clearToolResults: "off", step: "20", at: "0" };
  const code: string = snippets(stack.url, id, query, true).TypeScript;
  const print = "console.log(window.budget, window.policy.keepRequest, window.policy.step);";
  const document = pathToFileURL(`snippet-${process.pid}.md`);
  await writeFile(document, ["```ts", code, print, "```", "```text", "300 true 20", "```", ""].join("\n"));
  try {
    await run(document, {});
  } finally {
    await rm(document);
  }
});
