/**
 * Kata Context: every conversation of an agent kept, and the messages that fit a token budget.
 *
 *     const kata = new Client();
 *     const context = await kata.createContext({ externalId: "ticket-2077", policy: { budget: 8000 } });
 *     await kata.append(context.id, [{ role: "user", content: "Where is my order 1042?" }]);
 *     const window = await kata.window(context.id, { format: "openai-responses" });
 *
 *     client     Client, and Pages of a list
 *     requests   each call as a request, how its answer is read, and when it is sent again
 *     appends    an append as the requests that it takes
 *     schema     what the API takes and answers
 *     errors     what can go wrong
 *     ai-sdk         kata-context/ai-sdk: a store of chats of the AI SDK, and a prepareStep that sends the window
 *     openai-agents  kata-context/openai-agents: a session of OpenAI's Agents SDK
 *     openai-items   items of that SDK as the service stores them
 */

export * from "./client.js";
export * from "./errors.js";
export type * from "./schema.js";
