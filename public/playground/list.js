// The thread as a list: one row for each message with where it stands and why. Only the rows that are seen are in the
// DOM; the list is one stop of the Tab key, and arrows move in it.

import { html, useEffect, useLayoutEffect, useRef, useState } from "./preact.js";
import { KINDS, count, kindOf, textOf } from "./words.js";

// Pixels: the height of a row in playground.css.
const ROW = 48;

// Rows beyond the edges that are in the DOM too, and characters of a message that a row shows.
const BEYOND = 6;
const PREVIEW = 160;

/** The list; `stand` says where a version stands, `select` takes the one that was chosen, `opening` is the run's first. */
export function List({ thread, stand, selected, select, opening }) {
  const box = useRef();
  const [seen, see] = useState({ top: 0, height: 0 });
  const look = () => box.current && see({ top: box.current.scrollTop, height: box.current.clientHeight });
  const total = thread.messages.length;

  useEffect(() => {
    const observer = new ResizeObserver(look);
    observer.observe(box.current);
    return () => observer.disconnect();
  }, []);
  const show = (version, share) => {
    const top = (version - thread.first) * ROW;
    const { scrollTop, clientHeight } = box.current;
    if (top < scrollTop || top + ROW > scrollTop + clientHeight) box.current.scrollTop = Math.max(top - clientHeight * share, 0);
    look();
  };
  useLayoutEffect(() => show(opening ?? thread.last, 0.5), [thread, opening]);
  useLayoutEffect(() => selected && show(selected, 0.4), [thread, selected]);

  const moves = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -Infinity, End: Infinity };
  const move = (event) => {
    const by = moves[event.key];
    if (!by || !total) return;
    event.preventDefault();
    const from = selected ?? opening ?? thread.last;
    // The first arrow chooses where the window opens.
    select(Math.min(Math.max(selected || !Number.isFinite(by) ? from + by : from, thread.first), thread.last));
  };

  const from = Math.max(Math.floor(seen.top / ROW) - BEYOND, 0);
  const to = Math.min(Math.ceil((seen.top + seen.height) / ROW) + BEYOND, total);
  const rows = [];
  for (let index = from; index < to; index++) {
    const message = thread.messages[index];
    const { version } = message;
    const { place, word } = stand(version);
    const kind = kindOf(message);
    rows.push(html`<div
      key=${version}
      id=${`message-${version}`}
      class=${`row ${place} ${version === opening ? "opens" : ""}`}
      role="option"
      aria-selected=${String(version === selected)}
      aria-setsize=${total}
      aria-posinset=${index + 1}
      style=${{ top: `${index * ROW}px` }}
      onClick=${() => select(version)}
    >
      <span class="version">${version}</span>
      <span class=${`kind ${kind}`}>${KINDS[kind] ?? message.role}</span>
      <span class="preview"><bdi>${textOf(message, PREVIEW) || "(empty)"}</bdi></span>
      <span class="tokens">${count(message.tokenCount)}<span class="unseen"> tokens,</span></span>
      <span class="where">${word}</span>
    </div>`);
  }
  const shown = selected && selected - thread.first >= from && selected - thread.first < to;
  return html`<div
    class="list" ref=${box} tabindex="0" role="listbox" aria-label="Messages, oldest first"
    aria-activedescendant=${shown ? `message-${selected}` : undefined} onScroll=${look} onKeyDown=${move}
  >
    <div class="rows" role="presentation" style=${{ height: `${total * ROW}px` }}>${rows}</div>
  </div>`;
}
