// What a window is asked with: the budget, the version and the members of a policy, under the API's own names.

import { html, useEffect, useState } from "./preact.js";
import { windowQuery } from "./view.js";
import { budgetFor, useStill } from "./windows.js";
import { count, many } from "./words.js";

/** A field that is sent when it is left or Enter is pressed, not at each letter. */
function Field({ label, value, set, placeholder, effect, type = "text", ...others }) {
  const [text, write] = useState(value ?? "");
  useEffect(() => write(value ?? ""), [value]);
  const send = () => text !== (value ?? "") && set(text.trim());
  return html`<label>
    <span>${label}</span>
    <input
      type=${type} value=${text} placeholder=${placeholder} autocomplete="off" spellcheck=${false} ...${others}
      onInput=${(event) => write(event.target.value)} onBlur=${send} onKeyDown=${(event) => event.key === "Enter" && send()}
    />
    ${effect}
  </label>`;
}

/** A choice, of which the first is what the context has stored. */
function Choice({ label, value, set, stored, options, effect }) {
  return html`<label>
    <span>${label}</span>
    <select value=${value ?? ""} onChange=${(event) => set(event.target.value)}>
      <option value="">as stored: ${String(stored)}</option>
      ${options.map((option) => html`<option value=${option}>${option}</option>`)}
    </select>
    ${effect}
  </label>`;
}

/** What finds the budget at which another unit comes in, given a signal; undefined where there is none. */
const finder = (id, query, answer, thread) => async (signal) => {
  const first = answer?.firstVersion;
  // Behind what a summary covers there is nothing to come, and of what is not loaded nothing can be guessed.
  if (!first || first - 1 <= (answer.compaction?.throughVersion ?? 0) || !thread.at(first - 1)) return undefined;
  const opened = (figures) => figures.firstVersion !== null && figures.firstVersion < first;
  return budgetFor(id, query, answer, answer.usedTokens + thread.tokens(thread.unit(first - 1), first - 1), opened, signal);
};

/** The slider of the budget: Page Up goes to where a unit comes in, Page Down to where the oldest goes out. */
export function Budget({ id, context, answer, waiting, shown, thread, view, change }) {
  // A link may say what is no number; the service refuses that, and the slider stays where it was.
  const budget = /^\d+$/.test(view.budget ?? "") ? Number(view.budget) : (answer?.budget ?? 0);
  const most = Math.max(context.totalTokens, budget, 100);
  const query = windowQuery(view);
  const find = finder(id, query, answer, thread);
  const { value, stale } = useStill(!waiting && JSON.stringify([id, query, answer?.version, answer?.firstVersion]), 200, find);
  const next = stale ? undefined : value;
  const set = (tokens) => change({ budget: String(Math.max(Math.round(tokens), 1)) });
  const keys = async (event) => {
    if (event.key !== "PageUp" && event.key !== "PageDown") return;
    event.preventDefault();
    if (event.key === "PageDown") {
      set(Math.min(budget, answer?.usedTokens ?? budget) - 1);
      return;
    }
    const { target } = event;
    const found = next ?? (await find().catch(() => undefined));
    // Whoever has moved the slider meanwhile wants no other place.
    if (found && Number(target.value) === budget) set(found);
  };
  const text = answer?.budget === budget ? `${many(budget, "token")}, ${shown.versions.size} of ${many(answer.version, "message")}` : many(budget, "token");
  return html`<div class="budget">
    <label for="budget">Budget</label>
    <input id="budget" type="range" min="1" max=${most} value=${budget} aria-valuetext=${text} onInput=${(event) => set(Number(event.target.value))} onKeyDown=${keys} />
    <${Field} label="tokens" aria-label="Budget in tokens" inputmode="numeric" value=${view.budget ?? String(budget)} set=${(value) => change({ budget: value })} />
    ${next && html`<button type="button" onClick=${() => set(next)}>The next unit needs ${count(next - budget)} more</button>`}
  </div>`;
}

/** The slider of the version: the window as it was when the context had that many messages. */
export function Version({ context, answer, thread, view, change }) {
  const latest = context.latestVersion;
  const at = view.at || String(latest);
  const asked = /^\d+$/.test(at) ? Number(at) : (answer?.version ?? latest);
  const number = Math.min(asked, latest);
  const set = (version) => change({ at: Number(version) === latest ? "" : String(version) });
  const message = thread.at(number);
  const text = `version ${count(number)} of ${count(latest)}${message ? `, ${message.role}` : ""}`;
  return html`<div class="budget">
    <label for="version">Version</label>
    <input id="version" type="range" min="0" max=${latest} value=${number} aria-valuetext=${text} onInput=${(event) => set(event.target.value)} />
    <${Field} label="or a time" aria-label="Version, or a time" value=${at} set=${set} />
    ${view.at && html`<button type="button" onClick=${() => change({ at: "" })}>To the latest</button>`}
  </div>`;
}

/** The members of the policy; what is not chosen here is as the context has it, and what counted stands beside it. */
export function Policy({ context, answer, view, change }) {
  const stored = view.policy === "none" ? {} : context.policy;
  const counted = answer?.policy ?? {};
  const set = (name) => (value) => change({ [name]: value });
  const keep = (member) => (member ? member.keepTokens : "off");
  const due = (member) => (member ? `${member.threshold},${member.keepTokens}` : "off");
  const effect = (value, given) => value !== undefined && String(value) !== given && html`<small>counts as ${String(value)}</small>`;
  const flags = ["true", "false"];
  const step = String(stored.step ?? 0);
  const clear = keep(stored.clearToolResults);
  return html`<fieldset class="policy">
    <legend>Policy</legend>
    <${Choice} label="keepPreamble" value=${view.keepPreamble} set=${set("keepPreamble")} stored=${stored.keepPreamble ?? false} options=${flags} />
    <${Choice} label="keepRequest" value=${view.keepRequest} set=${set("keepRequest")} stored=${stored.keepRequest ?? false} options=${flags} />
    <${Choice} label="startOn" value=${view.startOn} set=${set("startOn")} stored=${stored.startOn ?? "any"} options=${["any", "user"]} />
    <${Field} label="step" value=${view.step} set=${set("step")} inputmode="numeric" placeholder=${`as stored: ${step}`}
      effect=${effect(counted.step, view.step || step)} />
    <${Field} label="clearToolResults" value=${view.clearToolResults} set=${set("clearToolResults")} placeholder=${`as stored: ${clear}`}
      effect=${effect(answer && keep(counted.clearToolResults), view.clearToolResults || String(clear))} />
    <${Field} label="compactionDue" value=${view.compactionDue} set=${set("compactionDue")} placeholder=${`as stored: ${due(stored.compactionDue)}`} />
    <label class="check">
      <input type="checkbox" checked=${view.policy === "none"} onChange=${(event) => change({ policy: event.target.checked ? "none" : "" })} />
      <span>without the stored policy</span>
    </label>
    <button type="button" onClick=${() => change({ keepPreamble: "", keepRequest: "", startOn: "", step: "", clearToolResults: "", compactionDue: "", policy: "" })}>All as stored</button>
  </fieldset>`;
}
