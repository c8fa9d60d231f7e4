import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join, relative, sep } from "node:path";
import { defineConfig } from "vite";

const HERE = import.meta.dirname;
const ROOT = join(HERE, "../..");

// What can change the bundle: this folder without node_modules, dist and README.md, and the operations that
// src/operations.js names. tests/contract/test_graphiql_bundle.py computes the same.
function sources() {
  const ours = readdirSync(HERE, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(HERE, join(entry.parentPath, entry.name)))
    .filter((path) => !/^(node_modules|dist)[/\\]|^README\.md$/.test(path))
    .map((path) => join(HERE, path));
  const named = readFileSync(join(HERE, "src/operations.js"), "utf8").matchAll(/operations\/\w+\.graphql/g);
  const operations = [...named].map(([path]) => join(ROOT, path));
  return [...ours, ...new Set(operations)].map((path) => relative(ROOT, path).split(sep).join("/")).sort();
}

const recordSources = {
  name: "record-sources",
  generateBundle() {
    const hash = createHash("sha256");
    for (const path of sources()) {
      hash.update(path + "\0").update(readFileSync(join(ROOT, path))).update("\0");
    }
    this.emitFile({ type: "asset", fileName: "SOURCES.sha256", source: hash.digest("hex") + "\n" });
  },
};

export default defineConfig({
  base: "./", // relative, so the page works wherever it is mounted
  esbuild: { jsx: "automatic" },
  plugins: [recordSources],
  worker: { format: "es" },
  build: {
    outDir: "../../bff/static/graphiql",
    emptyOutDir: true,
    target: "es2022",
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 4000, // monaco is one piece, and the page is served from localhost
    rollupOptions: {
      // Dependencies say "use client" to server renderers, of which we have none.
      onwarn: (warning, warn) => warning.code === "MODULE_LEVEL_DIRECTIVE" || warn(warning),
    },
    license: { fileName: "LICENSES.md" }, // the bundle carries other people's code, so their terms come along
  },
});
