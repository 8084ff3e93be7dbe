// The forks around a context as a tree: its ancestors above it, what was forked of each below.

import { html, useEffect, useState } from "./preact.js";
import { Trouble } from "./pieces.js";
import { API, call } from "./service.js";
import { fragmentOf } from "./view.js";
import { many } from "./words.js";

// Ancestors that are looked up, and forks of a context that are listed at once.
const ANCESTORS = 20;
const FORKS = 50;

const forksOf = (id, signal) => call("GET", `${API}/${id}/forks`, { query: { limit: FORKS }, signal });

/** The tree: `{root, nodes}`, nodes by their id with the forks that are known of each. */
async function lineage(context, signal) {
  const nodes = new Map([[context.id, { context, forks: new Map() }]]);
  let child = nodes.get(context.id);
  for (let depth = 0; child.context.parentId && depth < ANCESTORS; depth++) {
    const id = child.context.parentId;
    let parent;
    try {
      parent = (await call("GET", `${API}/${id}`, { signal })).data;
    } catch (error) {
      if (error.status !== 404) throw error;
      parent = { id, gone: true };
    }
    nodes.set(id, { context: parent, forks: new Map([[child.context.id, child]]) });
    child = nodes.get(id);
    if (parent.gone) break;
  }
  await listForks(nodes.get(context.id), signal);
  if (context.parentId && !nodes.get(context.parentId).context.gone) await listForks(nodes.get(context.parentId), signal);
  return child;
}

async function listForks(node, signal) {
  const { data, hasMore } = await forksOf(node.context.id, signal);
  for (const fork of data) if (!node.forks.has(fork.id)) node.forks.set(fork.id, { context: fork, forks: new Map() });
  node.listed = true;
  node.more = hasMore;
}

function Node({ node, current, view }) {
  const [said, say] = useState("");
  const { context } = node;
  const name = context.name ?? context.id;
  const budget = context.policy?.budget ? undefined : view.budget;
  const list = () => listForks(node).then(() => say(node.forks.size ? "" : "it has none"), (error) => say(error.message));
  const words = context.gone ? "deleted" : `${context.parentId ? `from message ${context.forkVersion}, ` : ""}${many(context.latestVersion, "message")}`;
  return html`<li>
    ${context.gone
      ? html`<span>${context.id}</span>`
      : html`<a href=${fragmentOf({ context: context.id, budget })} aria-current=${context.id === current ? "true" : undefined}><bdi>${name}</bdi></a>`}
    ${" "}<small>${words}</small>
    ${!node.listed && !context.gone && html`${" "}<button type="button" class="link" onClick=${list}>its forks<span class="unseen"> (of ${name})</span></button>`}
    ${said && html`${" "}<small role="status">${said}</small>`}
    ${node.forks.size > 0 && html`<ul>${[...node.forks.values()].map((fork) => html`<${Node} key=${fork.context.id} node=${fork} current=${current} view=${view} />`)}</ul>`}
    ${node.more && html`<small>and more</small>`}
  </li>`;
}

/** The section. */
export function Forks({ context, view, turn }) {
  const [state, set] = useState({});
  useEffect(() => {
    const control = new AbortController();
    lineage(context, control.signal)
      .then((root) => set({ root }))
      .catch((error) => !control.signal.aborted && set({ error }));
    return () => control.abort();
  }, [context.id, turn]);
  const { root, error } = state;
  return html`<section aria-labelledby="forks-title">
    <h2 id="forks-title">Forks</h2>
    ${error && html`<${Trouble} error=${error} />`}
    ${root && !root.forks.size && html`<p>It is no fork, and has none.</p>`}
    ${root?.forks.size > 0 && html`<ul class="tree"><${Node} key=${root.context.id} node=${root} current=${context.id} view=${view} /></ul>`}
  </section>`;
}
