/** What the API takes and answers. Made from its OpenAPI document by generate.js: do not edit. */

export type paths = Record<string, never>;
export type webhooks = Record<string, never>;
export interface components {
    schemas: {
        CallId: string;
        /** @description From where on the results of tools are cleared. */
        ClearToolResults: {
            /** @description Tool messages that lie more than about so many tokens back stay in place, and their content is `[cleared]`. At most what the step leaves of the budget counts. */
            keepTokens: components["schemas"]["Tokens"];
        };
        /** @description A tool message in a window whose content is cleared there; the stored message is as it was. */
        ClearedMessage: {
            /** @description The message's id. */
            id: string;
            /** @description The context that it was appended to: in a fork it may be one that the history is shared with. */
            contextId: string;
            /** @description Its number in the context: 1, 2, 3 … without gaps. */
            version: number;
            /**
             * @description Only results of tools are cleared.
             * @constant
             */
            role: "tool";
            /**
             * @description What stands in place of the stored content.
             * @constant
             */
            content: "[cleared]";
            /** @description Always null. */
            toolCalls: null;
            /** @description The id of the call that a tool message answers. */
            toolCallId: string | null;
            /** @description The tool that a tool message comes from. */
            toolName: string | null;
            /** @description The model that wrote the message. */
            model: string | null;
            /** @description The client's JSON object, to the letter; {} where none was sent. */
            metadata: {
                [key: string]: unknown;
            };
            /** @description Tokens as they count in the window: 4, or fewer where the stored had fewer. */
            tokenCount: number;
            /** @description Whether an embedding was stored with it. */
            hasEmbedding: boolean;
            /** @description When it was said, in UTC; never before the message before it. */
            createdAt: string;
            /**
             * @description Always true; other messages have no such member.
             * @constant
             */
            cleared: true;
        };
        /** @enum {string} */
        Code: "call_answered" | "part_moved" | "member_dropped" | "text_trimmed" | "result_dropped" | "result_moved" | "message_moved" | "id_changed" | "name_changed" | "arguments_wrapped" | "empty_dropped" | "part_dropped" | "part_to_text" | "reasoning_dropped" | "role_changed" | "user_added" | "signature_skipped" | "cache_mark_dropped";
        /** @description A compaction: a summary that stands in for all messages up to a version in windows, and deletes nothing. */
        Compaction: {
            /** @description Its number in the context: 1, 2, 3 … without gaps; none is used twice. */
            number: number;
            /** @description The context that made it: in a fork it may be one that the history is shared with. */
            contextId: string;
            /** @description The newest version that it stands in for. */
            throughVersion: number;
            /** @description The context's latest version when it was made; windows of the past have it from there on. */
            madeAtVersion: number;
            /** @description The number of the compaction in force when it was made; 0 for none. */
            basedOn: number;
            /**
             * @description Who speaks in windows.
             * @enum {string}
             */
            role: "user" | "assistant" | "system";
            /** @description What a model reads in place of those messages, as it was sent. */
            summary: string;
            /** @description The client's JSON object, to the letter; {} where none was sent. */
            metadata: {
                [key: string]: unknown;
            };
            /** @description Tokens of the summary, as they were sent or counted. */
            tokenCount: number;
            /** @description When it was made, in UTC. */
            createdAt: string;
            /** @description When it was undone, in UTC; null while it is not. */
            undoneAt: string | null;
        };
        /** @description When a window says that a compaction is due, and up to where. */
        CompactionDue: {
            /** @description The part of the budget beyond which one is due: what the head, without the request, and all messages that compete for the run take together. */
            threshold: number;
            /** @description Tokens to leave behind what is compacted, at most; at most the budget counts. */
            keepTokens: components["schemas"]["Tokens"];
        };
        Content: string | components["schemas"]["Parts"] | null;
        /** @description A stored context: one conversation, a container of messages. */
        Context: {
            /** @description The context's id. */
            id: string;
            /** @description A name for people. */
            name: string | null;
            /** @description The client's own id, unique among contexts that are not deleted. */
            externalId: string | null;
            /** @description The client's JSON object, equal as JSON; keys and digits may be written in another way. */
            metadata: {
                [key: string]: unknown;
            };
            /** @description How windows of it are chosen: the members that are set, {} where none is. */
            policy: components["schemas"]["Policy"];
            /** @description The number of its messages, of a fork those that it shares too. */
            messageCount: number;
            /** @description The sum of their tokens. */
            totalTokens: number;
            /** @description The version of its newest message; 0 where it has none. */
            latestVersion: number;
            /** @description The context that it is a fork of, which may be deleted by now; null where it is no fork. */
            parentId: string | null;
            /** @description The version up to which it shares the parent's history; null where it is no fork. */
            forkVersion: number | null;
            /** @description When it was created, in UTC. */
            createdAt: string;
            /** @description When it was last changed or appended to, in UTC. */
            updatedAt: string;
            /** @description When it was deleted, in UTC; null while it lives. */
            deletedAt: string | null;
        };
        /** @description Up to where a compaction is due, and what it would stand in for. */
        Due: {
            /** @description The version to send as throughVersion. */
            throughVersion: number;
            /** @description The number of messages that it would stand in for, beyond what is so already. */
            messages: number;
            /** @description The tokens of these messages, as they are stored. */
            tokens: number;
        };
        /** @enum {string} */
        Format: "kata" | "openai-chat" | "openai-responses" | "anthropic" | "gemini" | "ai-sdk";
        /** @description The function that a tool call names, and what the model gives to it. */
        Function: {
            /** @description The function's name. */
            name: components["schemas"]["Name"];
            /** @description The JSON text that the model wrote, valid or not, to the letter. */
            arguments: string;
        } & {
            [key: string]: unknown;
        };
        /** @description Whether the service can serve: healthy, degraded (it does, but see checks) or unhealthy. */
        Health: {
            /**
             * @description degraded is served with 200, unhealthy with 503.
             * @enum {string}
             */
            status: "healthy" | "degraded" | "unhealthy";
            /** @description The time of the answer, in UTC. */
            timestamp: string;
            /** @description The version of the service. */
            version: string;
            /** @description What was looked at: database and, where that can be reached, migrations. Empty for liveness. */
            checks: {
                [key: string]: unknown;
            };
        };
        /** @description The compaction that a window is built on. */
        InForce: {
            /** @description Its number. */
            number: number;
            /** @description The newest version that its summary stands in for. */
            throughVersion: number;
        };
        /** @description A stored message. It never changes. */
        Message: {
            /** @description The message's id. */
            id: string;
            /** @description The context that it was appended to: in a fork it may be one that the history is shared with. */
            contextId: string;
            /** @description Its number in the context: 1, 2, 3 … without gaps. */
            version: number;
            /** @description Who speaks; tool is the result of a tool call. */
            role: components["schemas"]["Role"];
            /** @description A text, a list of parts, or null beside toolCalls; as it was sent. */
            content: components["schemas"]["Content"];
            /** @description The calls that an assistant message makes; as they came. */
            toolCalls: components["schemas"]["ToolCall"][] | null;
            /** @description The id of the call that a tool message answers. */
            toolCallId: string | null;
            /** @description The tool that a tool message comes from. */
            toolName: string | null;
            /** @description The model that wrote the message. */
            model: string | null;
            /** @description The client's JSON object, to the letter; {} where none was sent. */
            metadata: {
                [key: string]: unknown;
            };
            /** @description Tokens, as they were sent or counted; what windows are chosen by. */
            tokenCount: number;
            /** @description Whether an embedding was stored with it. */
            hasEmbedding: boolean;
            /** @description When it was said, in UTC; never before the message before it. */
            createdAt: string;
        };
        Name: string;
        /** @description A stored message, and what a provider gave of it. */
        NativeMessage: {
            /** @description The message's id. */
            id: string;
            /** @description The context that it was appended to: in a fork it may be one that the history is shared with. */
            contextId: string;
            /** @description Its number in the context: 1, 2, 3 … without gaps. */
            version: number;
            /** @description Who speaks; tool is the result of a tool call. */
            role: components["schemas"]["Role"];
            /** @description A text, a list of parts, or null beside toolCalls; as it was sent. */
            content: components["schemas"]["Content"];
            /** @description The calls that an assistant message makes; as they came. */
            toolCalls: components["schemas"]["ToolCall"][] | null;
            /** @description The id of the call that a tool message answers. */
            toolCallId: string | null;
            /** @description The tool that a tool message comes from. */
            toolName: string | null;
            /** @description The model that wrote the message. */
            model: string | null;
            /** @description The client's JSON object, to the letter; {} where none was sent. */
            metadata: {
                [key: string]: unknown;
            };
            /** @description Tokens, as they were sent or counted; what windows are chosen by. */
            tokenCount: number;
            /** @description Whether an embedding was stored with it. */
            hasEmbedding: boolean;
            /** @description When it was said, in UTC; never before the message before it. */
            createdAt: string;
            /** @description The format that native is in; null where there is none. */
            nativeFormat: components["schemas"]["Format"] | null;
            /** @description What the provider gave, to the letter, as this format's append takes it; null where the format makes an equal one of the message. */
            native: unknown;
        };
        /** @description One part of a message's content, in any provider's shape: members that this API does not know are kept. */
        Part: {
            /** @description What the part is. Tokens are counted of the `text` of text, input_text, output_text and reasoning, and of a refusal. */
            type: string;
        } & {
            [key: string]: unknown;
        };
        Parts: components["schemas"]["Part"][];
        /** @description How a context's windows are chosen, unless a request says otherwise; null stands for an absent member. */
        Policy: {
            /** @description Tokens of the whole window, the head included. Where absent, each request must say. */
            budget?: number | null;
            /** @description Whether the preamble, the system messages that the history begins with, 16 at most, is in every window. False where absent. */
            keepPreamble?: boolean | null;
            /** @description Whether the request, the newest user message, is in every window, unless the newest unit would then not fit. False where absent. */
            keepRequest?: boolean | null;
            /** @description `user`: the run moves on to its first user message if that skips at most a quarter of what the head leaves of the budget. `any` where absent. */
            startOn?: ("any" | "user") | null;
            /** @description Tokens by which a full window moves on at once, so that requests begin as those before them until then. At most half of what the head leaves of the budget counts; 0, also where absent, moves on with each message. */
            step?: components["schemas"]["Tokens"] | null;
            /** @description From where on results of tools are cleared; none are where absent. */
            clearToolResults?: components["schemas"]["ClearToolResults"] | null;
            /** @description When a window says that a compaction is due; never where absent. */
            compactionDue?: components["schemas"]["CompactionDue"] | null;
        };
        /** @description What was changed in a window, so that a provider takes it. */
        Repair: {
            /** @description The message's version; null for a summary. */
            version: number | null;
            /** @description The kind of change. Codes never change. */
            code: components["schemas"]["Code"];
            /** @description What was changed, for people. */
            detail: string;
        };
        /** @enum {string} */
        Role: "system" | "user" | "assistant" | "tool";
        /** @description The summary of the compaction in force, as a message of a window: with all members of one. */
        Summary: {
            /** @description Always null: it is no stored message. */
            id: null;
            /** @description The context that made the compaction: in a fork it may be one that the history is shared with. */
            contextId: string;
            /** @description Always null: it is no stored message. */
            version: null;
            /**
             * @description Who speaks, as the compaction has it.
             * @enum {string}
             */
            role: "user" | "assistant" | "system";
            /** @description The summary, as it was sent. */
            content: string;
            /** @description Always null. */
            toolCalls: null;
            /** @description Always null. */
            toolCallId: null;
            /** @description Always null. */
            toolName: null;
            /** @description Always null. */
            model: null;
            /** @description The compaction's metadata, to the letter. */
            metadata: {
                [key: string]: unknown;
            };
            /** @description Tokens of the summary, as they were sent or counted. */
            tokenCount: number;
            /**
             * @description Always false.
             * @constant
             */
            hasEmbedding: false;
            /** @description When the compaction was made, in UTC. */
            createdAt: string;
            /** @description The compaction's number; other messages have no such member. */
            compactionNumber: number;
        };
        Tokens: number;
        /** @description One call that an assistant message makes. */
        ToolCall: {
            /** @description The call's id, which the tool message that answers it names. */
            id: components["schemas"]["CallId"];
            /**
             * @description Always function.
             * @constant
             */
            type: "function";
            /** @description What is called. */
            function: components["schemas"]["Function"];
        } & {
            [key: string]: unknown;
        };
        /** @description How a window was chosen: all members of a policy, as they were in effect. */
        WindowPolicy: {
            /** @description Tokens of the whole window, the head included. */
            budget: number;
            /** @description Whether the preamble is in the window, where there is one. */
            keepPreamble: boolean;
            /** @description Whether the request is in the window, where that fits. */
            keepRequest: boolean;
            /**
             * @description What the run opens with: a user message if near, or any.
             * @enum {string}
             */
            startOn: "any" | "user";
            /** @description Tokens by which the window moves on at once: half of what the head leaves at most. */
            step: number;
            /** @description From where on results of tools are cleared, at most what head and step leave; null for off. */
            clearToolResults: components["schemas"]["ClearToolResults"] | null;
            /** @description When a compaction is due, keepTokens at most the budget; null for never. */
            compactionDue: components["schemas"]["CompactionDue"] | null;
        };
        Embedding: number[];
        ExternalId: string;
        /** @description The context that has an externalId which another is to take. */
        Holder: {
            /** @description Its id. */
            contextId: string;
            /** @description The latest version that it must have; 409 otherwise. */
            expectedVersion?: number | null;
        };
        /**
         * @description A message as a client appends it; null stands for an absent member.
         *
         *     Any role may have content. Only an assistant makes tool calls, and then needs no content; only a tool message
         *     answers a call, and it must.
         */
        NewMessage: {
            /** @description Who speaks; tool is the result of a tool call. */
            role: components["schemas"]["Role"];
            /** @description The calls that an assistant message makes. */
            toolCalls?: components["schemas"]["ToolCalls"] | null;
            /** @description A text or a list of parts; absent only where toolCalls is given. */
            content?: components["schemas"]["Content"];
            /** @description The id of the call that a tool message answers; required there. */
            toolCallId?: components["schemas"]["CallId"] | null;
            /** @description The tool that a tool message comes from; kept as it is. */
            toolName?: components["schemas"]["Name"] | null;
            /** @description The model that wrote the message; kept as it is. */
            model?: components["schemas"]["Name"] | null;
            /** @description Any JSON object of the client's, kept to the letter; {} where absent. */
            metadata?: {
                [key: string]: unknown;
            } | null;
            /** @description Tokens, taken as they are. Where absent, the texts of content and toolCalls are counted with o200k_base, the vocabulary of GPT-4o and later models. */
            tokenCount?: number | null;
            /** @description Kept in single precision and never sent back: answers have hasEmbedding. */
            embedding?: components["schemas"]["Embedding"] | null;
            /** @description When it was said, for a history that is imported: RFC 3339, kept to the microsecond. At most one minute in the future, and not before the message before it, in the batch or stored. Where absent, the time of the append, or of the message before it if that is later. */
            createdAt?: components["schemas"]["Time"] | null;
        };
        Time: string;
        TokenCounts: components["schemas"]["Tokens"][];
        ToolCalls: components["schemas"]["ToolCall"][];
        /** @description What went wrong (RFC 9457), without anything of what was sent. Decide on code. */
        Problem: {
            /** @description urn:kata-context:problem: and the code. */
            type: string;
            /** @description The code in words. */
            title: string;
            /** @description The status of the answer. */
            status: number;
            /** @description What is wrong here, for people. */
            detail: string;
            /** @description The kind of problem. Codes never change. */
            code: string;
            /** @description The id of the request, as in X-Request-Id and in the log. */
            requestId: string;
            /** @description The context's latest version; with version_conflict and precondition_failed. */
            currentVersion?: number;
            /** @description The number of the compaction in force, 0 for none; with compaction_conflict. */
            currentNumber?: number;
            /** @description The places in the request that are not valid, up to 20 of them. */
            errors?: {
                /** @description A JSON Pointer (RFC 6901) into the body, or / and the name of a parameter. */
                pointer: string;
                /** @description What is wrong there. */
                detail: string;
            }[];
        };
        /** @description A stored context: one conversation, a container of messages. */
        TaggedContext: {
            /** @description The context's id. */
            id: string;
            /** @description A name for people. */
            name: string | null;
            /** @description The client's own id, unique among contexts that are not deleted. */
            externalId: string | null;
            /** @description The client's JSON object, equal as JSON; keys and digits may be written in another way. */
            metadata: {
                [key: string]: unknown;
            };
            /** @description How windows of it are chosen: the members that are set, {} where none is. */
            policy: components["schemas"]["Policy"];
            /** @description The number of its messages, of a fork those that it shares too. */
            messageCount: number;
            /** @description The sum of their tokens. */
            totalTokens: number;
            /** @description The version of its newest message; 0 where it has none. */
            latestVersion: number;
            /** @description The context that it is a fork of, which may be deleted by now; null where it is no fork. */
            parentId: string | null;
            /** @description The version up to which it shares the parent's history; null where it is no fork. */
            forkVersion: number | null;
            /** @description When it was created, in UTC. */
            createdAt: string;
            /** @description When it was last changed or appended to, in UTC. */
            updatedAt: string;
            /** @description When it was deleted, in UTC; null while it lives. */
            deletedAt: string | null;
            /** @description The ETag that it came with. */
            etag: string;
        };
        /** @description A window of a context's messages, and figures of it. */
        Figures: {
            /** @description Tokens that the window may have: the parameter's, or else the policy's. */
            budget: number;
            /** @description Tokens of the window's messages together, the head's and cleared ones too. */
            usedTokens: number;
            /** @description Whether it has more than the budget: head and newest unit alone are larger. */
            overBudget: boolean;
            /** @description Tokens of all messages up to the version that the window shows. */
            totalTokens: number;
            /** @description The oldest version of the run; null where the run is empty. */
            firstVersion: number | null;
            /** @description The newest version of the run; null where the run is empty. An answer without its call is left out, so it may be less than the version that the window shows: that is in the ETag. */
            lastVersion: number | null;
            /** @description The number of messages that are neither in the window nor behind a summary that is: what nobody will see. */
            droppedCount: number;
            /** @description The number of the preamble's messages in the window. */
            preambleCount: number;
            /** @description The version of the request where it stands in the head; null where it is in the run or not kept. */
            requestVersion: number | null;
            /** @description The compaction in force, whose summary is in the window; null where there is none. */
            compaction: components["schemas"]["InForce"] | null;
            /** @description The number of messages in the window whose content is cleared. */
            clearedCount: number;
            /** @description Tokens that may come until the window opens with another message than now; null where bytes and not tokens decide. Without a step it is 0 once the window is full. */
            tokensToEdge: number | null;
            /** @description The ids of calls in the run that no message answers, in order: run these tools first. */
            pendingCalls: string[];
            /** @description Where a compaction is due by the policy, up to where; null where none is, or none would pay. */
            compactionDue: components["schemas"]["Due"] | null;
            /** @description How the window was chosen, with every member as it was in effect. */
            policy: components["schemas"]["WindowPolicy"];
            /** @description The newest 1,000 changes without which the provider would refuse the window, or that it has no form for, by version. Only in a provider's format. */
            repairs?: components["schemas"]["Repair"][];
            /** @description The number of all such changes. Only in a provider's format. */
            repairCount?: number;
            /** @description The ETag that it came with. */
            etag: string;
        };
        /** @description List contexts. */
        ListContextsArguments: {
            /** @description Ends the call as soon as it is aborted; a write may then have been stored or not. */
            signal?: AbortSignal | undefined;
            /** @description Milliseconds for each request of the call, which may be several. */
            timeoutMs?: number;
            /** @description How many contexts a page has at most. */
            limit?: number;
            /** @description nextCursor of the page before; absent for the first page. */
            cursor?: string;
            /**
             * @description By the time of creation: desc is newest first, asc oldest first.
             * @enum {string}
             */
            order?: "asc" | "desc";
            /** @description A JSON object that a context's metadata must contain: its members, and those of objects in it, with equal values; an array contains another if it has all of its elements. */
            metadata?: {
                [key: string]: unknown;
            };
            /** @description The client's own id, which one context that is not deleted has at most. */
            externalId?: string;
            /** @description Only the forks of this context, which may be deleted; `none` for contexts that are no forks. */
            parentId?: string | "none";
        };
        /** @description Create a context, or get the one with this externalId. */
        CreateContextArguments: {
            /** @description Ends the call as soon as it is aborted; a write may then have been stored or not. */
            signal?: AbortSignal | undefined;
            /** @description Milliseconds for each request of the call, which may be several. */
            timeoutMs?: number;
            /** @description A key of the client's, 1 to 255 visible ASCII characters, that makes it safe to send this again: the same key with the same payload gets the first answer, and nothing is stored twice. */
            idempotencyKey?: string;
            /** @description A name for people. */
            name?: components["schemas"]["Name"] | null;
            /** @description The client's own id, any text without U+0000, unique among contexts that are not deleted. Where one has it already, that one is the answer (200), unchanged, and none is made. */
            externalId?: components["schemas"]["ExternalId"] | null;
            /** @description Any JSON object of the client's, up to 131,072 bytes as PostgreSQL's jsonb writes it. */
            metadata?: {
                [key: string]: unknown;
            } | null;
            /** @description How windows of it are chosen; {} where absent. */
            policy?: components["schemas"]["Policy"] | null;
        };
        /** @description Read a context. */
        GetContextArguments: {
            /** @description Ends the call as soon as it is aborted; a write may then have been stored or not. */
            signal?: AbortSignal | undefined;
            /** @description Milliseconds for each request of the call, which may be several. */
            timeoutMs?: number;
            /** @description Get 304 without a body if the answer still has one of these ETags. */
            ifNoneMatch?: string;
        };
        /** @description Change a context's name, externalId, metadata or policy. */
        UpdateContextArguments: {
            /** @description Ends the call as soon as it is aborted; a write may then have been stored or not. */
            signal?: AbortSignal | undefined;
            /** @description Milliseconds for each request of the call, which may be several. */
            timeoutMs?: number;
            /** @description Act only if the context still has one of these ETags (a list as they were answered, such as "6", or *), and get 412 otherwise. What is no such ETag is none that it has. */
            ifMatch?: string;
            /** @description A name for people; null clears it. */
            name?: components["schemas"]["Name"] | null;
            /** @description The client's own id; null clears it. 409 where another context that is not deleted has it. */
            externalId?: components["schemas"]["ExternalId"] | null;
            /** @description The context whose externalId becomes this one's, at once: what a client calls by that id goes on here. 409 where it has none; not together with externalId. null is the same as absent. */
            takeExternalIdFrom?: components["schemas"]["Holder"] | null;
            /** @description A merge patch (RFC 7396) of the metadata: members are set, and those that are null removed; null in its place empties it. Afterwards at most 131,072 bytes as PostgreSQL's jsonb writes it. */
            metadata?: {
                [key: string]: unknown;
            } | null;
            /** @description A merge patch of the policy: members are set, and those that are null removed; null in its place empties it. It counts for windows of the past as well. */
            policy?: components["schemas"]["Policy"] | null;
        };
        /** @description Delete a context. */
        DeleteContextArguments: {
            /** @description Ends the call as soon as it is aborted; a write may then have been stored or not. */
            signal?: AbortSignal | undefined;
            /** @description Milliseconds for each request of the call, which may be several. */
            timeoutMs?: number;
            /** @description Act only if the context still has one of these ETags (a list as they were answered, such as "6", or *), and get 412 otherwise. What is no such ETag is none that it has. */
            ifMatch?: string;
        };
        /** @description Page through a context's messages. */
        ListMessagesArguments: {
            /** @description Ends the call as soon as it is aborted; a write may then have been stored or not. */
            signal?: AbortSignal | undefined;
            /** @description Milliseconds for each request of the call, which may be several. */
            timeoutMs?: number;
            /** @description The version to start after, which is nextCursor of the page before; absent for the first. */
            cursor?: number;
            /** @description How many messages a page has at most. */
            limit?: number;
            /**
             * @description By version: asc is oldest first, desc newest first.
             * @enum {string}
             */
            order?: "asc" | "desc";
            /** @description Answer as it was when this version was the newest: 0 to the latest version, or a time (RFC 3339): the newest version that existed then. The latest where absent. */
            at?: number | string;
            /**
             * @description `native` adds what a provider gave, as it gave it, and in which format.
             * @constant
             */
            include?: "native";
            /** @description Get 304 without a body if the answer still has one of these ETags. */
            ifNoneMatch?: string;
        };
        /** @description Append a batch of messages. */
        AppendMessagesArguments: {
            /** @description Ends the call as soon as it is aborted; a write may then have been stored or not. */
            signal?: AbortSignal | undefined;
            /** @description Milliseconds for each request of the call, which may be several. */
            timeoutMs?: number;
            /** @description A key of the client's, 1 to 255 visible ASCII characters, that makes it safe to send this again: the same key with the same payload gets the first answer, and nothing is stored twice. */
            idempotencyKey?: string;
            /** @description Act only if the context still has one of these ETags (a list as they were answered, such as "6", or *), and get 412 otherwise. What is no such ETag is none that it has. */
            ifMatch?: string;
            /** @description The latest version that the context must have, 0 where it has no messages; 409 otherwise. */
            expectedVersion?: number | null;
            /** @description The externalId that the context must have, as it may have moved to a fork meanwhile; 409 otherwise. */
            expectedExternalId?: components["schemas"]["ExternalId"] | null;
            /** @description A merge patch (RFC 7396) of the context's metadata, stored together with the messages: members are set, and those that are null removed. At most 65,536 bytes of JSON. */
            contextMetadata?: {
                [key: string]: unknown;
            } | null;
            /** @description The format that messages are in, as that provider gave or was sent them. */
            format?: components["schemas"]["Format"];
            /** @description The model that wrote the assistant's messages; kept as it is. */
            model?: components["schemas"]["Name"] | null;
            /** @description Any JSON object of the client's, which every message gets; {} where absent. */
            metadata?: {
                [key: string]: unknown;
            } | null;
            /** @description Tokens of each of messages, taken as they are: shared, as we counted, where one becomes several, and added up where several become one. Where absent, texts are counted, and what is no text is 0. */
            tokenCounts?: components["schemas"]["TokenCounts"] | null;
        };
        /** @description Get what to send to a model next, within a token budget. */
        GetWindowArguments: {
            /** @description Ends the call as soon as it is aborted; a write may then have been stored or not. */
            signal?: AbortSignal | undefined;
            /** @description Milliseconds for each request of the call, which may be several. */
            timeoutMs?: number;
            /** @description Tokens that the window's messages may have together, the head included; required where the policy has none. */
            budget?: number;
            /** @description Whether the preamble is in the window: the system messages that the history begins with, 16 at most. */
            keepPreamble?: boolean;
            /** @description Whether the request, the newest user message, is in the window, unless the newest unit would then not fit. */
            keepRequest?: boolean;
            /**
             * @description `user`: the run moves on to its first user message if that skips at most a quarter of what the head leaves of the budget.
             * @enum {string}
             */
            startOn?: "any" | "user";
            /** @description Tokens by which a full window moves on at once; at most half of what the head leaves of the budget counts. */
            step?: number;
            /** @description Tool messages that lie more than about so many tokens back stay, and their content is `[cleared]`; `off` clears none. */
            clearToolResults?: number | "off";
            /** @description When the window says that a compaction is due: the part of the budget beyond which one is, above 0 and at most 1, and the tokens to leave behind it at most, such as `0.8,4000`; `off` for never. */
            compactionDue?: string | "off";
            /**
             * @description `none` sets the context's own policy aside, its budget too; not its compactions, nor other parameters.
             * @constant
             */
            policy?: "none";
            /** @description Answer as it was when this version was the newest: 0 to the latest version, or a time (RFC 3339): the newest version that existed then. The latest where absent. */
            at?: number | string;
            /** @description The shape of data: `kata` are messages as they are stored, any other the members to put into that provider's request, which it accepts as they are. */
            format?: string;
            /**
             * @description `figures` answers with the figures alone, without data.
             * @constant
             */
            include?: "figures";
            /** @description Get 304 without a body if the answer still has one of these ETags. */
            ifNoneMatch?: string;
        };
        /** @description List a context's compactions. */
        ListCompactionsArguments: {
            /** @description Ends the call as soon as it is aborted; a write may then have been stored or not. */
            signal?: AbortSignal | undefined;
            /** @description Milliseconds for each request of the call, which may be several. */
            timeoutMs?: number;
            /** @description The number to go on below, which is nextCursor of the page before; absent for the first. */
            cursor?: number;
            /** @description How many compactions a page has at most. */
            limit?: number;
        };
        /** @description Let a summary stand in for all messages up to a version. */
        MakeCompactionArguments: {
            /** @description Ends the call as soon as it is aborted; a write may then have been stored or not. */
            signal?: AbortSignal | undefined;
            /** @description Milliseconds for each request of the call, which may be several. */
            timeoutMs?: number;
            /** @description A key of the client's, 1 to 255 visible ASCII characters, that makes it safe to send this again: the same key with the same payload gets the first answer, and nothing is stored twice. */
            idempotencyKey?: string;
            /** @description Who speaks in windows; user where absent. */
            role?: ("user" | "assistant" | "system") | null;
            /** @description Tokens of the summary, taken as they are; counted with o200k_base where absent. */
            tokenCount?: number | null;
            /** @description Any JSON object of the client's, kept to the letter, up to 65,536 bytes as sent; {} where absent. */
            metadata?: {
                [key: string]: unknown;
            } | null;
            /** @description The number of the compaction that must be in force, 0 for none; 409 otherwise. Of several who expect the same at once one wins. */
            expectedNumber?: number | null;
        };
        /** @description Read a compaction. */
        GetCompactionArguments: {
            /** @description Ends the call as soon as it is aborted; a write may then have been stored or not. */
            signal?: AbortSignal | undefined;
            /** @description Milliseconds for each request of the call, which may be several. */
            timeoutMs?: number;
        };
        /** @description Undo a compaction. */
        UndoCompactionArguments: {
            /** @description Ends the call as soon as it is aborted; a write may then have been stored or not. */
            signal?: AbortSignal | undefined;
            /** @description Milliseconds for each request of the call, which may be several. */
            timeoutMs?: number;
        };
        /** @description List a context's forks. */
        ListForksArguments: {
            /** @description Ends the call as soon as it is aborted; a write may then have been stored or not. */
            signal?: AbortSignal | undefined;
            /** @description Milliseconds for each request of the call, which may be several. */
            timeoutMs?: number;
            /** @description How many forks a page has at most. */
            limit?: number;
            /** @description nextCursor of the page before; absent for the first page. */
            cursor?: string;
            /**
             * @description By the time of creation: desc is newest first, asc oldest first.
             * @enum {string}
             */
            order?: "asc" | "desc";
        };
        /** @description Fork a context at a version. */
        ForkContextArguments: {
            /** @description Ends the call as soon as it is aborted; a write may then have been stored or not. */
            signal?: AbortSignal | undefined;
            /** @description Milliseconds for each request of the call, which may be several. */
            timeoutMs?: number;
            /** @description A key of the client's, 1 to 255 visible ASCII characters, that makes it safe to send this again: the same key with the same payload gets the first answer, and nothing is stored twice. */
            idempotencyKey?: string;
            /** @description The version up to which the fork shares the history, 0 for none of it; the latest if absent. 400 above the latest. */
            version?: number | null;
            /** @description The latest version that the parent must have; 409 otherwise. */
            expectedVersion?: number | null;
            /** @description A name for people; null where absent, and not the parent's. */
            name?: components["schemas"]["Name"] | null;
            /** @description Any JSON object of the client's, up to 131,072 bytes as PostgreSQL's jsonb writes it; the parent's where absent. */
            metadata?: {
                [key: string]: unknown;
            } | null;
            /** @description How windows of the fork are chosen, as a whole; the parent's where absent. */
            policy?: components["schemas"]["Policy"] | null;
            /** @description The client's own id for the fork; null where absent, and not the parent's. 409 where a context that is not deleted has it. */
            externalId?: components["schemas"]["ExternalId"] | null;
            /** @description Whether the parent's externalId moves to the fork, at once: what a client calls by that id goes on with the fork. 409 where it has none; not together with externalId. */
            moveExternalId?: boolean | null;
        };
        /** @description Ask whether the service can serve. */
        GetHealthArguments: {
            /** @description Ends the call as soon as it is aborted; a write may then have been stored or not. */
            signal?: AbortSignal | undefined;
            /** @description Milliseconds for each request of the call, which may be several. */
            timeoutMs?: number;
            /**
             * @description readiness asks the process and its database, liveness the process alone.
             * @enum {string}
             */
            probe?: "readiness" | "liveness";
        };
    };
    responses: never;
    parameters: never;
    requestBodies: never;
    headers: never;
    pathItems: never;
}
export type CallId = components['schemas']['CallId'];
export type ClearToolResults = components['schemas']['ClearToolResults'];
export type ClearedMessage = components['schemas']['ClearedMessage'];
export type Code = components['schemas']['Code'];
export type Compaction = components['schemas']['Compaction'];
export type CompactionDue = components['schemas']['CompactionDue'];
export type Content = components['schemas']['Content'];
export type Context = components['schemas']['Context'];
export type Due = components['schemas']['Due'];
export type Format = components['schemas']['Format'];
export type Function = components['schemas']['Function'];
export type Health = components['schemas']['Health'];
export type InForce = components['schemas']['InForce'];
export type Message = components['schemas']['Message'];
export type Name = components['schemas']['Name'];
export type NativeMessage = components['schemas']['NativeMessage'];
export type Part = components['schemas']['Part'];
export type Parts = components['schemas']['Parts'];
export type Policy = components['schemas']['Policy'];
export type Repair = components['schemas']['Repair'];
export type Role = components['schemas']['Role'];
export type Summary = components['schemas']['Summary'];
export type Tokens = components['schemas']['Tokens'];
export type ToolCall = components['schemas']['ToolCall'];
export type WindowPolicy = components['schemas']['WindowPolicy'];
export type Embedding = components['schemas']['Embedding'];
export type ExternalId = components['schemas']['ExternalId'];
export type Holder = components['schemas']['Holder'];
export type NewMessage = components['schemas']['NewMessage'];
export type Time = components['schemas']['Time'];
export type TokenCounts = components['schemas']['TokenCounts'];
export type ToolCalls = components['schemas']['ToolCalls'];
export type Problem = components['schemas']['Problem'];
export type TaggedContext = components['schemas']['TaggedContext'];
export type Figures = components['schemas']['Figures'];
export type ListContextsArguments = components['schemas']['ListContextsArguments'];
export type CreateContextArguments = components['schemas']['CreateContextArguments'];
export type GetContextArguments = components['schemas']['GetContextArguments'];
export type UpdateContextArguments = components['schemas']['UpdateContextArguments'];
export type DeleteContextArguments = components['schemas']['DeleteContextArguments'];
export type ListMessagesArguments = components['schemas']['ListMessagesArguments'];
export type AppendMessagesArguments = components['schemas']['AppendMessagesArguments'];
export type GetWindowArguments = components['schemas']['GetWindowArguments'];
export type ListCompactionsArguments = components['schemas']['ListCompactionsArguments'];
export type MakeCompactionArguments = components['schemas']['MakeCompactionArguments'];
export type GetCompactionArguments = components['schemas']['GetCompactionArguments'];
export type UndoCompactionArguments = components['schemas']['UndoCompactionArguments'];
export type ListForksArguments = components['schemas']['ListForksArguments'];
export type ForkContextArguments = components['schemas']['ForkContextArguments'];
export type GetHealthArguments = components['schemas']['GetHealthArguments'];
export type $defs = Record<string, never>;
export type operations = Record<string, never>;
