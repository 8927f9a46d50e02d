// The console in a real browser, over the world that fill.py left: every state filtered, search, paging, a run with its
// plots, hostile text as text, keyboard, phone, dark, without JavaScript. The browser's console must stay empty, and
// no request may go elsewhere. Screenshots are left for people to look at.
//
//     NODE_PATH=… node check.js http://127.0.0.1:PORT FOLDER_OF_SCREENSHOTS
"use strict";

const assert = require("node:assert/strict");
const fs = require("node:fs");
const path = require("node:path");
const { chromium } = require("playwright-core");

const STATES = ["QUEUED", "RUNNING", "EVAL_READY", "PASS", "FAIL", "PUBLISH_PENDING", "PUBLISHED"];
const HOSTILE = "<script>alert(1)</script>";
const ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
];
const [base, folder] = process.argv.slice(2);
const origin = new URL(base).origin;

// A window that records whatever must not happen.
async function open(browser, options) {
    const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, ...options });
    const page = await context.newPage();
    const errors = [];
    page.on("console", (message) => errors.push(`console: ${message.text()}`));
    page.on("pageerror", (error) => errors.push(`error: ${error}`));
    page.on("dialog", (dialog) => { errors.push(`dialog: ${dialog.message()}`); dialog.dismiss(); });
    page.on("request", (request) => {
        if (new URL(request.url()).origin !== origin) errors.push(`requested ${request.url()}`);
    });
    page.on("requestfailed", (request) => {
        const why = request.failure().errorText;
        // A browser that leaves a page gives up what it still loads, such as the icon.
        if (why !== "net::ERR_ABORTED") errors.push(`failed ${request.url()}: ${why}`);
    });
    page.on("response", (response) => {
        if (response.status() >= 400) errors.push(`${response.status()} ${response.url()}`);
    });
    const at = async (where) => {
        const response = await page.goto(new URL(where, base).href);
        // The page is not to change under the check.
        assert.equal(response.status(), 200, where);
    };
    const done = async () => { assert.deepEqual(errors, []); await context.close(); };
    return { context, page, at, done };
}

// Follows a link or sends a form, and waits for the page that it leads to.
async function follow(page, locator) {
    const left = page.waitForEvent("framenavigated");
    await locator.click();
    await left;
    await page.waitForLoadState();
}

const runIds = (page) => page.locator("a.run").allTextContents();

async function states({ page, at }) {
    await at("/?live=off");
    for (const state of STATES) {
        await follow(page, page.locator("nav.states a", { hasText: new RegExp(`^${state}[0-9,]`) }));
        const shown = await page.locator("tbody .badge").allTextContents();
        assert.ok(shown.length >= 5 && shown.every((text) => text === state), `${state}: ${shown}`);
        const count = Number(await page.locator("nav.states a[aria-current] .count").textContent());
        assert.equal(shown.length, Math.min(count, 50), state);
        assert.equal(new URL(page.url()).searchParams.get("live"), "off", "a filter forgets that the page is paused");
    }
}

async function paging({ page, at }) {
    await at("/?live=off");
    const pages = [await runIds(page)];
    while (await page.getByRole("link", { name: "Older" }).count()) {
        await page.getByRole("link", { name: "Older" }).click();
        pages.push(await runIds(page));
    }
    const all = pages.flat();
    assert.ok(all.length >= 100 && pages.length >= 2, `${pages.map((page) => page.length)}`);
    assert.equal(new Set(all).size, all.length, "a run stands on two pages");
    for (const expected of pages.slice(0, -1).reverse()) {
        await page.getByRole("link", { name: "Newer" }).click();
        assert.deepEqual(await runIds(page), expected);
    }
    assert.equal(await page.getByRole("link", { name: "Newer" }).count(), 0);
}

async function search({ page, at }) {
    await at("/?live=off");
    const find = async (text, by) => {
        await page.getByLabel("Find").fill(text);
        await page.getByLabel("by", { exact: true }).selectOption(by);
        await follow(page, page.getByRole("button", { name: "Search" }));
        return (await runIds(page)).length;
    };
    assert.equal(await find("seed-001", "id"), 10);
    assert.equal(await find("seed_001", "id"), 0, "_ is no wildcard");
    assert.equal(await find("%", "id"), 0, "% is no wildcard");
    assert.equal(await find("console-good-0002", "id"), 1, "a run is found by every request that joined it");
    const [whole] = await runIds(page);
    assert.equal(await find(whole, "id"), 1);
    assert.equal(await find(whole.slice(0, 12), "id"), 1);
    assert.equal(await find("FRAUD-OPS@", "requester"), 26);
    assert.equal(await find(HOSTILE, "requester"), 26);
    assert.equal(await page.getByLabel("Find").inputValue(), HOSTILE);
    assert.ok(await find("staging/fraud/shadow", "scope") >= 20);
    await page.locator("nav.states a", { hasText: /^PUBLISHED/ }).click();
    assert.equal(await page.getByLabel("Find").inputValue(), "staging/fraud/shadow", "a filter forgets the search");
    await page.getByRole("link", { name: "Clear" }).click();
    assert.equal(await page.getByLabel("Find").inputValue(), "");
}

// By a click from the list; the run with plots, a duplicate, a near miss and hostile requesters.
async function run({ page, at }) {
    await at("/?live=off&q=console-good-0001");
    await page.locator("a.run").first().click();
    assert.equal(await page.locator(".headline .badge").textContent(), "PUBLISHED");
    assert.equal(await page.locator("svg[role=img]").count(), 4, "ROC, precision and recall, calibration, scores");
    const requests = page.locator("section[aria-label=Requests] > .scroll tbody tr");
    assert.equal(await requests.count(), 2);
    const shown = await requests.allTextContents();
    assert.ok(shown[0].includes(HOSTILE) && shown[0].includes("the run was made for it"), shown[0]);
    assert.ok(shown[1].includes("same meaning") && shown[1].includes("/requester_principal"), shown[1]);
    assert.match(await page.locator(".near").textContent(), /\/config_revision differs only in case/);
    assert.ok((await page.locator("section[aria-label=Acts]").textContent()).includes(`because ${HOSTILE}`));
    assert.ok(await page.locator("section[aria-label=Events] tbody tr").count() >= 6);
    const links = page.locator("section[aria-label=Evidence] a");
    assert.ok(await links.count() >= 6);
    for (const href of await links.evaluateAll((all) => all.map((link) => link.href))) {
        const response = await page.request.get(href);
        assert.equal(response.status(), 200, href);
        assert.match(response.headers()["content-security-policy"], /sandbox/);
        assert.match(response.headers()["content-disposition"], /^attachment; filename="[\w.-]+"$/);
    }
    return new URL(page.url()).pathname;
}

// From the top of the page by the Tab key alone to the first run, seeing where one is, and on by Enter.
async function keyboard({ page, at }) {
    await at("/?live=off");
    let focused = "";
    for (let presses = 0; presses < 40 && focused !== "run"; presses += 1) {
        await page.keyboard.press("Tab");
        focused = await page.evaluate(() => {
            const { outlineStyle, outlineWidth } = getComputedStyle(document.activeElement);
            return outlineStyle === "none" || outlineWidth === "0px" ? "unseen" : document.activeElement.className;
        });
        assert.notEqual(focused, "unseen", `nothing shows the focus after ${presses + 1} times Tab`);
    }
    assert.equal(focused, "run", "the first run is out of reach of the Tab key");
    await page.keyboard.press("Enter");
    await page.waitForURL(/\/runs\/tr_/);
}

async function live({ page, at }) {
    await at("/?state=FAIL&q=seed&by=id");
    assert.equal(await page.locator("meta[http-equiv=refresh]").count(), 1);
    await page.getByRole("link", { name: "Pause" }).click();
    assert.equal(await page.locator("meta[http-equiv=refresh]").count(), 0);
    const { searchParams } = new URL(page.url());
    assert.deepEqual([searchParams.get("state"), searchParams.get("q")], ["FAIL", "seed"]);
}

// Responses with an error status, without a page: a browser would log each on its console.
async function troubles(context) {
    for (const [where, status, says] of [
        ["/?state=LOST", 400, "there are: QUEUED"],
        ["/?sort=age", 400, "There is no parameter"],
        [`/runs/${encodeURIComponent(HOSTILE)}`, 404, "&lt;script&gt;alert(1)&lt;/script&gt;"],
        ["/runs/tr_00000000000000000000000000000000", 404, "knows no run"],
        ["/dead-letters/nowhere/0/1", 404, "No rejected record"],
        [`/nowhere/${encodeURIComponent(HOSTILE)}`, 404, "Nothing is served"],
    ]) {
        const response = await context.request.get(new URL(where, base).href);
        const text = await response.text();
        assert.equal(response.status(), status, where);
        assert.ok(text.includes(says) && !text.includes("<script"), `${where}: ${text}`);
        assert.match(response.headers()["content-security-policy"], /^default-src 'none'; style-src 'self'/);
    }
}

async function main() {
    fs.mkdirSync(folder, { recursive: true });
    const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ARGUMENTS });
    const desk = await open(browser);
    await states(desk);
    await paging(desk);
    await search(desk);
    const published = await run(desk);
    await keyboard(desk);
    await live(desk);
    await troubles(desk.context);
    await desk.at("/dead-letters");
    const letter = await desk.page.locator("th a").first().getAttribute("href");
    await desk.done();

    const still = await open(browser, { javaScriptEnabled: false });
    await states(still);
    await search(still);
    await run(still);
    await still.done();

    const pages = {
        runs: "/?live=off", run: `${published}?live=off`, failed: "/?state=FAIL&live=off", dead_letters: "/dead-letters?live=off",
        dead_letter: letter, workers: "/workers?live=off", health: "/health?live=off",
    };
    const looks = {
        light: { colorScheme: "light" }, dark: { colorScheme: "dark" },
        phone: { colorScheme: "light", viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true, deviceScaleFactor: 2 },
    };
    const backgrounds = {};
    for (const [look, options] of Object.entries(looks)) {
        const window = await open(browser, options);
        for (const [name, where] of Object.entries(pages)) {
            await window.at(where);
            const { wide, background } = await window.page.evaluate(() => ({
                wide: document.documentElement.scrollWidth - window.innerWidth,
                background: getComputedStyle(document.body).backgroundColor,
            }));
            assert.ok(wide <= 0, `${name} on a ${look} screen is ${wide} pixels too wide`);
            backgrounds[look] = background;
            await window.page.screenshot({ path: path.join(folder, `${name}-${look}.png`), fullPage: true });
        }
        await window.done();
    }
    assert.notEqual(backgrounds.light, backgrounds.dark, "dark is as light as light");
    await browser.close();
    console.log(`console: the browser found nothing to say; screenshots are in ${folder}`);
}

main().catch((error) => {
    console.error(error);
    process.exit(1);
});
