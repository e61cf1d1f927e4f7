// SPDX-License-Identifier: Apache-2.0
// The API's types from its document: `node types.mjs [--check] [DOCUMENT]`. Only the shapes of answers and bodies; the
// paths are few and written where they are asked for.
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import openapiTS, { astToString } from "openapi-typescript";

const OUT = fileURLToPath(new URL("src/api/schema.d.ts", import.meta.url));
const args = process.argv.slice(2);
const document =
  args.find((arg) => !arg.startsWith("--")) ?? fileURLToPath(new URL("../schema/openapi.json", import.meta.url));
const { paths: _, ...shapes } = JSON.parse(readFileSync(document, "utf8"));
const ast = await openapiTS({ ...shapes, paths: {} }, { defaultNonNullable: false });
const text = `// SPDX-License-Identifier: Apache-2.0\n// Generated from schema/openapi.json by \`ui/run types\`.\n${astToString(ast)}`;

if (!args.includes("--check")) {
  writeFileSync(OUT, text);
} else if (readFileSync(OUT, "utf8") !== text) {
  process.stderr.write(
    "src/api/schema.d.ts does not fit schema/openapi.json: run `ui/run types` and look at what changed\n",
  );
  process.exitCode = 1;
}
