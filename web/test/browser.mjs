// Chromium with the page in Cockpit.
import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { PATIENCE } from "./machine.mjs";

const HERE = path.dirname(fileURLToPath(import.meta.url));
/** Where pictures of the page go. */
const SHOTS = process.env.BUTTERDOCK_WEB_SHOTS ?? path.join(HERE, "../shots");
const AXE = fs.readFileSync(path.join(HERE, "../node_modules/axe-core/axe.min.js"), "utf8");
const WIDTHS = [360, 1280];

export class Browser {
    static async start() {
        const browser = new Browser();
        const executablePath = ["/usr/bin/chromium", "/usr/bin/chromium-browser"].find((file) => fs.existsSync(file));
        // The sandbox of Chromium needs another user than root.
        browser.chromium = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-dev-shm-usage"] });
        return browser;
    }

    /** Opens the page at this address of a cockpit-ws. */
    async open(address, { language = "en-us", place = "butterdock/index", style = "light" } = {}) {
        const context = await this.chromium.newContext({ viewport: { width: 1280, height: 900 }, acceptDownloads: true });
        context.setDefaultTimeout(PATIENCE);
        await context.addCookies([{ name: "CockpitLang", value: language, url: address }]);
        await context.addInitScript((chosen) => localStorage.getItem("shell:style") ?? localStorage.setItem("shell:style", chosen), style);
        const page = await context.newPage();
        return Page.load(page, `${address}/${place}`);
    }

    async stop() {
        await this.chromium.close();
    }
}

/** The page in a tab. `frame` is its content. */
class Page {
    /** What went wrong in the page: errors on its console, refused style or script, files that are missing. */
    faults = [];
    /** Called with the size of each message that the page sends. */
    onSent = () => undefined;

    static async load(tab, address) {
        const page = new Page();
        page.tab = tab;
        page.frame = tab.frameLocator('iframe[name="cockpit1:localhost/butterdock"]');
        const own = (url) => url.includes("/butterdock/");
        tab.on("console", (line) => {
            if (["error", "warning"].includes(line.type()) && own(line.location().url)) page.faults.push(line.text());
        });
        tab.on("pageerror", (error) => {
            if (own(error.stack ?? "")) page.faults.push(String(error));
        });
        tab.on("response", (answer) => {
            if (answer.status() >= 400 && own(answer.url())) page.faults.push(`${answer.status()} ${answer.url()}`);
        });
        tab.on("websocket", (socket) => socket.on("framesent", ({ payload }) => page.onSent(payload.length)));
        await tab.goto(address);
        return page;
    }

    /** What has this selector. */
    find(selector, options) {
        return this.frame.locator(selector, options);
    }

    /** The page itself, without the shell around it. */
    get own() {
        return this.tab.frames().find((one) => one.name() === "cockpit1:localhost/butterdock");
    }

    /** Opens the view with this title. */
    async view(title) {
        await this.find("nav").getByRole("link", { name: title }).click();
    }

    card(label) {
        return this.frame.locator("[data-drive]", { has: this.frame.getByRole("heading", { name: label, exact: true }) });
    }

    async waitFor(selector, state = "visible") {
        await this.find(selector).first().waitFor({ state });
    }

    /** Notes each state, job and message that the page shows from now on. Returns a function that returns what was seen. */
    async record() {
        await this.find("body").evaluate((body) => {
            const seen = [];
            const note = (word) => seen.at(-1) !== word && seen.push(word);
            const look = () => {
                for (const one of body.querySelectorAll("[data-state]")) note(`state ${one.dataset.state}: ${one.textContent}`);
                for (const one of body.querySelectorAll("[data-job]")) note(`job ${one.dataset.job} ${one.dataset.jobState}`);
                if (body.querySelector("[role=progressbar]")) note("progress");
                if (body.querySelector("[data-safe]")) note("safe");
                if (body.querySelector("[data-safe]") && body.querySelector("[data-warning]")) note("safe and a warning");
            };
            new MutationObserver(look).observe(body, { subtree: true, childList: true, attributes: true, characterData: true });
            window.seenByTest = seen;
            look();
        });
        return () => this.find("body").evaluate(() => window.seenByTest);
    }

    /** Pictures of the page in light and dark, narrow and wide, each checked by axe. Returns what axe found. */
    async picture(name) {
        fs.mkdirSync(SHOTS, { recursive: true });
        const found = [];
        for (const style of ["light", "dark"]) {
            for (const width of WIDTHS) {
                await this.tab.setViewportSize({ width, height: 900 });
                const frame = this.own;
                await frame.evaluate((chosen) => {
                    window.dispatchEvent(new CustomEvent("cockpit-style", { detail: { style: chosen } }));
                    for (const animation of document.getAnimations()) if (animation.effect?.getTiming().iterations !== Infinity) animation.finish();
                }, style);
                await this.tab.screenshot({ path: path.join(SHOTS, `${name}-${style}-${width}.png`) });
                found.push(...(await axe(frame)).map((fault) => `${name} ${style} ${width}: ${fault}`));
            }
        }
        await this.tab.setViewportSize({ width: 1280, height: 900 });
        return found;
    }

    async close() {
        await this.tab.context().close();
    }
}

async function axe(frame) {
    await frame.evaluate(`if (!window.axe) { ${AXE}; }`);
    return frame.evaluate(async () => {
        const { violations } = await window.axe.run(document, { resultTypes: ["violations"] });
        return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html.slice(0, 160)).join(" ")}`);
    });
}
