// Copies the built files of Swagger UI and ReDoc, their licences and our two pages to bff/static/api_docs.
import { createHash } from "node:crypto";
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const HERE = import.meta.dirname;
const TARGET = join(HERE, "../../bff/static/api_docs");
const SWAGGER_UI = join(HERE, "node_modules/swagger-ui-dist");
const REDOC = join(HERE, "node_modules/redoc");
const FILES = {
  "swagger-ui-bundle.js": join(SWAGGER_UI, "swagger-ui-bundle.js"),
  "swagger-ui-bundle.js.LICENSE.txt": join(SWAGGER_UI, "swagger-ui-bundle.js.LICENSE.txt"),
  "swagger-ui.css": join(SWAGGER_UI, "swagger-ui.css"),
  "swagger-ui.LICENSE.txt": join(SWAGGER_UI, "LICENSE"),
  "swagger-ui.NOTICE.txt": join(SWAGGER_UI, "NOTICE"),
  "redoc.standalone.js": join(REDOC, "bundles/redoc.standalone.js"),
  "redoc.standalone.js.LICENSE.txt": join(REDOC, "bundles/redoc.standalone.js.LICENSE.txt"),
  "redoc.LICENSE.txt": join(REDOC, "LICENSE"),
};

// The maps are as large as the files again, and not copied; ReDoc's logo is the one thing it loads from elsewhere.
function offline(text) {
  return text
    .replace(/\n\/[/*]# sourceMappingURL=\S+(?: \*\/)?\s*$/, "\n")
    .replaceAll("https://cdn.redoc.ly/redoc/logo-mini.svg", "data:,");
}

rmSync(TARGET, { recursive: true, force: true });
mkdirSync(TARGET, { recursive: true });
for (const name of readdirSync(join(HERE, "src"))) copyFileSync(join(HERE, "src", name), join(TARGET, name));
for (const [name, path] of Object.entries(FILES)) {
  if (!/\.(js|css)$/.test(name)) copyFileSync(path, join(TARGET, name));
  else writeFileSync(join(TARGET, name), offline(readFileSync(path, "utf8")));
}

// What the copy was made from; tests/contract/test_api_docs_bundle.py computes the same.
const hash = createHash("sha256");
const ours = ["copy.js", "package.json", "package-lock.json", ...readdirSync(join(HERE, "src")).map((name) => `src/${name}`)];
for (const name of ours.sort()) hash.update(name + "\0").update(readFileSync(join(HERE, name))).update("\0");
writeFileSync(join(TARGET, "SOURCES.sha256"), hash.digest("hex") + "\n");
