import { copyFileSync, mkdirSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { defineConfig, type Plugin } from "vite";

const three_folder = dirname(dirname(createRequire(import.meta.url).resolve("three")));
const draco_folder = join(three_folder, "examples/jsm/libs/draco");
const draco_files = ["draco_wasm_wrapper.js", "draco_decoder.wasm"];

/// Puts Draco's WebAssembly decoder into draco/. DRACOLoader names every build of it with import.meta.url, which would
/// bundle a megabyte that nobody loads: those names are emptied, since decoder.ts sets the paths itself.
function draco_decoder(): Plugin {
  let out = "dist";
  return {
    name: "draco-decoder",
    configResolved: (config) => void (out = resolve(config.root, config.build.outDir)),
    transform: (code, id) =>
      id.includes("loaders/DRACOLoader")
        ? { code: code.replace(/new URL\(\s*'[^']*libs\/draco\/[^']*',\s*import\.meta\.url\s*\)\.toString\(\)/g, "''"), map: null }
        : undefined,
    configureServer: (server) => {
      server.middlewares.use("/draco", (request, response, next) => {
        const name = draco_files.find((file) => request.url === `/${file}`);
        if (!name) return next();
        response.setHeader("content-type", name.endsWith(".wasm") ? "application/wasm" : "text/javascript");
        import("node:fs").then(({ createReadStream }) => createReadStream(join(draco_folder, name)).pipe(response), next);
      });
    },
    closeBundle: () => {
      mkdirSync(join(out, "draco"), { recursive: true });
      for (const file of draco_files) copyFileSync(join(draco_folder, file), join(out, "draco", file));
    },
  };
}

export default defineConfig({
  base: "./", // behind a proxy the pages may lie in any folder
  plugins: [draco_decoder()],
  worker: { format: "es" },
  build: {
    target: "es2022",
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 900,
    rollupOptions: { input: { viewer: resolve(import.meta.dirname ?? dirname(new URL(import.meta.url).pathname), "index.html"),
                              console: resolve(import.meta.dirname ?? dirname(new URL(import.meta.url).pathname), "console.html") } },
  },
});
