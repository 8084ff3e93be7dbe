// The forks around a context as a tree: its ancestors above it, what was forked of each below.

import { html, useState } from "./preact.js";
import { Trouble } from "./pieces.js";
import { API, call } from "./service.js";
import { fragmentOf } from "./view.js";
import { useStill } from "./windows.js";
import { many } from "./words.js";

// Ancestors that are looked up, and forks of a context that are listed at once.
const ANCESTORS = 20;
const FORKS = 50;

const forksOf = (id, signal) => call("GET", `${API}/${id}/forks`, { query: { limit: FORKS }, signal });

/** The root of the tree around a context: `{context, forks}`, with a node for each fork that is known of it. */
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
  // What is said is another object each time, and so drawn, also where it says nothing but that there are forks now.
  const [said, say] = useState({});
  const [asks] = useState(!node.listed && !node.context.gone);
  const { context } = node;
  const name = context.name ?? context.id;
  const budget = context.policy?.budget ? undefined : view.budget;
  const list = async () => {
    try {
      await listForks(node);
      say({ text: node.forks.size ? "" : "it has none" });
    } catch (error) {
      say({ text: error.message });
    }
  };
  const words = context.gone ? "deleted" : `${context.parentId ? `from message ${context.forkVersion}, ` : ""}${many(context.latestVersion, "message")}`;
  return html`<li>
    ${context.gone
      ? html`<span>${context.id}</span>`
      : html`<a href=${fragmentOf({ context: context.id, budget })} aria-current=${context.id === current ? "true" : undefined}><bdi>${name}</bdi></a>`}
    ${" "}<small>${words}</small>
    ${asks && html`${" "}<button type="button" class="link" onClick=${list}>its forks<span class="unseen"> (of ${name})</span></button>`}
    ${" "}<small role="status">${said.text}</small>
    ${node.forks.size > 0 && html`<ul>${[...node.forks.values()].map((fork) => html`<${Node} key=${fork.context.id} node=${fork} current=${current} view=${view} />`)}</ul>`}
    ${node.more && html`<small>and more</small>`}
  </li>`;
}

/** The section. */
export function Forks({ context, view, turn }) {
  const { value: root, error, again } = useStill(JSON.stringify([context.id, turn]), 0, (signal) => lineage(context, signal));
  return html`<section aria-labelledby="forks-title">
    <h2 id="forks-title">Forks</h2>
    ${error && html`<${Trouble} error=${error} again=${again} />`}
    ${root?.context.parentId && !root.context.gone && html`<p>It has further ancestors.</p>`}
    ${root && !root.forks.size && html`<p>It is no fork, and has none.</p>`}
    ${root?.forks.size > 0 && html`<ul class="tree"><${Node} key=${root.context.id} node=${root} current=${context.id} view=${view} /></ul>`}
  </section>`;
}
