// Restoring in the page, with the real service.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { after, before } from "node:test";
import { Browser } from "./browser.mjs";
import { Machine, run, until } from "./machine.mjs";
import { story } from "./story.mjs";

/** Blanks, an umlaut, quotes, and a byte that is no UTF-8. */
const NAME = Buffer.concat([Buffer.from("a  ü 'quoted\" $x \\ "), Buffer.from([0xff]), Buffer.from(".bin")]);
let machine;
let browser;
let page;
const test = story();
const digest = (bytes) => createHash("sha256").update(bytes).digest("hex");

before(async () => {
    machine = await Machine.start();
    const folder = path.join(machine.home, "letters");
    fs.mkdirSync(folder);
    fs.writeFileSync(path.join(folder, "first"), "the first version\n");
    fs.symlinkSync("/etc", path.join(folder, "elsewhere"));
    run("dd", "if=/dev/urandom", `of=${machine.home}/random`, "bs=1M", "count=30", "status=none");
    fs.renameSync(path.join(machine.home, "random"), Buffer.concat([Buffer.from(`${machine.home}/`), NAME]));
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

test("a file with any name is downloaded whole", async () => {
    const row = page.find("[data-file]", { hasText: "quoted" });
    await row.locator("input").check();
    const [saved] = await Promise.all([page.tab.waitForEvent("download"), page.find('[data-action="download"]').click()]);
    const bytes = fs.readFileSync(await saved.path());
    const original = fs.readFileSync(Buffer.concat([Buffer.from(`${machine.home}/`), NAME]));
    assert.equal(digest(bytes), digest(original));
    await page.waitFor('[data-read="succeeded"]');
    await page.find('[data-read="succeeded"]').getByRole("button").click();
});

test("a download that is stopped midway is shown as failed", async () => {
    await page.find("[data-file]", { hasText: "quoted" }).locator("input").uncheck();
    await page.find('[data-file="huge"] input').check();
    await page.find('[data-action="download"]').click();
    await page.waitFor('[data-job="read"]');
    const { stdout } = machine.butterdock("jobs", "--json");
    const job = JSON.parse(stdout).jobs.find(({ kind, state }) => kind === "read" && state === "running");
    const cancelled = machine.butterdock("cancel", job.id);
    assert.equal(cancelled.status, 0, cancelled.stderr);
    await page.waitFor('[data-read="cancelled"]');
    assert.match(await page.find('[data-read="cancelled"]').innerText(), /not complete/);
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
    await page.find("nav").getByRole("link", { name: "History" }).click();
    await page.waitFor("[data-history=succeeded]");
    assert.ok((await page.find("[data-history]").count()) >= 3);
    assert.deepEqual(await page.picture("history"), []);
    assert.deepEqual(page.faults, []);
});
