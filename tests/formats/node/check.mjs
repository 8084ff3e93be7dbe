// Holds windows of format=ai-sdk against Vercel's AI SDK itself, in each version that package.json beside this pins.
//
// Reads lines of JSON from stdin, {"system"?, "messages"}, and answers each with one:
// {"v5": null | "why it is refused", "v6": …, "v7": …}. Its argument is the folder that has node_modules.
// Must never reach a network or a model: generateText ends where it would call one.
import { createRequire } from "node:module";
import path from "node:path";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const { resolve } = createRequire(path.join(path.resolve(process.argv[2]), "/"));
const load = (name) => import(pathToFileURL(resolve(name)));

const VERSIONS = {
  v5: { ...(await load("ai5")), Model: (await load("ai5/test")).MockLanguageModelV2 },
  v6: { ...(await load("ai6")), Model: (await load("ai6/test")).MockLanguageModelV3 },
  v7: { ...(await load("ai7")), Model: (await load("ai7/test")).MockLanguageModelV4 },
};

// A model that takes every URL as it is, so that none is downloaded.
const SUPPORTED_URLS = { "image/*": [/.*/], "*/*": [/.*/] };

// The members that tell the alternatives of a union apart.
const TAGS = ["role", "type"];

// What is wrong before any version is asked: `system` is text where it is there, and nothing else is beside it.
function wrongData(data) {
  const unknown = Object.keys(data).find((name) => !["system", "messages"].includes(name));
  if (unknown) return `${unknown} is unknown`;
  if (Object.hasOwn(data, "system") && typeof data.system !== "string") return "system is not text";
  return Array.isArray(data.messages) ? null : "messages is not a list";
}

// The first message that the schema refuses, or of which it keeps only a part: zod drops members it does not know.
function wrongMessage({ modelMessageSchema }, messages) {
  for (const [index, message] of messages.entries()) {
    const parsed = modelMessageSchema.safeParse(message);
    const found = parsed.success
      ? difference(message, parsed.data, `messages[${index}]`)
      : reason(parsed.error.issues, `messages[${index}]`);
    if (found) return found;
  }
  return null;
}

// Where two values of JSON differ first, or null.
function difference(given, parsed, at) {
  if (given === parsed) return null;
  const nested = (value) => typeof value === "object" && value !== null;
  if (!nested(given) || !nested(parsed) || Array.isArray(given) !== Array.isArray(parsed)) return `${at} is changed`;
  for (const name of Object.keys(given)) {
    const inner = at + step(given, name);
    if (!Object.hasOwn(parsed, name)) return `${inner} is dropped`;
    const found = difference(given[name], parsed[name], inner);
    if (found) return found;
  }
  const added = Object.keys(parsed).find((name) => !Object.hasOwn(given, name));
  return added === undefined ? null : `${at + step(given, added)} is added`;
}

const step = (value, name) => (Array.isArray(value) ? `[${name}]` : `.${name}`);

// The innermost reason of zod's: in a union, that of the alternative which came closest.
function reason([issue], at) {
  const here = at + issue.path.map((name) => (typeof name === "number" ? `[${name}]` : `.${String(name)}`)).join("");
  if (issue.code !== "invalid_union" || issue.errors.length === 0) return `${here}: ${issue.message}`;
  const tag = (issues) => issues.find((one) => one.path.length === 1 && TAGS.includes(one.path[0]))?.path[0];
  const meant = issue.errors.filter((issues) => !tag(issues));
  if (meant.length === 0) return `${here}.${tag(issue.errors[0])} is unknown`;
  return reason(meant.reduce((best, next) => (next[0].path.length > best[0].path.length ? next : best)), here);
}

// Why generateText does not get as far as the model, or the first warning on the way there.
async function wrongCall({ generateText, Model }, { system, messages }) {
  const warnings = [];
  // The logger of 7 tells a deprecation once; this one is told every time. 5 and 6 warn of system messages by console.
  globalThis.AI_SDK_LOG_WARNINGS = (told) => warnings.push(...told.warnings.map((one) => JSON.stringify(one)));
  console.warn = (...texts) => warnings.push(texts.join(" "));
  let prompt = null;
  // One for each call: it keeps what it was called with.
  const model = new Model({
    supportedUrls: SUPPORTED_URLS,
    doGenerate: async (options) => {
      prompt = options.prompt;
      throw new Error("STOP");
    },
  });
  try {
    await generateText({ model, system, messages, maxRetries: 0, experimental_download: noDownload });
  } catch (error) {
    if (prompt === null) return `${error.name}: ${error.message}`;
  }
  return warnings[0] ?? null;
}

async function noDownload(files) {
  const first = files.find((file) => !file.isUrlSupportedByModel);
  if (first) throw new Error(`${first.url} would be downloaded`);
  return files.map(() => null);
}

async function refusal(sdk, data) {
  try {
    const wrong = wrongData(data) ?? wrongMessage(sdk, data.messages);
    // generateText takes no empty list, and a window may be one.
    return wrong ?? (data.messages.length ? await wrongCall(sdk, data) : null);
  } catch (error) {
    return `${error.name}: ${error.message}`; // nested too deeply, for example
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const answer = {};
  // One after the other, as the warnings are global; each with a copy of its own.
  for (const [name, sdk] of Object.entries(VERSIONS)) answer[name] = await refusal(sdk, JSON.parse(line));
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
