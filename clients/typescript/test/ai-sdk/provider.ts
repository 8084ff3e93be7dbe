/** Loaded before a snippet: whatever model a snippet names calls find_order once, if it has it, and answers. */

import { Model } from "./fakes.js";

const model = new Model((prompt) => {
  const isAsked = prompt.at(-1).role === "user" && JSON.stringify(prompt.at(-1)).includes("Find");
  return isAsked
    ? [{ type: "tool-call", toolCallId: "call_1", toolName: "find_order", input: '{"number": 1042}' }]
    : [{ type: "text", text: "It has been shipped." }];
});

Object.assign(globalThis, { AI_SDK_DEFAULT_PROVIDER: { specificationVersion: "v4", languageModel: () => model } });
