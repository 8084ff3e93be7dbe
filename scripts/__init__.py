"""Commands, one file or folder each: `python -m scripts.NAME`. None of them is deployed.

dev      serve the API on this machine
migrate  apply migrations/ to a database
load     load transcripts over HTTP
openapi  write public/openapi.json
drawing  draw docs/windows.svg
bundle   build what Vercel deploys, check it and run it
clients  build the packages of clients/ and test them as installed
vendor   copy what the pages take from npm out of pinned tarballs
smoke    prove that a deployment works
bench    measure the API against floors
chaos    break everything around the service while it is used

No commands:

statements  split the text of SQL, for migrate
replay      transcripts as one thread, for bench and drawing
stack       what the others run on

Arrows: bench and chaos -> the other commands -> stack -> migrate, lib, api; migrate -> statements. bench and chaos know
nothing of each other.
"""
