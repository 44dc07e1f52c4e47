// Restoring in the page, with the real service.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { pipeline } from "node:stream/promises";
import fs from "node:fs";
import path from "node:path";
import { after, before } from "node:test";
import { Browser } from "./browser.mjs";
import { FULL, Machine, run, until } from "./machine.mjs";
import { story } from "./story.mjs";

/** Blanks, an umlaut, quotes, and a byte that is no UTF-8. */
const NAME = Buffer.concat([Buffer.from("a  ü 'quoted\" $x \\ "), Buffer.from([0xff]), Buffer.from(".bin")]);
/** The large file: data, holes, and data again. */
const LARGE = "Ferien am Meer, größer.bin";
const LARGE_SIZE = FULL ? 5e9 : 3e8;
let machine;
let browser;
let page;
const test = story();
const digest = async (file) => {
    const hash = createHash("sha256");
    await pipeline(fs.createReadStream(file), hash);
    return hash.digest("hex");
};
/** Downloads the chosen file. Returns where the browser saved it. */
const download = async () => {
    const [saved] = await Promise.all([page.tab.waitForEvent("download"), page.find('[data-action="download"]').click()]);
    return saved;
};
/** The page says how the download, or the job with these words, ended. */
const ended = async (result, words = "") => {
    const end = page.find(`[data-read="${result}"]`, { hasText: words });
    await end.waitFor();
    const text = await end.innerText();
    await end.getByRole("button").click();
    return text;
};

before(async () => {
    machine = await Machine.start();
    const folder = path.join(machine.home, "letters");
    fs.mkdirSync(folder);
    fs.writeFileSync(path.join(folder, "first"), "the first version\n");
    fs.symlinkSync("/etc", path.join(folder, "elsewhere"));
    run("dd", "if=/dev/urandom", `of=${machine.home}/random`, "bs=1M", "count=30", "status=none");
    fs.renameSync(path.join(machine.home, "random"), Buffer.concat([Buffer.from(`${machine.home}/`), NAME]));
    const large = path.join(machine.home, LARGE);
    run("truncate", `--size=${LARGE_SIZE}`, large);
    for (const place of [0, 0.3, 0.999]) {
        const seek = `seek=${Math.floor((place * LARGE_SIZE) / 1048576)}`;
        run("dd", "if=/dev/urandom", `of=${large}`, "bs=1M", "count=1", seek, "conv=notrunc", "status=none");
    }
    // A hole: it takes no room, and long enough to download.
    run("truncate", "--size=8G", `${machine.home}/huge`);
    await machine.daemon();
    const blue = machine.drive("blue");
    const device = blue.plug();
    await until("the drive is enrolled", () =>
        machine.butterdock("enrol", device, "--format", "--label", "Blue", "--yes-erase", String(blue.size)).status === 0,
    );
    assert.equal(machine.butterdock("backup", "add", "home", machine.home, "--to", "Blue").status, 0);
    assert.equal(machine.butterdock("backup", "home").status, 0);
    fs.writeFileSync(path.join(folder, "first"), "the second version, which is longer\n");
    assert.equal(machine.butterdock("backup", "home").status, 0);
    browser = await Browser.start();
    page = await browser.open(await machine.cockpit(), { place: "butterdock/index#/restore" });
});

after(async () => {
    await browser?.stop();
    await machine?.stop();
});

test("the snapshots of a drive are listed with their files", async () => {
    await page.waitFor('[data-file="letters"]');
    assert.equal(await page.find("[data-snapshot]").count(), 2);
    assert.deepEqual(await page.picture("restore"), []);
});

test("the keys move along the line of time", async () => {
    const line = page.find("[data-line]");
    const chosen = () => page.find('[data-snapshot][aria-current="true"]').getAttribute("data-snapshot");
    assert.equal(await line.getAttribute("data-line"), "2");
    const newest = await chosen();
    await line.focus();
    await line.press("ArrowLeft");
    assert.equal(await line.getAttribute("aria-valuenow"), "1");
    await until("the list shows the older one", async () => (await chosen()) !== newest);
    await page.waitFor('[data-file="letters"]');
    await line.press("End");
    await until("the list shows the newest one", async () => (await chosen()) === newest);
    await page.waitFor('[data-file="letters"]');
});

test("a file with any name is downloaded whole", async () => {
    await page.find("[data-file]", { hasText: "quoted" }).locator("input").check();
    const saved = await download();
    const original = Buffer.concat([Buffer.from(`${machine.home}/`), NAME]);
    assert.equal(await digest(await saved.path()), await digest(original));
    await ended("succeeded");
    await page.find("[data-file]", { hasText: "quoted" }).locator("input").uncheck();
});

test("a large file is downloaded whole", async () => {
    await page.find(`[data-file="${LARGE}"] input`).check();
    const saved = await download();
    assert.equal(saved.suggestedFilename(), LARGE);
    const file = await saved.path();
    assert.equal(fs.statSync(file).size, LARGE_SIZE);
    assert.equal(await digest(file), await digest(path.join(machine.home, LARGE)));
    assert.match(await ended("succeeded"), /complete/);
    await saved.delete();
    await page.find(`[data-file="${LARGE}"] input`).uncheck();
});

test("a download that is stopped midway is shown as failed", async () => {
    await page.find('[data-file="huge"] input').check();
    await page.find('[data-action="download"]').click();
    await page.waitFor('[data-job="read"]');
    const { stdout } = machine.butterdock("jobs", "--json");
    const job = JSON.parse(stdout).jobs.find(({ kind, state }) => kind === "read" && state === "running");
    const cancelled = machine.butterdock("cancel", job.id);
    assert.equal(cancelled.status, 0, cancelled.stderr);
    assert.match(await ended("cancelled"), /not complete/);
});

test("an older version of a file is found, and put back beside the newer one", async () => {
    await page.find('[data-file="letters"]').getByRole("button").click();
    await page.find('[data-file="first"] input').check();
    await page.find('[data-action="versions"]').click();
    await until("both versions are listed", async () => (await page.find("[data-version]").count()) === 2);
    assert.deepEqual(await page.picture("versions"), []);
    await page.find("[data-version]").last().getByRole("button").click();
    await page.find('[data-file="letters"]').getByRole("button").click();
    await page.find('[data-file="first"] input').check();
    await page.find('[data-action="put-back"]').click();
    await page.waitFor("#target-keep-both");
    assert.deepEqual(await page.picture("put-back"), []);
    await page.find('[data-action="submit"]').click();
    await page.waitFor("[role=dialog]", "detached");
    const folder = path.join(machine.home, "letters");
    const restored = await until("the file is there", () => fs.readdirSync(folder).find((name) => name.startsWith("first.restored-")));
    assert.equal(fs.readFileSync(path.join(folder, restored), "utf8"), "the first version\n");
    assert.equal(fs.readFileSync(path.join(folder, "first"), "utf8"), "the second version, which is longer\n");
});

test("a link in a snapshot leads nowhere", async () => {
    const link = page.find('[data-file="elsewhere"]');
    assert.equal(await link.getByRole("button").count(), 0);
    await link.locator("input").check();
    assert.ok(await page.find('[data-action="download"]').isDisabled());
    await link.locator("input").uncheck();
});

test("paths over a link or to a parent are refused", async () => {
    const uuid = await page.find('[data-snapshot][aria-current="true"]').getAttribute("data-snapshot");
    /** What a page that was talked into it would ask for, over the connection of the page. */
    const list = (way) =>
        page.own.evaluate(
            async ([snapshot, directory, drive]) => {
                const client = window.cockpit.dbus("org.butterdock.Butterdock1", { bus: "system", superuser: "try" });
                const options = { as_root: { t: "b", v: true } };
                try {
                    const args = [snapshot, btoa(directory), options];
                    const [files] = await client.call(drive, "org.butterdock.Butterdock1.Destination", "ListFiles", args);
                    return files.map(({ type }) => type.v).join();
                } catch (failure) {
                    return failure.name;
                } finally {
                    client.close();
                }
            },
            [uuid, way, drive],
        );
    const drive = await page.find("#place").inputValue();
    assert.match(await list("letters"), /file/);
    const read = (way) => machine.butterdock("cat", "--as-root", "Blue", uuid, way);
    assert.equal(read("letters/first").status, 0);
    assert.equal(await list("letters/elsewhere"), "symlink", "the link itself");
    assert.equal(read("letters/elsewhere/passwd").stdout, "");
    for (const way of ["letters/elsewhere/", "letters/elsewhere/ssl", "letters/../..", "..", "../../..", "letters/elsewhere/..", "/etc", "./letters"]) {
        assert.match(await list(way), /Error/, way);
        const { status, stdout } = read(`${way}/passwd`);
        assert.notEqual(status, 0, way);
        assert.equal(stdout, "", way);
    }
    // The page shows how those jobs ended, too, and learns it later than the command line.
    await until("no read runs", async () => (await page.find('[data-job="read"]').count()) === 0);
    for (;;) {
        const shown = page.find("[data-read]");
        if ((await shown.count()) === 0) break;
        await shown.first().getByRole("button").click();
    }
});

test("a link in the place of a folder takes no restored file", async () => {
    const folder = path.join(machine.home, "letters");
    const outside = path.join(machine.pool, "outside");
    fs.renameSync(folder, `${folder}.was`);
    fs.mkdirSync(outside);
    fs.symlinkSync(outside, folder);
    await page.find('[data-file="first"] input').check();
    await page.find('[data-action="put-back"]').click();
    const history = () => JSON.parse(machine.butterdock("history", "--json").stdout).history;
    const earlier = new Set(history().map(({ id }) => id));
    await page.find('[data-action="submit"]').click();
    const job = await until("the job has ended", () => history().find(({ id, kind }) => kind === "restore-files" && !earlier.has(id)));
    assert.equal(job.result, "failed");
    assert.match(await ended("failed", "put back"), /Not all files could be put back/);
    assert.deepEqual(fs.readdirSync(outside), []);
    fs.unlinkSync(folder);
    fs.renameSync(`${folder}.was`, folder);
});

test("a snapshot is held, which keeps it from being deleted", async () => {
    await page.find('[data-action="hold"]').click();
    await page.find("#reason").fill("taxes");
    await page.find('[data-action="submit"]').click();
    await page.waitFor('[data-action="release"]');
    assert.equal(await page.find('[data-action="delete-snapshot"]').count(), 0);
    await page.find('[data-action="release"]').click();
    await page.waitFor('[data-action="hold"]');
});

test("deleting says what it costs, and deletes", async () => {
    await page.find('[data-action="delete-snapshot"]').click();
    await until("the estimate is shown", () => page.find('[role=dialog] [data-action="submit"]').isEnabled());
    assert.deepEqual(await page.picture("delete"), []);
    await page.find('[data-action="submit"]').click();
    await until("one snapshot is left", () => {
        const { stdout } = machine.butterdock("snapshots", "--drive", "Blue", "--json");
        return stdout.match(/"uuid"/g)?.length === 1;
    });
});

test("the history tells what happened", async () => {
    await page.view("History");
    await page.waitFor("[data-history=succeeded]");
    assert.ok((await page.find("[data-history]").count()) >= 3);
    assert.deepEqual(await page.picture("history"), []);
});

test("a drive that is pulled in a download is shown as a failure", async () => {
    await page.view("Restore");
    await page.find('[data-file="huge"] input').check();
    await page.find('[data-action="download"]').click();
    await page.waitFor('[data-job="read"]');
    const [blue] = machine.drives();
    blue.pull();
    assert.match(await ended("failed"), /not complete/);
    await page.view("Drives");
    await page.waitFor("[data-state=away]");
    assert.equal(await page.find("[data-safe]").count(), 0);
    assert.deepEqual(page.faults, []);
});
