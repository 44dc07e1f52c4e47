// Builds the page into dist/: `node build.mjs`, with --watch again after each change. The same sources give the same bytes.
import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { context } from "esbuild";
import { languages } from "./po/po.mjs";

const ROOT = path.dirname(fileURLToPath(import.meta.url));
const DIST = path.join(ROOT, "dist");

/** PatternFly's fonts are Cockpit's too, at another place: the page takes those of the system, and asks for no file. Of the
 *  themes Cockpit has the light and the dark one. */
const slimmed = {
    name: "slimmed",
    setup(build) {
        build.onLoad({ filter: /patternfly.*\.css$/ }, ({ path: file }) => ({
            contents: fs
                .readFileSync(file, "utf8")
                .replace(/@font-face\s*\{[^}]*\}/g, "")
                .replace(/^:root:where\([^)]*-(?:felt|glass|high-contrast)\b[^)]*\)\s*\{[^}]*\}/gm, ""),
            loader: "css",
        }));
    },
};

/** What is not bundled: the page, its manifest, and the translations. */
const copies = {
    name: "copies",
    setup(build) {
        build.onEnd(() => {
            for (const name of ["index.html", "manifest.json"]) {
                fs.copyFileSync(path.join(ROOT, "src", name), path.join(DIST, name));
            }
            // Only its chunk is needed.
            for (const name of ["vendor.js", "vendor.css"]) fs.rmSync(path.join(DIST, name));
            for (const { language, script } of languages()) {
                fs.writeFileSync(path.join(DIST, `po.${language}.js`), script);
            }
        });
    },
};

fs.rmSync(DIST, { recursive: true, force: true });
fs.mkdirSync(DIST);
const build = await context({
    absWorkingDir: ROOT,
    // What both entries use is one chunk: React and PatternFly, which change seldom.
    entryPoints: { index: "src/index.tsx", vendor: "src/vendor.ts" },
    outdir: "dist",
    bundle: true,
    splitting: true,
    format: "esm",
    target: ["es2022"],
    jsx: "automatic",
    minify: true,
    legalComments: "none",
    chunkNames: "vendor-chunk",
    define: { "process.env.NODE_ENV": '"production"' },
    plugins: [slimmed, copies],
    logLevel: "info",
});
if (process.argv.includes("--watch")) await build.watch();
else {
    await build.rebuild();
    await build.dispose();
}
