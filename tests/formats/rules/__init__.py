"""The judge of windows in providers' formats: what each provider refuses, written from its own rules and not from ours.

Each module of a provider has one pure function, `broken(data, natives=False)`: every rule that the members of a request
break, each as a sentence with its place; [] where none is broken. Rules are those that every current model refuses,
and where models, hosts or sources differ, what is safe on all of them. Natives are what the provider itself gave:
members and blocks of theirs that are not listed here are let pass then, and so are later system messages.

openai_chat        Chat Completions: messages
openai_responses   Responses: instructions and input
anthropic          Messages: system and messages
gemini             generateContent: systemInstruction and contents
ai_sdk             Vercel's AI SDK, versions 5, 6 and 7: system and messages
shapes             which members an object may have, and what they hold
values             what a text, a URL, base64 and arguments must be
"""
