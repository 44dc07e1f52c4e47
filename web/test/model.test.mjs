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

test("a line of time has the newest snapshot at its end, and each older one further back", async () => {
    const { lanesOf, marksOf, placesOnLine } = await source("model/timeline.ts");
    assert.deepEqual(placesOnLine([]), []);
    assert.deepEqual(placesOnLine([5, 5]), [98, 98]);
    const day = 86_400e6;
    const times = [0, 700, 1000, 1400, 1409, 1410].map((days) => days * day);
    const places = placesOnLine(times);
    assert.equal(places[0], 2);
    assert.equal(places.at(-1), 98);
    assert.deepEqual([...places].sort((a, b) => a - b), places);
    // A day at the end has more room than its share of the four years.
    assert.ok(places[5] - places[4] > 0.5, String(places));
    assert.deepEqual(marksOf(times).map(({ place }) => place), [2, 50, 98]);
    assert.equal(marksOf([0, 1]).length, 1, "the same time is there once");
    assert.deepEqual(lanesOf([{ backup: "photos" }, { backup: "home" }, { backup: "photos" }]), ["home", "photos"]);
});

test("a simple limit has a number and two times, another keeps its words", async () => {
    const { limitOf, limitWords, newName, ruleOf } = await source("model/destinations.ts");
    for (const words of [["20MiB/s"], ["5MiB/s 23:00-08:00"], []]) assert.deepEqual(limitWords(limitOf(words)), words);
    assert.equal(limitOf(["20MiB/s 08:00-23:00", "5MiB/s 23:00-08:00"]), undefined);
    assert.equal(limitOf(["900KiB/s"]), undefined);
    const blue = { id: "3f2a", path: "a", label: "Blue", title: "Blue", hardware: true, names: ["3f2a", "Blue"] };
    assert.equal(newName(blue, [blue], []), "Blue");
    assert.equal(newName(blue, [blue, { ...blue, path: "b" }], []), "3f2a");
    assert.equal(newName(blue, [blue], [{ name: "Blue" }]), "3f2a");
    assert.equal(newName({ ...blue, label: "a/b" }, [blue], []), "3f2a");
    assert.equal(ruleOf([{ name: "office", kind: "drive", drive: "Blue" }], blue).name, "office");
    assert.equal(ruleOf([{ name: "Blue", kind: "volume", drive: "" }], blue), undefined);
});

/** An upload of this file over a channel that is only recorded. `say` is the output of the command line. */
async function uploading(file) {
    const { upload } = await source("model/streams.ts");
    const listeners = {};
    const host = { sent: 0, closed: [], calls: [], say: (text) => listeners.message({}, text) };
    const channel = {
        send: (piece) => (host.sent += piece.byteLength),
        control: () => undefined,
        close: (problem) => {
            host.closed.push(problem);
            listeners.close({}, { problem });
        },
        addEventListener: (event, listener) => (listeners[event] = listener),
    };
    globalThis.window.cockpit.channel = () => channel;
    const bus = { call: async (path, _iface, method) => host.calls.push(`${method} ${path.split("/").at(-1)}`) };
    return { host, ended: upload(bus, file, "tank", () => undefined).ended };
}
const STARTED = `${JSON.stringify({ event: "started", job: { id: "7", bytes_received: 0 } })}\n`;

test("an upload stops if the browser cannot read the file", async () => {
    const unreadable = new DOMException("The file could not be read", "NotReadableError");
    let pieces = 0;
    let fail;
    const piece = () => {
        pieces += 1;
        return pieces === 1 ? Promise.resolve(new ArrayBuffer(10)) : new Promise((_resolve, reject) => (fail = () => reject(unreadable)));
    };
    const { host, ended } = await uploading({ size: 20, slice: () => ({ arrayBuffer: piece }) });
    await new Promise(setImmediate);
    host.say(STARTED);
    fail();
    await assert.rejects(ended, unreadable);
    assert.equal(host.sent, 10);
    assert.deepEqual(host.calls, ["Cancel 7"]);
    assert.deepEqual(host.closed, ["cancelled"]);
});

test("an upload stops at output that is no JSON", async () => {
    const { host, ended } = await uploading(new Blob(["a stream"]));
    host.say(`${STARTED}no JSON\n${STARTED}`);
    await assert.rejects(ended, SyntaxError);
    assert.deepEqual(host.calls, ["Cancel 7"]);
    assert.deepEqual(host.closed, ["cancelled"]);
});

/** A `Bus` over connections that are only recorded. `name.owner` is the owner of the service's name, empty without one. */
async function connected() {
    const { Bus } = await source("model/bus.ts");
    const name = { owner: ":1.1", clients: [], changed: () => undefined };
    globalThis.window.cockpit.dbus = (of) => {
        const listeners = {};
        const client = {
            call: async (_path, _iface, method) => {
                if (method === "GetNameOwner" && name.owner === "") throw { message: "no owner" };
                return method === "GetNameOwner" ? [name.owner] : [{}];
            },
            subscribe: (_match, callback) => {
                if (of !== NAME) name.changed = (owner) => callback("", "", "", [NAME, "", owner]);
            },
            addEventListener: (event, listener) => (listeners[event] = listener),
            close: () => listeners.close({}, { message: "closed" }),
        };
        if (of === NAME) name.clients.push(client);
        return client;
    };
    return { bus: new Bus(), name };
}
const settled = () => new Promise(setImmediate);

test("a service that restarts before its connection is closed is connected again, once", async () => {
    const { bus, name } = await connected();
    await settled();
    name.changed("");
    name.owner = ":1.2";
    name.changed(":1.2");
    assert.equal(name.clients.length, 1);
    name.clients[0].close();
    await settled();
    assert.equal(name.clients.length, 2);
    assert.equal(bus.snapshot().service, "running");
    name.clients[1].close();
    await settled();
    assert.equal(name.clients.length, 2, "one attempt for each owner");
    assert.equal(bus.snapshot().service, "absent");
    name.owner = ":1.3";
    name.changed(":1.3");
    await settled();
    assert.equal(name.clients.length, 3);
    assert.equal(bus.snapshot().service, "running");
});

test("a service that was stopped is not started by the page", async () => {
    const { bus, name } = await connected();
    await settled();
    // The connection may be closed before the bus tells it.
    name.owner = "";
    name.clients[0].close();
    name.changed("");
    await settled();
    assert.equal(name.clients.length, 1);
    assert.equal(bus.snapshot().service, "absent");
});

test("a job says how fast it is, and how fast it may be", async () => {
    const { jobDetails } = await source("model/jobs.ts");
    const job = { state: "running", total: 4e9, received: 1e9, rate: 2e7, maxRate: 0, expectedEnd: 0 };
    assert.equal(jobDetails(job), "1 GB of 4 GB · 20 MB/s");
    assert.equal(jobDetails({ ...job, maxRate: 5e7 }), "1 GB of 4 GB · 20 MB/s · limited to 50 MB/s");
    assert.equal(jobDetails({ ...job, state: "queued", maxRate: 5e7 }), "Waiting for its turn");
});
