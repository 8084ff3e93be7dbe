// The thread as a ribbon: a segment for each message, as wide as its tokens, newest at the right. Only the segments that
// are seen are in the DOM.

import { html, useEffect, useLayoutEffect, useMemo, useRef, useState } from "./preact.js";
import { KINDS, kindOf, many } from "./words.js";

// Pixels: what the smallest message has, and what a token has at least, so that a long thread scrolls.
const LEAST = 3;
const TOKEN = 0.03;

/** Left edges of the segments in pixels, and the whole width behind them, for a ribbon that has `room` pixels. */
function edges(thread, room) {
  const tokens = thread.sums.at(-1) || 1;
  const scale = Math.max((room - LEAST * thread.messages.length) / tokens, TOKEN);
  const lefts = new Float64Array(thread.messages.length + 1);
  thread.messages.forEach((message, index) => (lefts[index + 1] = lefts[index] + LEAST + message.tokenCount * scale));
  return lefts;
}

/** The first index whose segment ends behind a place. */
function indexAt(lefts, place) {
  let low = 0;
  let high = lefts.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (lefts[middle + 1] > place) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** The ribbon; `stand` says where a version stands, `select` takes the one that was chosen. */
export function Ribbon({ thread, stand, selected, select, label, opening }) {
  const box = useRef();
  const [seen, see] = useState({ left: 0, width: 0 });
  const look = () => box.current && see({ left: box.current.scrollLeft, width: box.current.clientWidth });

  useLayoutEffect(look, []);
  useEffect(() => {
    const observer = new ResizeObserver(look);
    observer.observe(box.current);
    return () => observer.disconnect();
  }, []);

  const lefts = useMemo(() => edges(thread, seen.width), [thread, seen.width]);
  const whole = lefts.at(-1);
  const show = (version) => {
    const left = lefts[version - thread.first] ?? whole;
    if (left < box.current.scrollLeft || left > box.current.scrollLeft + seen.width - 20) box.current.scrollLeft = left - seen.width / 3;
  };
  // The window's opening is what is looked at first, and what was chosen later.
  useLayoutEffect(() => show(opening ?? thread.last), [thread, opening, seen.width]);
  useLayoutEffect(() => selected && show(selected), [selected]);

  const from = indexAt(lefts, seen.left - 100);
  const to = Math.min(indexAt(lefts, seen.left + seen.width + 100) + 1, thread.messages.length);
  const segments = [];
  for (let index = from; index < to; index++) {
    const message = thread.messages[index];
    const { place } = stand(message.version);
    segments.push(html`<span
      key=${message.version}
      class=${`segment ${kindOf(message)} ${place} ${message.version === selected ? "chosen" : ""}`}
      style=${{ left: `${lefts[index]}px`, width: `${Math.max(lefts[index + 1] - lefts[index] - 1, 2)}px` }}
      title=${`${message.version}: ${KINDS[kindOf(message)] ?? message.role}, ${many(message.tokenCount, "token")}`}
      onClick=${() => select(message.version)}
    ></span>`);
  }
  const edge = lefts[opening - thread.first];
  return html`<div class="ribbon" ref=${box} onScroll=${look} tabindex="0" role="group" aria-label=${label}>
    <div class="strip" style=${{ width: `${whole}px` }} aria-hidden="true">
      ${segments}
      ${edge !== undefined && html`<span class="edge" style=${{ left: `${edge}px` }}></span>`}
    </div>
  </div>`;
}

/** What the colours and patterns mean. */
export const Legend = () => html`<ul class="legend">
  ${["system", "user", "assistant", "call", "tool"].map((kind) => html`<li><span class=${`swatch ${kind} in`}></span>${KINDS[kind]}</li>`)}
  <li><span class="swatch assistant cleared"></span>cleared</li>
  <li><span class="swatch assistant out"></span>not in the window</li>
  <li><span class="swatch assistant covered"></span>in the summary</li>
  <li><span class="swatch assistant later"></span>later</li>
  <li><span class="swatch mark"></span>the run opens here</li>
</ul>`;
