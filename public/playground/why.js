// Why a message is in a window or out of it: words for what the service has decided, from the figures of its answer.

import { count, many } from "./words.js";

// Tokens that the service counts for a cleared result.
const CLEARED = 4;

/** The budget that the window would need to open with the unit of a version before its run, in tokens. */
export function needed(answer, shown, thread, version) {
  const first = answer.firstVersion ?? thread.last + 1;
  const opening = thread.unit(version);
  let tokens = thread.tokens(opening, first - 1);
  if (answer.policy.clearToolResults) {
    for (let at = opening; at < first; at++) {
      const message = thread.at(at);
      if (message?.role === "tool") tokens -= Math.max(message.tokenCount - CLEARED, 0);
    }
  }
  // What stands in the head already is not counted twice.
  const request = answer.requestVersion;
  if (request !== null && request >= opening) tokens -= thread.at(request)?.tokenCount ?? 0;
  return answer.usedTokens + shown.leftOut + tokens;
}

/**
 * Where a message stands: `{place, word, why}`. `place` is in, cleared, out, covered or later; `word` fits a row; `why`
 * is a sentence. `latest` is the version that the window is of.
 */
export function standing(answer, shown, thread, version, latest) {
  const covered = answer.compaction?.throughVersion ?? 0;
  const first = answer.firstVersion ?? latest + 1;
  if (version > latest) return { place: "later", word: "later", why: `It is newer than version ${latest}, of which this window is.` };
  if (shown.versions.has(version)) return inside(answer, shown, version);
  if (version <= covered) {
    const why = `The summary of compaction ${answer.compaction.number} stands in for everything up to version ${covered}.`;
    return { place: "covered", word: "in the summary", why };
  }
  if (version >= first) {
    const call = thread.call(version);
    const why = call
      ? `It answers the call of message ${call}, which is not in the window. A provider refuses an answer without its call.`
      : "It answers no call of the 1,000 messages before it. A provider refuses an answer without its call.";
    return { place: "out", word: call ? `its call ${call} is out` : "no call", why };
  }
  return outside(answer, shown, thread, version, first);
}

function inside(answer, shown, version) {
  if (version <= answer.preambleCount) return { place: "in", word: "in, preamble", why: "The policy keeps the preamble in every window." };
  if (version === answer.requestVersion) {
    return { place: "in", word: "in, request", why: "It is the newest user message, which the policy keeps in every window." };
  }
  if (shown.cleared.has(version)) {
    const why = `The policy clears tool results that lie more than about ${many(answer.policy.clearToolResults.keepTokens, "token")} back: it keeps its place, and its content is sent as [cleared].`;
    return { place: "cleared", word: "in, cleared", why };
  }
  return { place: "in", word: "in", why: `The run, the newest messages, opens with message ${answer.firstVersion} and has it.` };
}

function outside(answer, shown, thread, version, first) {
  const tokens = needed(answer, shown, thread, version);
  const { budget, policy } = answer;
  if (tokens > budget) {
    const opening = thread.unit(version);
    const from = opening === version ? "it" : `its unit, which begins with message ${opening},`;
    const why = `The budget. With ${from} and all that follows the window would need ${count(tokens)} tokens, and it may have ${count(budget)}: ${many(tokens - budget, "token")} too many.`;
    return { place: "out", word: `${count(tokens)} of ${count(budget)} with it`, why };
  }
  if (answer.tokensToEdge === null) {
    return { place: "out", word: "too many bytes", why: "It would fit the budget, but the window is as long as an answer may be." };
  }
  const because = [];
  if (policy.step) because.push(`a full window moves on ${many(policy.step, "token")} at once (step), so that the ones that follow begin alike and the provider's prompt cache hits`);
  if (policy.startOn === "user") because.push("the run begins with a user message (startOn=user)");
  const why = `It would fit now (${count(tokens)} of ${count(budget)} tokens), but ${because.join(", or ") || "what follows it would not"}.`;
  return { place: "out", word: policy.step ? "out by the step" : `before message ${first}`, why };
}

/** What could keep a version in the window, as changes of the view: asked of the service, so each is a fact. */
export function remedies(answer, shown, thread, version, view) {
  const { policy } = answer;
  const tried = [];
  const add = (words, change) => tried.push({ words, change: { ...change } });
  if (!policy.keepPreamble && leads(thread, version)) add("keepPreamble", { keepPreamble: "true" });
  if (!policy.keepRequest) add("keepRequest", { keepRequest: "true" });
  if (policy.step) add("no step", { step: "0" });
  if (policy.startOn === "user") add("startOn=any", { startOn: "any" });
  if (!policy.clearToolResults) {
    const keep = String(Math.max(Math.floor(answer.budget / 4), 1));
    add(`clearToolResults=${keep}`, { clearToolResults: keep });
  }
  if (policy.step || policy.startOn === "user") add("neither step nor startOn=user", { step: "0", startOn: "any" });
  const tokens = String(Math.max(needed(answer, shown, thread, version), answer.budget + 1));
  add(`a budget of ${count(Number(tokens))}`, { budget: tokens });
  if (policy.step || policy.startOn === "user") {
    add(`a budget of ${count(Number(tokens))} and no step`, { budget: tokens, step: "0", startOn: "any" });
  }
  return tried.filter(({ change }) => Object.entries(change).some(([name, value]) => view[name] !== value));
}

/** Whether a message is of those that a history begins with and that are the system's. */
export function leads(thread, version) {
  if (thread.first !== 1 || version > 16) return false;
  for (let at = 1; at <= version; at++) if (thread.at(at)?.role !== "system") return false;
  return true;
}
