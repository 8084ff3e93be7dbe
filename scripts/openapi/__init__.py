"""`python -m scripts.openapi`: writes public/openapi.json from the models, the errors and what stands here.

And of that the API reference, public/docs/index.html, and public/llms.txt.

__main__   the command
document   the document: its operations, and what each of them does
parts      what operations are made of: parameters, bodies, answers, problems
schemas    the schemas of what is taken and answered
examples   a conversation as requests and answers; a test has it with the server
reference  the page
members    descriptions and schemas as HTML
snippets   what the page shows in curl, Python and TypeScript
llms       llms.txt
texts/     what is filled in for the page and llms.txt, and the snippets for the clients
"""
