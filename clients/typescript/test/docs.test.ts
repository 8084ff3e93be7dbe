/** The blocks of the documents run as they stand. */

import { test } from "node:test";
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
