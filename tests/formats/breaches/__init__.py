"""Breaches of each provider's rules: the least changes of its example, each of which breaks one rule and no other.

Each module of a provider has CASES: the one complaint, and the edits that call for it, made one after the other.

openai_chat, openai_responses, anthropic, gemini, ai_sdk      as the modules of rules
edits        what an edit is, and a conversation with some made
"""
