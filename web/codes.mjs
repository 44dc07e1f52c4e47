// Fails if the page has no words for a problem that dbus/README.md lists, or for one that does not exist.
import fs from "node:fs";

const read = (name) => fs.readFileSync(new URL(name, import.meta.url), "utf8");
const [, table] = read("../dbus/README.md").split("\n## Problems\n");
const listed = [...table.split("\n## ")[0].matchAll(/^\| `([a-z-]+)` \|/gm)].map(([, code]) => code);
const [, words] = read("src/model/problems.ts").split("const WORDS");
const worded = [...words.matchAll(/^ {4}"([a-z-]+)": \(/gm)].map(([, code]) => code);
if (listed.length < 20) throw new Error("dbus/README.md has no table of problems");
for (const code of listed.filter((one) => !worded.includes(one))) console.error(`src/model/problems.ts has no words for ${code}`);
for (const code of worded.filter((one) => !listed.includes(one))) console.error(`dbus/README.md does not list ${code}`);
process.exitCode = listed.length === worded.length && listed.every((one) => worded.includes(one)) ? 0 : 1;
