// Why a message is in a window or out of it: words for what the service has decided. Whatever would take its rules to
// tell, such as the budget that a message needs, is asked of it (windows.js) and never worked out here.

import { CALL_REACH } from "./thread.js";
import { count, many } from "./words.js";

/** The tokens from the unit of a version to the newest message of a window, as they are stored. */
export const reach = (answer, thread, version) => thread.tokens(thread.unit(version), answer.version);

/** Whether a tool message answers no call; false where its call may be among what is not loaded. */
export function orphan(thread, version) {
  if (thread.at(version)?.role !== "tool" || thread.call(version)) return false;
  return thread.first === 1 || version - thread.first >= CALL_REACH;
}

/**
 * Where a message stands: `{place, word, why}`. `place` is in, cleared, out, covered or later; `word` fits a row; `why`
 * is a sentence or two.
 */
export function standing(answer, shown, thread, version) {
  const covered = answer.compaction?.throughVersion ?? 0;
  if (version > answer.version) return { place: "later", word: "later", why: `It is newer than version ${answer.version}, of which this window is.` };
  if (shown.versions.has(version)) return inside(answer, shown, version);
  if (version <= covered) {
    const why = `The summary of compaction ${answer.compaction.number} stands in for everything up to message ${covered}.`;
    return { place: "covered", word: "in the summary", why };
  }
  if (orphan(thread, version)) {
    return { place: "out", word: "no call", why: "It answers no call of the 1,000 messages before it. A provider refuses an answer without its call." };
  }
  const first = answer.firstVersion;
  if (first === null) {
    return { place: "out", word: "the run is empty", why: "The run is empty: none of the newest 1,000 messages can open it, as all of them answer calls." };
  }
  if (version > first) {
    const call = thread.call(version);
    const what = call ? `the call of message ${call}, which is not in the window` : "a call that is not loaded, or none";
    return { place: "out", word: call ? `its call ${call} is out` : "its call is out", why: `It answers ${what}. A provider refuses an answer without its call.` };
  }
  return outside(answer, shown, thread, version);
}

function inside(answer, shown, version) {
  if (version <= answer.preambleCount) return { place: "in", word: "in, preamble", why: "The policy keeps the preamble in every window." };
  if (version === answer.requestVersion) {
    return { place: "in", word: "in, request", why: "It is the newest user message, which the policy keeps in every window." };
  }
  if (shown.cleared.has(version)) {
    const why = `The policy clears results of tools that lie more than about ${many(answer.policy.clearToolResults.keepTokens, "token")} back: it keeps its place, and its content is sent as [cleared].`;
    return { place: "cleared", word: "in, cleared", why };
  }
  return { place: "in", word: "in", why: `The run, the newest messages, opens with message ${answer.firstVersion} and has it.` };
}

/** Of a message before the run: how far back it lies, which is true whatever the policy, and what that means. */
function outside(answer, shown, thread, version) {
  const { budget, policy } = answer;
  const tokens = reach(answer, thread, version);
  const opening = thread.unit(version);
  const from = opening === version ? "From it" : `From its unit, which begins with message ${opening},`;
  const request = answer.requestVersion !== null && answer.requestVersion < opening ? shown.request : 0;
  const head = { "the preamble": shown.preamble, "the summary": shown.summary?.tokenCount, "the request": request };
  const named = Object.keys(head).filter((part) => head[part]);
  const left = budget - named.reduce((sum, part) => sum + head[part], 0);
  const room = named.length ? `${named.join(" and ")} ${named.length === 1 ? "leaves" : "leave"} ${count(Math.max(left, 0))} of the ${count(budget)}` : `the budget is ${count(budget)}`;
  const why = `The run, the newest messages, opens behind it with message ${answer.firstVersion}. ${from} to the newest message there are ${many(tokens, "token")}, and ${room}.`;
  if (tokens > left) return { place: "out", word: `${count(tokens)} tokens back`, why };
  const because = [];
  if (answer.tokensToEdge === null) because.push("a window is as long as an answer may be");
  else if (policy.step) because.push(`a full window moves on ${many(policy.step, "token")} at once (step), so that the next ones begin alike and the provider's prompt cache hits`);
  if (policy.startOn === "user") because.push("the run begins with a user message (startOn=user)");
  return { place: "out", word: "before the run", why: because.length ? `${why} It would fit, but ${because.join(", or ")}.` : why };
}

/** What could keep a version in a window, as changes of the view: each to be asked of the service. */
export function remedies(answer, thread, version) {
  const { policy, budget } = answer;
  const keep = Math.max(Math.floor(budget / 4), 1);
  const turning = [
    !policy.keepPreamble && leads(thread, version) && { words: "keepPreamble", change: { keepPreamble: "true" } },
    !policy.keepRequest && { words: "keepRequest", change: { keepRequest: "true" } },
    policy.step && { words: "no step", change: { step: "0" } },
    policy.startOn === "user" && { words: "startOn=any", change: { startOn: "any" } },
    policy.step && policy.startOn === "user" && { words: "neither step nor startOn=user", change: { step: "0", startOn: "any" } },
    !policy.clearToolResults && { words: `clearToolResults=${keep}`, change: { clearToolResults: `${keep}` } },
  ];
  return turning.filter(Boolean);
}

/** Whether a message is of those that a history begins with and that are the system's. */
export function leads(thread, version) {
  if (thread.first !== 1 || version > 16) return false;
  for (let at = 1; at <= version; at++) if (thread.at(at)?.role !== "system") return false;
  return true;
}
