import { defineConfig } from "vitest/config";

// On a busy machine a test that takes a moment may take a minute.
const patience_ms = 120_000;

export default defineConfig({
  test: { include: ["tests/*.test.ts"], environment: "node", testTimeout: patience_ms, hookTimeout: patience_ms,
    teardownTimeout: patience_ms },
});
