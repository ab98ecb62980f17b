import { defineConfig } from "vite";

export default defineConfig({
  // The page may be served below any path, and its policy allows no data: URLs.
  base: "./",
  build: {
    outDir: "../static",
    emptyOutDir: true,
    assetsInlineLimit: 0,
    modulePreload: false,
    target: "es2022",
  },
});
