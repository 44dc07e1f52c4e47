// Much of everything: files, snapshots, history and jobs. The service is simulated, the browser is not.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Browser } from "./browser.mjs";
import { FULL, PATIENCE, until } from "./machine.mjs";
import { serve, service } from "./simulated.mjs";

const FILES = 10_000;
const SNAPSHOTS = 200;
const HISTORY = 200;
/** Jobs in each of two rounds, and within how many milliseconds they come. */
const [JOBS, SPAN] = FULL ? [1000, 60_000] : [600, 0];
/** What code that is compiled late, and caches, may take in bytes. */
const CACHES = 250_000;
let browser;
let server;
let page;

before(async () => {
    server = await serve();
    browser = await Browser.start();
    const context = await browser.chromium.newContext({ viewport: { width: 1280, height: 900 } });
    context.setDefaultTimeout(PATIENCE);
    await context.addInitScript((lists) => {
        document.addEventListener("readystatechange", () => Object.assign(window.simulated, lists), { once: true });
    }, service({ files: FILES, snapshots: SNAPSHOTS, history: HISTORY }));
    page = await context.newPage();
    await page.goto(server.address);
    await page.locator("[data-drive]").waitFor();
});

after(async () => {
    await browser?.stop();
    server?.stop();
});

/** How many of these are drawn: those that are out of sight are not, or are not there at all. */
const drawn = (selector) =>
    page.locator(selector).evaluateAll((all) => all.filter((one) => one.checkVisibility({ contentVisibilityAuto: true })).length);

/** Scrolls an element, or the page, for 60 frames as a person does, then to its end. Returns the milliseconds between frames. */
const scrolled = (selector) =>
    page.evaluate(async (chosen) => {
        const box = chosen === "" ? document.scrollingElement : document.querySelector(chosen);
        const times = [];
        let before = await new Promise(requestAnimationFrame);
        for (let turn = 1; turn <= 60; turn += 1) {
            box.scrollTop = 100 * turn;
            const now = await new Promise(requestAnimationFrame);
            times.push(now - before);
            before = now;
        }
        box.scrollTop = box.scrollHeight;
        return times.sort((a, b) => a - b);
    }, selector);

/** Of a list, few entries are drawn, at its beginning and at its end; and the last one comes into sight. */
async function virtualised(context, { rows, part, last, box }) {
    const few = async (where) => {
        const number = await drawn(`${rows} ${part}`);
        assert.ok(number > 0 && number < 200, `${rows}: ${number} are drawn ${where}`);
    };
    await few("at the beginning");
    const times = await scrolled(box);
    context.diagnostic(`${rows}: ${times[30].toFixed(1)} ms between two frames (median), at most ${times.at(-1).toFixed(1)} ms`);
    await page.locator(last).scrollIntoViewIfNeeded();
    await few("at the end");
}

test("of ten thousand files few are drawn", async (context) => {
    await page.getByRole("link", { name: "Restore" }).click();
    await page.locator("[data-file]").first().waitFor();
    const listed = async () => Number(await page.locator("[data-length]").getAttribute("data-length"));
    while ((await listed()) < FILES) {
        const before = await listed();
        await page.getByRole("button", { name: "Show more" }).click();
        await until("more are listed", async () => (await listed()) > before);
    }
    assert.equal(await page.getByRole("button", { name: "Show more" }).count(), 0);
    const last = `[data-file="file ${String(FILES - 1).padStart(6, "0")}"]`;
    await virtualised(context, { rows: "[data-file]", part: ".bd-name", last, box: "" });
    assert.ok((await page.locator("[data-file]").count()) < 300, "the others are not in the page");
    assert.equal(await page.locator(last).getAttribute("aria-posinset"), String(FILES));
    await page.locator(`${last} input`).check();
    await page.getByText("1 chosen").waitFor();
    // Who scrolls back finds the first ones, and the choice is kept.
    await page.evaluate(() => window.scrollTo(0, 0));
    await page.locator('[data-file="file 000000"]').waitFor();
    await page.getByText("1 chosen").waitFor();
});

test("of two hundred snapshots few are drawn, and the line of time has all", async (context) => {
    assert.equal(await page.locator("[data-snapshot]").count(), SNAPSHOTS);
    assert.equal(await page.locator("[data-line] .bd-dot").count(), SNAPSHOTS);
    const last = "[data-snapshot] >> nth=-1";
    await virtualised(context, { rows: "[data-snapshot]", part: "strong", last, box: ".bd-timeline" });
});

test("of two hundred rows of the history few are drawn", async (context) => {
    await page.getByRole("link", { name: "History" }).click();
    await page.locator("[data-history]").first().waitFor();
    while ((await page.locator("[data-history]").count()) < HISTORY) {
        const before = await page.locator("[data-history]").count();
        await page.getByRole("button", { name: "Show older ones" }).click();
        await until("more are listed", async () => (await page.locator("[data-history]").count()) > before);
    }
    await virtualised(context, { rows: "[data-history]", part: "strong", last: "[data-history] >> nth=-1", box: "" });
});

test("many jobs leave nothing in memory", async (context) => {
    await page.getByRole("link", { name: "Drives" }).click();
    const client = await page.context().newCDPSession(page);
    const used = async () => {
        // Compilers and finalizers work in idle time. What finalizers hold goes with the second collection.
        await page.evaluate(async () => {
            for (let turn = 0; turn < 2; turn += 1) await new Promise((idle) => requestIdleCallback(idle));
        });
        for (let turn = 0; turn < 3; turn += 1) await client.send("HeapProfiler.collectGarbage");
        return (await client.send("Runtime.getHeapUsage")).usedSize;
    };
    const jobs = (first, count, span) =>
        page.evaluate(
            async ([from, to, pause]) => {
                for (let number = from; number < to; number += 1) {
                    await window.simulated.job(number, 2);
                    if (pause > 0) await new Promise((next) => setTimeout(next, pause));
                }
            },
            [first, first + count, span / count],
        );
    // What grows once: the code that is compiled, and the fifty jobs that stay.
    await jobs(0, JOBS, 0);
    const before = await used();
    await jobs(JOBS, JOBS, SPAN);
    const between = await used();
    await jobs(2 * JOBS, JOBS, SPAN);
    const after = await used();
    const [first, second] = [between - before, after - between];
    const words = `${before} bytes; ${JOBS} jobs add ${first}, as many again ${second}`;
    context.diagnostic(words);
    // What jobs leave behind grows as much in each round: each has a note of several kilobytes.
    assert.ok(second < Math.max(first, 0) / 2 + CACHES, words);
    assert.ok(after < before * 1.1, words);
    assert.equal(await page.locator("[data-job]").count(), 0);
});

test("jobs of others do not hide that a download failed", async () => {
    await page.getByRole("link", { name: "Restore" }).click();
    await page.locator("[data-file]").first().waitFor();
    const read = (number, uid, result) =>
        page.evaluate((given) => window.simulated.job(...given), [number, 1, { Kind: "read", StartedByUid: uid, Note: "" }, result]);
    await read(9000, 0, "failed");
    for (let number = 9001; number < 9040; number += 1) await read(number, 1000, number % 2 === 0 ? "failed" : "succeeded");
    await page.getByText("The file is complete").first().waitFor();
    // The failure of this user, and four ends of the others.
    assert.equal(await page.locator("[data-read]").count(), 5);
    assert.equal(await page.locator("[data-read]").first().getAttribute("data-read"), "failed");
});
