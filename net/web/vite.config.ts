import { dirname, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { defineConfig, type Plugin } from "vite";

const here = (file: string): string => resolve(dirname(fileURLToPath(import.meta.url)), file);

/// DRACOLoader names every build of Draco with import.meta.url, which would bundle a megabyte that nobody loads: those names are
/// emptied, since decoder.ts brings the one that it takes.
const no_other_draco: Plugin = {
  name: "no-other-draco",
  transform: (code, id) =>
    id.includes("loaders/DRACOLoader")
      ? { code: code.replace(/new URL\(\s*'[^']*libs\/draco\/[^']*',\s*import\.meta\.url\s*\)\.toString\(\)/g, "''"), map: null }
      : undefined,
};

/// The pages; with `--mode element`, beside them, the element as one module that asks for no further file, so that it can be
/// loaded from anywhere. (Vite's own library mode would leave its blanks in.)
const pages = { input: { viewer: here("index.html"), console: here("console.html") } };
const element = {
  input: { element: here("src/element/tessera_view.ts") },
  preserveEntrySignatures: "strict" as const,
  output: { entryFileNames: "[name].js", inlineDynamicImports: true },
};

export default defineConfig(({ command, mode }) => ({
  base: "./", // behind a proxy the pages may lie in any folder
  plugins: [no_other_draco],
  worker: { format: "es" as const },
  logLevel: command === "build" ? "warn" : "info",
  build: {
    target: "es2022",
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: mode === "element" ? 1400 : 900,
    emptyOutDir: mode !== "element",
    rollupOptions: mode === "element" ? element : pages,
  },
}));
