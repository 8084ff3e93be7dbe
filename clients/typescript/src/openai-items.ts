/** Items of OpenAI's Agents SDK for JavaScript as items of OpenAI's API, which are stored, and back. Pure. */

import { dump } from "./requests.js";
import type { NativeMessage } from "./schema.js";

// any: JSON of two libraries, which have dozens of types for it
export type Item = Record<string, any>;

// Where an item has what the two ways would not make again of it: what it was.
const ORIGINAL = "openai-agents-js";

// An item that the service does not take, as JSON text.
export const OPAQUE = "opaque";

// Results that the API calls otherwise, and what has a `callId` there, or a `caller`: their members are in snake case.
const RESULTS: Item = { function_call_result: "function_call_output", computer_call_result: "computer_call_output" };
const SNAKE = /^((function|computer|shell|apply_patch)_call|program)(_output)?$/;

// Calls that the provider answers itself: their items have the result. MCP's have no status of the SDK's.
const HOSTED = /^(web_search_call|file_search_call|code_interpreter_call|image_generation_call)$/;
const MCP = /^mcp_(list_tools|approval_request|call)$/;

/** A value as JSON: without members that are undefined. Throws TypeError for what JSON has not, such as bytes. */
export function json<T>(value: T): T {
  return JSON.parse(dump(value));
}

/** The JSON text of a value; equal ones have the same. */
export function canonical(value: unknown): string {
  return JSON.stringify(value, (_, it) =>
    isObject(it)
      ? Object.fromEntries(
          Object.keys(it)
            .sort()
            .map((name) => [name, it[name]]),
        )
      : it,
  );
}

/** An item as it is stored; names has the functions of the calls before it, and gets its own. Throws TypeError. */
export function toStored(item: unknown, names: Map<string, string>): Item {
  if (!isObject(item)) throw new TypeError("an item is an object");
  const stored = toApi(item);
  if (canonical(fromApi(stored, names)) === canonical(item) && !(ORIGINAL in stored)) return stored;
  const whole = { ...stored, [ORIGINAL]: item };
  return stored["type"] === OPAQUE ? toOpaque(whole) : whole;
}

/** Stored items as they were given, and those of others as the SDK has them; names as in toStored. */
export function fromStored(stored: Item[], names = new Map<string, string>()): Item[] {
  return stored.map((item) => {
    const { [ORIGINAL]: original, ...own } = opened(item);
    const made = fromApi(own, names);
    if (!isObject(original)) return made;
    // A window may have renamed the call.
    return own["call_id"] && original["callId"] ? { ...original, callId: own["call_id"] } : original;
  });
}

/** The items of a message: those that were given, or what the format makes of it. */
export function natives(message: NativeMessage): Item[] {
  if (message.nativeFormat === "openai-responses") return message.native as Item[];
  const { role, content, toolCalls, toolCallId } = message;
  const said = Array.isArray(content) ? content.map((part) => input(part, role)) : content;
  if (role === "tool") return [{ type: "function_call_output", call_id: toolCallId, output: said }];
  const calls = (toolCalls ?? []).map((call) => ({ type: "function_call", call_id: call.id, ...call.function }));
  return [...(said === null ? [] : [{ role, content: said }]), ...calls];
}

/** How an item is stored that the service does not take. */
export function toOpaque(stored: Item): Item {
  return { type: OPAQUE, json: JSON.stringify(stored) };
}

function opened(stored: Item): Item {
  if (stored["type"] !== OPAQUE) return stored;
  try {
    const item: unknown = JSON.parse(stored["json"]);
    return isObject(item) ? item : stored;
  } catch {
    return stored; // none of ours
  }
}

/** The ids of the calls that come before items, as they are stored or given: those that results of them answer. */
export function callsBefore(items: Item[], ids = new Set<string>()): Set<string> {
  for (const item of items.slice().reverse()) {
    const { type, call_id: id, callId = id } = item ?? {};
    if (type === "function_call") ids.delete(callId);
    if (/^function_call_(output|result)$/.test(type)) ids.add(callId);
  }
  return ids;
}

function toApi({ type, providerData, ...own }: Item): Item {
  const more = isObject(providerData) ? providerData : {};
  if (type === undefined || type === "message") {
    return { ...more, ...(type && { type }), ...own, content: inEach(own.content, toPart) };
  }
  if (type === "reasoning") {
    const { content, rawContent, ...rest } = own;
    const summary = inEach(content, (part) => ({ ...toPart(part), type: "summary_text" }));
    return { ...more, ...rest, type, ...(rawContent && { content: rawContent }), summary };
  }
  if (type === "hosted_tool_call") {
    const { name, output, status, caller, ...rest } = own;
    const kind: string = more["type"] ?? name;
    return {
      ...{ ...more, ...rest, ...(caller && { caller: renamed(caller, snake) }), type: kind },
      ...(status !== undefined && !MCP.test(kind) && { status }),
      ...(output !== undefined && { [MCP.test(kind) ? "output" : "result"]: output }),
    };
  }
  if (type === "unknown") return { ...own, ...more, type: more["type"] ?? type };
  const kind: string = RESULTS[type] ?? type;
  if (!SNAKE.test(kind)) return { ...more, ...own, type };
  if (kind === "function_call") return { ...more, ...renamed(own, snake), type };
  const { name, namespace, output, ...rest } = own;
  const said = { ...more, ...renamed(rest, snake), type: kind };
  if (output === undefined) return said;
  if (kind === "function_call_output")
    return { ...said, output: isObject(output) ? output["text"] : inEach(output, toPart) };
  if (kind === "computer_call_output") return { ...said, output: { type: output?.type, image_url: output?.data } };
  return { ...said, [kind === "program_output" ? "result" : "output"]: renamed(output, snake) };
}

function fromApi(stored: Item, names: Map<string, string>): Item {
  const { type, id, ...own } = stored;
  const known = id === undefined ? {} : { id };
  if (type === undefined || type === "message") return message(stored);
  if (type === "reasoning") {
    const { summary, ...providerData } = stored;
    const content = inEach(summary, ({ text, ...more }) => ({ type: "input_text", text, providerData: more }));
    return { type, ...known, content, providerData };
  }
  if (HOSTED.test(type)) {
    const { status, caller, result, ...providerData } = stored;
    const output = result == null ? {} : { output: result };
    if (result === null) providerData["result"] = result;
    return {
      type: "hosted_tool_call",
      ...known,
      name: type,
      ...(status && { status }),
      ...output,
      ...called(caller),
      providerData,
    };
  }
  if (MCP.test(type)) {
    const { output, caller, ...providerData } = stored;
    const said = type === "mcp_call" && output != null ? { output } : {};
    return {
      type: "hosted_tool_call",
      ...known,
      name: type,
      status: "completed",
      ...said,
      ...called(caller),
      providerData,
    };
  }
  if (type === "compaction") {
    const { encrypted_content, created_by, ...providerData } = own;
    return {
      type,
      ...known,
      encrypted_content,
      ...(created_by && { created_by }),
      providerData: { ...providerData, ...known, type },
    };
  }
  if (type === "tool_search_call" || type === "tool_search_output") {
    const { status, arguments: args, tools, ...providerData } = own;
    return { type, ...known, status, ...(type === "tool_search_call" ? { arguments: args } : { tools }), providerData };
  }
  return SNAKE.test(type) ? fromCall(stored, names) : { type: "unknown", ...known, providerData: stored };
}

function message({ type, id, role, content, status, phase, ...more }: Item): Item {
  const known = { ...(type && { type }), ...(id !== undefined && { id }) };
  if (role === "assistant") {
    const said = typeof content === "string" ? [{ type: "output_text", text: content }] : inEach(content, fromPart);
    const when = phase == null ? {} : { phase };
    return {
      type: "message",
      ...known,
      role,
      content: said,
      status: status ?? "completed",
      ...when,
      providerData: { ...more, ...when },
    };
  }
  const spoken = role === "user" ? "user" : "system"; // the SDK knows no developer
  const text = spoken === "system" && Array.isArray(content) ? content.map((part) => part?.text).join("\n") : content;
  return { ...known, role: spoken, content: inEach(text, fromPart), ...(status && { status }), ...data(more) };
}

function fromCall(stored: Item, names: Map<string, string>): Item {
  const { type, id, call_id: callId, status, caller, ...own } = stored;
  const known = { ...(id !== undefined && { id }), callId };
  const state = status === undefined ? {} : { status };
  const given = { type, ...(id !== undefined && { id }) };
  switch (type) {
    case "function_call": {
      const { name, namespace, arguments: args, ...more } = own;
      names.set(callId, name);
      const where = namespace === undefined ? {} : { namespace };
      return {
        type,
        ...known,
        name,
        ...where,
        ...state,
        arguments: args,
        ...called(caller),
        providerData: { ...more, ...given },
      };
    }
    case "function_call_output": {
      const { output, name = names.get(callId) ?? callId, ...more } = own;
      const said = typeof output === "string" ? { type: "text", text: output } : inEach(output, fromPart);
      const result = { type: "function_call_result", ...known, name, status: status ?? "completed", output: said };
      return { ...result, ...called(caller), ...data(more) };
    }
    case "computer_call": {
      const { action, actions, ...more } = own;
      const several = actions?.length ? { actions } : {};
      return {
        type,
        ...known,
        ...state,
        action: action ?? actions?.[0],
        ...several,
        providerData: { ...more, ...given },
      };
    }
    case "computer_call_output": {
      const { output, ...more } = own;
      const shot = { type: output?.type, data: output?.image_url };
      return { type: "computer_call_result", ...known, output: shot, ...data({ ...state, ...more }) };
    }
    case "program":
    case "program_output": {
      const { code, fingerprint, result, ...more } = own;
      const said = type === "program" ? { code, fingerprint } : { output: result };
      return { type, ...known, ...said, ...state, providerData: more };
    }
    default: {
      const { action, operation, output, max_output_length, ...more } = own;
      const said = renamed(json({ action, operation, output, max_output_length }), camel);
      const rest = type.endsWith("_output") ? data(more) : { providerData: { ...more, ...given } };
      return { type, ...known, ...state, ...said, ...called(caller), ...rest };
    }
  }
}

/** A part of a content as the API has it. */
function toPart({ providerData, image, file, promptCacheBreakpoint, ...own }: Item): Item {
  const by = (value: unknown, name: string) => (isObject(value) ? { file_id: value["id"] } : { [name]: value });
  return {
    ...(isObject(providerData) && providerData),
    ...own,
    ...(own["type"] === "input_image"
      ? image !== undefined && by(image, "image_url")
      : image !== undefined && { image }),
    ...(file !== undefined && by(file, /^https?:/.test(file) ? "file_url" : "file_data")),
    ...(promptCacheBreakpoint && { prompt_cache_breakpoint: promptCacheBreakpoint }),
  };
}

/** A part of a content as the SDK has it. */
function fromPart(part: Item): Item {
  const { type, text, refusal, detail, filename, prompt_cache_breakpoint: mark, ...links } = part;
  if (!/^(input_text|output_text|refusal|input_image|input_file)$/.test(type)) return part;
  const { image_url, file_id, file_url, file_data, ...more } = links;
  const link = file_id ? { id: file_id } : (image_url ?? file_url ?? file_data);
  return {
    ...json({ type, text, refusal, detail, filename, promptCacheBreakpoint: mark ?? undefined }),
    ...(link && { [type === "input_image" ? "image" : "file"]: link }),
    ...data(more),
  };
}

/** A part of our own as the API has it. */
function input(part: Item, role: string): Item {
  const { image_url: image, file } = part;
  if (part["type"] === "image_url")
    return { type: "input_image", image_url: image?.url, ...(image?.detail && { detail: image.detail }) };
  if (part["type"] === "file") return { type: "input_file", ...file };
  return { type: role === "assistant" ? "output_text" : "input_text", text: part["text"] ?? part["refusal"] ?? "" };
}

/** Each object of a list; anything else as it is. */
function inEach(value: unknown, change: (part: Item) => Item): any {
  return Array.isArray(value) ? value.map((part) => (isObject(part) ? change(part) : part)) : value;
}

function data(more: Item): Item {
  return Object.keys(more).length ? { providerData: more } : {};
}

function called(caller: unknown): Item {
  return caller ? { caller: renamed(caller, camel) } : {};
}

/** A value whose members are called otherwise. */
function renamed(value: any, name: (name: string) => string): any {
  if (Array.isArray(value)) return value.map((each) => renamed(each, name));
  if (!isObject(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [name(key), renamed(each, name)]));
}

const snake = (name: string) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
const camel = (name: string) => name.replace(/_([a-z])/g, (_, letter) => letter.toUpperCase());

function isObject(value: unknown): value is Item {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
