"""`python -m scripts.openapi`: writes public/openapi.json from the models, the errors and what stands here.

__main__  the command
document  the document: its operations, and what each of them does
parts     what operations are made of: parameters, bodies, answers, problems
schemas   the schemas of what is taken and answered
examples  a conversation as requests and answers; a test has it with the server
"""
