// SPDX-License-Identifier: Apache-2.0
import vue from "@vitejs/plugin-vue";
import { defineConfig } from "vitest/config";

// Where the API answers while developing: `cargo run -p lictor-http --example serve`, or a running lictord.
const server = process.env.LICTOR_SERVER ?? "http://127.0.0.1:7480";

export default defineConfig({
  plugins: [vue()],
  build: {
    target: ["chrome123", "firefox121", "safari17.5"],
    // The content security policy permits only what the server itself serves: no data: URLs.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  server: {
    // The schemas of the repository, beside this folder.
    fs: { allow: [".."] },
    // `changeOrigin` and the rewritten Origin: the server answers only to its own name.
    proxy: {
      "/api": {
        target: server,
        changeOrigin: true,
        ws: true,
        headers: { origin: server },
      },
    },
  },
  test: {
    include: ["tests/**/*.test.ts"],
    environment: "node",
  },
});
