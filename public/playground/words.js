// Texts for numbers and messages. Messages are hostile: what comes from them is cut, and only ever becomes a text node.

const NUMBERS = new Intl.NumberFormat("en");

/** A number with separators. */
export const count = (number) => NUMBERS.format(number);

/** A number of things: "1 message", "2 messages". */
export const many = (number, thing) => `${count(number)} ${thing}${number === 1 ? "" : "s"}`;

/** The shapes that the service takes and gives. */
export const FORMATS = ["kata", "openai-chat", "openai-responses", "anthropic", "gemini", "ai-sdk"];

/** Of which kind a message is: system, user, assistant, call (an assistant's with calls), tool or summary. */
export function kindOf(message) {
  if (message.compactionNumber) return "summary";
  return message.role === "assistant" && message.toolCalls?.length ? "call" : message.role;
}

export const KINDS = { system: "system", user: "user", assistant: "assistant", call: "tool call", tool: "tool result", summary: "summary" };

/** The text of a message, `most` characters of it at most: its content, or its parts' texts, and its calls. */
export function textOf(message, most) {
  const texts = [];
  const add = (text) => texts.push(text.slice(0, most));
  const said = (value, otherwise) => (typeof value === "string" ? value : otherwise);
  const parts = Array.isArray(message.content) ? message.content : [message.content ?? ""];
  for (const part of parts.slice(0, 100)) {
    add(said(part, said(part?.text, `[${said(part?.type, "part")}]`)));
  }
  for (const call of (message.toolCalls ?? []).slice(0, 100)) {
    add(`${said(call?.function?.name, "call")}(${said(call?.function?.arguments, "").slice(0, most)})`);
  }
  return texts.filter(Boolean).join(" ").slice(0, most);
}
