// Settings, Cockpit's menu, and the way from an empty machine to the first backup, with the keyboard alone.
import assert from "node:assert/strict";
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
const settings = () => fs.readFileSync(machine.path("butterdock.toml"), "utf8");

before(async () => {
    machine = await Machine.start();
    fs.writeFileSync(path.join(machine.home, "letter"), "to somebody\n");
    await machine.daemon();
    browser = await Browser.start();
    page = await browser.open(await machine.cockpit());
});

after(async () => {
    await browser?.stop();
    await machine?.stop();
});

test("the keyboard alone leads from an empty machine to the first backup", async () => {
    const blue = machine.drive("blue");
    blue.plug();
    await page.waitFor('[data-action="enrol"]');
    const { keyboard } = page.tab;
    const frame = page.tab.frames().find((one) => one.name() === "cockpit1:localhost/butterdock");
    /** Presses Tab until the focus is on what has this selector. */
    const reach = async (selector) => {
        for (let presses = 0; presses < 60; presses += 1) {
            if (await frame.evaluate((wanted) => document.activeElement?.matches(wanted), selector)) return;
            await keyboard.press("Tab");
        }
        throw new Error(`Tab does not lead to ${selector}`);
    };
    let presses = 0;
    const activate = async (selector) => {
        await reach(selector);
        await keyboard.press("Enter");
        presses += 1;
    };
    await frame.evaluate(() => window.focus());
    await activate('[data-action="enrol"]');
    await page.waitFor("#label");
    await reach("#label");
    await keyboard.type("Blue");
    await reach("#proof");
    await keyboard.type(String(blue.size));
    await activate('[data-action="submit"]');
    await page.waitFor("[data-safe]");
    await activate('[data-action="new-backup"]');
    await page.waitFor("#source");
    await reach("#source");
    await keyboard.press("Control+A");
    await keyboard.type(machine.home);
    await activate('[data-action="submit"]');
    await until("the card shows the backup", async () => (await page.card("Blue").innerText()).includes("just now"));
    await page.waitFor("[data-safe]");
    assert.equal(presses, 4);
});

test("a volume is added and removed, and comments stay", async () => {
    await page.view("Settings");
    await page.waitFor('[data-volume="tank"]');
    assert.deepEqual(await page.picture("settings"), []);
    fs.mkdirSync(path.join(machine.pool, "second"));
    await page.find('[data-action="add-volume"]').click();
    await page.find("#volume-name").fill("second");
    await page.find("#volume-path").fill(path.join(machine.pool, "second"));
    await page.find('[data-action="submit"]').click();
    await page.waitFor('[data-volume="second"]');
    assert.match(settings(), /^# written by a person$/m);
    await page.find('[data-volume="second"] [data-action="remove-volume"]').click();
    await page.waitFor('[data-volume="second"]', "detached");
    assert.ok(!settings().includes("second"));
});

test("a drive gets settings of its own, and loses them", async () => {
    await page.view("Drives");
    await page.card("Blue").locator('[data-action="settings"]').click();
    await page.find("#on-finish").selectOption("keep");
    await page.find("#limited").check();
    await page.find("#max-rate").fill("50");
    await page.find("#max-rate-from").fill("08:00");
    assert.ok(await page.find('[data-action="submit"]').isDisabled(), "half of a time is no time");
    await page.find("#max-rate-to").fill("23:00");
    await page.find("#verify-every").selectOption("90d");
    assert.deepEqual(await page.picture("destination"), []);
    await page.find('[data-action="submit"]').click();
    await page.waitFor("[role=dialog]", "detached");
    const table = settings().split("[[destination]]")[1];
    for (const line of ['name = "Blue"', 'kind = "drive"', 'on_finish = "keep"', '50MiB/s 08:00-23:00', 'verify_every = "90d"']) {
        assert.ok(table.includes(line), `${line} is missing in ${table}`);
    }
    assert.match(settings(), /^# written by a person$/m);
    await until("the next verify is shown", async () => /Next verify\s+\S/.test(await page.card("Blue").innerText()));
    await page.view("Settings");
    await page.find('[data-destination="Blue"] [data-action="edit-destination"]').click();
    assert.equal(await page.find("#max-rate").inputValue(), "50");
    await page.find("#limited").uncheck();
    await page.find("#on-finish").selectOption("");
    await page.find('[data-action="submit"]').click();
    await page.waitFor("[role=dialog]", "detached");
    assert.ok(!/on_finish|max_rate/.test(settings().split("[[destination]]")[1].split("[drives]")[0]), settings());
    await page.find('[data-destination="Blue"] [data-action="remove-destination"]').click();
    await page.waitFor('[data-destination="Blue"]', "detached");
    assert.ok(!settings().includes("[[destination]]"));
});

test("a folder of this machine becomes a destination", async () => {
    const folder = path.join(machine.tank, "copies");
    fs.mkdirSync(folder);
    await page.find('[data-action="add-destination"]').click();
    await page.find("#destination-name").fill("copies");
    await page.find("#destination-path").fill(folder);
    await page.find('[data-action="submit"]').click();
    await page.waitFor('[data-destination="copies"]');
    assert.deepEqual(await page.picture("destinations"), []);
    await page.view("Drives");
    await page.card("copies").waitFor();
    await page.view("Settings");
    await page.find('[data-destination="copies"] [data-action="remove-destination"]').click();
    await page.waitFor('[data-destination="copies"]', "detached");
});

test("a bad value is refused, and the file is unchanged", async () => {
    const before = settings();
    await page.find('[data-action="add-volume"]').click();
    await page.find("#volume-name").fill("etc");
    await page.find("#volume-path").fill("/etc");
    await page.find('[data-action="submit"]').click();
    await page.waitFor("[role=dialog] [data-error]");
    assert.equal(settings(), before);
    await page.find("[role=dialog]").getByRole("button", { name: "Cancel" }).click();
});

test("settings that another person changed meanwhile are not overwritten", async () => {
    const theirs = `${settings()}\n# another person was here\n`;
    fs.writeFileSync(machine.path("butterdock.toml"), theirs);
    await page.find("#finish-keep").click();
    await page.waitFor("[data-error]");
    assert.match(await page.find("[data-error]").innerText(), /changed the settings meanwhile/);
    assert.equal(settings(), theirs);
    // The page has read them again: now it works.
    await page.find("#finish-keep").click();
    await until("it is written", () => settings().includes('on_finish = "keep"'));
    assert.match(settings(), /^# another person was here$/m);
    assert.deepEqual(page.faults, []);
    await page.close();
});

test("an overdue backup is in Cockpit's menu before the page is opened", async () => {
    const source = path.join(machine.pool, "old");
    run("btrfs", "subvolume", "create", source);
    const added = machine.butterdock("backup", "add", "old", source, "--to", "Blue", "--schedule", "manual", "overdue=1d");
    assert.equal(added.status, 0, added.stderr);
    const other = await browser.open(await machine.cockpit(), { place: "system" });
    const entry = other.tab.locator('nav a[href="/butterdock"]');
    await entry.waitFor();
    await machine.end("SIGTERM");
    // A month passes.
    const month = 30 * 24 * 3600;
    const record = machine.path("state/overdue.json");
    const expected = fs.existsSync(record) ? JSON.parse(fs.readFileSync(record, "utf8")) : { version: 1, backups: {} };
    expected.backups.old = { since: Math.floor(Date.now() / 1000) - month };
    fs.writeFileSync(record, JSON.stringify(expected));
    const drives = machine.path("state/drives");
    for (const name of fs.readdirSync(drives).filter((one) => one.endsWith(".json"))) {
        const enrolment = JSON.parse(fs.readFileSync(path.join(drives, name), "utf8"));
        enrolment.enrolled -= month * 1e6;
        fs.writeFileSync(path.join(drives, name), JSON.stringify(enrolment));
    }
    await machine.daemon();
    await entry.locator("svg").waitFor();
    await entry.locator("svg").hover();
    await other.tab.getByText("1 backup is overdue").waitFor();
    assert.equal(machine.butterdock("backup", "remove", "old").status, 0);
    await entry.locator("svg").waitFor({ state: "detached" });
    await other.close();
});

test("a problem is in Cockpit's menu before the page is opened", async () => {
    const other = await browser.open(await machine.cockpit(), { place: "system" });
    const entry = other.tab.locator('nav a[href="/butterdock"]');
    await entry.waitFor();
    assert.equal(await entry.locator("svg").count(), 0);
    assert.equal(machine.butterdock("backup", "add", "lost", "/nonexistent", "--to", "Blue").status, 0);
    assert.notEqual(machine.butterdock("backup", "lost").status, 0);
    await entry.locator("svg").waitFor();
    await other.close();
    const opened = await browser.open(await machine.cockpit());
    await opened.waitFor('[data-problem="backup-failed"], [data-problem="backup-not-begun"]');
    assert.deepEqual(await opened.picture("problem"), []);
    // The settings say that the drive stays mounted: it is safe when a person asks for that.
    assert.equal(await opened.find("[data-safe]").count(), 0);
    await opened.find('[data-action="remove"]').click();
    await opened.waitFor("[data-safe]");
    await opened.close();
});
