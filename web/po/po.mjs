// Translations: the texts of the sources, and the files LANGUAGE.po with their translations.
import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

const HERE = path.dirname(fileURLToPath(import.meta.url));
const SOURCES = path.join(HERE, "../src");

/** The texts of the sources: the text, and its plural if it has one. */
export function texts() {
    const found = new Map();
    for (const file of fs.readdirSync(SOURCES, { recursive: true }).sort()) {
        if (!/\.tsx?$/.test(file) || file.endsWith(".d.ts")) continue;
        const source = fs.readFileSync(path.join(SOURCES, file), "utf8");
        const text = String.raw`"((?:[^"\\]|\\.)*)"`;
        for (const [, one] of source.matchAll(new RegExp(String.raw`(?<![\w.])_\(\s*${text}\s*,?\s*\)`, "g"))) found.set(read(one), undefined);
        for (const [, one, many] of source.matchAll(new RegExp(String.raw`\bcounted\(\s*${text},\s*${text}`, "g"))) {
            found.set(read(one), read(many));
        }
        const calls = [...source.matchAll(/(?<![\w.])(?:_|counted)\((?!text)/g)].length;
        const literal = [...source.matchAll(/(?<![\w.])(?:_|counted)\(\s*"/g)].length;
        if (calls !== literal) throw new Error(`${file}: a text to translate is not a literal`);
    }
    // Cockpit's menu shows the label of the manifest.
    const manifest = JSON.parse(fs.readFileSync(path.join(SOURCES, "manifest.json"), "utf8"));
    for (const { label } of Object.values(manifest.menu)) found.set(label, undefined);
    return found;
}

/** The translations of a file: by text, the forms. */
export function translations(file) {
    const found = new Map();
    let text;
    let forms = [];
    let last;
    const keep = () => {
        if (text) found.set(text, forms);
        text = undefined;
        forms = [];
    };
    for (const line of fs.readFileSync(file, "utf8").split("\n")) {
        const field = /^(msgid_plural|msgid|msgstr(?:\[(\d)\])?)\s+"(.*)"$/.exec(line);
        const more = /^"(.*)"$/.exec(line);
        if (field?.[1] === "msgid") {
            keep();
            text = read(field[3]);
            last = "msgid";
        } else if (field?.[1] === "msgid_plural") last = "plural";
        else if (field) {
            last = Number(field[2] ?? 0);
            forms[last] = read(field[3]);
        } else if (more && last === "msgid") text += read(more[1]);
        else if (more && typeof last === "number") forms[last] += read(more[1]);
    }
    keep();
    return found;
}

/** Every language with a file, and the script that gives its texts to cockpit.js. */
export function languages() {
    return fs
        .readdirSync(HERE)
        .filter((file) => file.endsWith(".po"))
        .sort()
        .map((file) => {
            const language = file.slice(0, -3);
            const wanted = texts();
            const entries = [...translations(path.join(HERE, file))]
                .filter(([text]) => wanted.has(text))
                .sort(([a], [b]) => (a < b ? -1 : 1))
                .map(([text, forms]) => `${JSON.stringify(text)}:${JSON.stringify([null, ...forms])}`);
            const head = `"":{"plural-forms":(n)=>n!=1?1:0,"language":${JSON.stringify(language)},"language-direction":"ltr"}`;
            return { language, script: `cockpit.locale({${[head, ...entries].join(",\n")}});\n` };
        });
}

const read = (text) => JSON.parse(`"${text}"`);
