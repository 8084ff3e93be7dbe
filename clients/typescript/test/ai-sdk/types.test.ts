/** What users write compiles against the types of the AI SDK itself, in each version. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { ROOT } from "../stack.js";

const PACKAGE = fileURLToPath(new URL("clients/typescript/", ROOT));

const SOURCE = `
  import { convertToModelMessages, generateText, streamText, ToolLoopAgent } from "ai";
  import type { LanguageModel, Tool, UIMessage } from "ai";
  import { Client } from "kata-context";
  import { kataPrepareStep, kataStore } from "kata-context/ai-sdk";

  type Mine = UIMessage<{ at: number }, { view: { zoom: number } }>;
  declare const model: LanguageModel;
  declare const tools: { find: Tool<{ number: number }, string> };
  const client = new Client();
  export const plain = kataStore(client, { convertToModelMessages });
  export const store = kataStore<Mine>(client, {
    convertToModelMessages: (messages) => convertToModelMessages(messages, { tools }),
    policy: { budget: 8000 },
  });
  export async function answer(chat: string): Promise<Mine[]> {
    const messages = await store.load(chat);
    const prepareStep = kataPrepareStep({ client, contextId: await store.save(chat, messages), budget: 8000 });
    const prompt = await convertToModelMessages(messages);
    await generateText({ model, tools, messages: prompt, prepareStep });
    await generateText({ model, messages: prompt, prepareStep });
    streamText({ model, tools, messages: prompt, prepareStep });
    await new ToolLoopAgent({ model, tools, prepareStep }).generate({ messages: prompt });
    await new ToolLoopAgent({ model, prepareStep }).stream({ messages: prompt });
    return messages;
  }
  // @ts-expect-error: there is nothing that could convert
  kataStore(client, {});
  // @ts-expect-error: of which chat
  kataPrepareStep({ client });
  // @ts-expect-error: the format is the SDK's
  kataPrepareStep({ client, contextId: "x", format: "gemini" });
`;

for (const version of ["ai", "ai6"]) {
  for (const exactOptionalPropertyTypes of [false, true]) {
    test(`the types fit those of ${version}, exact optional properties being ${exactOptionalPropertyTypes}`, () => {
      const options: ts.CompilerOptions = {
        target: ts.ScriptTarget.ES2022,
        module: ts.ModuleKind.NodeNext,
        lib: ["lib.es2022.d.ts", "lib.dom.d.ts"],
        types: ["node"],
        strict: true,
        skipLibCheck: true, // of ai's own
        exactOptionalPropertyTypes,
        noEmit: true,
        baseUrl: PACKAGE,
        paths: { ai: [`node_modules/${version}/dist/index.d.ts`] },
      };
      const host = ts.createCompilerHost(options);
      const file = `${PACKAGE}test/ai-sdk/user.ts`; // in memory only
      const { readFile, fileExists, getSourceFile } = host;
      host.fileExists = (path) => path === file || fileExists(path);
      host.readFile = (path) => (path === file ? SOURCE : readFile(path));
      host.getSourceFile = (path, target) =>
        path === file ? ts.createSourceFile(path, SOURCE, target) : getSourceFile.call(host, path, target);
      const program = ts.createProgram([file], options, host);

      const found = ts.getPreEmitDiagnostics(program);
      assert.deepEqual(
        found.map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, "\n")),
        [],
      );
      const read = program.getSourceFiles().map(({ fileName }) => fileName);
      assert.equal(
        read.some((path) => path.includes("/node_modules/ai6/")),
        version === "ai6",
      );
      assert.equal(
        read.some((path) => path.includes("/node_modules/ai/")),
        version === "ai",
      );
    });
  }
}
