// The page: what is looked at stands in the address, what is in a window is the service's answer, and this shows it.

import { html, render, useEffect, useLayoutEffect, useMemo, useRef, useState } from "./preact.js";
import { Begin } from "./begin.js";
import { Compactions } from "./compactions.js";
import { Budget, Policy, Version } from "./controls.js";
import { Figures } from "./figures.js";
import { Findings } from "./findings.js";
import { Forks } from "./forks.js";
import { History } from "./history.js";
import { List } from "./list.js";
import { Message } from "./message.js";
import { Copy, Trouble } from "./pieces.js";
import { Request } from "./request.js";
import { Legend, Ribbon } from "./ribbon.js";
import { hasKey, setKey } from "./service.js";
import { useThread } from "./thread.js";
import { DEFAULT_BUDGET, fragmentOf, useView } from "./view.js";
import { standing } from "./why.js";
import { shownIn, useWindow } from "./windows.js";
import { count, many } from "./words.js";

const NOTHING = { place: "", word: "", why: "" };

/** The line on top: which context, and the key where the service wants one. */
function Top({ view, open, next }) {
  const [name, write] = useState("");
  const [key, type] = useState("");
  const submit = (event) => {
    event.preventDefault();
    if (name.trim()) open(name.trim());
    write("");
  };
  const unlock = (event) => {
    event.preventDefault();
    setKey(key);
    type("");
    next();
  };
  return html`<header>
    <p class="brand"><a href="#">Kata Context</a> <span>playground</span></p>
    <form onSubmit=${submit}>
      <label><span>Context id or externalId</span><input value=${name} autocomplete="off" spellcheck=${false} onInput=${(event) => write(event.target.value)} /></label>
      <button>Open</button>
    </form>
    <form onSubmit=${unlock}>
      <label><span>Key, kept in this page's memory alone</span><input type="password" value=${key} autocomplete="off" placeholder=${hasKey() ? "one is in use" : ""} onInput=${(event) => type(event.target.value)} /></label>
      <button>${hasKey() && !key ? "Forget it" : "Use it"}</button>
    </form>
    <nav aria-label="Pages"><a href="/docs">API reference</a>${view.context && html` <button type="button" class="link" onClick=${() => open()}>All contexts</button>`}</nav>
  </header>`;
}

/** Reads a sum out once it has been still: while a slider moves, a screen reader would never come to an end. */
function Said({ text }) {
  const [said, say] = useState("");
  useEffect(() => {
    const timer = setTimeout(() => say(text), 600);
    return () => clearTimeout(timer);
  }, [text]);
  return html`<p class="unseen" role="status">${said}</p>`;
}

/** A context, its thread and a window of it. */
function Workbench({ view, change, turn, next, following }) {
  const { context, thread, loading, error: broken, older, newer } = following;
  const { id } = context;
  const { answer, error, stale } = useWindow(id, view, turn);
  const select = (version) => change({ message: String(version) });
  const chosen = Number(view.message);
  const selected = thread.at(chosen) ? chosen : undefined;

  const known = useMemo(() => {
    if (!answer) return undefined;
    const shown = shownIn(answer);
    const standings = new Map();
    const stand = (version) => {
      if (!standings.has(version)) standings.set(version, standing(answer, shown, thread, version));
      return standings.get(version);
    };
    return { shown, stand };
  }, [answer, thread]);
  const stand = known?.stand ?? (() => NOTHING);
  const shown = known?.shown;
  const opening = answer?.firstVersion ?? undefined;
  const sum = answer ? `${count(shown.versions.size)} of ${many(answer.version, "message")}, ${count(answer.usedTokens)} of ${many(answer.budget, "token")}` : "";
  // While an answer is awaited, or was refused, nothing more is asked about the one before.
  const waiting = stale || Boolean(error);
  const parts = { id, view, thread, change, select, turn, answer, shown, waiting };

  const pressed = useFocusKept();

  // The service may know of messages that others have appended since these were loaded.
  useEffect(() => {
    if (answer?.version > thread.last && !loading && !broken) newer();
  }, [answer, thread, loading]);

  return html`<main onClickCapture=${pressed}>
    <div class="title"><h1 tabindex="-1"><bdi>${context.name ?? context.externalId ?? "Context"}</bdi></h1> <code>${id}</code>
      <span><button type="button" onClick=${next}>Read again</button> <${Copy} text=${location.origin + location.pathname + fragmentOf(view)} words="Copy the link" /></span></div>
    ${(error ?? broken) && html`<${Trouble} error=${error ?? broken} again=${next} />`}
    <div class="controls">
      <${Budget} ...${parts} context=${context} />
      <${Version} ...${parts} context=${context} />
      <${Policy} ...${parts} context=${context} />
    </div>
    ${known && html`<section aria-labelledby="window-title" aria-busy=${String(stale)} class=${stale ? "stale" : ""}>
      <h2 id="window-title" tabindex="-1">The window</h2>
      <${Figures} ...${parts} />
      <${Findings} ...${parts} />
    </section>`}
    <${Said} text=${sum} />
    <section aria-labelledby="thread-title">
      <h2 id="thread-title">The thread</h2>
      ${thread.first > 1 && thread.messages.length > 0 && html`<p>${many(thread.first - 1, "older message")} not loaded. ${loading ? "Loading …" : html`<button type="button" onClick=${older}>Load older ones</button>`}</p>`}
      ${thread.messages.length > 0
        ? html`<${Ribbon} thread=${thread} stand=${stand} selected=${selected} select=${select} opening=${opening} label=${`The thread as a ribbon, ${sum}. The list below has the same.`} />
          <${Legend} />
          <div class="thread">
            <${List} thread=${thread} stand=${stand} selected=${selected} select=${select} opening=${opening} />
            ${selected && known ? html`<${Message} ...${parts} version=${selected} stand=${stand} />` : html`<p class="hint">Choose a message to see why it is in the window or out of it.</p>`}
          </div>`
        : html`<p>${loading ? "Loading …" : "It has no messages yet."}</p>`}
    </section>
    ${known && thread.messages.length > 0 && html`<div class="sections">
      <${History} ...${parts} ready=${!loading} />
      <${Request} ...${parts} />
      <${Compactions} ...${parts} />
      <${Forks} context=${context} view=${view} turn=${turn} />
    </div>`}
  </main>`;
}

/**
 * What notes the button that was pressed. Where it is gone because of that, the focus goes to the window's heading, lest
 * it fall to the top of the page.
 */
function useFocusKept() {
  const pressed = useRef();
  useLayoutEffect(() => {
    if (pressed.current && !pressed.current.isConnected && document.activeElement === document.body) {
      pressed.current = undefined;
      document.querySelector("#window-title")?.focus();
    }
  });
  return ({ target }) => (pressed.current = target.closest("button"));
}

function App() {
  const [view, change, open] = useView();
  const [turn, again] = useState(0);
  const next = () => again((number) => number + 1);
  const following = useThread(view.context, turn);
  const { name, context, error } = following;
  const found = view.context && context && (view.context === context.id || view.context === name);

  // A link, and the API, know a context by its id; and a window needs a budget where the policy has none.
  const budget = view.budget || (context?.policy.budget && view.policy !== "none") ? undefined : String(DEFAULT_BUDGET);
  const there = found && context.id === view.context && !budget;
  useEffect(() => {
    if (found && !there) change({ context: context.id, ...(budget && { budget }) });
  }, [context, view]);
  // Whoever opens another context begins at its name; the page itself is begun as the browser has it.
  const place = there ? context.id : "";
  const before = useRef(place);
  useEffect(() => {
    if (before.current !== place && document.activeElement === document.body) document.querySelector("h1")?.focus();
    before.current = place;
    document.title = `${there ? `${context.name ?? context.externalId ?? "Context"} · ` : ""}Playground · Kata Context`;
  }, [place]);
  const opened = (made, members) => {
    open(made.id, members);
    next();
  };
  return html`<${Top} view=${view} open=${open} next=${next} />
    ${!view.context && html`<main><h1 tabindex="-1">Which messages go to the model next, and why?</h1><${Begin} opened=${opened} turn=${turn} /></main>`}
    ${there && html`<${Workbench} key=${context.id} ...${{ view, change, turn, next, following }} />`}
    ${view.context && !there && html`<main><h1 tabindex="-1">Context</h1>${error ? html`<${Trouble} error=${error} again=${next} />` : html`<p>Loading …</p>`}</main>`}`;
}

render(html`<${App} />`, document.body);
