// Fails if a text of the sources has no translation, a translation has no text, or a placeholder was lost.
import { fileURLToPath } from "node:url";
import fs from "node:fs";
import path from "node:path";
import { texts, translations } from "./po.mjs";

const HERE = path.dirname(fileURLToPath(import.meta.url));
const wanted = texts();
const faults = [];
const placeholders = (text) => [...text.matchAll(/\{\w+\}/g)].map(String).sort().join();
for (const file of fs.readdirSync(HERE).filter((name) => name.endsWith(".po"))) {
    const known = translations(path.join(HERE, file));
    for (const [text, plural] of wanted) {
        const forms = known.get(text);
        const count = plural === undefined ? 1 : 2;
        if (!forms || forms.length !== count || forms.some((form) => !form)) faults.push(`${file}: not translated: ${JSON.stringify(text)}`);
        else if (forms.some((form) => placeholders(form) !== placeholders(text))) faults.push(`${file}: other placeholders: ${JSON.stringify(text)}`);
    }
    for (const text of known.keys()) if (!wanted.has(text)) faults.push(`${file}: no source has: ${JSON.stringify(text)}`);
}
for (const fault of faults) console.error(fault);
process.exitCode = faults.length > 0 ? 1 : 0;
