// Brings every LANGUAGE.po up to date with the sources: new texts get an empty translation, unused ones go.
import { fileURLToPath } from "node:url";
import fs from "node:fs";
import path from "node:path";
import { texts, translations } from "./po.mjs";

const HERE = path.dirname(fileURLToPath(import.meta.url));
const wanted = [...texts()].sort(([a], [b]) => (a < b ? -1 : 1));
for (const file of fs.readdirSync(HERE).filter((name) => name.endsWith(".po"))) {
    const known = translations(path.join(HERE, file));
    const language = file.slice(0, -3);
    const entries = wanted.map(([text, plural]) => {
        const forms = known.get(text) ?? [];
        const form = (index) => JSON.stringify(forms[index] ?? "");
        return plural === undefined
            ? `msgid ${JSON.stringify(text)}\nmsgstr ${form(0)}\n`
            : `msgid ${JSON.stringify(text)}\nmsgid_plural ${JSON.stringify(plural)}\nmsgstr[0] ${form(0)}\nmsgstr[1] ${form(1)}\n`;
    });
    const head =
        `msgid ""\nmsgstr ""\n"Content-Type: text/plain; charset=UTF-8\\n"\n"Language: ${language}\\n"\n` +
        `"Plural-Forms: nplurals=2; plural=(n != 1);\\n"\n`;
    fs.writeFileSync(path.join(HERE, file), [head, ...entries].join("\n"));
}
