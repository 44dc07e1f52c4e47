// The model without a browser: what the menu says, what a rule keeps, the values of the bus.
import assert from "node:assert/strict";
import path from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

globalThis.window = {
    cockpit: { gettext: (text) => text, ngettext: (one, many, n) => (n === 1 ? one : many), language: "en" },
};

/** A module of the sources. */
async function source(name) {
    const entry = path.join(path.dirname(fileURLToPath(import.meta.url)), "../src", name);
    const { outputFiles } = await build({ entryPoints: [entry], bundle: true, format: "esm", write: false });
    return import(`data:text/javascript;base64,${Buffer.from(outputFiles[0].contents).toString("base64")}`);
}

const NAME = "org.butterdock.Butterdock1";
const backup = (properties) => ({ [`${NAME}.Backup`]: { Name: "home", Overdue: false, Problems: [], ...properties } });
const drive = (properties) => ({ [`${NAME}.Destination`]: { Problems: [], ...properties } });

test("the menu shows the worst of problems and overdue backups", async () => {
    const { statusOf } = await source("status.ts");
    const status = (objects) => statusOf({ objects });
    assert.equal(status({}), null);
    assert.equal(status({ a: backup({}), b: drive({}) }), null);
    assert.deepEqual(status({ a: backup({ Overdue: true }), b: backup({ Overdue: true }) }), {
        type: "warning",
        title: "2 backups are overdue",
    });
    assert.equal(status({ b: drive({ Problems: [["drive-locked", {}, ""]] }) }), null, "a locked drive is no problem");
    assert.deepEqual(status({ a: backup({ Overdue: true }), b: drive({ Problems: [["drive-full", {}, ""]] }) }), {
        type: "error",
        title: "The drive is full",
    });
    assert.deepEqual(status({ b: drive({ Problems: [["of-a-later-version", {}, "Something is wrong."]] }) }), {
        type: "warning",
        title: "Something is wrong.",
    });
});

test("a rule keeps the newest snapshot of each period", async () => {
    const { kept, KEEP } = await source("model/backups.ts");
    const none = { last: 0, hourly: 0, daily: 0, weekly: 0, monthly: 0, yearly: 0 };
    assert.deepEqual(kept(none), []);
    assert.deepEqual(kept({ ...none, last: 3 }), [0, 1, 2]);
    assert.deepEqual(kept({ ...none, daily: 4 }), [0, 1, 2, 3]);
    assert.deepEqual(kept({ ...none, weekly: 3 }), [0, 7, 14]);
    assert.equal(kept({ ...none, hourly: 24 }).length, 24);
    const usual = kept(KEEP);
    assert.ok(usual.at(-1) > 365 * 4 && usual.length < 42, String(usual));
});

test("values of the bus become plain, and names lose their escapes", async () => {
    const { idOf, options, plain } = await source("model/bus.ts");
    assert.deepEqual(plain({ a: { t: "as", v: ["x"] }, b: { t: "a{sv}", v: { c: { t: "b", v: true } } } }), { a: ["x"], b: { c: true } });
    assert.equal(idOf("/org/butterdock/Butterdock1/backups/my_2dh_c3_b6me"), "my-höme");
    assert.deepEqual(options({ create: true, limit: 5, name: "x", reset: ["keep"], missing: undefined }), {
        create: { t: "b", v: true },
        limit: { t: "t", v: 5 },
        name: { t: "s", v: "x" },
        reset: { t: "as", v: ["keep"] },
    });
});

test("sizes and durations are in the units that people use", async () => {
    const { duration, size } = await source("model/format.ts");
    assert.deepEqual([0, 999, 1000, 1_500_000, 999_600, 2e12].map(size), ["0 B", "999 B", "1 kB", "1.5 MB", "1 MB", "2 TB"]);
    assert.deepEqual([0.2, 59, 61, 5400, 200_000].map(duration), ["1 second", "59 seconds", "2 minutes", "2 hours", "3 days"]);
});
