// Holds the talk of tests/examples/talk.py with the loop of examples/ai_sdk.mjs, which must stand beside this with the
// package that it imports. Takes {context, endpoint, questions, …} on stdin, and writes what windows have said.
import assert from "node:assert";
import { randomUUID } from "node:crypto";
import { text } from "node:stream/consumers";
import { answer, append } from "./ai_sdk.mjs";

const talk = JSON.parse(await text(process.stdin));
const told = { repairs: [], mostDropped: 0, compactions: 0, warnings: [] };

globalThis.AI_SDK_LOG_WARNINGS = ({ warnings }) => told.warnings.push(...warnings);
console.warn = (...texts) => told.warnings.push(texts.join(" "));

// Keeps the members of the newest window, which the endpoint is to judge; sends some appends twice, as a client does
// whose first answer was lost.
let data = null;
let appends = 0;
const send = globalThis.fetch;
globalThis.fetch = async (url, options) => {
  let got = await send(url, options);
  if (url.endsWith("/messages") && ++appends % talk.sentTwice === 0) {
    await got.text();
    got = await send(url, options);
    assert.equal(got.headers.get("idempotent-replayed"), "true");
  }
  if (url.includes("/window")) ({ data } = await got.clone().json());
  return got;
};

// A model in the words of version 5, which later ones take too; they have others for what it used and why it ended.
const model = {
  specificationVersion: talk.specification,
  provider: "played",
  modelId: "played",
  supportedUrls: {},
  async doGenerate({ prompt }) {
    const got = await send(talk.endpoint, { method: "POST", body: JSON.stringify({ data, prompt }) });
    const said = await got.json();
    if (!got.ok) throw new Error(said.error.message);
    const reason = said.calls ? "tool-calls" : "stop";
    const old = talk.specification === "v2";
    const tokens = old ? 1 : { total: 1 };
    return {
      content: said.content,
      finishReason: old ? reason : { unified: reason, raw: reason },
      usage: { inputTokens: tokens, outputTokens: tokens, totalTokens: 2 },
      warnings: [],
    };
  },
};

async function window() {
  const got = await send(`${talk.context}/window?format=ai-sdk`);
  const now = await got.json();
  told.repairs.push(...now.repairs.map(({ code }) => code));
  told.mostDropped = Math.max(told.mostDropped, now.droppedCount);
  return now;
}

async function compact() {
  const { compactionDue: due } = await window();
  if (!due) return;
  const body = JSON.stringify({ throughVersion: due.throughVersion, summary: `${due.messages} messages on orders.` });
  const headers = { "Content-Type": "application/json" };
  assert.equal((await send(`${talk.context}/compactions`, { method: "POST", headers, body })).status, 201);
  told.compactions += 1;
}

class Crash extends Error {}

for (const [turn, question] of talk.questions.entries()) {
  let calls = 0;
  const run = (name, { number }) => {
    calls += 1;
    if ([talk.goesOn, talk.speaksAgain].includes(turn) && calls === 2) throw new Crash();
    return `Order ${number}: ${talk.result}`;
  };
  if (talk.compacted.includes(turn)) await compact();
  await append(talk.context, [{ role: "user", content: question }], randomUUID());
  try {
    await answer(talk.context, model, run);
  } catch (error) {
    if (!(error instanceof Crash)) throw error;
    const { pendingCalls, repairs } = await window();
    assert.equal(pendingCalls.length, 2);
    assert.deepEqual(repairs.slice(-2).map(({ code }) => code), ["call_answered", "call_answered"]);
    if (turn === talk.goesOn) await answer(talk.context, model, run);
  }
  if (turn % 5 === 4) assert.deepEqual((await window()).pendingCalls, []);
}

told.repairs = [...new Set(told.repairs)];
process.stdout.write(JSON.stringify(told));
