// Fails if the page has become larger than its budget: 180 kB of JavaScript and 110 kB of CSS, compressed.
import fs from "node:fs";
import { gzipSync } from "node:zlib";

const dist = new URL("dist/", import.meta.url);
for (const [kind, most] of [
    [".js", 180_000],
    [".css", 110_000],
]) {
    const files = fs.readdirSync(dist).filter((name) => name.endsWith(kind));
    const size = files.reduce((sum, name) => sum + gzipSync(fs.readFileSync(new URL(name, dist)), { level: 9 }).length, 0);
    console.log(`${kind}: ${size} bytes of ${most}`);
    if (size > most) process.exitCode = 1;
}
