// The request for a window in three languages. A key is never in it, only where it is taken from.

const snake = (name) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
const literal = (value, yes, no) =>
  value === "true" ? yes : value === "false" ? no : /^\d{1,15}$/.test(value) ? String(Number(value)) : JSON.stringify(value);

// For a shell, between single quotes, where only a single quote means anything.
const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

/** The request for a context's window with a query, by language; `keyed` says whether the service wants a key. */
export function snippets(origin, id, query, keyed) {
  const members = Object.entries(query);
  const address = `${origin}/api/v1/contexts/${id}/window?${new URLSearchParams(query)}`;
  const named = members.map(([name, value]) => `, ${snake(name)}=${literal(value, "True", "False")}`).join("");
  const object = members.map(([name, value]) => `${name}: ${literal(value, "true", "false")}`).join(", ");
  const note = "the key is in KATA_CONTEXT_API_KEY";
  return {
    curl: `curl -s ${quoted(address)}${keyed ? ' \\\n  -H "Authorization: Bearer $KATA_CONTEXT_API_KEY"' : ""}`,
    Python: [
      "from kata_context import Client",
      "",
      `kata = Client(${JSON.stringify(origin)})${keyed ? `  # ${note}` : ""}`,
      `window = kata.window(${JSON.stringify(id)}${named})`,
    ].join("\n"),
    TypeScript: [
      'import { Client } from "kata-context";',
      "",
      `const kata = new Client({ url: ${JSON.stringify(origin)} });${keyed ? ` // ${note}` : ""}`,
      `const window = await kata.window(${JSON.stringify(id)}${object && `, { ${object} }`});`,
    ].join("\n"),
  };
}
