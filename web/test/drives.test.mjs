// The life of a drive in the page, with the real service.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { after, before } from "node:test";
import { Browser } from "./browser.mjs";
import { Machine, run, until } from "./machine.mjs";
import { story } from "./story.mjs";

let machine;
let browser;
let page;
const test = story();

before(async () => {
    machine = await Machine.start();
    await machine.daemon();
    fs.writeFileSync(path.join(machine.home, "letter"), "to somebody\n");
    run("dd", "if=/dev/urandom", `of=${machine.home}/photos`, "bs=1M", "count=200", "status=none");
    browser = await Browser.start();
    page = await browser.open(await machine.cockpit());
});

after(async () => {
    await browser?.stop();
    await machine?.stop();
});

/** Enrols a new drive by the page, erasing it. */
async function enrol(drive, label) {
    const card = page.find("[data-drive]", { has: page.find('[data-action="enrol"]') }).first();
    await card.locator('[data-action="enrol"]').click();
    await page.find("#label").fill(label);
    await page.find("#proof").fill(String(drive.size));
    await page.find('[data-action="submit"]').click();
    await page.card(label).waitFor();
}

test("an empty machine asks for a drive", async () => {
    await page.waitFor("[data-empty]");
    assert.deepEqual(await page.picture("empty"), []);
});

test("a drive is enrolled, backed up to, safe, and away: each state is shown", async () => {
    const blue = machine.drive("blue");
    const seen = await page.record();
    blue.plug();
    await page.waitFor('[data-action="enrol"]');
    assert.deepEqual(await page.picture("new"), []);
    await enrol(blue, "Blue");
    await page.waitFor("[data-safe]");
    await page.find('[data-action="new-backup"]').click();
    await page.find("#source").fill(machine.home);
    await page.find("#schedule").waitFor();
    assert.deepEqual(await page.picture("new-backup"), []);
    await page.find('[data-action="submit"]').click();
    await page.waitFor("[data-job=backup]", "attached");
    await page.waitFor("[data-safe]");
    await until("the card shows the backup", async () => (await page.card("Blue").innerText()).includes("just now"));
    assert.deepEqual(await page.picture("safe"), []);
    blue.unplug();
    await page.waitFor("[data-state=away]");
    assert.deepEqual(await page.picture("away"), []);
    const states = await seen();
    for (const state of ["state present: New drive", "safe", "job backup running", "state safe: Can be unplugged", "state away: Away"]) {
        assert.ok(states.includes(state), `${state} is missing in ${states.join(", ")}`);
    }
    assert.ok(!states.includes("safe and a warning"), states.join(", "));
    const [snapshot] = fs.readdirSync(path.join(machine.home, ".butterdock"));
    assert.match(snapshot, /^home\./);
});

test("with a wrong serial number nothing is erased, and another drive takes no place", async () => {
    const red = machine.drive("red", 128 * 1024 ** 2);
    run("mkfs.btrfs", "-q", "-L", "Photos", red.image);
    const digest = () => run("sha256sum", red.image).split(" ")[0];
    const before = digest();
    red.plug();
    await page.card("Photos").locator('[data-action="enrol"]').click();
    await page.find("#way-erase").check();
    await page.find("#proof").fill(String(red.size + 1));
    assert.ok(await page.find('[data-action="submit"]').isDisabled());
    assert.deepEqual(await page.picture("enrol"), []);
    await page.find("#proof").press("Enter");
    // Another drive is plugged in while the dialog is open: the dialog stays with the one that it was opened for.
    const green = machine.drive("green", 128 * 1024 ** 2);
    green.plug();
    await until("both new drives are shown", async () => (await page.find("[data-drive]").count()) === 3);
    assert.match(await page.find("[role=dialog]").innerText(), /Photos/);
    red.unplug();
    await page.waitFor("[data-gone]");
    await page.find("#proof").fill(String(red.size));
    assert.ok(await page.find('[data-action="submit"]').isDisabled());
    await page.find("#proof").press("Enter");
    await page.find("[role=dialog]").getByRole("button", { name: "Cancel" }).click();
    assert.equal(digest(), before);
    assert.equal(run("head", "-c", "1048576", green.image), "\0".repeat(1_048_576));
    green.unplug();
    await until("the other drive is gone", async () => (await page.find("[data-drive]").count()) === 1);
});

test("a wrong passphrase is refused, and is nowhere", async () => {
    const green = machine.drive("green", 64 * 1024 ** 2);
    const secret = `wrong-${randomBytes(8).toString("hex")}`;
    run("cryptsetup", "luksFormat", "--batch-mode", "--pbkdf=pbkdf2", "--pbkdf-force-iterations=1000", green.image, "/etc/hostname");
    green.plug();
    await page.find('[data-action="enrol"]').click();
    await page.find("#passphrase").fill(secret);
    await page.find('[data-action="submit"]').click();
    await page.waitFor("[data-error]");
    assert.match(await page.find("[data-error]").innerText(), /passphrase does not open the drive|cryptsetup ended/);
    assert.equal(await page.find("#passphrase").inputValue(), "");
    const kept = await page.find("body").evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.documentElement.outerHTML]));
    assert.ok(!kept.includes(secret));
    const logs = fs.readdirSync(machine.folder).filter((name) => name.endsWith(".log"));
    for (const name of logs) assert.ok(!fs.readFileSync(machine.path(name), "utf8").includes(secret), name);
    for (const command of machine.commands()) assert.ok(!command.includes(secret), command);
    await page.find("[role=dialog]").getByRole("button", { name: "Cancel" }).click();
    green.unplug();
});

test("a service that is killed in the middle of a job leaves no stale job", async () => {
    run("dd", "if=/dev/urandom", `of=${machine.home}/more`, "bs=1M", "count=300", "status=none");
    const [blue] = machine.drives();
    blue.plug();
    await page.waitFor("[data-job=backup]", "attached");
    await machine.end("SIGKILL");
    await page.waitFor("[data-absent]");
    assert.equal(await page.find("[data-job]").count(), 0);
    assert.deepEqual(await page.picture("absent"), []);
    await machine.daemon();
    await page.waitFor("[data-safe]");
    assert.equal(await page.find("[data-job]").count(), 0);
});

test("a verify is followed to its end, and the drive is safe again", async () => {
    await page.find('[data-action="verify"]').click();
    await page.waitFor("[data-job=verify]", "attached");
    await page.waitFor("[data-safe]");
    await until("the card shows the health", async () => (await page.card("Blue").innerText()).includes("no damage"));
});

test("the page breaks no rule of Cockpit's, and asks for no file that is missing", () => {
    assert.deepEqual(page.faults, []);
});

test("a backup is changed, and the file keeps its comments", async () => {
    await page.view("Backups");
    await page.find('[data-action="estimate"]').click();
    await page.waitFor("[data-estimate]");
    await page.find('[data-backup="home"] [data-action="edit"]').click();
    await page.find("#schedule").selectOption("daily");
    await page.find("#keep-daily").fill("30");
    assert.deepEqual(await page.picture("edit-backup"), []);
    await page.find('[data-action="submit"]').click();
    await page.waitFor("[role=dialog]", "detached");
    const text = fs.readFileSync(machine.path("butterdock.toml"), "utf8");
    assert.match(text, /^# written by a person$/m);
    assert.match(text, /schedule = .*"daily 02:00"/);
    assert.match(text, /daily = 30/);
    await until("the card shows it", async () => (await page.find('[data-backup="home"]').innerText()).includes("daily at 02:00"));
    assert.deepEqual(await page.picture("backups"), []);
    await page.view("Drives");
});

test("a backup gets another name, and its snapshots go with it", async () => {
    await page.view("Backups");
    await page.find('[data-backup="home"] [data-action="edit"]').click();
    await page.find("#name").fill("family");
    await page.find('[data-action="submit"]').click();
    await page.waitFor('[data-backup="family"]');
    await page.waitFor('[data-backup="home"]', "detached");
    await page.view("Drives");
    await until("the drive takes the renamed backup", async () => (await page.card("Blue").innerText()).includes("family"));
});

test("snapshots that are kept for a drive are unpinned", async () => {
    await page.view("Backups");
    const card = page.find('[data-backup="family"]');
    await card.locator('[data-action="unpin"]').click();
    assert.deepEqual(await page.picture("unpin"), []);
    await page.find('[data-action="submit"]').click();
    await page.waitFor("[role=dialog]", "detached");
    // Nothing is left to unpin.
    await card.locator('[data-action="unpin"]').click();
    await page.find('[data-action="submit"]').click();
    await page.waitFor("[role=dialog] [data-error]");
    assert.match(await page.find("[role=dialog] [data-error]").innerText(), /nothing to unpin/);
    await page.find("[role=dialog]").getByRole("button", { name: "Cancel" }).click();
    await page.view("Drives");
});

test("what users may do decides which buttons they see", async () => {
    const expected = {
        root: ["backup", "verify", "settings", "forget"],
        member: ["backup", "verify"],
        stranger: [],
    };
    for (const [user, actions] of Object.entries(expected)) {
        const theirs = user === "root" ? page : await browser.open(await machine.cockpit(user));
        await theirs.card("Blue").waitFor();
        await until("the permissions are known", async () => user === "root" || (await theirs.find("[data-limited]").count()) === 1);
        const shown = await theirs.card("Blue").locator("[data-action]").evaluateAll((buttons) => buttons.map((one) => one.dataset.action));
        assert.deepEqual(shown.sort(), actions.sort(), user);
        assert.equal(await theirs.find("[data-limited]").count(), user === "root" ? 0 : 1);
        if (user === "stranger") {
            assert.deepEqual(await theirs.picture("stranger"), []);
            // Without sudo there is no way to more rights, with it the host asks for a password: the page shows either.
            await theirs.find("[data-limited]").getByRole("button").click();
            const refused = async () => (await theirs.find("[data-limited]").innerText()).includes("could not be turned on");
            await until("the host answers", async () => (await refused()) || (await theirs.find("#answer").count()) === 1);
        }
        assert.deepEqual(theirs.faults, []);
        if (user !== "root") await theirs.close();
    }
});

test("the page speaks German", async () => {
    const german = await browser.open(await machine.cockpit(), { language: "de-de" });
    await german.waitFor("[data-safe]");
    assert.match(await german.find("body").innerText(), /Kann abgezogen werden/);
    await german.close();
});

test("a page that is opened before the service runs shows it when it comes", async () => {
    await machine.end("SIGTERM");
    const early = await browser.open(await machine.cockpit());
    await early.waitFor("[data-absent]");
    await machine.daemon();
    await early.card("Blue").waitFor();
    assert.equal(await early.find("[data-absent]").count(), 0);
    await early.close();
});
