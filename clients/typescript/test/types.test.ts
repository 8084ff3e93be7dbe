/** The types are those of the service's OpenAPI document, fit for users, and each operation has a method. */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite, test } from "node:test";
import { fileURLToPath } from "node:url";
import { Client, type Context, type Message, type NativeMessage, type Window } from "kata-context";
import ts from "typescript";
import { ROOT } from "./stack.js";

const PACKAGE = new URL("clients/typescript/", ROOT);

// What the client calls otherwise than the document does.
const NAMES: Record<string, string> = {
  listContexts: "contexts",
  appendMessages: "append",
  listMessages: "messages",
  getWindow: "window",
  makeCompaction: "compact",
  listCompactions: "compactions",
  forkContext: "fork",
  listForks: "forks",
  getHealth: "health",
};

function read(file: string): string {
  return readFileSync(new URL(file, PACKAGE), "utf8");
}

test("the types are fresh", () => {
  const folder = mkdtempSync(join(tmpdir(), "kata-context-"));
  try {
    execFileSync(process.execPath, ["generate.js", join(folder, "schema.d.ts")], { cwd: PACKAGE });

    assert.equal(readFileSync(join(folder, "schema.d.ts"), "utf8"), read("src/schema.d.ts"));
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("each operation has a method", () => {
  const named = read("../../public/openapi.json").matchAll(/"operationId": "([^"]+)"/g);
  const operations = [...named].map(([, name]) => name!);
  const methods = Object.getOwnPropertyNames(Client.prototype).filter((name) => name !== "constructor");

  assert.deepEqual(methods.sort(), operations.map((name) => NAMES[name] ?? name).sort());
});

test("the version is the package's", () => {
  const { version } = JSON.parse(read("package.json"));

  assert.match(read("dist/client.js"), new RegExp(`VERSION = "${version}"`));
  assert.match(read("CHANGELOG.md"), new RegExp(`^## ${version}$`, "m"));
});

test("the package has what is built and no more, and needs nothing", () => {
  const pack = ["pack", "--dry-run", "--json", "--ignore-scripts"];
  const [packed] = JSON.parse(execFileSync("npm", pack, { cwd: PACKAGE, encoding: "utf8", stdio: "pipe" }));
  const files: string[] = packed.files.map(({ path }: { path: string }) => path);
  const { dependencies } = JSON.parse(read("package.json"));

  for (const file of ["LICENSE", "README.md", "dist/index.js", "dist/index.d.ts", "dist/schema.d.ts"]) {
    assert.ok(files.includes(file), file);
  }
  const fit = /^dist\/[\w-]+\.(js|d\.ts)$|^[A-Z]+(\.md)?$|^package\.json$/;
  assert.deepEqual(files.filter((file) => !fit.test(file)), []);
  assert.equal(dependencies, undefined);
});

test("the lock file has the digest of each package, and names no registry", () => {
  const { "": _, ...packages } = JSON.parse(read("package-lock.json")).packages;
  const locked: { integrity?: string; resolved?: string }[] = Object.values(packages);

  assert.ok(locked.length > 0);
  assert.deepEqual(locked.filter(({ integrity, resolved }) => !integrity || resolved), []);
});

suite("for users", () => {
  const source = `
    import { Client, VersionConflict, type Message } from "kata-context";
    const kata = new Client({ fetch: globalThis.fetch });
    export const first: Promise<Message[]> = kata.append("x", [{ role: "user", content: "Hi" }]);
    export const is = (error: unknown) => error instanceof VersionConflict && error.currentVersion;
  `;
  const { ES2022, ESNext } = ts.ScriptTarget;
  const environments: Record<string, ts.CompilerOptions> = {
    "Node 20": { target: ES2022, module: ts.ModuleKind.NodeNext, lib: ["lib.es2022.d.ts"], types: ["node"] },
    "a browser": {
      target: ESNext,
      module: ts.ModuleKind.ESNext,
      moduleResolution: ts.ModuleResolutionKind.Bundler,
      lib: ["lib.es2022.d.ts", "lib.dom.d.ts"],
      types: [],
    },
  };
  for (const [name, options] of Object.entries(environments)) {
    test(`the types hold in ${name}, checked with all of the compiler's rules`, () => {
      const strict = { strict: true, exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true, noEmit: true };
      const host = ts.createCompilerHost({ ...options, ...strict });
      const file = fileURLToPath(new URL("test/user.ts", PACKAGE)); // in memory only
      const { readFile, fileExists, getSourceFile } = host;
      host.fileExists = (path) => path === file || fileExists(path);
      host.readFile = (path) => (path === file ? source : readFile(path));
      host.getSourceFile = (path, version) =>
        path === file ? ts.createSourceFile(path, source, version) : getSourceFile.call(host, path, version);
      const program = ts.createProgram([file], { ...options, ...strict }, host);

      const own = program.getSourceFiles().filter(({ fileName }) => !/\/node_modules\//.test(fileName));
      assert.ok(own.some(({ fileName }) => fileName.endsWith("/dist/client.d.ts")));
      const found = own.flatMap((each) => ts.getPreEmitDiagnostics(program, each)); // others' take most of the time
      assert.deepEqual(found.map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, "\n")), []);
    });
  }
});

/** Never called: that it compiles is the test. */
export async function calls(kata: Client): Promise<unknown> {
  const kataWindow: Window = await kata.window("x", { budget: 1 });
  const version: number | null = kataWindow.data[0]!.version;
  const aiSdk = await kata.window("x", { format: "ai-sdk" });
  const system: string | undefined = aiSdk.data.system;
  const input: object[] = (await kata.window("x", { format: "openai-responses" })).data.input;
  const figures = await kata.window("x", { include: "figures" });
  // @ts-expect-error: figures come without data
  figures.data;
  // @ts-expect-error: the format has messages, and no contents
  aiSdk.data.contents;
  const gone: Context | null = await kata.deleteContext("x", { ifMatch: aiSdk.etag });
  for await (const message of kata.messages("x")) message satisfies Message;
  for await (const message of kata.messages("x", { include: "native" })) message satisfies NativeMessage;
  // @ts-expect-error: a robot is nobody
  await kata.append("x", [{ role: "robot", content: "Hi" }]);
  // @ts-expect-error: there is no such argument
  await kata.append("x", [], { expected: 1 });
  interface Theirs {
    role: "assistant";
    blocks: number[];
  }
  const theirs: Theirs[] = [];
  await kata.append("x", theirs, { format: "anthropic" });
  return [version, system, input, gone];
}
