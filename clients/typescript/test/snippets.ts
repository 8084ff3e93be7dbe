/** Runs the TypeScript blocks of a document, as a reader who puts them into one file, one after another. */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import ts from "typescript";

/** Checks and runs all blocks marked `ts`, and compares what each prints with a `text` block behind it. */
export async function run(document: URL, environment: Record<string, string>): Promise<void> {
  const blocks = [...(await readFile(document, "utf8")).matchAll(/^```(\w+)\n(.*?)^```$/gms)];
  const shown = blocks.filter(([, kind]) => kind === "ts" || kind === "text");
  assert.ok(shown.some(([, kind]) => kind === "ts"));
  const mark = "--- the next block";
  const marked = `console.log(${JSON.stringify(mark)});\n`;
  const source = shown.map(([, kind, text]) => (kind === "ts" ? text : marked)).join("");

  // Within the package, whose own name then means its exports.
  const folder = await mkdtemp(fileURLToPath(new URL("snippets-", import.meta.url)));
  try {
    await writeFile(`${folder}/snippets.ts`, source);
    const options: ts.CompilerOptions = {
      target: ts.ScriptTarget.ES2022,
      module: ts.ModuleKind.NodeNext,
      strict: true,
      skipLibCheck: true,
      types: ["node"],
    };
    const program = ts.createProgram([`${folder}/snippets.ts`], options);
    const { diagnostics } = program.emit();
    const found = [...ts.getPreEmitDiagnostics(program), ...diagnostics];
    assert.deepEqual(found.map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, "\n")), []);

    const env = { ...process.env, ...environment };
    const { stdout } = await promisify(execFile)(process.execPath, [`${folder}/snippets.js`], { env });
    const texts = shown.filter(([, kind]) => kind === "text").map(([, , text]) => text);
    assert.deepEqual(stdout.split(`${mark}\n`).slice(0, texts.length), texts);
  } finally {
    await rm(folder, { recursive: true });
  }
}
