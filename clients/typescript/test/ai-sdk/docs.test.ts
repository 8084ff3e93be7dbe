/** The blocks of the document run as they stand, but for the model, which is a fake. */

import { test } from "node:test";
import { run } from "../snippets.js";
import { ROOT, running } from "../stack.js";

const stack = running();

test("docs/clients/ai-sdk.md runs as it stands", async () => {
  const provider = new URL("provider.js", import.meta.url).href;
  await run(new URL("docs/clients/ai-sdk.md", ROOT), {
    KATA_CONTEXT_URL: stack.url,
    NODE_OPTIONS: `--import=${provider}`,
  });
});
