// Streams in the page: imported from a drive, uploaded by the browser; and the queue in which they wait.
import assert from "node:assert/strict";
import { once } from "node:events";
import fs from "node:fs";
import path from "node:path";
import { after, before } from "node:test";
import { Browser } from "./browser.mjs";
import { FULL, Machine, run, until } from "./machine.mjs";
import { story } from "./story.mjs";

const UUID = "5d4e0b8a-1111-4222-8333-0123456789ab";
const MIB = 1024 ** 2;
/** More than may be on its way, and in the full run more than the machine would hold. */
const UPLOADED = FULL ? 2048 : 100;
let machine;
let browser;
let page;
let streams;
const test = story();
/** What is in the volume `tank`. */
const received = () => fs.readdirSync(machine.tank).filter((name) => !name.startsWith("."));

/** Sends a snapshot to a file in the folder of streams. */
function send(snapshot, file, ...more) {
    run("btrfs", "subvolume", "snapshot", "-r", machine.home, path.join(machine.pool, snapshot));
    run("btrfs", "send", "-q", ...more, "-f", path.join(streams, file), path.join(machine.pool, snapshot));
}

before(async () => {
    machine = await Machine.start();
    streams = machine.path("streams");
    fs.mkdirSync(streams);
    fs.writeFileSync(path.join(machine.home, "letter"), "on Monday\n");
    send("monday", "Montag ü.btrfs");
    fs.writeFileSync(path.join(machine.home, "letter"), "on Tuesday\n");
    send("tuesday", "Dienstag.btrfs", "-p", path.join(machine.pool, "monday"));
    fs.writeFileSync(path.join(streams, "broken.btrfs"), "this is no stream");
    await machine.daemon(`[[import]]\ndrive = "${UUID}"\n`);
    browser = await Browser.start();
    page = await browser.open(await machine.cockpit());
});

after(async () => {
    await browser?.stop();
    await machine?.stop();
});

test("the streams on a drive are listed and imported", async () => {
    const red = machine.drive("red", 64 * MIB);
    run("mkfs.ext4", "-q", "-U", UUID, "-L", "Streams", "-d", streams, red.image);
    red.plug();
    await page.card("Streams").locator('[data-action="import"]').click();
    await page.waitFor("[data-stream]");
    const names = await page.find("[data-stream]").evaluateAll((all) => all.map((one) => one.dataset.stream));
    assert.deepEqual([...names].sort(), ["Dienstag.btrfs", "Montag ü.btrfs", "broken.btrfs"]);
    assert.deepEqual(await page.picture("import"), []);
    await page.find('[data-action="submit"]').click();
    await page.waitFor("[role=dialog]", "detached");
    await until("both are there", () => received().join() === "monday,tuesday");
    assert.equal(fs.readFileSync(path.join(machine.tank, "tuesday/letter"), "utf8"), "on Tuesday\n");
    await page.view("History");
    // The two good ones are received; the third is why the job failed.
    await page.waitFor("[data-history=failed]");
    await page.view("Drives");
    await until("the import has ended", async () => (await page.find("[data-job]").count()) === 0);
    red.unplug();
    await page.card("Streams").waitFor({ state: "detached" });
});

test("a stream is uploaded from the browser", async () => {
    run("dd", "if=/dev/urandom", `of=${machine.home}/photos`, "bs=1M", `count=${UPLOADED}`, "status=none");
    send("wednesday", "wednesday.btrfs");
    await page.view("Restore");
    await page.find('[data-action="upload"]').click();
    assert.ok(await page.find('[data-action="submit"]').isDisabled());
    await page.find("#upload-file").setInputFiles(path.join(streams, "wednesday.btrfs"));
    assert.deepEqual(await page.picture("upload"), []);
    const seen = await page.record();
    await page.find('[data-action="submit"]').click();
    const isThere = async () => (await page.find("[data-uploaded]").count()) > 0;
    // As the page shows it: a progress, and what is durable.
    await until("it is uploaded", isThere, () => page.find("[role=dialog]").innerText());
    assert.ok((await seen()).includes("progress"));
    assert.equal(run("sha256sum", `${machine.tank}/wednesday/photos`).split(" ")[0], run("sha256sum", `${machine.home}/photos`).split(" ")[0]);
    await page.find('[data-action="submit"]').click();
});

test("an upload that is not whole is shown as failed, and nothing is left", async () => {
    const whole = fs.readFileSync(path.join(streams, "Montag ü.btrfs"));
    run("btrfs", "subvolume", "delete", path.join(machine.tank, "monday"));
    fs.writeFileSync(path.join(streams, "half.btrfs"), whole.subarray(0, whole.length - 40));
    await page.find('[data-action="upload"]').click();
    await page.find("#upload-file").setInputFiles(path.join(streams, "half.btrfs"));
    await page.find('[data-action="submit"]').click();
    await page.waitFor("[role=dialog] [data-error]");
    assert.ok(!received().includes("monday"));
    await page.find("[role=dialog]").getByRole("button", { name: "Cancel" }).click();
});

test("jobs that wait are shown and ended, and an upload that waits fills no memory", async () => {
    // A stream that never comes holds the volume.
    const holder = machine.begin("receive", "tank");
    await page.view("Drives");
    await page.waitFor("[data-queue] [data-job-state=running]");
    const waiting = machine.butterdock("receive", "tank", path.join(streams, "Montag ü.btrfs"), "--detach");
    assert.equal(waiting.status, 0, waiting.stderr);
    await page.view("History");
    await page.waitFor("[data-queue] [data-job-state=queued]");
    assert.deepEqual(await page.picture("queue"), []);
    const queued = page.find("[data-queue] li", { has: page.find("[data-job-state=queued]") });
    await queued.locator('[data-action="end-job"]').click();
    await queued.waitFor({ state: "detached" });

    let sent = 0;
    page.onSent = (bytes) => {
        sent += bytes;
    };
    await page.view("Restore");
    await page.find('[data-action="upload"]').click();
    await page.find("#upload-file").setInputFiles(path.join(streams, "wednesday.btrfs"));
    await page.find('[data-action="submit"]').click();
    await until("the page has sent what it may", () => sent >= 32 * MIB);
    // Each answer comes behind what the page sent before.
    for (let turn = 0; turn < 20; turn += 1) await page.own.evaluate(() => window.cockpit.spawn(["true"]));
    assert.ok(sent < 34 * MIB, `${sent} bytes are on their way`);
    await page.find('[data-action="submit"]').click();
    await page.waitFor("[role=dialog] [data-error]");
    await page.find("[role=dialog]").getByRole("button", { name: "Cancel" }).click();
    await page.view("History");
    await until("the upload has left the queue", async () => (await page.find("[data-queue] [data-job]").count()) === 1);
    const ended = once(holder, "exit");
    await page.find('[data-queue] [data-action="end-job"]').first().click();
    await page.waitFor("[data-queue]", "detached");
    holder.stdin.destroy();
    await ended;
    assert.deepEqual(page.faults, []);
});
