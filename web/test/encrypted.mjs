// encrypted.mjs encrypt|unlock ADDRESS SERIAL PASSPHRASE: what `make vm-test` does in the page of the machine that it boots, which
// has the device-mapper. ADDRESS is its Cockpit, of which root's password is "page".
import assert from "node:assert/strict";
import { Browser } from "./browser.mjs";
import { until } from "./machine.mjs";

const [what, address, serial, passphrase] = process.argv.slice(2);
const LABEL = "Teal";

async function login() {
    await until("Cockpit answers", () => fetch(`${address}/ping`).then((answer) => answer.ok, () => false));
    const page = await browser.open(address);
    await page.tab.locator("#login-user-input").fill("root");
    await page.tab.locator("#login-password-input").fill("page");
    await page.tab.locator("#login-button").click();
    await page.waitFor("[data-drive]");
    return page;
}

async function encrypt(page) {
    await page.find('[data-action="enrol"]').click();
    await page.find("#way-encrypt").check();
    await page.find("#label").fill(LABEL);
    await page.find("#passphrase").fill(passphrase);
    await page.find("#again").fill(passphrase);
    await page.find("#keep-key").uncheck();
    await page.find("#proof").fill(serial);
    await page.find('[data-action="submit"]').click();
    await page.card(LABEL).locator("[data-safe]").waitFor();
}

async function unlock(page) {
    const card = page.card(LABEL);
    await card.locator("[data-state=locked]").waitFor();
    await card.locator('[data-action="unlock"]').click();
    await page.find("#passphrase").fill(`${passphrase}!`);
    await page.find('[data-action="submit"]').click();
    await page.waitFor("[data-error]");
    assert.match(await page.find("[data-error]").innerText(), /passphrase does not open the drive/);
    assert.equal(await page.find("#passphrase").inputValue(), "");
    await page.find("#passphrase").fill(passphrase);
    await page.find('[data-action="submit"]').click();
    await page.find("[role=dialog]").waitFor({ state: "detached" });
    await card.locator("[data-state=locked]").waitFor({ state: "detached" });
    await card.locator('[data-action="remove"]').click();
    await card.locator("[data-safe]").waitFor();
}

const browser = await Browser.start();
try {
    const page = await login();
    await { encrypt, unlock }[what](page);
    await page.picture(`machine-${what}`);
    assert.deepEqual(page.faults, []);
    const kept = await page.find("body").evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.documentElement.outerHTML]));
    assert.ok(!kept.includes(passphrase));
} finally {
    await browser.stop();
}
